"""The loop's side of a client in threads: limits, silence, watches, replacement; kazoo's corrected parts."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from kazoo.exceptions import ConnectionLoss
from kazoo.protocol.states import KeeperState

from era_ap.cluster import session as session_module
from era_ap.cluster import zookeeper
from era_ap.cluster.access import Access, Told
from era_ap.cluster.contract import SessionState, UnavailableError
from era_ap.cluster.session import Session, forbidden, hung
from era_ap.errors import Reason, Refused

ACCESS = Access("zk1:2181,zk2:2181", "/era_ap/lab")


class Answer:
    """A result; ``give`` hands it over in the thread that calls."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Any], None]] = []
        self.value: Any = None

    def rawlink(self, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)

    def give(self, value: Any) -> None:
        self.value = value
        for callback in self.callbacks:
            callback(self)

    def get_nowait(self) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class ScriptedClient:
    """A client that does what the test says."""

    def __init__(self) -> None:
        self.connected = False
        self.is_over = False
        self.heard = 0.0
        self.asked: list[Answer] = []
        self.begun = threading.Event()
        self.dropped = 0
        self.ended = threading.Event()
        self.outdated = False

    def is_outdated(self) -> bool:
        return self.outdated

    def begin(self) -> None:
        self.begun.set()

    def drop(self) -> None:
        self.dropped += 1

    def end(self) -> None:
        self.ended.set()

    def ask(self) -> Answer:
        self.asked.append(Answer())
        return self.asked[-1]


async def until(what: Callable[[], object]) -> None:
    """Turn the loop until what other threads post has arrived."""
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110 - the loop turns, nothing is waited for
            await asyncio.sleep(0)


class Bench:
    """A session whose clients are scripted."""

    def __init__(self, seconds: float = 0.4) -> None:
        self.clients: list[ScriptedClient] = []
        self.failure: Refused | None = None
        self.told: list[tuple[SessionState, int]] = []
        self.log: list[Any] = []
        told = Told(ACCESS, structlog.wrap_logger(None, processors=[self._line]))
        self.session = Session(
            self._make, seconds, told, lambda state, number: self.told.append((state, number))
        )

    def _make(self) -> ScriptedClient:
        if self.failure is not None:
            raise self.failure
        self.clients.append(ScriptedClient())
        return self.clients[-1]

    def _line(self, _log: object, _method: str, event: Any) -> Any:
        self.log.append(event)
        raise structlog.DropEvent

    async def start(self) -> ScriptedClient:
        self.session.start()
        return await self.next_client(0)

    async def next_client(self, index: int) -> ScriptedClient:
        await until(lambda: len(self.clients) > index and self.session.clients.now is self.clients[index])
        return self.clients[index]

    async def connect(self, number: int = 1) -> ScriptedClient:
        client = await self.start()
        self.take(client, number)
        return client

    def take(self, client: ScriptedClient, number: int) -> None:
        client.connected = True
        self.session.connected(client, number, self.session.seconds, "zk1:2181")


def run(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test(Bench()))


def test_an_answer_comes_from_another_thread() -> None:
    async def test(bench: Bench) -> None:
        client = await bench.connect()
        for given in (b"data", ConnectionLoss()):
            asking = asyncio.ensure_future(bench.session.ask(ScriptedClient.ask))
            await asyncio.sleep(0)
            threading.Thread(target=client.asked[-1].give, args=(given,)).start()
            if isinstance(given, Exception):
                with pytest.raises(ConnectionLoss):
                    await asking
            else:
                assert await asking == given

    run(test)


def test_a_silent_server_is_left_a_slow_one_is_not() -> None:
    async def test(bench: Bench) -> None:
        client = await bench.connect()
        for heard in (time.monotonic() + 60, 0.0):
            client.heard = heard
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="in time"):
                await bench.session.ask(ScriptedClient.ask)
            assert 0.09 < time.monotonic() - began < 0.3
        await until(lambda: client.dropped)
        assert client.dropped == 1
        client.asked[-1].give(b"late")
        await asyncio.sleep(0)

    run(test)


def test_without_contact_nothing_is_sent() -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(UnavailableError, match="lost"):
            await bench.session.ask(ScriptedClient.ask)
        client = await bench.start()
        with pytest.raises(UnavailableError, match="lost"):
            await bench.session.ask(ScriptedClient.ask)
        bench.take(client, 1)
        client.connected = False  # the client knows already, the loop does not
        assert bench.session.state is SessionState.SUSPENDED
        with pytest.raises(UnavailableError, match="suspended"):
            await bench.session.ask(ScriptedClient.ask)
        assert client.asked == []

    run(test)


