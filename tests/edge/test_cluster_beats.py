"""Notices between two instances on real sockets: claims before answers, beats, and the change of leaders."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from types import MappingProxyType
from typing import Any

import pytest
import structlog

from era_ap.cluster.beats import Beats, Channel
from era_ap.cluster.notices import GRACE_SECONDS
from era_ap.cluster.view import Member, Term

SECRET = b"s" * 32
KEY = b"k" * 16
SECONDS = 5.0


class Pnp:
    """Stands for PnP; remembers what it was told."""

    def __init__(self) -> None:
        self.since: list[float] = []
        self.stood_down = 0
        self.elsewhere: list[bytes] = []
        self.unread: float | None = 0.0
        self.changed = asyncio.Event()

    def take_over(self, since: float) -> int:
        self.since.append(since)
        return 3

    def stand_down(self) -> None:
        self.stood_down += 1
        self.changed.set()

    def note_elsewhere(self, keys: Iterable[bytes]) -> None:
        self.elsewhere += keys
        self.changed.set()

    def behind(self) -> float | None:
        return self.unread


class Coordinator:
    """Stands for the cluster: members, leaders, and whether we may send."""

    def __init__(self) -> None:
        self.members: tuple[Member, ...] = ()
        self.leaders: Any = MappingProxyType({})
        self.right = True

    def may_send(self, _now: float) -> bool:
        return self.right


def member(name: str, peer: str) -> Member:
    return Member(name, group=1, order=1, identity="x", instance=f"{name}-1", peer=peer)


def term(name: str, number: int) -> Term:
    return Term(group=1, leader=name, number=number, lease=2.7, version=0, zxid=0)


class Instance:
    def __init__(self, name: str, secret: bytes = SECRET, group: int = 1) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.pnp = Pnp()
        self.coordinator = Coordinator()
        self.beats = Beats(self.coordinator, name, f"{name}-1", group, 4.0, structlog.get_logger())  # type: ignore[arg-type]
        self.beats.pnp = self.pnp
        self.beats.trust(secret)
        port = self.socket.getsockname()[1]
        self.member = member(name, f"127.0.0.1:{port}")

    def lead(self, number: int = 7) -> None:
        self.beats.on_lead(term(self.name, number))

    async def hears(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS):
            while not true():
                self.pnp.changed.clear()
                await self.pnp.changed.wait()


@contextlib.asynccontextmanager
async def cluster(*instances: Instance) -> AsyncIterator[tuple[Instance, ...]]:
    members = tuple(each.member for each in instances)
    for each in instances:
        each.coordinator.members = members
        each.beats.listen(each.socket)
    try:
        yield instances
    finally:
        for each in instances:
            each.beats.close()


def run(talk: Callable[..., Any], *instances: Callable[[], Instance]) -> list[Any]:
    async def work() -> None:
        async with cluster(*(make() for make in instances)) as made:
            await talk(*made)

    with structlog.testing.capture_logs() as logged:
        asyncio.run(work())
    return list(logged)


def make(name: str, **options: Any) -> Callable[[], Instance]:
    return lambda: Instance(name, **options)


def test_a_claim_reaches_every_other_instance() -> None:
    async def talk(leader: Instance, one: Instance, two: Instance) -> None:
        leader.lead()
        leader.beats.announce([KEY])
        for standby in (one, two):
            await standby.hears(lambda s=standby: s.pnp.elsewhere[:1] == [KEY])
        assert leader.pnp.elsewhere == []

    run(talk, make("ap1"), make("ap2"), make("ap3"))


def test_a_standby_answers_what_came_after_the_last_beat() -> None:
    async def talk(leader: Instance, standby: Instance) -> None:
        leader.lead()
        leader.beats.announce([KEY])
        await standby.hears(lambda: standby.pnp.elsewhere.count(KEY) >= 3)  # the claim and two beats
        leader.beats.on_stop_leading("told to")
        before = time.monotonic()
        standby.lead(8)
        assert before - 2.0 - GRACE_SECONDS < standby.pnp.since[0] <= before - GRACE_SECONDS + 0.1
        assert leader.pnp.stood_down == 1

    logged = run(talk, make("ap1"), make("ap2"))
    assert [entry["phones"] for entry in logged] == [3, 3]


def test_a_claim_that_has_come_is_read_before_anybody_is_answered() -> None:
    async def talk(leader: Instance, standby: Instance) -> None:
        leader.lead()
        leader.beats.announce([KEY])
        standby.lead(8)
        assert KEY in standby.pnp.elsewhere

    run(talk, make("ap1"), make("ap2"))


def test_the_first_leader_answers_everybody_who_waits() -> None:
    async def talk(leader: Instance) -> None:
        leader.lead()
        assert leader.pnp.since == [float("-inf")]

    run(talk, make("ap1"))


def test_a_leader_that_zookeeper_showed_and_nobody_heard_answered_until_it_was_gone() -> None:
    async def talk(standby: Instance) -> None:
        standby.coordinator.leaders = {1: term("ap1", 7)}
        standby.beats.on_view()
        standby.coordinator.leaders = {}
        standby.beats.on_view()
        before = time.monotonic()
        standby.lead(8)
        assert before - 1.0 < standby.pnp.since[0] <= before

    run(talk, make("ap2"))


def test_who_leads_again_answers_what_came_since_it_lost_the_right() -> None:
    """The right may have ended long before anybody says so: phones of that time wait for us too."""

    async def talk(leader: Instance) -> None:
        leader.lead()
        last_beat = time.monotonic()
        leader.coordinator.right = False
        await asyncio.sleep(0.8)
        leader.beats.on_stop_leading("no contact")
        leader.lead(8)
        assert last_beat - 1.0 < leader.pnp.since[1] <= last_beat - GRACE_SECONDS

    run(talk, make("ap1"))


def test_our_own_lead_is_nobody_elses() -> None:
    async def talk(leader: Instance) -> None:
        leader.coordinator.leaders = {1: term("ap1", 7)}
        leader.beats.on_view()
        leader.lead()
        assert leader.pnp.since == [float("-inf")]

    run(talk, make("ap1"))


def test_who_may_not_send_or_does_not_listen_to_phones_sends_no_beat() -> None:
    async def talk(leader: Instance, standby: Instance) -> None:
        leader.pnp.unread = None
        leader.lead()
        leader.beats.announce([KEY])
        await standby.hears(lambda: standby.pnp.elsewhere)
        leader.pnp.unread = 0.0
        leader.coordinator.right = False
        heard = len(standby.pnp.elsewhere)
        await asyncio.sleep(0.6)  # two beats, if there were any
        assert len(standby.pnp.elsewhere) == heard
        standby.lead(8)
        assert standby.pnp.since == [float("-inf")]

    run(talk, make("ap1"), make("ap2"))


def test_who_hears_of_a_later_term_answers_no_more() -> None:
    async def talk(old: Instance, new: Instance) -> None:
        old.lead(7)
        assert old.beats.may_send(0.0)
        new.lead(8)
        new.beats.announce([KEY])
        await old.hears(lambda: old.pnp.stood_down)
        assert not old.beats.may_send(0.0)
        assert new.beats.may_send(0.0)
        old.lead(9)
        assert old.beats.may_send(0.0)

    logged = run(talk, make("ap1"), make("ap2"))
    assert [entry["event"] for entry in logged if entry["log_level"] == "error"] == ["another instance leads"]


def test_who_does_not_lead_may_not_send() -> None:
    async def talk(instance: Instance) -> None:
        assert not instance.beats.may_send(0.0)
        instance.lead()
        assert instance.beats.may_send(0.0)
        instance.coordinator.right = False
        assert not instance.beats.may_send(0.0)
        instance.coordinator.right = True
        instance.beats.on_stop_leading("x")
        assert not instance.beats.may_send(0.0)

    run(talk, make("ap1"))


@pytest.mark.parametrize("options", [{"secret": b"t" * 32}, {"group": 2}], ids=["secret", "group"])
def test_strangers_are_not_heard(options: dict[str, Any]) -> None:
    async def talk(leader: Instance, stranger: Instance) -> None:
        leader.lead()
        leader.beats.announce([KEY])
        stranger.lead(8)  # reads what has come
        assert stranger.pnp.elsewhere == []

    run(talk, make("ap1"), make("ap2", **options))


def test_a_wall_clock_that_is_set_makes_no_notice_old() -> None:
    arrived: list[float] = []
    ahead = 0.0

    async def talk() -> None:
        nonlocal ahead
        channel = Channel(lambda _, at: arrived.append(at), time.monotonic, lambda: time.time() + ahead)
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ours.bind(("127.0.0.1", 0))
        channel.open(ours)
        channel.read()  # it is empty
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for shift in (0.0, 3600.0, -3600.0):
                ahead = shift
                began = time.monotonic()
                other.sendto(b"x", ours.getsockname())
                channel.read()
                assert began - 1.0 < arrived[-1] <= time.monotonic()
        channel.close()

    asyncio.run(talk())
    assert len(arrived) == 3


def test_noise_on_the_port_and_members_that_are_nowhere_do_no_harm() -> None:
    async def talk(leader: Instance, standby: Instance) -> None:
        lost = member("ap3", "nowhere")
        leader.coordinator.members = (lost, *leader.coordinator.members)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
            for data in (b"", b"x", b"eaN1" * 50, bytes(60_000)):
                noise.sendto(data, standby.socket.getsockname())
        leader.lead()
        leader.beats.announce([KEY])
        await standby.hears(lambda: standby.pnp.elsewhere)

    assert not [entry for entry in run(talk, make("ap1"), make("ap2")) if entry["log_level"] == "error"]
