"""The server around the responder: sockets, membership, timers and the last look before sending."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Interface

import pytest
from twisted.internet.task import Clock

from era_ap.sip.interfaces import Interface
from era_ap.sip.outcomes import Outcome
from era_ap.sip.path import Local, Peer
from era_ap.sip.server import PnpServer
from era_ap.sip.sockets import GROUP, Received
from era_ap.sip.wire import Place, Status
from tests.unit.sip_site import MAC, PHONE, World, subscribe

LAN = Interface(2, "eth0", (IPv4Interface("192.0.2.1/24"),), True)
WLAN = Interface(5, "wlan0", (IPv4Interface("198.51.100.1/24"),), True)
LOOPBACK = Interface(1, "lo", (IPv4Interface("127.0.0.1/8"),), True)


class FakeSocket:
    """Keeps what is sent and gives what was put; a real socket pair lends it a descriptor."""

    def __init__(self) -> None:
        self._ends = socket.socketpair()
        self.waiting: list[Received] = []
        self.sent: list[tuple[bytes, Peer, Local]] = []
        self.joined: list[int] = []
        self.calls: list[str] = []
        self.refuses: dict[int, int] = {}
        self.port = 40000

    def fileno(self) -> int:
        return self._ends[0].fileno()

    def put(self, received: Received) -> None:
        self.waiting.append(received)
        self._ends[1].send(b"x")

    def receive(self) -> Received | None:
        if not self.waiting:
            return None
        self._ends[0].recv(1)
        return self.waiting.pop(0)

    def send(self, data: bytes, peer: Peer, local: Local) -> None:
        self.sent.append((data, peer, local))

    def join(self, index: int) -> None:
        if index in self.refuses:
            raise OSError(self.refuses[index], "no")
        self.calls.append(f"join {index}")
        self.joined.append(index)

    def leave(self, index: int) -> None:
        self.calls.append(f"leave {index}")
        self.joined.remove(index)

    def close(self) -> None:
        for end in self._ends:
            end.close()


class Reactor(Clock):
    """Twisted's clock with readers."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list = []

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.remove(reader)

    def read(self) -> None:
        for reader in self.readers:
            reader.doRead()


class Bench:
    """A server with fake sockets; ``there`` is what interfaces exist."""

    def __init__(self, place: Place = Place(), **world: object) -> None:  # noqa: B008 - frozen
        self.reactor = Reactor()
        self.world = World(**world)
        self.there = {1: LOOPBACK, 2: LAN}
        self.group, self.answers = FakeSocket(), FakeSocket()
        self.failures: dict[str, int] = {}
        self.outcomes: list[Outcome] = []
        self.statuses: list[Status] = []
        self.errors: list[BaseException] = []
        self.may_send = True
        self.announced: list[tuple[tuple[bytes, ...], int]] = []
        self.server = PnpServer(
            self.reactor, self.world.responder, place, self.outcomes.append, self.statuses.append,
            on_error=self.errors.append, may_send=lambda _now: self.may_send, announce=self._announce,
            clock=self.reactor.seconds,
            wall_clock=lambda: 1000.0 + self.reactor.seconds(), open_socket=self._open,
            look_around=lambda: dict(self.there),
        )  # fmt: skip
        self.server.start()

    def _announce(self, keys: tuple[bytes, ...]) -> None:
        self.announced.append((keys, len(self.answers.sent)))

    def _open(self, address: str, port: int, **_options: object) -> FakeSocket:
        if address in self.failures:
            raise OSError(self.failures[address], "no")
        return self.group if address == GROUP else self.answers

    def hear(self, data: bytes = b"", at: float | None = None, index: int = 2, to: str = "192.0.2.1") -> None:
        self.group.put(Received(data or subscribe(), PHONE, index, to, at))
        self.reactor.read()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_group_is_joined_wherever_others_are(bench: Bench) -> None:
    assert bench.group.joined == [2]
    assert bench.statuses == [Status(("eth0",), 40000, "")]


def test_answers_leave_from_where_the_phone_was_heard(bench: Bench) -> None:
    bench.hear()
    assert [peer for _, peer, _ in bench.answers.sent] == [PHONE, PHONE]
    local = bench.answers.sent[0][2]
    assert (local.address, local.port, local.index, local.name) == ("192.0.2.1", 40000, 2, "eth0")
    assert bench.group.sent == []
    assert bench.errors == []


def test_an_interface_that_nobody_knew_of_yet_answers_as_well(bench: Bench) -> None:
    bench.hear(index=9, to="203.0.113.1")
    assert (bench.answers.sent[0][2].address, bench.answers.sent[0][2].index) == ("203.0.113.1", 9)


@pytest.mark.parametrize(("index", "sent"), [(2, 2), (5, 0)])
def test_asked_directly_it_answers_on_its_interfaces_only(index: int, sent: int) -> None:
    bench = Bench(Place(("eth0",)))
    bench.there |= {5: Interface(5, "wlan0", LAN.addresses, True)}
    bench.reactor.advance(2)
    bench.answers.put(Received(subscribe(), PHONE, index, "192.0.2.1", None))
    bench.reactor.read()
    assert len(bench.answers.sent) == sent
    assert bench.errors == []


def test_without_an_address_there_is_no_answer(bench: Bench) -> None:
    bench.hear(index=9, to="0.0.0.0")
    assert bench.answers.sent == []