def test_the_way_of_a_session() -> None:
    async def test(bench: Bench) -> None:
        client = await bench.connect(1)
        bench.session.suspended(client)
        bench.session.suspended(client)
        bench.take(client, 1)
        bench.session.suspended(client)
        bench.session.lost(client)
        bench.take(client, 2)
        bench.take(client, 3)  # servers that hand out a new session in silence
        assert bench.told == [
            (SessionState.CONNECTED, 1),
            (SessionState.SUSPENDED, 1),
            (SessionState.CONNECTED, 1),
            (SessionState.SUSPENDED, 1),
            (SessionState.LOST, 1),
            (SessionState.CONNECTED, 2),
            (SessionState.LOST, 2),
            (SessionState.CONNECTED, 3),
        ]
        stranger = ScriptedClient()
        for call in (bench.session.suspended, bench.session.lost):
            call(stranger)
        bench.take(stranger, 9)
        assert bench.told[-1] == (SessionState.CONNECTED, 3)
        await bench.session.close()
        assert bench.told[-1] == (SessionState.LOST, 3)
        assert client.ended.is_set()

    run(test)


def test_a_client_that_gave_up_is_replaced_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(session_module, "LONGEST_PAUSE", 0.05)

    async def test(bench: Bench) -> None:
        await bench.start()
        pauses = []
        for index in range(4):
            client = await bench.next_client(index)
            client.is_over = True
            pauses.append(bench.session.clients.pause)
            bench.session.lost(client)
        last = await bench.next_client(4)
        assert pauses == [0.01, 0.02, 0.04, 0.05]
        assert all(client.ended.wait(10) for client in bench.clients[:4])
        bench.take(last, 7)
        assert bench.session.clients.pause == 0.01
        assert bench.told == [(SessionState.CONNECTED, 7)]

    run(test)


def test_a_client_that_cannot_be_made_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "FIRST_PAUSE", 0.01)

    async def test(bench: Bench) -> None:
        bench.failure = Refused(Reason.ZOOKEEPER_PASSWORD, "gone")
        bench.session.start()
        await until(lambda: bench.log)
        bench.failure = None
        await bench.next_client(0)
        assert [line["detail"] for line in bench.log] == ["zookeeper-password: gone"]

    run(test)


def test_only_a_client_that_would_log_in_otherwise_now_is_replaced_where_a_node_is_refused() -> None:
    async def test(bench: Bench) -> None:
        client = await bench.connect()
        for _ in range(3):
            forbidden(bench.session, "/era_ap/lab/members")
        client.outdated = True
        assert len(bench.clients) == 1
        for _ in range(3):
            forbidden(bench.session, "/era_ap/lab/members")
        bench.take(await bench.next_client(1), 2)
        assert client.ended.wait(10)
        assert bench.told[-2:] == [(SessionState.LOST, 1), (SessionState.CONNECTED, 2)]
        assert len(bench.clients) == 2

    run(test)


def test_a_session_that_is_closed_while_its_client_is_made_ends_that_too() -> None:
    async def test(bench: Bench) -> None:
        bench.session.start()
        await bench.session.close()
        await until(lambda: bench.clients)
        await asyncio.to_thread(bench.clients[0].ended.wait, 10)
        assert bench.session.clients.now is None

    run(test)


def test_closing_does_not_wait_for_a_client_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "CLOSE_SECONDS", 0.05)

    async def test(bench: Bench) -> None:
        client = await bench.connect()
        go = threading.Event()
        monkeypatch.setattr(client, "end", go.wait)
        await bench.session.close()
        assert bench.session.state is SessionState.LOST
        go.set()

    run(test)


