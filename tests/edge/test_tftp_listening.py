"""The main sockets: when requests are read, and when they wait."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from era_ap.hub import Hub
from era_ap.tftp.server.listening import MainSockets


class Crowd:
    """A hub that is crowded at our will and whose only socket is read when we say so."""

    is_crowded = False

    def add(self, _fileno: int, handler: Callable[[float], None]) -> None:
        self.read = handler

    def remove(self, _fileno: int) -> None:
        """Nothing is watched here."""


class Door:
    def __init__(self) -> None:
        self.hub = Crowd()
        self.taken: list[bytes] = []
        self.main = MainSockets(cast("Hub", self.hub), lambda data, *_: self.taken.append(data), lambda: None)
        self.address = self.main.listen("127.0.0.1", 0, None)
        (self.listener,) = self.main._listeners
        self.listener.is_roomy = True
        self.phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def ask(self, times: int = 1) -> None:
        for _ in range(times):
            self.phone.sendto(b"?", self.address)

    def read(self, now: float) -> int:
        """How many requests are taken at ``now``."""
        self.taken.clear()
        self.hub.read(now)
        return len(self.taken)


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.main.close()
    door.phone.close()


def test_requests_wait_while_transfers_keep_us_busy_but_not_for_long(door: Door) -> None:
    door.ask(100)
    assert 0 < door.read(10.0) < 100, "a part, so that transfers have their turn"
    door.hub.is_crowded = True
    assert door.read(10.05) == 0
    assert door.read(10.11) > 60, "all that waited"
    door.ask()
    assert door.read(10.12) == 0
    door.hub.is_crowded = False
    assert door.read(10.13) == 1


def test_each_socket_has_its_own_patience(door: Door) -> None:
    first = door.hub.read
    door.main.listen("127.0.0.1", 0, None)
    second = door.main._listeners[1]
    second.is_roomy = True
    first(10.0)
    door.hub.read(10.0)
    door.hub.is_crowded = True
    first(10.1)
    door.phone.sendto(b"?", second.address)
    assert door.read(10.11) == 1


def test_requests_do_not_wait_where_the_buffer_is_small(door: Door) -> None:
    door.ask()
    door.hub.is_crowded = True
    door.listener.is_roomy = False
    assert door.read(0.01) == 1


def test_nothing_waits_on_a_port_that_transfers_share(door: Door) -> None:
    door.main.share(True)
    door.ask()
    door.hub.is_crowded = True
    assert door.read(0.01) == 1
