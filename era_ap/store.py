"""The storage: watches its folders by polling and reads what changed; serves ready-made files (spec 2).

Owns when a file counts as written (it rests), what happens while the storage is away (the last state stays),
and the memory that keeps ready-made files from being read once for each phone. Does not own what files mean
(``catalogue``) nor which may be touched (``storage_files``).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.catalogue import Snapshot, Stamp, StaticFile, TextFile, build
from era_ap.provisioning.request import Content, Subject
from era_ap.read_pool import ByteCache, ReadPool
from era_ap.storage_files import Listing, list_folder, read_piece

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from era_ap.provisioning.catalogue import Catalogue

SETTLE_SECONDS = 0.3
YOUNG_SECONDS = 1.0
MAX_TEXT = 1 << 20
SMALL_FILE = 1 << 20
PIECE = 256 * 1024
SMALL_FILES_KEPT = 64 << 20
PIECES_KEPT = 64 << 20

TEMPLATES: Final = "templates"
CONSTANTS: Final = "constants"
CONFIGS: Final = "configs"
FOLDERS: Final = (TEMPLATES, CONSTANTS, CONFIGS)

Seen = Stamp | tuple[Reason, str] | None


class Store:
    """Watches the storage folder ``root`` for the site named ``site``; blocking, for one worker thread.

    A file is taken up when it looked the same for ``settle_seconds``, and only if it still does after it was
    read; so with a scan every 0.5 s a change is in service after 0.3 to 1 s, and never by halves.
    """

    def __init__(
        self,
        root: Path,
        site: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._root = root
        self._site = site
        self._monotonic = monotonic
        self._wall = wall
        self._sleep = sleep
        self._settle_seconds = settle_seconds
        self._catalogue: Catalogue | None = None
        self._taken: dict[str, Seen] = {}
        self._changing: dict[str, tuple[Seen, float]] = {}
        self._texts: dict[str, TextFile] = {}
        self._unread: dict[str, Refused] = {}
        self._away: dict[str, str] = {}
        self._built: tuple[object, ...] = ()
        self._version = 0

    def scan(self) -> Catalogue | None:
        """Look at everything; the new catalogue, or None if nothing changed since the last one.

        Raises ``Refused`` (STORAGE_UNAVAILABLE) while no folder can be read or all are suddenly empty; what
        was returned before stays valid.
        """
        first = self._catalogue is None
        seen = self._look()
        now = self._monotonic()
        if first:
            self._take_rested(seen)
        if seen != self._taken or self._changing or self._unread:
            for place in sorted(self._taken.keys() | seen.keys() | self._unread.keys()):
                self._compare(place, seen, now)
        built = (self._version, tuple(self._away.items()), tuple(map(str, self._unread.items())))
        if not first and built == self._built:
            return None
        self._built = built
        catalogue = build(self._catalogue, self._snapshot())
        if catalogue is self._catalogue:
            return None
        self._catalogue = catalogue
        return catalogue

    def read(self, entry: StaticFile) -> bytes:
        """The whole of a ready-made file; blocking. Raises ``Refused`` (FILE_CHANGED, FILE_UNREADABLE …)."""
        return read_piece(self._root, f"{CONFIGS}/{entry.path}", entry.stamp, 0, entry.size)

    # --- looking

    def _look(self) -> dict[str, Seen]:
        """What is there now, by place; folders that are away are noted and what they held is left out."""
        seen: dict[str, Seen] = {}
        away: dict[str, str] = {}
        empty = 0
        for folder in FOLDERS:
            listing, trouble = self._list(folder)
            if trouble:
                away[folder] = trouble
                continue
            empty += listing.is_empty
            seen.update({f"{folder}/{path}": stamp for path, stamp in listing.files.items()})
            seen.update(
                {f"{folder}/{path}": (why.reason, why.detail) for path, why in listing.refused.items()}
            )
            for lost in listing.lost:
                below = f"{folder}/{lost}/"
                seen.update({place: what for place, what in self._taken.items() if place.startswith(below)})
        if len(away) + empty == len(FOLDERS):
            what = (
                "; ".join(f"{folder}: {trouble}" for folder, trouble in away.items())
                or "all folders are empty"
            )
            raise Refused(Reason.STORAGE_UNAVAILABLE, f"{self._root}: {what}")
        for folder in away:
            seen.update(
                {place: what for place, what in self._taken.items() if place.startswith(f"{folder}/")}
            )
        self._away = away
        return seen

    def _list(self, folder: str) -> tuple[Listing, str]:
        """A folder's listing, and what is wrong with it ("" if nothing)."""
        try:
            listing = list_folder(self._root, folder, leftovers=folder == CONFIGS)
        except OSError as error:
            return Listing(), error.strerror or "unreadable"
        except Refused as refused:
            return Listing(), refused.detail
        known = any(place.startswith(f"{folder}/") for place in self._taken)
        return listing, "suddenly empty" if known and listing.is_empty else ""

    def _take_rested(self, seen: dict[str, Seen]) -> None:
        """At the first look take what is old enough at once, and young files if they rest for a moment."""
        now = self._wall()
        young = [
            place
            for place, what in seen.items()
            if isinstance(what, Stamp) and now - what.mtime_ns / 1e9 < YOUNG_SECONDS
        ]
        again = seen
        if young:
            self._sleep(self._settle_seconds)
            again = self._look()
        for place, what in seen.items():
            if again.get(place) == what:
                self._take(place, what)

    # --- taking up

    def _compare(self, place: str, seen: Mapping[str, Seen], now: float) -> None:
        what = seen.get(place)
        if place in self._taken and self._taken[place] == what and place not in self._unread:
            self._changing.pop(place, None)
            return
        before = self._changing.get(place)
        if before is None or before[0] != what:
            self._changing[place] = (what, now)
        elif now - before[1] >= self._settle_seconds:
            self._take(place, what)

    def _take(self, place: str, what: Seen) -> None:
        """Make ``what`` the state of ``place``; a text that changes while it is read goes on changing."""
        folder, _, path = place.partition("/")
        self._unread.pop(place, None)
        if isinstance(what, Stamp) and folder != CONFIGS:
            try:
                text = self._read_text(place, path, what)
            except Refused as refused:
                if refused.reason is Reason.FILE_CHANGED:
                    self._changing.pop(place, None)
                    return
                self._unread[place] = refused
                self._taken.setdefault(place, None)
                return
            self._texts[place] = text
        elif not isinstance(what, Stamp):
            self._texts.pop(place, None)
        self._changing.pop(place, None)
        if what is None:
            self._taken.pop(place, None)
        else:
            self._taken[place] = what
        self._version += 1

    def _read_text(self, place: str, path: str, stamp: Stamp) -> TextFile:
        if stamp.size > MAX_TEXT:
            raise Refused(Reason.TEMPLATE_TOO_LARGE, f"{stamp.size} bytes; the limit is {MAX_TEXT}")
        try:
            data = read_piece(self._root, place, stamp, 0, stamp.size)
        except Refused as refused:
            if refused.reason is Reason.FILE_UNREADABLE:
                raise Refused(Reason.TEMPLATE_UNREADABLE, refused.detail) from refused
            raise
        return TextFile(path, data, hashlib.sha256(data).hexdigest()[:16])

    # --- what is in service

    def _snapshot(self) -> Snapshot:
        texts = self._texts
        templates = {t.path: t for place, t in texts.items() if place.startswith(f"{TEMPLATES}/")}
        constants = {t.path: t for place, t in texts.items() if place.startswith(f"{CONSTANTS}/")}
        statics = {
            place.removeprefix(f"{CONFIGS}/"): StaticFile(place.removeprefix(f"{CONFIGS}/"), what)
            for place, what in self._taken.items()
            if isinstance(what, Stamp) and place.startswith(f"{CONFIGS}/")
        }
        refused = {place: Refused(*what) for place, what in self._taken.items() if isinstance(what, tuple)}
        refused |= {place: why for place, why in self._unread.items() if place not in texts}
        problems = [
            Problem(why.reason, place, f"{why.detail}; its last good version stays in service")
            for place, why in self._unread.items()
            if place in texts
        ]
        problems += [
            Problem(
                Reason.STORAGE_UNAVAILABLE,
                folder,
                f"{trouble}; the last state of the folder stays in service",
            )
            for folder, trouble in self._away.items()
        ]
        ours, missing = _of_site(self._site, constants)
        return Snapshot(templates, ours, statics, refused, (*problems, *missing))


