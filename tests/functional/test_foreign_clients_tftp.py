"""Other people's TFTP clients against our server in a process of its own: every octet has to be right."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import tftpy

from tests.functional.udp_relay import Relay

pytestmark = pytest.mark.functional
ROOT = Path(__file__).resolve().parents[2]
SIZES = [0, 1, 511, 512, 513, 1428, 1429, 5120, 20_000, 5_000_003]
LARGE = 65_536 * 512 + 700
MANY_BLOCKS = 65_536 * 8 + 1000
FILES = {str(size): {"size": size, "seed": size} for size in [*SIZES, LARGE, MANY_BLOCKS]}
Fetch = Callable[[int, str, Path], None]


class Server:
    """The runner as a process; ``reports`` are the lines it prints."""

    def __init__(self, **setup: object) -> None:
        document = {"files": FILES, "listen": ["127.0.0.1"]} | setup
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("tftp_runner.py")), json.dumps(document)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        self.ports: list[int] = json.loads(self.process.stdout.readline())["ports"]
        self.reports: list[dict[str, object]] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.reports.append(json.loads(line))
                self._changed.notify_all()

    def wait_for(self, wanted: Callable[[dict[str, object]], bool], seconds: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(wanted, self.reports)), seconds), self.reports

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        assert not [report for report in self.reports if "error" in report]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server(options={"blksize": 65464, "windowsize": 64})
    yield running
    running.close()


def expected(name: str) -> bytes:
    return random.Random(int(name)).randbytes(int(name))


def run(*command: object) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, timeout=120, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def curl(*options: str) -> Fetch:
    def fetch(port: int, name: str, target: Path) -> None:
        run("curl", "-s", "-o", target, *options, f"tftp://127.0.0.1:{port}/{name}")

    return fetch


def atftp(*options: str) -> Fetch:
    def fetch(port: int, name: str, target: Path) -> None:
        chosen = [word for option in options for word in ("--option", option)]
        run("atftp", *chosen, "--get", "-r", name, "-l", target, "127.0.0.1", port)

    return fetch


def hpa(port: int, name: str, target: Path) -> None:
    run("tftp", "-m", "binary", "127.0.0.1", port, "-c", "get", name, target)


def busybox(port: int, name: str, target: Path) -> None:
    run("busybox", "tftp", "-g", "-r", name, "-l", target, "127.0.0.1", port)


def by_tftpy(**options: int) -> Fetch:
    def fetch(port: int, name: str, target: Path) -> None:
        output = io.BytesIO()
        tftpy.TftpClient("127.0.0.1", port, dict(options)).download(name, output, timeout=2)
        target.write_bytes(output.getvalue())

    return fetch


CLIENTS: dict[str, tuple[str, Fetch]] = {
    "curl": ("curl", curl()),
    "curl without options": ("curl", curl("--tftp-no-options")),
    "curl blksize 1428": ("curl", curl("--tftp-blksize", "1428")),
    "curl blksize 65464": ("curl", curl("--tftp-blksize", "65464")),
    "atftp": ("atftp", atftp()),
    "atftp blksize 1428": ("atftp", atftp("blksize 1428")),
    "atftp tsize timeout": ("atftp", atftp("tsize", "timeout 2", "blksize 700")),
    "atftp windowsize 4": ("atftp", atftp("windowsize 4")),
    "atftp windowsize 16": ("atftp", atftp("windowsize 16", "blksize 1428")),
    "atftp windowsize 64": ("atftp", atftp("windowsize 64", "blksize 1024")),
    "tftp-hpa": ("tftp", hpa),
    "busybox": ("busybox", busybox),
    "tftpy": ("", by_tftpy()),
    "tftpy blksize 1400 tsize": ("", by_tftpy(blksize=1400, tsize=0)),
}


def need(program: str) -> None:
    if program and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize("client", CLIENTS)
def test_every_size_arrives_whole(server: Server, client: str, tmp_path: Path) -> None:
    program, fetch = CLIENTS[client]
    need(program)
    for size in SIZES:
        target = tmp_path / str(size)
        fetch(server.ports[0], str(size), target)
        got = target.read_bytes() if target.exists() else b""  # some clients make no file of an empty one
        assert got == expected(str(size)), f"{size} octets"


@pytest.mark.parametrize("client", ["curl", "atftp windowsize 16", "tftp-hpa", "busybox"])
def test_what_is_not_there_is_said_at_once(server: Server, client: str, tmp_path: Path) -> None:
    program, fetch = CLIENTS[client]
    need(program)
    before = len(server.reports)
    fetch(server.ports[0], "none.cfg", tmp_path / "none")
    server.wait_for(lambda report: report in server.reports[before:] and report["reason"] == "no-mask")
    assert not (tmp_path / "none").exists() or not (tmp_path / "none").read_bytes()


@pytest.mark.parametrize(
    ("client", "size"),
    [("curl --tftp-blksize 8", MANY_BLOCKS), ("tftp-hpa", LARGE), ("atftp windowsize 64", LARGE)],
)
def test_more_blocks_than_block_numbers(server: Server, client: str, size: int, tmp_path: Path) -> None:
    program, fetch = CLIENTS.get(client, ("curl", curl("--tftp-blksize", "8")))
    if client == "atftp windowsize 64":
        fetch = atftp("windowsize 64", "blksize 512")
    need(program)
    fetch(server.ports[0], str(size), tmp_path / "large")
    assert (tmp_path / "large").read_bytes() == expected(str(size))


def test_netascii(tmp_path: Path) -> None:
    text = b"line one\nline two\r\nend\r" * 400
    running = Server(files={"text": text.hex()})
    port = running.ports[0]
    try:
        if shutil.which("curl"):  # keeps the form on the wire
            run("curl", "-s", "-o", tmp_path / "curl", f"tftp://127.0.0.1:{port}/text;mode=netascii")
            assert (tmp_path / "curl").read_bytes() == text.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
        if shutil.which("tftp"):  # turns it back
            run("tftp", "-m", "netascii", "127.0.0.1", port, "-c", "get", "text", tmp_path / "hpa")
            assert (tmp_path / "hpa").read_bytes() == text
    finally:
        running.close()


@pytest.mark.parametrize(
    "setup", [{"stream": True}, {"policy": {"single_port": True}}, {"reactor": "asyncio"}]
)
def test_in_pieces_on_one_port_and_on_another_reactor(setup: dict[str, object], tmp_path: Path) -> None:
    running = Server(**setup)
    try:
        for client in ("curl blksize 1428", "atftp windowsize 16", "tftp-hpa", "tftpy"):
            program, fetch = CLIENTS[client]
            if program and shutil.which(program) is None:
                continue
            for size in (0, 512, 20_000, 5_000_003):
                target = tmp_path / f"{client} {size}"
                fetch(running.ports[0], str(size), target)
                assert (target.read_bytes() if target.exists() else b"") == expected(str(size))
    finally:
        running.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_on_a_bad_network(seed: int, tmp_path: Path) -> None:
    """10 % lost, 10 % doubled, 10 % reordered, both ways, all clients at once.

    curl asks for a time-out of 6 s, which a server that acknowledges it would have to keep; here it does not.
    """
    names = ("curl", "curl without options", "curl blksize 1428", "atftp", "tftp-hpa", "busybox")
    chosen = {name: CLIENTS[name][1] for name in names if shutil.which(CLIENTS[name][0])}
    running = Server(options={"timeout": 5})
    relay = Relay(("127.0.0.1", running.ports[0]), seed, lose=0.1, double=0.1, reorder=0.1)
    try:
        with ThreadPoolExecutor(len(chosen)) as pool:
            for name, fetch in chosen.items():
                pool.submit(fetch, relay.address[1], "20000", tmp_path / name)
        for name in chosen:
            assert (tmp_path / name).read_bytes() == expected("20000"), name
    finally:
        relay.close()
        running.close()


def test_uploads_land_in_the_sink(tmp_path: Path) -> None:
    sink = tmp_path / "sink"
    sink.mkdir()
    (tmp_path / "app.log").write_bytes(expected("20000"))
    running = Server(uploads=str(sink))
    port = running.ports[0]
    try:
        clients = {
            "tftp": (
                "tftp",
                "-m",
                "binary",
                "127.0.0.1",
                port,
                "-c",
                "put",
                tmp_path / "app.log",
                "tftp.log",
            ),
            "busybox": (
                "busybox",
                "tftp",
                "-p",
                "-l",
                tmp_path / "app.log",
                "-r",
                "busybox.log",
                "127.0.0.1",
                port,
            ),
            "atftp": ("atftp", "--put", "-l", tmp_path / "app.log", "-r", "atftp.log", "127.0.0.1", port),
            "curl": ("curl", "-s", "-T", tmp_path / "app.log", f"tftp://127.0.0.1:{port}/curl.log"),
        }
        for program, command in clients.items():
            if shutil.which(program):
                run(*command)
                assert (sink / "127.0.0.1" / f"{program}.log").read_bytes() == expected("20000"), program
    finally:
        running.close()


def test_uploads_without_a_sink_are_refused(server: Server, tmp_path: Path) -> None:
    need("curl")
    (tmp_path / "x").write_bytes(b"x")
    before = len(server.reports)
    run("curl", "-s", "-T", tmp_path / "x", f"tftp://127.0.0.1:{server.ports[0]}/../x")
    server.wait_for(lambda report: report in server.reports[before:] and report["reason"] == "write-refused")


def test_a_thousand_half_open_requests_do_not_keep_a_good_client_waiting(
    server: Server, tmp_path: Path
) -> None:
    need("curl")
    fds = Path(f"/proc/{server.process.pid}/fd")
    with ExitStack() as stack:
        for number in range(1000):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((f"127.1.2.{number % 250 + 1}", 0))
            sock.sendto(b"\0\x015120\0octet\0", ("127.0.0.1", server.ports[0]))
        run("curl", "-s", "-m", "1", "-o", tmp_path / "good", f"tftp://127.0.0.1:{server.ports[0]}/20000")
        assert (tmp_path / "good").read_bytes() == expected("20000")
        assert len(list(fds.iterdir())) < 1200
    # The sockets are closed now: the next repeat of each finds the port closed and frees the transfer.
    server.wait_for(
        lambda _: sum(r["reason"] in ("peer-gone", "peer-silent") for r in server.reports) >= 1000, 30
    )


def test_without_descriptors_the_oldest_transfers_give_way(tmp_path: Path) -> None:
    need("curl")
    running = Server()
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (64, 64))
    try:
        with ExitStack() as stack:
            for _ in range(300):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.sendto(b"\0\x015120\0octet\0", ("127.0.0.1", running.ports[0]))
            running.wait_for(lambda report: report["reason"] == "transfer-limit")
            for _ in range(200):  # refused at first: the others have only just begun
                run(
                    "curl",
                    "-s",
                    "-m",
                    "5",
                    "-o",
                    tmp_path / "good",
                    f"tftp://127.0.0.1:{running.ports[0]}/20000",
                )
                if (tmp_path / "good").exists():
                    break
            assert (tmp_path / "good").read_bytes() == expected("20000")
            running.wait_for(lambda report: report["reason"] == "evicted")
    finally:
        running.close()
