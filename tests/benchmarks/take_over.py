"""How long the event loop is held up while a directory is taken over, and what local state of it costs.

Usage: python -m tests.benchmarks.take_over [ACCOUNTS [DOMAINS]]       (100,000 over 500)

A source on the loop (as a database is) hands everything over; then everything again, by a whole look that
replaces it; a folder of YAML files, at most 20,000, is read; then local state is written, with a little
changed, and loaded. The lag is that of a timer of 5 ms on the loop that would serve phones.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

import structlog
import uvloop

from era_ap.directory.feed import DirectoryFeed
from era_ap.directory.saved import DirectoryKeeper, restore
from era_ap.directory.source import Change
from era_ap.directory.yaml_source import YamlSource
from era_ap.state import State
from tests.benchmarks.index import account, mac, pieces, resident


class Pieces:
    """A source that has ``count`` accounts, made before; a part of them can be changed."""

    name = "bench"
    poll_seconds: float | None = None

    def __init__(self, changes: list[Change]) -> None:
        self.changes = changes
        self.whole = True
        self.cursor: str | None = "1"

    def restore(self, cursor: str) -> None: ...

    def on_news(self, wake: Callable[[], None]) -> None: ...

    async def look(self, take: Callable[[Change], None], *, domains: Collection[str] | None = None) -> None:
        for change in self.changes:
            take(change)
            await asyncio.sleep(0)

    async def close(self) -> None: ...


class Lag:
    """By how much a timer of 5 ms was late, and for how long of that the loop computed: on a machine that has
    other work as well, only that is ours.
    """

    def __init__(self) -> None:
        self._late: list[float] = []
        self._busy: list[float] = []
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            due, busy = time.perf_counter() + 0.005, time.thread_time()
            await asyncio.sleep(0.005)
            self._late.append(time.perf_counter() - due)
            self._busy.append(time.thread_time() - busy)

    async def end(self) -> str:
        await asyncio.sleep(0.02)
        self._task.cancel()
        late, busy = max(self._late) * 1000, max(self._busy) * 1000
        return f"lag at most {late:.0f} ms, of which {busy:.0f} ms computing"


async def measured(title: str, work: Awaitable[object]) -> None:
    lag, before = Lag(), resident()
    begin, busy = time.perf_counter(), time.process_time()
    await work
    spent, busy = time.perf_counter() - begin, time.process_time() - busy
    figures = f"{spent:.2f} s, {busy:.2f} s computing, {await lag.end()}, {resident() - before:+.0f} MB"
    print(f"{title}: {figures}")


def folder(root: Path, count: int) -> None:
    for number in range(count):
        path = root / f"d{number // 200:05}.example.com" / "sipusers" / f"{10000 + number}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        device = f"{{mac: '{mac(number)}', device_model: T46S}}"
        path.write_text(f"password: {random.getrandbits(64):x}\nopts:\n  ap_devices:\n  - {device}\n")


async def state_figures(path: Path, feed: DirectoryFeed, source: Pieces, count: int) -> None:
    state = State(path, "ap1", "bench", structlog.get_logger())
    state.claim()
    await state.load()
    state.keepers.append(DirectoryKeeper(feed))
    await measured("local state written", state.save())
    size = await asyncio.to_thread(lambda: sum(file.stat().st_size for file in path.iterdir()))
    print(f"   {size / 1e6:.0f} MB on disk, {size / count:.0f} bytes an account")
    rng = random.Random(9)
    one = account(0, "d00000.example.com", "10000", rng, "changed")
    source.changes, source.whole = [Change((one,))], False
    await measured("one changed account taken over", feed.pollers[0].look())
    await measured("local state with one changed account", state.save())
    await state.stop()


async def load_figures(path: Path) -> None:
    state = State(path, "ap1", "bench", structlog.get_logger())
    state.claim()

    async def load() -> None:
        found = restored.append(await asyncio.to_thread(restore, await state.load(), "bench"))
        assert found is None

    restored: list[object] = []
    await measured("local state loaded", load())
    print(f"   {len(restored[0].part.accounts):,} accounts, {len(restored[0].part.macs):,} MACs")  # type: ignore[attr-defined]
    state.close()


async def main(count: int, domains: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    source = Pieces(list(pieces(count, domains)))
    print(f"{count:,} accounts over {domains:,} domains; made, but not yet taken over: {resident():.0f} MB")
    gc.collect()
    gc.freeze()  # what the benchmark itself has made is no daemon's
    feed = DirectoryFeed((source,), lambda: None, tuple, interval=1.0, log=structlog.get_logger())
    await measured("taken over", feed.pollers[0].look())
    await measured("taken over again, whole", feed.pollers[0].look())
    source.changes = []
    with tempfile.TemporaryDirectory() as name:
        await state_figures(Path(name) / "state", feed, source, count)
        feed = DirectoryFeed((source,), lambda: None, tuple, interval=1.0, log=structlog.get_logger())
        await load_figures(Path(name) / "state")
        files_count = min(count // 5, 20_000)
        folder(Path(name) / "yaml", files_count)
        files = YamlSource(Path(name) / "yaml")
        feed = DirectoryFeed((files,), lambda: None, tuple, interval=1.0, log=structlog.get_logger())
        await measured(f"{files_count:,} YAML files read", feed.pollers[0].look())
        await measured("looked at again", feed.pollers[0].look())
        await files.close()


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]] or [100_000]
    uvloop.run(main(given[0], given[1] if len(given) > 1 else max(1, given[0] // 200)))
