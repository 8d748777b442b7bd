"""Twenty phones a second, by TFTP, by HTTP and by PnP, as a process of its own; it writes down what each got.

    python -m tests.cluster.stream SETTINGS.json EVENTS.jsonl

Runs until its standard input ends. Each phone asks one instance and, as phones with two servers do, the next
one if that gives no good answer in time. What it writes is judged elsewhere (``verdict``); times are of the
monotonic clock, which all processes of a host share.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from era_ap.sip import dialog
from era_ap.sip.message import Request, parse, write
from era_ap.sip.shapes import Shape, shapes

GROUP = ("224.0.1.75", 5060)
TRY_SECONDS = 3.0
REPEAT_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""When a SUBSCRIBE that got no answer is sent again (RFC 3261 section 17.1.2.2), by every second phone."""


@dataclass(frozen=True)
class Settings:
    """Servers by name, ports, number of phones and their source addresses, phones per second of each kind."""

    servers: dict[str, str]
    tftp_port: int
    http_port: int
    phones: int
    addresses: list[str]
    rate: float

    def mac(self, number: int) -> str:
        return f"001565{number % self.phones:06x}"

    def login(self, number: int) -> str:
        return str(10_000 + number % self.phones)

    def address(self, number: int) -> str:
        return self.addresses[number % len(self.addresses)]

    def order(self, number: int) -> list[str]:
        """The servers that a phone asks, in its order."""
        names = list(self.servers)
        first = number % len(names)
        return names[first:] + names[:first]


