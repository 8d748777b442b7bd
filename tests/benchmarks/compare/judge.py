"""From runs to medians, from medians to verdicts.

Owns the rule that ratios are taken inside one pass, where the machine's mood is the same for both, and only
then medianed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from .cases import BEST, C_TWICE, OURS, TWICE, Measure, Target
from .load import Figure

Runs = Mapping[tuple[str, str], Mapping[int, Figure]]
"""Figures by (case, server), then by pass."""

_NO_PEERS = {OURS, TWICE, "ctftp", C_TWICE}


@dataclass(frozen=True)
class Verdict:
    """A target and what was found: the lowest, the median and the highest; None where nothing was."""

    target: Target
    values: tuple[float, ...]

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def met(self) -> bool | None:
        """None where it could not be judged."""
        found = self.median
        if found is None:
            return None
        return found <= self.target.value if self.target.below else found >= self.target.value


def judge(runs: Runs, target: Target) -> Verdict:
    """What the runs say about ``target``."""
    mine = runs.get((target.case, target.ours), {})
    if not target.peer:
        return Verdict(target, tuple(_value(figure, target.measure) for figure in mine.values()))
    theirs = (
        _best(runs, target)
        if target.peer == BEST
        else runs.get((target.base or target.case, target.peer), {})
    )
    pairs = [
        (_value(figure, target.measure), _value(theirs[number], target.measure))
        for number, figure in mine.items()
        if number in theirs
    ]
    return Verdict(target, tuple(our / their for our, their in pairs if their > 0))


def _best(runs: Runs, target: Target) -> dict[int, Figure]:
    """The best peer of each pass."""
    best: dict[int, Figure] = {}
    for (case, server), figures in runs.items():
        if case != (target.base or target.case) or server in _NO_PEERS:
            continue
        for number, figure in figures.items():
            if number not in best or figure.rate > best[number].rate:
                best[number] = figure
    return best


def _value(figure: Figure, measure: Measure) -> float:
    return {
        Measure.RATE: figure.rate,
        Measure.CPU: figure.cpu,
        Measure.P50: figure.p50,
        Measure.P99: figure.p99,
        Measure.FAILED: float(figure.failed),
    }[measure]
