"""A bad network in user space: a relay on loopback that loses, doubles and reorders datagrams, seeded.

It keeps transfer IDs apart: each port that the server answers a client from becomes one of the relay's.
"""

from __future__ import annotations

import heapq
import random
import selectors
import socket
import threading
import time
from itertools import count

Address = tuple[str, int]


class Relay:
    """Stands at ``address`` for the server at ``target``; chances are per datagram, each way."""

    def __init__(self, target: Address, seed: int, *, lose: float, double: float, reorder: float) -> None:
        self._target, self._rng = target, random.Random(seed)
        self._lose, self._double, self._reorder = lose, double, reorder
        self._selector = selectors.DefaultSelector()
        self._late: list[tuple[float, int, socket.socket, bytes, Address]] = []
        self._order = count()
        self._to_server: dict[Address, socket.socket] = {}
        self._to_client: dict[tuple[Address, Address], socket.socket] = {}
        main = self._socket(("main",))
        self.address: Address = main.getsockname()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, ("stop",))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._wake.send(b"x")
        self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._wake.close()
        self._selector.close()

    def _socket(self, role: tuple[object, ...]) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, role)
        return sock

    def _run(self) -> None:
        while True:
            pause = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            for key, _ in self._selector.select(pause):
                if key.data[0] == "stop":
                    return
                self._take(key.fileobj, key.data)  # type: ignore[arg-type]
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, sock, data, to = heapq.heappop(self._late)
                self._send(sock, data, to)

    def _take(self, sock: socket.socket, role: tuple[object, ...]) -> None:
        try:
            data, source = sock.recvfrom(70000)
        except OSError:
            return
        if role[0] == "main":
            if source not in self._to_server:
                self._to_server[source] = self._socket(("server", source))
            self._pass(self._to_server[source], data, self._target)
        elif role[0] == "server":
            client: Address = role[1]  # type: ignore[assignment]
            if (client, source) not in self._to_client:
                self._to_client[client, source] = self._socket(("client", client, source))
            self._pass(self._to_client[client, source], data, client)
        else:
            self._pass(self._to_server[role[1]], data, role[2])  # type: ignore[index,arg-type]

    def _pass(self, sock: socket.socket, data: bytes, to: Address) -> None:
        for _ in range(2 if self._rng.random() < self._double else 1):
            if self._rng.random() < self._lose:
                continue
            if self._rng.random() < self._reorder:
                due = time.monotonic() + self._rng.random() * 0.02
                heapq.heappush(self._late, (due, next(self._order), sock, data, to))
            else:
                self._send(sock, data, to)

    @staticmethod
    def _send(sock: socket.socket, data: bytes, to: Address) -> None:
        try:
            sock.sendto(data, to)
        except OSError:
            return
