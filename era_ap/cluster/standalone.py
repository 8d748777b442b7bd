"""The coordinator of an instance without ZooKeeper: it is alone, leads, and may always act."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from era_ap.cluster.coordinator import Status
from era_ap.cluster.failsafe import Answer
from era_ap.cluster.view import Term

if TYPE_CHECKING:
    from era_ap.cluster.coordinator import Follower
    from era_ap.cluster.failsafe import Ask
    from era_ap.cluster.view import Member


class Standalone:
    """A ``Coordinator`` for one; ``own`` is what others would know of us. It leads from its start on."""

    def __init__(self, own: Member) -> None:
        self.members: tuple[Member, ...] = (own,)
        self.epoch = 0
        self._own = own
        self._term = Term(own.group, own.name, 0, float("inf"), 0, 0)
        self.leaders: Mapping[int, Term] = MappingProxyType({own.group: self._term})
        self._followers: list[Follower] = []
        self._acts = False

    @property
    def term(self) -> Term | None:
        """There is nothing to write for others."""
        return None

    @property
    def status(self) -> Status:
        """State as of now."""
        return Status(
            name=self._own.name,
            group=self._own.group,
            session=None,
            session_id=0,
            registered=False,
            leader=self._own.name,
            acts=self._acts,
            failsafe=False,
            contact_age=None,
        )

    def may_answer(self, _domain: str) -> bool:
        """All domains are ours."""
        return self._acts

    def may_send(self, _now: float) -> bool:
        """Nobody else could."""
        return self._acts

    def set_fit(self, _why: str | None) -> None:
        """There is nobody to stand back for."""

    def announce(self, *, revision: str | None = None, peer: str | None = None) -> None:
        """There is nobody to tell."""

    def follow(self, follower: Follower) -> None:
        """Tell ``follower`` of changes from now on."""
        self._followers.append(follower)

    def answer_peer(self, ask: Ask) -> Answer:
        """Nobody has a reason to ask."""
        key, number = self._own.key, self._term.number
        return Answer(key, promised=False, connected=False, number=number, why="it is alone")

    async def start(self) -> None:
        """Lead."""
        self._acts = True
        for follower in self._followers:
            follower.on_lead(self._term)

    async def leave(self) -> None:
        """Stop acting."""
        if self._acts:
            self._acts = False
            for follower in self._followers:
                follower.on_stop_leading("the instance stops")

    def close(self) -> None:
        """End everything at once."""
        self._acts = False
