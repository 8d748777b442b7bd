"""Figures of the directory in memory: memory, time to build, to look up, to change.

Usage: python -m tests.benchmarks.index [MACs [DOMAINS]]    (1,000,000 over 5,000)
       python -m tests.benchmarks.index --small             (a site of 8,000, all of it in use)

Times are those of computing, so that other work of the machine does not count; of single calls medians.
"""

from __future__ import annotations

import random
import statistics
import string
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from era_ap.directory.index import Change, DirectoryIndex, Phone
from era_ap.directory.macs import MacIndex
from era_ap.directory.model import Account, AccountKey, Domain, read_account, read_domain
from era_ap.directory.part import Part
from era_ap.directory.source import PIECE

LETTERS = string.ascii_letters + string.digits
NAMES = ("Ivan Petrov", "Maria Smith", "John Brown", "Anna Ivanova", "Peter Müller", "Olga Schmidt")
MODELS = ("T46S", "T42U", "D785", "VVX411", "GXP2170")


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def mac(number: int) -> str:
    return f"{0x001565000000 + number * 7:012x}"


def account(number: int, domain: str, login: str, rng: random.Random, revision: str = "") -> Account:
    """An account of about 280 bytes with one phone, as a SQL database would give it."""
    document = {
        "password": "".join(rng.choices(LETTERS, k=16)),
        "display_name": f"{rng.choice(NAMES)} {login}",
        "opts": {"ap_devices": [{"mac": mac(number), "device_model": rng.choice(MODELS)}]},
        "ext": {"room": str(rng.randrange(100, 500))},
    }
    origin = f"postgresql://db/{domain}/{login}"
    read, _ = read_account(
        domain, login, document, origin=origin, revision=revision or f"{rng.getrandbits(64):016x}"
    )
    assert read is not None
    return read


def domain(name: str) -> Domain:
    settings = {"ap_constants": {"ntp": "ntp.example.com", "timezone": "Europe/Berlin"}}
    read, _ = read_domain(name, {"settings": settings}, origin=name, revision="1")
    assert read is not None
    return read


def pieces(count: int, domains: int) -> Iterator[Change]:
    """A directory as a source hands it over: domain by domain, in order of login."""
    rng = random.Random(1)
    names = [f"d{number:05}.example.com" for number in range(domains)]
    yield Change(domains=tuple(domain(name) for name in names))
    each = -(-count // domains)
    numbers = iter(range(count))
    while piece := list(islice(numbers, PIECE)):
        yield Change(accounts=tuple(account(n, names[n // each], str(10000 + n % each), rng) for n in piece))


def timed(calls: list[object], call: object) -> float:
    """Median time of one call in microseconds, over batches of 100."""
    batches = []
    rest = iter(calls)
    while batch := list(islice(rest, 100)):
        begin = time.thread_time()
        for each in batch:
            call(each)  # type: ignore[operator]
        batches.append((time.thread_time() - begin) / len(batch) * 1e6)
    return statistics.median(batches)


def look_ups(index: DirectoryIndex, count: int, title: str) -> None:
    rng = random.Random(2)
    asked: list[object] = [mac(n) for n in rng.sample(range(count), min(count, 4000))]
    assert all(isinstance(index.phone_of(str(each)), Phone) for each in asked[:100])
    print(f"{title}: phone_of first time {timed(asked, index.phone_of):.1f} us, ", end="")
    print(f"again {timed(asked, index.phone_of):.1f} us, ", end="")
    print(f"unknown {timed(['fe' + str(each)[2:] for each in asked], index.phone_of):.1f} us")


def changes(index: DirectoryIndex, count: int, domains: int, title: str) -> None:
    """One changed account at a time, from its reading to being in service."""
    rng = random.Random(3)
    each = -(-count // domains)
    changed: list[object] = []
    for n in rng.sample(range(count), 2000):
        moved = account(n, f"d{n // each:05}.example.com", str(10000 + n % each), rng, "changed")
        changed.append(Change(accounts=(moved,)))
    usual = timed(changed, index.apply)
    removed: list[object] = [Change(removed=(one.accounts[0].key,)) for one in changed]  # type: ignore[attr-defined]
    print(f"{title}: one changed account {usual:.0f} us, one removed {timed(removed, index.apply):.0f} us")


def build(count: int, domains: int) -> DirectoryIndex:
    index = DirectoryIndex()
    part = Part()
    taking, longest = 0.0, 0.0
    before = resident()
    for piece in pieces(count, domains):
        begin = time.thread_time()
        part.apply(piece)
        spent = time.thread_time() - begin
        taking, longest = taking + spent, max(longest, spent)
    index.replace(part)
    print(
        f"{len(index):,} accounts, {len(index.macs):,} MACs over {domains:,} domains: "
        f"taken over in {taking:.1f} s of computing ({count / taking:,.0f}/s), "
        f"the longest piece {longest * 1000:.0f} ms, {resident() - before:.0f} MB resident growth"
    )
    return index


def only_macs(count: int) -> None:
    before = resident()
    index = MacIndex()
    owners = [AccountKey(f"d{number}.example.com", "100000") for number in range(1000)]
    begin = time.thread_time()
    for number in range(count):
        index.add(mac(number), owners[number % 1000])
    built = time.thread_time() - begin
    print(f"{len(index):,} MACs alone built in {built:.2f} s, {resident() - before:.0f} MB resident growth")
    asked: list[object] = [mac(number) for number in random.Random(1).choices(range(count), k=50_000)]
    print(f"owners of a MAC {timed(asked, index.owners):.2f} us", end=", ")
    print(f"of an unknown one {timed(['fe' + str(each)[2:] for each in asked], index.owners):.2f} us")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--small"]:
        index = build(8000, 40)
        look_ups(index, 8000, "small site")
        changes(index, 8000, 40, "small site")
        return
    count = int(arguments[0]) if arguments else 1_000_000
    domains = int(arguments[1]) if len(arguments) > 1 else max(1, count // 200)
    index = build(count, domains)
    look_ups(index, count, "all sizes alike" if count > 8192 else "small")
    changes(index, count, domains, "change")
    only_macs(count)


if __name__ == "__main__":
    main(sys.argv[1:])
