"""Figures of the SQL directory: import, full read into the index, and how soon a change is seen.

Usage: python -m tests.benchmarks.sql_directory [--devices 1000000] [--domains 5000] [--server postgresql]

Starts a server of its own in a temporary folder. Every device has an account of its own, with two BLF keys
(about 330 bytes of JSON). The full read happens in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import pickle
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from era_ap.config import SqlDatabase
from era_ap.directory.documents import DomainDocuments
from era_ap.directory.model import AccountKey
from era_ap.directory.part import Part
from era_ap.directory.source import Change
from era_ap.directory.sql_source import SqlSource
from era_ap.directory.sql_writer import SqlWriter
from tests.databases import MariaDb, PostgreSql, Server, Sqlite

SERVERS: dict[str, type[Server | Sqlite]] = {"postgresql": PostgreSql, "mariadb": MariaDb, "sqlite": Sqlite}
INSTANCES = 3
CHANGES = 40
POLL_SECONDS = 0.5


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def account(number: int, label: str = "") -> dict[str, object]:
    """A document as they come."""
    key = {"type": "blf", "number": str(number % 900 + 100), "label": f"Desk {number % 900 + 100}"}
    other = {"type": "speeddial", "number": f"+7495{number:07d}", "label": "Main gate"}
    return {
        "name": f"Employee {number} {label}".strip(),
        "password": f"{number * 2654435761 % 2**64:016x}",
        "opts": {
            "ap_devices": [
                {"mac": f"{0x001565000000 + number * 7:012x}", "device_model": "T46S", "blf": [key, other]}
            ]
        },
        "ext": {"timezone": "Europe/Moscow", "department": f"dep{number % 40}"},
    }


def tree(devices: int, domains: int) -> Iterator[DomainDocuments]:
    """The documents of all domains."""
    each = devices // domains
    for domain in range(domains):
        numbers = range(domain * each, (domain + 1) * each)
        accounts = {str(100000 + number - domain * each): account(number) for number in numbers}
        settings = {"settings": {"ap_constants": {"ntp": f"ntp{domain}.example.com", "language": "ru"}}}
        yield DomainDocuments(f"d{domain:04d}.example.com", settings, accounts)


async def fill(settings: SqlDatabase, devices: int, domains: int) -> None:
    """The import, a transaction for each domain."""
    writer = SqlWriter(settings)
    begin = time.perf_counter()
    for done, domain in enumerate(tree(devices, domains), 1):
        await writer.put(domain)
        if done % max(1, domains // 20) == 0:
            seconds = time.perf_counter() - begin
            print(
                f"\r  {done:,} of {domains:,} domains, {seconds:.0f} s", end="", file=sys.stderr, flush=True
            )
    print(file=sys.stderr)
    seconds = time.perf_counter() - begin
    print(
        f"import: {devices:,} devices, {domains:,} transactions: {seconds:.1f} s, {devices / seconds:,.0f}/s"
    )
    begin = time.perf_counter()
    again = [await writer.put(domain) for domain in islice(tree(devices, domains), domains // 20)]
    seconds = time.perf_counter() - begin
    assert not any(again)
    print(f"the same again: nothing written, {devices / 20 / seconds:,.0f}/s")
    await writer.close()


class Lag:
    """How long the event loop was held up at most, and how often for more than 50 ms."""

    def __init__(self) -> None:
        self.most = 0.0
        self.often = 0

    async def watch(self) -> None:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(0.005)
            late = time.perf_counter() - begin - 0.005
            self.most = max(self.most, late)
            self.often += late > 0.05


async def read(settings: SqlDatabase) -> None:
    """A whole look into a part, as at the start of an instance."""
    source, part, lag = SqlSource(settings), Part(), Lag()
    gc.collect()
    before = resident()
    watching = asyncio.ensure_future(lag.watch())
    begin, cpu = time.perf_counter(), time.process_time()

    def take(change: Change) -> None:
        part.apply(change)

    await source.look(take)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    watching.cancel()
    grown = resident() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 - before
    print(
        f"full read: {len(part.macs):,} devices, {len(part.domains):,} domains: {seconds:.1f} s "
        f"({cpu:.1f} s of CPU), {grown:.0f} MB more resident (peak {peak:.0f} MB); "
        f"the loop waited {lag.most * 1e3:.0f} ms at most, {lag.often} times over 50 ms"
    )
    begin = time.perf_counter()
    for _ in range(100):
        await source.look(take)
    print(f"a look that finds nothing: {(time.perf_counter() - begin) * 10:.2f} ms")
    again = SqlSource(settings)
    again.restore(source.cursor or "")
    begin = time.perf_counter()
    await again.look(take)
    print(
        f"the first look after a restart: {(time.perf_counter() - begin) * 1e3:.0f} ms, whole: {again.whole}"
    )
    await source.close()
    await again.close()


class Instance:
    """What an instance does with its source: look, wait, look again. ``seen`` is when it knew the edit."""

    def __init__(self, settings: SqlDatabase, *, listen: bool) -> None:
        self.source = SqlSource(settings)
        self.wanted = ""
        self.seen = asyncio.Event()
        self.at = 0.0
        self._wake = asyncio.Event()
        if listen:
            self.source.on_news(self._wake.set)

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.source.look(self._take)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
            self._wake.clear()

    def _take(self, change: Change) -> None:
        if any(self.wanted == account.fields["name"] for account in change.accounts):
            self.at = time.perf_counter()
            self.seen.set()


async def delays(settings: SqlDatabase, *, listen: bool) -> None:
    """How long after the commit an edit is known to each of several instances."""
    reader = SqlSource(settings)
    await reader.look(lambda _: None)
    instances = [Instance(settings, listen=listen) for _ in range(INSTANCES)]
    for instance in instances:
        instance.source.restore(reader.cursor or "")
    await reader.close()
    running = [asyncio.ensure_future(instance.run()) for instance in instances]
    await asyncio.sleep(1.0)
    writer, seen = SqlWriter(settings), []
    for number in range(CHANGES):
        document = account(number, f"edit {number} {listen}")
        for instance in instances:
            instance.wanted = str(document["name"])
            instance.seen.clear()
        await writer.write_account(AccountKey("d0000.example.com", str(100000 + number)), document)
        begin = time.perf_counter()
        await asyncio.gather(*(instance.seen.wait() for instance in instances))
        seen += [max(0.0, instance.at - begin) for instance in instances]
        await asyncio.sleep(POLL_SECONDS * (number % 7) / 7)
    how = "LISTEN/NOTIFY" if listen else f"looks each {POLL_SECONDS} s"
    print(
        f"an edit on {INSTANCES} instances by {how}: "
        f"median {statistics.median(seen) * 1e3:.0f} ms, at most {max(seen) * 1e3:.0f} ms"
    )
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for instance in instances:
        await instance.source.close()
    await writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=5_000)
    parser.add_argument("--server", choices=SERVERS, default="postgresql")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        asyncio.run(read(pickle.loads(bytes.fromhex(arguments.read))))
        return
    server = SERVERS[arguments.server]()
    try:
        settings = replace(server.database(), seconds=10.0)
        asyncio.run(fill(settings, arguments.devices, arguments.domains))
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.sql_directory",
            "--read",
            pickle.dumps(settings).hex(),
        ]
        subprocess.run(command, check=True)
        asyncio.run(delays(settings, listen=False))
        if arguments.server == "postgresql":
            asyncio.run(delays(settings, listen=True))
    finally:
        server.close()


if __name__ == "__main__":
    main()
