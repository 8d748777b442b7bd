"""Local state: what an instance knew last, kept on its own disk, so that it can start with all else away.

Owns the folder (0700) and that one process of a role has it, when what changed is written, and the telling of
what is in the way: a full or read-only disk never disturbs serving and heals by itself. Does not own the file
(``state_file``) nor what is kept in it (keepers). Everything on disk is done in one thread of its own.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from era_ap.errors import Reason, Refused
from era_ap.health import Looks
from era_ap.state_file import Batch, Key, Loaded, Shelf, StateFile, VanishedError

if TYPE_CHECKING:
    import structlog

    from era_ap.config import ApRole, Site
    from era_ap.state_file import Data

NAMED = "named"
"""The kind of rows that are put by name."""

SMALL = 4096
"""Bytes of a named row that is kept in memory, so that it survives the loss of the file."""

SAVE_SECONDS = 1.0
RETRY_SECONDS = 5.0
STOP_SECONDS = 3.0
LOCK_SECONDS = 1.0
"""A process that is just ending lets go of its role within this time."""

_ADVICE = "the instance serves, but could not start without storage and directory; look at space and rights"

Keeper = Callable[[bool], Batch]
"""Gives what has changed since it was asked last, or with True everything; called on the event loop."""


def folder_of(site: Site, role: ApRole) -> Path:
    """``ext.state``, else what systemd gives, else ``state`` beside the site configuration."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return role.ext.state or (Path(given) if given else Path(site.origin).absolute().parent / "state")


class State:
    """Local state of one role, in ``<folder>/<role>.state``. ``keepers`` are asked for what has changed."""

    def __init__(
        self, folder: Path, role: str, site: str, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self.keepers: list[Keeper] = []
        self._disk = _Disk(_Place(folder, role), StateFile(folder / f"{role}.state", f"{role} of {site}"))
        self._log = log
        self._pending = Batch()
        self._named: dict[Key, Data | None] = {}
        self._everything = False
        self._is_loaded = False
        self._found: dict[Shelf, dict[str, bytes]] = {}
        self._problem = ""
        self._good_at: float | None = None
        self._saving: asyncio.Task[None] | None = None

    def claim(self) -> None:
        """Be the only process of the role on this host.

        A folder that cannot be used is told, not raised: without local state everything else goes on.

        Raises:
            Refused: ROLE_TAKEN if another process runs.
        """
        try:
            self._disk.place.claim(LOCK_SECONDS)
        except OSError as error:
            self._note(str(error))

    async def load(self) -> Loaded:
        """Everything an earlier process has left; to be asked for once, before anything is put or written."""
        begin = time.monotonic()
        try:
            loaded = await self._disk.load()
        except (OSError, sqlite3.Error) as error:
            self._note(str(error))
            loaded, self._everything = Loaded(), True
        self._is_loaded = True
        for complaint in loaded.complaints:
            self._log.warning("local state is damaged", detail=complaint)
        rows = sum(map(len, loaded.rows.values()))
        if rows:
            seconds = round(time.monotonic() - begin, 3)
            self._log.info("local state read", rows=rows, seconds=seconds)
        self._found = {shelf: loaded.rows.pop(shelf) for shelf in [*loaded.rows] if shelf.kind == NAMED}
        return loaded

    def put(self, owner: str, name: str, data: Data | None) -> None:
        """Keep ``data`` under a name of ``owner``; None: no more. It may be asked for in another thread."""
        key = Key(NAMED, owner, name)
        self._named[key] = data
        self._pending.add(Batch({key: data}))

    def take(self, owner: str) -> dict[str, bytes]:
        """What an earlier process has ``put`` for ``owner``, by name; given once, after ``load``."""
        found = self._found.pop(Shelf(NAMED, owner), {})
        small = {Key(NAMED, owner, name): data for name, data in found.items() if len(data) <= SMALL}
        self._named = {**small, **self._named}
        return found

    def start(self) -> None:
        """Write what changes from now on."""
        self._saving = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Write what is left to write, but do not wait long for it."""
        if self._saving is not None:
            self._saving.cancel()
        if self._is_loaded:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.save(), STOP_SECONDS)
        self.close()

    def close(self) -> None:
        """Let go of the file and the role; what hangs is left behind."""
        if self._saving is not None:
            self._saving.cancel()
        self._disk.close()

    @property
    def looks(self) -> Looks:
        """For readiness: when it was last as it should be, and what is in the way."""
        return Looks(self._good_at, self._problem)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS if self._problem else SAVE_SECONDS)
            await self.save()

    async def save(self) -> None:
        """Write what has changed, now."""
        if self._everything:
            self._pending = Batch(dict(self._named))
        for keeper in self.keepers:
            self._pending.add(keeper(self._everything))
        self._everything = False
        batch, self._pending = self._pending, Batch()
        problem: str | None = None
        try:
            if batch or self._problem:
                await self._disk.write(batch)
            problem = ""
            self._good_at = time.monotonic()
        except (VanishedError, OSError, sqlite3.Error, Refused) as error:
            self._everything = isinstance(error, VanishedError)
            problem = str(error)
        finally:
            if problem != "":  # written in part at most: all of it is tried again
                batch.add(self._pending)
                self._pending = batch
        self._note(problem)

    def _note(self, problem: str) -> None:
        if problem and problem != self._problem:
            self._log.warning("local state cannot be kept", detail=problem, advice=_ADVICE)
        elif self._problem and not problem:
            self._log.info("local state is kept again")
        self._problem = problem


class _Disk:
    """The file and its place, used in a thread of its own."""

    def __init__(self, place: _Place, file: StateFile) -> None:
        self.place = place
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")

    async def load(self) -> Loaded:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._file.load)

    async def write(self, batch: Batch) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)

    def close(self) -> None:
        with suppress(RuntimeError):  # it was closed already
            self._thread.submit(self._end)
        self._thread.shutdown(wait=False)

    def _write(self, batch: Batch) -> None:
        self.place.claim(0.0)
        self._file.write(batch)

    def _end(self) -> None:
        self._file.close()
        self.place.release()


class _Place:
    """The folder of local state, and the lock that tells that a process of the role runs."""

    def __init__(self, folder: Path, role: str) -> None:
        self._folder = folder
        self._role = role
        self._lock: int | None = None

    def claim(self, patience: float) -> None:
        """Make the folder and take the lock, unless done already.

        Raises ``OSError`` if the folder cannot be used, ``Refused`` (ROLE_TAKEN) if somebody has the lock.
        """
        if self._lock is not None:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(self._folder)
        path = self._folder / f"{self._role}.lock"
        lock = _open_lock(path)
        until = time.monotonic() + patience
        while not _try_lock(lock):
            if time.monotonic() >= until:
                os.close(lock)
                owner = path.read_text(errors="replace").strip()[:20] or "unknown"
                raise Refused(
                    Reason.ROLE_TAKEN,
                    f"another process (pid {owner}) runs {self._role} with the state in {self._folder}",
                )
            time.sleep(0.05)
        self._lock = lock
        with suppress(OSError):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have the role."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _open_lock(path: Path) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    except OSError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY | flags)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_private(folder: Path) -> None:
    """Raise ``OSError`` if others may put a file of theirs into the folder."""
    status = folder.stat()
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise PermissionError(f"{folder}: others may write to it; chmod 700 {folder}")
