"""One write transfer (a phone's upload) as a machine: DATA and *now* in, ACK and the file's octets out.

Owns lock-step and windows (RFC 1350, 7440), the OACK (RFC 2347), the size limit and the dally after the last
ACK (RFC 1350 section 6). Does not own the sink: the last block is acknowledged when the edge says ``stored``.
No verb raises for what a peer can send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era_ap.errors import Reason
from era_ap.tftp.machine import OVER, Machine, Received
from era_ap.tftp.netascii import Decoder
from era_ap.tftp.packets import ACKS, format_oack

if TYPE_CHECKING:
    from era_ap.tftp.options import Agreed
    from era_ap.tftp.timing import Timing


class WriteTransfer(Machine):
    """Receives one file of at most ``limit`` octets; ``convert`` turns netascii into plain text."""

    __slots__ = (
        "_agreed",
        "_decoder",
        "_gap_told",
        "_in_window",
        "_limit",
        "_oack",
        "_packets",
        "_stored",
        "_whole",
        "octets",
    )

    def __init__(
        self, agreed: Agreed, timing: Timing, now: float, *, limit: int, convert: bool = False
    ) -> None:
        super().__init__(agreed, timing, now)
        self._agreed = agreed
        self._limit = limit
        self._decoder = Decoder() if convert else None
        self._oack = format_oack(agreed.acknowledged) if agreed.acknowledged else None
        self._in_window = 0
        self._gap_told = False
        self._whole = False
        self._stored = False
        self._packets = 0
        self.octets = 0
        self._acknowledge(now)

    def receive_datagram(self, data: bytes, now: float) -> None:
        """Take a datagram of the peer; the edge has already checked that it is the peer's."""
        if len(data) < 4 or data[0] or self._deadline == OVER:
            return
        if data[1] == 5:
            self._receive_error(data)
        elif data[1] == 3:
            ahead = ((data[2] << 8 | data[3]) - self.blocks) & 0xFFFF
            if ahead == 1 and not self._whole:
                self._receive_block(data[4:], now)
            elif ahead == 0 and (self._stored or not self._whole):
                self._acknowledge(now)  # our ACK was lost
            elif 1 < ahead <= self._agreed.windowsize and not self._gap_told and not self._whole:
                self._gap_told = True
                self._acknowledge(now)

    def stored(self, now: float) -> None:
        """The sink has the whole file: acknowledge the last block, then linger for its repeats."""
        if self._whole and not self._stored and self._deadline != OVER:
            self._stored = True
            self.idle_since = now
            self._acknowledge(now)

    def request_repeated(self, now: float) -> None:
        """The request came again: its source did not hear us."""
        if not self.answered and self._packets >= self._timing.unanswered_packets:
            self.idle_since = now
            self._acknowledge(now)
            self._deadline = self._give_up_at()

    def handle_timer(self, now: float) -> None:
        """To be called at ``next_deadline`` or later; earlier calls do nothing."""
        if now < self._deadline or self._deadline == OVER:
            return
        if self._stored:
            self._finish(Reason.UPLOADED)
        elif self._whole:
            self.fail(Reason.STORAGE_BUSY)
        elif now >= self._give_up_at():
            self._finish(Reason.PEER_SILENT)
        elif not self.answered and self._packets >= self._timing.unanswered_packets:
            self._deadline = self._give_up_at()
        else:
            self.round_trip.back_off()
            self.retransmits += 1
            self._acknowledge(now)
            self._deadline = min(self._deadline, self._give_up_at())

    def peer_gone(self, reason: Reason = Reason.PEER_GONE) -> None:
        """The peer's port is closed (ICMP), as it should be once we have the file."""
        if not self._whole or self._stored:
            self._finish(Reason.UPLOADED if self._stored else reason)

    def _receive_block(self, payload: bytes, now: float) -> None:
        size = len(payload)
        if size > self._agreed.blksize:
            self.fail(Reason.MALFORMED)
            return
        if self.octets + size > self._limit:
            self.fail(Reason.UPLOAD_LIMIT)
            return
        self.answered = True
        self.blocks += 1
        self.octets += size
        self.idle_since = now
        self._oack = None
        self._gap_told = False
        self._whole = size < self._agreed.blksize
        data = payload if self._decoder is None else self._decoder.feed(payload)
        if self._whole and self._decoder is not None:
            data += self._decoder.finish()
        self._emit(Received(data, self._whole))
        self._in_window += 1
        if self._whole:
            self._deadline = now + self._timing.budget  # for the sink
        elif self._in_window >= self._agreed.windowsize:
            self._acknowledge(now)
        else:
            self._deadline = now + self.round_trip.timeout

    def _acknowledge(self, now: float) -> None:
        self._out = (ACKS[self.blocks & 0xFFFF] if self._oack is None else self._oack,)
        self._in_window = 0
        self._packets += 1
        dally = 2 * self._timing.ceiling
        self._deadline = now + (dally if self._stored else self.round_trip.timeout)
