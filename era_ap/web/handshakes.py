"""TLS handshakes under way, and how many there may be.

Owns accepting on one socket, the handshakes and their limits; a connection is handed on when its handshake is
done, and is one of ``Connections`` from then on. Past a limit the oldest handshake gives way: that of a phone
takes milliseconds, and who only holds a connection open must not take the descriptors of all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from era_ap.web.listening import BACKLOG

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from era_ap.web.connections import ConnectionPolicy

TLS_SECONDS: Final = 10.0
_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_SECONDS: Final = 1.0
_AT_ONCE: Final = 64
"""Connections accepted before others have their turn."""


@dataclass(slots=True)
class _Handshake:
    """``has_begun``: the socket is the event loop's from then on, to close as well."""

    sock: socket.socket
    address: str
    has_begun: bool = False


class TlsListener:
    """Accepts at ``listener`` from ``start`` to ``close``; ``make`` makes the protocol of a connection.

    ``policy`` is asked for the limits of the moment: as many handshakes as connections, in all and of one
    address.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        make: Callable[[], asyncio.Protocol],
        policy: Callable[[], ConnectionPolicy],
    ) -> None:
        self._listener = listener
        self._context = context
        self._make = make
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[asyncio.Task[None], _Handshake] = {}
        self._of: dict[str, dict[asyncio.Task[None], None]] = {}
        self._waiting: asyncio.TimerHandle | None = None
        self._is_serving = False

    def __len__(self) -> int:
        return len(self._under_way)

    def start(self) -> None:
        """Accept from now on."""
        self._listener.listen(BACKLOG)
        self._loop.add_reader(self._listener, self._accept)
        self._is_serving = True

    def is_serving(self) -> bool:
        """Whether new connections are accepted."""
        return self._is_serving

    def close(self) -> None:
        """Accept no more; handshakes under way go on."""
        if self._is_serving:
            self._is_serving = False
            self._loop.remove_reader(self._listener)
            if self._waiting is not None:
                self._waiting.cancel()
            self._listener.close()

    def abort(self) -> None:
        """End the handshakes under way."""
        for task in tuple(self._under_way):
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                self._loop.remove_reader(self._listener)
                self._waiting = self._loop.call_later(_PAUSE_SECONDS, self._go_on)
                return
            sock.setblocking(False)
            self._begin(sock, peer[0])

    def _go_on(self) -> None:
        self._waiting = None
        self._loop.add_reader(self._listener, self._accept)

    def _begin(self, sock: socket.socket, address: str) -> None:
        policy = self._policy()
        same = self._of.setdefault(address, {})
        if len(same) >= policy.connections_per_address and not policy.is_proxy(address):
            self._end(next(iter(same)))
        elif len(self._under_way) >= policy.connections:
            self._end(next(iter(self._under_way)))
        one = _Handshake(sock, address)
        task = self._loop.create_task(self._shake_hands(one))
        self._under_way[task] = one
        self._of.setdefault(address, {})[task] = None
        task.add_done_callback(self._forget)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._forget(task)
        task.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        one = self._under_way.pop(task, None)
        if one is None:
            return
        self._of[one.address].pop(task)
        if not self._of[one.address]:
            del self._of[one.address]
        if not one.has_begun:
            one.sock.close()

    async def _shake_hands(self, one: _Handshake) -> None:
        one.has_begun = True
        with contextlib.suppress(OSError):  # ssl.SSLError is one; so are an end and a time-out
            await self._loop.connect_accepted_socket(
                self._make, one.sock, ssl=self._context, ssl_handshake_timeout=TLS_SECONDS
            )
