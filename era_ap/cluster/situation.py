"""All that one member knows of its session, its group and its own term, and what follows from it at once.

Owns the state of the election machine and its standing. Does not own what happens next (``choosing``) nor the
order of events (``election``). Times are of the machine's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from era_ap.cluster.contract import SessionState
from era_ap.cluster.duties import Duty, Standing, acts
from era_ap.cluster.failsafe import Backing
from era_ap.cluster.lease import Lease
from era_ap.cluster.view import Claim, Group, Member, Term, View


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings of the election. ``first_number``: terms have at least this number; the wall clock's
    milliseconds at the start, so that numbers rise even where ZooKeeper and this process have forgotten all.
    """

    hold_down_seconds: float = 30.0
    failsafe: bool = True
    first_number: int = 1


@dataclass(slots=True)
class Situation:
    """What is known. ``own`` is our node as it should be, ``view`` is of this session, ``roster`` holds the
    members last seen, by key.

    ``beat`` is the last version seen of the leader's heartbeats, ``beat_at`` when it was seen first: the
    leader sent it before. ``ended`` says why the last term ended, ``releasing`` why this one does (""),
    ``stays_until`` that we do not hand over before, ``passed_over`` how often in a row others let us lead.
    ``known`` is the highest number of a term that we know of, ``attempted`` that of one of our own that we
    may have begun, ``held`` that of our last one; ``informed``: we were registered and read the last term
    after that.
    Times, None while it is not so: ``leaderless_at`` nobody leads; ``forgotten_at`` ZooKeeper knows no term,
    or only earlier ones than we do; ``taken_at`` another process has our name; ``eligible_at`` registered
    and fit.
    """

    policy: Policy
    own: Member
    lease: Lease
    promised_until: float
    state: SessionState = SessionState.LOST
    session: int = 0
    session_seconds: float = 0.0
    contact_at: float | None = None
    view: View | None = None
    roster: Mapping[str, Member] = field(default_factory=lambda: MappingProxyType({}))
    claim: Claim | None = None
    beat: int | None = None
    beat_at: float = 0.0
    known: int = 0
    attempted: int = 0
    held: int = 0
    informed: bool = False
    leaderless_at: float | None = None
    forgotten_at: float | None = None
    taken_at: float | None = None
    eligible_at: float | None = None
    term: Term | None = None
    backing: Backing = field(default_factory=Backing)
    absent: dict[str, float] = field(default_factory=dict)
    ended: str = ""
    releasing: str = ""
    stays_until: float = 0.0
    passed_over: int = 0
    leaving: bool = False

    @property
    def group(self) -> Group:
        """Our group as last read in this session."""
        return self.view.group(self.own.group) if self.view is not None else Group()

    @property
    def peers(self) -> tuple[Member, ...]:
        """The other members of our group that are registered."""
        members = self.view.of_group(self.own.group) if self.view is not None else ()
        return tuple(member for member in members if member.name != self.own.name)

    @property
    def registered(self) -> Member | None:
        """The node of our name, whoever owns it."""
        return self.view.members.get(self.own.name) if self.view is not None else None

    @property
    def is_registered(self) -> bool:
        """Whether the node of our name is ours."""
        node = self.registered
        return node is not None and node.session == self.session

    @property
    def holds(self) -> bool:
        """Whether the leader node was ours when we looked."""
        holder = self.group.holder
        return holder is not None and holder.session == self.session

    def standing(self, now: float) -> Standing:
        """Our place at this moment."""
        if self.leaving:
            return Standing.LEAVING
        if self.term is None or self.releasing or now < self.promised_until:
            return Standing.FOLLOWER
        if self.state is SessionState.CONNECTED:
            return Standing.LEADER if self.lease.runs(now) else Standing.CUT
        return Standing.BACKED if self.policy.failsafe and self.backing.complete(now) else Standing.CUT

    def acts(self, duty: Duty, now: float) -> bool:
        """Whether a duty is ours at this moment."""
        return acts(duty, self.state, self.standing(now))

    def end_term(self, why: str, now: float) -> None:
        """We hold no term any more."""
        self.term = None
        self.ended = why
        self.releasing = ""
        self.lease.drop(now)
        self.backing = Backing()
        self.absent.clear()
