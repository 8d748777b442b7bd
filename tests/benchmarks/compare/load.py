"""The load generators: tftpload, built here with gcc, and wrk.

Owns what a run gives: a ``Figure``, the same for both.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .cases import CONFIG, FIRST_MAC, PHONES, Case
from .processes import CLIENT_CORE, Server

TOOLS = Path(__file__).resolve().parents[1] / "tools"


@dataclass(frozen=True)
class Figure:
    """One run: ``rate`` in downloads/s (MB/s for bulk), ``cpu`` in seconds for 1,000, times in ms."""

    rate: float
    cpu: float
    p50: float
    p99: float
    failed: int
    total: int


def build(folder: Path) -> None:
    """Compile the tools into ``folder``."""
    for name in ("tftpload", "ctftp"):
        command = ["gcc", "-O2", "-o", str(folder / name), str(TOOLS / f"{name}.c"), "-lm"]
        subprocess.run(command, check=True)


def tftp(tools: Path, server: Server, case: Case, total: int, seed: int = 1) -> Figure:
    """Run ``case`` with ``total`` downloads against ``server``; ``seed`` says which datagrams are lost."""
    pinning = ["taskset", "-c", CLIENT_CORE] if case.pinned else []
    file = [] if {"--file", "--pattern"} & set(case.arguments) else ["--file", CONFIG]
    limits = ["-n", str(total), "--max-seconds", str(case.seconds), "--seed", str(seed), "--json"]
    command = [*pinning, str(tools / "tftpload"), "--port", str(server.port), *limits, *file, *case.arguments]
    before = server.cpu_seconds
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    cpu = server.cpu_seconds - before
    found = json.loads(done.stdout)
    latency = found["lat_ms"]
    return Figure(
        rate=found["mb_s"] if case.bulk else max(found["dl_s"], found["ok"] / found["wall_s"]),
        cpu=cpu / total * 1000,
        p50=latency["p50"],
        p99=latency["p99"],
        failed=found["failed"],
        total=total,
    )


def has_wrk() -> bool:
    """Whether HTTP can be measured."""
    return shutil.which("wrk") is not None


def http(folder: Path, server: Server, seconds: int, *, keep_alive: bool) -> Figure:
    """Fetch each phone's file in turn, 50 connections; without ``keep_alive`` a connection for each."""
    script = folder / "phones.lua"
    script.write_text(
        f"local n = 0\nfunction request()\n  n = (n + 1) % {PHONES}\n"
        f'  return wrk.format("GET", string.format("/%012x.cfg", {FIRST_MAC} + n))\nend\n'
    )
    close = [] if keep_alive else ["-H", "Connection: close"]
    command = ["taskset", "-c", CLIENT_CORE, "wrk", "-t1", "-c50", f"-d{seconds}s", "--latency"]
    before = server.cpu_seconds
    done = subprocess.run(
        [*command, *close, "-s", str(script), f"http://127.0.0.1:{server.port}"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    cpu = server.cpu_seconds - before
    total = int(_number(r"(\d+) requests in", done.stdout))
    return Figure(
        rate=_number(r"Requests/sec:\s*([\d.]+)", done.stdout),
        cpu=cpu / max(total, 1) * 1000,
        p50=_milliseconds("50%", done.stdout),
        p99=_milliseconds("99%", done.stdout),
        failed=int(_number(r"Non-2xx or 3xx responses: (\d+)", done.stdout)),
        total=total,
    )


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0


def _milliseconds(percentile: str, text: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]] if found else 0.0
