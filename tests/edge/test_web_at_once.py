"""What is answered at once over a real connection is what the ASGI application would have answered."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import pytest

from era_ap.errors import Reason
from era_ap.web.connections import ConnectionPolicy, PhoneConnection
from era_ap.web.exchange import Answer, Exchange, Receive, Scope, Send, WebReport
from era_ap.web.server import WebPolicy, WebServer
from tests.edge.test_web_phones import LARGE, NAME, Web
from tests.unit.memory_site import FAR, MAC, NEAR, UNKNOWN, MemorySite

HERE = "127.0.0.1"
SECONDS = 5.0
OLD = b" HTTP/1.0\r\n"
BODY = b"user = 101\nsecret = s3cret101\n"
Got = tuple[bytes, list[bytes], bytes]


class Phones:
    """The phones' application behind a server on a real port; ``runs`` counts what ASGI had to carry."""

    def __init__(self, *, at_once: bool = True, policy: ConnectionPolicy | None = None) -> None:
        self.web = Web(MemorySite(), proxies=(HERE,))
        self.runs = 0
        self.malformed: list[tuple[str, str]] = []
        self._at_once = at_once
        limits = WebPolicy(policy or ConnectionPolicy())
        self.server = WebServer(self._run, limits, lambda *who: self.malformed.append(who), self._answer)
        _, self.port = self.server.bind(HERE)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.runs += 1
        await self.web.app(scope, receive, send)

    def _answer(self, exchange: Exchange) -> Answer | None:
        return self.web.app.answer(exchange) if self._at_once else None

    async def ask(self, *requests: bytes) -> list[Got]:
        """Answers on one connection; each request is sent when the one before it is answered."""
        reader, writer = await asyncio.open_connection(HERE, self.port)
        got = []
        for request in requests:
            writer.write(request)
            got.append(await asyncio.wait_for(answer(reader, request), SECONDS))
            if b"connection: close" in got[-1][1] or OLD in request:
                assert await asyncio.wait_for(reader.read(), SECONDS) == b""
                break
        writer.close()
        return got


async def answer(reader: asyncio.StreamReader, request: bytes) -> Got:
    """Status line, sorted fields without the date, and body of the next answer."""
    first, *fields = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    dates = [field for field in fields if field.startswith(b"date: ")]
    assert len(dates) == 1
    assert dates[0].endswith(b" GMT")
    lengths = [int(field[16:]) for field in fields if field.startswith(b"content-length: ")]
    has_body = lengths and not request.startswith(b"HEAD") and b" 304 " not in first
    body = await reader.readexactly(lengths[0]) if has_body else b""
    if OLD in request:  # it need not be told
        fields = [field for field in fields if field != b"connection: close"]
    return first, sorted(field for field in fields if field not in dates), body


def get(
    path: str = NAME, *lines: str, method: str = "GET", version: str = "1.1", source: str = NEAR
) -> bytes:
    head = (f"{method} {path} HTTP/{version}", "Host: x", f"X-Forwarded-For: {source}", *lines, "", "")
    return "\r\n".join(head).encode()


async def told(phones: Phones, *requests: bytes) -> tuple[list[Got], list[WebReport]]:
    await phones.server.start()
    try:
        got = await phones.ask(*requests)
    finally:
        phones.server.close()
    return got, [replace(report, seconds=0.0) for report in phones.web.reports]


ALIKE = {
    "whole": get(),
    "head": get(method="HEAD"),
    "part": get(NAME, "Range: bytes=5-9"),
    "head of a part": get(NAME, "Range: bytes=5-9", method="HEAD"),
    "beyond": get(NAME, "Range: bytes=1000-"),
    "condition": get(NAME, 'If-Match: "other"'),
    "not modified": get(NAME, "If-None-Match: *"),
    "query": get(f"/prov.php?mac={MAC}"),
    "binary": get("/fw/T46S.rom"),
    "unknown": get(f"/{UNKNOWN}.cfg"),
    "head of nothing": get("/nothing", method="HEAD"),
    "stranger": get(source=FAR),
    "escape": get("/%c0%ae"),
    "absolute": get(f"http://other.example{NAME}"),
    "fragment": get(f"{NAME}#x"),
    "later": get("/later.cfg"),
    "large": get("/large.rom"),
    "head of a large one": get("/large.rom", method="HEAD"),
    "not kept": get(NAME, "Connection: close"),
    "old": get(version="1.0"),
    "old and kept": get(NAME, "Connection: keep-alive", version="1.0"),
    "upgrade": get(NAME, "Connection: Upgrade", "Upgrade: h2c"),
    "expect": get(NAME, "Expect: 100-continue"),
    "no body": get(NAME, "Content-Length: 0"),
    "body": get(NAME, "Content-Length: 3") + b"abc",
    "method": get(method="DELETE"),
    "upload": get(method="PUT"),
    "agent": get("/T46S.cfg", "User-Agent: yealink SIP-T46S 66.86.0.15 00:15:65:00:00:01"),
    "twice": get(NAME, "User-Agent: one", "User-Agent: two", 'If-None-Match: "a"', "If-None-Match: *"),
}


