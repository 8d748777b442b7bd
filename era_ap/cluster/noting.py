"""What an event means for the situation of a member: a session, a look, a transaction, a promise that ended.

Owns how knowledge changes; who leads is believed only of what the servers agreed to in our own session. Does
not own what is done next (``choosing``).
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from era_ap.cluster.contract import SessionState
from era_ap.cluster.duties import Duty
from era_ap.cluster.failsafe import PROMISE_SECONDS, Answer, Ask
from era_ap.cluster.moves import Beat, Purpose, Question, Result, Write
from era_ap.cluster.situation import Situation
from era_ap.cluster.view import Term, View

NAME_TAKEN_SECONDS: Final = 4.5
"""A node that a killed process left is gone by then, with the default session timeout."""


def note_session(
    situation: Situation, state: SessionState, session: int, session_seconds: float, now: float
) -> None:
    """The state of the session; only a new session ends a term, as the old one may still be alive."""
    before = situation.state
    situation.state = state
    if state is not SessionState.CONNECTED:
        if before is SessionState.CONNECTED:
            situation.lease.drop(now)
        return
    situation.session_seconds = session_seconds
    situation.backing.forget()
    if session != situation.session:
        situation.session = session
        situation.end_term("the session has ended", now)
        situation.view = None
        situation.leaderless_at = situation.forgotten_at = situation.taken_at = None
        situation.beat = None


def note_heartbeat(situation: Situation, version: int | None, now: float) -> None:
    """The version of the leader's heartbeats, as read."""
    situation.contact_at = now
    if version != situation.beat:
        situation.beat, situation.beat_at = version, now


def note_view(situation: Situation, view: View, now: float) -> None:
    """What was read in this session."""
    situation.view = view
    note_heartbeat(situation, situation.group.beat, now)
    seen = {member.key: member for member in view.members.values()}
    needed = {key: each for key, each in situation.roster.items() if key in situation.backing.needed}
    situation.roster = MappingProxyType({**needed, **seen})
    situation.informed |= situation.is_registered
    group = situation.group
    number = group.epoch.number if group.epoch is not None else 0
    if group.epoch is None or number < situation.known:
        if situation.forgotten_at is None:
            situation.forgotten_at = now
        if group.epoch is None and group.claim is not None:  # only an operator writes it without a term
            situation.claim = group.claim
    else:
        situation.forgotten_at = None
        situation.claim = group.claim
        situation.known = number
    if group.holder is None:
        if situation.leaderless_at is None:
            situation.leaderless_at = now
    else:
        situation.leaderless_at = None
        if not situation.holds:
            situation.passed_over = 0
    node = situation.registered
    if node is None or situation.is_registered or node.instance == situation.own.instance:
        situation.taken_at = None
    elif situation.taken_at is None:
        situation.taken_at = now
    _note_holder(situation, now)


def _note_holder(situation: Situation, now: float) -> None:
    group, own = situation.group, situation.own
    if not situation.holds or group.holder is None or group.epoch is None:
        if situation.term is not None:
            situation.end_term(situation.releasing or "another term has begun", now)
        return
    if situation.term is None and group.holder.number == group.epoch.number:
        epoch = group.epoch
        situation.term = Term(own.group, own.name, epoch.number, epoch.lease, epoch.version, epoch.zxid)
        situation.held = epoch.number
    claimed = group.claim.relies if group.claim is not None else frozenset[str]()
    if claimed not in situation.backing.lists:
        situation.backing.lists.append(claimed)


def note_write(situation: Situation, write: Write, result: Result, sent_at: float, now: float) -> None:
    """The end of a transaction of this session."""
    if result is not Result.UNKNOWN:
        situation.contact_at = now
    lists = situation.backing.lists
    if write.relies is not None and result is Result.DONE:
        lists[:] = [write.relies]
    elif write.relies in lists and result is Result.REFUSED:
        lists.remove(write.relies)
    if write.purpose is Purpose.TAKE:
        if result is Result.DONE:
            situation.lease.renew(sent_at, write.lease)
        elif result is Result.REFUSED and situation.attempted == write.number:
            situation.attempted = 0
    elif write.purpose is Purpose.RELEASE and result is Result.DONE:
        situation.end_term(situation.releasing, now)


def note_beat(situation: Situation, beat: Beat, result: Result, sent_at: float, now: float) -> None:
    """The end of a heartbeat."""
    if beat.session != situation.session or situation.state is not SessionState.CONNECTED:
        return
    if result is not Result.UNKNOWN:
        situation.contact_at = now
    if situation.term is None or situation.term.number != beat.number:
        return
    if result is Result.DONE:
        situation.lease.renew(sent_at, situation.term.lease)
    elif result is Result.REFUSED:
        situation.end_term("another term has begun", now)


def settle(situation: Situation, now: float) -> None:
    """Tell when we have been registered and fit for the hold-down time without a break."""
    if not (situation.is_registered and situation.own.fit):
        situation.eligible_at = None
    elif situation.eligible_at is None:
        situation.eligible_at = now
    since = situation.eligible_at
    settled = since is not None and now - since >= situation.policy.hold_down_seconds
    if settled is not situation.own.settled:
        situation.own = replace(situation.own, settled=settled)


def note_answer(
    situation: Situation, question: Question, answer: Answer | None, sent_at: float, now: float
) -> None:
    """What another said to our question; None: nothing."""
    if answer is None or answer.key != question.member.key or situation.term is None:
        return
    if question.ask.number != situation.term.number or situation.state is SessionState.CONNECTED:
        return
    situation.backing.note(answer.key, sent_at, promised=answer.promised)
    if answer.number > situation.term.number:
        situation.end_term("a later term has begun", now)
    elif answer.connected and now - (situation.contact_at or now) > situation.session_seconds:
        situation.end_term("ZooKeeper is there for others, so our session has ended", now)


def promise(situation: Situation, ask: Ask, now: float) -> Answer:
    """Answer a question; with a promise we do not act and do not run for a second, whatever happens."""
    own = situation.own
    known = max(situation.known, situation.attempted)
    connected = situation.state is SessionState.CONNECTED
    if ask.group != own.group:
        why = "it is of another group"
    elif ask.leader == own.key:
        why = "it asks itself"
    elif connected:
        why = "it is in contact with ZooKeeper"
    elif not situation.informed:
        why = "it has not been in contact with ZooKeeper since its start"
    elif ask.number < known:
        why = "it knows of a later term"
    elif not situation.acts(Duty.PROMISE, now):
        why = "it is about to stop"
    else:
        situation.known = ask.number
        if situation.term is not None:
            situation.end_term("a later term has begun", now)
        situation.promised_until = max(situation.promised_until, now + PROMISE_SECONDS)
        return Answer(own.key, promised=True, connected=False, number=ask.number)
    return Answer(own.key, promised=False, connected=connected, number=known, why=why)
