"""Several instances of one host on the same ports: one stops, the others go on, nobody is lost (H1)."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.conftest import MAC, Site
from tests.functional.strict_clients import Download, Stream, tftp
from tests.functional.web import Raw

if TYPE_CHECKING:
    from tests.functional.conftest import Process

pytestmark = pytest.mark.functional
Start = Callable[..., "Process"]

NAME = f"{MAC}.cfg"
WHOLE = b"user = 101\nsecret = s3cret\nntp = 192.0.2.123\n"
LARGE = bytes(range(256)) * 400


def free_ports() -> tuple[int, int]:
    """A port for TFTP and one for HTTP that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        for sock in (udp, tcp):
            sock.bind(("127.0.0.1", 0))
        return udp.getsockname()[1], tcp.getsockname()[1]


def until_nobody_is_let_in(port: int) -> None:
    """Knock until it is in vain: what runs has a turn before the door is closed."""
    with pytest.raises((ConnectionRefusedError, TimeoutError)):
        for _ in range(1000):
            socket.create_connection(("127.0.0.1", port), 0.5).close()


def together(site: Site, count: int, **ext: object) -> tuple[int, int]:
    """Configure ``count`` roles, ap1 and so on, with the same ports; which ones."""
    ports = free_ports()
    site.ext |= {"http_port": ports[1], "http_listen": ["127.0.0.1"]} | ext
    document = json.loads(site.configure().read_text())
    first = document["roles"][0] | {"tftp_port": ports[0]}
    document["roles"] = [first | {"name": f"ap{number}", "order": number} for number in range(1, count + 1)]
    site.config.write_text(json.dumps(document))
    return ports


def started(daemon: Start, site: Site, count: int) -> list[Process]:
    return [daemon(site.config, f"ap{number}").wait_ready() for number in range(1, count + 1)]


def served(process: Process) -> int:
    return sum(entry.get("event") == "request" for entry in process.log)


@pytest.mark.parametrize("single_port", [False, True], ids=["own ports", "single port"])
def test_a_rolling_restart_of_three_loses_nobody(site: Site, daemon: Start, single_port: bool) -> None:
    site.static("large.bin", LARGE)
    ports = together(site, 3, single_port=single_port)
    processes = started(daemon, site, 3)
    stream = Stream(ports, NAME)
    try:
        for number in range(3):
            stream.after(60)
            half_way = [Download(ports[0], "large.bin") for _ in range(20)]
            for download in half_way:
                download.step()
            processes[number].process.send_signal(signal.SIGTERM)
            processes[number].wait_log("stopping")
            assert {download.finish() for download in half_way} == {LARGE}
            assert processes[number].process.wait(10) == 0
            processes[number] = daemon(site.config, f"ap{number + 1}").wait_ready()
        stream.after(100)
    finally:
        answers = stream.end()
    assert set(answers) == {WHOLE}
    assert len(answers) > 250
    assert all(served(process) for process in processes)


def test_100_transfers_and_20_downloads_finish_before_the_end(site: Site, daemon: Start) -> None:
    site.static("large.bin", LARGE)
    ports = together(site, 1, drain_seconds=10)
    (process,) = started(daemon, site, 1)
    transfers = [Download(ports[0], "large.bin") for _ in range(100)]
    for transfer in transfers:
        transfer.step()
    downloads = [Raw(ports[1]) for _ in range(20)]
    for download in downloads:
        download.get("/large.bin", "Connection: close")
    process.process.send_signal(signal.SIGTERM)
    process.wait_log("stopping")
    until_nobody_is_let_in(ports[1])
    assert {transfer.finish() for transfer in transfers} == {LARGE}
    assert {download.answer().body for download in downloads} == {LARGE}
    assert process.process.wait(10) == 0


def test_whoever_does_not_finish_is_cut_after_the_limit(site: Site, daemon: Start) -> None:
    site.static("large.bin", LARGE)
    ports = together(site, 1, drain_seconds=1)
    (process,) = started(daemon, site, 1)
    transfers = [Download(ports[0], "large.bin") for _ in range(100)]
    for transfer in transfers:
        transfer.step()
    start = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - start < 10


def test_a_second_sigterm_ends_it_at_once(site: Site, daemon: Start) -> None:
    site.static("large.bin", LARGE)
    ports = together(site, 1)
    (process,) = started(daemon, site, 1)
    transfers = [Download(ports[0], "large.bin") for _ in range(100)]
    for transfer in transfers:
        transfer.step()
    process.process.send_signal(signal.SIGTERM)
    process.wait_log("stopping")
    start = time.monotonic()
    assert process.stop() == 1
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize("transport", ["TFTP", "HTTP"])
def test_a_port_of_a_stranger_is_a_clear_error(site: Site, transport: str) -> None:
    ports = together(site, 2)
    kind = socket.SOCK_DGRAM if transport == "TFTP" else socket.SOCK_STREAM
    port = ports[transport == "HTTP"]
    with socket.socket(socket.AF_INET, kind) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        if transport == "HTTP":
            stranger.listen()
        done = subprocess.run(
            [sys.executable, "-m", "era_ap", "run", "ap2", "-c", str(site.config)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("era-ap:")]
    assert line.startswith(f"era-ap: cannot serve {transport}")
    assert line.endswith(f"on port {port}: Address already in use")


def test_an_instance_that_loads_leaves_phones_to_the_others(site: Site, daemon: Start) -> None:
    ports = together(site, 2)
    started(daemon, site, 1)
    second = daemon(site.config, "ap2")
    answers = []
    while "READY=1" not in second.told:
        answers.append(tftp(ports[0], NAME))
    assert set(answers) == {WHOLE}
    assert tftp(ports[0], NAME) == WHOLE