def test_a_watch_is_told_after_its_read_and_once() -> None:
    event = SimpleNamespace(path="/era_ap/lab/x")

    async def test(bench: Bench) -> None:
        await bench.connect()
        rang: list[str] = []
        with hung(bench.session, lambda: rang.append("early")) as bell:
            assert bell is not None
            bell(event)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert rang == []
        await asyncio.sleep(0)
        assert rang == ["early"]
        with pytest.raises(ConnectionLoss), hung(bench.session, lambda: rang.append("never")) as bell:
            assert bell is not None
            raise ConnectionLoss
        bell(event)
        with hung(bench.session, lambda: rang.append("twice")) as bell:
            assert bell is not None
        bell(SimpleNamespace(path=None))  # kazoo tells watches that contact is lost, too
        await asyncio.sleep(0)
        assert rang == ["early"]
        for _ in range(2):
            bell(event)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert rang == ["early", "twice"]
        assert bench.session.bells == set()

    run(test)


@pytest.mark.parametrize("end", ["contact is back", "the session is over"])
def test_watches_are_told_when_the_client_has_forgotten_them(end: str) -> None:
    async def test(bench: Bench) -> None:
        client = await bench.connect()
        rang: list[int] = []
        for number in range(2):
            with hung(bench.session, lambda number=number: rang.append(number)):  # type: ignore[misc]
                pass
        bench.session.suspended(client)
        await asyncio.sleep(0)
        assert rang == []
        if end == "contact is back":
            bench.take(client, 1)
        else:
            bench.session.lost(client)
        await asyncio.sleep(0)
        assert sorted(rang) == [0, 1]

    run(test)


# --- what of kazoo is corrected


def client() -> Any:
    return zookeeper._Client(ACCESS, Bench().session)


def resolver(monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> None:
    def resolve(host: str, port: int, *_: object) -> list[Any]:
        if host not in names:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (names[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_addresses_outlive_the_name_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = client()._connection
    names = {"zk1": "192.0.2.1", "zk2": "192.0.2.2"}
    resolver(monkeypatch, names)
    known = [("zk1", "192.0.2.1", 2181), ("zk2", "192.0.2.2", 2181)]
    assert sorted(connection._expand_client_hosts()) == known
    names.pop("zk1")
    names["zk2"] = "192.0.2.9"
    assert sorted(connection._expand_client_hosts()) == [known[0], ("zk2", "192.0.2.9", 2181)]
    names.clear()
    assert sorted(connection._expand_client_hosts()) == [known[0], ("zk2", "192.0.2.9", 2181)]


def test_a_name_is_resolved_anew_for_a_late_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = client()._connection
    names = {"zk1": "192.0.2.1", "zk2": "192.0.2.2"}
    resolver(monkeypatch, names)
    connection._expand_client_hosts()
    names["zk2"] = "192.0.2.7"
    assert connection._address("zk2", "192.0.2.2", 2181) == "192.0.2.2"
    connection._resolved_at -= 60  # the round began a minute ago: the first server served us that long
    assert connection._address("zk2", "192.0.2.2", 2181) == "192.0.2.7"
    assert connection._address("zk1", "192.0.2.1", 2181) == "192.0.2.1"
    names.clear()
    assert connection._address("zk2", "192.0.2.2", 2181) == "192.0.2.2"


@pytest.mark.parametrize("state", [KeeperState.CONNECTING, KeeperState.CLOSED])
def test_nothing_is_queued_without_contact(state: str) -> None:
    kazoo = client()
    kazoo._state = state
    result = kazoo.handler.async_result()
    kazoo._call(object(), result)
    assert isinstance(result.exception, ConnectionLoss)
    assert not kazoo._queue


def test_a_request_whose_wake_up_finds_no_room_is_taken_back() -> None:
    kazoo = client()
    kazoo._state = KeeperState.CONNECTED
    ours, theirs = kazoo.handler.create_socket_pair()
    kazoo._connection._write_sock = theirs
    results = []
    while not results or not results[-1].ready():
        results.append(kazoo.handler.async_result())
        kazoo._call(object(), results[-1])
        assert len(results) < 100_000
    assert len(kazoo._queue) == len(results) - 1
    ours.close()
    theirs.close()


def test_contact_that_is_lost_while_a_request_is_queued_takes_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kazoo = client()
    kazoo._state = KeeperState.CONNECTED
    ours, theirs = kazoo.handler.create_socket_pair()

    class Losing:
        def send(self, data: bytes) -> None:
            kazoo._state = KeeperState.CONNECTING  # after kazoo's thread has cleared the queue

    kazoo._connection._write_sock = Losing()
    result = kazoo.handler.async_result()
    kazoo._call(object(), result)
    assert isinstance(result.exception, ConnectionLoss)
    assert not kazoo._queue
    ours.close()
    theirs.close()
