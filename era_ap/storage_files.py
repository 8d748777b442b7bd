"""Looking into the storage without ever leaving it, being deceived or being held up by it (spec 2).

Owns the rules which files count: regular, inside the storage's own folder after all links are followed, with
one name only. They are applied when a folder is listed and again, on the opened file, when it is read, so
that nothing can be exchanged in between. All functions block while the storage does.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from era_ap.errors import Reason, Refused
from era_ap.provisioning.catalogue import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 16

_LEFTOVER = re.compile(r"\..*|.*~|#.*#|.*\.sw[a-z]|4913", re.IGNORECASE | re.DOTALL)
_NOT_UTF_8 = re.compile("[\ud800-\udfff]")
_README = re.compile(r"readme(\..*)?", re.IGNORECASE | re.DOTALL)
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(slots=True)
class Listing:
    """What one folder of the storage holds, by path relative to it.

    ``refused`` are things that may not be used and why; ``lost`` are folders below it that could not be read;
    ``is_empty``: not even an ignored file is there.
    """

    files: dict[str, Stamp] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    is_empty: bool = True


def stamp_of(status: os.stat_result) -> Stamp:
    """What identifies the content of the file that ``status`` is of."""
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)


def list_folder(root: Path, folder: str, *, leftovers: bool) -> Listing:
    """List ``folder`` of the storage ``root`` with all folders below; files are not opened.

    Hidden files and READMEs are passed over, and with ``leftovers`` false what editors leave behind too.
    Raises ``OSError`` if the folder itself cannot be read, ``Refused`` (FILE_OUTSIDE) if it leads outside.
    """
    top = os.path.realpath(root, strict=True)
    real = os.path.realpath(f"{top}/{folder}", strict=True)
    _parts_inside(top, real)
    walk = _Walk(top, leftovers)
    walk.enter(real, "", ())
    return walk.listing


def open_regular(root: Path, path: str) -> tuple[int, Stamp]:
    """Open ``path`` of the storage for reading; the caller closes the descriptor.

    Raises ``OSError``, and ``Refused`` (FILE_OUTSIDE, FILE_SPECIAL, FILE_HARD_LINK, FILE_CHANGED).
    """
    top = os.path.realpath(root, strict=True)
    parts = _parts_inside(top, os.path.realpath(f"{top}/{path}", strict=True))
    if not parts:
        raise Refused(Reason.FILE_SPECIAL, "leads to the storage itself")
    folder = os.open(top, _FOLDER)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        file = os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        status = os.fstat(file)
        _check(status)
    except BaseException:
        os.close(file)
        raise
    return file, stamp_of(status)


def read_piece(root: Path, path: str, stamp: Stamp, offset: int, length: int) -> bytes:
    """``length`` bytes (fewer at the end) of the content that ``stamp`` identifies.

    Raises ``Refused`` (FILE_CHANGED, FILE_UNREADABLE and those of ``open_regular``).
    """
    try:
        file, before = open_regular(root, path)
        try:
            wanted = min(length, max(0, stamp.size - offset))
            data = b"".join(_read(file, offset, wanted)) if same_content(before, stamp) else b""
            after = stamp_of(os.fstat(file))
        finally:
            os.close(file)
    except FileNotFoundError:
        raise Refused(Reason.FILE_CHANGED, f"{path} is gone") from None
    except OSError as error:
        raise Refused(Reason.FILE_UNREADABLE, f"{path}: {error.strerror}") from error
    if not same_content(after, stamp) or len(data) != wanted:
        raise Refused(Reason.FILE_CHANGED, f"{path} is not what it was when it was found")
    return data


def same_content(one: Stamp, other: Stamp) -> bool:
    """Whether both stamps are of the same content; a change of permissions only does not count."""
    return (one.mtime_ns, one.size, one.inode) == (other.mtime_ns, other.size, other.inode)


def _read(file: int, offset: int, length: int) -> Iterator[bytes]:
    while length > 0 and (data := os.pread(file, length, offset)):
        yield data
        offset += len(data)
        length -= len(data)


def _parts_inside(top: str, real: str) -> tuple[str, ...]:
    """Path of ``real`` below ``top``, compared folder by folder: ``/srv/ap2`` is not inside ``/srv/ap``."""
    path = Path(real)
    if not path.is_relative_to(top):
        raise Refused(Reason.FILE_OUTSIDE, f"leads to {real}, outside the storage {top}")
    return path.relative_to(top).parts


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Refused(Reason.FILE_SPECIAL, Reason.FILE_SPECIAL.advice)
    if status.st_nlink > 1:
        raise Refused(Reason.FILE_HARD_LINK, f"has {status.st_nlink} names; copy it instead of linking it")
    if status.st_nlink == 0:
        raise Refused(Reason.FILE_CHANGED, "was removed while it was opened")


class _Walk:
    """One walk through a folder; ``within`` are the folders above, against links that lead in a circle."""

    def __init__(self, top: str, leftovers: bool) -> None:
        self._top = top
        self._leftovers = leftovers
        self.listing = Listing()

    def enter(self, real: str, prefix: str, within: tuple[tuple[int, int], ...]) -> None:
        with os.scandir(real) as entries:
            for entry in entries:
                self.listing.is_empty = False
                name = entry.name
                if name[0] == "." or (name[0] in "rR" and _README.fullmatch(name)):
                    continue
                if not self._leftovers and _LEFTOVER.fullmatch(name):
                    continue
                self._look_at(entry, prefix + name, within)

    def _look_at(self, entry: os.DirEntry[str], path: str, within: tuple[tuple[int, int], ...]) -> None:
        if not path.isascii() and _NOT_UTF_8.search(path):
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            self.listing.refused[shown] = Refused(Reason.FILE_UNREADABLE, "the name is not UTF-8; rename it")
            return
        try:
            real, status = entry.path, entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                real = os.path.realpath(real, strict=True)
                _parts_inside(self._top, real)
                status = Path(real).lstat()
            if stat.S_ISDIR(status.st_mode):
                self._go_down(real, path, (status.st_dev, status.st_ino), within)
            else:
                _check(status)
                self.listing.files[path] = stamp_of(status)
        except FileNotFoundError:
            if entry.is_symlink():
                self.listing.refused[path] = Refused(Reason.FILE_UNREADABLE, "a link that leads nowhere")
        except OSError as error:
            self.listing.refused[path] = Refused(Reason.FILE_UNREADABLE, error.strerror or "unreadable")
            self.listing.lost.append(path)
        except Refused as refused:
            if refused.reason is not Reason.FILE_CHANGED:
                self.listing.refused[path] = refused

    def _go_down(
        self, real: str, path: str, this: tuple[int, int], within: tuple[tuple[int, int], ...]
    ) -> None:
        if this in within or len(within) >= MAX_DEPTH:
            sentence = (
                "a link to a folder it is in" if this in within else f"more than {MAX_DEPTH} folders deep"
            )
            self.listing.refused[path] = Refused(Reason.FILE_SPECIAL, sentence)
            return
        self.enter(real, f"{path}/", (*within, this))
