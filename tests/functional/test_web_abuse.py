"""HTTP under attack: names that lead outside, slow and greedy clients, guesses, what is no HTTP at all."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psutil
import pytest
import tftpy

from tests.conftest import MAC, Site
from tests.functional.test_web import LARGE, WHOLE, http, make_certificate, tftp  # noqa: F401 - the fixture
from tests.functional.web import Raw, curl, port_of

if TYPE_CHECKING:
    from tests.functional.conftest import Process

pytestmark = pytest.mark.functional
Start = Callable[..., "Process"]
NAME = f"{MAC}.cfg"
TREASURE = b"treasure that lies outside"


def traversals() -> Iterator[bytes]:
    """Over 500 ways to write a path that leads out of ``configs/``."""
    dots = [
        b"..", b"%2e%2e", b"%2E.", b".%2e", b"%252e%252e", b"%c0%ae%c0%ae", b"%e0%80%ae%e0%80%ae", b"%u002e.",
        b"..;", b".. ", b"..%00", b"..%20", b"%2e%2e%2e", b"\xc0\xae\xc0\xae", b"%ef%bc%8e%ef%bc%8e",
    ]  # fmt: skip
    slashes = [b"/", b"%2f", b"\\", b"%5c", b"//", b"%252f", b"/./", b"%c0%af"]
    ends = [b"treasure", b"treasure%00.cfg", b"treasure.", b"treasure;x=1", b"treasure?x=.cfg"]
    for dot in dots:
        for slash in slashes:
            for number, end in enumerate(ends):
                yield b"/" + (dot + slash) * (1 + number % 3) + end
    yield from (b"/etc/passwd", b"//etc/passwd", b"/C:/x", b"/file:///etc/passwd", b"/templates/T46S.cfg")
    yield from (
        b"/fw/../../treasure",
        b"/fw/%2e%2e/../treasure",
        b"/p/../../treasure",
        b"/p/%2e%2e/%2e%2e/treasure",
    )


def raw_get(port: int, target: bytes, more: bytes = b"") -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(
            b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + more + b"\r\n"
        )
        got = b""
        try:
            while data := connection.recv(65536):
                got += data
        except ConnectionResetError:
            pass
        return got


def test_no_name_leads_outside(http: Site, daemon: Start) -> None:  # noqa: F811
    for place in ("treasure", "storage/treasure", "storage/templates/treasure"):
        (http.root / place).write_bytes(TREASURE)
    http.static("fw/x.rom", b"inside")
    process = daemon(http.config).wait_ready()
    port = port_of(process)
    found = list(traversals())
    assert len(found) > 500
    absolute = [b"http://127.0.0.1" + target for target in found[::7]]
    for target in (*found, *absolute):
        got = raw_get(port, target)
        assert TREASURE not in got and b"root:" not in got, target
        assert got.split(b" ")[1] in (b"400", b"403", b"404"), (target, got)
        assert str(http.root).encode() not in got
    assert raw_get(port, b"http://other.example/" + NAME.encode()).endswith(WHOLE)
    assert raw_get(port, b"//fw//./x.rom").endswith(b"inside")


def test_slow_clients_hold_nobody_up(http: Site, daemon: Start) -> None:  # noqa: F811
    http.ext |= {"http_request_seconds": 3, "uploads": str(http.root)}
    process = daemon(http.configure()).wait_ready()
    port = port_of(process)
    slow: list[socket.socket] = []
    try:
        for number in range(1000):
            connection = socket.create_connection(("127.0.0.1", port), 5)
            slow.append(connection)
            if number % 2:
                connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            else:
                connection.send(b"PUT /x.log HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        waits = []
        for turn in range(20):
            for connection in slow[turn::20]:
                try:
                    connection.send(b"x")
                except OSError:
                    continue
            begin = time.monotonic()
            assert raw_get(port, b"/" + NAME.encode()).endswith(WHOLE)
            assert tftp(process.port, NAME) == WHOLE
            waits.append(time.monotonic() - begin)
        assert max(waits) < 1.0
        assert len(psutil.Process(process.process.pid).net_connections("tcp")) < 300
        # Those that hold a header back are cut when their time is up, dribbling or not.
        half_open = Raw(port, seconds=10).send(b"GET / HTTP/1.1\r\nX: ")
        begin = time.monotonic()
        assert half_open.rest() == b""
        assert 2 < time.monotonic() - begin < 6
        half_open.close()
    finally:
        for connection in slow:
            connection.close()


def test_an_idle_connection_cannot_be_kept_with_empty_lines(http: Site, daemon: Start) -> None:  # noqa: F811
    http.ext |= {"http_request_seconds": 1, "http_keep_seconds": 1}
    process = daemon(http.configure()).wait_ready()
    connection = Raw(port_of(process)).get(f"/{NAME}")
    assert connection.answer().body == WHOLE
    begin = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - begin < 8:
            connection.send(b"\r\n")
            connection.socket.settimeout(0.1)
            try:
                if not connection.socket.recv(10):
                    raise ConnectionResetError
            except TimeoutError:
                continue
    assert time.monotonic() - begin < 5
    connection.close()


def test_a_reader_that_stalls_does_not_fill_the_memory(http: Site, daemon: Start) -> None:  # noqa: F811
    http.static("fw/x.rom", LARGE)
    process = daemon(http.config).wait_ready()
    port = port_of(process)
    assert raw_get(port, b"/fw/x.rom").endswith(LARGE[-1000:])
    before = psutil.Process(process.process.pid).memory_info().rss
    stalled = [Raw(port).get("/fw/x.rom") for _ in range(100)]
    assert raw_get(port, b"/" + NAME.encode()).endswith(WHOLE)
    assert psutil.Process(process.process.pid).memory_info().rss - before < 64 << 20
    for connection in stalled:
        connection.close()


@pytest.mark.parametrize("uploads", [False, True])
def test_a_huge_body_is_refused_at_once(http: Site, daemon: Start, uploads: bool) -> None:  # noqa: F811
    if uploads:
        http.ext["uploads"] = str(http.root)
    process = daemon(http.configure()).wait_ready()
    port = port_of(process)
    assert raw_get(port, b"/" + NAME.encode()).endswith(WHOLE)
    before = psutil.Process(process.process.pid).memory_info().rss
    statuses = set()
    for method, length in (
        ("PUT", "Content-Length: 1073741824"),
        ("POST", "Content-Length: 1073741824"),
        ("GET", "Content-Length: 1073741824"),
        ("PUT", "Transfer-Encoding: chunked"),
        ("GET", "Transfer-Encoding: chunked"),
    ):
        connection = Raw(port).get("/x.log", length, method=method)
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            for _ in range(2000):  # 128 MiB, unless we are stopped
                connection.send(piece)
        except OSError:
            pass
        else:
            raise AssertionError("nobody stopped us")
        with contextlib.suppress(OSError, EOFError):  # the answer may be lost with the rest of what we sent
            statuses.add(connection.answer().status)
        connection.close()
    assert statuses <= {403, 404, 413}
    assert psutil.Process(process.process.pid).memory_info().rss - before < 20 << 20
    assert [path.name for path in http.root.glob("127*/*")] == []


def test_headers_are_limited(http: Site, daemon: Start) -> None:  # noqa: F811
    process = daemon(http.config).wait_ready()
    port = port_of(process)
    for more in (
        b"X: " + b"a" * 200_000,
        b"".join(b"X%d: y\r\n" % number for number in range(20_000)),
        b"\r\n".join([b"Cookie: " + b"a" * 4000] * 20),
    ):
        got = raw_get(port, b"/" + NAME.encode(), more + b"\r\n")
        assert got[9:12] in (b"", b"400", b"431")
    endless = Raw(port).send(b"GET /" + b"a" * 60_000)
    with pytest.raises(OSError):
        for _ in range(100):
            endless.send(b"a" * 10_000)
            time.sleep(0.01)
    endless.close()
    assert raw_get(port, b"/" + NAME.encode()).endswith(WHOLE)


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(http: Site, daemon: Start, request_: bytes) -> None:  # noqa: F811
    process = daemon(http.config).wait_ready()
    connection = Raw(port_of(process)).send(request_)
    connection.socket.shutdown(socket.SHUT_WR)
    got = connection.rest()
    connection.close()
    assert got.count(b"HTTP/1.1 ") <= 1
    assert got[9:12] in (b"", b"400", b"403", b"404", b"405"), got
    assert raw_get(port_of(process), b"/" + NAME.encode()).endswith(WHOLE)
    assert not [line for line in process.log if line.get("event") == "defect"]


def test_noise_does_no_harm(http: Site, daemon: Start) -> None:  # noqa: F811
    process = daemon(http.config).wait_ready()
    port = port_of(process)
    rng = random.Random(4)
    good = (
        f"GET /{NAME} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-3\r\nAuthorization: Digest a=b\r\n\r\n".encode()
    )
    for _ in range(300):
        data = bytearray(good * rng.randrange(1, 3))
        for _ in range(rng.randrange(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(bytes(data))
            connection.shutdown(socket.SHUT_WR)
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    assert raw_get(port, b"/" + NAME.encode()).endswith(WHOLE)
    assert not [line for line in process.log if line.get("event") in ("defect", "failure")]


def test_noise_after_a_request_never_mixes_with_its_answer(http: Site, daemon: Start) -> None:  # noqa: F811
    http.static("fw/x.rom", LARGE)
    process = daemon(http.config).wait_ready()
    connection = Raw(port_of(process)).get("/fw/x.rom")
    begin = connection.socket.recv(1000)
    connection.send(b"\x00\x01 nonsense\r\n\r\n")
    got = begin + connection.rest()
    connection.close()
    body = got.partition(b"\r\n\r\n")[2]
    assert body == LARGE[: len(body)]


def test_guesses_over_both_transports_come_out_of_one_budget(http: Site, daemon: Start) -> None:  # noqa: F811
    process = daemon(http.config).wait_ready()
    told = 0
    for number in range(12):
        with pytest.raises(tftpy.TftpException, match="File not found"):
            tftp(process.port, f"00156599{number:04x}.cfg")
    connection = Raw(port_of(process))
    for number in range(8):
        assert connection.get(f"/00156588{number:04x}.cfg").answer().status == 404
    begin = time.monotonic()
    for number in range(300):
        try:
            answer = Raw(port_of(process)).get(f"/00156577{number:04x}.cfg").answer()
        except (EOFError, OSError):
            continue
        assert answer.status == 403
        told += 1
    assert told <= time.monotonic() - begin + 2  # one answer a second, the rest is cut
    connection.close()
    while not (got := raw_get(port_of(process), b"/" + NAME.encode())):
        assert time.monotonic() - begin < 10
    assert got.startswith(b"HTTP/1.1 403 ")
    process.wait_log("request", transport="http", reason="throttled")


def test_handshakes_that_never_begin_do_not_take_the_descriptors(http: Site, daemon: Start) -> None:  # noqa: F811
    make_certificate(http.root, 1)
    http.ext |= {"https_port": 0, "tls_cert": "cert.pem", "tls_key": "key.pem"}
    http.ext["http_connections_per_address"] = 8
    process = daemon(http.configure()).wait_ready()
    port = port_of(process, "https")
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(contextlib.closing(Raw(port))) for _ in range(40)]
        for raw in silent[:32]:  # the oldest gave way, at once
            assert raw.rest() == b""
        held = psutil.Process(process.process.pid).net_connections("tcp")
        assert len([each for each in held if each.status == "ESTABLISHED"]) <= 8
        assert curl(f"https://127.0.0.1:{port}/{NAME}", "-k").body == WHOLE
        assert tftp(process.port, NAME) == WHOLE
        assert process.stop() == 0
    assert not [line for line in process.log if line.get("level") == "error"]
