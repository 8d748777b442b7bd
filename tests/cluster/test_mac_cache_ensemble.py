"""The MAC cache on a real ensemble: published whole, followed by all, fenced, and made again from nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from era_ap.cluster.buckets import BUCKETS
from era_ap.cluster.contract import Create, Ensemble, Operation, Put, RefusedWriteError, UnavailableError
from era_ap.cluster.mac_cache import Directory, MacCache, Sharing
from era_ap.cluster.picture import digest_of
from era_ap.cluster.publisher import bucket_path, buckets_path, index_path
from era_ap.cluster.sealing import open_bucket, open_index
from era_ap.cluster.view import Term, epoch_path
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.model import Account, AccountKey, Device, Domain
from era_ap.directory.source import Change
from tests.cached_macs import term_of
from tests.cluster.clients import RealClient, RealHarness
from tests.cluster.ensemble import RealEnsemble, running

GROUP = 1
PATIENCE = 20.0
PROMPT = 2.0
"""A change must have reached everybody by then."""


def account(number: int, revision: str = "1") -> Account:
    key = AccountKey(f"d{number % 50}.example.com", str(1000 + number))
    device = Device(f"{0x001565000000 + number:012x}", "T46S", 1, None, None, {})
    return Account(key, {}, (device,), True, revision, "")


def directory(count: int, revision: str = "1") -> Change:
    names = {f"d{number}.example.com" for number in range(50)}
    domains = tuple(Domain(name, {}, {}, (), "1", "") for name in sorted(names))
    return Change(accounts=tuple(account(number, revision) for number in range(count)), domains=domains)


class Instance:
    """A client with a directory of its own; it looks at what it is told to."""

    def __init__(self, client: RealClient, leaders: dict[int, Term], count: int) -> None:
        self.client = client
        self.leaders = leaders
        self.index = DirectoryIndex()
        self.nudged: list[frozenset[str]] = []
        self.changed = asyncio.Event()
        self.cache = MacCache(
            client.ensemble,
            SimpleNamespace(leaders=leaders),  # type: ignore[arg-type]
            Directory(self.index, time.monotonic, time.monotonic),
            Sharing(GROUP, frozenset({GROUP}), lambda _: GROUP),
            on_change=self._note,
            wall=time.time,
            log=structlog.get_logger(),
        )
        self.cache.own.apply(directory(count))
        self.cache.start()

    def _note(self, domains: frozenset[str]) -> None:
        self.nudged.append(domains)
        self.changed.set()

    async def lead(self) -> Term:
        term = self.leaders[GROUP] = await begin_term(self.client.ensemble, self.leaders.get(GROUP))
        self.cache.on_lead(term)
        return term

    async def until(self, what: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait for what no event tells."""
        async with asyncio.timeout(seconds):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def follows(self, seconds: float = PATIENCE) -> None:
        await self.until(lambda: self.cache.heeding.is_shown(GROUP), seconds)


async def begin_term(one: Ensemble, before: Term | None) -> Term:
    """A new leader's first transaction, as far as it concerns the cache."""
    await one.make(f"groups/{GROUP}")
    if await one.read(epoch_path(GROUP)) is None:
        await one.commit(Create(epoch_path(GROUP)))
    await one.commit(Put(epoch_path(GROUP), b"{}"))
    node = await one.read(epoch_path(GROUP))
    assert node is not None
    return term_of(GROUP, before.number + 1 if before else 1, node.version, node.mzxid)


async def published(one: Ensemble) -> dict[AccountKey, int]:
    """The digest of each account that ZooKeeper holds; the index must be true."""
    node = await one.read(index_path(GROUP))
    assert node is not None
    index = open_index(node.data)
    found = {}
    for name in await one.children(buckets_path(GROUP)):
        node = await one.read(bucket_path(GROUP, int(name)))
        assert node is not None
        bucket = open_bucket(node.data)
        assert bucket.digest == index.digests[int(name)]
        found.update({row.key: row.digest for row in bucket.rows()})
    assert len(found) == index.rows
    return found


Test = Callable[[RealHarness], Awaitable[None]]


def run(servers: RealEnsemble, test: Test) -> None:
    async def whole() -> None:
        harness = RealHarness(servers.connect)
        try:
            await test(harness)
        finally:
            await harness.close()

    asyncio.run(whole())


