"""The figures and verdicts as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from .cases import Measure, Target
from .judge import Runs, Verdict
from .load import Figure


def print_figures(runs: Runs, titles: Mapping[str, str]) -> None:
    """One table for each case: median (lowest-highest) of the rate, medians of the rest."""
    cases = dict.fromkeys(case for case, _ in runs)
    for case in cases:
        print(f"\n{case}: {titles.get(case, case)}")
        print(f"  {'server':14} {'rate: median (min-max)':>28} {'CPU s/1000':>11} {'p50 ms':>9} {'p99':>9}")
        rows = [(server, list(figures.values())) for (of, server), figures in runs.items() if of == case]
        for server, figures in rows:
            print(f"  {server:14} {_row(figures)}")


def _row(figures: list[Figure]) -> str:
    rates = [figure.rate for figure in figures]
    rate = f"{statistics.median(rates):,.1f} ({min(rates):,.1f}-{max(rates):,.1f})"
    cpu = statistics.median(figure.cpu for figure in figures)
    p50 = statistics.median(figure.p50 for figure in figures)
    p99 = statistics.median(figure.p99 for figure in figures)
    failed = f"{sum(figure.failed for figure in figures)} of {sum(figure.total for figure in figures)}"
    return f"{rate:>28} {cpu:>11.4f} {p50:>9.2f} {p99:>9.1f}  {failed}"


def print_verdicts(verdicts: Iterable[Verdict]) -> None:
    """One line for each target."""
    print(f"\n{'target':56} {'found: median (min-max)':>28}  verdict")
    for verdict in verdicts:
        found = "-"
        if verdict.values:
            found = f"{verdict.median:,.2f} ({min(verdict.values):,.2f}-{max(verdict.values):,.2f})"
        said = {True: "met", False: "MISSED", None: "not measured"}[verdict.met]
        print(f"{_text(verdict.target):56} {found:>28}  {said}")


def write_json(path: Path, runs: Runs, verdicts: Iterable[Verdict]) -> None:
    """All runs, all verdicts, and the machine."""
    document = {
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "runs": [
            {"case": case, "server": server, "pass": number, **asdict(figure)}
            for (case, server), figures in runs.items()
            for number, figure in figures.items()
        ],
        "targets": [
            {"target": _text(v.target), "values": list(v.values), "median": v.median, "met": v.met}
            for v in verdicts
        ],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _text(target: Target) -> str:
    sign = "<=" if target.below else ">="
    whose = f"{target.case} {target.ours}" if target.ours != "era_ap" else target.case
    if not target.peer:
        unit = {Measure.RATE: "/s", Measure.FAILED: " failed", Measure.P99: " ms"}.get(target.measure, "")
        return f"{whose}: {target.measure.value} {sign} {target.value:g}{unit}"
    base = f" in {target.base}" if target.base else ""
    return f"{whose}: {target.measure.value} {sign} {target.value:g} x {target.peer}{base}"
