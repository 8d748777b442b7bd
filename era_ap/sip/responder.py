"""The PnP responder as a machine (spec 11): datagrams go in, answers, NOTIFYs and outcomes come out.

Owns the order: response or request, too old, admitted, a retransmission, of what kind, who asks, may we.
Answers a SUBSCRIBE once (RFC 3261 transactions; RFC 6665 fetch; ``ledger`` for all instances together) and is
silent on multicast otherwise. Time is an argument; directory, cluster, addresses and tokens are callables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from era_ap.admission import GUESSING, Verdict
from era_ap.errors import Reason, Refused
from era_ap.sip import dialog
from era_ap.sip.decision import Owner, Policy, decide
from era_ap.sip.fields import parse_via
from era_ap.sip.ledger import REMEMBERED, Ledger, key_of
from era_ap.sip.memory import Memory
from era_ap.sip.message import Request, Response, parse, write
from era_ap.sip.outcomes import Asked, Outcome, Told, notified, unanswered
from era_ap.sip.path import Departure
from era_ap.sip.pnp import ALLOWED, EVENT, fields_for, identify, is_profile_event, judge, notify_target
from era_ap.sip.sightings import Discovered, Sightings
from era_ap.sip.transaction import Timing, TransactionLayer
from era_ap.sip.vendors import UNKNOWN_VENDOR, Vendors

if TYPE_CHECKING:
    import random

    from era_ap.admission import Admission
    from era_ap.sip.message import Fault
    from era_ap.sip.path import Arrival

MAX_AGE: Final = 1.0
"""Seconds: a process that was frozen must not answer what queued up meanwhile."""

NOTIFY_TIMING: Final = Timing(attempts=4)
"""NOTIFY goes out after 0, 0.5, 1.5 and 3.5 s; by then every known phone has given up."""

_DISCOVERED: Final = frozenset({Reason.MAC_UNKNOWN, Reason.MAC_CONFLICT, Reason.PNP_DENIED})
_FAR: Final = "not sent to the group, and not from a network of an interface that PnP listens on"
_ANOTHERS: Final = "another instance has answered"
_DEPOSED: Final = "this instance does not lead any more"
_ABILITIES: Final = (("Allow", ", ".join(ALLOWED)), ("Accept", "application/url"), ("Allow-Events", EVENT))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the responder asks others: the owner of a MAC, our right to answer in a domain, the URL.

    ``mac_of(source_ip, interface)`` is the MAC of a neighbour, empty where the kernel does not know it.
    ``url_for(mac, vendor, name, source_ip, local_ip)`` raises ``Refused`` where there is none to give; an
    empty name means a folder.
    """

    owner_of: Callable[[str], Owner | Reason]
    may_answer: Callable[[str], bool]
    url_for: Callable[[str, str, str, str, str], str]
    mac_of: Callable[[str, str], str] = lambda _source, _interface: ""


