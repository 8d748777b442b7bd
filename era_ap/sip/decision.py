"""Whether a phone that asks by PnP is answered, and why not (spec 11).

Owns allow and deny lists and the order of the questions: lists, owner, our right to answer. Asks directory
and cluster by callables; knows no messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from era_ap.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv4Network, IPv6Network

    from era_ap.sip.pnp import Identity


@dataclass(frozen=True, slots=True)
class Owner:
    """The account a phone belongs to, as records show it, and its domain."""

    domain: str
    account: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class PhoneList:
    """Phones by MAC prefix (lower-case hex digits), network of their address, or vendor (key of the data)."""

    macs: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    vendors: frozenset[str] = frozenset()

    def names(self, phone: Identity, address: IPv4Address) -> bool:
        """Whether any entry fits."""
        return (
            phone.mac.startswith(self.macs)
            or any(address in network for network in self.networks)
            or phone.vendor in self.vendors
        )

    def admits(self, phone: Identity, address: IPv4Address) -> bool:
        """Whether each kind of entry that the list has fits; an empty list admits everybody."""
        return (
            (not self.macs or phone.mac.startswith(self.macs))
            and (not self.networks or any(address in network for network in self.networks))
            and (not self.vendors or phone.vendor in self.vendors)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is answered at all; ``deny`` is stronger than ``allow``."""

    allow: PhoneList = field(default_factory=PhoneList)
    deny: PhoneList = field(default_factory=PhoneList)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` is None where the phone gets its URL. ``owner`` is known wherever it was found."""

    reason: Reason | None
    owner: Owner | None = None
    detail: str = ""


def decide(
    phone: Identity,
    address: IPv4Address,
    policy: Policy,
    owner_of: Callable[[str], Owner | Reason],
    may_answer: Callable[[str], bool],
) -> Verdict:
    """``owner_of`` gives the owner of a MAC or why there is none; ``may_answer`` our right in a domain."""
    if not phone.mac:
        return Verdict(Reason.PNP_NO_MAC)
    if policy.deny.names(phone, address):
        return Verdict(Reason.PNP_DENIED, detail="ext.pnp.deny names it")
    if not policy.allow.admits(phone, address):
        return Verdict(Reason.PNP_DENIED, detail="ext.pnp.allow does not name it")
    owner = owner_of(phone.mac)
    if isinstance(owner, Reason):
        return Verdict(owner)
    if not may_answer(owner.domain):
        return Verdict(Reason.PNP_NOT_OURS, owner)
    return Verdict(None, owner)
