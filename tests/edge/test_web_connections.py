"""Connections at once: who gives way, and when a connection's time is up."""

from __future__ import annotations

import math

import pytest

from era_ap.web.connections import ConnectionPolicy, Connections, Cork, address_of


class Wire:
    def __init__(self) -> None:
        self.waiting_to_be_read = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting_to_be_read


class Connection:
    """Stands for one TCP connection."""

    def __init__(self, address: str = "192.0.2.1", *, waiting: bool = True) -> None:
        self.address = address
        self.is_waiting = waiting
        self.is_lost = False
        self.deadline = self.idle_until = math.inf
        self.is_idle = waiting
        self.transport = Wire()

    def abort(self) -> None:
        self.is_lost = True


def connections(**limits: object) -> Connections:
    return Connections(ConnectionPolicy(**limits), lambda *_: None)  # type: ignore[arg-type]


def add(all_: Connections, *new: Connection) -> list[bool]:
    for connection in new:
        all_.add(connection)  # type: ignore[arg-type]
    return [connection.is_lost for connection in new]


def test_the_oldest_of_an_address_gives_way() -> None:
    several = [Connection() for _ in range(4)]
    other = Connection("192.0.2.2")
    assert add(connections(connections_per_address=2), other, *several) == [False, True, True, False, False]


def test_whoever_is_being_answered_stays() -> None:
    busy, unread, idle, new = Connection(waiting=False), Connection(), Connection(), Connection()
    unread.transport.waiting_to_be_read = 100
    found = add(connections(connections_per_address=3), busy, unread, idle, new)
    assert found == [False, False, True, False]


def test_where_all_are_being_answered_the_new_one_goes() -> None:
    all_ = connections(connections=2)
    assert add(all_, *(Connection(str(n), waiting=False) for n in range(3))) == [False, False, True]


def test_in_all_the_oldest_goes_whatever_its_address() -> None:
    several = [Connection(f"192.0.2.{n}") for n in range(4)]
    assert add(connections(connections=3), *several) == [True, False, False, False]


def test_a_proxy_stands_for_many() -> None:
    all_ = connections(connections_per_address=1, is_proxy=lambda address: address == "192.0.2.1")
    assert add(all_, Connection(), Connection(), Connection("x"), Connection("x")) == [
        False,
        False,
        True,
        False,
    ]


def test_those_that_are_over_are_forgotten() -> None:
    all_ = connections(connections_per_address=1)
    one = Connection()
    add(all_, one)
    all_.remove(one)  # type: ignore[arg-type]
    all_.remove(one)  # type: ignore[arg-type]
    assert len(all_) == 0
    assert add(all_, Connection()) == [False]


@pytest.mark.parametrize(
    ("deadline", "cut"), [(99.0, True), (100.0, True), (100.1, False), (math.inf, False)]
)
def test_time_is_up(deadline: float, cut: bool) -> None:
    all_ = connections()
    one = Connection()
    one.deadline = deadline
    add(all_, one)
    all_.sweep(100.0)
    assert one.is_lost is cut


def test_one_that_closes_and_is_not_read_is_cut_in_the_end() -> None:
    all_ = connections()
    one = Connection()
    add(all_, one)
    one.is_lost = True
    all_.sweep(100.0)
    assert 100.0 < one.deadline < 200.0


@pytest.mark.parametrize(
    ("known", "address"),
    [
        (("192.0.2.1", 80), ("192.0.2.1", 80)),
        (("2001:db8::1", 80, 0, 0), ("2001:db8::1", 80)),
        (("fe80::1", 80, 0, 2), ("fe80::1%eth0", 80)),
        (None, ("fe80::1%eth0", 80)),
        ("/run/a.socket", ("fe80::1%eth0", 80)),
    ],
)
def test_the_kernel_is_asked_only_for_what_the_loop_cannot_know(known: object, address: object) -> None:
    class Transport:
        def get_extra_info(self, _name: str) -> object:
            return known

    assert address_of(Transport(), "peername", lambda _: ("fe80::1%eth0", 80)) == address  # type: ignore[arg-type]


class ClosedTransport:
    """As uvloop's: whoever writes after the end is told so."""

    def is_closing(self) -> bool:
        return True

    def write(self, _data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    writelines = write  # type: ignore[assignment]

    def close(self) -> None:
        pass


def test_to_a_client_that_is_gone_nothing_is_written() -> None:
    cork = Cork(ClosedTransport())  # type: ignore[arg-type]
    for data in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"body", b"more"):
        cork.write(data)
    cork.close()
