"""TFTP under load: boot storms, loss, firmware, misses, half-open floods; beside other servers if installed.

    python tests/benchmarks/tftp_storm.py [--passes 3] [--cases A,F] [--peers dnsmasq] [--flood] [--many]

Builds tools/tftpload.c with gcc, pins the generator to core 0 and each server to core 1, and takes ratios
inside one pass, where the machine's mood is the same for all. Loopback only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CONFIG_SIZE = 12288
FIRMWARE_SIZE = 16 << 20

CASES: dict[str, tuple[int, str, list[str]]] = {
    "A": (5000, "12 KB, 512", ["-c", "200", "--src", "127.3.0.0"]),
    "B": (5000, "12 KB, 1428", ["-c", "200", "--blksize", "1428", "--src", "127.3.0.0"]),
    "C": (5000, "2000 at once", ["-c", "2000", "--src", "127.3.0.0"]),
    "D": (10, "16 MiB, 1428", ["-c", "10", "--file", "fw.bin", "--blksize", "1428"]),
    "W": (
        10,
        "16 MiB, window 16",
        ["-c", "10", "--file", "fw.bin", "--blksize", "1428", "--windowsize", "16"],
    ),
    "E": (5000, "2 % loss", ["-c", "200", "--loss", "2", "--src", "127.3.0.0"]),
    "F": (
        5000,
        "missing file",
        ["-c", "200", "--file", "none.cfg", "--expect-error", "1", "--src", "127.3.0.0"],
    ),
    "G": (200, "one at a time", ["-c", "1"]),
}


@dataclass(frozen=True)
class Server:
    name: str
    pid: int
    port: int


@dataclass(frozen=True)
class Figure:
    rate: float
    cpu_ms: float
    p50: float
    p99: float
    failed: int


def cpu_seconds(pid: int) -> float:
    """Exact for living threads, in ticks for those that have ended and for children waited for."""
    exact = (
        sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
    )
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return max(exact, sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"))


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def ours(core: str, **setup: object) -> Iterator[Server]:
    files = {"test.cfg": {"size": CONFIG_SIZE}, "fw.bin": {"size": FIRMWARE_SIZE}}
    document = {"files": files, "listen": ["127.0.0.1"], "quiet": True, "reactor": "uvloop"} | setup
    process = subprocess.Popen(
        [
            "taskset",
            "-c",
            core,
            sys.executable,
            str(ROOT / "tests/functional/tftp_runner.py"),
            json.dumps(document),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["ports"][0]
        yield Server("era_ap", process.pid, port)
    finally:
        process.stdin.close()
        process.wait(10)


@contextmanager
def peer(name: str, core: str, folder: Path) -> Iterator[Server]:
    port = free_port()
    commands = {
        "dnsmasq": [
            "--port=0",
            "--enable-tftp",
            f"--tftp-root={folder}",
            f"--dhcp-alternate-port={port}",
            "-k",
        ],
        "atftpd": ["--daemon", "--no-fork", "--bind-address", "127.0.0.1", "--port", str(port), str(folder)],
        "in.tftpd": ["-L", "-a", f"127.0.0.1:{port}", "-s", str(folder)],
        "ctftp": ["multi", str(port), str(folder / "test.cfg"), str(folder / "fw.bin")],
    }
    arguments = commands[name]
    if name == "dnsmasq":
        arguments = [
            "-k",
            "-C",
            "/dev/null",
            "--port=0",
            "--enable-tftp",
            f"--tftp-root={folder}",
            "--tftp-max=5000",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--user=root",
            "--log-facility=/dev/null",
        ]
        port = 69
    binary = shutil.which(name)
    assert binary is not None
    process = subprocess.Popen(
        ["taskset", "-c", core, binary, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_served(port)
        yield Server(name, process.pid, port)
    finally:
        process.terminate()
        process.wait(10)


def wait_until_served(port: int) -> None:
    """Ask until an answer comes: the peers have no other way to say that they are ready."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        for _ in range(100):
            sock.sendto(b"\0\1none.cfg\0octet\0", ("127.0.0.1", port))
            try:
                sock.recv(600)
            except OSError:
                time.sleep(0.05)
            else:
                return
    raise RuntimeError(f"no answer from port {port}")


def load(tool: Path, server: Server, total: int, arguments: list[str]) -> Figure:
    before = cpu_seconds(server.pid)
    command = [
        "taskset",
        "-c",
        "0",
        str(tool),
        "--port",
        str(server.port),
        "-n",
        str(total),
        "--json",
        *arguments,
    ]
    result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)
    cpu = cpu_seconds(server.pid) - before
    rate = result["mb_s"] if "fw.bin" in arguments else result["dl_s"]
    latency = result["lat_ms"]
    return Figure(rate, cpu / total * 1000, latency["p50"], latency["p99"], result["failed"])


