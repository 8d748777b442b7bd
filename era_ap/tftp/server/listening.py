"""The main sockets: where requests come in, shared with other instances of the host, left without losing any.

Owns binding, joining in where another instance has the port already, reading turn by turn, and the end:
the kernel is told to give new requests to others, what waits is read, then a socket may be closed. Does not
own what a request means (``intake``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from era_ap.udp import Listener, sharing

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from era_ap.hub import Hub
    from era_ap.udp import Local, Peer, Sharing

    Take = Callable[[bytes, Peer, Local, Listener, float], None]

_REQUESTS_A_TURN: Final = 32
_PATIENCE: Final = 0.1
_REQUESTS_OVERDUE: Final = 256
"""Requests wait in a large buffer while transfers keep us busy; after so many seconds so many are read."""
_REQUEST_ROOM: Final = 4096


class MainSockets:
    """``take`` gets every datagram, ``after_turn`` is called when some were read."""

    def __init__(self, hub: Hub, take: Take, after_turn: Callable[[], None]) -> None:
        self._hub = hub
        self._take = take
        self._after_turn = after_turn
        self._listeners: list[Listener] = []
        self._joining: list[tuple[str, int, Sharing]] = []
        self._unread: set[Listener] = set()
        self._read_at: dict[Listener, float] = {}
        self._with_peers = False

    def listen(self, address: str, port: int, sock: socket.socket | None) -> Peer:
        """Bind, or take the bound ``sock``; tells where. Raises OSError.

        Where another instance has the port already it goes on alone until we ``join``.
        """
        if sock is not None:
            return self._add(Listener(address, port, sock=sock))
        found = sharing(address, port, beside=self._with_peers)
        if found.others:
            self._joining.append((address, port, found))
            return (address, port)
        return self._add(Listener(address, port, options=found.options))

    def join(self, now: float) -> None:
        """Share the ports of other instances. Raises OSError."""
        for address, port, found in self._joining:
            listener = Listener(address, port, options=found.options)
            self._add(listener)
            for datagram in found.caught:
                self._take(*datagram, listener, now)
        self._joining.clear()

    def share(self, with_peers: bool) -> None:
        """Whether transfers have sockets of their own on these ports (see ``Listener.beside``)."""
        self._with_peers = with_peers
        for listener in self._listeners if with_peers else ():
            listener.share()

    def withdraw(self, now: float) -> None:
        """Get nothing new, and read what is there; it may take several turns."""
        self._unread = {listener for listener in self._listeners if listener.withdraw()}
        self.read_on(now)

    def read_on(self, now: float) -> None:
        """Read what waits after ``withdraw``; a socket that was emptied to the last datagram says nothing."""
        for listener in tuple(self._unread):
            self._turn(listener, now, _REQUESTS_A_TURN)

    @property
    def is_read(self) -> bool:
        """Whether nothing waits after ``withdraw``."""
        return not self._unread

    def close(self) -> None:
        """Give the ports back."""
        for listener in self._listeners:
            self._hub.remove(listener.fileno())
            listener.close()
        self._listeners.clear()
        self._read_at.clear()
        self._unread.clear()

    def _add(self, listener: Listener) -> Peer:
        if self._with_peers:
            listener.share()
        self._listeners.append(listener)
        self._hub.add(listener.fileno(), partial(self._readable, listener))
        return listener.address

    def _readable(self, listener: Listener, now: float) -> None:
        """Read, unless the transfers that run are more than we can serve: the fewer at once, the sooner each
        is done, and what belongs to them stays in the processor's cache.
        """
        if not (self._hub.is_crowded and listener.is_roomy) or self._with_peers:
            self._turn(listener, now, _REQUESTS_A_TURN)
        elif now - self._read_at.get(listener, 0.0) >= _PATIENCE:
            self._turn(listener, now, _REQUESTS_OVERDUE)

    def _turn(self, listener: Listener, now: float, requests: int) -> None:
        self._read_at[listener] = now
        receive, take = listener.receive, self._take
        for _ in range(requests):
            got = receive(_REQUEST_ROOM)
            if got is None:
                self._unread.discard(listener)
                break
            take(got[0], got[1], got[2], listener, now)
        self._after_turn()
