"""A TCP relay between a client and a real server, which can refuse, reset, fall silent or answer late."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct


class Mode(enum.Enum):
    """What the relay does with connections, those there are and new ones."""

    PASS = "passes everything"
    CLOSED = "listens no more and closes what there is"
    RESET = "accepts and resets"
    MUTE = "accepts and says nothing"
    LATE = "answers after ten seconds"


class Relay:
    """Relays to ``port`` of loopback; for the running event loop."""

    def __init__(self, port: int) -> None:
        self.mode = Mode.PASS
        self.port = 0
        self._target = port
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; on the same port each time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def set(self, mode: Mode) -> None:
        """Behave like this from now on."""
        before, self.mode = self.mode, mode
        self._changed.set()
        self._changed = asyncio.Event()
        if mode in (Mode.CLOSED, Mode.RESET):
            for writer in list(self._writers):
                _reset(writer)
        if mode is Mode.CLOSED and self._server is not None:
            self._server.close()
            self._server = None
        elif before is Mode.CLOSED and mode is not Mode.CLOSED:
            await self.start()

    async def close(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self.mode is Mode.RESET:
                _reset(writer)
                return
            await self._passing()
            upstream, downstream = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(downstream)
            try:
                await asyncio.gather(self._copy(reader, downstream), self._copy(upstream, writer))
            finally:
                self._writers.discard(downstream)
                downstream.transport.abort()
        except OSError:
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._passing()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def _passing(self) -> None:
        """Wait until packets pass, or for ten seconds where they are late."""
        late = 10.0
        while self.mode is Mode.MUTE or (self.mode is Mode.LATE and late > 0):
            begin = asyncio.get_running_loop().time()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), late if self.mode is Mode.LATE else None)
            late -= asyncio.get_running_loop().time() - begin


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
