"""A responder with a small world around it, for the tests of PnP."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from era_ap.admission import Admission, AdmissionPolicy
from era_ap.errors import Reason
from era_ap.sip.decision import Owner, Policy
from era_ap.sip.message import Request, Response, parse
from era_ap.sip.outcomes import Asked
from era_ap.sip.path import Arrival, Departure, Local
from era_ap.sip.pnp import identify
from era_ap.sip.responder import Responder, Surroundings
from era_ap.sip.vendors import builtin_vendors

LAN = Local("192.0.2.1", 40000, 2, "eth0", (IPv4Network("192.0.2.0/24"),))
PHONE = ("192.0.2.50", 5060)
MAC = "001565a1b2c3"
VENDORS = builtin_vendors()


@dataclass
class World:
    """Who owns what and who may answer; ``responder`` is asked by ``hear``."""

    owners: dict[str, Owner | Reason] = field(
        default_factory=lambda: {MAC: Owner("a.example.com", "101@a.example.com", "T46S")}
    )
    everybody: bool = False
    leads: bool = True
    policy: Policy = field(default_factory=Policy)
    limits: AdmissionPolicy = field(
        default_factory=lambda: AdmissionPolicy(requests_per_second=1e6, burst=10**6)
    )
    asked_urls: list[tuple[str, ...]] = field(default_factory=list)
    neighbours: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.admission = Admission(self.limits)
        around = Surroundings(self._owner_of, lambda _domain: self.leads, self._url_for, self._mac_of)
        self.responder = Responder(around, self.policy, self.admission, VENDORS, random.Random(1))

    def _owner_of(self, mac: str) -> Owner | Reason:
        known = Owner("a.example.com", "101@a.example.com") if self.everybody else Reason.MAC_UNKNOWN
        return self.owners.get(mac, known)

    def _url_for(self, mac: str, vendor: str, name: str, source: str, local: str) -> str:
        self.asked_urls.append((mac, vendor, name, source, local))
        return f"tftp://{local}/{name}"

    def _mac_of(self, source: str, interface: str) -> str:
        return self.neighbours.get((source, interface), "")

    def hear(self, data: bytes, now: float = 0.0, **arrival: object) -> list[Departure]:
        """Take one datagram and give what is to be sent."""
        values: dict = {"peer": PHONE, "local": LAN, "multicast": True, "at": 1000.0 + now} | arrival
        self.responder.receive_datagram(Arrival(data, **values), now)
        return self.responder.datagrams_to_send()

    def run(self, until: float) -> list[tuple[float, Departure]]:
        """Let timers act exactly when due."""
        sent = []
        while (due := self.responder.next_deadline()) is not None and due <= until:
            self.responder.handle_timer(due)
            sent += [(due, each) for each in self.responder.datagrams_to_send()]
        return sent

    def calls(self) -> list[str | None]:
        """The Call-IDs of the NOTIFYs that are to be sent."""
        sent = [message(each) for each in self.responder.datagrams_to_send()]
        return [each.get("Call-ID") for each in sent if isinstance(each, Request)]

    def reasons(self) -> list[Reason]:
        """The reasons of what has ended."""
        return [outcome.reason for outcome in self.responder.events()]


def subscribe(mac: str = MAC, **changes: str | None) -> bytes:
    """A SUBSCRIBE for ``mac``; ``start`` is the start line, other names are fields (``_`` for ``-``)."""
    fields: dict[str, str | None] = {
        "Via": "SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK7;rport",
        "From": f"<sip:MAC%3a{mac}@224.0.1.75>;tag=77",
        "To": f"<sip:MAC%3a{mac}@224.0.1.75>",
        "Call-ID": "7@192.0.2.50",
        "CSeq": "1 SUBSCRIBE",
        "Contact": "<sip:192.0.2.50:5060>",
        "Event": 'ua-profile;profile-type="device";vendor="Yealink";model="T46S";version="66.85.0.5"',
        "Expires": "0",
    }
    start = changes.pop("start", None) or f"SUBSCRIBE sip:MAC%3a{mac}@224.0.1.75 SIP/2.0"
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [start, *(f"{name}: {value}" for name, value in fields.items() if value is not None), "", ""]
    return "\r\n".join(lines).encode()


def message(departure: Departure) -> Request | Response:
    """What is sent, parsed."""
    found = parse(departure.data)
    assert found is not None
    assert found.faults == ()
    return found


def asked(data: bytes, since: float = 0.0) -> Asked:
    """A SUBSCRIBE of ``PHONE`` as the responder keeps it."""
    request = parse(data)
    assert isinstance(request, Request)
    return Asked(request, Arrival(data, PHONE, LAN, True), identify(request, VENDORS), since)


def confirm(notify: Departure, status: int = 200) -> bytes:
    """The phone's answer to a NOTIFY."""
    sent = message(notify)
    lines = [f"SIP/2.0 {status} X"]
    lines += [f"{name}: {sent.get(name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()
