"""The directory's folder as a directory that can be edited: the ``documents.Writer`` of YAML.

Owns the lock, so that two processes do not overwrite each other's work (editors and Git do not know of it),
and the check of the revision that an edit expects. Runs every edit (``folder_edits``) in a thread.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from era_ap.directory.documents import Difference, Document, DomainDocuments, Stored, check_since
from era_ap.directory.folder import Place
from era_ap.directory.folder_edits import DomainEdit, check_place, open_tree, readable, stored
from era_ap.directory.model import AccountKey
from era_ap.errors import Reason, Refused

Result = TypeVar("Result")


class FolderWriter:
    """The folder ``root``; see ``documents.Writer``. The first edit makes a folder that is missing."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def name(self) -> str:
        """For messages."""
        return f"yaml:{self._root}"

    async def write_account(self, key: AccountKey, document: Document, *, expected: str | None = None) -> str:
        wanted = DomainDocuments(key.domain, None, {key.login: document})
        return await _edit(self._root, lambda: _write(self._root, wanted, key, expected))

    async def write_domain(self, name: str, document: Document, *, expected: str | None = None) -> str:
        return await _edit(
            self._root, lambda: _write(self._root, DomainDocuments(name, document), name, expected)
        )

    async def remove_account(self, key: AccountKey, *, expected: str | None = None) -> bool:
        return await _edit(self._root, lambda: _remove(self._root, key, expected))

    async def remove_domain(self, name: str, *, expected: str | None = None) -> bool:
        return await _edit(self._root, lambda: _remove(self._root, name, expected))

    async def put(
        self,
        wanted: DomainDocuments,
        *,
        remove_others: bool = False,
        dry_run: bool = False,
        since: DomainDocuments | None = None,
    ) -> Difference:
        def put() -> Difference:
            edit = DomainEdit(self._root, wanted.name)
            if since is not None:
                check_since(wanted, since, edit.document)
            difference = edit.put(wanted, remove_others=remove_others)
            if not dry_run:
                edit.commit()
            return difference

        return await (_read if dry_run else _edit)(self._root, put)

    async def domains(self) -> tuple[str, ...]:
        return await _read(self._root, lambda: tree.domains if (tree := open_tree(self._root)) else ())

    async def documents(self, name: str) -> DomainDocuments | None:
        def read() -> DomainDocuments | None:
            tree = open_tree(self._root)
            if tree is None or name not in tree.domains:
                return None
            return readable(tree.read(name, check=False)).reading().documents

        return await _read(self._root, read)

    async def account(self, key: AccountKey) -> Stored | None:
        return await _read(self._root, lambda: stored(self._root, key))

    async def domain(self, name: str) -> Stored | None:
        return await _read(self._root, lambda: stored(self._root, name))

    async def close(self) -> None:
        """Nothing is kept open."""


async def _read(root: Path, work: Callable[[], Result]) -> Result:
    def shared() -> Result:
        with _lock(root, fcntl.LOCK_SH) if root.is_dir() else nullcontext():
            return work()

    return await asyncio.to_thread(shared)


async def _edit(root: Path, work: Callable[[], Result]) -> Result:
    def locked() -> Result:
        with _lock(root, fcntl.LOCK_EX):
            return work()

    return await asyncio.to_thread(locked)


def _write(root: Path, wanted: DomainDocuments, place: Place, expected: str | None) -> str:
    check_place(place)
    _expect(root, place, expected)
    edit = DomainEdit(root, wanted.name)
    edit.put(wanted, remove_others=False)
    edit.commit()
    written = stored(root, place)
    return written.revision if written is not None else ""


def _remove(root: Path, place: Place, expected: str | None) -> bool:
    check_place(place)
    _expect(root, place, expected)
    if isinstance(place, AccountKey):
        edit = DomainEdit(root, place.domain)
        found = edit.remove(place.login)
    else:
        edit = DomainEdit(root, place)
        found = edit.remove_all()
    edit.commit()
    return found


def _expect(root: Path, place: Place, expected: str | None) -> None:
    """Raise ``Refused`` (DIRECTORY_CONFLICT) if another revision than ``expected`` is in place."""
    if expected is None:
        return
    there = stored(root, place)
    if (there.revision if there else "") != expected:
        raise Refused(Reason.DIRECTORY_CONFLICT, f"{place} has changed meanwhile")


@contextmanager
def _lock(root: Path, how: int) -> Iterator[None]:
    """Hold the folder against (other) writers; made where it is missing. Raises ``Refused``."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, f"{root}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
