"""Listening TCP sockets: bound, shared with other instances of the host, let go of without losing anybody.

Owns the options of such a socket, and when it begins: one that shares a port that others serve already leaves
phones to them while it loads. While an instance stops, the kernel goes on giving it connections until it
has closed the socket, and resets those that were not accepted by then. So new ones are turned away first,
unanswered (the client's kernel tries again a second later and finds another instance), and those on their way
come in.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct
from typing import Final

BACKLOG: Final = 2048
HANDSHAKE_SECONDS: Final = 0.1
"""Ten round trips of a LAN: what was on its way has arrived."""

_IP_FREEBIND: Final = 15  # the socket module of Python 3.11 has no names for them
_IPV6_FREEBIND: Final = 78
_SO_ATTACH_FILTER: Final = 26
_FLAGS_AT: Final = 13  # of the TCP header (RFC 9293 section 3.1)
_SYN: Final = 0x02
_WITHOUT_SYN: Final = (
    (0x30, 0, 0, _FLAGS_AT),  # ldb [13]
    (0x45, 0, 1, _SYN),  # jset #SYN, drop, keep
    (0x06, 0, 0, 0),  # drop: ret #0
    (0x06, 0, 0, 0xFFFFFFFF),  # keep: ret #-1
)


def listen(address: str, port: int, *, shared: bool = True, early: bool = False) -> socket.socket:
    """A socket that listens; ``shared``: with instances of the same user, unless the kernel chose the port.

    Where another instance does already it is only bound, and listens when it is served. ``early``: the
    address may come to this host later. Raises ``OSError``.
    """
    if not (shared and port):
        return _bound(address, port, backlog=BACKLOG, early=early)
    try:
        _bound(address, port).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return _bound(address, port, reuse_port=True)
    return _bound(address, port, reuse_port=True, backlog=BACKLOG)


def allow_absent(sock: socket.socket) -> None:
    """Let ``sock`` be bound to an address that this host does not have yet."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)


def _bound(
    address: str, port: int, *, reuse_port: bool = False, backlog: int = 0, early: bool = False
) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if early:
            allow_absent(sock)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        info = socket.getaddrinfo(
            address, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
        )
        sock.bind(info[0][4])
        if backlog:
            sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def turn_away(listener: socket.socket) -> None:
    """Begin no new connection; those whose first segment was answered already are completed.

    Where the kernel cannot filter, new ones go on coming.
    """
    program = b"".join(struct.pack("=HBBI", *each) for each in _WITHOUT_SYN)
    code = ctypes.create_string_buffer(program)
    filter_ = struct.pack("@HP", len(_WITHOUT_SYN), ctypes.addressof(code))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
