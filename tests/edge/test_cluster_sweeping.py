"""What groups leave behind is removed, and nobody who still works is robbed."""

from __future__ import annotations

import asyncio

import structlog

from era_ap.cluster.contract import Create
from era_ap.cluster.publisher import Publisher
from era_ap.cluster.sweeping import SWEEP_SECONDS, keep_swept, sweep
from era_ap.cluster.view import Term, epoch_path, leader_path
from tests.cached_macs import Rows, begin_term, rows
from tests.fake_ensemble import FakeEnsemble, Servers
from tests.virtual_time import run

HERE = frozenset({1, 2})


class Group:
    """A leader of one group that has published ``count`` rows."""

    def __init__(self, servers: Servers, group: int, count: int = 600) -> None:
        self.servers = servers
        self.group = group
        self.client: FakeEnsemble = servers.connect()
        self.publisher = Publisher(
            self.client,
            group,
            Rows(rows(count)).bucket,
            sees=lambda: True,
            wall=lambda: 0.0,
            log=structlog.get_logger(),
        )

    async def lead(self) -> Term:
        term = begin_term(self.servers, self.client.session_id, self.group)
        self.servers.apply(self.client.session_id, (Create(leader_path(self.group), ephemeral=True),))
        self.publisher.lead(term)
        await asyncio.sleep(3)
        return term

    def leave(self) -> None:
        self.publisher.stand_back()
        self.client.lose()

    def nodes(self) -> int:
        return sum(f"{path}/".startswith(f"cache/{self.group}/") for path in self.servers.nodes)


def test_a_group_that_is_no_more_and_has_no_leader_is_removed() -> None:
    async def test() -> None:
        servers = Servers()
        one, gone, empty = Group(servers, 1), Group(servers, 9), Group(servers, 10, 0)
        for each in (one, gone, empty):
            await each.lead()
        kept = one.nodes()
        gone.leave()
        empty.leave()
        await sweep(one.client, HERE)
        assert (one.nodes(), gone.nodes(), empty.nodes()) == (kept, 0, 0)
        assert epoch_path(9) in servers.nodes  # the coordination's, not ours
        await sweep(one.client, HERE)

    run(test())


def test_a_leader_by_an_older_configuration_keeps_its_part() -> None:
    async def test() -> None:
        servers = Servers()
        one, other = Group(servers, 1), Group(servers, 9)
        await one.lead()
        await other.lead()
        kept = other.nodes()
        await sweep(one.client, HERE)
        assert other.nodes() == kept

    run(test())


def test_a_leader_that_begins_amid_the_sweeping_writes_all_again() -> None:
    async def test() -> None:
        servers = Servers()
        one, other = Group(servers, 1), Group(servers, 9, 3000)
        await one.lead()
        await other.lead()
        kept = other.nodes()
        other.leave()
        sweeping = asyncio.ensure_future(sweep(one.client, HERE))
        for _ in range(20):
            await asyncio.sleep(0)
            if other.nodes() < kept:
                break
        assert 3 < other.nodes() < kept  # it has begun
        other.client.resume()
        await other.lead()
        assert isinstance((await asyncio.gather(sweeping, return_exceptions=True))[0], Exception)
        assert other.nodes() == kept

    run(test())


def test_one_instance_sweeps_now_and_then() -> None:
    async def test() -> None:
        servers = Servers()
        one, gone = Group(servers, 1), Group(servers, 9)
        await one.lead()
        await gone.lead()
        gone.leave()
        for leads, left in ((None, gone.nodes()), (2, gone.nodes()), (1, 0)):
            sweeping = asyncio.ensure_future(keep_swept(one.client, lambda: HERE, lambda leads=leads: leads))
            await asyncio.sleep(SWEEP_SECONDS + 1)
            sweeping.cancel()
            assert gone.nodes() == left

    run(test())


def test_a_failed_sweep_is_tried_again() -> None:
    async def test() -> None:
        servers = Servers()
        one, gone = Group(servers, 1), Group(servers, 9)
        await one.lead()
        await gone.lead()
        gone.leave()
        sweeping = asyncio.ensure_future(keep_swept(one.client, lambda: HERE, lambda: 1))
        one.client.suspend()
        await asyncio.sleep(SWEEP_SECONDS + 1)
        one.client.resume()
        await asyncio.sleep(SWEEP_SECONDS + 1)
        assert gone.nodes() == 0
        sweeping.cancel()

    run(test())
