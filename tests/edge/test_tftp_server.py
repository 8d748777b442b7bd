"""The server on real loopback sockets, driven by hand: a reactor of readers and a clock that tests move.

The server never runs by itself here: ``Bench.work`` lets it read what has arrived, ``Bench.pass_time`` moves
its clock. Datagrams on loopback are delivered before ``sendto`` returns, so nothing has to wait.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from era_ap.admission import Admission, AdmissionPolicy
from era_ap.errors import Reason, Refused
from era_ap.provisioning.request import Content, FileRequest, Refusal, Subject
from era_ap.tftp.server import Policy, TftpServer, TransferReport, UploadPolicy, ports
from era_ap.tftp.server.service import SinkThreads
from era_ap.udp import Local

CONFIG = b"line of a file\n" * 100  # 1500 octets: 512, 512, 476
ERROR_NOT_FOUND = b"\0\5\0\1File not found\0"
ERROR_REFUSED = b"\0\5\0\2Access violation\0"
ERROR_BROKEN = b"\0\5\0\0Internal error\0"
ERROR_UNAVAILABLE = b"\0\5\0\0Temporarily unavailable\0"
ERROR_PROTOCOL = b"\0\5\0\4Illegal TFTP operation\0"
ERROR_STRANGER = b"\0\5\0\5Unknown transfer ID\0"


class HandReactor(Clock):
    """Clock and readers; threads' results arrive when ``work`` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[object] = []

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.remove(reader)


@dataclass
class Files:
    """An opener; values are replies, exceptions to raise, or functions of the request."""

    files: dict[str, object] = field(default_factory=dict)
    asked: list[FileRequest] = field(default_factory=list)

    def open(self, request: FileRequest) -> object:
        self.asked.append(request)
        reply = self.files.get(request.name, Refusal(Reason.NO_MASK, Subject()))
        if isinstance(reply, Exception):
            raise reply
        return reply() if callable(reply) else reply


class Bench:
    def __init__(self, policy: Policy | None = None, admission: AdmissionPolicy | None = None) -> None:
        self.reactor = HandReactor()
        self.files = Files({"a.cfg": Content(CONFIG, Reason.STATIC, Subject(file="a.cfg"))})
        self.ended: list[TransferReport] = []
        self.errors: list[BaseException] = []
        self.admission = Admission(admission or AdmissionPolicy(requests_per_second=1e6, burst=10**6))
        self.server = TftpServer(
            self.reactor,
            self.files,  # type: ignore[arg-type]
            policy or Policy(),
            self.admission,
            self.ended.append,
            on_error=self.errors.append,
            clock=self.reactor.seconds,
        )
        self.sockets: list[socket.socket] = []
        self.port = self.server.listen("127.0.0.1", 0)[1]
        self.server.serve()

    def join(self) -> None:
        """Serve on what was listened to since."""
        self.reactor.removeReader(self.server.hub)
        self.server.serve()

    def close(self) -> None:
        self.server.stop()
        for sock in self.sockets:
            sock.close()

    def work(self) -> None:
        for reader in list(self.reactor.readers):
            reader.doRead()  # type: ignore[attr-defined]

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.01)):
            self.reactor.advance(0.01)
            self.work()

    def phone(self, address: str = "127.0.0.1") -> Phone:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 0))
        sock.setblocking(False)
        self.sockets.append(sock)
        return Phone(self, sock)

    @property
    def reasons(self) -> list[Reason]:
        return [report.reason for report in self.ended]


class Phone:
    def __init__(self, bench: Bench, sock: socket.socket) -> None:
        self.bench, self.sock = bench, sock
        self.tid: tuple[object, ...] | None = None

    def ask(self, name: str = "a.cfg", tail: bytes = b"octet\0", opcode: int = 1) -> list[bytes]:
        return self.send(bytes([0, opcode]) + name.encode() + b"\0" + tail)

    def send(self, data: bytes, to: tuple[object, ...] | None = None) -> list[bytes]:
        """Send (to the main port unless said otherwise), let the server work, return what came back."""
        self.sock.sendto(data, to or ("127.0.0.1", self.bench.port))  # type: ignore[arg-type]
        self.bench.work()
        return self.heard()

    def ack(self, number: int) -> list[bytes]:
        return self.send(b"\0\4" + number.to_bytes(2, "big"), self.tid)

    def heard(self) -> list[bytes]:
        datagrams = []
        while True:
            try:
                data, self.tid = self.sock.recvfrom(70000)
            except BlockingIOError:
                return datagrams
            datagrams.append(data)

    def read(self, **request: object) -> bytes:
        """A whole file, lock-step, without options."""
        data, number, answers = b"", 1, self.ask(**request)  # type: ignore[arg-type]
        while True:
            (datagram,) = answers
            assert datagram[:4] == b"\0\3" + number.to_bytes(2, "big")
            data += datagram[4:]
            answers = self.ack(number)
            number += 1
            if len(datagram) < 516:
                assert answers == []
                return data


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def build(*args: object, **kwargs: object) -> Bench:
        benches.append(Bench(*args, **kwargs))  # type: ignore[arg-type]
        return benches[-1]

    yield build
    for bench in benches:
        bench.close()


