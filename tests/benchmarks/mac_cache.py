# ruff: noqa: ASYNC110 - nobody rings when a process has got that far
"""Figures of the MAC cache on a real ZooKeeper ensemble: publish, load, bytes, memory, one changed account.

Usage: python -m tests.benchmarks.mac_cache [--macs 1000000] [--domains 5000] [--readers 3] [--heap 256m]
                                            [--changes 100] [--directories]

A leader with a directory of that many accounts and the readers are processes of their own, three servers run
beside them. With ``--directories`` the readers have the directory too: then buckets that they have already
are not fetched, and what is measured of a change is when they are told to look at its domain.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structlog
import uvloop

from era_ap.cluster.access import Access
from era_ap.cluster.contract import Create, Put, SessionState
from era_ap.cluster.mac_cache import Directory, MacCache, Sharing
from era_ap.cluster.view import Term, epoch_path
from era_ap.cluster.zookeeper import ZooKeeper
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.model import Account, AccountKey, Device, Domain
from era_ap.directory.part import Part
from era_ap.directory.source import Change
from tests.cached_macs import term_of
from tests.cluster import ensemble as servers

GROUP = 1
ROOT = "/era_ap/benchmark"
PIECE = 500


def resident(pid: int | str = "self") -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def account(number: int, domains: int, revision: int = 0) -> Account:
    """An account with one phone; MACs of one vendor, with gaps as they come."""
    key = AccountKey(f"d{number % domains}.example.com", str(1000 + number // domains))
    mac = f"{0x001565000000 + number * 7:012x}"
    fields = {"login": key.login, "domain": key.domain, "password": f"{number:016x}"}
    device = Device(mac, "T46S", 1, None, None, {})
    return Account(key, fields, (device,), True, f"{number * 2654435761 % 2**64:016x}{revision}", key.login)


def directory(macs: int, domains: int) -> Iterator[Change]:
    """A directory in pieces, domain by domain as a source hands it over."""
    names = [f"d{number}.example.com" for number in range(domains)]
    yield Change(domains=tuple(Domain(name, {}, {}, (), f"{name}-1", name) for name in names))
    numbers = (number for domain in range(domains) for number in range(domain, macs, domains))
    piece = []
    for number in numbers:
        piece.append(account(number, domains))
        if len(piece) == PIECE:
            yield Change(accounts=tuple(piece))
            piece.clear()
    yield Change(accounts=tuple(piece))


class Lag:
    """The longest time the loop was busy with one thing since it was asked last."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._task = asyncio.ensure_future(self._measure())

    async def _measure(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            self.worst = max(self.worst, time.monotonic() - before - 0.005)

    def take(self) -> float:
        worst, self.worst = self.worst, 0.0
        return round(worst, 3)


class Worker:
    """One instance, told what to do line by line; each line is answered by one."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.leaders: dict[int, Term] = {}
        self.looked: float | None = None
        self.seen: dict[str, float] = {}
        self.index = DirectoryIndex()
        self.base = resident()
        self.lag = Lag()
        log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))
        self.zookeeper = ZooKeeper(Access(options.connect, ROOT), log)
        self.cache = MacCache(
            self.zookeeper,
            SimpleNamespace(leaders=self.leaders),  # type: ignore[arg-type]
            Directory(self.index, lambda: self.looked, time.monotonic),
            Sharing(GROUP, frozenset({GROUP}), lambda _: GROUP),
            on_change=self.note,
            wall=time.time,
            log=log,
        )
        self.reader = self.cache.holding.readers[GROUP]
        if not options.directories:
            self.reader._on_change = lambda group, numbers, domains: self.note(domains)

    def note(self, domains: frozenset[str]) -> None:
        if len(domains) < 10:
            for name in domains:
                self.seen.setdefault(name, time.monotonic())

    async def connect(self) -> dict[str, Any]:
        self.zookeeper.start()
        while self.zookeeper.state is not SessionState.CONNECTED:
            await asyncio.sleep(0.01)
        return {}

    async def fill(self) -> dict[str, Any]:
        """Have the directory; then make rows of it."""
        begin, base = time.monotonic(), resident()
        part = Part()
        for change in directory(self.options.macs, self.options.domains):
            part.apply(change)
        self.index.replace(part)
        gc.collect()
        gc.freeze()  # as the daemon does
        built, index = time.monotonic() - begin, resident()
        self.lag.take()
        begin = time.monotonic()
        self.cache.own.replaced()
        while not self.cache.own.is_ready:
            await asyncio.sleep(0.01)
        rows = time.monotonic() - begin
        self.looked = time.monotonic() + 1e6
        gc.collect()
        return {
            "directory_s": built,
            "directory_mb": index - base,
            "rows_s": rows,
            "rows_mb": resident() - index,
            "lag_s": self.lag.take(),
        }

    async def lead(self) -> dict[str, Any]:
        """Begin a term and publish."""
        await self.zookeeper.make(f"groups/{GROUP}")
        await self.zookeeper.commit(Create(epoch_path(GROUP), b"0"))
        await self.zookeeper.commit(Put(epoch_path(GROUP), b"1"))
        node = await self.zookeeper.read(epoch_path(GROUP))
        assert node is not None
        term = term_of(GROUP, 1, node.version, node.mzxid)
        base, begin = resident(), time.monotonic()
        transactions = []
        commit = self.zookeeper.commit

        async def counted(*operations: Any) -> None:
            started = time.monotonic()
            await commit(*operations)
            transactions.append(time.monotonic() - started)

        self.zookeeper.commit = counted  # type: ignore[method-assign]
        self.leaders[GROUP] = term
        self.cache.start()
        self.cache.on_lead(term)
        while self.cache.publisher.published is None or not self.cache.publisher.published.complete:
            await asyncio.sleep(0.005)
        seconds = time.monotonic() - begin
        while not self.cache.heeding.is_shown(GROUP):
            await asyncio.sleep(0.01)
        self.zookeeper.commit = commit  # type: ignore[method-assign]
        gc.collect()
        return {
            "publish_s": seconds,
            "transactions": len(transactions),
            "slowest_s": max(transactions),
            "publish_mb": resident() - base,
            "lag_s": self.lag.take(),
            "raw_mb": self.reader.picture.bytes / 1e6,
            "term": [term.group, term.number, term.version, term.zxid],
        }

    async def follow(self, term: list[Any]) -> dict[str, Any]:
        """Load what the leader has published."""
        gc.collect()
        self.lag.take()
        base, begin = resident(), time.monotonic()
        self.leaders[GROUP] = term_of(*term)
        self.cache.start()
        while not self.cache.heeding.is_shown(GROUP):
            await asyncio.sleep(0.005)
        seconds, lag = time.monotonic() - begin, self.lag.take()
        gc.collect()
        asked = [f"{0x001565000000 + number * 7:012x}" for number in range(0, self.options.macs, 97)][:10_000]
        begin = time.monotonic()
        found = sum(bool(self.cache.owners(mac)) for mac in asked)
        known = (time.monotonic() - begin) / len(asked)
        assert found == len(asked)
        begin = time.monotonic()
        assert not any(self.cache.owners("fe" + mac[2:]) for mac in asked)
        unknown = (time.monotonic() - begin) / len(asked)
        await asyncio.sleep(1.0)
        return {
            "load_s": seconds,
            "load_mb": resident() - base,
            "lag_s": lag,
            "known_us": known * 1e6,
            "unknown_us": unknown * 1e6,
        }

    async def change(self, number: int, revision: int) -> dict[str, Any]:
        """One account has changed in the leader's directory."""
        changed = account(number, self.options.domains, revision)
        at = time.monotonic()
        self.cache.own.apply(Change(accounts=(changed,)))
        return {"name": changed.key.domain, "at": at, "own_s": time.monotonic() - at}

    async def when(self) -> dict[str, Any]:
        """What was seen since the last time."""
        seen, self.seen = self.seen, {}
        return {"seen": seen, "lag_s": self.lag.take()}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[str] = asyncio.Queue()

        def read() -> None:
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, '{"do": "end"}')  # nobody is there any more

        threading.Thread(target=read, daemon=True).start()
        while True:
            order = json.loads(await lines.get())
            verb = order.pop("do")
            if verb == "end":
                return
            print(json.dumps(await getattr(self, verb)(**order)), flush=True)


