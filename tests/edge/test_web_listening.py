"""Ports that instances share: nobody is lost when one of them stops, and a stranger's port is an error."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from era_ap.web.exchange import Receive, Scope, Send
from era_ap.web.listening import listen, turn_away
from era_ap.web.server import WebPolicy, WebServer

ANSWER_SECONDS = 5.0


class App:
    """Answers with its name; ``gate`` can hold answers back."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0
        self.questions: asyncio.Queue[Scope] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.asked += 1
        self.questions.put_nowait(scope)
        await self.gate.wait()
        body = self.name.encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(
    app: App, port: int = 0, sock: socket.socket | None = None
) -> AsyncIterator[tuple[WebServer, int]]:
    server = WebServer(app, WebPolicy(), lambda *_: None)
    _, port = server.bind("127.0.0.1", port, sock=sock)
    await server.start()
    try:
        yield server, port
    finally:
        server.close()


async def get(port: int, before: Callable[[], Awaitable[object]] | None = None) -> str:
    """The body of an answer; ``before`` is done between connecting and asking."""
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), ANSWER_SECONDS)
    try:
        if before is not None:
            await before()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), ANSWER_SECONDS)
    finally:
        writer.close()
    return answer.decode().partition("\r\n\r\n")[2]


def test_two_share_a_port_and_both_are_asked() -> None:
    asyncio.run(run_shared())


def test_a_port_that_the_kernel_chose_is_not_shared() -> None:
    with pytest.raises(OSError, match="Address already in use"):
        asyncio.run(run_chosen())


async def run_chosen() -> None:
    async with serving(App("one")) as (_, port), serving(App("two"), port):
        raise AssertionError("a port that the kernel chose is nobody else's")


async def run_shared() -> None:
    port = free_port()
    async with serving(App("one"), port), serving(App("two"), port):
        assert {await get(port) for _ in range(64)} == {"one", "two"}


def test_who_comes_later_is_given_nobody_before_it_serves() -> None:
    async def run() -> None:
        port = free_port()
        async with serving(App("first"), port):
            late = WebServer(App("late"), WebPolicy(), lambda *_: None)
            late.bind("127.0.0.1", port)
            assert {await get(port) for _ in range(32)} == {"first"}
            await late.start()
            assert {await get(port) for _ in range(64)} == {"first", "late"}
            late.close()

    asyncio.run(run())


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def test_nobody_is_lost_when_one_of_two_stops() -> None:
    async def run() -> None:
        port = free_port()
        stopping, staying = App("stopping"), App("staying")
        async with serving(stopping, port) as (server, _), serving(staying, port):
            asking = [asyncio.ensure_future(get(port)) for _ in range(50)]
            draining = asyncio.ensure_future(server.drain(5.0))
            while not draining.done():
                asking += [asyncio.ensure_future(get(port)) for _ in range(5)]
                await asyncio.sleep(0.005)
            answers = await asyncio.gather(*asking)
            assert set(answers) <= {"stopping", "staying"}
            assert len(answers) == stopping.asked + staying.asked
            assert await draining
            assert {await get(port) for _ in range(20)} == {"staying"}

    asyncio.run(run())


def test_who_has_connected_may_still_ask_and_who_asked_gets_the_answer() -> None:
    async def run() -> None:
        app = App("one")
        async with serving(app) as (server, port):
            app.gate.clear()
            waiting = asyncio.ensure_future(get(port))
            draining: list[asyncio.Future[bool]] = []

            async def drain() -> None:
                draining.append(asyncio.ensure_future(server.drain(5.0)))
                await asyncio.sleep(0.3)  # a slow phone

            asking = asyncio.ensure_future(get(port, drain))
            for _ in range(2):
                await app.questions.get()
            app.gate.set()
            assert [await waiting, await asking] == ["one", "one"]
            assert await draining[0]
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)

    asyncio.run(run())


def test_who_connects_and_says_nothing_keeps_nobody_waiting() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        async with serving(App("one")) as (server, port):
            _, silent = await asyncio.open_connection("127.0.0.1", port)
            start = loop.time()
            assert await server.drain(10.0)
            silent.close()
            return loop.time() - start

    assert asyncio.run(run()) < 5.0


def test_a_socket_that_somebody_else_has_bound_is_left_as_it_is() -> None:
    """systemd keeps it: the next process finds there whoever connects meanwhile."""

    async def run() -> None:
        held = listen("127.0.0.1", 0)
        async with serving(App("one"), sock=held.dup()) as (server, port):
            assert await get(port) == "one"
            assert await server.drain(5.0)
        _, late = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 0.9)
        async with serving(App("two"), sock=held):
            assert await get(port) == "two"
        late.close()

    asyncio.run(run())


def test_a_port_of_somebody_who_does_not_share_is_an_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="Address already in use") as error:
            listen("127.0.0.1", other.getsockname()[1])
    assert error.value.errno == errno.EADDRINUSE


def test_turning_away_lets_nobody_in_who_was_not_on_his_way() -> None:
    with listen("127.0.0.1", 0) as listener, socket.socket() as early, socket.socket() as late:
        address = listener.getsockname()
        early.connect(address)
        turn_away(listener)
        late.settimeout(0.1)
        with pytest.raises(TimeoutError):
            late.connect(address)
        listener.settimeout(5)
        connection, peer = listener.accept()
        connection.close()
        assert peer == early.getsockname()