class Responder:
    """Answers phones. ``policy`` may be replaced at any time; ``sightings`` are the phones nobody owns.

    ``ledger`` tells what has just been answered, and wants to know what other instances answer.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        policy: Policy,
        admission: Admission,
        vendors: Vendors,
        rng: random.Random,
    ) -> None:
        self.policy = policy
        self.sightings = Sightings()
        self.ledger = Ledger(NOTIFY_TIMING.lifetime)
        self._around = surroundings
        self._admission = admission
        self._vendors = vendors
        self._rng = rng
        self._layer = TransactionLayer(NOTIFY_TIMING)
        self._recorded: Memory[Reason] = Memory(NOTIFY_TIMING.lifetime, REMEMBERED)
        self._outcomes: list[Outcome] = []

    # --- the machine

    def receive_datagram(self, arrival: Arrival, now: float) -> None:
        """Take one datagram; never raises for what it holds."""
        if arrival.data[:4].upper() == b"SIP/":
            message = parse(arrival.data)
            if isinstance(message, Response):  # by multicast too: some answer where they asked
                self._layer.receive_response(message, now)
                self._outcomes += [notified(ended, now) for ended in self._layer.events()]
            return
        if arrival.age > MAX_AGE:
            self._outcomes.append(unanswered(Reason.PNP_STALE, arrival, detail=f"waited {arrival.age:.1f} s"))
            return
        admitted = self._admission.admit(arrival.peer[0], now)
        if admitted is Verdict.ADMIT:
            request = parse(arrival.data)
            if isinstance(request, Request) and request.method != "ACK":
                self._take_request(request, arrival, now)
        elif admitted.reason is not None:
            self._outcomes.append(unanswered(admitted.reason, arrival))

    def handle_timer(self, now: float) -> None:
        """Retransmit and give up what is due."""
        self._layer.handle_timer(now)
        self._outcomes += [notified(ended, now) for ended in self._layer.events()]

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` is due; None: nothing is waited for."""
        return self._layer.next_deadline()

    @property
    def wants_right(self) -> bool:
        """Whether anything that has to be sent now takes the right to answer; else ``stand_down``."""
        return any(departure.guarded for departure in self._layer.out)

    def datagrams_to_send(self) -> list[Departure]:
        """What has to be sent now; asking takes it away."""
        self.ledger.note_sent()
        return self._layer.datagrams_to_send()

    def events(self) -> list[Outcome]:
        """What has ended since the last time; asking takes it away."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def take_over(self, since: float, now: float) -> int:
        """We may answer from now on and nobody did after ``since``: answer those who still wait.

        Returns how many that were.
        """
        self.stand_down(now)
        waiting = self.ledger.begin(since, now)
        for asked in waiting:
            self._subscribe(asked, now)
        return len(waiting)

    def stand_down(self, now: float) -> None:
        """We may not answer any more: nothing goes out again, and who was not answered yet waits."""
        self.ledger.note_sent()
        for ended in self._layer.abandon():
            told = ended.context
            assert isinstance(told, Told)
            if ended.sent:
                self._outcomes.append(notified(ended, now, _DEPOSED))
                continue
            asked = told.asked
            self._layer.forget(asked.request, asked.arrival.peer)
            self.ledger.take_back(told.key, asked, now)

    # --- requests

    def _take_request(self, request: Request, arrival: Arrival, now: float) -> None:
        if self._layer.absorb(request, arrival.peer, now):
            return
        fault = judge(request)
        if fault is not None:
            if _is_told(request, arrival):
                refusal = _refusal(request, fault, arrival, _token(self._rng))
                self._layer.respond(request, fault.status, refusal, now)
            elif request.method == "SUBSCRIBE" and is_profile_event(request):
                detail = f"{fault.status} {fault.text}"
                self._outcomes.append(unanswered(Reason.PNP_MALFORMED, arrival, detail=detail))
        elif request.method == "SUBSCRIBE" and not arrival.is_near:
            self._outcomes.append(unanswered(Reason.PNP_DENIED, arrival, detail=_FAR))
        elif request.method == "SUBSCRIBE":
            since = now - max(0.0, arrival.age)
            mac_of = self._around.mac_of
            phone = identify(request, self._vendors, lambda: mac_of(arrival.peer[0], arrival.local.name))
            self._subscribe(Asked(request, arrival, phone, since), now)
        elif not arrival.multicast:
            response = dialog.respond(request, 200, arrival.peer, _token(self._rng), fields=_ABILITIES)
            self._layer.respond(request, 200, Departure(write(response), arrival.peer, arrival.local), now)

    def _subscribe(self, asked: Asked, now: float) -> None:
        key = key_of(asked)
        tag = self.ledger.tag(key, now)
        if tag is not None:  # the same question under another branch: no second NOTIFY
            self._layer.respond(asked.request, 200, _accepted(asked, tag), now)
            return
        around, arrival, phone = self._around, asked.arrival, asked.phone
        address = IPv4Address(arrival.peer[0])
        found = decide(phone, address, self.policy, around.owner_of, around.may_answer)
        reason, detail = found.reason, found.detail
        account = found.owner.account if found.owner is not None else ""
        if reason is None and self.ledger.is_anothers(asked, key, now):
            reason, detail = Reason.PNP_NOT_OURS, _ANOTHERS
        if reason is None:
            assert found.owner is not None
            try:
                self._answer(asked, found.owner, key, now)
                return
            except Refused as refused:
                reason, detail = refused.reason, refused.detail
        if reason is Reason.PNP_NOT_OURS:
            self.ledger.hold(key, asked, now)
        if self._recorded.get(key, now) is reason:
            return  # the journal has it already
        self._recorded.note(key, reason, now)
        self._outcomes.append(unanswered(reason, arrival, phone, account=account, detail=detail))
        if reason in GUESSING:
            self._admission.note_unknown(arrival.peer[0], phone.mac, now)
        if reason in _DISCOVERED:
            self.sightings.note(_discovered(asked, reason))

    def _answer(self, asked: Asked, owner: Owner, key: bytes, now: float) -> None:
        phone, local, peer = asked.phone, asked.arrival.local, asked.arrival.peer
        vendor = self._vendors.by_word(phone.vendor) or UNKNOWN_VENDOR
        name = vendor.file_name(phone.mac, phone.model or owner.model)
        url = self._around.url_for(phone.mac, phone.vendor, name, peer[0], local.address)
        self.sightings.forget(phone.mac)
        tag, branch = _token(self._rng), f"z9hG4bK{_token(self._rng)}{_token(self._rng)}"
        self.ledger.note_answer(key, tag, now)
        self._layer.respond(asked.request, 200, _accepted(asked, tag), now)
        uri, target = notify_target(asked.request, peer, local)
        data = write(dialog.notify(asked.request, local, dialog.Notify(uri, branch, tag, url.encode())))
        told = Told(asked, key, owner.account, name or "/")
        self._layer.request(branch, "NOTIFY", Departure(data, target, local, guarded=True), told, now)
        self._outcomes += [notified(ended, now) for ended in self._layer.events()]


def _is_told(request: Request, arrival: Arrival) -> bool:
    """Whether an error can and may be answered: silence is the answer to what was sent to everybody."""
    vias = request.items("Via")
    return not arrival.multicast and bool(vias) and parse_via(vias[0]) is not None


def _refusal(request: Request, fault: Fault, arrival: Arrival, tag: str) -> Departure:
    fields = fields_for(fault, request)
    response = dialog.respond(request, fault.status, arrival.peer, tag, reason=fault.text, fields=fields)
    return Departure(write(response), arrival.peer, arrival.local)


def _accepted(asked: Asked, tag: str) -> Departure:
    arrival = asked.arrival
    data = write(dialog.accept(asked.request, arrival.peer, arrival.local, tag))
    return Departure(data, arrival.peer, arrival.local, guarded=True)


def _token(rng: random.Random) -> str:
    """A tag, or half of a branch."""
    return f"{rng.getrandbits(48):012x}"


def _discovered(asked: Asked, reason: Reason) -> Discovered:
    arrival = asked.arrival
    return Discovered(asked.phone, arrival.peer[0], arrival.local.name, reason, arrival.at, arrival.at)
