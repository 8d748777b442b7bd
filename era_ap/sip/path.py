"""How a datagram came and where an answer has to leave: the words that machines and sockets share.

Owns shapes only. IPv4: phones know PnP in no other form (224.0.1.75).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Network

Peer = tuple[str, int]
"""Address and port of somebody else."""


@dataclass(frozen=True, slots=True)
class Local:
    """Where we stand on the wire the datagram came by.

    ``address`` is ours on interface ``name`` (number ``index``) for this peer, ``networks`` are those the
    interface is in (none where PnP does not listen), ``port`` is where we take answers.
    """

    address: str
    port: int
    index: int
    name: str
    networks: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrival:
    """One datagram from ``peer``; ``at`` (seconds since the epoch) is when the kernel took it, ``age`` how
    many seconds it has waited since. ``multicast``: it was sent to the group, not to us.
    """

    data: bytes
    peer: Peer
    local: Local
    multicast: bool
    at: float = 0.0
    age: float = 0.0

    @property
    def is_near(self) -> bool:
        """Whether a phone on the wire of PnP sent it: what is sent to us alone may come from anywhere."""
        source = IPv4Address(self.peer[0])
        return self.multicast or any(source in network for network in self.local.networks)


@dataclass(frozen=True, slots=True)
class Departure:
    """One datagram to ``peer``, to leave from ``local``.

    ``guarded``: only the one who holds the right to answer at that very moment may send it.
    """

    data: bytes
    peer: Peer
    local: Local
    guarded: bool = False
