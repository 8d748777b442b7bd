"""The two UDP sockets of PnP: one on the group's address, one of our own for answers (IPv4).

Owns binding, membership, packet info (which interface, which address of ours) and kernel time stamps. The
first is bound to the group itself, so that a SIP proxy may have the port on every other address.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from era_ap import timestamps
from era_ap.udp import RECEIVE_BUFFER, enlarge_receive_buffer

if TYPE_CHECKING:
    from era_ap.sip.path import Local, Peer

GROUP: Final = "224.0.1.75"
_IP_PKTINFO: Final = 8
_IP_MULTICAST_ALL: Final = 49
_ROOM: Final = 65_535
_CONTROL_ROOM: Final = socket.CMSG_SPACE(12) + timestamps.ROOM


@dataclass(frozen=True, slots=True)
class Received:
    """A datagram, the interface (number) and our address it came to; ``at``: kernel time, None if unknown."""

    data: bytes
    peer: Peer
    index: int
    address: str
    at: float | None


class PnpSocket:
    """A UDP socket that knows where and when each datagram came. Raises OSError if it cannot be bound."""

    def __init__(self, address: str, port: int, *, shared: bool = False) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if shared:  # with other instances, and with whoever has the port on all addresses and shares it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            timestamps.ask_for_time(sock)
            enlarge_receive_buffer(sock, RECEIVE_BUFFER)
            sock.bind((address, port))
        except OSError:
            sock.close()
            raise
        self._sock = sock
        self.port: int = sock.getsockname()[1]

    def fileno(self) -> int:
        """Descriptor, -1 once closed."""
        return self._sock.fileno()

    def join(self, index: int) -> None:
        """Become a member of the group on an interface. Raises OSError."""
        self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(index))

    def leave(self, index: int) -> None:
        """Be a member no more; the interface may be gone."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, _membership(index))

    def receive(self) -> Received | None:
        """The next datagram; None where there is none."""
        try:
            data, control, _flags, peer = self._sock.recvmsg(_ROOM, _CONTROL_ROOM)
        except OSError:  # nothing there, or an ICMP error about an earlier answer
            return None
        index, address = 0, "0.0.0.0"  # nosec B104 # noqa: S104 - no address, not all
        for level, kind, value in control:
            if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                (index,) = struct.unpack_from("=i", value)
                address = socket.inet_ntoa(value[4:8])  # ipi_spec_dst: the one to answer from
        return Received(data, peer, index, address, timestamps.kernel_time(control))

    def send(self, data: bytes, peer: Peer, local: Local) -> None:
        """Send from an address and interface of ours; what the kernel does not take is lost."""
        info = struct.pack("=i4s4s", local.index, socket.inet_aton(local.address), b"\0\0\0\0")
        with contextlib.suppress(OSError):
            self._sock.sendmsg((data,), ((socket.IPPROTO_IP, _IP_PKTINFO, info),), 0, peer)

    def close(self) -> None:
        """Give the port back; may be called again."""
        self._sock.close()


def _membership(index: int) -> bytes:
    return struct.pack("=4s4si", socket.inet_aton(GROUP), b"\0\0\0\0", index)