def test_three_instances_follow_what_one_of_them_sees(servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        leaders: dict[int, Term] = {}
        instances = [Instance(await harness.open(), leaders, 5000) for _ in range(3)]
        one, *others = instances
        await one.lead()
        for each in instances:
            await each.follows()
        assert len(await published(one.client.ensemble)) == 5000
        assert [each.cache.is_fresh() for each in instances] == [False, True, True]
        for turn in range(5):
            changed = account(turn * 777, f"edit {turn}")
            began = time.monotonic()
            one.cache.own.apply(Change(accounts=(changed,)))
            for each in others:
                await each.until(lambda each=each: each.nudged, PROMPT)  # type: ignore[misc]
                assert each.nudged == [{changed.key.domain}]
                each.cache.own.apply(Change(accounts=(changed,)))
                each.nudged.clear()
            assert time.monotonic() - began < PROMPT
        for each in instances:
            each.cache.close()

    run(servers, test)


def test_a_deposed_leaders_delayed_write_is_refused_100_of_100(servers: RealEnsemble) -> None:
    """Held back until the next leader has begun, then let go (A21)."""

    async def test(harness: RealHarness) -> None:
        rng = random.Random(1)
        leaders: dict[int, Term] = {}
        one, two = [Instance(await harness.open(), leaders, 300) for _ in range(2)]
        late: list[tuple[Operation, ...]] = []
        send = one.client.ensemble.commit

        async def delay(*operations: Operation) -> None:
            late.append(operations)
            raise UnavailableError("no answer in time")

        for turn in range(100):
            await one.lead()
            await one.follows()
            one.client.ensemble.commit = delay  # type: ignore[method-assign]
            edited = account(rng.randrange(300), f"late {turn}")
            one.cache.own.apply(Change(accounts=(edited,)))
            await one.until(lambda: late)
            await two.lead()
            if turn % 2:
                await two.follows()
            for operations in late:
                with pytest.raises(RefusedWriteError):
                    await send(*operations)
            one.client.ensemble.commit = send  # type: ignore[method-assign]
            one.cache.on_stop_leading("another one does")
            late.clear()
            await two.follows()
            await check(two, whole=turn % 10 == 0)
            two.cache.own.apply(Change(accounts=(edited,)))
            two.cache.on_stop_leading("the next turn")
        for each in (one, two):
            each.cache.close()

    run(servers, test)


async def check(leader: Instance, *, whole: bool) -> None:
    """ZooKeeper holds what this leader knows."""
    own = [leader.cache.own.bucket(GROUP, number) for number in range(BUCKETS)]
    node = await leader.client.ensemble.read(index_path(GROUP))
    assert node is not None
    assert open_index(node.data).digests == tuple(map(digest_of, own))
    if whole:
        rows = [row for bucket in own if bucket is not None for row in bucket.rows()]
        assert await published(leader.client.ensemble) == {row.key: row.digest for row in rows}


def test_contact_that_breaks_amid_the_writing_costs_nothing(servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        leaders: dict[int, Term] = {}
        one, two = [Instance(await harness.open(), leaders, 20_000) for _ in range(2)]
        await one.lead()
        for _ in range(3):
            await asyncio.sleep(0.2)
            harness.cut(one.client)
            harness.cut(two.client)
            await asyncio.sleep(0.2)
            await harness.mend(one.client)
            await harness.mend(two.client)
        await one.follows()
        await two.follows()
        assert len(await published(two.client.ensemble)) == 20_000
        harness.cut(two.client)
        one.cache.own.apply(Change(accounts=(account(5, "2"),)))
        await asyncio.sleep(0.5)
        assert two.nudged == []
        await harness.mend(two.client)
        await two.until(lambda: two.nudged)
        assert two.nudged[0] == {"d5.example.com"}
        for each in (one, two):
            each.cache.close()

    run(servers, test)


def test_zookeeper_restarted_empty_gets_everything_again(tmp_path: Path, servers: RealEnsemble) -> None:
    async def test(harness: RealHarness) -> None:
        leaders: dict[int, Term] = {}
        one, two = [Instance(await harness.open(), leaders, 5000) for _ in range(2)]
        await one.lead()
        for each in (one, two):
            await each.follows()
        session = one.client.ensemble.session_id
        await asyncio.to_thread(own.restart_empty)
        one.cache.on_stop_leading("the session is over")
        assert two.cache.owners("001565000005") == (AccountKey("d5.example.com", "1005"),)
        for each in (one, two):
            await each.client.until(
                lambda each=each: each.client.ensemble.session_id != session  # type: ignore[misc]
            )
            await each.until(lambda each=each: is_connected(each))  # type: ignore[misc]
        began = time.monotonic()
        await one.lead()
        for each in (one, two):
            await each.follows()
        assert time.monotonic() - began < 10
        assert len(await published(one.client.ensemble)) == 5000
        for each in (one, two):
            each.cache.close()

    with running(tmp_path / "own", count=1) as own:
        run(own, test)


def is_connected(instance: Instance) -> bool:
    return instance.client.ensemble.state.value == "connected"
