"""The next transaction of a member: to register, take over, tell whom it relies on, hand over.

Owns the rules of the election, as functions of a ``Situation`` and the time, and the nodes each transaction
touches. Every transaction that ends or follows a term checks that no later one has begun.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from era_ap.cluster.contract import Check, Create, Delete, Operation, Put, SessionState
from era_ap.cluster.duties import Duty, Standing
from era_ap.cluster.failsafe import Ask
from era_ap.cluster.lease import LEASE_SHARE, SEIZE_SHARE, WAIT_FACTOR
from era_ap.cluster.moves import Beat, Peek, Purpose, Question, Write
from era_ap.cluster.preference import GRACE_SECONDS, ahead, successor
from era_ap.cluster.situation import Situation
from era_ap.cluster.view import (
    Claim,
    Epoch,
    Holder,
    Member,
    beat_path,
    epoch_path,
    failsafe_path,
    leader_path,
    member_path,
)

ABSENT_SECONDS: Final = 30.0
"""How long a member that vanished is still relied on: it may be cut off, and may come back."""


def next_write(situation: Situation, now: float) -> Write | None:
    """What must be written now; None: nothing. Asked in contact, and after what was written was read."""
    if situation.leaving:
        return _leave(situation)
    if situation.releasing:
        return _release(situation) if situation.holds else None
    node = situation.registered
    if node is None:
        return _write(situation, Purpose.REGISTER, Create(*_own_node(situation), ephemeral=True))
    if not situation.is_registered:
        return _register_again(situation)
    take_at = takes_over_at(situation, now)
    if take_at is not None and take_at <= now:
        return _take(situation)
    return _claim(situation, now) or _clear(situation) or _correct(situation, node)


def takes_over_at(situation: Situation, now: float) -> float | None:
    """When we become the leader if nothing changes; None: not as things are."""
    free_at = _free_at(situation)
    if free_at is None or not situation.is_registered or not situation.acts(Duty.RUN, now):
        return None
    claim = situation.claim or Claim()
    if not claim.admits(situation.own.key):
        return None
    at = max(situation.promised_until, free_at, _lease_ends_at(situation, claim))
    return at + len(_before_us(situation)) * GRACE_SECONDS


def stays_until(situation: Situation, now: float) -> float:
    """Until when a leader that takes over now does not hand over: if others did not act, ever longer."""
    if not _before_us(situation):
        situation.passed_over = 0
        return now
    situation.passed_over = min(situation.passed_over + 1, 4)
    return now + situation.policy.hold_down_seconds * 2.0 ** (situation.passed_over - 1)


def _before_us(situation: Situation) -> list[Member]:
    """Who may take over and should do so rather than we."""
    claim = situation.claim or Claim()
    return [member for member in ahead(situation.own, situation.peers) if claim.admits(member.key)]


def _free_at(situation: Situation) -> float | None:
    """When the leader node is there to be taken; None: it is ours, or not in question yet."""
    holder = situation.group.holder
    if holder is None or situation.holds or holder.instance == situation.own.instance:
        return situation.leaderless_at
    return situation.beat_at + SEIZE_SHARE * situation.session_seconds


def _lease_ends_at(situation: Situation, claim: Claim) -> float:
    """When nobody can act by a heartbeat of the last term any more; only who handed over ended it at once."""
    epoch, own_lease = situation.group.epoch, LEASE_SHARE * situation.session_seconds
    ends_at = 0.0
    if situation.forgotten_at is not None:
        ends_at = situation.forgotten_at + WAIT_FACTOR * own_lease
    if epoch is not None and claim.leader and epoch.number != situation.held:
        ends_at = max(ends_at, situation.beat_at + WAIT_FACTOR * (epoch.lease or own_lease))
    return ends_at


def relied_on(situation: Situation, now: float) -> frozenset[str]:
    """Whom a leader should ask before it acts without ZooKeeper: the others, and who vanished just now."""
    if not situation.policy.failsafe:
        return frozenset()
    there = {member.key for member in situation.peers}
    names = {member.name for member in situation.peers} | {situation.own.name}
    before = situation.group.claim.relies if situation.group.claim is not None else frozenset()
    for key in before - there:
        situation.absent.setdefault(key, now)
    for key in situation.absent.keys() - (before - there):
        del situation.absent[key]
    missed = {
        key
        for key, since in situation.absent.items()
        if now - since < ABSENT_SECONDS and key.rpartition("/")[0] not in names
    }
    return frozenset(there | missed)


def beat(situation: Situation) -> Beat | Peek:
    """The heartbeat of our term, or a look at that of another's.

    It is written: a server that is itself cut off from the others goes on answering reads.
    """
    term = situation.term
    if term is None:
        return Peek(situation.session)
    operations = (
        Check(epoch_path(term.group), term.version),
        Check(leader_path(term.group), 0),
        Put(beat_path(term.group), b""),
    )
    return Beat(situation.session, term.number, operations)


def questions(situation: Situation) -> list[Question]:
    """What we ask the others while there is no contact."""
    term, own = situation.term, situation.own
    if term is None:
        return []
    ask = Ask(own.group, own.key, term.number)
    needed = sorted(situation.backing.needed & situation.roster.keys())
    return [Question(situation.roster[key], ask) for key in needed]


def hand_over(situation: Situation, now: float) -> None:
    """Stop for a better member; who does not take over then keeps us from trying again for the hold-down."""
    if situation.standing(now) is not Standing.LEADER or now < situation.stays_until:
        return
    better = successor(situation.own, situation.peers)
    if better is not None:
        situation.releasing = f"{better.name} should lead"
        situation.stays_until = now + situation.policy.hold_down_seconds


def why_silent(situation: Situation) -> str:
    """Why we do not act, for the log of who just stopped."""
    if situation.leaving:
        return "the instance stops"
    if situation.term is None:
        return situation.ended
    if situation.releasing:
        return situation.releasing
    if situation.state is not SessionState.CONNECTED:
        return "no contact with ZooKeeper"
    return "ZooKeeper does not answer, or this process was held up"


def _write(situation: Situation, purpose: Purpose, *operations: Operation) -> Write:
    return Write(purpose, situation.session, operations)


def _own_node(situation: Situation) -> tuple[str, bytes]:
    return member_path(situation.own.name), situation.own.to_json()


def _register_again(situation: Situation) -> Write | None:
    """Replace the node that an earlier session of this very process left, and no other."""
    node = situation.registered
    if node is None or node.instance != situation.own.instance:
        return None
    path, data = _own_node(situation)
    return _write(situation, Purpose.REGISTER, Delete(path), Create(path, data, ephemeral=True))


def _clear(situation: Situation) -> Write | None:
    """Remove a leader node of this very process that stands for no term: left over, or damaged."""
    holder, own = situation.group.holder, situation.own
    if holder is None or situation.term is not None or situation.group.epoch is None:
        return None
    if not situation.holds and holder.instance != own.instance:
        return None
    return _write(situation, Purpose.CLEAR, *_end_of_term(situation))


def _correct(situation: Situation, node: Member) -> Write | None:
    """Write what has changed about us."""
    if node == replace(situation.own, session=node.session):
        return None
    return _write(situation, Purpose.REGISTER, Put(*_own_node(situation)))


def _take(situation: Situation) -> Write:
    own, group = situation.own, situation.group
    before = max(situation.known, group.epoch.number if group.epoch is not None else 0)
    number = max(before + 1, situation.policy.first_number)
    relies = frozenset(member.key for member in situation.peers) if situation.policy.failsafe else frozenset()
    lease = LEASE_SHARE * situation.session_seconds
    holder = Holder(own.name, own.instance, number)
    epoch, claim = Epoch(number, own.name, lease), Claim(own.key, relies)
    operations = (
        *(() if group.holder is None else (Delete(leader_path(own.group)),)),
        Create(leader_path(own.group), holder.to_json(), ephemeral=True),
        _set(epoch_path(own.group), epoch.to_json(), group.epoch),
        _set(failsafe_path(own.group), claim.to_json(), group.claim),
        _beat(situation),
    )
    return Write(Purpose.TAKE, situation.session, operations, number, lease, relies)


def _claim(situation: Situation, now: float) -> Write | None:
    """Say whom we rely on where that has changed."""
    term, group, own = situation.term, situation.group, situation.own
    if term is None or not situation.holds:
        return None
    relies = relied_on(situation, now)
    found = (group.claim.leader, group.claim.relies) if group.claim is not None else None
    if found == (own.key, relies) and group.beat is not None:
        return None
    operations = (
        Check(epoch_path(own.group), term.version),
        _set(failsafe_path(own.group), Claim(own.key, relies).to_json(), group.claim),
        *((_beat(situation),) if group.beat is None else ()),
    )
    return Write(Purpose.CLAIM, situation.session, operations, relies=relies)


def _end_of_term(situation: Situation) -> tuple[Operation, ...]:
    """Remove the leader node, unless a later term has begun: it would be another's."""
    group, own = situation.group, situation.own
    assert group.epoch is not None
    return Check(epoch_path(own.group), group.epoch.version), Delete(leader_path(own.group))


def _released(situation: Situation) -> tuple[Operation, ...]:
    """The end of our term, after which nobody acts and anybody may take over; nothing if we hold none."""
    if not situation.holds or situation.group.epoch is None:
        return ()
    release = _set(failsafe_path(situation.own.group), Claim().to_json(), situation.group.claim)
    return (*_end_of_term(situation), release)


def _release(situation: Situation) -> Write:
    return _write(situation, Purpose.RELEASE, *_released(situation))


def _leave(situation: Situation) -> Write | None:
    member = (Delete(member_path(situation.own.name)),) if situation.is_registered else ()
    operations = (*_released(situation), *member)
    return _write(situation, Purpose.LEAVE, *operations) if operations else None


def _beat(situation: Situation) -> Operation:
    """A first heartbeat, on the condition that the last leader sent none that we have not seen."""
    path, seen = beat_path(situation.own.group), situation.beat
    return Create(path) if seen is None else Put(path, b"", seen)


def _set(path: str, data: bytes, before: Epoch | Claim | None) -> Operation:
    """Write a node on the condition that it is still as it was read."""
    return Create(path, data) if before is None else Put(path, data, before.version)
