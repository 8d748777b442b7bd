"""What the cluster needs of ZooKeeper, in its own words: nodes, transactions, the state of a session.

Owns the shapes that the pure policy (``election``), the MAC cache and the bridge to kazoo (``zookeeper``)
share. Does not own any decision and knows no library. All verbs are coroutines with a time limit of their
own: none of them ever waits for ZooKeeper to come back.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class SessionState(enum.Enum):
    """What is known of our session. SUSPENDED: no contact, the servers may have ended it or not."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"
    LOST = "lost"


class UnavailableError(Exception):
    """ZooKeeper gave no answer in time, or there is no contact; whether a write was done is unknown."""


class RefusedWriteError(Exception):
    """A transaction was refused as a whole: a node existed, was missing, or had another version."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as read: its data, and of its state the version of the data, the transaction ids (zxid) of its
    creation and of its last change, and the id of the session that owns it (0: it is not ephemeral).
    """

    data: bytes
    version: int
    czxid: int
    mzxid: int
    owner: int


@dataclass(frozen=True, slots=True)
class Create:
    """Make a node; refused if it exists. An ephemeral one ends with our session."""

    path: str
    data: bytes = b""
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """Replace the data of a node; refused if it is missing or, unless -1, its version is another."""

    path: str
    data: bytes
    version: int = -1


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a node; refused if it is missing, has children or, unless -1, its version is another."""

    path: str
    version: int = -1


@dataclass(frozen=True, slots=True)
class Check:
    """Refuse the transaction unless the node exists with this version."""

    path: str
    version: int


Operation = Create | Put | Delete | Check
Watch = Callable[[], None]


class Ensemble(Protocol):
    """ZooKeeper as the cluster sees it. Paths are relative to the site, without a leading slash.

    A ``watch`` is called once, on the event loop, when what was read may have changed or the contact was lost
    for good. Every verb raises ``UnavailableError`` within its time limit.
    """

    @property
    def state(self) -> SessionState:
        """The state of the session, as of now."""

    @property
    def session_id(self) -> int:
        """The id of the session, 0 before the first one."""

    @property
    def session_seconds(self) -> float:
        """The session timeout that the servers granted."""

    async def read(self, path: str, watch: Watch | None = None) -> Node | None:
        """The node, None if there is none; ``watch`` then waits for its creation."""

    async def children(self, path: str, watch: Watch | None = None) -> tuple[str, ...]:
        """The names of the children, sorted; empty if there is no such node (then nothing is watched)."""

    async def make(self, path: str) -> None:
        """Make a node without data and those above it, where missing."""

    async def commit(self, *operations: Operation) -> None:
        """All operations or none; raises ``RefusedWriteError`` too."""
