"""One read transfer as a machine: datagrams, pieces of the file and *now* in, datagrams and events out.

Owns lock-step and windows (RFC 1350, 7440), the OACK (RFC 2347), retransmission, block roll-over and the
rule that a stale or duplicate ACK never triggers DATA (RFC 1123, 4.2.3.1). Does not own sockets, clocks,
files or logs. No verb raises for what a peer can send. This is the hot path: one slice and one sum a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason
from era_ap.tftp import netascii
from era_ap.tftp.machine import OVER, Machine, ReadPiece
from era_ap.tftp.packets import ACKS, DATA_HEADERS, format_oack

if TYPE_CHECKING:
    from era_ap.tftp.options import Agreed
    from era_ap.tftp.timing import Timing

PIECE: Final = 256 * 1024
"""Octets asked for at once from a file that is read in pieces."""

_UNKNOWN: Final = 1 << 62
_HUSH_AFTER: Final = 6
_HUSH: Final = 3.0


class ReadTransfer(Machine):
    """Sends one file; ``reason`` is what a whole delivery is called at the end.

    The file is either ``data``, all of it as it goes over the wire, or comes in pieces, ``size`` octets
    altogether, which ``convert`` turns into netascii on the way.
    """

    __slots__ = (
        "_awaited",
        "_base",
        "_blksize",
        "_buffer",
        "_complete",
        "_convert",
        "_last",
        "_negligible",
        "_oack",
        "_packets",
        "_reading",
        "_reason",
        "_repeats",
        "_sent",
        "_size",
        "_source_at",
        "_window",
    )

    def __init__(
        self,
        agreed: Agreed,
        timing: Timing,
        reason: Reason,
        now: float,
        *,
        data: bytes | None = None,
        size: int = 0,
        convert: bool = False,
    ) -> None:
        super().__init__(agreed, timing, now)
        if data is None and size == 0:
            data = b""
        self._reason = reason
        self._blksize = agreed.blksize
        self._window = agreed.windowsize
        self._convert = convert
        self._buffer = b"" if data is None else data
        self._base = 0  # offset on the wire of the buffer's first octet
        self._complete = data is not None  # the buffer reaches to the end of the file
        self._last = _UNKNOWN if data is None else len(data) // agreed.blksize + 1
        self._size = size
        self._source_at = 0  # offset in the file of the next piece
        self._reading = False
        self._oack = format_oack(agreed.acknowledged) if agreed.acknowledged else None
        self._sent = 0  # newest block under way; without roll-over, like ``blocks``
        self._negligible = 0.0
        self._awaited: bytes | None = None  # the ACK of all that is under way; None: waiting for a piece
        self._packets = 0
        self._repeats = 0
        self._advance(now)

    @property
    def octets(self) -> int:
        """Octets acknowledged, as on the wire."""
        return min(self.blocks * self._blksize, self._base + len(self._buffer))

    def receive_datagram(self, data: bytes, now: float) -> None:
        """Take a datagram of the peer; the edge has already checked that it is the peer's."""
        block = self.step(data, now)
        if block is not None:
            self._out = (block,)
        elif len(data) < 4 or data[0] or self._deadline == OVER:
            pass
        elif data[1] == 5:
            self._receive_error(data)
        elif data[1] != 4 or self._awaited is None:
            pass
        elif data[:4] == self._awaited:  # whatever garbage is behind it
            if not self._repeats:  # Karn: what was sent twice measures nothing
                self.round_trip.sample(now - self._sent_at)
            else:
                self.round_trip.unmeasured()
            self._oack = None
            self._progress(self._sent, now)
        else:
            ahead = ((data[2] << 8 | data[3]) - self.blocks) & 0xFFFF
            if 0 < ahead <= self._sent - self.blocks:
                # A part of the window arrived: the next one begins behind it (RFC 7440 section 4).
                self.retransmits += self._sent - self.blocks - ahead
                self._progress(self.blocks + ahead, now)
            elif ahead == 0 and self._repeats > 1:
                # Never a resend, but who says it again still wants the rest: the last block's repeats go on.
                self._repeats = 1

    def step(self, data: bytes, now: float) -> bytes | None:
        """The next block for the awaited ACK: all that most blocks ever need."""
        acked = self._sent
        if acked >= self._steady_until or data != self._awaited:
            return None
        seconds = now - self._sent_at
        if seconds > self._negligible:
            trip = self.round_trip
            trip.sample(seconds)
            self._timeout, self._negligible = trip.timeout, trip.negligible
        block = acked + 1
        size = self._blksize
        self.blocks = acked
        self._sent = block
        self._awaited = ACKS[block & 0xFFFF]
        self.idle_since = self._sent_at = now
        start = acked * size - self._base
        return DATA_HEADERS[block & 0xFFFF] + self._buffer[start : start + size]

    def receive_piece(self, data: bytes, now: float) -> None:
        """Take the piece that the last ``ReadPiece`` asked for; short only at the end of the file."""
        if not self._reading or self._deadline == OVER:
            return
        self._reading = False
        self._source_at += len(data)
        acknowledged = max(self.blocks * self._blksize - self._base, 0)
        self._buffer = self._buffer[acknowledged:] + (netascii.encode(data) if self._convert else data)
        self._base += acknowledged
        if self._source_at >= self._size or not data:
            if self._source_at != self._size:
                self.fail(Reason.FILE_CHANGED)
                return
            self._complete = True
            self._last = (self._base + len(self._buffer)) // self._blksize + 1
        if self._awaited is None:
            self.idle_since = now  # the wait was ours, not the peer's
            self._advance(now)

    def request_repeated(self, now: float) -> None:
        """The request came again: a source that has had all packets of the unanswered gets one more."""
        spent = self._packets >= self._timing.unanswered_packets
        if spent and not self.answered and self._awaited is not None:
            self.idle_since = self._deadline = now
            self._packets = self._timing.unanswered_packets - 1
            self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """To be called at ``next_deadline`` or later; earlier calls do nothing."""
        if now < self.next_deadline() or self._deadline == OVER:
            return
        at_last_block = self._at_last_block()
        if self._awaited is None:
            self.fail(Reason.STORAGE_BUSY)
        elif now >= self._give_up_at() or (at_last_block and self._repeats >= self._timing.last_repeats):
            self._finish(Reason.PEER_SILENT)
        elif not self.answered and self._packets >= self._timing.unanswered_packets:
            self._deadline = self._give_up_at()
        else:
            # The last block's repeats are few and so spread wider.
            self.round_trip.back_off(4.0 if self._repeats and at_last_block else 2.0)
            self._repeats += 1
            self._advance(now)
            self.retransmits += len(self._out)
            if self._repeats % _HUSH_AFTER == 0 and not self.round_trip.fixed:
                # A client that has it all and whose ACK was lost may ignore our repeats, which keep its own
                # timer from running out: be quiet for once, so that it says its ACK again.
                self._deadline += _HUSH * self._timing.ceiling
            self._deadline = min(self._deadline, self._give_up_at())

    def peer_gone(self, reason: Reason = Reason.PEER_GONE) -> None:
        """The peer's port is closed (ICMP). Behind a repeat of the last block that is how clients end."""
        self._finish(self._reason if self._at_last_block() and self._repeats else reason)

    def _at_last_block(self) -> bool:
        return self.answered and self._sent == self._last == self.blocks + 1

    def _progress(self, acknowledged: int, now: float) -> None:
        self.blocks = acknowledged
        self.answered = True
        self.idle_since = now
        self._repeats = 0
        if acknowledged == self._last:
            self._finish(self._reason)
        else:
            self._advance(now)

    def _advance(self, now: float) -> None:
        """Send the window behind the acknowledged blocks, or ask for the data that it needs."""
        self._steady_until = 0
        if self._oack is not None:
            self._out, block = (self._oack,), 0
        else:
            acked, size, buffer, headers = self.blocks, self._blksize, self._buffer, DATA_HEADERS
            start = acked * size - self._base
            if not self._complete and not self._prepare(start, now):
                return
            if self._window == 1:
                block = acked + 1
                self._out = (headers[block & 0xFFFF] + buffer[start : start + size],)
                if self.answered and not self._repeats:
                    # As far as the buffer reaches, and the next piece is asked for in good time.
                    reaches = self._base + len(buffer) - (0 if self._reading else PIECE)
                    self._steady_until = self._last if self._complete else reaches // size
                    self._timeout, self._negligible = self.round_trip.timeout, self.round_trip.negligible
            else:
                block = min(acked + self._window, self._last)
                offsets = range(start, start + (block - acked) * size, size)
                self._out = [
                    headers[n & 0xFFFF] + buffer[offset : offset + size]
                    for n, offset in enumerate(offsets, acked + 1)
                ]
        self._sent = block
        self._awaited = ACKS[block & 0xFFFF]
        self._sent_at = now
        self._packets += 1
        self._deadline = now + self.round_trip.timeout

    def _prepare(self, start: int, now: float) -> bool:
        """Whether the next window is in memory; asks for the next piece in good time."""
        ahead = len(self._buffer) - start
        need = self._window * self._blksize
        if ahead < max(need, PIECE) and not self._reading:
            self._reading = True
            length = min(max(PIECE, need), self._size - self._source_at)
            self._emit(ReadPiece(self._source_at, length))
        if ahead >= need:
            return True
        self._awaited = None
        self._deadline = now + self._timing.budget
        return False
