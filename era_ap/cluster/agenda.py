"""What a member has under way and what is due next: one transaction at a time, a new look after each.

Owns pace and order: heartbeats while there is a term, questions to the others while there is no contact, and
telling when we begin and end to act. Does not own the rules (``choosing``).
"""

from __future__ import annotations

from typing import Final

from era_ap.cluster import choosing
from era_ap.cluster.contract import SessionState
from era_ap.cluster.duties import Duty
from era_ap.cluster.failsafe import CYCLE_SECONDS
from era_ap.cluster.lease import BEAT_SHARE, SILENT_SHARE
from era_ap.cluster.moves import Action, Led, Look, Purpose, Result, Stopped, Write
from era_ap.cluster.noting import settle
from era_ap.cluster.situation import Situation

FIRST_PAUSE: Final = 0.02
LAST_PAUSE: Final = 1.0
"""Between transactions that fail, one after the other."""


class Agenda:
    """The open ends of one member. ``plan`` is called after everything that happened."""

    def __init__(self, situation: Situation, now: float) -> None:
        self._situation = situation
        self._actions: list[Action] = []
        self._writing: Write | None = None
        self._failures = 0
        self._write_at = now
        self._acting = False
        self._wanted_look = self._needed_look = self._seen_look = 0
        self._looked_at = self._beat_at = self._ask_at = now

    def look(self, now: float, *, needed: bool = True) -> None:
        """A new look is wanted; ``needed``: before anything else is written."""
        self._wanted_look += 1
        if needed:
            self._needed_look = self._wanted_look
        self._actions.append(Look(self._wanted_look))
        self._looked_at = now

    def note_look(self, number: int) -> None:
        """A look that began after the one of this number was wanted has ended."""
        self._seen_look = max(self._seen_look, number)

    def end(self, write: Write, result: Result, now: float) -> bool:
        """A transaction has ended; whether it is the one we wait for. After failures the next one waits."""
        if write is not self._writing:
            return False
        self._writing = None
        self._failures = 0 if result is Result.DONE else self._failures + 1
        self._write_at = now + min(FIRST_PAUSE * 2**self._failures, LAST_PAUSE) if self._failures else now
        return True

    def begin_contact(self, now: float, *, new_session: bool) -> None:
        """There is contact: look, and renew the lease. What another session had under way does not count."""
        if new_session:
            self._writing = None
        self.look(now)
        self._beat_at = now

    def plan(self, now: float) -> None:
        """Find out what has to be done now."""
        situation = self._situation
        situation.lease.alive(now, situation.session_seconds)
        settle(situation, now)
        if self._is_up_to_date():
            choosing.hand_over(situation, now)
        self._tell(now)
        if self._is_up_to_date() and now >= self._write_at:
            self._write(now)
        if situation.state is SessionState.CONNECTED and now >= self._next_look(now):
            self.look(now, needed=False)
        if now >= self._beat_at and situation.acts(Duty.CONTACT, now):
            self._beat_at = now + BEAT_SHARE * situation.session_seconds
            self._actions.append(choosing.beat(situation))
        if now >= self._ask_at and situation.policy.failsafe and situation.acts(Duty.ASK, now):
            self._ask_at = now + CYCLE_SECONDS
            self._actions += choosing.questions(situation)

    def take(self) -> list[Action]:
        """What has to be done; asking takes it away."""
        actions, self._actions = self._actions, []
        return actions

    def next_deadline(self, now: float) -> float:
        """When ``plan`` is due if nothing happens; what is overdue is due at once."""
        situation = self._situation
        times: list[float | None] = [now + CYCLE_SECONDS]
        if situation.state is SessionState.CONNECTED:
            times.append(self._next_look(now))
        if situation.acts(Duty.CONTACT, now):
            times.append(self._beat_at)
        if situation.policy.failsafe and situation.acts(Duty.ASK, now):
            times.append(self._ask_at)
        if self._acting:
            connected = situation.state is SessionState.CONNECTED
            times.append(situation.lease.until if connected else situation.backing.until())
        if self._is_up_to_date():
            take_at = choosing.takes_over_at(situation, now)
            times.append(None if take_at is None else max(take_at, self._write_at))
            times.append(self._write_at if self._write_at > now else None)
            if situation.eligible_at is not None and not situation.own.settled:
                times.append(situation.eligible_at + situation.policy.hold_down_seconds)
        return min(each for each in times if each is not None)

    def _next_look(self, now: float) -> float:
        """When to look again unasked: a watch may get lost, and a leader that is silent has perhaps ended."""
        situation = self._situation
        silent = situation.term is None and now - situation.beat_at > SILENT_SHARE * situation.session_seconds
        return self._looked_at + situation.session_seconds * (BEAT_SHARE if silent else 1)

    def _is_up_to_date(self) -> bool:
        """Whether we see what our own last transaction did, and none is under way."""
        situation = self._situation
        there = situation.state is SessionState.CONNECTED and situation.view is not None
        return there and self._writing is None and self._seen_look >= self._needed_look

    def _tell(self, now: float) -> None:
        situation = self._situation
        acting = situation.acts(Duty.ANSWER, now)
        if acting is self._acting:
            return
        self._acting = acting
        if not acting:
            self._actions.append(Stopped(choosing.why_silent(situation)))
        elif situation.term is not None:
            self._actions.append(Led(situation.term))

    def _write(self, now: float) -> None:
        situation = self._situation
        write = choosing.next_write(situation, now)
        if write is None:
            return
        self._writing = write
        if write.relies is not None:
            situation.backing.lists.append(write.relies)
        if write.purpose is Purpose.TAKE:
            situation.attempted = write.number
            situation.stays_until = choosing.stays_until(situation, now)
        self._actions.append(write)
