"""Who may ask, and how often: the gate in front of every request, the same for TFTP and HTTP.

Owns allowed networks, requests per second of an address (of a /64 in IPv6) and the budget of unknown MACs
that makes guessing useless. Does not own the answer on the wire, nor a clock. Memory is bounded: of too many
sources the oldest are forgotten.
"""

from __future__ import annotations

import enum
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Verdict(enum.Enum):
    """What to do with a request; ``reason`` is the refusal to answer with, None where there is none."""

    ADMIT = ("admit", None)
    SILENCE = ("silence", None)
    CLOSED = ("closed", Reason.NETWORK_CLOSED)
    RATE = ("rate", Reason.RATE_LIMIT)
    THROTTLED = ("throttled", Reason.THROTTLED)

    def __init__(self, code: str, reason: Reason | None) -> None:
        self.code = code
        self.reason = reason


_UNIQUE_LOCAL: Final = ipaddress.ip_network("fc00::/7")  # RFC 4193

_ADMIT: Final = Verdict.ADMIT  # looking a member up in its class is a call

GUESSING: Final = frozenset({Reason.MAC_UNKNOWN, Reason.MAC_CONFLICT})
"""Outcomes that count against the budget of unknown MACs; a known phone's missing files never do."""


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """Limits. ``networks`` empty means everybody. ``requests_per_second`` with ``burst`` requests at once.

    After ``unknown_macs`` distinct MACs nobody owns within ``window`` seconds an address gets the same
    refusal whatever it asks for, at most one a second. ``memory`` is the number of addresses remembered.
    """

    networks: Sequence[Network] = ()
    requests_per_second: float = 100.0
    burst: int = 400
    unknown_macs: int = 20
    window: float = 60.0
    memory: int = 65536


@dataclass(slots=True)
class _Source:
    allowed: bool
    tokens: float
    filled_at: float
    refused_at: float = -1e9
    unknown: dict[str, float] = field(default_factory=dict)


class Admission:
    """The gate. Addresses are texts as the socket gives them, times are seconds of any steady clock."""

    def __init__(self, policy: AdmissionPolicy) -> None:
        # Ordered: to find the first of a plain dict is to step over all that were before it.
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._policy = policy
        self._ranges = _ranges(policy.networks)

    def replace(self, policy: AdmissionPolicy) -> None:
        """Take other limits from now on; what is known about sources stays."""
        self._policy = policy
        self._ranges = _ranges(policy.networks)
        for key, source in self._sources.items():
            source.allowed = self._is_allowed(read_address(key))

    def admit(self, ip: str, now: float) -> Verdict:
        """Judge one request of ``ip``."""
        source = self._sources.get(ip) or self._find(ip, now)
        policy = self._policy
        tokens = source.tokens + (now - source.filled_at) * policy.requests_per_second
        source.filled_at = now
        if tokens < 1.0:
            source.tokens = tokens
            return self._one_a_second(source, Verdict.RATE, now)
        source.tokens = min(tokens, policy.burst) - 1.0
        if source.allowed and not source.unknown:
            return _ADMIT
        if not source.allowed:
            return Verdict.CLOSED
        if self._is_throttled(source, now):
            return self._one_a_second(source, Verdict.THROTTLED, now)
        return Verdict.ADMIT

    def note_unknown(self, ip: str, mac: str, now: float) -> bool:
        """``ip`` asked for a MAC that nobody owns (see ``GUESSING``); True when that used up its budget."""
        source = self._sources.get(ip) or self._find(ip, now)
        if mac in source.unknown or len(source.unknown) >= self._policy.unknown_macs:
            return False
        source.unknown[mac] = now
        return self._is_throttled(source, now)

    def throttled(self, now: float) -> int:
        """How many addresses have used up their budget of unknown MACs."""
        return sum(self._is_throttled(source, now) for source in self._sources.values() if source.unknown)

    def __len__(self) -> int:
        return len(self._sources)

    def _find(self, ip: str, now: float) -> _Source:
        address = read_address(ip)
        key = ip if address is None or ":" not in ip else _source_key(address)
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= self._policy.memory:
                self._sources.popitem(last=False)
            source = _Source(True, float(self._policy.burst), now)
            self._sources[key] = source
        # Judged anew for each address of a /64: a network may be narrower than that.
        source.allowed = self._is_allowed(address)
        return source

    def _is_allowed(self, address: Address | None) -> bool:
        if not self._policy.networks:
            return True
        if address is None:
            return False
        number, version = int(address), address.version
        return any(number & mask == base for base, mask, of in self._ranges if of == version)

    def _is_throttled(self, source: _Source, now: float) -> bool:
        unknown = source.unknown
        if len(unknown) < self._policy.unknown_macs:
            return False
        for mac, noted_at in list(unknown.items()):  # oldest first
            if now - noted_at < self._policy.window:
                break
            del unknown[mac]
        return len(unknown) >= self._policy.unknown_macs

    @staticmethod
    def _one_a_second(source: _Source, verdict: Verdict, now: float) -> Verdict:
        if now - source.refused_at < 1.0:
            return Verdict.SILENCE
        source.refused_at = now
        return verdict


def read_address(ip: str) -> Address | None:
    """The address of a text as sockets give it: a zone (``%eth0``) is dropped, IPv4 in IPv6 is IPv4."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _ranges(networks: Sequence[Network]) -> list[tuple[int, int, int]]:
    """First address, mask and IP version of each network: a tenth of the cost of asking the network."""
    return [(int(each.network_address), int(each.netmask), each.version) for each in networks]


def _source_key(address: Address) -> str:
    """IPv4: the address. IPv6: its /64, for a host owns all of it; on a LAN many hosts share one."""
    if address.version == 4 or address.is_link_local or address in _UNIQUE_LOCAL:
        return str(address)
    return address.packed[:8].hex(":", 2) + "::"
