"""The file of local state: rows by kind, owner and name in SQLite, each with a checksum.

Owns that what is loaded is what was written: a damaged or missing row is found, thrown away and told, a
damaged file is thrown away whole; a write happens wholly or not at all. Blocks: for one thread. Does not know
what rows mean nor when they are written (``state``).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
"""Grows when what rows mean changes; a file of another format is not used."""

_SCHEMA = """
CREATE TABLE row (
    kind TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, sum BLOB NOT NULL,
    UNIQUE (kind, owner, name)
);
CREATE TABLE identity (text TEXT NOT NULL);
CREATE TABLE shelf (
    kind TEXT NOT NULL, owner TEXT NOT NULL, rows INTEGER NOT NULL, sum BLOB NOT NULL,
    UNIQUE (kind, owner)
);
"""
_SUM = 16
_IN_THE_WAY = frozenset({
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
})  # fmt: skip


class Shelf(NamedTuple):
    """Rows that belong together: if one of them is lost, the others are not all there is."""

    kind: str
    owner: str


class Key(NamedTuple):
    """A row's place."""

    kind: str
    owner: str
    name: str

    @property
    def shelf(self) -> Shelf:
        """The rows it belongs to."""
        return Shelf(self.kind, self.owner)


Data = bytes | Callable[[], bytes]
"""What a row holds, or how to make it where it is written."""


@dataclass(slots=True)
class Batch:
    """What is to be written in one transaction: rows to put, or None to remove.

    Of a shelf in ``whole`` all other rows go.
    """

    rows: dict[Key, Data | None] = field(default_factory=dict)
    whole: set[Shelf] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.rows or self.whole)

    def add(self, later: Batch) -> None:
        """Take over a batch that comes after this one."""
        if later.whole:
            self.rows = {key: data for key, data in self.rows.items() if key.shelf not in later.whole}
        self.rows.update(later.rows)
        self.whole |= later.whole


@dataclass(slots=True)
class Loaded:
    """All good rows, by shelf and name, and the shelves of which rows are damaged or missing."""

    rows: dict[Shelf, dict[str, bytes]] = field(default_factory=dict)
    damaged: set[Shelf] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)


class VanishedError(Exception):
    """The file is no longer what was written to it."""


