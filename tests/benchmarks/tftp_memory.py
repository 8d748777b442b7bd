"""What TFTP traffic costs the daemon in memory, and that it is given back.

    python -m tests.benchmarks.tftp_memory [--idle 10000] [--requests 2000000]

The real daemon with the site of the comparison (5,000 phones). First ``--idle`` phones from hundreds of
addresses fetch one file of 1 MiB and stop after the first block: resident memory for each, and that the file
is held once. Good phones meanwhile: their slowest download. Then ``--requests`` downloads of 12 KB, 200 at
once, of which one in five is for a file that is not there: resident memory after each tenth of them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.compare import load
from tests.benchmarks.compare.cases import CASES, Case
from tests.benchmarks.compare.processes import Server
from tests.benchmarks.compare.servers import Place, ours
from tests.benchmarks.compare.site import ROOT, write_files, write_site

ADDRESSES = 250
BIG = "big.cfg"
BIG_BYTES = 1 << 20
GOOD = Case("good", "", 20, ("-c", "1", "--file", "test.cfg"), (), seconds=60)
OF = {case.key: case for case in CASES}


@dataclass(frozen=True)
class Size:
    """Resident memory and open descriptors of a process."""

    octets: int
    descriptors: int

    @classmethod
    def of(cls, server: Server) -> Size:
        process = Path(f"/proc/{server.pids[0]}")
        pages = int((process / "statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), len(list((process / "fd").iterdir())))


def idle(tools: Path, server: Server, count: int) -> None:
    """Phones that begin and fall silent."""
    with contextlib.ExitStack() as stack:
        phones = [stack.enter_context(_phone(number)) for number in range(count)]
        before = Size.of(server)
        for phone in phones:
            _begin(phone, server.port)
        at_most = Size.of(server)
        good = load.tftp(tools, server, GOOD, GOOD.total)
        running = at_most.descriptors - before.descriptors
        each = (at_most.octets - before.octets) / max(running, 1)
        print(f"{running:,} transfers of one file of {BIG_BYTES >> 20} MiB wait for their phones:")
        print(
            f"  {each / 1024:.1f} KiB of memory each, {(at_most.octets - before.octets) / 1e6:.0f} MB in all"
        )
        print(f"  a good phone meanwhile: {good.p50:.1f} ms, at most {good.p99:.1f} ms, {good.failed} failed")
    end = time.monotonic() + 90
    while Size.of(server).descriptors > before.descriptors + 50 and time.monotonic() < end:
        time.sleep(0.5)
    after = Size.of(server)
    print(f"  when they are given up: {after.descriptors - before.descriptors:+} descriptors,", end=" ")
    print(f"{(after.octets - before.octets) / 1e6:+.0f} MB")


def traffic(tools: Path, server: Server, requests: int) -> None:
    """The memory must be the same after the last tenth as after the second."""
    start = time.monotonic()
    done, sizes = 0, [Size.of(server)]
    while done < requests:
        for key, share in (("A", 0.08), ("F", 0.02)):
            total = round(requests * share)
            figure = load.tftp(tools, server, _longer(OF[key]), total)
            done += total
            if figure.failed:
                print(f"  {figure.failed} of {total:,} failed")
        sizes.append(Size.of(server))
        print(f"  {done:>9,} requests: {sizes[-1].octets / 1e6:6.1f} MB, {sizes[-1].descriptors} descriptors")
    growth = (sizes[-1].octets - sizes[2].octets) / 1e6
    rate = done / (time.monotonic() - start)
    print(f"  {growth:+.1f} MB since the second tenth; {rate:,.0f} requests/s on the whole")


def _phone(number: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((f"127.1.1.{number % ADDRESSES + 1}", 0))
    sock.settimeout(5)
    return sock


def _begin(phone: socket.socket, port: int) -> None:
    """Ask, and acknowledge the first block, so that the transfer is one that goes on."""
    phone.sendto(b"\0\1" + BIG.encode() + b"\0octet\0", ("127.0.0.1", port))
    _, there = phone.recvfrom(600)
    phone.sendto(b"\0\4\0\1", there)


def _longer(case: Case) -> Case:
    return Case(case.key, case.title, case.total, case.arguments, (), seconds=3600)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tftp_memory", description=__doc__)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=2_000_000)
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        folder = Path(name)
        (folder / "tools").mkdir()
        (folder / "site").mkdir()
        load.build(folder / "tools")
        write_files(folder / "files")
        write_site(folder / "site")
        (folder / "site" / "storage" / "configs" / BIG).write_bytes(os.urandom(BIG_BYTES))
        place = Place(folder / "files", folder / "site", None, folder / "tools", ROOT)
        with ours(place) as (server, _):
            print(f"the daemon alone: {Size.of(server).octets / 1e6:.1f} MB")
            load.tftp(place.tools, server, GOOD, GOOD.total)
            if given.idle:
                idle(place.tools, server, given.idle)
            if given.requests:
                traffic(place.tools, server, given.requests)


if __name__ == "__main__":
    main()