Make = Callable[..., Bench]


def test_a_read_from_a_port_of_its_own_and_its_report(make: Make) -> None:
    bench = make()
    phone = bench.phone()
    assert phone.read() == CONFIG
    assert phone.tid is not None
    assert phone.tid[1] != bench.port
    (report,) = bench.ended
    assert (report.reason, report.subject.file, report.request.name) == (Reason.STATIC, "a.cfg", "a.cfg")
    assert (report.request.peer, report.request.local) == ("127.0.0.1", "127.0.0.1")
    assert (report.octets, report.blocks, report.retransmits) == (1500, 3, 0)
    assert report.port == phone.sock.getsockname()[1]
    assert bench.server.transfers == 0


def test_options_are_negotiated_and_reported(make: Make) -> None:
    bench = make()
    phone = bench.phone()
    answers = phone.ask(tail=b"OCTET\0tsize\x000\0blksize\x00400\0windowsize\x0099\0multicast\0\0")
    assert answers == [b"\0\6blksize\x00400\0tsize\x001500\0windowsize\x0016\0"]
    window = phone.ack(0)
    assert [len(datagram) for datagram in window] == [404, 404, 404, 304]
    assert b"".join(datagram[4:] for datagram in window) == CONFIG
    phone.ack(4)
    assert dict(bench.ended[0].agreed) == {"blksize": "400", "tsize": "1500", "windowsize": "16"}


def test_netascii(make: Make) -> None:
    bench = make()
    wire = bench.phone().read(tail=b"netascii\0")
    assert wire == CONFIG.replace(b"\n", b"\r\n")
    (oack,) = bench.phone().ask(tail=b"netascii\0tsize\x000\0")
    assert oack == b"\0\6tsize\x00%d\0" % len(wire)


@pytest.mark.parametrize(
    ("name", "tail", "answer", "reason"),
    [
        ("none.cfg", b"octet\0", ERROR_NOT_FOUND, Reason.NO_MASK),
        ("up.cfg", b"octet\0", ERROR_REFUSED, Reason.NAME_TRAVERSAL),
        ("broken.cfg", b"octet\0", ERROR_BROKEN, Reason.INCLUDE_MISSING),
        ("defect.cfg", b"octet\0", ERROR_BROKEN, Reason.INTERNAL),
        ("later.cfg", b"octet\0", ERROR_UNAVAILABLE, Reason.STORAGE_BUSY),
        ("a.cfg", b"mail\0", ERROR_PROTOCOL, Reason.MODE_UNSUPPORTED),
        ("a.cfg", b"", ERROR_PROTOCOL, Reason.MALFORMED),
    ],
)
def test_refusals_have_constant_texts(
    make: Make, name: str, tail: bytes, answer: bytes, reason: Reason
) -> None:
    bench = make()
    bench.files.files |= {
        "up.cfg": Refused(Reason.NAME_TRAVERSAL, "/secret/path"),
        "broken.cfg": Refusal(Reason.INCLUDE_MISSING, Subject(detail="/secret/path")),
        "defect.cfg": ZeroDivisionError("/secret/path"),
        "later.cfg": lambda: succeed(Refusal(Reason.STORAGE_BUSY, Subject())),
    }
    assert bench.phone().ask(name, tail) == [answer]
    assert bench.reasons == [reason]
    assert [type(error) for error in bench.errors] == ([ZeroDivisionError] if name == "defect.cfg" else [])


@pytest.mark.parametrize("opcode", [0, 3, 4, 5, 6, 7, 255])
def test_silence_for_anything_but_a_request(make: Make, opcode: int) -> None:
    bench = make()
    phone = bench.phone()
    assert phone.send(bytes([0, opcode, 0, 1]) + b"rest\0") == []
    for odd in (b"", b"\0", b"\1\1a\0octet\0"):
        assert phone.send(odd) == []
    assert bench.ended == []


