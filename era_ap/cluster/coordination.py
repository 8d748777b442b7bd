"""The coordinator of an instance among others: what the election has come to, for the rest of the daemon.

Owns the answers to "may I?", the picture of members and leaders, and who is told of changes. Does not own the
decisions (``election``) nor their way to ZooKeeper (``driving``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from era_ap.cluster.contract import SessionState
from era_ap.cluster.coordinator import Status
from era_ap.cluster.driving import Driver
from era_ap.cluster.duties import Duty, Standing
from era_ap.cluster.election import Election
from era_ap.cluster.moves import Led, Stopped
from era_ap.cluster.noting import NAME_TAKEN_SECONDS
from era_ap.cluster.view import Term

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import structlog

    from era_ap.cluster.contract import Ensemble
    from era_ap.cluster.coordinator import AskPeer, Follower
    from era_ap.cluster.failsafe import Answer, Ask
    from era_ap.cluster.responsibility import Responsibility
    from era_ap.cluster.situation import Policy, Situation
    from era_ap.cluster.view import Member, View

LEAVE_SECONDS: Final = 2.0
LEADERLESS_SESSIONS: Final = 3
"""Session timeouts without a leader, in contact with ZooKeeper, after which somebody should look."""


def boot_clock() -> float:
    """Seconds since the host was started, those in which it slept too: a lease must end then as well."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Coordination:
    """A ``Coordinator`` with ZooKeeper; ``own`` is our member node.

    ``groups`` are those of the configuration. ``ask`` carries questions to other instances.
    ``driver.observe`` is to be called when the state or the id of our session changes; ``responsibility`` may
    be replaced.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        own: Member,
        policy: Policy,
        responsibility: Responsibility,
        groups: Collection[int],
        ask: AskPeer,
        log: structlog.typing.FilteringBoundLogger,
        *,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self.responsibility = responsibility
        self.members: tuple[Member, ...] = ()
        self.leaders: Mapping[int, Term] = MappingProxyType({})
        self.epoch = 0
        self._clock = clock
        self._ensemble = ensemble
        self._log = log
        self._followers: list[Follower] = []
        self._election = Election(own, policy, clock())
        self._situation = self._election.situation
        self.driver = Driver(self._election, ensemble, groups, ask, clock, log)
        self.driver.on_turn = partial(_tell, self._followers, log)
        self.driver.on_view = partial(_take, self, self._followers)
        self.driver.on_step = _Complaints(self._situation, clock, log).tell

    @property
    def term(self) -> Term | None:
        """Our own term while we hold one in contact with ZooKeeper."""
        return self._situation.term if self._situation.acts(Duty.PUBLISH, self._clock()) else None

    @property
    def status(self) -> Status:
        """State as of now."""
        situation, now = self._situation, self._clock()
        leader = self.leaders.get(situation.own.group)
        return Status(
            name=situation.own.name,
            group=situation.own.group,
            session=self._ensemble.state,
            session_id=self._ensemble.session_id,
            registered=situation.is_registered and situation.state is SessionState.CONNECTED,
            leader=leader.leader if leader is not None else "",
            acts=self.may_send(now),
            failsafe=situation.standing(now) is Standing.BACKED,
            contact_age=None if situation.contact_at is None else now - situation.contact_at,
            problem=_problem(situation, now),
        )

    def may_answer(self, domain: str) -> bool:
        """Whether we answer PnP for phones of ``domain`` at this moment."""
        return self.responsibility.group_of(domain) == self._situation.own.group and self.may_send(0.0)

    def may_send(self, _now: float) -> bool:
        """Whether we may act as leader at this moment; by our own clock, which no sleep of the host stops."""
        situation = self._situation
        return situation.state is self._ensemble.state and situation.acts(Duty.ANSWER, self._clock())

    def set_fit(self, why: str | None) -> None:
        """Tell what keeps us from leading (one sentence), None if nothing does."""
        if self._situation.own.why != (why or ""):
            self._log.info("fit to lead" if why is None else "not fit to lead", why=why or "")
            self._election.change(self._clock(), why=why or "")
            self.driver.follow()

    def announce(self, *, revision: str | None = None, peer: str | None = None) -> None:
        """Tell the others the revision of the templates in service, or where they reach us."""
        told = {"revision": revision, "peer": peer}
        facts = {key: value for key, value in told.items() if value is not None}
        if any(getattr(self._situation.own, key) != value for key, value in facts.items()):
            self._election.change(self._clock(), **facts)
            self.driver.follow()

    def follow(self, follower: Follower) -> None:
        """Tell ``follower`` of changes from now on."""
        self._followers.append(follower)

    def answer_peer(self, ask: Ask) -> Answer:
        """Answer a question of another instance, which must be authenticated."""
        self.driver.observe()
        answer = self._election.asked(ask, self._clock())
        self.driver.follow()
        return answer

    async def start(self) -> None:
        """Take part from now on; does not wait for ZooKeeper."""
        self.driver.start()

    async def leave(self) -> None:
        """Stop acting, hand over, take our name off the list; ends within two seconds whatever happens."""
        self._election.leave(self._clock())
        self.driver.follow()
        if self._situation.state is SessionState.CONNECTED and self._situation.is_registered:
            try:
                await asyncio.wait_for(self.driver.left.wait(), LEAVE_SECONDS)
            except TimeoutError:
                self._log.warning("left without telling", advice="others take over when our session ends")

    def close(self) -> None:
        """End everything at once."""
        self.driver.close()


class _Complaints:
    """Tells an operator, once each, what keeps the cluster from working."""

    def __init__(
        self,
        situation: Situation,
        clock: Callable[[], float],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._situation = situation
        self._clock = clock
        self._log = log
        self._told = False

    def tell(self) -> None:
        """Tell what is new."""
        problem = _problem(self._situation, self._clock())
        if problem and not self._told:
            self._log.error("cluster", detail=problem)
        elif self._told and not problem:
            self._log.info("cluster in order again")
        self._told = bool(problem)


def _problem(situation: Situation, now: float) -> str:
    """What an operator should know, "" if all is well or somebody else tells (the bridge to ZooKeeper)."""
    if situation.state is not SessionState.CONNECTED:
        return ""
    if situation.taken_at is not None and now - situation.taken_at > NAME_TAKEN_SECONDS:
        host = situation.registered.host if situation.registered is not None else ""
        return (
            f"the name {situation.own.name} belongs to another process, on {host or 'an unknown host'}: "
            "end one of the two; if that one was killed just now, its name is free in a few seconds"
        )
    since = situation.leaderless_at
    if since is not None and now - since > LEADERLESS_SESSIONS * situation.session_seconds:
        return f"group {situation.own.group} has no leader; 'era-ap cluster' shows who is waited for"
    return ""


def _tell(followers: list[Follower], log: structlog.typing.FilteringBoundLogger, turn: Led | Stopped) -> None:
    if isinstance(turn, Led):
        log.info("leading", group=turn.term.group, term=turn.term.number)
        for follower in followers:
            follower.on_lead(turn.term)
    else:
        log.info("no longer leading", why=turn.why)
        for follower in followers:
            follower.on_stop_leading(turn.why)


def _take(coordination: Coordination, followers: list[Follower], view: View) -> None:
    members = tuple(sorted(view.members.values(), key=lambda each: (each.group, each.order, each.name)))
    leaders = {
        number: Term(number, holder.name, epoch.number, epoch.lease, epoch.version, epoch.zxid)
        for number, group in view.groups.items()
        if (holder := group.holder) is not None and (epoch := group.epoch) is not None
    }
    own = leaders.get(coordination.status.group)
    coordination.epoch = own.zxid if own is not None else coordination.epoch
    if (members, leaders) != (coordination.members, dict(coordination.leaders)):
        coordination.members, coordination.leaders = members, MappingProxyType(leaders)
        for follower in followers:
            follower.on_view()