def test_notify_is_repeated_by_the_clock(bench: Bench) -> None:
    bench.hear()
    for _ in range(400):
        bench.reactor.advance(0.02)
    assert [data[:6] for data, _, _ in bench.answers.sent] == [b"SIP/2.", *[b"NOTIFY"] * 4]
    assert [outcome.reason.code for outcome in bench.outcomes] == ["pnp-unconfirmed"]


def test_the_right_to_answer_is_asked_before_every_send(bench: Bench) -> None:
    bench.hear()
    bench.may_send = False
    bench.reactor.advance(0.6)
    assert len(bench.answers.sent) == 2


def test_who_does_not_lead_any_more_repeats_nothing_even_if_it_leads_again(bench: Bench) -> None:
    bench.hear()
    bench.may_send = False
    bench.reactor.advance(0.6)
    bench.may_send = True
    bench.server.take_over(bench.reactor.seconds())
    for _ in range(400):
        bench.reactor.advance(0.02)
    assert len(bench.answers.sent) == 2
    assert [(each.reason.code, each.sent) for each in bench.outcomes] == [("pnp-unconfirmed", 1)]


def test_repeating_ends_at_once_when_the_cluster_says_so(bench: Bench) -> None:
    bench.hear()
    bench.server.stand_down()
    for _ in range(400):
        bench.reactor.advance(0.02)
    assert len(bench.answers.sent) == 2
    assert bench.outcomes[0].detail == "this instance does not lead any more"


def test_an_answer_that_may_not_go_out_leaves_the_phone_waiting(bench: Bench) -> None:
    bench.may_send = False
    bench.hear()
    assert (bench.answers.sent, bench.announced) == ([], [])
    bench.may_send = True
    assert bench.server.take_over(-1.0) == 1
    assert [data[:6] for data, _, _ in bench.answers.sent] == [b"SIP/2.", b"NOTIFY"]
    assert len(bench.announced) == 1


def test_others_are_told_before_the_answer_leaves(bench: Bench) -> None:
    bench.hear()
    ((keys, sent),) = bench.announced
    assert (len(keys), len(keys[0]), sent) == (1, 16, 0)
    bench.reactor.advance(0.6)
    assert (len(bench.announced), len(bench.answers.sent)) == (1, 3)


def test_how_far_reading_is_behind(bench: Bench) -> None:
    assert bench.server.behind() == 0.0
    for number in range(65):
        bench.group.put(Received(subscribe(Call_ID=str(number)), PHONE, 2, "192.0.2.1", 999.5))
    assert bench.server.behind() == 0.0
    assert len(bench.answers.sent) == 130
    bench.server.stop()
    assert bench.server.behind() is None


def test_the_kernels_time_stamp_tells_what_waited(bench: Bench) -> None:
    bench.hear(at=998.9)
    assert bench.answers.sent == []
    assert [outcome.reason.code for outcome in bench.outcomes] == ["pnp-stale"]
    bench.hear(subscribe(MAC, Call_ID="2"), at=999.5)
    assert len(bench.answers.sent) == 2


def test_interfaces_come_go_and_change(bench: Bench) -> None:
    bench.there[5] = WLAN
    bench.reactor.advance(2.0)
    assert bench.group.joined == [2, 5]
    del bench.there[2]
    bench.reactor.advance(2.0)
    assert bench.group.joined == [5]
    bench.group.calls.clear()
    bench.there[5] = Interface(5, "wlan0", (IPv4Interface("198.51.100.9/24"),), True)
    bench.reactor.advance(2.0)
    assert bench.group.calls == ["leave 5", "join 5"]
    bench.reactor.advance(2.0)
    assert bench.group.calls == ["leave 5", "join 5"]
    assert [status.interfaces for status in bench.statuses] == [("eth0",), ("eth0", "wlan0"), ("wlan0",)]


def test_only_what_is_named_is_joined() -> None:
    bench = Bench(Place(interfaces=("lo", "198.51.100.1", "eth7")))
    bench.there[5] = WLAN
    bench.reactor.advance(2.0)
    assert bench.group.joined == [1, 5]
    bench.server.replace(Place(interfaces=("eth0",)))
    assert bench.group.joined == [2]


def test_what_is_in_the_way_is_told_and_tried_again() -> None:
    bench = Bench(Place(interfaces=("eth7",)))
    assert bench.statuses[-1].problem == "no interface eth7 here"
    bench.group.refuses[2] = errno.ENOBUFS
    bench.server.replace(Place())
    assert "igmp_max_memberships" in bench.statuses[-1].problem
    bench.group.refuses.clear()
    bench.reactor.advance(2.0)
    assert bench.statuses[-1] == Status(("eth0",), 40000, "")


def test_a_stopped_server_does_nothing_more(bench: Bench) -> None:
    bench.hear()
    bench.server.stop()
    sent = len(bench.answers.sent)
    bench.reactor.advance(10.0)
    assert len(bench.answers.sent) == sent
    assert bench.reactor.readers == []
    assert bench.reactor.getDelayedCalls() == []


def test_a_new_leader_answers_at_once(bench: Bench) -> None:
    bench.world.leads = False
    bench.hear()
    assert bench.answers.sent == []
    bench.world.leads = True
    assert bench.server.take_over(0.0) == 1
    assert len(bench.answers.sent) == 2
