"""Acting on without ZooKeeper while every other member confirms that it is cut off too (spec 9).

Owns the questions and answers of that exchange and the arithmetic of its promises. Does not own the way they
travel (an HTTP request between instances) nor who must be asked (``election``).
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