def _of_site(site: str, constants: Mapping[str, TextFile]) -> tuple[TextFile | None, tuple[Problem, ...]]:
    """``<Site>.cfg``, in any letter case if that is unique; a warning if only other sites have files."""
    name = f"{site}.cfg"
    if name in constants:
        return constants[name], ()
    alike = [file for path, file in constants.items() if path.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0], ()
    if not constants:
        return None, ()
    there = ", ".join(sorted(constants))
    sentence = f"no {name} for this site, so it has no constants of its own; there are: {there}"
    return None, (Problem(Reason.CONSTANTS_INVALID, f"{CONSTANTS}/{name}", sentence, Severity.WARNING),)


class StaticFiles:
    """Ready-made files for many phones at once; ``root`` is the storage folder.

    Small files are kept whole, of large ones the pieces in use; what several ask for at once is read once.
    Reading is done in threads of its own; call the methods on the event loop. ``storage_seconds`` limits the
    waiting for a piece of a large file.
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
        self._root = root
        self._read = read
        self._pool = pool or ReadPool(time.monotonic)
        self._small = ByteCache(SMALL_FILES_KEPT)
        self._pieces = ByteCache(PIECES_KEPT)
        self._reading: dict[tuple[StaticFile, int], Future[bytes]] = {}

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
            return self._opened(entry, begin)
        promise: Future[Content | StaticStream] = Future()
        begin.add_done_callback(lambda read: _pass_on(read, lambda data: self._opened(entry, data), promise))
        return promise

    def cached(self, entry: StaticFile) -> bytes | None:
        """The whole of a small file if it is in memory; the storage need not be there for it."""
        return b"" if entry.size == 0 else self._small.get((entry, 0))

    def piece(self, entry: StaticFile, number: int) -> bytes | Future[bytes]:
        """Piece ``number`` of ``PIECE`` bytes, or a promise shared by all who want it."""
        data = self._pieces.get((entry, number))
        return data if data is not None else self._load(entry, number, PIECE, self._pieces)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.close()

    def _load(self, entry: StaticFile, number: int, length: int, cache: ByteCache) -> Future[bytes]:
        key = (entry, number)
        reading = self._reading.get(key)
        stalled = self._pool.is_stalled
        if reading is not None and not stalled:
            return reading

        def read() -> bytes:
            data = self._read(self._root, f"{CONFIGS}/{entry.path}", entry.stamp, number * length, length)
            cache.put(key, data)
            return data

        if stalled:
            return self._pool.submit(read)  # fails at once, also for what others already wait for
        reading = self._reading[key] = self._pool.submit(read)
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
