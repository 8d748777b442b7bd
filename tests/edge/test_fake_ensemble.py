"""The ZooKeeper in memory does what the real one does, and what only a test can ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from era_ap.cluster.contract import Create, SessionState, UnavailableError
from tests.edge.ensemble_contract import EnsembleContract
from tests.fake_ensemble import FakeEnsemble, Servers


class FakeClient:
    """A client in memory; what it reports, it reports within the call that causes it."""

    def __init__(self, servers: Servers) -> None:
        self.told: list[tuple[SessionState, int]] = []
        self.ensemble = FakeEnsemble(servers, 4.0, self._note)
        servers.clients.append(self.ensemble)
        self.ensemble.resume()

    def _note(self, state: SessionState, session: int) -> None:
        self.told.append((state, session))

    async def until(self, what: Callable[[], object]) -> None:
        assert what()


class FakeHarness:
    def __init__(self) -> None:
        self.servers = Servers()

    async def open(self) -> FakeClient:
        return FakeClient(self.servers)

    def cut(self, client: FakeClient) -> None:
        client.ensemble.suspend()

    async def mend(self, client: FakeClient) -> None:
        client.ensemble.resume()

    async def expire(self, client: FakeClient) -> None:
        client.ensemble.expire()

    async def close(self) -> None: ...


class TestFakeEnsemble(EnsembleContract):
    @pytest.fixture
    def harness(self) -> FakeHarness:
        return FakeHarness()


def test_a_session_that_ends_while_its_client_is_away() -> None:
    async def test() -> None:
        servers = Servers()
        told: list[SessionState] = []
        one = servers.connect(on_change=lambda state, _: told.append(state))
        first = one.session_id
        await one.commit(Create("mine", ephemeral=True))
        one.suspend()
        servers.end_session(first)
        assert "mine" not in servers.nodes
        assert (one.state, one.session_id) == (SessionState.SUSPENDED, first)
        one.resume()
        assert one.session_id != first
        assert told[-3:] == [SessionState.SUSPENDED, SessionState.LOST, SessionState.CONNECTED]

    asyncio.run(test())


def test_a_client_that_lost_its_session_may_wait_for_a_new_one() -> None:
    async def test() -> None:
        one = Servers().connect()
        one.lose()
        assert one.state is SessionState.LOST
        with pytest.raises(UnavailableError):
            await one.read("x")
        one.resume()
        await one.commit(Create("x"))

    asyncio.run(test())


def test_an_answer_that_is_lost_leaves_the_outcome_unknown() -> None:
    async def test() -> None:
        servers = Servers()
        one = servers.connect()
        one.deaf = True
        for verb in (one.commit(Create("x")), one.read("x"), one.children(""), one.make("y")):
            with pytest.raises(UnavailableError):
                await verb
        assert set(servers.nodes) == {"x"}

    asyncio.run(test())


def test_a_write_that_is_held_arrives_late_or_after_its_session() -> None:
    async def test() -> None:
        servers = Servers()
        one, two = servers.connect(), servers.connect()
        for client in (one, two):
            client.held = []
            with pytest.raises(UnavailableError):
                await client.commit(Create("x", ephemeral=True))
        assert servers.nodes == {}
        servers.end_session(one.session_id)
        assert (one.release(), two.release()) == ([False], [True])
        assert servers.nodes["x"].owner == two.session_id

    asyncio.run(test())


def test_servers_that_restart_empty_know_nobody() -> None:
    async def test() -> None:
        servers = Servers()
        one = servers.connect()
        first = one.session_id
        await one.commit(Create("x"))
        one.suspend()
        servers.wipe()
        one.resume()
        assert one.session_id != first
        assert await one.read("x") is None
        await one.commit(Create("x"))
        assert servers.nodes["x"].czxid == 1

    asyncio.run(test())
