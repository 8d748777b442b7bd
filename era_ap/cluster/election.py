"""Membership and leadership of one instance as a machine: events and *now* go in, actions come out (spec 9).

Owns the events. Does not own what they mean (``noting``), the rules (``choosing``) nor what is under way
(``agenda``). Nobody waits here, and nothing is believed longer than the session it was read in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from era_ap.cluster.agenda import Agenda
from era_ap.cluster.contract import SessionState
from era_ap.cluster.failsafe import PROMISE_SECONDS, Answer, Ask
from era_ap.cluster.lease import Lease
from era_ap.cluster.moves import Action, Beat, Question, Result, Write
from era_ap.cluster.noting import (
    note_answer,
    note_beat,
    note_heartbeat,
    note_session,
    note_view,
    note_write,
    promise,
)
from era_ap.cluster.situation import Policy, Situation
from era_ap.cluster.view import Member, View


class Election:
    """The machine. After each call take ``actions()`` and come back at ``next_deadline()`` at the latest.

    ``situation`` may be read by anybody; its ``acts`` is to be asked immediately before acting as leader.
    """

    def __init__(self, own: Member, policy: Policy, now: float) -> None:
        # What an earlier process of this instance promised is not known; it is kept all the same.
        self.situation = Situation(policy, own, Lease(now), promised_until=now + PROMISE_SECONDS)
        self._agenda = Agenda(self.situation, now)

    # --- events

    def observe(self, state: SessionState, session: int, session_seconds: float, now: float) -> None:
        """The state of the session, its id, and the timeout granted; also where nothing has changed."""
        situation = self.situation
        is_new = state is SessionState.CONNECTED and session != situation.session
        if state is situation.state and not is_new:
            return
        note_session(situation, state, session, session_seconds, now)
        if state is SessionState.CONNECTED:
            self._agenda.begin_contact(now, new_session=is_new)
        self._agenda.plan(now)

    def looked(self, view: View, number: int, session: int, now: float) -> None:
        """The outcome of a look that began after ``Look(number)`` was wanted, made in ``session``."""
        if session != self.situation.session:
            return
        self._agenda.note_look(number)
        note_view(self.situation, view, now)
        self._agenda.plan(now)

    def peeked(self, version: int | None, session: int, now: float) -> None:
        """What ``Peek`` found; None: no such node."""
        if session == self.situation.session:
            note_heartbeat(self.situation, version, now)
            self._agenda.plan(now)

    def committed(self, write: Write | Beat, result: Result, sent_at: float, now: float) -> None:
        """The end of a transaction that was begun at ``sent_at``."""
        if isinstance(write, Beat):
            note_beat(self.situation, write, result, sent_at, now)
            if result is Result.REFUSED:
                self._agenda.look(now)
        elif self._agenda.end(write, result, now):
            note_write(self.situation, write, result, sent_at, now)
            self._agenda.look(now)
        self._agenda.plan(now)

    def answered(self, question: Question, answer: Answer | None, sent_at: float, now: float) -> None:
        """The answer to a question that was sent at ``sent_at``; None if there was none."""
        note_answer(self.situation, question, answer, sent_at, now)
        self._agenda.plan(now)

    def asked(self, ask: Ask, now: float) -> Answer:
        """Another asks us to keep silent; the answer must be sent at once and only once."""
        answer = promise(self.situation, ask, now)
        self._agenda.plan(now)
        return answer

    def change(self, now: float, **facts: Any) -> None:
        """Other facts about us, fields of ``Member``; ``why`` makes us unfit, or fit if it is empty."""
        self.situation.own = replace(self.situation.own, **facts)
        self._agenda.plan(now)

    def leave(self, now: float) -> None:
        """Stop acting at once, then hand over and take our name off the list, for good."""
        self.situation.leaving = True
        self._agenda.plan(now)

    def handle_timer(self, now: float) -> None:
        """Do what has become due."""
        self._agenda.plan(now)

    # --- what follows

    def actions(self) -> list[Action]:
        """What has to be done now, in order; asking takes it away."""
        return self._agenda.take()

    def next_deadline(self, now: float) -> float:
        """When ``handle_timer`` is due."""
        return self._agenda.next_deadline(now)
