"""Whose address an address on the wire is: the kernel's table of neighbours (ARP, IPv4; arp(7)).

Owns one look at it, which never waits and needs no privilege. The table has only those to whom something was
sent: who is not in it is sent an empty datagram, so that the kernel finds out before the phone asks again.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from typing import Final

_SIOCGARP: Final = 0x8954
_ATF_COM: Final = 0x02
_ARPHRD_ETHER: Final = 1
_DISCARD: Final = 9
_ARPREQ: Final = struct.Struct("=H2x4s8xH6s8xi16x16s")  # arp_pa, arp_ha, arp_flags, arp_netmask, arp_dev


def mac_of(address: str, interface: str) -> str:
    """The MAC of an IPv4 neighbour on an interface, 12 lower-case hex digits; empty where it is not known."""
    asked = _ARPREQ.pack(socket.AF_INET, socket.inet_aton(address), 0, b"", 0, interface.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGARP, asked)
        except OSError:  # not in the table, or the interface is gone
            with contextlib.suppress(OSError):
                sock.sendto(b"", (address, _DISCARD))
            return ""
    _family, _address, kind, mac, flags, _name = _ARPREQ.unpack(answer)
    return mac.hex() if kind == _ARPHRD_ETHER and flags & _ATF_COM else ""
