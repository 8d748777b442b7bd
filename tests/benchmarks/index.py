"""Figures of the MAC index: memory, time to build, time of a look-up, time of a change.

Usage: python tests/benchmarks/index.py [MACs]
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from era_ap.directory.index import MacIndex
from era_ap.directory.model import AccountKey


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def owners(count: int) -> Iterator[tuple[str, AccountKey]]:
    for number in range(count):
        domain = f"d{number % 1000}.example.com"
        yield f"{0x001565000000 + number * 7:012x}", AccountKey(domain, str(100000 + number // 1000))


def main(count: int) -> None:
    before = resident()
    index = MacIndex()
    begin = time.perf_counter()
    for mac, key in owners(count):
        index.add(mac, key)
    built = time.perf_counter() - begin
    print(f"{len(index)} MACs built in {built:.2f} s, {resident() - before:.0f} MB resident growth")
    rng = random.Random(1)
    asked = [f"{0x001565000000 + rng.randrange(count) * 7:012x}" for _ in range(200_000)]
    begin = time.perf_counter()
    for mac in asked:
        index.owners(mac)
    print(f"look-up of a known MAC {(time.perf_counter() - begin) / len(asked) * 1e6:.2f} us")
    begin = time.perf_counter()
    for mac in asked:
        index.owners("fe" + mac[2:])
    print(f"look-up of an unknown MAC {(time.perf_counter() - begin) / len(asked) * 1e6:.2f} us")
    moved = AccountKey("other.example.com", "1")
    begin = time.perf_counter()
    for mac in asked[:10_000]:
        for key in index.owners(mac):
            index.remove(mac, key)
        index.add(mac, moved)
    print(f"move of a MAC {(time.perf_counter() - begin) / 10_000 * 1e6:.2f} us")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
