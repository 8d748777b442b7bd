"""Reading a site's nodes for an operator, and striking who is gone for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from era_ap.cluster.contract import Create, Put, RefusedWriteError, UnavailableError
from era_ap.cluster.publisher import index_path
from era_ap.cluster.sealing import NOTHING, Index, seal_index
from era_ap.cluster.survey import forget, survey
from era_ap.cluster.view import (
    Claim,
    Epoch,
    Holder,
    Member,
    epoch_path,
    failsafe_path,
    leader_path,
    member_path,
)
from tests.fake_ensemble import FakeEnsemble, Servers

CACHE = Index(7, 70, 1000, True, 3, 3, 1, NOTHING)
Test = Callable[[Servers], Awaitable[None]]


async def instance(servers: Servers, name: str, order: int, *, leads: bool = False) -> FakeEnsemble:
    client = servers.connect()
    member = Member(name, 1, order, f"i-{name}", f"p-{name}")
    await client.make("members")
    await client.make("groups/1")
    await client.commit(Create(member_path(name), member.to_json(), ephemeral=True))
    if leads:
        await client.commit(
            Create(leader_path(1), Holder(name, f"p-{name}", 7).to_json(), ephemeral=True),
            Create(epoch_path(1), Epoch(7, name).to_json()),
            Create(failsafe_path(1), Claim(f"{name}/i-{name}", frozenset({"ap2/i-ap2", "ap3/x"})).to_json()),
        )
    return client


def run(test: Test) -> None:
    asyncio.run(test(Servers()))  # type: ignore[arg-type]


def claim(servers: Servers) -> Claim:
    from era_ap.cluster.view import read_claim

    node = servers.nodes[failsafe_path(1)]
    found = read_claim(node.data, node.version)
    assert found is not None
    return found


def test_everything_is_read() -> None:
    async def test(servers: Servers) -> None:
        one = await instance(servers, "ap1", 1, leads=True)
        await instance(servers, "ap2", 2)
        await one.commit(Create("members/ap4", b"{}", ephemeral=True))
        await one.make("cache/1")
        await one.commit(Create(index_path(1), seal_index(CACHE)))
        await one.make("groups/5")
        found = await survey(servers.connect(), {1, 9})
        assert [member.name for member in found.members] == ["ap1", "ap2"]
        assert found.members[0].session == one.session_id
        assert found.unreadable == ("ap4",)
        assert [group.number for group in found.groups] == [1, 5, 9]
        first = found.groups[0]
        assert first.nodes.holder is not None
        assert first.nodes.epoch is not None
        assert (first.nodes.holder.session, first.nodes.epoch.number) == (one.session_id, 7)
        assert first.cache == CACHE
        assert found.groups[2].nodes.epoch is None

    run(test)


def test_a_damaged_index_counts_as_none_and_lost_contact_is_raised() -> None:
    async def test(servers: Servers) -> None:
        one = await instance(servers, "ap1", 1)
        await one.make("cache/1")
        await one.commit(Create(index_path(1), b"damaged"))
        assert (await survey(one, {1})).groups[0].cache is None
        one.suspend()
        with pytest.raises(UnavailableError):
            await survey(one, {1})

    run(test)


def test_a_group_with_a_leader_is_left_alone() -> None:
    async def test(servers: Servers) -> None:
        one = await instance(servers, "ap1", 1, leads=True)
        before = servers.commits
        assert await forget(one, await survey(one, {1}), "ap3") == ()
        assert servers.commits == before

    run(test)


def test_names_are_struck_one_by_one_until_anybody_may_take_over() -> None:
    async def test(servers: Servers) -> None:
        gone = await instance(servers, "ap1", 1, leads=True)
        gone.lose()
        admin = servers.connect()
        assert not claim(servers).admits("new/i")
        assert await forget(admin, await survey(admin, {1}), "unknown") == ()
        for name in ("ap1", "ap2", "ap3"):
            done = await forget(admin, await survey(admin, {1}), name)
            assert done == (f"struck {name} from those whom group 1 waits for",)
        assert claim(servers) == Claim(version=3)
        assert claim(servers).admits("new/i")

    run(test)


def test_a_change_meanwhile_is_not_overwritten() -> None:
    async def test(servers: Servers) -> None:
        gone = await instance(servers, "ap1", 1, leads=True)
        gone.lose()
        admin = servers.connect()
        found = await survey(admin, {1})
        await admin.commit(Put(failsafe_path(1), Claim("ap9/i").to_json()))
        with pytest.raises(RefusedWriteError):
            await forget(admin, found, "ap3")
        assert claim(servers).leader == "ap9/i"

    run(test)


def test_nodes_that_stay_behind_are_removed_by_force_only() -> None:
    async def test(servers: Servers) -> None:
        await instance(
            servers, "ap1", 1, leads=True
        )  # its session has ended, but a server has kept its nodes
        admin = servers.connect()
        assert await forget(admin, await survey(admin, {1}), "ap1") == ()
        done = await forget(admin, await survey(admin, {1}), "ap1", force=True)
        assert done == (
            "removed the member node of ap1",
            "removed the leader node of group 1",
            "struck ap1 from those whom group 1 waits for",
        )
        assert not {member_path("ap1"), leader_path(1)} & servers.nodes.keys()
        assert claim(servers).leader == ""

    run(test)


def test_groups_that_zookeeper_lost_are_freed_by_force_only() -> None:
    async def test(servers: Servers) -> None:
        admin = servers.connect()
        assert await forget(admin, await survey(admin, {1}), "ap1") == ()
        done = await forget(admin, await survey(admin, {1}), "ap1", force=True)
        assert done == ("let anybody take over group 1, of which ZooKeeper knows nothing",)
        assert claim(servers) == Claim()

    run(test)
