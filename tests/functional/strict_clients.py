"""Clients that ask once and never again, so that whatever is lost shows."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.functional.web import Raw

SECONDS = 8.0


class Download:
    """One TFTP transfer in lock-step; ``step`` gets one block, so that many can be kept half way."""

    def __init__(self, port: int, name: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(SECONDS)
        self.data = b""
        self.is_whole = False
        self._peer: tuple[str, int] = ("127.0.0.1", port)
        self.socket.sendto(b"\0\1" + name.encode() + b"\0octet\0", self._peer)

    def step(self) -> None:
        """Take one block and acknowledge it; raises TimeoutError, or AssertionError for an ERROR."""
        block, self._peer = self.socket.recvfrom(2048)
        assert block[:2] == b"\0\3", block
        if (
            int.from_bytes(block[2:4], "big") == len(self.data) // 512 + 1
        ):  # else it was sent again: we are slow
            self.data += block[4:]
            self.is_whole = len(block) < 516
        self.socket.sendto(b"\0\4" + block[2:4], self._peer)

    def finish(self) -> bytes:
        """The whole file."""
        while not self.is_whole:
            self.step()
        self.socket.close()
        return self.data


def tftp(port: int, name: str) -> bytes:
    return Download(port, name).finish()


def http(port: int, name: str) -> bytes:
    connection = Raw(port, seconds=SECONDS)
    try:
        answer = connection.get(f"/{name}", "Connection: close").answer()
    finally:
        connection.close()
    assert answer.status == 200, answer
    return answer.body


class Stream:
    """Phones that fetch by TFTP and HTTP in turn, ``pace`` seconds apart, until it is ended."""

    def __init__(self, ports: tuple[int, int], name: str, pace: float = 0.01) -> None:
        self.asked: list[Future[bytes]] = []
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(64)
        self._ways: list[Callable[[], bytes]] = [lambda: tftp(ports[0], name), lambda: http(ports[1], name)]
        self._pace = pace
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for way in itertools.cycle(self._ways):
            if self._ended.wait(self._pace):
                return
            self.asked.append(self._pool.submit(way))

    def after(self, count: int) -> None:
        """Go on when so many more were answered."""
        wanted = sum(each.done() for each in self.asked) + count
        end = time.monotonic() + 60
        while sum(each.done() for each in tuple(self.asked)) < wanted:
            assert time.monotonic() < end, "nobody is answered"
            self.asked[-1].exception(SECONDS * 2) if self.asked else self._ended.wait(self._pace)

    def end(self) -> list[bytes]:
        """What all of them got; raises what one of them met."""
        self._ended.set()
        self._thread.join()
        self._pool.shutdown()
        return [each.result() for each in self.asked]
