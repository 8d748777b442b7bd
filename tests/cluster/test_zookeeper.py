"""The bridge to the real ZooKeeper: the contract of every ensemble, and what only a real one can do to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from era_ap.cluster.contract import Create, Put, RefusedWriteError, SessionState, UnavailableError
from tests.cluster.clients import RealClient, RealHarness
from tests.cluster.ensemble import RealEnsemble, running
from tests.edge.ensemble_contract import Bell, EnsembleContract

T = 4.0


class TestZooKeeper(EnsembleContract):
    @pytest.fixture
    def harness(self, servers: RealEnsemble) -> RealHarness:
        return RealHarness(servers.connect)


Test = Callable[[RealHarness], Awaitable[None]]


def run(servers: RealEnsemble | str, test: Test, **access: object) -> None:
    async def whole() -> None:
        harness = RealHarness(servers if isinstance(servers, str) else servers.connect, **access)
        try:
            await test(harness)
        finally:
            await harness.close()

    asyncio.run(whole())


def is_connected(client: RealClient) -> bool:
    return client.ensemble.state is SessionState.CONNECTED


class Lag:
    """The longest time the event loop was busy with something else, seconds."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def __aenter__(self) -> Lag:
        self._task = asyncio.ensure_future(self._measure())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _measure(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.worst = max(self.worst, time.monotonic() - before - 0.01)


def test_twenty_sessions_are_ended_by_force_and_no_thread_is_left(servers: RealEnsemble) -> None:
    """Twenty times in a row, a session again within T + 2 s (A14)."""

    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        one = client.ensemble
        await one.make("members")
        threads: set[int] = set()
        for number in range(20):
            await one.commit(Create("members/ap1", b"%d" % number, ephemeral=True))
            session, began = one.session_id, time.monotonic()
            await harness.expire(client)
            await client.until(lambda: is_connected(client) and one.session_id != session)  # noqa: B023
            assert time.monotonic() - began < T + 2
            threads.add(sum(thread.name.startswith("Thread-") for thread in threading.enumerate()))
            await one.make("members")
            assert await one.children("members") == ()
        assert len(threads) == 1
        assert len(client.logged("the session at ZooKeeper has ended")) == 20

    run(servers, test)


@pytest.mark.parametrize("asks", [True, False], ids=["while it is asked", "while nobody asks"])
def test_servers_that_fall_silent_are_left_in_two_thirds_of_the_session_timeout(
    servers: RealEnsemble, asks: bool
) -> None:
    """Contact counts as lost within 2/3 T, and nothing holds the event loop up for 100 ms (A6, A10)."""

    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        one = client.ensemble
        await one.make("g")
        session = one.session_id
        client.relay.mute()
        muted = time.monotonic()

        async def ask() -> None:
            while is_connected(client):
                began = time.monotonic()
                with pytest.raises(UnavailableError):
                    await one.read("g")
                assert time.monotonic() - began < 1.3
                await asyncio.sleep(T / 6)

        async with Lag() as lag:
            asking = asyncio.ensure_future(ask()) if asks else None
            await client.until(lambda: one.state is SessionState.SUSPENDED)
            assert time.monotonic() - muted < 2 / 3 * T
            if asking is not None:
                await asking
        assert lag.worst < 0.1
        await client.relay.mend()
        await client.until(lambda: is_connected(client))
        assert one.session_id == session or client.logged("the session at ZooKeeper has ended")

    run(servers, test)


def test_a_flood_of_questions_to_a_silent_server_never_blocks_the_loop(servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        one = client.ensemble
        await one.make("g")
        client.relay.mute()
        async with Lag() as lag:
            began = time.monotonic()
            writes = (one.commit(Put("g", bytes(10_000))) for _ in range(2000))
            ends = await asyncio.gather(*writes, return_exceptions=True)
            assert time.monotonic() - began < 4
        assert {type(end) for end in ends} == {UnavailableError}
        assert lag.worst < 0.8  # 2000 transactions of 10 kB are being put together meanwhile
        await client.relay.mend()
        await client.until(lambda: is_connected(client))
        await one.make("g")

    run(servers, test)


def test_a_frozen_server_is_left_for_another_one_within_the_session(servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        one = client.ensemble
        await one.make("g")
        await one.commit(Create("g/mine", ephemeral=True))
        session = one.session_id
        port = int(client.logged("connected to ZooKeeper")[-1]["server"].rpartition(":")[2])
        index = client.relay.connect.split(",").index(f"127.0.0.1:{port}")
        frozen = followers[index]
        frozen.freeze()
        try:
            await client.until(lambda: one.state is SessionState.SUSPENDED)
            await client.until(lambda: is_connected(client))
            assert one.session_id == session
            node = await one.read("g/mine")
            assert node is not None
        finally:
            frozen.thaw()
        await asyncio.to_thread(servers.recover)

    followers = [server for server in servers.servers if server is not servers.leader()]
    run(",".join(f"{server.host}:{server.port}" for server in followers), test)


def test_a_quorum_that_is_lost_for_longer_than_the_session(servers: RealEnsemble) -> None:
    """Mute servers, not ones that refuse (A10)."""

    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        one = client.ensemble
        bell = Bell()
        await one.make("g")
        await one.read("g", bell)
        leader = servers.leader()  # frozen too: it would answer reads until it notices that it is alone
        frozen = [leader, next(server for server in servers.servers if server is not leader)]
        for server in frozen:
            server.freeze()
        try:
            async with Lag() as lag:
                began = time.monotonic()
                await client.until(lambda: one.state is SessionState.SUSPENDED)
                while time.monotonic() - began < 1.5 * T:
                    with pytest.raises(UnavailableError):
                        await one.read("g")
                    await asyncio.sleep(T / 6)
            assert lag.worst < 0.1
            assert one.state is SessionState.SUSPENDED
        finally:
            for server in frozen:
                server.thaw()
        await asyncio.to_thread(servers.recover)
        thawed = time.monotonic()
        await client.until(lambda: is_connected(client))
        assert time.monotonic() - thawed < T + 2
        await bell.wait()
        assert await one.read("g") is not None

    run(servers, test)


def test_servers_that_appear_later_are_found(tmp_path: Path, servers: RealEnsemble) -> None:
    """Started without any (A12)."""

    async def test(harness: RealHarness) -> None:
        client = await harness.open(wait=False)
        await client.until(lambda: client.logged("ZooKeeper does not take us"))
        with pytest.raises(UnavailableError):
            await client.ensemble.make("g")
        await asyncio.to_thread(ensemble.start)
        began = time.monotonic()
        await client.until(lambda: is_connected(client))
        assert time.monotonic() - began < 2
        await client.ensemble.make("g")

    ensemble = RealEnsemble(tmp_path, count=1)
    try:
        run(ensemble, test)
    finally:
        ensemble.close()


def test_servers_that_lost_all_their_data_are_taken_up_again(tmp_path: Path, servers: RealEnsemble) -> None:
    """A client that remembers later transactions than its server knows would be turned away for ever."""

    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        one = client.ensemble
        for number in range(20):
            await one.make(f"g/{number}")
        session = one.session_id
        await asyncio.to_thread(ensemble.restart_empty)
        restarted = time.monotonic()
        await client.until(lambda: is_connected(client) and one.session_id != session)
        assert time.monotonic() - restarted < T + 2
        assert await one.read("g/1") is None
        await one.make("g/new")
        assert [state for state, _ in client.told] == [
            SessionState.CONNECTED,
            SessionState.SUSPENDED,
            SessionState.LOST,
            SessionState.CONNECTED,
        ]

    with running(tmp_path, count=1) as ensemble:
        run(ensemble, test)


def test_closing_ends_the_session_at_once(servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        one, two = await harness.open(), await harness.open()
        bell = Bell()
        await one.ensemble.make("members")
        await one.ensemble.commit(Create("members/ap1", ephemeral=True))
        await two.ensemble.make("members")
        await two.ensemble.read("members/ap1", bell)
        began = time.monotonic()
        await one.ensemble.close()
        await bell.wait()
        assert time.monotonic() - began < 0.5
        assert one.told[-1][0] is SessionState.LOST
        with pytest.raises(UnavailableError):
            await one.ensemble.read("members")

    run(servers, test)


def test_closing_without_an_answer_takes_a_second(servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        client.relay.mute()
        began = time.monotonic()
        await client.ensemble.close()
        assert time.monotonic() - began < 1.5

    run(servers, test)


def test_a_session_timeout_that_is_not_granted_is_told(servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        assert client.ensemble.session_seconds == 10.0
        (line,) = client.logged("ZooKeeper grants another session timeout")
        assert (line["asked"], line["granted"]) == (60.0, 10.0)
        assert "tickTime" in line["advice"]

    run(servers, test, session_seconds=60.0)


def test_a_transaction_that_servers_would_not_take_is_refused(servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        client = await harness.open()
        await client.ensemble.make("g")
        await client.ensemble.commit(Put("g", bytes(999_000)))
        with pytest.raises(RefusedWriteError, match="1000001 bytes"):
            await client.ensemble.commit(Put("g", bytes(1_000_000)))
        assert is_connected(client)

    run(servers, test)


def test_a_port_where_something_else_listens_is_told(servers: RealEnsemble) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def test(_: RealHarness) -> None:
        server = await asyncio.start_server(web, "127.0.0.1", 0)
        harness = RealHarness(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        client = await harness.open(wait=False)
        await client.until(lambda: client.logged("ZooKeeper does not take us"))
        await harness.close()
        server.close()

    run(servers, test)
