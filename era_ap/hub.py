"""The one place where UDP sockets meet the reactor.

Owns one private epoll for all sockets, which the reactor sees as a single descriptor, so that its cost is
paid once a batch, and how long a batch goes on. Knows neither sockets (``udp``) nor protocols.
"""

from __future__ import annotations

import math
import os
import select
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

_SLICE: Final = 0.005
"""Seconds after which a turn ends."""
_BATCH: Final = 32
"""Sockets served for one look at the epoll: of many, the first leave the processor's cache before the end."""
_POLITE_LOOKS: Final = 8
"""How often in a row we offer the core to others."""
_LONG: Final = 0.0035
_OFFENDED: Final = 0.05
"""Who keeps the core for so long is no peer that answers; for so long we do not offer it again, seconds."""


@implementer(IReadDescriptor)
class Hub:
    """All sockets in one epoll behind one descriptor; a readable socket's handler gets the time, in seconds.

    What a handler raises goes to ``on_error`` and harms no other socket. A turn ends after a few
    milliseconds, so that the rest of the process has its turn. ``is_crowded``: more sockets have something to
    read than are served at once. ``handlers``, by descriptor: that of an added socket may be exchanged.
    """

    def __init__(self, clock: Callable[[], float], on_error: Callable[[Exception], None]) -> None:
        self._clock = clock
        self._on_error = on_error
        self._epoll = select.epoll()
        self.handlers: list[Callable[[float], None] | None] = []  # descriptors are small numbers
        self.is_crowded = False
        self.is_lost = False
        self._polite_from = -math.inf

    def add(self, fileno: int, handler: Callable[[float], None]) -> None:
        """Call ``handler`` whenever the socket has something to read."""
        self._epoll.register(fileno, select.EPOLLIN)
        missing = fileno + 1 - len(self.handlers)
        self.handlers.extend([None] * missing)
        self.handlers[fileno] = handler

    def remove(self, fileno: int) -> None:
        """Forget a socket that is about to be closed (closing takes it out of the epoll)."""
        if 0 <= fileno < len(self.handlers):  # -1: it is closed already
            self.handlers[fileno] = None

    def close(self) -> None:
        """Forget everything."""
        self.handlers[:] = [None] * len(self.handlers)
        self._epoll.close()

    def fileno(self) -> int:
        """Descriptor of the epoll."""
        return self._epoll.fileno()

    def doRead(self) -> None:
        """Serve what is readable, for a slice of time at most."""
        poll, clock, handlers = self._epoll.poll, self._clock, self.handlers
        end = clock() + _SLICE
        events = poll(0, _BATCH)
        while events:
            now = clock()
            self.is_crowded = len(events) == _BATCH
            for fileno, _ in events:
                handler = handlers[fileno]
                if handler is not None:
                    try:
                        handler(now)
                    except Exception as error:  # noqa: BLE001, RUF100 - one socket's defect is not another's
                        self._on_error(error)
            if now >= end or self._epoll.closed:
                break
            is_one_of_several = len(events) > 1 and now >= self._polite_from
            events = poll(0, _BATCH) or (self._wait_politely(end) if is_one_of_several else [])

    def _wait_politely(self, end: float) -> list[tuple[int, int]]:
        """What is readable a few microseconds later, when whoever else wants this core has had it.

        Of several peers one mostly answers in that time; to be woken through the reactor costs more.
        """
        before = self._clock()
        for _ in range(_POLITE_LOOKS):
            os.sched_yield()
            events = self._epoll.poll(0, _BATCH)
            now = self._clock()
            if now - before > _LONG:
                self._polite_from = now + _OFFENDED
                return events
            if events or now >= end:
                return events
            before = now
        return []

    def connectionLost(self, reason: Failure) -> None:
        """The reactor does not call ``doRead`` any more: it ends, or ``doRead`` has raised."""
        self.is_lost = True

    def logPrefix(self) -> str:
        """Name in the reactor's own messages."""
        return "udp"
