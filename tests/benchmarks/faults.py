"""Faults at full size against a real daemon, with figures: ``python -m tests.benchmarks.faults [CASE ...]``.

edits    200 in-place edits of a template (truncate, half, 50 ms, rest) beside 10,000 downloads
guess    one source asks for 5,000 unknown MACs: what it is answered, what it costs the log
reload   SIGHUP with 100 transfers under way, once with a valid and once with an invalid configuration
accounts 20,000 accounts change while phones download: latency, memory
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.conftest import MAC, Site
from tests.functional.conftest import Process

REQUEST = b"\x00\x01" + f"{MAC}.cfg".encode() + b"\x00octet\x00"


def download(phone: socket.socket, port: int, request: bytes = REQUEST) -> bytes:
    """One file, lock-step, from a socket that is used again and again."""
    phone.sendto(request, ("127.0.0.1", port))
    whole = b""
    while True:
        block, peer = phone.recvfrom(2048)
        if block[1] == 5:
            raise RuntimeError(block[4:-1].decode())
        whole += block[4:]
        phone.sendto(b"\x00\x04" + block[2:4], peer)
        if len(block) < 516:
            return whole


def phone_socket() -> socket.socket:
    phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phone.settimeout(5)
    phone.bind(("127.0.0.1", 0))
    return phone


def edits(site: Site, start: Callable[[], Process]) -> None:
    def version(number: int) -> bytes:
        return f"# {number}\n".encode() + b"line = value\n" * 400 + f"# {number}\n".encode()

    path = site.template("T46S.cfg", version(0))
    process = start()
    ended = threading.Event()

    def write() -> None:
        for number in range(1, 201):
            whole = version(number)
            with path.open("wb", buffering=0) as file:
                file.write(whole[: len(whole) // 2])
                time.sleep(0.05)
                file.write(whole[len(whole) // 2 :])
            time.sleep(0.2 if number % 4 else 1.2)  # a file is taken up when it rests
        ended.set()

    threading.Thread(target=write, daemon=True).start()
    phone, count, versions = phone_socket(), 0, set()
    while not ended.is_set() or count < 10_000:
        body = download(phone, process.port)
        number = int(body.split(b"\n", 1)[0][2:])
        assert body == version(number), "a mixture was served"
        versions.add(number)
        count += 1
    print(f"edits: {count} downloads, all whole; {len(versions)} of 201 versions were seen")


def guess(site: Site, start: Callable[[], Process]) -> None:
    process = start()
    phone = phone_socket()
    phone.setblocking(False)
    begin = time.monotonic()
    for number in range(5000):
        phone.sendto(
            b"\x00\x01" + f"0015659{number:05x}.cfg".encode() + b"\x00octet\x00", ("127.0.0.1", process.port)
        )
        if number % 50 == 49:
            time.sleep(0.01)
    answers: list[int] = []
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 1.5:
        try:
            answers.append(phone.recv(2048)[3])
            quiet_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    took = time.monotonic() - begin
    lines = sum(1 for entry in process.log if entry.get("event") == "request")
    print(
        f"guess: 5000 asked in {took:.1f} s; {answers.count(1)} times 'not found', "
        f"{answers.count(2)} times 'access violation', {lines} log lines"
    )


def reload(site: Site, start: Callable[[], Process]) -> None:
    content = bytes(range(256)) * 1200
    site.static("big.bin", content)
    process = start()
    done: list[bool] = []
    begun, go_on = threading.Barrier(101), threading.Event()

    def fetch() -> None:
        phone = phone_socket()
        phone.sendto(b"\x00\x01big.bin\x00octet\x00", ("127.0.0.1", process.port))
        whole, number = b"", 0
        while True:
            block, peer = phone.recvfrom(2048)
            if int.from_bytes(block[2:4], "big") != number + 1:
                continue  # a repeat, sent while we waited
            number += 1
            whole += block[4:]
            if number == 10:
                begun.wait()
                go_on.wait()
            phone.sendto(b"\x00\x04" + block[2:4], peer)
            if len(block) < 516:
                done.append(whole == content)
                return

    threads = [threading.Thread(target=fetch) for _ in range(100)]
    for thread in threads:
        thread.start()
    begun.wait()
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("configuration taken")
    site.config.write_text("site: [")
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("configuration not taken")
    go_on.set()
    for thread in threads:
        thread.join()
    print(f"reload: {sum(done)} of 100 transfers finished whole")


def accounts(site: Site, start: Callable[[], Process]) -> None:
    for number in range(20_000):
        site.phone(f"{number:05}", f"0a000000{number:04x}", domain=f"d{number % 50}.example.com", name="old")
    process = start()
    memory = psutil.Process(process.process.pid)
    before = memory.memory_info().rss
    phone, seconds, peak = phone_socket(), [], before
    changing = threading.Thread(
        target=lambda: [
            site.phone(f"{n:05}", f"0a000000{n:04x}", domain=f"d{n % 50}.example.com", name="new")
            for n in range(20_000)
        ]
    )
    changing.start()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        begin = time.monotonic()
        download(phone, process.port)
        seconds.append(time.monotonic() - begin)
        peak = max(peak, memory.memory_info().rss)
        time.sleep(0.001)
    changing.join()
    p99 = statistics.quantiles(seconds, n=100)[98]
    print(
        f"accounts: 20,000 changed beside {len(seconds)} downloads; "
        f"p50 {statistics.median(seconds) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, "
        f"worst {max(seconds) * 1000:.0f} ms; "
        f"memory {before >> 20} MB, at most {peak >> 20} MB"
    )


CASES = {case.__name__: case for case in (edits, guess, reload, accounts)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    for name in parser.parse_args().cases or CASES:
        if name not in CASES:
            parser.error(f"no case {name!r}; there are {', '.join(CASES)}")
        run(CASES[name])


def run(case: Callable[[Site, Callable[[], Process]], None]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="era_ap-"))
    processes: list[Process] = []
    site = Site(folder)
    for part in ("templates", "constants", "configs"):
        (folder / "storage" / part).mkdir(parents=True)
    site.domain("example.com")
    site.template("T46S.cfg", "user = [sipuser.login]\n")
    site.phone("101", MAC)
    site.ext["poll_seconds"] = 0.5
    site.configure()

    def start() -> Process:
        processes.append(Process(site.config, folder))
        return processes[-1].wait_ready()

    try:
        case(site, start)
    finally:
        for process in processes:
            process.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
