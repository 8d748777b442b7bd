"""One running transfer: a machine and the channel it talks through.

Owns moving datagrams between the two, one system call each way a block, and telling when it is over. Does
not own where the octets come from or go to (``feeding``), nor limits (``table``), nor reports (``answers``).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Protocol

from era_ap.tftp.machine import Finished

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.provisioning.request import Subject
    from era_ap.tftp.machine import Event
    from era_ap.tftp.options import Agreed
    from era_ap.tftp.server.channels import SharedPort
    from era_ap.tftp.server.contract import Asked
    from era_ap.tftp.server.ports import OwnPort
    from era_ap.tftp.transfer import ReadTransfer
    from era_ap.tftp.upload import WriteTransfer

_ACK_ROOM: Final = 256


class Feeder(Protocol):
    """Where a transfer's octets come from or go to."""

    def feed(self, session: Session, event: Event, now: float) -> None: ...

    def close(self, finished: Finished) -> None: ...


class Session:
    """One transfer, answering ``asked``; ``on_end`` is called exactly once."""

    __slots__ = (
        "_channel",
        "_feeder",
        "_on_end",
        "_receive",
        "_room",
        "_send",
        "agreed",
        "asked",
        "is_shared",
        "machine",
        "subject",
    )

    def __init__(
        self,
        asked: Asked,
        machine: ReadTransfer | WriteTransfer,
        channel: OwnPort | SharedPort,
        feeder: Feeder | None,
        agreed: Agreed,
        subject: Subject,
        on_end: Callable[[Session, Finished, float], None],
    ) -> None:
        self.asked = asked
        self.machine = machine
        self.agreed = agreed
        self.subject = subject
        self.is_shared = channel.is_shared
        self._channel = channel
        self._receive = channel.receive
        self._send = channel.send
        self._feeder = feeder
        self._on_end = on_end
        # An ACK is short; of DATA, one octet more than fits shows what is too long.
        self._room = agreed.blksize + 5 if asked.is_write else _ACK_ROOM

    def readable(self, now: float) -> None:
        """The transfer's own socket has a datagram, or an ICMP error."""
        # Thousands of sessions do not fit the processor's cache: a usual block touches few objects.
        # Looked up, then called: in one step, the interpreter takes a slot for a method and searches.
        receive, send, machine = self._receive, self._send, self.machine
        try:
            data = receive(self._room)
            datagram = machine.step(data, now)
            if datagram is not None:
                send(datagram)
                return
            machine.receive_datagram(data, now)
            out = machine.datagrams_to_send()
            if out:
                self._channel.send_window(out)
        except ConnectionRefusedError:
            machine.peer_gone()
        except OSError:  # nothing there, or the kernel has no room: as if lost on the wire
            pass
        if machine.eventful:
            self._handle_events(now)

    def receive(self, data: bytes, now: float) -> None:
        """A datagram of this peer came to the main port."""
        self.machine.receive_datagram(data, now)
        self.flush(now)

    def tick(self, now: float) -> None:
        """The machine's deadline has passed."""
        self.machine.handle_timer(now)
        self.flush(now)

    def flush(self, now: float) -> None:
        """Send what the machine wants sent, do what it wants done."""
        machine = self.machine
        out = machine.datagrams_to_send()
        if out:
            try:
                self._channel.send_window(out)
            except ConnectionRefusedError:
                machine.peer_gone()
            except OSError:
                pass
        if machine.eventful:
            self._handle_events(now)

    def _handle_events(self, now: float) -> None:
        for event in self.machine.events():
            if isinstance(event, Finished):
                if out := self.machine.datagrams_to_send():
                    with contextlib.suppress(OSError):
                        self._channel.send_window(out)
                self._channel.close(now)
                if self._feeder is not None:
                    self._feeder.close(event)
                self._on_end(self, event, now)
            elif self._feeder is not None:
                self._feeder.feed(self, event, now)
