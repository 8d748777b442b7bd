"""Transfer ports (TIDs, RFC 1350 section 4): a connected socket per transfer, and a guard for strangers.

Owns the choice of port. A connected socket never hears a stranger, but then nobody tells him ERROR 5; so a
few transfers share a port with one unconnected socket, the guard, which hears exactly the strangers. That
costs a block nothing. No port serves the same peer twice: a late datagram of an earlier transfer cannot be
taken for one of the next. The socket of a transfer that has ended is connected to the next peer of its port:
two system calls instead of seven.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from era_ap.tftp.packets import format_error
from era_ap.udp import Local, Peer, connected, reconnect, send_segmented

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from era_ap.hub import Hub

UNKNOWN_TID: Final = format_error(5, "Unknown transfer ID")
_USES: Final = 256
_SPREAD: Final = 32
_LOOKS: Final = 8
_IDLE: Final = 2.0
_ANSWERS_A_SECOND: Final = 100


class OwnPort:
    """A connected socket of the transfer's own (RFC 1350 section 4), on a port of its own or on the main one.

    ``send`` and ``receive`` are the socket's: OSError, of which ConnectionRefusedError says that the peer's
    port is closed. Until somebody listens, what comes is dropped. ``release`` gets it back.
    """

    __slots__ = ("_fileno", "_hub", "_offload", "_release", "receive", "send", "sock")
    is_shared = False

    def __init__(self, sock: socket.SocketType, hub: Hub, release: Callable[[OwnPort, float], None]) -> None:
        self.sock = sock
        self._fileno = sock.fileno()
        self._hub = hub
        self._release = release
        self._offload = True
        self.send: Callable[[bytes], object] = sock.send
        self.receive: Callable[[int], bytes] = sock.recv
        hub.add(self._fileno, self._discard)

    def listen(self, handler: Callable[[float], None]) -> None:
        """A transfer begins: call ``handler`` when there is something to receive."""
        self._hub.handlers[self._fileno] = handler
        self._offload = True  # it may be another path

    def send_window(self, datagrams: Sequence[bytes]) -> None:
        """A window in one system call where the path can."""
        if self._offload and len(datagrams) > 1:
            self._offload = send_segmented(self.sock, datagrams)
            if self._offload:
                return
        for datagram in datagrams:
            self.send(datagram)

    def close(self, now: float) -> None:
        """The transfer is over."""
        self._hub.handlers[self._fileno] = self._discard
        self._release(self, now)

    def destroy(self) -> None:
        """Give socket and port back to the system."""
        self._hub.remove(self._fileno)
        self.sock.close()

    def _discard(self, _now: float) -> None:
        """A datagram that came after the end of its transfer."""
        with contextlib.suppress(OSError):
            self.sock.recv(1)


@dataclass(slots=True, eq=False)
class Guard:
    """One shared port: ``live`` transfers of all the ``peers`` it ever served, ``spare`` sockets for more."""

    sock: socket.SocketType
    port: int
    live: int = 0
    idle_since: float = 0.0
    peers: set[Peer] = field(default_factory=set)
    spare: list[OwnPort] = field(default_factory=list)


class TransferPorts:
    """The ports of one local address, ephemeral or of ``choice`` (e.g. for a firewall)."""

    def __init__(self, hub: Hub, family: int, local: Local, choice: range | None, rng: random.Random) -> None:
        self._hub = hub
        self._family = family
        self._local = local
        self._choice = choice
        self._rng = rng
        self._guards: dict[int, Guard] = {}
        self._usable: deque[Guard] = deque()
        self._answers_left = float(_ANSWERS_A_SECOND)
        self._answered_at = 0.0

    def acquire(self, peer: Peer) -> OwnPort:
        """A socket connected to ``peer``; OSError where neither descriptor nor port is left."""
        guard = self._choose(peer)
        if guard.spare:
            channel = guard.spare.pop()
            try:
                reconnect(channel.sock, peer)
            except OSError:
                channel.destroy()
                raise
        else:
            here = self._local.endpoint(self._family, guard.port)
            sock = connected(self._family, here, peer, shared=True)
            channel = OwnPort(sock, self._hub, partial(self._release, guard))
        guard.live += 1
        guard.peers.add(peer)
        return channel

    def _release(self, guard: Guard, channel: OwnPort, now: float) -> None:
        """A transfer on this port has ended."""
        guard.live -= 1
        guard.idle_since = now
        if len(guard.peers) < _USES:
            guard.spare.append(channel)
        else:
            channel.destroy()
            if not guard.live:
                self._drop(guard)

    def close_idle(self, now: float) -> None:
        """Give back ports without transfers; they also change that way."""
        for guard in list(self._guards.values()):
            if not guard.live and now - guard.idle_since >= _IDLE:
                self._drop(guard)

    def close(self) -> None:
        """Give back all ports."""
        for guard in list(self._guards.values()):
            self._drop(guard)

    def __len__(self) -> int:
        return len(self._guards)

    def _choose(self, peer: Peer) -> Guard:
        usable = self._usable
        for _ in range(min(_LOOKS, len(usable))):
            guard = usable[0]
            if guard.live and len(usable) < _SPREAD:
                break
            usable.popleft()
            if len(guard.peers) >= _USES:
                continue
            usable.append(guard)
            if peer not in guard.peers:
                return guard
        return self._open()

    def _open(self) -> Guard:
        sock = socket.SocketType(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            bound = self._bind(sock)
            # Only now, so that the port is ours alone and the transfers' sockets may share it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError:
            sock.close()
            raise
        if not bound:
            sock.close()
            return min(self._guards.values(), key=lambda guard: guard.live)
        guard = Guard(sock, sock.getsockname()[1])
        self._guards[guard.port] = guard
        self._usable.append(guard)
        self._hub.add(sock.fileno(), lambda now: self._answer_stranger(guard, now))
        return guard

    def _bind(self, sock: socket.SocketType) -> bool:
        """False: all ports of the choice are in use, some of them by us."""
        if self._choice is None:
            sock.bind(self._local.endpoint(self._family, 0))
            return True
        free = [port for port in self._choice if port not in self._guards]
        self._rng.shuffle(free)
        failure: OSError | None = None
        for port in free:
            try:
                sock.bind(self._local.endpoint(self._family, port))
            except OSError as error:
                failure = error
            else:
                return True
        if not self._guards:
            raise failure or OSError("no port in the configured range of transfer ports")
        return False

    def _answer_stranger(self, guard: Guard, now: float) -> None:
        """ERROR 5, but never to an ERROR (no ping-pong) nor to whom this port served (a late repeat)."""
        try:
            data, peer = guard.sock.recvfrom(64)
        except OSError:
            return
        if len(data) < 4 or data[0] or data[1] not in (3, 4, 6) or peer in guard.peers:
            return
        refill = (now - self._answered_at) * _ANSWERS_A_SECOND
        self._answers_left = min(self._answers_left + refill, float(_ANSWERS_A_SECOND))
        self._answered_at = now
        if self._answers_left >= 1.0:
            self._answers_left -= 1.0
            with contextlib.suppress(OSError):
                guard.sock.sendto(UNKNOWN_TID, peer)

    def _drop(self, guard: Guard) -> None:
        self._guards.pop(guard.port, None)
        if guard in self._usable:  # what is not there is told with its repr, and that is long
            self._usable.remove(guard)
        for channel in guard.spare:
            channel.destroy()
        guard.spare.clear()
        self._hub.remove(guard.sock.fileno())
        guard.sock.close()
