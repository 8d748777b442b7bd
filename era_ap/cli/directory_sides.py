"""The two ends of ``era-ap directory``: a source of the site configuration, and a folder of YAML files.

Owns which source a command is about and how each kind of it is read and written. Does not own the exchange
between them.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

import click

from era_ap import config as configuration
from era_ap.cli.common import fail_with
from era_ap.config import ConfigError
from era_ap.config.directory import YamlFolder
from era_ap.directory.comparison import Reading
from era_ap.directory.folder_writer import FolderWriter
from era_ap.directory.model import AccountKey
from era_ap.directory.originals import canonical_file, place_of
from era_ap.directory.tree import Branch, Tree
from era_ap.errors import Problem, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from era_ap.config.directory import DirectorySource
    from era_ap.directory.documents import DomainDocuments, Writer
    from era_ap.directory.exchange import Reader


def source_of(config: Path, wanted: str | None, *, as_json: bool) -> DirectorySource:
    """The source that a command is about: the one named or numbered, else the only one that can be edited.

    Exits 2 if the configuration cannot be used or the choice is not clear.
    """
    try:
        sources = configuration.load(config).sources
    except ConfigError as error:
        fail_with(error.problems, as_json=as_json)
    editable = [source for source in sources if is_editable(source)]
    if wanted is not None:
        named = [source for at, source in enumerate(sources, 1) if wanted in (str(at), source.name)]
        if not named:
            _refuse_choice(f"there is no source {wanted!r}", sources)
        if named[0] not in editable:
            _refuse_choice(f"{named[0].name} is read by queries; it cannot be edited or exported", sources)
        return named[0]
    if len(editable) != 1:
        why = (
            "no source can be edited"
            if not editable
            else "several sources can be edited; choose with --source"
        )
        _refuse_choice(why, sources)
    return editable[0]


def is_editable(source: DirectorySource) -> bool:
    """Whether documents can be written to the source; a database of others is only asked."""
    return isinstance(source, YamlFolder) or source.queries is None


def _refuse_choice(why: str, sources: Sequence[DirectorySource]) -> NoReturn:
    listed = "; ".join(
        f"{at}: {source.name}{'' if is_editable(source) else ' (queries)'}"
        for at, source in enumerate(sources, 1)
    )
    raise click.UsageError(f"{why}. The directory has {listed}")


def writer_of(source: DirectorySource) -> Writer:
    """The source, to be edited."""
    if isinstance(source, YamlFolder):
        return FolderWriter(source.path)
    from era_ap.directory.sql_writer import SqlWriter  # noqa: PLC0415 - SQLAlchemy loads slowly

    return SqlWriter(source)


class FolderReader:
    """A folder as a ``Reader``; its own findings come with the first domain. Raises ``Refused``.

    While a domain is written elsewhere, the next one is read here.
    """

    def __init__(self, root: Path) -> None:
        self._tree = Tree(root)
        self._told: Sequence[Problem] = self._tree.problems
        self._after = dict(pairwise(self._tree.domains))
        self._ahead: dict[str, asyncio.Task[Branch]] = {}

    async def domains(self) -> Sequence[str]:
        return self._tree.domains

    async def read(self, name: str) -> tuple[Reading, Sequence[Problem]]:
        branch = await (self._ahead.pop(name, None) or self._start(name))
        following = self._after.get(name)
        if following is not None:
            self._ahead[following] = self._start(following)
        told, self._told = self._told, ()
        return branch.reading(), (*told, *branch.problems)

    async def names(self, name: str) -> frozenset[str] | None:
        return self._tree.names(name)

    def _start(self, name: str) -> asyncio.Task[Branch]:
        return asyncio.ensure_future(asyncio.to_thread(self._tree.read, name))


class SourceReader:
    """A directory that can be edited as a ``Reader`` for a folder: what cannot be a file is unreadable."""

    def __init__(self, writer: Writer, name: str) -> None:
        self._writer = writer
        self._name = name

    async def domains(self) -> Sequence[str]:
        return await self._writer.domains()

    async def read(self, name: str) -> tuple[Reading, Sequence[Problem]]:
        documents = await self._writer.documents(name)
        odd = (
            frozenset(login for login in documents.accounts if not _is_file(name, login))
            if documents
            else None
        )
        if documents is None or not odd:
            return Reading(documents), ()
        return Reading(_without(documents, odd), odd), [self._problem(name, login) for login in sorted(odd)]

    async def names(self, name: str) -> frozenset[str] | None:
        documents = await self._writer.documents(name)
        return frozenset(documents.accounts if documents is not None else ())

    def _problem(self, name: str, login: str) -> Problem:
        detail = "the login cannot be the name of a file; the account stays out of the folder"
        return Problem(Reason.ACCOUNT_INVALID, f"{self._name}: {login}@{name}", detail)


def _is_file(name: str, login: str) -> bool:
    place = AccountKey(name, login)
    return place_of(canonical_file(place)) == place


def _without(documents: DomainDocuments, odd: frozenset[str]) -> DomainDocuments:
    accounts = {login: each for login, each in documents.accounts.items() if login not in odd}
    return DomainDocuments(documents.name, documents.document, accounts, documents.originals)


def reader_of(source: DirectorySource, writer: Writer) -> Reader:
    """The source as the one that an export reads. Raises ``Refused``."""
    return FolderReader(source.path) if isinstance(source, YamlFolder) else SourceReader(writer, source.name)
