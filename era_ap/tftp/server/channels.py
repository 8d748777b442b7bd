"""The way to one peer: a transfer port of its own, or the main port for all.

Owns the kinds of channel and which one a transfer gets. On the main port each has a connected socket too:
instances that share the port never get each other's ACKs, whoever comes or goes. Where the system refuses
that, the main socket serves all. Does not own what goes through them.
"""

from __future__ import annotations

import errno
import random
from functools import partial
from typing import TYPE_CHECKING, Final

from era_ap.tftp.options import MAX_BLKSIZE, MIN_BLKSIZE
from era_ap.tftp.server.ports import TransferPorts
from era_ap.udp import connected, path_limit, send_segmented

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import SocketType

    from era_ap.tftp.options import Wish
    from era_ap.tftp.server.contract import Asked, Policy
    from era_ap.udp import Hub, Listener, Local, Peer

_HEADER: Final = 4
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class OwnPort:
    """A connected socket of the transfer's own (RFC 1350 section 4), on a port of its own or on the main one.

    ``send`` and ``receive`` are the socket's: OSError, of which ConnectionRefusedError says that the peer's
    port is closed.
    """

    __slots__ = ("_hub", "_offload", "_release", "_sock", "receive", "send")
    is_shared = False

    def __init__(self, sock: SocketType, hub: Hub, release: Callable[[SocketType, float], None]) -> None:
        self._sock = sock
        self._hub = hub
        self._release = release
        self._offload = True
        self.send: Callable[[bytes], object] = sock.send
        self.receive: Callable[[int], bytes] = sock.recv

    def listen(self, handler: Callable[[float], None]) -> None:
        """Call ``handler`` when there is something to receive."""
        self._hub.hand_over(self._sock.fileno(), handler)

    def send_window(self, datagrams: Sequence[bytes]) -> None:
        """A window in one system call where the path can."""
        if self._offload and len(datagrams) > 1:
            self._offload = send_segmented(self._sock, datagrams)
            if self._offload:
                return
        for datagram in datagrams:
            self.send(datagram)

    def close(self, now: float) -> None:
        """Give socket and port back."""
        self._release(self._sock, now)


class SharedPort:
    """The main port itself; what the peer sends is handed to its session by the intake."""

    __slots__ = ("_listener", "_local", "_peer")
    is_shared = True

    def __init__(self, listener: Listener, peer: Peer, local: Local) -> None:
        self._listener = listener
        self._peer = peer
        self._local = local

    def receive(self, room: int) -> bytes:
        """Never used: there is no socket of its own to read from."""
        raise BlockingIOError

    def send(self, datagram: bytes) -> None:
        """From the address that the request came to."""
        self._listener.send(datagram, self._peer, self._local)

    def listen(self, handler: Callable[[float], None]) -> None:
        """The intake listens."""

    def send_window(self, datagrams: Sequence[bytes]) -> None:
        """Datagram by datagram."""
        for datagram in datagrams:
            self._listener.send(datagram, self._peer, self._local)

    def close(self, now: float) -> None:
        """The main port stays."""


class Channels:
    """Makes channels and keeps the transfer ports of each local address.

    ``on_caught`` gets what of others came to a channel on the main port before it was connected.
    """

    def __init__(
        self, hub: Hub, rng: random.Random, on_caught: Callable[[bytes, Peer, Local, Listener], None]
    ) -> None:
        self._hub = hub
        self._rng = rng
        self._on_caught = on_caught
        self._ports: dict[tuple[int, Local, range | None], TransferPorts] = {}

    def open(self, asked: Asked, policy: Policy, wish: Wish) -> tuple[OwnPort | SharedPort, int]:
        """A channel to who asked, and the largest block that the path carries whole. Raises OSError."""
        listener, local, peer = asked.listener, asked.local, asked.peer
        measured = wish.blksize is not None
        if policy.single_port:
            try:
                sock, caught = listener.beside(peer, local)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    raise
                limit = self._probe(listener.family, local, peer) if measured else MAX_BLKSIZE
                return SharedPort(listener, peer, local), limit
            self._hub.add(sock.fileno(), _nothing)
            for data, other in caught:
                self._on_caught(data, other, local, listener)
            release: Callable[[SocketType, float], None] = self._close
        else:
            ports = self._of(listener.family, local, policy.tid_ports)
            sock, guard = ports.acquire(peer)
            release = partial(ports.release, guard)
        limit = _block(path_limit(sock, listener.family)) if measured else MAX_BLKSIZE
        return OwnPort(sock, self._hub, release), limit

    def _close(self, sock: SocketType, _now: float) -> None:
        self._hub.remove(sock.fileno())
        sock.close()

    def close_idle(self, now: float) -> bool:
        """Give back ports without transfers; whether any are left."""
        for ports in self._ports.values():
            ports.close_idle(now)
        return any(map(len, self._ports.values()))

    def close(self) -> None:
        """Give back all ports."""
        for ports in self._ports.values():
            ports.close()

    def _of(self, family: int, local: Local, choice: range | None) -> TransferPorts:
        key = (family, local, choice)
        ports = self._ports.get(key)
        if ports is None:
            ports = self._ports[key] = TransferPorts(self._hub, family, local, choice, self._rng)
        return ports

    @staticmethod
    def _probe(family: int, local: Local, peer: Peer) -> int:
        try:
            sock = connected(family, local.endpoint(family, 0), peer)
        except OSError:
            return MAX_BLKSIZE
        try:
            return _block(path_limit(sock, family))
        finally:
            sock.close()


def _nothing(_now: float) -> None:
    """The transfer does not listen yet."""


def _block(payload: int) -> int:
    return max(MIN_BLKSIZE, payload - _HEADER)
