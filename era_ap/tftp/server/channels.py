"""The way to one peer: a transfer port of its own, or the main port for all.

Owns the kinds of channel and which one a transfer gets. On the main port each has a connected socket too:
instances that share the port never get each other's ACKs, whoever comes or goes. Where the system refuses
that, the main socket serves all. Does not own what goes through them.
"""

from __future__ import annotations

import errno
import random
from typing import TYPE_CHECKING, Final

from era_ap.tftp.options import MAX_BLKSIZE, MIN_BLKSIZE
from era_ap.tftp.server.ports import OwnPort, TransferPorts
from era_ap.udp import connected, path_limit

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from era_ap.hub import Hub
    from era_ap.tftp.options import Wish
    from era_ap.tftp.server.contract import Asked, Policy
    from era_ap.udp import Listener, Local, Peer

_HEADER: Final = 4
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


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
        self._ports: dict[tuple[int, str, int, range | None], TransferPorts] = {}

    def open(self, asked: Asked, policy: Policy, wish: Wish) -> tuple[OwnPort | SharedPort, int]:
        """A channel to who asked, and the largest block that the path carries whole. Raises OSError."""
        listener, local, peer = asked.listener, asked.receiver, asked.sender
        measured = wish.blksize is not None
        if policy.single_port:
            try:
                sock, caught = listener.beside(peer, local)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    raise
                limit = self._probe(listener.family, local, peer) if measured else MAX_BLKSIZE
                return SharedPort(listener, peer, local), limit
            channel = OwnPort(sock, self._hub, lambda channel, _now: channel.destroy())
            for data, other in caught:
                self._on_caught(data, other, local, listener)
        else:
            key = (listener.family, local.address, local.scope, policy.tid_ports)
            ports = self._ports.get(key)
            if ports is None:
                ports = TransferPorts(self._hub, listener.family, local, policy.tid_ports, self._rng)
                self._ports[key] = ports
            channel = ports.acquire(peer)
        return channel, _largest_block(channel.sock, listener.family) if measured else MAX_BLKSIZE

    def close_idle(self, now: float) -> bool:
        """Give back ports without transfers; whether any are left."""
        for ports in self._ports.values():
            ports.close_idle(now)
        return any(map(len, self._ports.values()))

    def close(self) -> None:
        """Give back all ports."""
        for ports in self._ports.values():
            ports.close()

    @staticmethod
    def _probe(family: int, local: Local, peer: Peer) -> int:
        try:
            sock = connected(family, local.endpoint(family, 0), peer)
        except OSError:
            return MAX_BLKSIZE
        try:
            return _largest_block(sock, family)
        finally:
            sock.close()


def _largest_block(sock: socket.SocketType, family: int) -> int:
    return max(MIN_BLKSIZE, path_limit(sock, family) - _HEADER)
