"""What the election wants done, as data, and how it ended.

Owns the vocabulary between the machine (``election``) and who drives it (``coordination``).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from era_ap.cluster.contract import Operation
from era_ap.cluster.failsafe import Ask
from era_ap.cluster.view import Member, Term


class Purpose(enum.Enum):
    """What a transaction is for."""

    REGISTER = "put our name on the list of members"
    TAKE = "become the leader"
    CLAIM = "say whom we rely on"
    CLEAR = "remove what an earlier session of this process left"
    RELEASE = "let another lead"
    LEAVE = "take our name off the list"


class Result(enum.Enum):
    """How a transaction ended; UNKNOWN: no answer in time, it may be done or not, now or soon."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """Commit the operations in session ``session`` and tell the result, once.

    ``number``, ``lease`` and ``relies`` are those of the term and the claim that it would begin.
    """

    purpose: Purpose
    session: int
    operations: tuple[Operation, ...]
    number: int = 0
    lease: float = 0.0
    relies: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Beat:
    """Commit the operations as a heartbeat of the term ``number``; several may be under way."""

    session: int
    number: int
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Peek:
    """Read the version of the heartbeats' node, and tell it."""

    session: int


@dataclass(frozen=True, slots=True)
class Look:
    """Read members and groups again, and tell what was read together with ``number``."""

    number: int


@dataclass(frozen=True, slots=True)
class Question:
    """Ask ``member``, and tell the answer."""

    member: Member
    ask: Ask


@dataclass(frozen=True, slots=True)
class Led:
    """We act as leader from now on."""

    term: Term


@dataclass(frozen=True, slots=True)
class Stopped:
    """We do not act any more."""

    why: str


Action = Write | Beat | Peek | Look | Question | Led | Stopped
