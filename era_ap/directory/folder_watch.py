"""Hears from the kernel (inotify(7)) which domains of the directory's folder somebody has touched.

Owns the watches on the folders and whether all of them are there, on a file system of this host: only then
may polling be slow. Hears nothing of what other hosts do to a network file system, and says nothing about
what a file holds; whoever is told looks himself (``yaml_source``).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from era_ap.directory.folder import SIPUSERS
from era_ap.directory.notation import parse_domain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_ATTRIB: Final = 0x4
_CLOSE_WRITE: Final = 0x8
_MOVED_FROM: Final = 0x40
_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_DELETE_SELF: Final = 0x400
_MOVE_SELF: Final = 0x800
_UNMOUNT: Final = 0x2000
_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLYDIR: Final = 0x1000000
_WANTED: Final = (
    _ATTRIB
    | _CLOSE_WRITE
    | _MOVED_FROM
    | _MOVED_TO
    | _CREATE
    | _DELETE
    | _DELETE_SELF
    | _MOVE_SELF
    | _ONLYDIR
)
_EVENT: Final = struct.Struct("iIII")
_ROOT: Final = ""
"""Stands for the folder of all domains, where a name is that of a domain."""

LOCAL: Final = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}
)
"""File systems that nobody changes but through the kernel of this host."""


class FolderWatch:
    """Watches ``root``. ``problem`` says why not all of it is watched, "" if it is.

    ``arm`` and ``is_there`` block and are for the thread that looks at the folder; all else is for the loop.
    """

    def __init__(self, root: Path) -> None:
        self.problem = "nobody watches yet"
        self._root = root
        self._wake: Callable[[], None] = lambda: None
        self._inotify: int | None = None
        self._domains: dict[int, str] = {}
        self._touched: set[str] | None = None
        self._identity: tuple[int, int] | None = None
        self._lock = threading.Lock()

    @property
    def is_trusted(self) -> bool:
        """Whether every change is heard of."""
        return not self.problem

    def start(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` on this loop when something was touched, from the first ``arm`` on."""
        self._wake = wake
        try:
            self._inotify = _call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.problem = f"inotify: {error.strerror}"
            return
        asyncio.get_running_loop().add_reader(self._inotify, self._hear)

    def close(self) -> None:
        """Hear no more."""
        if self._inotify is not None:
            with suppress(RuntimeError):  # the loop has ended
                asyncio.get_running_loop().remove_reader(self._inotify)
            os.close(self._inotify)
            self._inotify = None

    def take(self) -> frozenset[str] | None:
        """The domains that were touched since the last call; None: it may be any."""
        with self._lock:
            touched, self._touched = self._touched, set()
        return None if touched is None else frozenset(touched)

    def arm(self, domains: Collection[str] | None = None) -> None:
        """Watch all folders there are, or those of ``domains``; to be done before looking into them."""
        if self._inotify is None:
            return
        problem = "" if domains is None else self.problem
        try:
            self._add(self._root, _ROOT)
            self._identity = _identity(self._root)
            for name, folder in _domain_folders(self._root):
                if domains is None or name in domains:
                    problem = self._arm_domain(name, folder) or problem
            kind = _file_system(self._root)
            if kind not in LOCAL:
                problem = f"the file system is {kind}, of which only this host's changes are heard"
        except OSError as error:
            problem = _told(error)
        self.problem = problem

    def is_there(self) -> bool:
        """Whether what is watched is still what the path leads to, and holds something; blocks, shortly."""
        try:
            return _identity(self._root) == self._identity and any(_domain_folders(self._root))
        except OSError:
            return False

    def _arm_domain(self, name: str, folder: Path) -> str:
        """Watch one domain; returns why that is not enough, "" if it is."""
        try:
            self._add(folder, name)
            self._add(folder / SIPUSERS, name)
            if len({_device(each) for each in (self._root, folder, folder / SIPUSERS)}) > 1:
                return f"{folder} is a file system of its own"
            with os.scandir(folder / SIPUSERS) as entries:
                linked = next((entry.path for entry in entries if entry.is_symlink()), None)
        except (FileNotFoundError, NotADirectoryError):
            return ""  # without accounts, or gone meanwhile, of which we hear
        return f"{linked} is a link; what it leads to is not watched" if linked else ""

    def _add(self, folder: Path, domain: str) -> None:
        assert self._inotify is not None
        watch = _call("inotify_add_watch", self._inotify, os.fsencode(folder), _WANTED)
        self._domains[watch] = domain

    def _hear(self) -> None:
        assert self._inotify is not None
        try:
            heard = os.read(self._inotify, 1 << 16)
        except BlockingIOError:
            return
        at = 0
        with self._lock:
            while at < len(heard):
                watch, what, _, length = _EVENT.unpack_from(heard, at)
                at += _EVENT.size + length
                name = os.fsdecode(heard[at - length : at].rstrip(b"\0"))
                self._note(watch, what, name)
            news = self._touched != set()
        if news:
            self._wake()

    def _note(self, watch: int, what: int, name: str) -> None:
        if what & _IGNORED:
            self._domains.pop(watch, None)
            return
        domain = self._domains.get(watch)
        is_lost = what & (_OVERFLOW | _UNMOUNT) or (domain == _ROOT and what & (_DELETE_SELF | _MOVE_SELF))
        if is_lost or domain is None:
            self._touched = None
            if is_lost:
                self.problem = "the folder has gone, or too much happened at once"
        elif not name.startswith(".") and self._touched is not None:
            touched = parse_domain(name) if domain == _ROOT else domain
            if touched:
                self._touched.add(touched)


def _domain_folders(root: Path) -> Iterator[tuple[str, Path]]:
    with os.scandir(root) as entries:
        for entry in entries:
            name = parse_domain(entry.name)
            if name is not None and entry.is_dir():
                yield name, Path(entry.path)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _device(path: Path) -> int:
    return path.stat().st_dev


def _told(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "there are more folders than watches; raise fs.inotify.max_user_watches (sysctl)"
    return error.strerror or str(error)


def _call(name: str, *arguments: object) -> int:
    """A function of the C library that returns -1 and sets errno on failure."""
    try:
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
    except AttributeError:
        raise OSError(errno.ENOSYS, "this system has no inotify") from None
    result = int(function(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _file_system(path: Path) -> str:
    """The type of the file system that a path is on, "unknown" if the kernel does not tell."""
    real = os.path.realpath(path)
    best, kind = "", "unknown"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines():
            fields = line.split(" ")
            mount = fields[4].replace("\\040", " ")
            inside = mount in ("/", real) or real.startswith(f"{mount}/")
            if inside and len(mount) >= len(best):
                best, kind = mount, fields[fields.index("-") + 1]
    return kind
