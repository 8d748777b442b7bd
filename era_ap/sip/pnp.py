"""What a phone's SUBSCRIBE for its profile says: who it is, where its NOTIFY goes (RFC 6080).

Owns the reading of MAC, vendor, model and version with their precedence, and the judgement of requests that
are no such SUBSCRIBE (RFC 3261 section 8.2, RFC 6665). Decides nothing about a phone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from era_ap.sip.fields import DEFAULT_PORT, parse_name_addr, parse_params, parse_uri
from era_ap.sip.message import Fault, required_faults
from era_ap.sip.vendors import MEANINGLESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.sip.message import Request
    from era_ap.sip.path import Local, Peer
    from era_ap.sip.vendors import Agent, Vendors

EVENT: Final = "ua-profile"
ALLOWED: Final = ("SUBSCRIBE", "OPTIONS")
_KNOWN_METHODS: Final = frozenset(
    {
        "INVITE",
        "CANCEL",
        "BYE",
        "REGISTER",
        "INFO",
        "PRACK",
        "UPDATE",
        "MESSAGE",
        "REFER",
        "PUBLISH",
        "NOTIFY",
    }
)
_MARKED = re.compile(
    r"(?<![^\W_])MAC[ \t]?[:=]?[ \t]?([0-9a-f]+(?:[:-][0-9a-f]+)*)", re.IGNORECASE | re.ASCII
)
_BARE = re.compile(r"(?<![\w:-])([0-9a-f]{2}(?:[:-]?[0-9a-f]{2}){5})(?!\w|[:-][0-9a-f])", re.IGNORECASE)
_MAC_ZERO: Final = "0" * 12
_SHOWN: Final = 64
_SANE: Final = 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a phone says it is. ``mac`` is 12 lower-case hex digits, empty where it names none; ``vendor`` is a
    key of the vendors' data or, in lower case, what the phone calls itself.
    """

    mac: str
    vendor: str
    model: str
    version: str


def judge(request: Request) -> Fault | None:
    """What a request is refused with; None for OPTIONS and for the SUBSCRIBE of a phone that looks for us."""
    if faults := required_faults(request):
        return faults[0]
    if request.method not in ALLOWED:
        known = request.method in _KNOWN_METHODS
        return Fault(405, "Method Not Allowed") if known else Fault(501, "Not Implemented")
    if request.items("Require"):
        return Fault(420, "Bad Extension")
    to = parse_name_addr(request.get("To") or "")
    if to is not None and to.tag:
        return Fault(481, "Call/Transaction Does Not Exist")
    is_other = request.method == "SUBSCRIBE" and not is_profile_event(request)
    return Fault(489, "Bad Event") if is_other else None


def is_profile_event(request: Request) -> bool:
    """Whether the event package is that of PnP."""
    return (request.get("Event") or "").partition(";")[0].strip(" \t").lower() == EVENT


def fields_for(fault: Fault, request: Request) -> tuple[tuple[str, str], ...]:
    """The header fields that the RFC wants beside a status."""
    if fault.status == 405:
        return (("Allow", ", ".join(ALLOWED)),)
    if fault.status == 420:
        return (("Unsupported", ", ".join(request.items("Require"))),)
    if fault.status == 489:
        return (("Allow-Events", EVENT),)
    return ()


def identify(request: Request, vendors: Vendors, mac_of_source: Callable[[], str] = lambda: "") -> Identity:
    """Who the phone is: MAC from URI, To, From, Contact, User-Agent; the rest from User-Agent, then Event.

    ``mac_of_source`` is asked where the message holds nothing that even looks like a MAC.
    """
    agent_text = _sane(request.get("User-Agent"))
    agent = vendors.by_agent(agent_text)
    event = parse_params(_sane(request.get("Event")).partition(";")[2])
    named = find_mac(request, agent_text, agent, vendors)
    mac = mac_of_source() if named is None else named
    vendor = _vendor(agent, _meaning(event.get("vendor") or event.get("vender")), mac, vendors)
    known = vendors.by_word(vendor)
    model = (agent.model if agent else "") or _meaning(event.get("model"))
    version = (agent.version if agent else "") or event.get("version", "")
    return Identity(mac, vendor, shown(known.bare_model(model) if known else model), shown(version))


def find_mac(request: Request, agent_text: str, agent: Agent | None, vendors: Vendors) -> str | None:
    """The MAC as 12 lower-case hex digits; None where there is none.

    Something that only looks like one ends the search, with an empty text.
    """
    uris = (request.uri, *map(request.get, ("To", "From", "Contact")))
    for text in (*(unquote(_sane(uri)) for uri in uris), agent_text):
        for found in _MARKED.finditer(text):
            digits = re.sub("[:-]", "", found[1]).lower()
            if len(digits) == 12 and not text[found.end() : found.end() + 1].isalnum():
                return digits if digits != _MAC_ZERO else ""
            if len(digits) >= 6:
                return ""
    for found in _BARE.finditer(agent_text):
        digits = re.sub("[:-]", "", found[1]).lower()
        owner = vendors.by_mac(digits)
        if owner is not None and (agent is None or owner is agent.vendor):
            return digits
    return None


def notify_target(request: Request, source: Peer, local: Local) -> tuple[str, Peer]:
    """Request-URI of the NOTIFY, and where it is sent: to the Contact where that is a neighbour.

    A Contact on another network is not believed: the source of the datagram is where the phone is.
    """
    contacts = request.items("Contact")
    contact = parse_name_addr(contacts[0]) if contacts else None
    uri = parse_uri(contact.uri) if contact else None
    fallback = f"sip:{source[0]}:{source[1]}"
    if contact is None or uri is None or " " in contact.uri:
        return fallback, source
    port = uri.port or DEFAULT_PORT
    if uri.host == source[0]:
        return contact.uri, (source[0], port)
    try:
        address = IPv4Address(uri.host)
    except AddressValueError:
        return contact.uri, source
    for network in local.networks:
        if address in network and address not in (network.network_address, network.broadcast_address):
            return contact.uri, (str(address), port) if str(address) != local.address else source
    return contact.uri, source


def shown(text: str) -> str:
    """Text from outside, fit for records: printable and short."""
    return "".join(char if char.isprintable() else "?" for char in text[:_SHOWN]).strip()


def _vendor(agent: Agent | None, named: str, mac: str, vendors: Vendors) -> str:
    if agent is not None:
        return agent.vendor.key
    if named:
        known = vendors.by_word(named)
        return known.key if known is not None else shown(named.lower())
    owner = vendors.by_mac(mac)
    return owner.key if owner is not None else ""


def _sane(text: str | None) -> str:
    """A value of a length that a phone may need; of a longer one nothing is believed."""
    return text if text is not None and len(text) <= _SANE else ""


def _meaning(text: str | None) -> str:
    text = (text or "").strip()
    return "" if text.lower() in MEANINGLESS else text