class StateFile:
    """One file. ``identity`` says whose it is; a file of somebody else is not used.

    All methods raise ``OSError`` or ``sqlite3.Error`` where the file cannot be read or written.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._identity = identity
        self._connection: sqlite3.Connection | None = None
        self._sums: dict[Shelf, dict[str, int]] = {}
        self._is_known = False

    def load(self) -> Loaded:
        """Everything there is. What is not usable is removed from the file, if it can be."""
        loaded = Loaded()
        try:
            if self._path.exists() and self._path.lstat().st_size:
                _check_trust(self._path)
                self._read(loaded)
        except (sqlite3.Error, ValueError) as error:
            if _is_in_the_way(error):
                raise
            self.discard()
            loaded = Loaded(complaints=[f"{self._path} is not used and was removed: {error}"])
        self._is_known = True
        return loaded

    def write(self, batch: Batch) -> None:
        """Write a batch, all of it or nothing; rows that are there already cost nothing.

        What was never loaded, because it could not be, is removed before.
        Raises ``VanishedError`` where the file was lost or damaged since: it is gone then, and everything
        must be written anew.
        """
        if self._connection is not None and not self._path.exists():
            self.discard()
            raise VanishedError(f"{self._path} was removed")
        if not self._is_known:
            self.discard()
            self._is_known = True
        try:
            self._write(batch)
        except sqlite3.Error as error:
            if _is_in_the_way(error):
                raise
            self.discard()
            raise VanishedError(f"{self._path} was damaged and removed: {error}") from error

    def _write(self, batch: Batch) -> None:
        puts: list[tuple[Key, bytes, int]] = []
        gone: list[Key] = []
        for key, given in batch.rows.items():
            known = self._sums.get(key.shelf, {}).get(key.name)
            if given is None:
                gone += [key] if known is not None else []
                continue
            data = given() if callable(given) else given
            checksum = _sum(key, data)
            if checksum != known:
                puts.append((key, data, checksum))
        for shelf in batch.whole:
            keys = [Key(*shelf, name) for name in self._sums.get(shelf, ())]
            gone += [key for key in keys if key not in batch.rows]
        if puts or gone:
            self._commit(puts, gone)

    def discard(self) -> None:
        """Remove the file with everything in it."""
        self.close()
        self._sums.clear()
        for path in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _read(self, loaded: Loaded) -> None:
        connection = self._open()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != FORMAT:
            raise ValueError(f"its format is {version}, not {FORMAT}")
        (stated,) = connection.execute("SELECT text FROM identity").fetchone() or ("nobody",)
        if stated != self._identity:
            raise ValueError(f"it is of {stated}, not of {self._identity}")
        found: dict[Shelf, dict[str, int]] = {}
        bad: list[Key] = []
        with closing(connection.execute("SELECT kind, owner, name, data, sum FROM row")) as rows:
            for kind, owner, name, data, checksum in rows:
                key = Key(kind, owner, name)
                if not isinstance(data, bytes) or _bytes(_sum(key, data)) != checksum:
                    bad.append(key)
                    continue
                loaded.rows.setdefault(key.shelf, {})[name] = data
                found.setdefault(key.shelf, {})[name] = int.from_bytes(checksum)
        self._judge(connection, loaded, found, bad)
        self._sums = found

    def _judge(
        self,
        connection: sqlite3.Connection,
        loaded: Loaded,
        found: dict[Shelf, dict[str, int]],
        bad: list[Key],
    ) -> None:
        """Find out what is missing; remove what is damaged, so that it is missed from now on."""
        shelves = connection.execute("SELECT kind, owner, rows, sum FROM shelf").fetchall()
        stated = {Shelf(kind, owner): (rows, checksum) for kind, owner, rows, checksum in shelves}
        for shelf in found.keys() | stated.keys():
            if stated.get(shelf) != _manifest(found.get(shelf, {})):
                loaded.damaged.add(shelf)
        for shelf in loaded.damaged:
            lost = sum(key.shelf == shelf for key in bad)
            what = f"{lost} rows are damaged" if lost else "rows are missing"
            loaded.complaints.append(f"{what} ({' '.join(shelf).strip()}); the rest is used")
        if bad:
            with suppress(sqlite3.OperationalError), connection:
                connection.executemany("DELETE FROM row WHERE kind = ? AND owner = ? AND name = ?", bad)

    def _commit(self, puts: list[tuple[Key, bytes, int]], gone: list[Key]) -> None:
        connection = self._open()
        after = {shelf: dict(self._sums.get(shelf, {})) for shelf in _shelves(puts, gone)}
        for key in gone:
            after[key.shelf].pop(key.name, None)
        for key, _, checksum in puts:
            after[key.shelf][key.name] = checksum
        manifests = [(*shelf, *_manifest(sums)) for shelf, sums in after.items()]
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("DELETE FROM row WHERE kind = ? AND owner = ? AND name = ?", gone)
                rows = ((*key, data, _bytes(checksum)) for key, data, checksum in puts)
                connection.executemany("INSERT OR REPLACE INTO row VALUES (?, ?, ?, ?, ?)", rows)
                connection.executemany("INSERT OR REPLACE INTO shelf VALUES (?, ?, ?, ?)", manifests)
        except BaseException:
            self.close()  # whatever state it is in, the next attempt begins anew
            raise
        self._sums.update(after)

    def _open(self) -> sqlite3.Connection:
        """The connection; the file is made where there is none."""
        if self._connection is not None:
            return self._connection
        new = not self._path.exists()
        if new:
            self._sums.clear()
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=16
        )
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA temp_store = MEMORY")
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                self._sums.clear()
                self._make(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _make(self, connection: sqlite3.Connection) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";")[:-1]:
                connection.execute(statement)
            connection.execute("INSERT INTO identity VALUES (?)", (self._identity,))
            connection.execute(f"PRAGMA user_version = {FORMAT}")


def _is_in_the_way(error: Exception) -> bool:
    """Whether an error says nothing about the file, but that it cannot be used now."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return isinstance(error, sqlite3.Error) and code & 0xFF in _IN_THE_WAY


def _check_trust(path: Path) -> None:
    """Raise ``ValueError`` if somebody else may have written the file; from now on nobody else reads it."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_uid != os.geteuid():
        raise ValueError(f"it belongs to the user {status.st_uid}")
    if status.st_mode & 0o022:
        raise ValueError("others may write to it")
    if status.st_mode & 0o077:
        path.chmod(0o600)


def _shelves(puts: Iterable[tuple[Key, bytes, int]], gone: Iterable[Key]) -> Iterator[Shelf]:
    yield from (key.shelf for key, _, _ in puts)
    yield from (key.shelf for key in gone)


def _sum(key: Key, data: bytes) -> int:
    digest = hashlib.blake2b("\0".join(key).encode(errors="surrogatepass"), digest_size=_SUM)
    digest.update(b"\0")
    digest.update(data)
    return int.from_bytes(digest.digest())


def _bytes(checksum: int) -> bytes:
    return checksum.to_bytes(_SUM)


def _manifest(sums: Mapping[str, int]) -> tuple[int, bytes]:
    """What tells whether rows of a shelf are missing: how many there are, and all checksums in one."""
    return len(sums), _bytes(reduce(xor, sums.values(), 0))
