"""HTTP clients for functional tests: curl, and raw sockets for what curl would not do."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.functional.conftest import Process


def port_of(process: Process, transport: str = "http") -> int:
    return int(str(process.wait_log("serving", transport=transport)["port"]))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def curl(url: str, *options: str, seconds: int = 20) -> Answer:
    """The last answer that curl got, as sent by the server."""
    done = subprocess.run(
        ["curl", "-s", "-i", "--path-as-is", "-m", str(seconds), *options, url],
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 18, 56), (done.returncode, done.stderr)
    head, body = b"", done.stdout
    while body.startswith(b"HTTP/"):
        head, _, body = body.partition(b"\r\n\r\n")
    return parse_head(head, body)


def parse_head(head: bytes, body: bytes) -> Answer:
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


class Raw:
    """One TCP connection to the daemon."""

    def __init__(self, port: int, source: str = "127.0.0.1", seconds: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), seconds, (source, 0))
        self._rest = b""

    def send(self, data: bytes) -> Raw:
        self.socket.sendall(data)
        return self

    def get(self, path: str, *lines: str, method: str = "GET") -> Raw:
        return self.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode())

    def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer; its body by Content-Length."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        found = parse_head(head, b"")
        length = int(found.headers.get("content-length", "0")) if has_body else 0
        while len(self._rest) < length:
            self._more()
        body, self._rest = self._rest[:length], self._rest[length:]
        return Answer(found.status, found.headers, body)

    def rest(self) -> bytes:
        """All that comes until the daemon closes."""
        try:
            while data := self.socket.recv(65536):
                self._rest += data
        except ConnectionResetError:
            pass
        return self._rest

    def close(self) -> None:
        self.socket.close()

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(self._rest)
        self._rest += data