def storm(tool: Path, servers: list[Server], cases: list[str], passes: int) -> None:
    figures: dict[tuple[str, str], list[Figure]] = {}
    for _ in range(passes):
        for case in cases:
            total, _, arguments = CASES[case]
            for server in servers:
                figures.setdefault((case, server.name), []).append(load(tool, server, total, arguments))
    mine = servers[0].name
    for case in cases:
        print(f"\n{case}: {CASES[case][1]}")
        for server in servers:
            rows = figures[case, server.name]
            base = figures[case, mine]
            pairs = list(zip(base, rows, strict=True))
            rate_ratio = statistics.median(b.rate / r.rate if r.rate else 0 for b, r in pairs)
            cpu_ratio = statistics.median(b.cpu_ms / r.cpu_ms if r.cpu_ms else 0 for b, r in pairs)
            print(
                f"  {server.name:9s} {statistics.median(r.rate for r in rows):9.0f}/s"
                f"  CPU {statistics.median(r.cpu_ms for r in rows):8.4f} ms"
                f"  p50 {statistics.median(r.p50 for r in rows):8.2f} ms"
                f"  p99 {statistics.median(r.p99 for r in rows):8.1f} ms"
                f"  failed {sum(r.failed for r in rows)}"
                f"  | {mine}: {rate_ratio:5.2f}x as fast, {cpu_ratio:5.2f}x the CPU"
            )


def flood(tool: Path, count: int) -> None:
    """Half-open transfers from 250 addresses, then and meanwhile good clients (C10)."""
    with ours("1") as server, ExitStack() as stack:
        rss = rss_bytes(server.pid)
        worst = 0.0
        sockets = []
        for host in range(1, 251):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((f"127.1.1.{host}", 0))
            sockets.append(sock)
        asked = time.monotonic()
        for number in range(count):
            # A new source port for each: as many different peers as requests.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((f"127.1.1.{number % 250 + 1}", 0))
                keep = socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_DGRAM)
                stack.enter_context(keep)
                keep.sendto(b"\0\1test.cfg\0octet\0", ("127.0.0.1", server.port))
            if number % 500 == 499:
                worst = max(worst, load(tool, server, 5, ["-c", "1"]).p99)
        opened = time.monotonic() - asked
        descriptors = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        grown = (rss_bytes(server.pid) - rss) / 1e6
        end = time.monotonic() + 60
        while len(list(Path(f"/proc/{server.pid}/fd").iterdir())) > 40 and time.monotonic() < end:
            worst = max(worst, load(tool, server, 1, []).p99)
            time.sleep(0.1)
        left = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        over = time.monotonic() - asked
        print(f"\nC10: {count} half-open in {opened:.1f} s: worst good client {worst:.0f} ms,")
        print(f"  {descriptors} descriptors, {grown:.0f} MB more; {left} descriptors left after {over:.0f} s")


def many(tool: Path, count: int) -> None:
    """Many transfers, 200 at once (C11)."""
    with ours("0,1") as server:
        figure = load(tool, server, count, ["-c", "200", "--src", "127.3.0.0"])
        print(f"\nC11: {count} transfers, 200 at once: {figure.failed} failed,", end=" ")
        print(f"p99 {figure.p99:.0f} ms, {figure.rate:.0f}/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--cases", default="A,B,C,D,W,E,F,G")
    parser.add_argument("--peers", default="dnsmasq,atftpd,in.tftpd,ctftp")
    parser.add_argument("--reactor", default="uvloop")
    parser.add_argument("--flood", type=int, nargs="?", const=10000, default=0)
    parser.add_argument("--many", type=int, nargs="?", const=10000, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        tool = folder / "tftpload"
        subprocess.run(["gcc", "-O2", "-o", str(tool), str(HERE / "tools/tftpload.c"), "-lm"], check=True)
        (folder / "test.cfg").write_bytes(os.urandom(CONFIG_SIZE))
        (folder / "fw.bin").write_bytes(os.urandom(FIRMWARE_SIZE))
        if options.cases:
            servers = [stack.enter_context(ours("1", reactor=options.reactor))]
            for wanted in filter(None, options.peers.split(",")):
                if shutil.which(wanted):
                    servers.append(stack.enter_context(peer(wanted, "1", folder)))
                else:
                    print(f"{wanted}: not installed, left out")
            storm(tool, servers, options.cases.split(","), options.passes)
        if options.flood:
            flood(tool, options.flood)
        if options.many:
            many(tool, options.many)


if __name__ == "__main__":
    main()
