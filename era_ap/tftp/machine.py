"""What both directions of a transfer share: the events, the way out of the machine, and its end.

Owns the half of the machine contract that faces the edge (datagrams, events, the next deadline). Does not
own the protocol: see ``transfer`` for reads and ``upload`` for writes. Reads no clock, touches no socket.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason
from era_ap.tftp.packets import Error, format_error, text
from era_ap.tftp.timing import RoundTrip, Timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from era_ap.tftp.options import Agreed

NO_DATAGRAMS: Final[tuple[bytes, ...]] = ()
OVER: Final = -math.inf
"""Deadline of a machine that has ended: it is always due, for removal."""


@dataclass(frozen=True, slots=True)
class ReadPiece:
    """The machine wants ``length`` octets of the file from ``offset`` on; answer with ``receive_piece``."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Received:
    """Octets of an upload, in order; ``last`` once, with the end of the file; answer that with ``stored``."""

    data: bytes
    last: bool


@dataclass(slots=True)  # not frozen, which takes twice as long to make: each request has one
class Finished:
    """The transfer is over and nothing more follows. ``error`` is the peer's ERROR where that was the end."""

    reason: Reason
    error: Error | None = None


Event = ReadPiece | Received | Finished


class Machine:
    """Base of both directions; times in seconds, whatever clock the edge uses.

    ``blocks`` counts acknowledged (read) or received (write) blocks from the start of the file, without
    roll-over; ``octets`` likewise; ``retransmits`` counts datagrams sent again. ``answered`` tells whether
    the peer ever answered, ``idle_since`` when the transfer last moved, ``eventful`` whether ``events`` has
    news.
    """

    __slots__ = (
        "_deadline",
        "_events",
        "_out",
        "_sent_at",
        "_steady_until",
        "_timeout",
        "_timing",
        "answered",
        "blocks",
        "eventful",
        "idle_since",
        "retransmits",
        "round_trip",
    )

    def __init__(self, agreed: Agreed, timing: Timing, now: float) -> None:
        self._timing = timing
        self._deadline = math.inf
        self._events: list[Event] = []
        self._out: Sequence[bytes] = NO_DATAGRAMS
        self._sent_at = now
        # Up to this block ``step`` goes on; the deadline is then that of the last sending.
        self._steady_until = 0
        self._timeout = 0.0
        self.answered = False
        self.blocks = 0
        self.eventful = False
        self.idle_since = now
        self.retransmits = 0
        self.round_trip = RoundTrip(timing, agreed.timeout)

    def fail(self, reason: Reason) -> None:
        """End it from our side; the peer gets the ERROR of ``reason``, a constant text."""
        if self._deadline == OVER:
            return
        outcome = reason.outcome
        self._finish(reason)
        self._out = (format_error(outcome.tftp_code or 0, outcome.tftp_text),)

    def step(self, data: bytes, now: float) -> bytes | None:
        """The datagram to send for what came from the peer, where all goes its usual way.

        None where it does not, or nothing is to be sent: nothing has changed, ``receive_datagram`` takes it.
        """
        return None

    def next_deadline(self) -> float:
        """When ``handle_timer`` is due; infinity where only the edge can go on, ``OVER`` after the end."""
        return self._sent_at + self._timeout if self._steady_until else self._deadline

    def datagrams_to_send(self) -> Sequence[bytes]:
        """What is to be sent now, in order; each datagram is handed out once."""
        out = self._out
        self._out = NO_DATAGRAMS
        return out

    def events(self) -> Sequence[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        self.eventful = False
        return events

    def _give_up_at(self) -> float:
        """When a peer that does not move is given up."""
        timing = self._timing
        if self.answered:
            return self.idle_since + self.round_trip.patience(timing.budget)
        return self.idle_since + min(self.round_trip.patience(timing.unanswered_budget), timing.budget)

    def _receive_error(self, data: bytes) -> None:
        """The peer's ERROR ends it, and is never answered (RFC 1350 section 7)."""
        error = Error(data[2] << 8 | data[3], text(data[4:].split(b"\x00", 1)[0]))
        self._finish(Reason.PEER_ERROR, error)

    def _emit(self, event: Event) -> None:
        self._events.append(event)
        self.eventful = True

    def _finish(self, reason: Reason, error: Error | None = None) -> None:
        if self._deadline != OVER:
            self._deadline = OVER
            self._steady_until = 0
            self._out = NO_DATAGRAMS
            self._emit(Finished(reason, error))