def test_promises_of_every_kind(make: Make) -> None:
    async def coroutine() -> Content:
        return await succeed(Content(b"co", Reason.RENDERED, Subject()))

    bench = make()
    waiting: Deferred[Content] = Deferred()
    loop = asyncio.new_event_loop()
    future: asyncio.Future[Content] = loop.create_future()
    bench.files.files |= {"d": lambda: waiting, "c": coroutine, "f": lambda: future}
    one, two, three = bench.phone(), bench.phone(), bench.phone()
    assert one.ask("d") == []
    assert bench.server.opening == 1
    assert one.ask("d") == [], "a repeated request while the file is looked up"
    waiting.callback(Content(b"de", Reason.RENDERED, Subject()))
    assert one.heard() == [b"\0\3\0\1de"]
    assert two.ask("c") == [b"\0\3\0\1co"]
    assert three.ask("f") == []
    future.set_result(Content(b"fu", Reason.RENDERED, Subject()))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert three.heard() == [b"\0\3\0\1fu"]
    assert [request.name for request in bench.files.asked] == ["d", "c", "f"]
    assert bench.server.opening == 0


def test_what_is_looked_up_too_long_is_answered_and_forgotten(make: Make) -> None:
    bench = make(Policy(opens=1, open_seconds=2.0))
    first: Deferred[Content] = Deferred()
    bench.files.files["slow"] = lambda: first
    phone, other = bench.phone(), bench.phone()
    assert phone.ask("slow") == []
    bench.files.files["slow"] = Deferred
    assert other.ask("slow") == [ERROR_UNAVAILABLE], "no more than one at once"
    bench.pass_time(2.1)
    assert phone.heard() == [ERROR_UNAVAILABLE]
    first.callback(Content(b"late", Reason.RENDERED, Subject()))
    assert phone.heard() == []
    assert bench.reasons == [Reason.TRANSFER_LIMIT, Reason.STORAGE_BUSY]


class Pieces:
    def __init__(self, data: bytes) -> None:
        self.size, self.reason, self.subject = len(data), Reason.STATIC, Subject(file="big")
        self.data, self.closed = data, 0
        self.wanted: list[tuple[int, int, Deferred[bytes]]] = []

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        self.wanted.append((offset, length, Deferred()))
        return self.wanted[-1][2]

    def close(self) -> None:
        self.closed += 1


def test_a_file_in_pieces_is_closed_at_the_end(make: Make) -> None:
    bench = make()
    pieces = Pieces(CONFIG)
    bench.files.files["big"] = pieces
    phone = bench.phone()
    assert phone.ask("big") == []
    bench.pass_time(3.0)
    assert phone.heard() == [], "no block is sent before its data is there"
    offset, length, wanted = pieces.wanted[0]
    wanted.callback(CONFIG[offset : offset + length])
    assert phone.heard() == [b"\0\3\0\1" + CONFIG[:512]]
    phone.ack(1)
    phone.ack(2)
    phone.ack(3)
    assert bench.reasons == [Reason.STATIC]
    assert pieces.closed == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Refused(Reason.FILE_CHANGED), Reason.FILE_CHANGED), (OSError("/secret"), Reason.INTERNAL)],
)
def test_a_failing_read_ends_the_transfer(make: Make, error: Exception, reason: Reason) -> None:
    bench = make()
    pieces = Pieces(CONFIG)
    bench.files.files["big"] = pieces
    phone = bench.phone()
    phone.ask("big")
    pieces.wanted[0][2].errback(error)
    assert phone.heard() == [ERROR_UNAVAILABLE if reason is Reason.FILE_CHANGED else ERROR_BROKEN]
    assert bench.reasons == [reason]
    assert pieces.closed == 1
    assert len(bench.errors) == (reason is Reason.INTERNAL)


def test_a_repeated_request_starts_no_second_transfer(make: Make) -> None:
    bench = make()
    phone = bench.phone()
    assert len(phone.ask()) == 1
    assert phone.ask() == []
    assert bench.server.transfers == 1
    assert len(bench.files.asked) == 1
    assert len(phone.ack(1)) == 1


