"""What the daemon is told about its place among the instances, with ZooKeeper or alone.

Owns the shapes that PnP, the MAC cache, readiness and ``era-ap cluster`` see; ``coordination`` (ZooKeeper)
and ``standalone`` (none configured) fill them.

``AskPeer`` is the transport of questions between instances: it carries an ``Ask`` to ``member.peer``,
authenticated, and returns the ``Answer``; raising anything counts as none. The receiving side calls
``answer_peer`` once for each question: a kept or replayed answer would be a false promise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from era_ap.cluster.contract import SessionState
from era_ap.cluster.failsafe import Answer, Ask
from era_ap.cluster.view import Member, Term

AskPeer = Callable[[Member, Ask], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Status:
    """State of this instance in the cluster; ages in seconds, None where there is nothing to measure.

    ``session`` is None without ZooKeeper. ``acts`` tells whether it may act as leader at this moment,
    ``failsafe`` that it does so on the word of the others. ``contact_age`` is the time since ZooKeeper
    answered last. ``problem`` is one sentence for an operator, "" if all is well.
    """

    name: str
    group: int
    session: SessionState | None
    session_id: int
    registered: bool
    leader: str
    acts: bool
    failsafe: bool
    contact_age: float | None
    problem: str = ""


class Follower(Protocol):
    """Who is told of changes, on the event loop, one after the other; must neither block nor raise.

    ``on_lead`` is called when this instance begins to act as leader, ``on_stop_leading`` when it has ended
    (it may not act any more by then), ``on_view`` when members or leaders have changed.
    """

    def on_lead(self, term: Term) -> None:
        """We act as leader of our group from now on."""

    def on_stop_leading(self, why: str) -> None:
        """We do not act any more; ``why`` is for the log."""

    def on_view(self) -> None:
        """``members`` or ``leaders`` have changed."""


class Coordinator(Protocol):
    """One instance among others. None of its attributes may be set from outside.

    ``members`` are all registered members of the site, ourselves too, by group and order (the last known ones
    while ZooKeeper is away); ``leaders`` the term of each group that has a leader; ``epoch`` the zxid of the
    last known term of our group, 0 without any.
    """

    members: tuple[Member, ...]
    leaders: Mapping[int, Term]
    epoch: int

    @property
    def term(self) -> Term | None:
        """Our own term while we hold one in contact with ZooKeeper: writes that only the leader may make
        begin with ``Check(epoch_path(term.group), term.version)``.
        """

    @property
    def status(self) -> Status:
        """State as of now."""

    def may_answer(self, domain: str) -> bool:
        """Whether we answer PnP for phones of ``domain`` at this moment."""

    def may_send(self, now: float) -> bool:
        """Whether we may act as leader at this moment; asked immediately before each datagram."""

    def set_fit(self, why: str | None) -> None:
        """Tell what keeps us from leading (one sentence), None if nothing does."""

    def announce(self, *, revision: str | None = None, peer: str | None = None) -> None:
        """Tell the others the revision of the templates in service, or where they reach us."""

    def follow(self, follower: Follower) -> None:
        """Tell ``follower`` of changes from now on."""

    def answer_peer(self, ask: Ask) -> Answer:
        """Answer a question of another instance, which must be authenticated."""

    async def start(self) -> None:
        """Take part from now on; does not wait for ZooKeeper."""

    async def leave(self) -> None:
        """Stop acting, hand over, take our name off the list; ends within two seconds whatever happens."""

    def close(self) -> None:
        """End everything at once."""
