"""The directory in local state: what a restart finds is what was in service, or is known to have gaps."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import structlog
from test_directory_feed import FakeSource, account, domain

from era_ap.directory.feed import DirectoryFeed
from era_ap.directory.index import Change
from era_ap.directory.model import AccountKey
from era_ap.directory.saved import AGE_SECONDS, BLOCK, SOURCE, DirectoryKeeper, SavedSource, restore
from era_ap.state_file import Batch, Key, StateFile


class Instance:
    """An index, fed by one fake source, and its keeper, writing to a file."""

    def __init__(self, path: Path, *looks: object, name: str = "sql") -> None:
        self.source = FakeSource(name, *looks)
        self.file = StateFile(path, "x")
        self.loaded = self.file.load()
        self.feed = DirectoryFeed(
            (self.source,), lambda: None, tuple, interval=1.0, log=structlog.get_logger()
        )
        self.keeper = DirectoryKeeper(self.feed)

    async def look(self, cursor: str | None = None) -> Batch:
        """Look once, save, and say what was saved."""
        await self.feed.pollers[0].look()
        self.source.cursor = cursor
        return self.save()

    def save(self, *, everything: bool = False) -> Batch:
        batch = self.keeper(everything)
        self.file.write(batch)
        return batch


def saved(path: Path, name: str = "sql") -> SavedSource | None:
    file = StateFile(path, "x")
    found = restore(file.load(), name)
    file.close()
    return found


def run(work) -> None:
    with structlog.testing.capture_logs():
        asyncio.run(work())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


def many(domain: str, count: int, offset: int = 0, revision: str = "r1"):
    return tuple(
        account(domain, f"{number:04}", f"{offset + number:012x}", revision) for number in range(1, count + 1)
    )


def test_what_was_in_service_comes_back(path: Path) -> None:
    async def work() -> None:
        change = Change(
            many("a.com", 500) + many("b.com", 3, 1000), domains=(domain("a.com"), domain("c.com"))
        )
        instance = Instance(path, [change])
        await instance.look("17")

    run(work)
    found = saved(path)
    assert found is not None
    assert (found.cursor, found.complete, len(found.part.accounts)) == ("17", True, 503)
    assert abs(time.time() - found.at) < 10
    assert found.part.macs.owners(f"{250:012x}") == (AccountKey("a.com", "0250"),)
    one = found.part.accounts.get(AccountKey("a.com", "0250"))
    assert one is not None
    assert (one.revision, one.devices[0].model, one.origin) == ("r1", "M", "a.com/0250")
    assert sorted(found.part.domains) == ["a.com", "c.com"]
    assert found.part.domains["a.com"].revision == "r1"


def test_only_what_changed_is_written_again(path: Path) -> None:
    async def work() -> None:
        news = Change(
            (account("a.com", "0250", "0000000fffff", "r2"),),
            removed=(AccountKey("b.com", "0001"),),
            domains=(domain("d.com"),),
            removed_domains=("c.com",),
        )
        first = Change(
            many("a.com", 500) + many("b.com", 1, 1000), domains=(domain("a.com"), domain("c.com"))
        )
        instance = Instance(path, [first], (news,))
        await instance.look("17")
        batch = await instance.look("18")
        assert len(batch.rows) <= 6
        assert instance.save().rows == {}

    run(work)
    found = saved(path)
    assert found is not None
    assert (found.cursor, len(found.part.accounts), sorted(found.part.domains)) == (
        "18",
        500,
        ["a.com", "d.com"],
    )
    assert found.part.macs.owners("0000000fffff") == (AccountKey("a.com", "0250"),)
    assert "b.com" not in found.part.accounts


def test_a_whole_look_replaces_everything_that_was_saved(path: Path) -> None:
    async def work() -> None:
        instance = Instance(path, [Change(many("a.com", 500))], [Change(many("b.com", 20))])
        await instance.look()
        await instance.look()

    run(work)
    found = saved(path)
    assert found is not None
    assert (len(found.part.accounts), found.part.names) == (20, {"b.com"})


def test_a_restart_that_changes_nothing_writes_no_blocks(path: Path) -> None:
    change = Change(many("a.com", 500), domains=(domain("a.com"),))

    async def first() -> None:
        await Instance(path, [change]).look("17")

    async def second() -> None:
        instance = Instance(path, [change])
        found = restore(instance.loaded, "sql")
        assert found is not None
        instance.keeper.restored(instance.source, found)
        instance.feed.restored(instance.source, found.part, 0.0, complete=True)
        assert not [key for key in instance.save().rows if key.kind == BLOCK]
        written: list[object] = []
        instance.file._commit = lambda puts, gone: written.append((puts, gone))
        await instance.look("17")
        assert [key.kind for puts, gone in written for key, *_ in [*puts, *gone]] == [SOURCE]

    run(first)
    run(second)


def test_nothing_is_saved_of_a_source_that_was_never_loaded(path: Path) -> None:
    async def work() -> None:
        assert not Instance(path).save()

    run(work)
    assert saved(path) is None


def test_a_lost_block_leaves_gaps_and_no_cursor(path: Path) -> None:
    async def work() -> None:
        instance = Instance(path, [Change(many("a.com", 100))])
        await instance.look("17")
        lost = next(key for key in instance.save(everything=True).rows if key.kind == BLOCK)
        loaded = instance.file.load()
        loaded.rows[lost.shelf].pop(lost.name)
        loaded.damaged.add(lost.shelf)
        found = restore(loaded, "sql")
        assert found is not None
        assert (found.complete, found.cursor) == (False, None)
        assert 0 < len(found.part.accounts) < 100

    run(work)


def test_gaps_are_remembered_until_the_source_was_read(path: Path) -> None:
    async def work() -> None:
        instance = Instance(path)
        found = SavedSource(
            Instance(path.with_name("other")).feed.index.parts["sql"], 0.0, None, complete=False
        )
        found.part.apply(Change(many("a.com", 3)))
        instance.feed.restored(instance.source, found.part, 0.0, complete=False)
        instance.save()

    run(work)
    found = saved(path)
    assert found is not None
    assert (found.complete, len(found.part.accounts)) == (False, 3)


@pytest.mark.parametrize("row", [b"", b"[]", b"not json", b'["x", null, true]'])
def test_what_makes_no_sense_is_not_used(path: Path, row: bytes) -> None:
    async def work() -> None:
        instance = Instance(path, [Change(many("a.com", 3))])
        await instance.look()
        instance.file.write(Batch({Key(SOURCE, "sql", ""): row}))

    run(work)
    assert saved(path) is None


def test_a_block_that_makes_no_sense_is_not_used(path: Path) -> None:
    async def work() -> None:
        instance = Instance(path, [Change(many("a.com", 3))])
        await instance.look()
        instance.file.write(Batch({Key(BLOCK, "sql", "z.com/"): b"not a block"}))

    run(work)
    assert saved(path) is None


def test_sources_that_there_are_no_more_go(path: Path) -> None:
    async def work() -> None:
        await Instance(path, [Change(many("a.com", 3))], name="old").look()
        instance = Instance(path, [Change(many("b.com", 3))], name="new")
        assert restore(instance.loaded, "new") is None
        instance.keeper.forget(instance.loaded)
        await instance.look()

    run(work)
    assert saved(path, "old") is None
    found = saved(path, "new")
    assert found is not None
    assert found.part.names == {"b.com"}
    file = StateFile(path, "x")
    assert {shelf.owner for shelf in file.load().rows} == {"new"}


def test_the_age_is_noted_now_and_then(path: Path) -> None:
    wall = [1_000_000.0]

    async def work() -> None:
        instance = Instance(path, [Change(many("a.com", 3))])
        instance.keeper = DirectoryKeeper(instance.feed, lambda: wall[0])
        await instance.look()
        wall[0] += AGE_SECONDS / 2
        assert not instance.save().rows
        wall[0] += AGE_SECONDS
        assert list(instance.save().rows) == [Key(SOURCE, "sql", "")]

    run(work)
    found = saved(path)
    assert found is not None
    assert abs(found.at - wall[0]) < 5
