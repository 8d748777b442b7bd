"""Questions between instances over their management ports: asked, answered, in time, and by nobody else."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from era_ap.cluster.failsafe import Answer, Ask
from era_ap.cluster.peers import ASK_PATH, ASK_SECONDS, AskError, Peers, read_peer, write_peer
from era_ap.cluster.questions import Asker, UntrustedError, derive
from era_ap.cluster.view import Member
from era_ap.web.management import Asked, ManagementApp, Page, Pages
from era_ap.web.server import WebPolicy, WebServer
from tests.edge.test_management import ask as fetch
from tests.edge.test_management import serving

SECRET = b"s" * 32
ASK = Ask(1, "ap1", 7)


def member(port: int, instance: str = "two") -> Member:
    return Member("ap2", group=1, order=2, identity="x", instance=instance, peer=f"127.0.0.1:{port}")


class Instance:
    """The one that is asked."""

    def __init__(self, name: str = "two", secret: bytes | None = SECRET) -> None:
        self.asked: list[Ask] = []
        self.peers = Peers(name, self.answer)
        if secret is not None:
            self.peers.trust(secret)

    def answer(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        return Answer("ap2/x", promised=True, connected=False, number=ask.number)

    @property
    def pages(self) -> Pages:
        def page(asked: Asked) -> Page:
            status, body = self.peers.answer(asked.body)
            return Page(body, status)

        return {("POST", ASK_PATH): page}


@asynccontextmanager
async def serving_again(pages: Pages, port: int) -> AsyncIterator[None]:
    """Another server at the same port."""
    server = WebServer(ManagementApp(pages, pytest.fail), WebPolicy(), lambda *_: None)
    server.bind("127.0.0.1", port, shared=False)
    await server.start()
    try:
        yield
    finally:
        server.close()


def asking(secret: bytes | None = SECRET) -> Peers:
    peers = Peers("one", lambda _: pytest.fail("nobody asks us"))
    if secret is not None:
        peers.trust(secret)
    return peers


def test_a_question_is_answered() -> None:
    instance, peers = Instance(), asking()

    async def run() -> float:
        async with serving(instance.pages) as port:
            start = time.monotonic()
            for _ in range(20):
                assert await peers.ask(member(port), ASK) == Answer("ap2/x", True, False, 7)
            return (time.monotonic() - start) / 20

    assert asyncio.run(run()) < ASK_SECONDS
    assert instance.asked == [ASK] * 20


def test_another_process_in_its_place_is_asked_at_once_and_from_then_on() -> None:
    instance, peers = Instance("two-again"), asking()

    async def run() -> None:
        async with serving(instance.pages) as port:
            for _ in range(3):
                assert (await peers.ask(member(port), ASK)).promised

    asyncio.run(run())
    assert len(instance.asked) == 3


def test_a_recorded_question_is_not_answered_again() -> None:
    instance = Instance()
    recorded = Asker(derive(SECRET, "questions"), "one").seal(ASK, "two")

    async def run() -> list[int]:
        async with serving(instance.pages) as port:
            return [(await fetch(port, "POST", ASK_PATH, recorded))[0] for _ in range(3)]

    assert asyncio.run(run()) == [200, 403, 403]
    assert len(instance.asked) == 1


@pytest.mark.parametrize("body", [b"", b"x", b"0" * 64 + b"\n{}", bytes(5000)])
def test_whoever_has_not_the_secret_learns_nothing(body: bytes) -> None:
    async def run() -> tuple[int, dict[str, str], bytes]:
        async with serving(Instance().pages) as port:
            return await fetch(port, "POST", ASK_PATH, body)

    status, _, answer = asyncio.run(run())
    assert (status, answer) == (403, b"")


@pytest.mark.parametrize("secret", [b"t" * 32, None], ids=["another secret", "no secret yet"])
def test_an_instance_that_does_not_know_the_secret_gives_no_answer(secret: bytes | None) -> None:
    instance = Instance(secret=secret)

    async def run() -> None:
        async with serving(instance.pages) as port:
            with pytest.raises(AskError):
                await asking().ask(member(port), ASK)

    asyncio.run(run())
    assert instance.asked == []


def test_without_the_secret_nothing_is_asked() -> None:
    with pytest.raises(AskError, match="secret"):
        asyncio.run(asking(None).ask(member(1), ASK))


@asynccontextmanager
async def answering(what: bytes, pause: float = 0.0) -> AsyncIterator[int]:
    """Somebody else at that port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        await asyncio.sleep(pause)
        writer.write(what)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (b"", asyncio.IncompleteReadError),
        (b"SSH-2.0-x\r\n", asyncio.IncompleteReadError),
        (b"x" * 100_000, AskError),
        (b"HTTP/1.1 200 OK\r\n\r\n", AskError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", AskError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", AskError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", AskError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", asyncio.IncompleteReadError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", UntrustedError),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", AskError),
        (b"HTTP/1.1 abc\r\nContent-Length: 0\r\n\r\n", AskError),
    ],
)
def test_what_is_no_answer_is_an_error(what: bytes, error: type[Exception]) -> None:
    async def run() -> None:
        async with answering(what) as port:
            with pytest.raises(error):
                await asking().ask(member(port), ASK)

    asyncio.run(run())


def test_who_is_slow_or_silent_is_not_waited_for() -> None:
    async def run() -> float:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            start = time.monotonic()
            with pytest.raises(TimeoutError):
                await asking().ask(member(silent.getsockname()[1]), ASK)
            async with answering(b"HTTP/1.1 200 OK\r\n\r\n", pause=30.0) as port:
                with pytest.raises(TimeoutError):
                    await asking().ask(member(port), ASK)
            return time.monotonic() - start

    assert 2 * ASK_SECONDS <= asyncio.run(run()) < 5.0


def test_a_connection_is_kept_and_made_anew_where_it_was_closed() -> None:
    instance, peers = Instance(), asking()
    opened: list[int] = []

    async def count(_address: str, port: int) -> Any:
        opened.append(port)
        return await original("127.0.0.1", port)

    async def run() -> None:
        async with serving(instance.pages) as port:
            for _ in range(3):
                await peers.ask(member(port), ASK)
            assert len(opened) == 1
        async with serving_again(instance.pages, port):
            for _ in range(3):
                await peers.ask(member(port), ASK)
            assert len(opened) == 2
        peers.close()

    from era_ap.cluster import peers as module

    original = module._Line.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._Line, "open", count)
        asyncio.run(run())
    assert len(instance.asked) == 6


def test_what_was_too_late_is_not_taken_for_the_next_answer() -> None:
    """The connection of a question that timed out is not used again."""
    peers = asking()

    async def run() -> None:
        async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", pause=0.5) as port:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await peers.ask(member(port), ASK)
            assert peers._lines == {}

    asyncio.run(run())


def test_nobody_there() -> None:
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(asking().ask(member(1), ASK))


@pytest.mark.parametrize(("address", "port"), [("10.0.0.5", 9069), ("fd00::5", 1)])
def test_where_an_instance_is_reached(address: str, port: int) -> None:
    assert read_peer(write_peer(address, port)) == (address, port)


@pytest.mark.parametrize("peer", ["", "10.0.0.5", "10.0.0.5:", ":9069", "10.0.0.5:x"])
def test_what_is_no_place(peer: str) -> None:
    with pytest.raises(AskError):
        read_peer(peer)