@pytest.mark.parametrize("first", ["ack", "request"])
def test_the_same_file_asked_for_again_at_once_is_a_new_transfer(make: Make, first: str) -> None:
    """The last ACK and the next request may lie side by side when the server looks, in either order."""
    bench = make()
    phone = bench.phone()
    phone.ask()
    phone.ack(1)
    phone.ack(2)
    datagrams = [(b"\0\4\0\3", phone.tid), (b"\0\1a.cfg\0octet\0", ("127.0.0.1", bench.port))]
    for data, to in datagrams if first == "ack" else reversed(datagrams):
        phone.sock.sendto(data, to)
    bench.work()
    (again,) = phone.heard()
    assert again[:4] == b"\0\3\0\1"
    assert bench.reasons == [Reason.STATIC]


def test_another_name_or_a_restart_from_the_same_port_is_a_new_transfer(make: Make) -> None:
    bench = make()
    bench.files.files["b.cfg"] = Content(b"b", Reason.STATIC, Subject())
    phone = bench.phone()
    phone.ask()
    phone.ack(1)
    assert phone.ask("b.cfg") == [b"\0\3\0\1b"]
    assert bench.reasons == [Reason.PEER_SILENT]
    phone.ack(1)
    phone.ask()
    phone.ack(1)
    phone.heard()
    bench.pass_time(1.5)
    phone.heard()
    assert phone.ask()[-1] == b"\0\3\0\1" + CONFIG[:512], "the same file again, after a reboot"
    assert bench.server.transfers == 1


def test_a_stranger_gets_error_5_and_the_transfer_goes_on(make: Make) -> None:
    bench = make()
    phone, stranger = bench.phone(), bench.phone("127.0.0.2")
    phone.ask()
    for datagram in (b"\0\4\0\1", b"\0\3\0\1x", b"\0\6a\0b\0"):
        assert stranger.send(datagram, phone.tid) == [ERROR_STRANGER]
    for datagram in (b"\0\5\0\0stop\0", b"\0\1a\0octet\0", b"\0", b"\0\x09\0\0"):
        assert stranger.send(datagram, phone.tid) == [], "never an ERROR for an ERROR"
    assert phone.heard() == []
    assert phone.ack(1) == [b"\0\3\0\2" + CONFIG[512:1024]]
    assert stranger.tid is not None
    assert stranger.tid[1] == phone.tid[1]  # type: ignore[index]


def test_a_late_ack_of_a_finished_transfer_is_met_with_silence(make: Make) -> None:
    bench = make()
    phone = bench.phone()
    phone.read()
    first = phone.tid
    assert phone.ack(3) == []
    phone.read()
    assert phone.tid != first, "the same port never serves the same peer twice"


def test_a_socket_that_has_served_one_phone_serves_the_next(make: Make) -> None:
    bench = make()
    first, second = bench.phone(), bench.phone()
    first.read()
    sockets, port = len(os.listdir("/proc/self/fd")), first.tid
    second.ask()
    assert (len(os.listdir("/proc/self/fd")), second.tid) == (sockets, port)
    assert first.ack(1) == [], "to it the port is a stranger's now"
    assert second.ack(1) == [b"\0\3\0\2" + CONFIG[512:1024]]
    assert bench.reasons == [Reason.STATIC]


