"""Sockets: addresses, buffers, segmentation."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from era_ap.udp import (
    RECEIVE_BUFFER,
    SHARED,
    Listener,
    Local,
    Sharing,
    connected,
    enlarge_receive_buffer,
    path_limit,
    send_segmented,
    sharing,
)

WHERE = [
    ("127.0.0.1", "127.0.0.1"),
    ("0.0.0.0", "127.0.0.1"),
    ("0.0.0.0", "127.5.5.5"),
    ("::1", "::1"),
    ("::", "::1"),
]


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    yield opened
    for sock in opened:
        sock.close()


def client(opened: list[socket.socket], address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    opened.append(sock)
    sock.bind((address, 0))
    sock.settimeout(5)
    return sock


@pytest.mark.parametrize(("bound", "asked"), WHERE)
def test_a_datagram_tells_where_it_came_to_and_is_answered_from_there(
    sockets: list[socket.socket], bound: str, asked: str
) -> None:
    listener = Listener(bound, 0)
    phone = client(sockets, "::1" if ":" in bound else "127.0.0.1")
    for _ in range(2):
        phone.sendto(b"hello", (asked, listener.port))
        received = listener.receive(3)
        assert received is not None
        data, peer, local = received
        assert (data, peer[:2], local.address) == (b"hel", phone.getsockname()[:2], asked)
        listener.send(b"answer", peer, local)
        answer, source = phone.recvfrom(100)
        assert (answer, source[:2]) == (b"answer", (asked, listener.port))
    assert listener.receive(3) is None
    listener.close()
    assert listener.fileno() == -1


def test_ipv6_and_ipv4_share_a_port_number_as_two_sockets() -> None:
    six = Listener("::", 0)
    four = Listener("0.0.0.0", six.port)
    assert four.port == six.port
    six.close()
    four.close()


def free_port(address: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def test_a_port_is_shared_only_where_both_want_it() -> None:
    port = free_port()
    assert sharing("127.0.0.1", port, beside=False) == Sharing(SHARED, others=False)
    first = Listener("127.0.0.1", port, options=SHARED)
    assert sharing("127.0.0.1", port, beside=False) == Sharing(SHARED, others=True)
    second = Listener("127.0.0.1", port, options=SHARED)
    second.close()
    with pytest.raises(OSError) as caught:
        Listener("127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    first.close()


@pytest.mark.parametrize("beside", [False, True])
def test_a_strangers_port_is_not_shared(beside: bool) -> None:
    stranger = Listener("127.0.0.1", 0)
    with pytest.raises(OSError) as caught:
        sharing("127.0.0.1", stranger.port, beside=beside)
    assert caught.value.errno == errno.EADDRINUSE
    stranger.close()


def test_a_port_that_the_kernel_chooses_is_nobody_elses() -> None:
    assert sharing("127.0.0.1", 0, beside=True) == Sharing(())


def test_another_instances_transfers_on_the_port_are_told_apart(sockets: list[socket.socket]) -> None:
    port = free_port()
    first = Listener("127.0.0.1", port, options=SHARED)
    first.share()
    phone = client(sockets, "127.0.0.1")
    sock, _ = first.beside(phone.getsockname(), Local("127.0.0.1", 0))
    found = sharing("127.0.0.1", port, beside=True)
    assert found.others
    second = Listener("127.0.0.1", port, options=found.options)
    for each in (first, second, sock):
        each.close()


def test_a_transfer_that_begins_after_the_port_was_tried_keeps_nobody_out(
    sockets: list[socket.socket],
) -> None:
    port = free_port()
    first = Listener("127.0.0.1", port, options=SHARED)
    first.share()
    found = sharing("127.0.0.1", port, beside=True)
    sock, _ = first.beside(client(sockets, "127.0.0.1").getsockname(), Local("127.0.0.1", 0))
    second = Listener("127.0.0.1", port, options=found.options)
    for each in (first, second, sock):
        each.close()


def test_what_comes_while_a_port_is_tried_is_not_lost(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    first = Listener("127.0.0.1", port, options=SHARED)
    withdraw = Listener.withdraw

    def busy(listener: Listener) -> bool:
        for _ in range(50):
            client(sockets, "127.0.0.1").sendto(b"x", ("127.0.0.1", port))
        return withdraw(listener)

    monkeypatch.setattr(Listener, "withdraw", busy)
    found = sharing("127.0.0.1", port, beside=False)
    assert found.caught
    assert len(found.caught) + len(read_all(first)) == 50
    first.close()


def read_all(listener: Listener) -> list[bytes]:
    found = []
    while (got := listener.receive(100)) is not None:
        found.append(got[0])
    return found


@pytest.mark.parametrize(("address", "to"), WHERE)
def test_who_withdraws_gets_nothing_new_and_loses_nothing(
    sockets: list[socket.socket], address: str, to: str
) -> None:
    port = free_port(address)
    leaving, staying = (Listener(address, port, options=SHARED) for _ in range(2))
    clients = [client(sockets, to) for _ in range(64)]
    for sock in clients:
        sock.sendto(b"before", (to, port))
    assert leaving.withdraw()
    for sock in clients:
        sock.sendto(b"after", (to, port))
    left, stayed = read_all(leaving), read_all(staying)
    assert 0 < left.count(b"before") < 64
    assert left.count(b"before") + stayed.count(b"before") == 64
    assert (left.count(b"after"), stayed.count(b"after")) == (0, 64)
    leaving.close()
    for sock in clients:
        sock.sendto(b"again", (to, port))
    assert read_all(staying) == [b"again"] * 64
    staying.close()


def test_a_socket_of_somebody_elses_is_not_withdrawn(sockets: list[socket.socket]) -> None:
    given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    given.bind(("127.0.0.1", 0))
    listener = Listener("", 0, sock=given)
    assert not listener.withdraw()
    client(sockets, "127.0.0.1").sendto(b"x", ("127.0.0.1", listener.port))
    assert read_all(listener) == [b"x"]
    listener.close()


@pytest.mark.parametrize(("address", "to"), WHERE)
def test_a_socket_beside_the_main_one_hears_its_peer_only(
    sockets: list[socket.socket], address: str, to: str
) -> None:
    listener = Listener(address, 0)
    phone, other = client(sockets, to), client(sockets, to)
    phone.sendto(b"hello", (to, listener.port))
    got = listener.receive(100)
    assert got is not None
    _, peer, local = got
    with pytest.raises(OSError, match="in use"):
        listener.beside(peer, local)
    listener.share()
    sock, caught = listener.beside(peer, local)
    assert caught == []
    phone.sendto(b"mine", (to, listener.port))
    other.sendto(b"another", (to, listener.port))
    assert sock.recv(100) == b"mine"
    assert read_all(listener) == [b"another"]
    sock.send(b"answer")
    assert phone.recvfrom(100)[1][:2] == (to, listener.port)
    sock.close()
    listener.close()


def test_the_receive_buffer_is_as_large_as_the_kernel_lets_us(sockets: list[socket.socket]) -> None:
    sock = client(sockets, "127.0.0.1")
    default = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    assert default < enlarge_receive_buffer(sock, RECEIVE_BUFFER) <= RECEIVE_BUFFER


def test_a_socket_that_is_bound_already_is_taken_as_it_is(sockets: list[socket.socket]) -> None:
    given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    given.bind(("0.0.0.0", 0))
    listener = Listener("", 0, sock=given)
    assert listener.address == given.getsockname()
    phone = client(sockets, "127.0.0.1")
    phone.sendto(b"hello", ("127.0.0.1", listener.port))
    received = listener.receive(100)
    assert received is not None
    assert (received[0], received[2].address) == (b"hello", "127.0.0.1")
    assert listener.receive(100) is None  # does not block
    listener.close()


def test_a_buffer_that_is_large_enough_is_not_made_smaller() -> None:
    class Rich(socket.socket):
        def setsockopt(self, *_: object) -> None:
            raise AssertionError("net.core.rmem_max would take away what systemd gave")

    with Rich(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        there = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        assert enlarge_receive_buffer(sock, there) == there


def test_a_burst_of_two_thousand_requests_is_not_lost(sockets: list[socket.socket]) -> None:
    listener = Listener("127.0.0.1", 0)
    if enlarge_receive_buffer(listener._sock, RECEIVE_BUFFER) < RECEIVE_BUFFER:
        pytest.skip("net.core.rmem_max is below 4 MiB and SO_RCVBUFFORCE is not allowed here")
    phone = client(sockets, "127.0.0.1")
    for _ in range(2000):
        phone.sendto(b"\0\1001122334455.cfg\0octet\0", ("127.0.0.1", listener.port))
    assert sum(1 for _ in iter(lambda: listener.receive(600), None)) == 2000
    listener.close()


def test_segments_arrive_as_datagrams(sockets: list[socket.socket]) -> None:
    phone = client(sockets, "127.0.0.1")
    sock = connected(socket.AF_INET, ("127.0.0.1", 0), phone.getsockname())
    datagrams = [bytes([n]) * 1432 for n in range(50)] + [b"short"]
    if not send_segmented(sock, datagrams):
        pytest.skip("no UDP_SEGMENT here")
    assert [phone.recv(2000) for _ in datagrams] == datagrams
    assert send_segmented(sock, [bytes(40000), bytes(40000)]) is False, "too large for one burst"
    sock.close()


def test_a_closed_port_shows_on_the_connected_socket(sockets: list[socket.socket]) -> None:
    phone = client(sockets, "127.0.0.1")
    sock = connected(socket.AF_INET, ("127.0.0.1", 0), phone.getsockname())
    assert path_limit(sock, socket.AF_INET) > 1428
    phone.close()
    sock.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        sock.recv(100)
    sock.close()
