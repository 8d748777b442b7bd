"""When the kernel took a datagram, which may be long before a process that was frozen reads it.

Owns the socket option and the ancillary data (SO_TIMESTAMPNS, socket(7)).
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOM: Final = socket.CMSG_SPACE(16)
_SO_TIMESTAMPNS: Final = 64  # SO_TIMESTAMPNS_NEW: 64 bits everywhere


def ask_for_time(sock: socket.socket) -> None:
    """Have the time of each datagram told in ``ROOM`` octets beside it, if the kernel can."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def kernel_time(control: Iterable[tuple[int, int, bytes]]) -> float | None:
    """When a datagram came, in seconds since the epoch; None if that was not told."""
    for level, kind, value in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack_from("=qq", value)
            return float(seconds + nanoseconds / 1e9)
    return None
