"""The folder of YAML files as a source: pieces on the loop, a second look at what did not rest, hurry."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from era_ap.directory.index import Change
from era_ap.directory.source import PIECE, Source
from era_ap.directory.yaml_files import YamlFiles
from era_ap.directory.yaml_source import YamlSource
from era_ap.errors import Reason, Refused


def put(root: Path, path: str, text: str, *, rested: bool = True) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    if rested:
        past = time.time() - 60
        os.utime(file, (past, past))
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, "a.com/sipusers/1.yml", "name: one\n")
    put(tmp_path, "b.com/sipusers/2.yml", "name: two\n")
    return tmp_path


def names(changes: list[Change]) -> list[tuple[str, object]]:
    return [(each.key.login, each.fields["name"]) for change in changes for each in change.accounts]


def run(source: YamlSource, *works: Callable[[YamlSource, Callable[[Change], None]], object]) -> list[Change]:
    async def main() -> None:
        loop_thread = threading.current_thread()

        def take(change: Change) -> None:
            assert threading.current_thread() is loop_thread
            taken.append(change)

        for work in works:
            await work(source, take)  # type: ignore[misc]
        await source.close()

    taken: list[Change] = []
    asyncio.run(main())
    return taken


async def look(source: YamlSource, take: Callable[[Change], None]) -> None:
    await source.look(take)


def test_it_is_a_source(root: Path) -> None:
    source: Source = YamlSource(root)
    assert (source.name, source.poll_seconds, source.cursor) == (f"yaml:{root}", None, None)


def test_the_first_look_is_whole_and_later_ones_are_not(root: Path) -> None:
    wholes = []

    async def watched(source: YamlSource, take: Callable[[Change], None]) -> None:
        await source.look(lambda change: (wholes.append(source.whole), take(change)))
        wholes.append(source.whole)

    assert names(run(YamlSource(root), watched, watched)) == [("1", "one"), ("2", "two")]
    assert wholes == [True, True, False]


def test_many_files_come_in_pieces_with_the_loop_let_go_in_between(root: Path) -> None:
    for number in range(2 * PIECE):
        put(root, f"a.com/sipusers/x{number}.json", '{"name": "x"}')
    turns = []

    async def watched(source: YamlSource, take: Callable[[Change], None]) -> None:
        looking = asyncio.ensure_future(source.look(take))
        while not looking.done():
            turns.append(1)
            await asyncio.sleep(0)

    changes = run(YamlSource(root), watched)
    assert sum(len(change.accounts) for change in changes) == 2 * PIECE + 2
    assert max(len(change.accounts) for change in changes) <= PIECE
    assert len(turns) > len(changes)


def test_a_file_that_does_not_rest_during_a_look_is_looked_at_again_in_it(root: Path) -> None:
    source = YamlSource(root, YamlFiles(root, settle=0.05))

    async def edit(_: object, __: object) -> None:
        put(root, "a.com/sipusers/1.yml", "name: changed\n", rested=False)

    assert names(run(source, look, edit, look)) == [("1", "one"), ("2", "two"), ("1", "changed")]


def test_a_nudge_looks_at_the_named_domains_only_and_reads_at_once(root: Path) -> None:
    source = YamlSource(root)

    async def edit(_: object, __: object) -> None:
        put(root, "a.com/sipusers/1.yml", "name: changed\n", rested=False)
        put(root, "b.com/sipusers/2.yml", "name: changed too\n", rested=False)

    async def nudged(source: YamlSource, take: Callable[[Change], None]) -> None:
        begin = time.monotonic()
        await source.look(take, domains=["a.com"])
        took.append(time.monotonic() - begin)

    took: list[float] = []
    assert names(run(source, look, edit, nudged)) == [("1", "one"), ("2", "two"), ("1", "changed")]
    assert took[0] < 2


def test_a_folder_that_is_away_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        run(YamlSource(tmp_path / "mount"), look)
    assert caught.value.reason is Reason.DIRECTORY_UNAVAILABLE


def test_after_a_look_that_was_cancelled_the_next_one_is_whole(root: Path) -> None:
    for number in range(2 * PIECE):
        put(root, f"a.com/sipusers/x{number}.json", '{"name": "x"}')
    source = YamlSource(root)

    async def cancelled(source: YamlSource, take: Callable[[Change], None]) -> None:
        first = asyncio.Event()
        looking = asyncio.ensure_future(source.look(lambda _: first.set()))
        await first.wait()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    changes = run(source, cancelled, look)
    assert sum(len(change.accounts) for change in changes) == 2 * PIECE + 2
    assert source.whole


def test_a_look_that_hangs_holds_up_nobody(root: Path) -> None:
    release = threading.Event()
    source = YamlSource(root, YamlFiles(root, wall=lambda: release.wait(10) and 4e9))

    async def hanging(source: YamlSource, take: Callable[[Change], None]) -> None:
        looking = asyncio.ensure_future(source.look(take))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not looking.done()
        release.set()
        await looking

    assert names(run(source, hanging)) == [("1", "one"), ("2", "two")]
