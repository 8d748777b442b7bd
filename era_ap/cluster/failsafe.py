"""Acting on without ZooKeeper while every other member confirms that it is cut off too (spec 9).

Owns the questions and answers of that exchange and the arithmetic of its promises. Does not own the way they
travel (a request between instances) nor who promises when (``election``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CYCLE_SECONDS: Final = 0.3
"""Pause between two rounds of questions."""

PROMISE_SECONDS: Final = 1.0
"""How long who promised keeps silent."""

FRESH_SECONDS: Final = 0.9
"""How long a promise is relied on, from the sending of the question: less, as no two clocks run alike."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The last leader of a group asks: are you cut off from ZooKeeper too, and will you keep silent?

    ``leader`` is its key (see ``Member``), ``number`` that of its term.
    """

    group: int
    leader: str
    number: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of the member ``key``: it promises to keep silent for a second, or ``why`` it does not.

    ``connected`` tells that it is in contact with ZooKeeper; ``number`` is that of the last term it knows.
    """

    key: str
    promised: bool
    connected: bool
    number: int
    why: str = ""


class Backing:
    """The promises that the last leader got, and whose it needs.

    ``lists`` are all contents that the ``Claim`` in ZooKeeper may have: the one known to be written and those
    whose writing had no answer. Who is in any of them may take over and must be asked; if one of them may be
    empty, anybody may take over and nothing can be relied on.
    """

    def __init__(self) -> None:
        self.lists: list[frozenset[str]] = []
        self._promised: dict[str, float] = {}

    @property
    def needed(self) -> frozenset[str]:
        """The keys of those who must promise; empty: it would be of no use."""
        if not all(self.lists):
            return frozenset()
        return frozenset[str]().union(*self.lists)

    def note(self, key: str, sent_at: float, *, promised: bool) -> None:
        """``key`` answered a question sent at ``sent_at``; without a promise an earlier one ends too."""
        if promised:
            self._promised[key] = max(sent_at, self._promised.get(key, sent_at))
        else:
            self._promised.pop(key, None)

    def forget(self) -> None:
        """Rely on no promise any more."""
        self._promised.clear()

    def until(self) -> float | None:
        """When the first of the promises needed ends; None if one is missing."""
        needed = self.needed
        if not needed or not needed <= self._promised.keys():
            return None
        return min(self._promised[key] for key in needed) + FRESH_SECONDS

    def complete(self, now: float) -> bool:
        """Whether everybody who might act keeps silent at this moment."""
        until = self.until()
        return until is not None and now < until
