"""Ready-made files for many phones at once: small ones from memory, large ones in pieces (spec 2).

Owns the memory that keeps a file from being read once for each phone, and what is held to be served while the
storage is away. Does not own which files there are (``store``) nor which may be touched (``storage_files``).
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from era_ap.errors import Reason, Refused
from era_ap.provisioning.catalogue import Stamp, StaticFile
from era_ap.provisioning.request import Content, Subject
from era_ap.read_pool import ByteCache, ReadPool
from era_ap.storage_files import read_piece
from era_ap.store import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SMALL_FILE = 1 << 20
PIECE = 256 * 1024
SMALL_FILES_KEPT = 64 << 20
PIECES_KEPT = 64 << 20


class StaticFiles:
    """Ready-made files for many phones at once; ``root`` is the storage folder.

    Small files are kept whole, of large ones the pieces in use; what several ask for at once is read once.
    Reading is done in threads of its own; call the methods on the event loop. ``storage_seconds`` limits the
    waiting for a piece of a large file. ``held`` are files whose content is given; they are never read.
    ``ready`` gives what ``open`` has answered for one of these.
    """

    def __init__(
        self,
        root: Path,
        *,
        pool: ReadPool | None = None,
        storage_seconds: float = 1.5,
        read: Callable[[Path, str, Stamp, int, int], bytes] = read_piece,
    ) -> None:
        self.storage_seconds = storage_seconds
        self._held: Mapping[StaticFile, bytes] = {}
        self._ready: dict[StaticFile, Content] = {}
        self.ready: Callable[[StaticFile], Content | None] = self._ready.get
        self._root = root
        self._read = read
        self.pool = pool or ReadPool(time.monotonic)
        self._small = ByteCache(SMALL_FILES_KEPT)
        self._pieces = ByteCache(PIECES_KEPT)
        self._reading: dict[tuple[StaticFile, int], Future[bytes]] = {}

    @property
    def held(self) -> Mapping[StaticFile, bytes]:
        """Content by file."""
        return self._held

    @held.setter
    def held(self, held: Mapping[StaticFile, bytes]) -> None:
        self._held = held
        self._ready.clear()

    def open(self, entry: StaticFile) -> Content | StaticStream | Future[Content | StaticStream]:
        """The file, or a stream if it is large: at once where its beginning is in memory, else a promise.

        The promise is the caller's own and may be cancelled; how long to wait for it is up to the caller. It
        fails with ``Refused`` (STORAGE_BUSY, FILE_CHANGED, FILE_UNREADABLE, FILE_OUTSIDE …).
        """
        if entry.size > SMALL_FILE:
            begin = self.piece(entry, 0)
        else:
            data = self.cached(entry)
            begin = self._load(entry, 0, entry.size, self._small) if data is None else data
        if isinstance(begin, bytes):
            opened = self._opened(entry, begin)
            if isinstance(opened, Content) and entry in self._held:
                self._ready[entry] = opened  # no octet that would not be in memory otherwise
            return opened
        promise: Future[Content | StaticStream] = Future()
        begin.add_done_callback(lambda read: _pass_on(read, lambda data: self._opened(entry, data), promise))
        return promise

    def cached(self, entry: StaticFile) -> bytes | None:
        """The whole of a small file if it is in memory; the storage need not be there for it."""
        if entry.size == 0:
            return b""
        held = self._held.get(entry)
        return held if held is not None else self._small.get((entry, 0))

    def piece(self, entry: StaticFile, number: int) -> bytes | Future[bytes]:
        """Piece ``number`` of ``PIECE`` bytes, or a promise shared by all who want it."""
        data = self._pieces.get((entry, number))
        return data if data is not None else self._load(entry, number, PIECE, self._pieces)

    def close(self) -> None:
        """Let the threads end."""
        self.pool.close()

    def _load(self, entry: StaticFile, number: int, length: int, cache: ByteCache) -> Future[bytes]:
        key = (entry, number)
        reading = self._reading.get(key)
        stalled = self.pool.is_stalled
        if reading is not None and not stalled:
            return reading

        def read() -> bytes:
            data = self._read(self._root, f"{CONFIGS}/{entry.path}", entry.stamp, number * length, length)
            cache.put(key, data)
            return data

        if stalled:
            return self.pool.submit(read)  # fails at once, also for what others already wait for
        reading = self._reading[key] = self.pool.submit(read)
        reading.add_done_callback(lambda _: self._reading.pop(key, None))
        return reading

    def _opened(self, entry: StaticFile, begin: bytes) -> Content | StaticStream:
        if entry.size > SMALL_FILE:
            return StaticStream(self, entry)
        subject = Subject(file=entry.path, revision=entry.revision)
        return Content(begin, Reason.STATIC, subject, entry.path.lower().endswith(".xml"))


class StaticStream:
    """A large ready-made file; see ``request.Stream``. Use it on a running asyncio loop."""

    def __init__(self, files: StaticFiles, entry: StaticFile) -> None:
        self.size = entry.size
        self.reason = Reason.STATIC
        self.subject = Subject(file=entry.path, revision=entry.revision)
        self._files = files
        self._entry = entry

    def read(self, offset: int, length: int) -> bytes | asyncio.Future[bytes]:
        """``length`` bytes from ``offset`` (fewer at the end), at once if they are in memory.

        Fails with ``Refused`` (FILE_CHANGED, STORAGE_BUSY, FILE_UNREADABLE).
        """
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        numbers = range(offset // PIECE, (end - 1) // PIECE + 1)
        pieces = [self._files.piece(self._entry, number) for number in numbers]
        start = offset - numbers[0] * PIECE
        ready = [piece for piece in pieces if isinstance(piece, bytes)]
        if len(ready) == len(pieces):
            joined = ready[0] if len(ready) == 1 else b"".join(ready)
            return joined[start : start + end - offset]
        return asyncio.ensure_future(self._await(pieces, start, end - offset))

    def close(self) -> None:
        """Nothing is held open between two reads."""

    async def _await(self, pieces: list[bytes | Future[bytes]], start: int, length: int) -> bytes:
        waiting = [asyncio.wrap_future(piece) for piece in pieces if isinstance(piece, Future)]
        for promise in waiting:
            promise.add_done_callback(_noticed)
        _, late = await asyncio.wait(waiting, timeout=self._files.storage_seconds)
        if late:
            limit = f"{self._files.storage_seconds} s"
            raise Refused(Reason.STORAGE_BUSY, f"{self._entry.path} could not be read within {limit}")
        joined = b"".join(piece if isinstance(piece, bytes) else piece.result() for piece in pieces)
        return joined[start : start + length]


def _noticed(promise: asyncio.Future[bytes]) -> None:
    """Look at the error of a read that came too late, or asyncio reports it as forgotten."""
    if not promise.cancelled():
        promise.exception()


def _pass_on(
    read: Future[bytes],
    opened: Callable[[bytes], Content | StaticStream],
    promise: Future[Content | StaticStream],
) -> None:
    """Settle a promise of its own for each phone, so that one that gives up takes nothing from the others."""
    if not promise.set_running_or_notify_cancel():
        return
    error = read.exception()
    if error is not None:
        promise.set_exception(error)
    else:
        promise.set_result(opened(read.result()))