def test_a_path_that_takes_no_segments_says_nothing_of_the_next(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows: list[int] = []
    monkeypatch.setattr(ports, "send_segmented", lambda _sock, window: windows.append(len(window)))
    bench = make()
    for phone in (bench.phone(), bench.phone()):
        phone.ask(tail=b"octet\0windowsize\x0016\0")
        phone.ack(0)
        phone.ack(3)
    assert bench.reasons == [Reason.STATIC, Reason.STATIC]
    assert windows == [3, 3]


def test_what_came_for_the_earlier_phone_is_nothing_to_the_next(make: Make) -> None:
    bench = make()
    first, second = bench.phone(), bench.phone()
    first.read()
    for number in (1, 2):
        first.sock.sendto(b"\0\4" + number.to_bytes(2, "big"), first.tid)  # type: ignore[arg-type]
    assert second.ask() == [b"\0\3\0\1" + CONFIG[:512]]
    assert second.tid == first.tid
    bench.work()
    assert second.heard() == []
    assert second.ack(1) == [b"\0\3\0\2" + CONFIG[512:1024]]


def test_a_socket_without_a_transfer_is_given_back(make: Make) -> None:
    bench = make()
    before = len(os.listdir("/proc/self/fd"))
    phones = [bench.phone() for _ in range(5)]
    for phone in phones:
        phone.ask()
    for phone in phones:
        for number in (1, 2, 3):
            phone.ack(number)
    bench.pass_time(5.0)
    assert len(os.listdir("/proc/self/fd")) == before + len(phones)


def test_a_closed_port_frees_at_once(make: Make) -> None:
    bench = make()
    phone = bench.phone()
    phone.ask()
    phone.sock.close()
    bench.sockets.remove(phone.sock)
    bench.pass_time(0.3)
    assert bench.server.transfers == 0
    assert bench.reasons == [Reason.PEER_GONE]


def test_the_peers_error_is_reported(make: Make) -> None:
    bench = make()
    phone = bench.phone()
    phone.ask()
    assert phone.send(b"\0\5\0\x03full\0", phone.tid) == []
    assert bench.ended[0].reason is Reason.PEER_ERROR
    assert bench.ended[0].error is not None
    assert bench.ended[0].error.text == "full"


def test_a_silent_source_gets_three_packets_and_all_is_given_back(make: Make) -> None:
    bench = make()
    phone = bench.phone()
    count = len(phone.ask())
    bench.pass_time(29.0)
    assert count + len(phone.heard()) == 3
    assert bench.reasons == [Reason.PEER_SILENT]
    bench.pass_time(4.0)
    assert bench.reactor.getDelayedCalls() == [], "an idle server has no timer"


def test_limit_in_all_evicts_the_oldest_unanswered(make: Make) -> None:
    bench = make(Policy(transfers=2))
    first, second, third, fourth = (bench.phone() for _ in range(4))
    first.ask()
    bench.pass_time(0.3)
    second.ask()
    first.heard()
    assert len(third.ask()) == 1
    assert first.heard() == [b"\0\5\0\0Transfer aborted\0"]
    assert fourth.ask() == [ERROR_UNAVAILABLE], "the others only just began"
    assert bench.reasons == [Reason.EVICTED, Reason.TRANSFER_LIMIT]
    assert bench.server.transfers == 2


def test_limit_in_all_evicts_the_most_idle_of_those_that_answered(make: Make) -> None:
    bench = make(Policy(transfers=2))
    first, second, third = (bench.phone() for _ in range(3))
    for phone in (second, first):
        phone.ask()
        phone.ack(1)
        bench.pass_time(0.5)
    bench.pass_time(2.0)
    assert len(third.ask()) == 1
    assert second.heard()[-1] == b"\0\5\0\0Transfer aborted\0"
    assert bench.server.transfers == 2


def test_limit_of_one_address_does_not_concern_others(make: Make) -> None:
    bench = make(Policy(transfers_per_address=1))
    one, two = bench.phone("127.0.0.3"), bench.phone("127.0.0.3")
    assert len(one.ask()) == 1
    assert two.ask() == [ERROR_UNAVAILABLE]
    assert len(bench.phone("127.0.0.4").ask()) == 1
    bench.pass_time(0.3)
    assert len(two.ask()) == 1, "the idle one of the same address gave way"


def test_a_transfer_whose_last_ack_waits_in_its_socket_is_not_counted(make: Make) -> None:
    bench = make(Policy(transfers_per_address=1))
    one, two = bench.phone("127.0.0.3"), bench.phone("127.0.0.3")
    one.ask()
    one.ack(1)
    assert len(one.ack(2)) == 1
    two.sock.sendto(b"\0\1a.cfg\0octet\0", ("127.0.0.1", bench.port))
    assert one.ack(3) == [], "came after the other's request, in the same batch"
    (answer,) = two.heard()
    assert answer[:4] == b"\0\3\0\1"
    assert bench.reasons == [Reason.STATIC]


def test_admission(make: Make) -> None:
    bench = make(admission=AdmissionPolicy(networks=(ip_network("127.0.0.1/32"),), unknown_macs=2))
    assert bench.phone("127.0.0.2").ask() == [ERROR_REFUSED]
    assert bench.reasons == [Reason.NETWORK_CLOSED]
    assert bench.ended[0].request.name == "a.cfg"
    for mac in ("1", "2"):
        bench.files.files[mac] = Refusal(Reason.MAC_UNKNOWN, Subject(mac=mac))
        assert bench.phone().ask(mac) == [ERROR_NOT_FOUND]
    assert bench.phone().ask() == [ERROR_REFUSED], "known or not, the same refusal"
    assert bench.phone().ask() == []
    assert bench.phone().ask("2") == []
    assert bench.reasons[1:] == [Reason.MAC_UNKNOWN, Reason.MAC_UNKNOWN, Reason.THROTTLED]


def test_single_port(make: Make) -> None:
    bench = make(Policy(single_port=True))
    phone, stranger = bench.phone(), bench.phone()
    phone.ask()
    assert phone.tid == ("127.0.0.1", bench.port)
    assert stranger.ack(1) == []
    stranger.tid = phone.tid
    assert stranger.ack(1) == []
    for number in (1, 2):
        assert len(phone.ack(number)) == 1
        assert phone.tid == ("127.0.0.1", bench.port)
    assert phone.ack(3) == []
    assert bench.reasons == [Reason.STATIC]
    assert bench.phone().read() == CONFIG


def test_other_limits_while_running_leave_transfers_alone(make: Make) -> None:
    bench = make()
    phone, other = bench.phone(), bench.phone()
    phone.ask()
    bench.server.replace(Policy(single_port=True))
    other.ask()
    assert other.tid == ("127.0.0.1", bench.port)
    assert len(phone.ack(1)) == 1
    assert len(other.ack(1)) == 1


def test_transfer_ports_of_a_range_are_shared_by_many(make: Make) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        start = probe.getsockname()[1]
    bench = make(Policy(tid_ports=range(start, start + 1)))
    phones = [bench.phone() for _ in range(100)]
    for phone in phones:
        phone.ask()
        assert phone.tid == ("127.0.0.1", start)
    assert [phone.ack(1)[0][:4] for phone in phones] == [b"\0\3\0\2"] * 100


def test_answers_leave_from_the_address_asked(make: Make) -> None:
    bench = make()
    bench.port = bench.server.listen("0.0.0.0", 0)[1]
    for local in ("127.0.0.1", "127.9.8.7"):
        phone = bench.phone()
        phone.sock.sendto(b"\0\1a.cfg\0octet\0", (local, bench.port))
        bench.work()
        phone.heard()
        assert phone.tid is not None
        assert phone.tid[0] == local
        phone.sock.sendto(b"\0\1none\0octet\0", (local, bench.port))
        bench.work()
        assert phone.heard()[-1] == ERROR_NOT_FOUND
        assert phone.tid == (local, bench.port)
    assert bench.files.asked[-1].local == "127.9.8.7"


@pytest.mark.parametrize("address", ["::1", "::"])
def test_ipv6(make: Make, address: str) -> None:
    bench = make()
    where = bench.server.listen(address, 0)
    phone = bench.phone("::1")
    phone.sock.sendto(b"\0\1a.cfg\0octet\0", ("::1", where[1]))
    bench.work()
    assert phone.heard() == [b"\0\3\0\1" + CONFIG[:512]]
    assert len(phone.ack(1)) == 1
    assert bench.files.asked[-1].peer == bench.files.asked[-1].local == "::1"
    stranger = bench.phone("::1")
    assert stranger.send(b"\0\4\0\1", phone.tid) == [ERROR_STRANGER]


def test_drain_lets_what_runs_end(make: Make) -> None:
    bench = make()
    phone, late = bench.phone(), bench.phone()
    phone.ask()
    done: list[bool] = []
    bench.server.drain(10.0).addCallback(done.append)
    assert late.ask() == []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as successor:
        successor.bind(("127.0.0.1", bench.port))
    for number in (1, 2):
        assert len(phone.ack(number)) == 1
    phone.ack(3)
    bench.pass_time(0.1)
    assert done == [True]


@pytest.mark.parametrize("waiting", [31, 32, 33, 64])
def test_drain_is_done_when_all_that_waited_is_answered(make: Make, waiting: int) -> None:
    bench = make()
    for phone in [bench.phone() for _ in range(waiting)]:
        phone.sock.sendto(b"\0\1none.cfg\0octet\0", ("127.0.0.1", bench.port))
    done: list[bool] = []
    bench.server.drain(10.0).addCallback(done.append)
    bench.pass_time(0.2)
    assert len(bench.ended) == waiting
    assert done == [True]


def test_drain_has_an_end_and_stop_tells_the_phones(make: Make) -> None:
    bench = make()
    phone = bench.phone()
    phone.ask()
    phone.ack(1)
    done: list[bool] = []
    bench.server.drain(1.0).addCallback(done.append)
    bench.pass_time(1.1)
    assert done == [False]
    bench.server.stop()
    assert phone.heard()[-1] == b"\0\5\0\0Transfer aborted\0"
    assert bench.reasons == [Reason.STOPPED]
    bench.reactor.addReader(bench.server.hub)


def test_a_taken_port_is_an_oserror(make: Make) -> None:
    bench = make()
    with pytest.raises(OSError, match="in use"):
        bench.server.listen("127.0.0.1", bench.port)


# --- one port, several instances


def shared(make: Make, count: int = 2, policy: Policy | None = None) -> list[Bench]:
    """Instances that share a port; they work one by one, as told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    benches = [make(policy) for _ in range(count)]
    for bench in benches:
        bench.port = bench.server.listen("127.0.0.1", port)[1]
        bench.join()
    return benches


def test_instances_share_the_port_and_each_phone_has_one_of_them(make: Make) -> None:
    benches = shared(make, 3)
    phones = [benches[0].phone() for _ in range(60)]
    for phone in phones:
        phone.sock.sendto(b"\0\1a.cfg\0octet\0", ("127.0.0.1", benches[0].port))
    for bench in benches:
        bench.work()
    assert [len(phone.heard()) for phone in phones] == [1] * 60
    assert all(5 < bench.server.transfers < 55 for bench in benches)


def test_who_comes_later_gets_nothing_before_it_serves(make: Make) -> None:
    (first,) = shared(make, 1)
    late = make()
    late.server.listen("127.0.0.1", first.port)
    phones = [first.phone() for _ in range(32)]
    assert [len(phone.ask()) for phone in phones] == [1] * 32
    late.join()
    for phone in (first.phone() for _ in range(32)):
        phone.ask()
    late.work()
    assert late.server.transfers > 4


@pytest.mark.parametrize("policy", [Policy(), Policy(single_port=True)], ids=["own ports", "single port"])
def test_no_request_and_no_transfer_is_lost_when_one_of_two_stops(make: Make, policy: Policy) -> None:
    leaving, staying = shared(make, 2, policy)
    running = [leaving.phone() for _ in range(20)]
    for phone in running:
        phone.sock.sendto(b"\0\1a.cfg\0octet\0", ("127.0.0.1", leaving.port))
    leaving.work()
    staying.work()
    queued = [leaving.phone() for _ in range(200)]
    for phone in queued:
        phone.sock.sendto(b"\0\1a.cfg\0octet\0", ("127.0.0.1", leaving.port))
    done: list[bool] = []
    leaving.server.drain(10.0).addCallback(done.append)
    later = [leaving.phone() for _ in range(50)]
    for phone in later:
        phone.sock.sendto(b"\0\1a.cfg\0octet\0", ("127.0.0.1", leaving.port))

    def both(sends: Callable[[Phone], object]) -> None:
        for phone in running + queued + later:
            sends(phone)
        for bench in (leaving, staying):
            bench.pass_time(0.05)

    both(lambda _: None)
    assert [phone.heard() for phone in running + queued + later] == [[b"\0\3\0\1" + CONFIG[:512]]] * 270
    for number in (1, 2, 3):
        ack = b"\0\4" + bytes([0, number])
        both(lambda phone, ack=ack: phone.sock.sendto(ack, phone.tid))
        if number < 3:
            assert [len(phone.heard()) for phone in running + queued + later] == [1] * 270
    assert done == [True]
    assert len(leaving.ended) + len(staying.ended) == 270
    assert {report.reason for bench in (leaving, staying) for report in bench.ended} == {Reason.STATIC}
    assert len(staying.ended) >= 50


def test_a_transfer_on_the_main_port_survives_a_new_instance(make: Make) -> None:
    (first,) = shared(make, 1, Policy(single_port=True))
    phones = [first.phone() for _ in range(40)]
    for phone in phones:
        assert len(phone.ask()) == 1
    second = make(Policy(single_port=True))
    second.server.listen("127.0.0.1", first.port)
    second.join()
    assert [len(phone.ack(1)) for phone in phones] == [1] * 40


def test_what_is_caught_before_a_channel_is_connected_is_not_lost(make: Make) -> None:
    bench = make(Policy(single_port=True))
    phone = bench.phone()
    listener = bench.server._main._listeners[0]
    local = Local("127.0.0.1", 0)
    bench.server._channels._on_caught(b"\0\1a.cfg\0octet\0", phone.sock.getsockname(), local, listener)
    assert phone.heard() == []
    bench.reactor.advance(0)
    assert phone.heard() == [b"\0\3\0\1" + CONFIG[:512]]


# --- uploads


@pytest.fixture
def sink(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    def run_now(self: object, work: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        try:
            done.callback(work())
        except Exception:
            done.errback()
        return done

    monkeypatch.setattr(SinkThreads, "run", run_now)
    return make(Policy(uploads=UploadPolicy(tmp_path, file_bytes=2000, files=2)))


def upload(phone: Phone, name: str, data: bytes, tail: bytes = b"octet\0") -> list[bytes]:
    answers = phone.ask(name, tail, opcode=2)
    for number, at in enumerate(range(0, len(data) + 1, 512), 1):
        if answers[-1][1] == 5:
            return answers
        answers = phone.send(b"\0\3" + number.to_bytes(2, "big") + data[at : at + 512], phone.tid)
    return answers


def test_uploads_are_refused_unless_there_is_a_sink(make: Make) -> None:
    bench = make()
    for name in ("a.log", "../../etc/passwd", ""):
        assert bench.phone().ask(name, opcode=2) == [ERROR_REFUSED]
    assert set(bench.reasons) == {Reason.WRITE_REFUSED}
    assert bench.ended[0].write


@pytest.mark.parametrize("size", [0, 1, 512, 1000, 1024])
def test_an_upload_lands_in_the_folder_of_its_address(sink: Bench, tmp_path: Path, size: int) -> None:
    data = bytes(size)
    phone = sink.phone()
    assert upload(phone, "logs\\0004f2-app.log", data) == [b"\0\4" + (size // 512 + 1).to_bytes(2, "big")]
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == [
        "127.0.0.1/0004f2-app.log"
    ]
    assert (tmp_path / "127.0.0.1/0004f2-app.log").read_bytes() == data
    sink.pass_time(5.0)
    assert sink.reasons == [Reason.UPLOADED]
    assert sink.ended[0].subject.file == "127.0.0.1/0004f2-app.log"


@pytest.mark.parametrize(
    "name", ["../../../evil", "/etc/passwd", "..", ".", "a/../../b", "\\\\host\\x", "é\n.log", "."]
)
def test_no_name_leads_out_of_the_sink(sink: Bench, tmp_path: Path, name: str) -> None:
    upload(sink.phone(), name, b"x")
    (found,) = (p for p in tmp_path.rglob("*") if p.is_file())
    assert found.parent == tmp_path / "127.0.0.1"


def test_a_phone_replaces_its_own_upload_only(sink: Bench, tmp_path: Path) -> None:
    upload(sink.phone("127.0.0.5"), "app.log", b"one")
    upload(sink.phone("127.0.0.6"), "app.log", b"two")
    upload(sink.phone("127.0.0.5"), "app.log", b"three")
    assert (tmp_path / "127.0.0.5/app.log").read_bytes() == b"three"
    assert (tmp_path / "127.0.0.6/app.log").read_bytes() == b"two"
    assert upload(sink.phone("127.0.0.7"), "app.log", b"four") == [ERROR_REFUSED], "the sink is full"
    assert sink.reasons == [Reason.UPLOAD_LIMIT]


def test_an_upload_beyond_the_limit_leaves_nothing(sink: Bench, tmp_path: Path) -> None:
    assert upload(sink.phone(), "big.log", bytes(3000))[-1] == ERROR_REFUSED
    assert sink.phone().ask("big.log", b"octet\0tsize\x003000\0", opcode=2) == [ERROR_REFUSED]
    assert sink.reasons == [Reason.UPLOAD_LIMIT] * 2
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_an_aborted_upload_leaves_nothing(sink: Bench, tmp_path: Path) -> None:
    phone = sink.phone()
    phone.ask("a.log", opcode=2)
    phone.send(b"\0\3\0\1" + bytes(512), phone.tid)
    phone.send(b"\0\5\0\0enough\0", phone.tid)
    assert sink.reasons == [Reason.PEER_ERROR]
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_netascii_upload_with_options(sink: Bench, tmp_path: Path) -> None:
    phone = sink.phone()
    answers = phone.ask("a.log", b"netascii\0blksize\x0016\0tsize\x0012\0", opcode=2)
    assert answers == [b"\0\6blksize\x0016\0tsize\x0012\0"]
    phone.send(b"\0\3\0\1one\r\ntwo\r\0", phone.tid)
    assert (tmp_path / "127.0.0.1/a.log").read_bytes() == b"one\ntwo\r"


def test_a_sink_that_fails_has_a_reason_of_its_own(sink: Bench, tmp_path: Path) -> None:
    (tmp_path / "127.0.0.1").write_text("in the way")
    assert upload(sink.phone(), "a.log", b"x") == [ERROR_BROKEN]
    tmp_path.joinpath("127.0.0.1").unlink()
    tmp_path.rmdir()
    assert upload(sink.phone(), "a.log", b"x") == [ERROR_BROKEN]
    assert sink.reasons == [Reason.UPLOAD_SINK] * 2
    assert not sink.errors
