"""A way to the servers that a test can break: one TCP relay for each server, all of one client.

``cut`` closes every connection and refuses new ones; ``mute`` keeps them open and lets nothing through, as a
firewall that drops in silence; ``mend`` undoes both. Lives in the event loop of the test.
"""

from __future__ import annotations

import asyncio
import contextlib


class Relay:
    """Relays to ``targets`` ("host:port,host:port"); ``connect`` is what a client is given instead."""

    def __init__(self, targets: str) -> None:
        self._targets = [target.rpartition(":") for target in targets.split(",")]
        self._ports = [0] * len(self._targets)
        self._listening: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self.connections = 0

    @property
    def connect(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    async def start(self) -> Relay:
        await self.mend()
        return self

    async def mend(self) -> None:
        self._flows.set()
        if self._listening:
            return
        for index, (host, _, port) in enumerate(self._targets):
            server = await asyncio.start_server(
                self._serving(host, int(port)), "127.0.0.1", self._ports[index], reuse_address=True
            )
            self._ports[index] = server.sockets[0].getsockname()[1]
            self._listening.append(server)

    def cut(self) -> None:
        for server in self._listening:
            server.close()
        self._listening.clear()
        for writer in list(self._writers):
            writer.transport.abort()

    def mute(self) -> None:
        self._flows.clear()

    async def close(self) -> None:
        self.cut()
        self._flows.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _serving(self, host: str, port: int):  # type: ignore[no-untyped-def]
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            self._writers.add(writer)
            try:
                await self._flows.wait()
                there, back = await asyncio.open_connection(host, port)
            except OSError:
                writer.transport.abort()
                return
            self._writers.add(back)
            for source, target in ((reader, back), (there, writer)):
                task = asyncio.ensure_future(self._pipe(source, target))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        return serve

    async def _pipe(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._flows.wait()
                target.write(data)
                await target.drain()
        self._writers.discard(target)
        target.close()
