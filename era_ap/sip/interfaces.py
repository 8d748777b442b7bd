"""The network interfaces of this host, as far as multicast is concerned (IPv4).

Owns looking at them and choosing those that the configuration means.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
    """All interfaces that have an IPv4 address now, by index."""
    states = psutil.net_if_stats()
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
        state = states.get(name)
        found[index] = Interface(index, name, addresses, state is None or state.isup)
    return found


def choose(wanted: Sequence[str], there: Mapping[int, Interface]) -> tuple[Interface, ...]:
    """The interfaces meant by names or addresses; by nothing: all that others are on."""
    if not wanted:
        return tuple(each for each in there.values() if not each.is_loopback)
    return tuple(
        each
        for each in there.values()
        if each.name in wanted or any(str(address.ip) in wanted for address in each.addresses)
    )
