"""The reader: what a leader has written is held soon, and nothing that goes wrong takes it away."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from era_ap.cluster import picture as picture_module
from era_ap.cluster.buckets import Bucket, Row, bucket_of_mac
from era_ap.cluster.contract import Delete, Put
from era_ap.cluster.publisher import Publisher, bucket_path, index_path
from era_ap.cluster.reader import FETCHERS, Reader
from era_ap.cluster.view import Term
from tests.cached_macs import GROUP, MAC, Rows, begin_term, row, rows
from tests.fake_ensemble import FakeEnsemble, Servers
from tests.virtual_time import run

log = structlog.get_logger()
PATH = bucket_path(GROUP, bucket_of_mac(MAC))


class World:
    """A leader that publishes ``rows``, and a reader of another client that tells its ``changes``."""

    def __init__(self, *given: Row) -> None:
        self.servers = Servers()
        self.rows = Rows(given)
        self.leader = self.servers.connect()
        self.publisher = Publisher(
            self.leader, GROUP, self.rows.bucket, sees=lambda: self.sees, wall=lambda: 0.0, log=log
        )
        self.sees = True
        self.client: FakeEnsemble = self.servers.connect()
        self.near: dict[bytes, Bucket] = {}
        self.changes: list[tuple[frozenset[int], frozenset[str]]] = []
        self.read: list[str] = []
        self._read = self.client.read
        self.client.read = self._note  # type: ignore[method-assign]
        self.busy = self.busiest = 0
        self.reader = Reader(
            self.client,
            GROUP,
            nearby=lambda group, number, digest: self.near.get(digest),
            on_change=lambda group, numbers, domains: self.changes.append((numbers, domains)),
            log=log,
        )

    async def _note(self, path: str, watch: object = None) -> object:
        self.read.append(path)
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        try:
            return await self._read(path, watch)  # type: ignore[arg-type]
        finally:
            self.busy -= 1

    def lead(self, number: int = 0) -> Term:
        term = begin_term(self.servers, self.leader.session_id, number=number)
        self.publisher.lead(term)
        return term

    async def start(self) -> Term:
        term = self.lead()
        self.reader.start()
        await asyncio.sleep(5)
        return term

    async def change(self, *changed: Row, seconds: float = 1.0) -> None:
        self.publisher.poke(self.rows.put(*changed))
        await asyncio.sleep(seconds)

    def harm(self, path: str, data: bytes = b"garbage") -> bytes:
        """Somebody writes to a node; returns what was there."""
        before = self.servers.nodes[path].data
        self.servers.apply(self.leader.session_id, (Put(path, data),))
        return before

    def touch_index(self) -> None:
        self.harm(index_path(GROUP), self.servers.nodes[index_path(GROUP)].data)

    def held(self) -> set[Row]:
        return {
            each for bucket in self.reader.picture.buckets if bucket is not None for each in bucket.rows()
        }

    def check(self) -> None:
        assert self.held() == self.rows.all


def test_a_fresh_reader_fetches_everything_a_few_at_a_time() -> None:
    async def test() -> None:
        world = World(*rows(3000))
        term = await world.start()
        world.check()
        assert world.reader.shows(term)
        assert world.busiest <= FETCHERS
        assert not world.reader.shows(None)

    run(test())


def test_only_buckets_that_changed_are_fetched() -> None:
    async def test() -> None:
        world = World(*rows(3000))
        await world.start()
        world.read.clear()
        world.changes.clear()
        await world.change(row(MAC + 5, "1005", digest=2))
        world.check()
        number = bucket_of_mac(MAC + 5)
        assert world.read == [index_path(GROUP), bucket_path(GROUP, number)]
        assert world.changes == [(frozenset({number}), frozenset({"a.example.com"}))]

    run(test())


def test_a_bucket_that_is_here_already_is_not_fetched() -> None:
    async def test() -> None:
        world = World(*rows(3000))
        near = [world.rows.bucket(number) for number in range(1024)]
        world.near = {bucket.digest: bucket for bucket in near if bucket is not None}
        await world.start()
        world.check()
        assert set(world.read) == {index_path(GROUP)}
        assert world.reader.picture.buckets[bucket_of_mac(MAC)] is near[bucket_of_mac(MAC)]

    run(test())


def test_a_deleted_bucket_is_let_go() -> None:
    async def test() -> None:
        world = World(*rows(20))
        await world.start()
        world.publisher.poke(world.rows.remove(row(MAC, "1000")))
        await asyncio.sleep(1)
        world.check()
        assert world.reader.picture.owners(MAC) == ()

    run(test())


def test_a_reader_that_is_there_first_waits_for_the_leader() -> None:
    async def test() -> None:
        world = World(*rows(20))
        world.reader.start()
        await asyncio.sleep(100)
        assert world.held() == set()
        term = world.lead()
        assert not world.reader.shows(term)
        await asyncio.sleep(1)
        world.check()
        assert world.reader.shows(term)

    run(test())


# --- contact


def test_no_change_is_lost_while_contact_is() -> None:
    async def test() -> None:
        world = World(*rows(50))
        term = await world.start()
        for number in range(10):
            world.client.suspend()
            await world.change(row(MAC + number, str(1000 + number), digest=100 + number))
            assert world.held() != world.rows.all
            world.client.resume()
            await asyncio.sleep(1)
            world.check()
        assert world.reader.shows(term)

    run(test())


def test_no_change_is_lost_with_the_session() -> None:
    async def test() -> None:
        world = World(*rows(50))
        await world.start()
        for number in range(10):
            world.client.lose()
            await world.change(row(MAC + number, str(1000 + number), digest=100 + number))
            world.client.resume()
            await asyncio.sleep(1)
            world.check()
            world.client.expire()
            await world.change(row(MAC + number, str(1000 + number), digest=200 + number))
            world.check()

    run(test())


@pytest.mark.parametrize("after", range(1, 8))
def test_contact_lost_amid_the_fetching_is_made_up_for(after: int) -> None:
    async def test() -> None:
        world = World(*rows(30))
        world.lead()
        await asyncio.sleep(3)
        world.reader.start()
        for _ in range(after):
            await asyncio.sleep(0)
        world.client.suspend()
        await asyncio.sleep(3)
        world.client.resume()
        await asyncio.sleep(3)
        world.check()

    run(test())


def test_a_watch_that_is_lost_on_the_way_costs_half_a_minute() -> None:
    async def test() -> None:
        world = World(*rows(30))
        await world.start()
        world.client._watches.clear()
        await world.change(row(digest=5), seconds=40)
        world.check()

    run(test())


def test_watches_do_not_heap_up() -> None:
    async def test() -> None:
        world = World(*rows(30))
        await world.start()
        await asyncio.sleep(600)
        assert len(world.client._watches) == 1

    run(test())


def test_zookeeper_restarted_empty_takes_nothing_away() -> None:
    async def test() -> None:
        world = World(*rows(300))
        term = await world.start()
        world.publisher.stand_back()
        world.servers.wipe()
        for client in (world.client, world.leader):
            client.resume()
        await asyncio.sleep(60)
        world.check()
        world.changes.clear()
        world.rows.put(row(digest=9))
        again = world.lead(term.number + 1)
        assert not world.reader.shows(again)
        await asyncio.sleep(5)
        world.check()
        assert world.reader.shows(again)
        assert [numbers for numbers, _ in world.changes] == [{bucket_of_mac(MAC)}]

    run(test())


# --- who leads, and whether it sees


def test_what_another_leader_wrote_does_not_count_as_the_present_ones() -> None:
    async def test() -> None:
        world = World(*rows(30))
        term = await world.start()
        successor = begin_term(world.servers, world.leader.session_id)
        assert world.reader.shows(term)
        assert not world.reader.shows(successor)
        world.publisher.lead(successor)
        await asyncio.sleep(1)
        assert world.reader.shows(successor)

    run(test())


def test_a_leader_that_does_not_see_its_directory_shows_nothing() -> None:
    async def test() -> None:
        world = World(*rows(30))
        term = await world.start()
        world.sees = False
        await asyncio.sleep(3)
        world.check()
        assert not world.reader.shows(term)

    run(test())


# --- damage


def test_a_damaged_bucket_leaves_the_last_good_version_and_is_told_once() -> None:
    async def test() -> None:
        world = World(*rows(30))
        term = await world.start()
        world.client.suspend()
        await world.change(row(MAC, "1000", digest=2))
        good = world.harm(PATH)
        world.client.resume()
        await asyncio.sleep(20)
        assert world.reader.picture.owners(MAC) == (row(MAC, "1000"),)
        assert not world.reader.shows(term)
        assert list(world.reader.damaged) == [f"bucket {bucket_of_mac(MAC)}"]
        world.harm(PATH, good)
        await asyncio.sleep(5)
        world.check()
        assert world.reader.shows(term)

    with structlog.testing.capture_logs() as logged:
        run(test())
    assert [entry["event"] for entry in logged if entry["log_level"] == "error"] == ["MAC cache not readable"]


def test_a_damaged_index_leaves_everything_in_use() -> None:
    async def test() -> None:
        world = World(*rows(30))
        term = await world.start()
        good = world.harm(index_path(GROUP), b"\x02Ifrom the future")
        await asyncio.sleep(5)
        world.check()
        assert not world.reader.shows(term)
        world.harm(index_path(GROUP), good)
        await asyncio.sleep(1)
        assert world.reader.shows(term)

    run(test())


def test_a_bucket_that_is_not_what_the_index_says_is_held_and_looked_at_again() -> None:
    async def test() -> None:
        world = World(*rows(30))
        term = await world.start()
        other = Rows(rows(30, digest=3)).bucket(bucket_of_mac(MAC))
        assert other is not None
        await world.change(row(MAC, "1000", digest=2))
        world.check()
        before = world.servers.nodes[index_path(GROUP)].data
        world.servers.apply(world.leader.session_id, (Delete(PATH),))
        world.reader.picture.put(bucket_of_mac(MAC), other)  # as if fetched while a leader was writing
        world.harm(index_path(GROUP), before)
        await asyncio.sleep(1)
        assert world.reader.picture.owners(MAC) == ()
        assert not world.reader.shows(term)

    run(test())


def test_more_than_there_is_room_for_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_module, "MAX_BYTES", 2000)

    async def test() -> None:
        world = World(*rows(300))
        term = await world.start()
        assert 0 < world.reader.picture.bytes <= 2000
        assert not world.reader.shows(term)

    with structlog.testing.capture_logs():
        run(test())


def test_a_closed_reader_keeps_what_it_holds_and_follows_no_more() -> None:
    async def test() -> None:
        world = World(*rows(30))
        await world.start()
        world.reader.close()
        await world.change(row(digest=7))
        assert len(world.held()) == 30

    run(test())
