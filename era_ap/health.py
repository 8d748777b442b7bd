"""Whether an instance serves, and from how fresh a state: the model behind /readyz and the fitness to lead.

Owns the conditions of a source (storage, a directory, ZooKeeper, a group's MAC cache, PnP, local state) and
the verdict over all of them: with everything away phones still get files from the last known state, so that
is "degraded", which serves. Asks nobody; ages are given, in seconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

STALE_SECONDS = 30.0
"""A source without a good look for so long is stale, though nothing was told to be in the way."""


class Condition(enum.Enum):
    """What is served of a source: what it says now, what it said last, or nothing."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"


class Need(enum.Enum):
    """What lacks without a source: all files, those of one directory, or none."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


class Phase(enum.Enum):
    """Where in its life the process is; it runs as soon as it answers phones, whatever is missing."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Verdict(enum.Enum):
    """What an instance is good for; ``serves`` is what a load balancer wants to know."""

    STARTING = ("starting", False)
    READY = ("ready", True)
    DEGRADED = ("degraded", True)
    NOT_READY = ("not ready", False)
    STOPPING = ("stopping", False)

    def __init__(self, word: str, serves: bool) -> None:
        self.word = word
        self.serves = serves


@dataclass(frozen=True, slots=True)
class Source:
    """One source. ``age``: seconds since it was last known to be as served, None if that was never.

    ``detail`` is for operators: what is in the way, "" where nothing is.
    """

    name: str
    condition: Condition
    age: float | None = None
    detail: str = ""
    need: Need = Need.NONE


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict, why it is not ``READY`` (one sentence each), and what it was made of."""

    verdict: Verdict
    reasons: tuple[str, ...]
    sources: tuple[Source, ...]

    def document(self) -> dict[str, object]:
        """The shape of /readyz."""
        return {
            "status": self.verdict.word,
            "reasons": list(self.reasons),
            "sources": {source.name: _shown(source) for source in self.sources},
        }


@dataclass(frozen=True, slots=True)
class Looks:
    """What is known of a thing that is looked at again and again; times are seconds of a steady clock.

    ``good_at``: the last look that found it readable; ``restored_at``: the last one of an earlier process,
    whose state is served until there is another. None: there was none.
    """

    good_at: float | None
    problem: str = ""
    restored_at: float | None = None


def source_of(name: str, looks: Looks, now: float, *, need: Need, patience: float = STALE_SECONDS) -> Source:
    """The source behind ``looks``: stale once ``patience`` seconds passed without a good look."""
    known_at = looks.good_at if looks.good_at is not None else looks.restored_at
    if known_at is None:
        return Source(name, Condition.MISSING, None, looks.problem or "not read yet", need)
    age = max(0.0, now - known_at)
    if looks.good_at is None:
        return Source(name, Condition.STALE, age, looks.problem or "as an earlier process knew it", need)
    if age <= patience and not looks.problem:
        return Source(name, Condition.FRESH, age, "", need)
    return Source(name, Condition.STALE, age, looks.problem or "does not answer", need)


def judge(phase: Phase, sources: Iterable[Source]) -> Health:
    """The verdict over all ``sources`` of a process in ``phase``."""
    known = tuple(sources)
    reasons = tuple(_reason(source) for source in known if source.condition is not Condition.FRESH)
    if phase is Phase.STOPPING:
        return Health(Verdict.STOPPING, ("the process was told to stop", *reasons), known)
    if phase is Phase.STARTING:
        return Health(Verdict.STARTING, ("phones are not answered yet", *reasons), known)
    if _serves_nothing(known):
        return Health(Verdict.NOT_READY, reasons, known)
    return Health(Verdict.DEGRADED if reasons else Verdict.READY, reasons, known)


def _serves_nothing(sources: Collection[Source]) -> bool:
    """Whether every request would be refused: something all files need is missing, or each directory is."""
    missing = [source.need for source in sources if source.condition is Condition.MISSING]
    some = [source for source in sources if source.need is Need.SOME]
    return Need.ALL in missing or (bool(some) and missing.count(Need.SOME) == len(some))


def _reason(source: Source) -> str:
    age = f" ({source.age:.0f} s old)" if source.age is not None else ""
    detail = f": {source.detail}" if source.detail else ""
    return f"{source.name} is {source.condition.value}{age}{detail}"


def _shown(source: Source) -> dict[str, object]:
    shown: dict[str, object] = {"state": source.condition.value}
    if source.age is not None:
        shown["age_seconds"] = round(source.age, 1)
    if source.detail:
        shown["detail"] = source.detail
    return shown