class Instance:
    """A worker as the main process sees it."""

    def __init__(self, options: argparse.Namespace, connect: str) -> None:
        arguments = ["--worker", "--connect", connect, "--macs", str(options.macs)]
        arguments += ["--domains", str(options.domains), *(["--directories"] if options.directories else [])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.mac_cache", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def tell(self, verb: str, **order: object) -> None:
        assert self.process.stdin is not None
        print(json.dumps({"do": verb, **order}), file=self.process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, verb: str, **order: object) -> dict[str, Any]:
        self.tell(verb, **order)
        return self.answer()


def show(title: str, figures: dict[str, Any]) -> None:
    told = [f"{name} {value:.3g}" for name, value in figures.items() if isinstance(value, float | int)]
    print(f"{title:28} {', '.join(told)}", flush=True)


def zookeeper_figures(running: servers.RealEnsemble) -> dict[str, float]:
    found = {}
    for line in servers.ask(running.servers[0].host, running.servers[0].port, "mntr").splitlines():
        name, _, value = line.partition("\t")
        if name in ("zk_approximate_data_size", "zk_znode_count"):
            found[name.removeprefix("zk_")] = float(value)
    pids = [server.process.pid for server in running.servers if server.process is not None]
    found["server_mb"] = max(resident(pid) for pid in pids)
    found["disk_mb"] = sum(each.stat().st_size for each in running.servers[0].folder.rglob("*.*")) / 1e6
    return found


def main(options: argparse.Namespace) -> None:
    servers.JAVA_OPTIONS = (f"-Xmx{options.heap}", *servers.JAVA_OPTIONS[1:])
    with tempfile.TemporaryDirectory() as folder, servers.running(Path(folder)) as running:
        print(f"{options.macs} MACs, {options.domains} domains, ZooKeeper with -Xmx{options.heap}")
        show("ZooKeeper, empty", zookeeper_figures(running))
        instances = [Instance(options, running.connect) for _ in range(1 + options.readers)]
        leader, *readers = instances
        for each in instances:
            each.ask("connect")
        show("leader: directory and rows", leader.ask("fill"))
        published = leader.ask("lead")
        show("leader: publish", published)
        show("ZooKeeper", zookeeper_figures(running))
        if options.directories:
            for number, each in enumerate(readers, 1):
                show(f"reader {number}: directory and rows", each.ask("fill"))
        for number, each in enumerate(readers, 1):
            show(f"reader {number}: load", each.ask("follow", term=published["term"]))
        measure_changes(options, leader, readers)
        show("ZooKeeper", zookeeper_figures(running))
        for each in instances:
            each.tell("end")
            each.process.wait(30)


def measure_changes(options: argparse.Namespace, leader: Instance, readers: list[Instance]) -> None:
    delays: list[list[float]] = [[] for _ in readers]
    for turn in range(options.changes):
        made = leader.ask("change", number=turn * 9973 % options.macs, revision=turn + 1)
        waiting = set(range(len(readers)))
        until = time.monotonic() + 5
        while waiting and time.monotonic() < until:
            for place in sorted(waiting):
                seen = readers[place].ask("when")["seen"]
                if made["name"] in seen:
                    delays[place].append(seen[made["name"]] - made["at"])
                    waiting.discard(place)
            time.sleep(0.005)
    for number, found in enumerate(delays, 1):
        ordered = sorted(found)
        figures = {
            "seen": len(found),
            "median_ms": statistics.median(ordered) * 1e3,
            "p99_ms": ordered[int(len(ordered) * 0.99) - 1] * 1e3,
            "most_ms": ordered[-1] * 1e3,
        }
        show(f"one change, reader {number}", figures)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--macs", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=5000)
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument("--heap", default="256m", help="Java heap of each ZooKeeper server")
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--directories", action="store_true", help="readers have the directory too")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--connect", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = parse()
    if given.worker:
        uvloop.install()

        async def work() -> None:
            await Worker(given).run()

        asyncio.run(work())
    else:
        why = servers.why_not()
        if why:
            sys.exit(why)
        main(given)