@pytest.mark.parametrize("request_", ALIKE.values(), ids=ALIKE)
def test_an_answer_is_the_same_at_once_and_by_asgi(request_: bytes) -> None:
    one, other = Phones(), Phones(at_once=False)
    requests = (get(), request_, get(f"/{UNKNOWN}.cfg"), request_)
    assert asyncio.run(told(one, *requests)) == asyncio.run(told(other, *requests))
    assert other.runs == len(other.web.reports) > 1


def test_what_waits_for_nothing_needs_no_application() -> None:
    phones = Phones()
    got, reports = asyncio.run(told(phones, get(), get(), get(f"/{UNKNOWN}.cfg"), get(method="HEAD")))
    assert [(first[9:12], body) for first, _, body in got] == [
        (b"200", BODY), (b"200", BODY), (b"404", b"Not Found\n"), (b"200", b"")
    ]  # fmt: skip
    assert [report.octets for report in reports] == [len(BODY), len(BODY), 0, 0]
    assert phones.runs == 0


def test_what_has_to_wait_is_judged_once() -> None:
    phones = Phones()
    got, reports = asyncio.run(told(phones, get("/large.rom"), get("/later.cfg")))
    assert got[0][2] == LARGE
    assert [report.reason for report in reports] == [Reason.STATIC, Reason.NO_MASK]
    assert phones.runs == 2
    (source,) = phones.web.admission._sources.values()
    assert source.tokens == phones.web.limits.burst - 2


def test_a_defect_is_answered_and_the_connection_kept() -> None:
    phones = Phones()
    got, reports = asyncio.run(told(phones, get("/defect"), get()))
    assert [first for first, _, _ in got] == [b"HTTP/1.1 500 Internal Server Error", b"HTTP/1.1 200 OK"]
    assert [type(error) for error in phones.web.errors] == [RuntimeError]
    assert reports[0].reason is Reason.INTERNAL


def test_requests_that_come_together_are_answered_in_turn() -> None:
    async def run(phones: Phones) -> None:
        await phones.server.start()
        reader, writer = await asyncio.open_connection(HERE, phones.port)
        paths = [NAME, "/large.rom", f"/{UNKNOWN}.cfg", "/later.cfg"] * 5
        writer.write(b"".join(map(get, paths)))
        bodies = [(await asyncio.wait_for(answer(reader, get()), SECONDS))[2] for _ in paths]
        assert bodies == [BODY, LARGE, b"Not Found\n", b"Not Found\n"] * 5
        writer.close()
        phones.server.close()

    phones = Phones()
    asyncio.run(run(phones))
    assert phones.runs >= 15  # only the first of what came together is answered without a turn of the loop


@pytest.mark.parametrize("more", [b"\x00\x01 nonsense\r\n\r\n", get(), b"GET / HTTP/1.1\r\nHo"])
def test_what_follows_the_last_request_is_nobodys(more: bytes) -> None:
    async def run(phones: Phones) -> bytes:
        await phones.server.start()
        reader, writer = await asyncio.open_connection(HERE, phones.port)
        writer.write(get(NAME, "Connection: close") + more)
        got = await asyncio.wait_for(reader.read(), SECONDS)
        writer.close()
        phones.server.close()
        return got

    phones = Phones()
    got = asyncio.run(run(phones))
    assert got.count(b"HTTP/1.1 ") == 1
    assert got.endswith(BODY)
    assert phones.malformed == []


def test_who_has_used_up_his_requests_is_cut_without_a_word() -> None:
    async def run(phones: Phones) -> bytes:
        await phones.server.start()
        phones.web.admission.admit(NEAR, phones.web.now)
        (source,) = phones.web.admission._sources.values()
        source.tokens, source.refused_at = 0.0, phones.web.now
        reader, writer = await asyncio.open_connection(HERE, phones.port)
        writer.write(get() + b"\x00 nonsense")
        try:
            return await asyncio.wait_for(reader.read(), SECONDS)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()
            phones.server.close()

    phones = Phones()
    assert asyncio.run(run(phones)) == b""
    assert phones.web.reports == phones.malformed == []


@pytest.mark.parametrize("path", [NAME, "/large.rom"])
def test_a_connection_is_kept_for_a_while_whoever_answered(path: str) -> None:
    async def run() -> float:
        phones = Phones(policy=ConnectionPolicy(keep_seconds=0.5))
        loop = asyncio.get_running_loop()
        await phones.server.start()
        reader, writer = await asyncio.open_connection(HERE, phones.port)
        writer.write(get(path))
        await asyncio.wait_for(answer(reader, get()), SECONDS)
        begin = loop.time()
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        writer.close()
        phones.server.close()
        return loop.time() - begin

    assert 0.4 < asyncio.run(run()) < 3.0


@pytest.mark.parametrize("path", ["/fw/T46S.rom", "/large.rom", "/later.cfg"])
def test_a_connection_that_is_over_leaves_nothing_to_be_collected(path: str) -> None:
    async def over(phones: Phones) -> None:
        for _ in range(500):
            await asyncio.sleep(0.01)
            if not phones.server.connections:
                break

    async def run() -> int:
        phones = Phones()
        await phones.server.start()
        await phones.ask(get(path))
        await over(phones)
        gc.collect()
        gc.disable()
        await phones.ask(get(path), get(path, "Connection: close"))
        await phones.ask(get(path))
        await over(phones)
        phones.server.close()
        return sum(isinstance(each, PhoneConnection) for each in gc.get_objects())

    try:
        assert asyncio.run(run()) == 0
    finally:
        gc.enable()
