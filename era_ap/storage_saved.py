"""The storage in local state and in memory: all texts, small ready-made files, and which others there are.

Owns what is held of ready-made files (``HELD_FILE`` each, ``HELD_BYTES`` in all, small ones first), so that
they are served while the storage is away, and the form of the rows. Does not own looking (``store``), serving
(``static_files``) nor the file (``state_file``).
"""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from era_ap.errors import Refused
from era_ap.provisioning.catalogue import Stamp, StaticFile
from era_ap.state_file import Batch, Key, Loaded, Shelf
from era_ap.store import CONFIGS, SavedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from era_ap.health import Looks
    from era_ap.provisioning.catalogue import Catalogue
    from era_ap.static_files import StaticFiles
    from era_ap.store import Store

HELD_FILE = 256 * 1024
HELD_BYTES = 64 << 20
AGE_SECONDS = 60.0
RETRY_SECONDS = 5.0

_FILES = Shelf("file", "storage")
_SEEN = Key("seen", "storage", "")
_AT_ONCE = 32


class StorageKeeper:
    """Holds small ready-made files in ``statics``, and tells local state what has changed in ``store``.

    ``taken`` is to be called when the store has given a new catalogue; ``looks`` tells how the storage is.
    """

    def __init__(
        self,
        store: Store,
        statics: StaticFiles,
        looks: Callable[[], Looks],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._statics = statics
        self._looks = looks
        self._wall = wall
        self._kept: dict[str, SavedFile] | None = None
        self._kept_of: tuple[object, object] = (None, None)
        self._noted = 0.0
        self._news = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="holding")

    def restore(self, loaded: Loaded) -> tuple[Catalogue, float] | None:
        """Put what is saved into the store and memory, before its first scan; None if nothing is.

        The catalogue, and when the storage was seen so (seconds since 1970). For a thread.
        """
        rows = loaded.rows.pop(_FILES, {})
        seen = loaded.rows.pop(_SEEN.shelf, {}).get("", b"0")
        files = {}
        for place in sorted(rows):
            with suppress(ValueError, TypeError):
                files[place] = _file(rows.pop(place))
        if not files:
            return None
        self._statics.held = {
            _static(place, file): file.data
            for place, file in files.items()
            if _is_static(place) and file.data is not None
        }
        catalogue = self._store.restore(files)
        self._kept = files
        return catalogue, float(seen)

    def taken(self) -> None:
        """There is a new catalogue."""
        self._news.set()

    async def run(self) -> None:
        """Hold what should be held, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            if not await self.hold():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), RETRY_SECONDS)
                self._news.set()

    def close(self) -> None:
        """Read no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def __call__(self, everything: bool) -> Batch:
        batch = Batch()
        look = self._looks()
        if look.good_at is None:
            return batch
        now = (self._store.files, self._statics.held)
        if everything or now[0] is not self._kept_of[0] or now[1] is not self._kept_of[1]:
            self._kept_of = now
            self._add_files(batch, None if everything else self._kept)
        at = self._wall() - (time.monotonic() - look.good_at)
        if everything or at - self._noted >= AGE_SECONDS:
            self._noted = at
            batch.rows[_SEEN] = f"{at:.3f}".encode()
        return batch

    def _add_files(self, batch: Batch, before: Mapping[str, SavedFile] | None) -> None:
        self._kept = kept = self._files()
        if before is None:
            batch.whole.add(_FILES)
            before = {}
        changed = [place for place in kept if kept[place] != before.get(place)]
        batch.rows |= {Key(*_FILES, place): partial(_data, kept[place]) for place in changed}
        batch.rows |= {Key(*_FILES, place): None for place in before.keys() - kept.keys()}

    def _files(self) -> dict[str, SavedFile]:
        """All files in service, with what is held of ready-made ones."""
        held = self._statics.held
        return {
            place: file._replace(data=held.get(_static(place, file))) if _is_static(place) else file
            for place, file in self._store.files.items()
        }

    async def hold(self) -> bool:
        """Read what should be held and is not, once; whether all of it could be."""
        loop = asyncio.get_running_loop()
        wanted = _wanted(self._store.files)
        held = {entry: data for entry in wanted if (data := self._statics.held.get(entry)) is not None}
        missing = [entry for entry in wanted if entry not in held]
        for begin in range(0, len(missing), _AT_ONCE):
            entries = missing[begin : begin + _AT_ONCE]
            held |= await loop.run_in_executor(self._thread, _read, self._store, entries)
        self._statics.held = held
        return len(held) == len(wanted)


def _wanted(files: Mapping[str, SavedFile]) -> list[StaticFile]:
    statics = [_static(place, file) for place, file in files.items() if _is_static(place)]
    wanted, room = [], HELD_BYTES
    for entry in sorted(statics, key=lambda each: (each.size, each.path)):
        room -= entry.size
        if entry.size > HELD_FILE or room < 0:
            break
        wanted.append(entry)
    return wanted


def _read(store: Store, entries: Iterable[StaticFile]) -> dict[StaticFile, bytes]:
    held = {}
    for entry in entries:
        with suppress(Refused):
            held[entry] = store.read(entry)
    return held


def _is_static(place: str) -> bool:
    return place.startswith(f"{CONFIGS}/")


def _static(place: str, file: SavedFile) -> StaticFile:
    return StaticFile(place.removeprefix(f"{CONFIGS}/"), file.stamp)


def _data(file: SavedFile) -> bytes:
    head = json.dumps([*_stamp_fields(file.stamp), file.data is not None]).encode()
    return head + b"\n" + (file.data or b"")


def _file(data: bytes) -> SavedFile:
    head, _, content = data.partition(b"\n")
    mtime_ns, size, inode, ctime_ns, has_data = json.loads(head)
    stamp = Stamp(int(mtime_ns), int(size), int(inode), int(ctime_ns))
    return SavedFile(stamp, content if has_data else None)


def _stamp_fields(stamp: Stamp) -> tuple[int, int, int, int]:
    return stamp.mtime_ns, stamp.size, stamp.inode, stamp.ctime_ns
