"""UDP sockets.

Owns binding (IPv4, IPv6, shared ports, receive buffer), the local address of a request (IP_PKTINFO), answers
that leave from it, and segmentation offload. Knows no protocol above UDP; ``hub`` tells when to read.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Peer = tuple[str, int] | tuple[str, int, int, int]
"""Socket address as the socket module gives it: (address, port), in IPv6 with flow and scope."""

RECEIVE_BUFFER: Final = 4 << 20
"""Octets: 2,000 phones that ask in the same second fit; the default of 208 KiB loses most of them."""

_SO_RCVBUFFORCE: Final = 33
_IP_PKTINFO: Final = 8
_IP_MTU: Final = 14
_IPV6_MTU: Final = 24
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_MAX_SEGMENTS: Final = 64
_MAX_BURST: Final = 65000
_NO_OFFLOAD: Final = frozenset({errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP})
_REMEMBERED_LOCALS: Final = 1024
_CAUGHT_ROOM: Final = 4096
_LOOPBACK: Final[Mapping[int, str]] = MappingProxyType({socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"})


@dataclass(frozen=True, slots=True)
class Local:
    """The address of ours that a datagram came to: where the answer has to leave from.

    ``control`` is the ancillary data that makes it leave from there, empty where the socket is bound to it.
    """

    address: str
    scope: int
    control: tuple[tuple[int, int, bytes], ...] = ()

    def endpoint(self, family: int, port: int) -> Peer:
        """Socket address of ``port`` here."""
        if family == socket.AF_INET:
            return (self.address, port)
        return (self.address, port, 0, self.scope)


class Listener:
    """A bound socket that knows of each datagram where it came to. Raises OSError if it cannot be bound.

    ``options`` are those of ``sharing``: instances of the same user may share the port, and the kernel gives
    each peer to one of them. ``sock`` is used instead of a new one: somebody else has bound it already.
    ``is_roomy``: the kernel has granted the whole receive buffer.
    """

    def __init__(
        self, address: str, port: int, *, options: Sequence[int] = (), sock: socket.socket | None = None
    ) -> None:
        own = sock is None
        sock = sock or _bound(address, port, options)
        name = sock.getsockname()
        wildcard = name[0] in ("0.0.0.0", "::")  # nosec B104 # noqa: S104 - the operator's choice, not a default
        sock.setblocking(False)
        self.is_roomy = enlarge_receive_buffer(sock, RECEIVE_BUFFER) >= RECEIVE_BUFFER
        if wildcard:
            _ask_for_local(sock, sock.family)
        self.family: int = sock.family
        self._is_own = own
        self._sock = sock
        self._fixed = None if wildcard else Local(name[0], name[3] if len(name) == 4 else 0)
        self._locals: dict[bytes, Local] = {}
        self.address: Peer = name
        self.port: int = name[1]

    def fileno(self) -> int:
        """Descriptor, -1 once closed."""
        return self._sock.fileno()

    def receive(self, room: int) -> tuple[bytes, Peer, Local] | None:
        """The next datagram, cut off behind ``room`` octets; None where there is none."""
        try:
            if self._fixed is not None:
                data, peer = self._sock.recvfrom(room)
                return data, peer, self._fixed
            data, control, _flags, peer = self._sock.recvmsg(room, 64)
        except OSError:  # nothing there, or an ICMP error of an earlier answer: neither concerns a request
            return None
        for level, kind, value in control:
            if (level, kind) in (
                (socket.IPPROTO_IP, _IP_PKTINFO),
                (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO),
            ):
                return data, peer, self._locals.get(value) or self._learn(value)
        return data, peer, Local(self.address[0], 0)

    def send(self, data: bytes, peer: Peer, local: Local) -> None:
        """Answer ``peer`` from ``local``. What the kernel does not take is lost, as on the wire."""
        try:
            if local.control:
                self._sock.sendmsg((data,), local.control, 0, peer)
            else:
                self._sock.sendto(data, peer)
        except OSError:  # a plain clause, for each refusal comes here
            pass

    def withdraw(self) -> bool:
        """Get no more datagrams, so that other instances do; True if what came before can still be read.

        False where somebody else has bound the socket: what is there is for who gets it next.
        """
        if self._is_own:
            here = self.address[0] if self._fixed is not None else _LOOPBACK[self.family]
            with contextlib.suppress(OSError):  # a socket with a peer hears that one only: itself
                self._sock.connect((here, *self.address[1:]))
        return self._is_own

    def share(self) -> None:
        """Let sockets with a peer of their own use this port too (see ``beside``)."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def beside(self, peer: Peer, local: Local) -> tuple[socket.SocketType, list[tuple[bytes, Peer]]]:
        """A socket of this port that hears ``peer`` only, and what of others it caught before it did.

        Raises OSError; all sockets of the port must ``share`` it.
        """
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        sock = socket.SocketType(self.family, kind)
        caught: list[tuple[bytes, Peer]] = []
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(local.endpoint(self.family, self.port))
            sock.connect(peer)
            with contextlib.suppress(OSError):
                while True:
                    caught.append(sock.recvfrom(_CAUGHT_ROOM))
        except OSError:
            sock.close()
            raise
        return sock, caught

    def close(self) -> None:
        """Give the port back; may be called again."""
        self._sock.close()

    def _learn(self, value: bytes) -> Local:
        if len(self._locals) >= _REMEMBERED_LOCALS:
            self._locals.clear()
        if self.family == socket.AF_INET:
            source = value[4:8]  # ipi_spec_dst: ours, even where the request was a broadcast
            control = struct.pack("=I4s4s", 0, source, b"\0\0\0\0")
            level, kind = int(socket.IPPROTO_IP), _IP_PKTINFO
            local = Local(socket.inet_ntoa(source), 0, ((level, kind, control),))
        else:
            (scope,) = struct.unpack("=I", value[16:20])
            text = socket.inet_ntop(socket.AF_INET6, value[:16])
            level, kind = int(socket.IPPROTO_IPV6), int(socket.IPV6_PKTINFO)
            multicast = value[0] == 0xFF
            local = Local("::" if multicast else text, scope, () if multicast else ((level, kind, value),))
        self._locals[value] = local
        return local


