"""Phones and responder on a link that loses, doubles, reorders and delays: each gets its URL once (D2)."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest

from era_ap.errors import Reason
from era_ap.sip.message import Request, Response, parse
from era_ap.sip.path import Departure
from era_ap.sip.transaction import ClientTransaction, Timing
from tests.unit.sip_site import LAN, World, confirm, subscribe


@dataclass
class Phone:
    """A phone that asks as RFC 3261 says and confirms every NOTIFY it gets."""

    number: int
    transaction: ClientTransaction = field(init=False)
    accepted: set[str] = field(default_factory=set)
    notified: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.peer = (f"192.0.2.{self.number % 250 + 1}", 2000 + self.number)
        data = subscribe(
            f"001565{self.number:06x}",
            Call_ID=str(self.number),
            Contact=f"<sip:{self.peer[0]}:{self.peer[1]}>",
        )
        self.transaction = ClientTransaction(Departure(data, self.peer, LAN), Timing(), 0.0)


class Link:
    """What is on its way: (when, number, to the server?, peer, data)."""

    def __init__(self, seed: int, loss: float) -> None:
        self.rng = random.Random(seed)
        self.loss = loss
        self.queue: list[tuple[float, int, bool, tuple[str, int], bytes, bool]] = []
        self.count = 0

    def put(self, now: float, to_server: bool, peer: tuple[str, int], data: bytes, multicast: bool) -> None:
        for _ in range(2 if self.rng.random() < 0.2 else 1):
            if self.rng.random() >= self.loss:
                self.count += 1
                delay = self.rng.choice((0.001, 0.002, 0.3))
                heapq.heappush(self.queue, (now + delay, self.count, to_server, peer, data, multicast))


def play(phones: list[Phone], world: World, link: Link, end: float) -> None:
    """Run everything in the order of time."""
    by_peer = {phone.peer: phone for phone in phones}
    now = 0.0
    while now < end:
        for phone in phones:
            phone.transaction.handle_timer(now)
            for each in phone.transaction.datagrams_to_send():
                link.put(now, True, phone.peer, each.data, True)
        world.responder.handle_timer(now)
        while link.queue and link.queue[0][0] <= now:
            _, _, to_server, peer, data, multicast = heapq.heappop(link.queue)
            if to_server:
                for each in world.hear(data, now, peer=peer, multicast=multicast):
                    link.put(now, False, each.peer, each.data, False)
                continue
            phone, found = by_peer[peer], parse(data)
            if isinstance(found, Response):
                phone.accepted.add(str(found.get("To")))
                phone.transaction.receive_response(found, now)
            elif isinstance(found, Request):
                phone.notified.add(data)
                link.put(now, True, peer, confirm(Departure(data, peer, LAN)), False)
        for each in world.responder.datagrams_to_send():
            link.put(now, False, each.peer, each.data, False)
        now += 0.05


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_each_phone_gets_one_answer_and_one_url(seed: int, loss: float) -> None:
    world = World(everybody=True)
    phones = [Phone(number) for number in range(60)]
    play(phones, world, Link(seed, loss), 20.0)
    assert all(len(phone.accepted) <= 1 and len(phone.notified) <= 1 for phone in phones)
    told = sum(bool(phone.notified) for phone in phones)
    assert told >= (58 if loss else 60), told  # four losses in a row do happen
    reasons = world.reasons()
    assert set(reasons) <= {Reason.PNP_ACCEPTED, Reason.PNP_UNCONFIRMED}
    assert reasons.count(Reason.PNP_ACCEPTED) >= told - (4 if loss else 0)