class Stream:
    """All phones under way."""

    def __init__(self, settings: Settings, out: TextIO) -> None:
        self.settings = settings
        self._out = out
        self._tasks: set[asyncio.Task[None]] = set()
        self._lookers: list[Looker] = []

    def note(self, kind: str, **fields: object) -> None:
        self._out.write(json.dumps({"t": time.monotonic(), "kind": kind, **fields}) + "\n")

    async def run(self, until: asyncio.Event) -> None:
        for address in self.settings.addresses:
            looker = Looker(self, address)
            await looker.start()
            self._lookers.append(looker)
        self._begin(self._watch_itself())
        number = 0
        began = time.monotonic()
        while not until.is_set():
            for kind in ("tftp", "http"):
                self._begin(self._fetch(kind, number))
            self._begin(self._lookers[number % len(self._lookers)].look(number))
            number += 1
            await asyncio.sleep(max(0.0, began + number / self.settings.rate - time.monotonic()))
        under_way = list(self._tasks)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _watch_itself(self) -> None:
        """Write down how late this process is: what it takes for a slow server may be a busy machine."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.1)
            self.note("late", seconds=time.monotonic() - before - 0.1)

    def _begin(self, what: Any) -> None:
        task = asyncio.ensure_future(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def follow(self, number: int, url: str) -> None:
        """A phone that was given a URL fetches its file there, every third from another instance."""
        found = re.fullmatch(r"http://([\d.]+):(\d+)(/.*)", url)
        if found is not None:
            self._begin(self._fetch("url", number, found[1], f"{found[3]}{self.settings.mac(number)}.cfg"))

    async def _fetch(self, kind: str, number: int, given: str = "", path: str = "") -> None:
        began = time.monotonic()
        servers = self.settings.order(number)
        by_address = {address: name for name, address in self.settings.servers.items()}
        if given and number % 3:
            first = by_address[given]
            servers = [first, *(name for name in servers if name != first)]
        failures = []
        for name in servers:
            try:
                async with asyncio.timeout(TRY_SECONDS):
                    body = await self._get(kind, number, self.settings.servers[name], path)
            except (OSError, asyncio.IncompleteReadError, ValueError, TimeoutError) as error:
                failures.append(f"{name}: {type(error).__name__} {error}".strip())
                continue
            if f"user = {self.settings.login(number)}\n".encode() in body:
                break
            failures.append(f"{name}: wrong content")
        self.note(kind, began=began, ok=len(failures) < len(servers), server=name, failures=failures)

    async def _get(self, kind: str, number: int, server: str, path: str) -> bytes:
        source = self.settings.address(number)
        name = f"{self.settings.mac(number)}.cfg"
        if kind == "tftp":
            return await tftp(source, (server, self.settings.tftp_port), name)
        return await http(source, (server, self.settings.http_port), path or f"/{name}")


class Looker(asyncio.DatagramProtocol):
    """The phones of one address that look for a server by multicast."""

    def __init__(self, stream: Stream, address: str) -> None:
        self._stream = stream
        self._address = address
        self._shape: Shape = shapes()["yealink"]
        self._calls: dict[str, int] = {}
        self._answered: set[str] = set()
        self._transport: Any = None

    async def start(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((self._address, 5060))
        member = struct.pack("=4s4si", b"\0\0\0\0", socket.inet_aton(self._address), 0)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, member)
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, sock=sock
        )

    async def look(self, number: int) -> None:
        mac = self._stream.settings.mac(number)
        data = self._shape.compose(mac, self._address, 5060, random.Random(), "T46S")
        message = parse(data)
        call = str(message.get("Call-ID")) if message is not None else ""
        self._calls[call] = number
        self._stream.note("subscribe", call=call)
        self._transport.sendto(data, GROUP)
        for pause in REPEAT_SECONDS if number % 2 else ():
            await asyncio.sleep(pause)
            if call in self._answered:
                return
            self._transport.sendto(data, GROUP)

    def datagram_received(self, data: bytes, peer: Any) -> None:
        message = parse(data)
        call = str(message.get("Call-ID")) if message is not None else ""
        if message is None or call not in self._calls:
            return
        self._answered.add(call)
        if not isinstance(message, Request):
            self._stream.note("accepted", call=call, server=peer[0])
            return
        self._transport.sendto(write(dialog.respond(message, 200, peer, "phone")), peer)
        via = str(message.get("Via"))
        self._stream.note("notify", call=call, server=peer[0], branch=via)
        if message.method == "NOTIFY":
            self._stream.follow(self._calls[call], message.body.decode("utf-8", "replace").strip())


async def http(source: str, server: tuple[str, int], path: str) -> bytes:
    """The body of one GET; raises OSError or ValueError."""
    reader, writer = await asyncio.open_connection(*server, local_addr=(source, 0))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {server[0]}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status = head.split()[1].decode()
        body = await reader.read()
        if status != "200":
            raise ValueError(status)
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if length is None or int(length[1]) != len(body):
            raise ValueError("cut short")
        return body
    finally:
        writer.transport.abort()


class Tftp(asyncio.DatagramProtocol):
    """One RRQ, block by block."""

    def __init__(self, server: tuple[str, int], name: str) -> None:
        self.done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._server = server
        self._request = b"\0\1" + name.encode() + b"\0octet\0blksize\0" + b"1428\0"
        self._body = b""
        self._next = 1
        self._size = 512
        self._peer: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if self._peer is None and not self.done.done():
            self._transport.sendto(self._request, self._server)
            asyncio.get_running_loop().call_later(0.5, self._ask)

    def datagram_received(self, data: bytes, peer: Any) -> None:
        if self.done.done():
            return
        kind = data[1]
        self._peer = self._peer or peer
        if peer != self._peer:
            return
        if kind == 6:
            self._size = 1428
            self._transport.sendto(b"\0\4\0\0", peer)
        elif kind == 5:
            self.done.set_exception(ValueError(f"ERROR {data[3]}"))
        elif kind == 3 and int.from_bytes(data[2:4], "big") == self._next & 0xFFFF:
            self._body += data[4:]
            self._next += 1
            self._transport.sendto(b"\0\4" + data[2:4], peer)
            if len(data) - 4 < self._size:
                self.done.set_result(self._body)

    def error_received(self, exc: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(exc)


async def tftp(source: str, server: tuple[str, int], name: str) -> bytes:
    """The file; raises OSError or ValueError."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: Tftp(server, name), local_addr=(source, 0)
    )
    try:
        return await protocol.done
    finally:
        transport.close()


def main(path: Path, out: Path) -> None:
    settings = Settings(**json.loads(path.read_text()))

    async def run(file: TextIO) -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
        await Stream(settings, file).run(ended)

    with out.open("w", buffering=1) as file:
        asyncio.run(run(file))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