def enlarge_receive_buffer(sock: socket.socket, octets: int) -> int:
    """Ask for ``octets``, beyond net.core.rmem_max where we may; returns what the kernel granted.

    A buffer that is as large already stays: who made the socket may have had more rights than we.
    """
    if (there := sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2) >= octets:
        return there
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, octets)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def connected(family: int, local: Peer, peer: Peer, *, shared: bool = False) -> socket.SocketType:
    """A socket from ``local`` to ``peer`` that hears nobody else; ``shared`` lets others use the local port.

    The bare socket type spares its wrapper's cost a transfer. Raises OSError.
    """
    sock = socket.SocketType(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(local)
        if shared:
            reconnect(sock, peer)
        else:
            sock.connect(peer)
    except OSError:
        sock.close()
        raise
    return sock


def reconnect(sock: socket.SocketType, peer: Peer) -> None:
    """Connect a bound socket to ``peer``, whomever it heard before. Raises OSError.

    What slipped in until then is dropped: a stranger's datagram, an earlier peer's or its ICMP error.
    """
    sock.connect(peer)
    while True:
        try:
            sock.recv(1)
        except BlockingIOError:
            return
        except OSError:
            continue


def path_limit(sock: socket.SocketType, family: int) -> int:
    """Octets of UDP payload that go to a connected socket's peer unfragmented, as far as the kernel knows."""
    if family == socket.AF_INET:
        return sock.getsockopt(socket.IPPROTO_IP, _IP_MTU) - 28
    return sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU) - 48


def send_segmented(sock: socket.SocketType, datagrams: Sequence[bytes]) -> bool:
    """Send datagrams of one size (the last may be shorter) with few system calls (UDP_SEGMENT).

    False where kernel, device or path cannot: nothing of that burst was sent and plain sends have to do.
    Raises ConnectionRefusedError where the peer's port is closed.
    """
    segment = len(datagrams[0])
    step = min(_MAX_SEGMENTS, _MAX_BURST // segment)
    if step < 2 or segment > 0xFFFF:
        return False
    control = ((_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", segment)),)
    for start in range(0, len(datagrams), step):
        try:
            sock.sendmsg(datagrams[start : start + step], control)
        except ConnectionRefusedError:
            raise
        except OSError as error:
            if error.errno in _NO_OFFLOAD:
                return False
    return True


SHARED: Final = (socket.SO_REUSEPORT,)


@dataclass(frozen=True, slots=True)
class Sharing:
    """The ``options`` of sockets on a port that instances share, and whether ``others`` have it already.

    ``caught``: what came to our socket instead of theirs while that was tried.
    """

    options: tuple[int, ...]
    others: bool = False
    caught: tuple[tuple[bytes, Peer, Local], ...] = ()


def sharing(address: str, port: int, *, beside: bool) -> Sharing:
    """How to bind a port that instances share.

    ``beside``: transfers have sockets of their own on the port, of other instances too; a stranger that says
    SO_REUSEADDR is not told from these. Raises OSError if the port is somebody's who does not share it.
    """
    if not port:
        return Sharing(())  # a port that the kernel chooses is to be nobody else's
    with_peers = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    attempts = ((), SHARED, with_peers) if beside else ((), SHARED)
    for options in attempts:
        try:
            probe = Listener(address, port, options=options)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or options == attempts[-1]:
                raise
        else:
            # Where nobody has such a socket at this moment, somebody may have one at the next.
            return Sharing(with_peers if beside else SHARED, bool(options), _rest(probe))
    raise AssertionError("one of the attempts succeeds or raises")


def _rest(listener: Listener) -> tuple[tuple[bytes, Peer, Local], ...]:
    """Close a socket without losing what came to it."""
    caught = []
    if listener.withdraw():
        while (got := listener.receive(_CAUGHT_ROOM)) is not None:
            caught.append(got)
    listener.close()
    return tuple(caught)


def _bound(address: str, port: int, options: Sequence[int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in options:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        if address in ("0.0.0.0", "::"):  # nosec B104 # noqa: S104 - before anything can arrive
            _ask_for_local(sock, family)
        sock.bind(socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM)[0][4])
    except OSError:
        sock.close()
        raise
    return sock


def _ask_for_local(sock: socket.socket, family: int) -> None:
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
