"""The sink of phones' uploads: where a WRQ's octets go, if the site wants them at all.

Owns the name an upload gets, its limits and the exclusive temporary file that is renamed when it is whole.
Every method but the naming blocks: call them in a worker thread. A phone cannot name another's file: each
address has a folder of its own, in which only its own earlier upload of that name is replaced.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """``folder`` of the sink (made by the operator), octets of a file, files in all, uploads at once."""

    folder: Path
    file_bytes: int = 4 << 20
    files: int = 5000
    at_once: int = 16


def sink_name(address: str, name: str) -> tuple[str, str]:
    """Folder and file an upload goes to: the address, and what is harmless of the name's last part.

    >>> sink_name("2001:db8::1", "..\\\\logs/0004f2aabbcc-app.log")
    ('2001-db8--1', '0004f2aabbcc-app.log')
    """
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    safe = _UNSAFE.sub("_", last).lstrip(".")[:128]
    return address.partition("%")[0].replace(":", "-"), safe or "upload"


def sink_problem(folder: Path) -> str:
    """Why nothing can be stored in the sink; empty where it can be."""
    if not folder.is_dir():
        return f"{folder}: no such folder"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder}: may not be written to"


@contextlib.contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    """What the file system refuses is the operator's to repair, not a defect."""
    try:
        yield
    except OSError as error:
        raise Refused(Reason.UPLOAD_SINK, f"{folder}: {error.strerror or error}") from None


class Upload:
    """One file on its way into the sink."""

    def __init__(self, policy: UploadPolicy, address: str, name: str) -> None:
        self._policy = policy
        folder, last = sink_name(address, name)
        self._folder = policy.folder / folder
        self._target = self._folder / last
        self.limit = policy.file_bytes
        self._partial = self._folder / f"{_PARTIAL}{secrets.token_hex(8)}"
        self._file: BinaryIO | None = None
        self.name = f"{folder}/{last}"

    def open(self) -> None:
        """Make the temporary file. ``Refused``: UPLOAD_LIMIT where the sink is full, UPLOAD_SINK."""
        with _refusing(self._policy.folder):
            if not self._target.exists() and self._is_full():
                raise Refused(Reason.UPLOAD_LIMIT, f"{self._policy.folder}: holds {self._policy.files} files")
            self._folder.mkdir(mode=0o750, exist_ok=True)
            if self._folder.is_symlink():
                raise Refused(Reason.UPLOAD_LIMIT, f"{self._folder}: is a symbolic link")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self._file = os.fdopen(os.open(self._partial, flags, 0o640), "wb")

    def write(self, data: bytes) -> None:
        """Append; ``Refused`` (UPLOAD_SINK) where the disk is full."""
        with _refusing(self._policy.folder):
            if self._file is not None:
                self._file.write(data)

    def commit(self) -> None:
        """The file is whole: give it its name. ``Refused`` (UPLOAD_SINK) where the disk is full."""
        with _refusing(self._policy.folder):
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._partial.replace(self._target)

    def abort(self) -> None:
        """The transfer failed: leave nothing behind."""
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def _is_full(self) -> bool:
        return sum(1 for _ in self._stored()) >= self._policy.files

    def _stored(self) -> Iterator[str]:
        for folder in os.scandir(self._policy.folder):
            if folder.is_dir(follow_symlinks=False):
                yield from (entry.name for entry in os.scandir(folder.path))
