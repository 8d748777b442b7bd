"""Requests per second over HTTP: a rendered file of 12 KB, beside nginx and a bare Starlette response.

    python -m tests.benchmarks.http_phones [SECONDS]

Needs wrk (Debian: wrk); nginx, Starlette and FastAPI are compared with where they are installed. One worker
process each, the load generator on another core; every figure is the best of three runs, in turns, as other
work on the machine can only make one slower.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.conftest import MAC, Site

BODY = 12 * 1024
ROUNDS = 3
CONNECTIONS = 50

STARLETTE = """
import sys, uvicorn
from pathlib import Path
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
body = Path(sys.argv[1]).read_bytes()
async def serve(request): return Response(body, media_type="text/plain")
app = Starlette(routes=[Route("/{name:path}", serve)])
"""
FASTAPI = """
import sys, uvicorn
from pathlib import Path
from fastapi import FastAPI, Response
body = Path(sys.argv[1]).read_bytes()
app = FastAPI()
@app.get("/{name:path}")
async def serve(name: str): return Response(body, media_type="text/plain")
"""
RUN = 'uvicorn.run(app, port=int(sys.argv[2]), loop="uvloop", http="httptools", access_log=False)\n'


def site_in(root: Path, level: str, port: int) -> Path:
    """A site with one phone whose file has ``BODY`` octets."""
    site = Site(root)
    for folder in ("templates", "constants", "configs"):
        (root / "storage" / folder).mkdir(parents=True)
    site.domain("example.com")
    site.domain("a.example.com")
    lines = "".join(f"account.1.parameter.{n:04} = [sipuser.login]\n" for n in range(500))
    site.template("T46S.cfg", lines[: BODY // 33 * 33])
    site.phone("101", MAC)
    site.ext |= {
        "http_port": port,
        "http_listen": ["127.0.0.1"],
        "requests_per_second": 1_000_000,
        "log": {"format": "json", "level": level},
    }
    return site.configure()


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(command: list[str], port: int, log: Path) -> Iterator[psutil.Process]:
    """Start a server and wait until it answers; end it afterwards."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file)
    try:
        for _ in range(400):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{MAC}.cfg", timeout=5).read()
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def nginx_config(root: Path, port: int, body: bytes) -> Path:
    """One worker, and the same file as a static one."""
    (root / "www").mkdir()
    (root / "www" / f"{MAC}.cfg").write_bytes(body)
    config = root / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {root}/pid; error_log /dev/null; user root;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; sendfile on; keepalive_requests 100000000;\n"
        f"server {{ listen 127.0.0.1:{port} backlog=2048; root {root}/www; }} }}\n"
    )
    root.chmod(0o755)
    return config


def wrk(port: int, seconds: int, *, close: bool) -> float:
    """Requests per second; fails on any answer but 2xx."""
    more = ["-H", "Connection: close"] if close else []
    url = f"http://127.0.0.1:{port}/{MAC}.cfg"
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", *more, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    return float(found[1])


def main() -> int:
    """Print one line for each server."""
    if shutil.which("wrk") is None:
        print("skipped: wrk is not installed (apt-get install wrk)")
        return 0
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        servers: dict[str, tuple[int, psutil.Process]] = {}

        def start(name: str, command: list[str], port: int) -> None:
            log = root / f"{len(servers)}.log"
            servers[name] = port, stack.enter_context(server(command, port, log))

        for level in ("warning", "info"):
            port = free_port()
            config = site_in(root / level, level, port)
            start(
                f"era_ap, log level {level}",
                [sys.executable, "-m", "era_ap", "run", "ap1", "-c", str(config)],
                port,
            )
        body = urllib.request.urlopen(f"http://127.0.0.1:{port}/{MAC}.cfg").read()
        (root / "body").write_bytes(body)
        for name, source in (("starlette", STARLETTE), ("fastapi", FASTAPI)):
            if importlib.util.find_spec(name):
                port = free_port()
                command = [sys.executable, "-c", source + RUN, str(root / "body"), str(port)]
                start(f"{name}, the same bytes", command, port)
        if shutil.which("nginx"):
            port = free_port()
            start("nginx, a static file", ["nginx", "-c", str(nginx_config(root, port, body))], port)
        measure(servers, seconds, len(body))
    return 0


def cpu_seconds(process: psutil.Process) -> float:
    """What the server and its workers have computed so far."""
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children()))


def measure(servers: dict[str, tuple[int, psutil.Process]], seconds: int, size: int) -> None:
    """Ask all servers in turns; print the best rate of each, and the least computing for one request."""
    rates: dict[tuple[str, bool], float] = {}
    costs: dict[tuple[str, bool], float] = {}
    for _ in range(ROUNDS):
        for name, (port, process) in servers.items():
            for key in ((name, False), (name, True)):
                before = cpu_seconds(process)
                rate = wrk(port, seconds, close=key[1])
                cost = (cpu_seconds(process) - before) / (rate * seconds) * 1e6
                rates[key] = max(rates.get(key, 0.0), rate)
                costs[key] = min(costs.get(key, 1e9), cost)
    print(f"{size} octets, {CONNECTIONS} connections, best of {ROUNDS} runs of {seconds} s")
    print(f"{'':28}{'keep-alive':>26}{'close':>26}")
    for name in servers:
        columns = (f"{rates[key]:12,.0f}/s {costs[key]:6.0f} us CPU" for key in ((name, False), (name, True)))
        print(f"{name:28}", *columns)


if __name__ == "__main__":
    sys.exit(main())
