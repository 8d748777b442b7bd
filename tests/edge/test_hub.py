"""The hub: who is served in a turn of the reactor, how long it goes on, and what harms nobody."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from era_ap.hub import Hub

Bound = Callable[[], socket.socket]


@pytest.fixture
def bound() -> Iterator[Bound]:
    opened: list[socket.socket] = []

    def bind() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.append(sock)
        sock.bind(("127.0.0.1", 0))
        return sock

    yield bind
    for sock in opened:
        sock.close()


class Room:
    """A hub with some sockets, of which each datagram is ``heard``; ``say`` sends one to a socket."""

    def __init__(self, bound: Bound, sockets: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.hub = Hub(clock, self._fail)
        self.heard: list[bytes] = []
        self._sender = bound()
        self._sockets = [bound() for _ in range(sockets)]
        for sock in self._sockets:
            self.hub.add(sock.fileno(), lambda now, sock=sock: self.heard.append(sock.recv(10)))

    @staticmethod
    def _fail(error: Exception) -> None:
        raise error

    def say(self, text: bytes, index: int) -> None:
        self._sender.sendto(text, self._sockets[index].getsockname())


def test_of_several_peers_one_that_answers_at_once_is_served_in_the_same_turn(
    bound: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(bound, 2, lambda: 0.0)
    answers = iter([b"", b"", b"c"])

    def give_way() -> None:
        if text := next(answers, b""):
            room.say(text, 0)

    monkeypatch.setattr(os, "sched_yield", give_way)
    room.say(b"a", 0)
    room.say(b"b", 1)
    room.hub.doRead()
    assert sorted(room.heard) == [b"a", b"b", b"c"]
    room.hub.close()


def test_a_single_peer_is_not_waited_for(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_yield", lambda: pytest.fail("the reactor has other things to do"))
    room = Room(bound, 2)
    room.say(b"a", 0)
    room.hub.doRead()
    assert room.heard == [b"a"]
    room.hub.close()


def test_waiting_has_an_end(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[None] = []
    monkeypatch.setattr(os, "sched_yield", lambda: looks.append(None))
    room = Room(bound, 2, lambda: 0.0)
    room.say(b"a", 0)
    room.say(b"b", 1)
    room.hub.doRead()
    assert len(looks) == 8
    room.hub.close()


def test_who_keeps_the_core_is_not_offered_it_again_for_a_while(
    bound: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    time_now = [0.0]
    looks: list[None] = []

    def lose_the_core() -> None:
        looks.append(None)
        time_now[0] += 0.004

    monkeypatch.setattr(os, "sched_yield", lose_the_core)
    room = Room(bound, 2, lambda: time_now[0])
    for later, offered in ((0.0, 1), (0.02, 1), (0.1, 2)):
        time_now[0] += later
        room.say(b"a", 0)
        room.say(b"b", 1)
        room.hub.doRead()
        assert len(looks) == offered
    room.hub.close()


def test_a_turn_ends_though_peers_go_on(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(number / 1000 for number in range(1000))
    room = Room(bound, 2, times.__next__)
    monkeypatch.setattr(os, "sched_yield", lambda: (room.say(b"x", 0), room.say(b"y", 1)))
    room.say(b"a", 0)
    room.say(b"b", 1)
    room.hub.doRead()
    assert 2 < len(room.heard) < 20
    room.hub.close()


def test_a_hub_that_the_reactor_dropped_says_so() -> None:
    hub = Hub(time.monotonic, lambda _: None)
    assert not hub.is_lost
    hub.connectionLost(Failure(ConnectionLost()))
    assert hub.is_lost
    hub.close()


def test_one_handlers_defect_is_not_anothers(bound: Bound) -> None:
    errors: list[Exception] = []
    heard: list[bytes] = []
    hub = Hub(iter(range(1000)).__next__, errors.append)
    bad, good, sender = (bound() for _ in range(3))

    def raise_it(now: float) -> None:
        bad.recv(10)
        raise ZeroDivisionError

    hub.add(bad.fileno(), raise_it)
    hub.add(good.fileno(), lambda now: heard.append(good.recv(10)))
    for sock in (bad, good):
        sender.sendto(b"x", sock.getsockname())
    hub.doRead()
    hub.doRead()
    assert heard == [b"x"]
    assert [type(error) for error in errors] == [ZeroDivisionError]
    hub.remove(-1)  # of a socket that is closed already
    sender.sendto(b"y", good.getsockname())
    hub.doRead()
    assert heard == [b"x", b"y"]
    hub.remove(good.fileno())
    sender.sendto(b"z", good.getsockname())
    hub.doRead()
    assert heard == [b"x", b"y"]
    hub.close()
