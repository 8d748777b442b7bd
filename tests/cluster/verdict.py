"""What a fault cost the phones, from what they wrote down (``stream``).

Owns the counting; pure. A file is lost if no instance gave it, retried if the first one did not. The gap is
the longest time in which no phone at all was told its URL. NOTIFYs are counted by transaction: the repetition
of one whose answer was lost is the same. Two leaders act at one time if one answers again after another has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

PATIENCE = 6.0
"""A SUBSCRIBE may be answered that late; what came later in the run is not counted as unanswered."""

RETURN_SECONDS = 2.0
"""A leader that answers again so soon after another one did was not elected anew in between."""


@dataclass(frozen=True)
class Verdict:
    """The figures of one fault, and a few words for what was lost. ``late``: by how much the phones
    themselves were late at most, because the machine was busy.
    """

    files: int
    lost: int
    retried: int
    subscribes: int
    unanswered: int
    gap: float
    notifies: int
    leaders: int
    moves: tuple[str, ...]
    losses: tuple[str, ...]
    late: float = 0.0


def judge(
    events: Iterable[Mapping[str, Any]], began: float, ended: float, names: Mapping[str, str]
) -> Verdict:
    """The figures of what began between the two times; ``names`` are those of the servers by address."""
    known = [event for event in events if event["t"] >= began - 1.0]
    fetches = [e for e in known if e["kind"] in ("tftp", "http", "url") and began <= e["began"] <= ended]
    asked = {e["call"]: e["t"] for e in known if e["kind"] == "subscribe" and began <= e["t"] <= ended}
    told = [e for e in known if e["kind"] == "notify"]
    first: dict[str, float] = {}
    transactions: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for event in told:
        first.setdefault(event["call"], event["t"])
        transactions[event["call"]].add((event["server"], event["branch"]))
    due = [call for call, at in asked.items() if at <= ended - PATIENCE]
    sources = [(event["t"], names[event["server"]]) for event in told if event["t"] == first[event["call"]]]
    return Verdict(
        files=len(fetches),
        lost=sum(not fetch["ok"] for fetch in fetches),
        retried=sum(bool(fetch["failures"]) for fetch in fetches),
        subscribes=len(due),
        unanswered=sum(call not in first for call in due),
        gap=_gap(sorted(first.values()), began, ended),
        notifies=max((len(found) for found in transactions.values()), default=0),
        leaders=_leaders(sources),
        moves=_moves(sources),
        losses=tuple(f"{fetch['kind']} {fetch['failures']}" for fetch in fetches if not fetch["ok"])[:5],
        late=max((event["seconds"] for event in known if event["kind"] == "late"), default=0.0),
    )


def _gap(answers: list[float], began: float, ended: float) -> float:
    times = [began, *(at for at in answers if began <= at <= ended), ended]
    return max(after - before for before, after in pairwise(times))


def _moves(sources: list[tuple[float, str]]) -> tuple[str, ...]:
    """Who answered, one after the other."""
    names = [name for _, name in sources]
    return tuple(name for index, name in enumerate(names) if index == 0 or name != names[index - 1])


def _leaders(sources: list[tuple[float, str]]) -> int:
    """1, or 2 if some server answered again soon after another one had."""
    last: dict[str, float] = {}
    latest = ""
    for at, name in sources:
        others = [seen for other, seen in last.items() if other != name]
        if name != latest and name in last and others and at - last[name] < RETURN_SECONDS:
            return 2
        last[name] = at
        latest = name
    return 1 if sources else 0
