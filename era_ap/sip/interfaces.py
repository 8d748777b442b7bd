"""The network interfaces of this host, as far as multicast is concerned (IPv4).

Owns looking at them and choosing those that the configuration means.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIOCGIFFLAGS: Final = 0x8913
_IFF_RUNNING: Final = 0x40
_IFREQ_ROOM: Final = 40


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface with IPv4 addresses, the first of them its primary one."""

    index: int
    name: str
    addresses: tuple[IPv4Interface, ...]
    is_up: bool

    @property
    def is_loopback(self) -> bool:
        """Whether nobody else is on it."""
        return self.addresses[0].ip.is_loopback


def look() -> Mapping[int, Interface]:
    """All interfaces that have an IPv4 address now, by index. Raises OSError."""
    found: dict[int, Interface] = {}
    for name, entries in psutil.net_if_addrs().items():
        addresses = tuple(
            IPv4Interface(f"{entry.address}/{entry.netmask or 32}")
            for entry in entries
            if entry.family == socket.AF_INET
        )
        if not addresses:
            continue
        try:
            index = socket.if_nametoindex(name)
        except OSError:  # an alias (eth0:1) or gone since
            continue
        found[index] = Interface(index, name, addresses, _is_running(name))
    return found


def _is_running(name: str) -> bool:
    """Whether the interface is up and its cable is in (netdevice(7)).

    psutil would look into /proc/net, which a service that sees only processes in /proc has not.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, name.encode().ljust(_IFREQ_ROOM, b"\0"))
        except OSError:  # gone since
            return False
    (flags,) = struct.unpack_from("=16xH", answer)
    return bool(flags & _IFF_RUNNING)


def choose(wanted: Sequence[str], there: Mapping[int, Interface]) -> tuple[Interface, ...]:
    """The interfaces meant by names or addresses; by nothing: all that others are on."""
    if not wanted:
        return tuple(each for each in there.values() if not each.is_loopback)
    return tuple(
        each
        for each in there.values()
        if each.name in wanted or any(str(address.ip) in wanted for address in each.addresses)
    )
