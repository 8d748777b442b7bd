"""The publisher: what it writes is what it was given, in one step or none, and only while its term lasts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
import structlog

from era_ap.cluster import publisher as module
from era_ap.cluster.buckets import BUCKETS, bucket_of_mac
from era_ap.cluster.contract import Check, Create, Delete, Operation, Put, UnavailableError
from era_ap.cluster.publisher import Publisher, bucket_path, index_path
from era_ap.cluster.sealing import open_index
from era_ap.cluster.view import Term, epoch_path
from tests.cached_macs import GROUP, MAC, Rows, begin_term, published, row, rows
from tests.fake_ensemble import FakeEnsemble, Servers
from tests.virtual_time import run

log = structlog.get_logger()


class Instance:
    """A client of ``servers`` with a publisher of ``rows``."""

    def __init__(self, servers: Servers, given: Rows) -> None:
        self.servers = servers
        self.rows = given
        self.sees: bool | None = True
        self.client: FakeEnsemble = servers.connect()
        self.written: list[tuple[Operation, ...]] = []
        self._commit = self.client.commit
        self.client.commit = self._note  # type: ignore[method-assign]
        self.publisher = Publisher(
            self.client, GROUP, self.bucket, sees=lambda: self.sees, wall=lambda: 1_800_000_000.0, log=log
        )
        self.asked: list[int] = []

    def bucket(self, number: int) -> object:
        self.asked.append(number)
        return self.rows.bucket(number)

    async def _note(self, *operations: Operation) -> None:
        await self._commit(*operations)
        self.written.append(operations)

    def lead(self) -> Term:
        term = begin_term(self.servers, self.client.session_id)
        self.publisher.lead(term)
        return term

    async def settled(self, seconds: float = 10.0) -> None:
        """Let everything happen that would within some seconds."""
        await asyncio.sleep(seconds)

    def check(self, term: Term | None = None) -> None:
        """ZooKeeper holds exactly our rows, and the index says it is by this term."""
        index, found = published(self.servers)
        assert index is not None
        assert found == self.rows.all
        assert index.complete
        if term is not None:
            assert index.is_of(term)
        assert self.publisher.published == index


def test_a_leader_writes_all_and_the_index_with_it() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(100)))
        term = one.lead()
        await one.settled()
        one.check(term)
        (operations,) = one.written
        assert operations[0] == Check(epoch_path(GROUP), term.version)
        assert operations[-1].path == index_path(GROUP)
        assert open_index(operations[-1].data).written == 1_800_000_000_000  # type: ignore[union-attr]

    run(test())


def test_nothing_is_written_before_it_leads_nor_after() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(10)))
        await one.settled()
        assert one.written == []
        term = one.lead()
        await one.settled()
        one.publisher.stand_back()
        one.publisher.poke(one.rows.put(row(MAC + 500)))
        await one.settled()
        assert len(one.written) == 1
        assert one.publisher.published is None
        assert len(published(one.servers)[1]) == 10
        assert term.group == GROUP

    run(test())


def test_a_changed_account_costs_its_own_bucket_only() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(5000)))
        one.lead()
        await one.settled()
        assert sorted(one.asked) == list(range(BUCKETS))
        one.asked.clear()
        one.written.clear()
        one.publisher.poke(one.rows.put(row(digest=2)))
        await one.settled()
        one.check()
        assert one.asked == [bucket_of_mac(MAC)]
        (operations,) = one.written
        assert [type(each) for each in operations] == [Check, Put, Put]
        assert [each.path for each in operations[1:]] == [
            bucket_path(GROUP, bucket_of_mac(MAC)),
            index_path(GROUP),
        ]

    run(test())


def test_what_is_poked_and_has_not_changed_is_not_written() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(50)))
        one.lead()
        await one.settled()
        one.publisher.poke(range(BUCKETS))
        await one.settled()
        assert len(one.written) == 1

    run(test())


def test_an_empty_bucket_is_deleted() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(3)))
        one.lead()
        await one.settled()
        one.publisher.poke(one.rows.remove(row(MAC, "1000")))
        await one.settled()
        one.check()
        assert Delete(bucket_path(GROUP, bucket_of_mac(MAC))) in one.written[-1]

    run(test())


def test_a_group_without_macs_has_an_index_that_says_so() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows())
        term = one.lead()
        await one.settled()
        one.check(term)
        assert len(one.written) == 1

    run(test())


def test_a_new_leader_with_equal_rows_writes_the_index_only() -> None:
    async def test() -> None:
        servers = Servers()
        one = Instance(servers, Rows(rows(3000)))
        one.lead()
        await one.settled()
        two = Instance(servers, Rows(rows(3000)))
        term = two.lead()
        await two.settled()
        two.check(term)
        (operations,) = two.written
        assert [type(each) for each in operations] == [Check, Put]

    run(test())


# --- much at once


def check_sizes(written: list[tuple[Operation, ...]]) -> None:
    for operations in written:
        assert isinstance(operations[0], Check)
        assert sum(len(each.data) for each in operations if isinstance(each, Create | Put)) < 512 * 1024
        assert len(operations) <= module.BATCH_NODES + 2


def test_too_much_for_one_transaction_goes_in_several_with_the_index_first_and_last() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(3000)))
        term = one.lead()
        await one.settled()
        one.check(term)
        check_sizes(one.written)
        assert len(one.written) > 3
        first, last = (open_index(one.written[at][-1].data) for at in (0, -1))  # type: ignore[union-attr]
        assert (first.complete, last.complete) == (False, True)
        assert [each.path for each in one.written[0][1:]] == [index_path(GROUP)]
        middle = [each.path for operations in one.written[1:-1] for each in operations[1:]]
        assert index_path(GROUP) not in middle

    run(test())


def test_the_bytes_of_a_transaction_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 3000)

    async def test() -> None:
        one = Instance(Servers(), Rows(rows(500)))
        one.lead()
        await one.settled()
        one.check()
        for operations in one.written:
            buckets = [
                each.data
                for each in operations[1:]
                if each.path != index_path(GROUP) and hasattr(each, "data")
            ]
            assert sum(map(len, buckets)) <= 3000
        assert len(one.written) > 6

    run(test())


@pytest.mark.parametrize("stop", range(6))
def test_a_leader_that_ends_between_two_transactions_leaves_no_lie(stop: int) -> None:
    """Whatever it had written, its successor, who knows something else, makes it right."""

    async def test() -> None:
        servers = Servers()
        first = Instance(servers, Rows(rows(3000)))
        first.lead()
        await first.settled()
        halfway = Instance(servers, Rows([*rows(1500, digest=2), *rows(4000)[3500:]]))
        commit, done = halfway.client.commit, []

        async def die(*operations: Operation) -> None:
            if len(done) == stop:
                halfway.publisher.stand_back()
                await asyncio.sleep(0)
            done.append(operations)
            await commit(*operations)

        halfway.client.commit = die  # type: ignore[method-assign]
        halfway.lead()
        await halfway.settled()
        assert len(done) in (stop, stop + 1)
        # The successor knows what the first one knew, or what the second did.
        for given in (rows(3000), rows(20), []):
            third = Instance(servers, Rows(given))
            term = third.lead()
            await third.settled()
            third.check(term)
            third.publisher.stand_back()

    run(test())


# --- fencing


def test_a_deposed_leaders_delayed_write_is_refused_100_of_100() -> None:
    async def test() -> None:
        rng = random.Random(1)
        refused = 0
        for attempt in range(100):
            servers = Servers()
            one = Instance(servers, Rows(rows(40)))
            one.lead()
            await one.settled()
            one.client.held = []  # what it writes from now on arrives late
            for _ in range(rng.randrange(1, 4)):
                one.publisher.poke(one.rows.put(row(MAC + rng.randrange(60), f"late{attempt}")))
                await one.settled(rng.choice([0.1, 0.7]))
            late = len(one.client.held)
            two = Instance(servers, Rows(rows(rng.randrange(60), digest=2)))
            term = two.lead()
            await two.settled(rng.choice([0.0, 0.01, 3.0]))  # also in the middle of its first writing
            taken = one.client.release()
            assert late > 0
            assert taken == [False] * late
            refused += 1
            await two.settled()
            two.check(term)
            one.publisher.stand_back()
            two.publisher.stand_back()
        assert refused == 100

    run(test())


def test_a_deposed_leader_notices_and_writes_no_more() -> None:
    async def test() -> None:
        servers = Servers()
        one, two = Instance(servers, Rows(rows(10))), Instance(servers, Rows(rows(20)))
        one.lead()
        await one.settled()
        term = two.lead()
        await two.settled()
        one.publisher.poke(one.rows.put(row(digest=99)))
        await one.settled(10.0)
        two.check(term)
        assert len(one.written) == 1

    run(test())


# --- trouble


def lose_the_answer(one: Instance) -> None:
    one.client.deaf = True


def lose_contact(one: Instance) -> None:
    one.client.suspend()


@pytest.mark.parametrize("trouble", [lose_the_answer, lose_contact])
def test_a_write_without_an_answer_is_looked_at_and_done_again(trouble: Callable[[Instance], None]) -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(3000)))
        term = one.lead()
        await one.settled()
        trouble(one)
        one.publisher.poke(one.rows.put(row(digest=2)))
        await one.settled()
        assert one.publisher.problem
        one.client.deaf = False
        one.client.resume()
        await one.settled()
        one.check(term)
        assert one.publisher.problem == ""

    with structlog.testing.capture_logs() as logged:
        run(test())
    assert [entry["event"] for entry in logged if entry["log_level"] == "warning"] == [
        "MAC cache not written; it is tried again"
    ]


def test_all_of_zookeeper_restarted_empty_gets_everything_again() -> None:
    async def test() -> None:
        servers = Servers()
        one = Instance(servers, Rows(rows(3000)))
        one.lead()
        await one.settled()
        servers.wipe()
        one.publisher.stand_back()
        one.client.resume()
        term = one.lead()
        await one.settled()
        one.check(term)

    run(test())


@pytest.mark.parametrize("path", [index_path(GROUP), bucket_path(GROUP, bucket_of_mac(MAC))])
@pytest.mark.parametrize("harm", ["deleted", "garbage"])
def test_what_somebody_else_did_to_the_nodes_is_repaired_by_the_next_leader(path: str, harm: str) -> None:
    async def test() -> None:
        servers = Servers()
        one = Instance(servers, Rows(rows(100)))
        one.lead()
        await one.settled()
        one.publisher.stand_back()
        servers.apply(one.client.session_id, (Delete(path) if harm == "deleted" else Put(path, b"garbage"),))
        if path != index_path(GROUP) and harm == "garbage":
            return  # the index tells nothing of it; the reader reports what is damaged
        two = Instance(servers, Rows(rows(100)))
        term = two.lead()
        await two.settled()
        two.check(term)

    run(test())


@pytest.mark.parametrize("is_poked", [True, False])
def test_nodes_that_vanish_under_a_leader_are_made_again(is_poked: bool) -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(100)))
        term = one.lead()
        await one.settled()
        one.servers.apply(
            one.client.session_id,
            (Delete(bucket_path(GROUP, bucket_of_mac(MAC))), Delete(index_path(GROUP))),
        )
        if is_poked:
            one.publisher.poke(one.rows.put(row(digest=2)))
        await one.settled(3.0 if is_poked else 65.0)
        one.check(term)

    run(test())


def test_a_defect_does_not_end_the_publishing() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(10)))
        term = one.lead()
        await one.settled()
        whole, one.rows = one.rows, None  # type: ignore[assignment]
        one.publisher.poke([1])
        await one.settled()
        one.rows = whole
        await one.settled(20.0)
        one.publisher.poke(one.rows.put(row(digest=2)))
        await one.settled()
        one.check(term)

    with structlog.testing.capture_logs() as logged:
        run(test())
    assert [entry["event"] for entry in logged if entry["log_level"] == "error"] == [
        "defect while writing the MAC cache"
    ]


def test_transactions_shrink_until_slow_servers_take_them() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(20_000)))
        commit = one.client.commit

        async def slow(*operations: Operation) -> None:
            if sum(len(each.data) for each in operations if isinstance(each, Create | Put)) > 60_000:
                raise UnavailableError("no answer in time")
            await commit(*operations)

        one.client.commit = slow  # type: ignore[method-assign]
        term = one.lead()
        await one.settled(10.0)
        one.check(term)
        assert one.publisher.problem == ""

    run(test())


# --- what a leader sees


def test_a_directory_that_was_never_loaded_is_not_published() -> None:
    async def test() -> None:
        servers = Servers()
        before = Instance(servers, Rows(rows(100)))
        before.lead()
        await before.settled()
        one = Instance(servers, Rows())
        one.sees = None
        one.lead()
        await one.settled()
        assert one.written == []
        one.rows = Rows(rows(120))
        one.sees = True
        one.publisher.poke()
        await one.settled()
        one.check()

    run(test())


def test_the_index_says_when_the_directory_does_not_answer_and_when_it_does_again() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(10)))
        one.lead()
        await one.settled()
        for sees in (False, True):
            one.sees = sees
            await one.settled()
            one.check()
            assert one.publisher.published is not None
            assert one.publisher.published.sees is sees
        assert len(one.written) == 3

    run(test())


def test_many_changes_are_gathered_and_leave_time_for_others() -> None:
    async def test() -> None:
        one = Instance(Servers(), Rows(rows(3000)))
        one.lead()
        await one.settled()
        before = len(one.written)
        for number in range(200):
            one.publisher.poke(one.rows.put(row(MAC + number, "1", digest=number)))
            await asyncio.sleep(0.001)
        await one.settled()
        one.check()
        assert len(one.written) - before < 10

    run(test())
