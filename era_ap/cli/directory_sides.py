"""The two ends of ``era-ap directory``: a source of the site configuration, and a folder of YAML files.

Owns which source a command is about and how each kind of it is read and written. Does not own the exchange
between them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn, Protocol

import click

from era_ap import config as configuration
from era_ap.cli.common import fail_with
from era_ap.config import ConfigError
from era_ap.config.directory import YamlFolder
from era_ap.directory.comparison import Reading
from era_ap.directory.documents import DomainDocuments
from era_ap.directory.exchange import Reader
from era_ap.directory.folder_writer import FolderWriter
from era_ap.directory.model import AccountKey
from era_ap.directory.originals import canonical_file, place_of
from era_ap.directory.tree import Branch, Tree
from era_ap.errors import Problem, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from era_ap.config.directory import DirectorySource, SqlDatabase
    from era_ap.directory.documents import Document, Writer
    from era_ap.directory.source import Change


def source_of(config: Path, wanted: str | None, *, as_json: bool, to_edit: bool = True) -> DirectorySource:
    """The source that a command is about: the one named or numbered, else the only one that fits.

    ``to_edit``: it is one that can be edited; a foreign database is only asked. Exits 2 if the configuration
    cannot be used or the choice is not clear.
    """
    try:
        sources = configuration.load(config).sources
    except ConfigError as error:
        fail_with(error.problems, as_json=as_json)
    fitting = [source for source in sources if is_editable(source) or not to_edit]
    if wanted is not None:
        named = [source for at, source in enumerate(sources, 1) if wanted in (str(at), source.name)]
        if not named:
            _refuse_choice(f"there is no source {wanted!r}", sources)
        if named[0] not in fitting:
            _refuse_choice(f"{named[0].name} is read by queries; it cannot be edited", sources)
        return named[0]
    if not fitting:
        _refuse_choice("no source can be edited", sources)
    if len(fitting) > 1:
        _refuse_choice("there are several sources; choose with --source", sources)
    return fitting[0]


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

    async def close(self) -> None:
        for task in self._ahead.values():
            task.cancel()

    def _start(self, name: str) -> asyncio.Task[Branch]:
        return asyncio.ensure_future(asyncio.to_thread(self._tree.read, name))


class SourceReader:
    """A database of ours as a ``Reader``."""

    def __init__(self, source: SqlDatabase) -> None:
        self._writer = writer_of(source)

    async def domains(self) -> Sequence[str]:
        return await self._writer.domains()

    async def read(self, name: str) -> tuple[Reading, Sequence[Problem]]:
        return Reading(await self._writer.documents(name)), ()

    async def names(self, name: str) -> frozenset[str] | None:
        documents = await self._writer.documents(name)
        return frozenset(documents.accounts if documents is not None else ())

    async def close(self) -> None:
        await self._writer.close()


class ForeignReader:
    """A foreign database as a ``Reader``: all that its queries give, asked once. Raises ``Refused``."""

    def __init__(self, source: SqlDatabase) -> None:
        self._source = source
        self._found: dict[str, tuple[dict[str, Document], Document | None]] | None = None
        self._told: Sequence[Problem] = ()

    async def domains(self) -> Sequence[str]:
        return sorted(await self._all())

    async def read(self, name: str) -> tuple[Reading, Sequence[Problem]]:
        accounts, own = (await self._all()).get(name, ({}, None))
        told, self._told = self._told, ()
        return Reading(DomainDocuments(name, own, accounts)), told

    async def names(self, name: str) -> frozenset[str] | None:
        accounts, own = (await self._all()).get(name, ({}, None))
        return frozenset((*accounts, *(() if own is None else ("",))))

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _all(self) -> dict[str, tuple[dict[str, Document], Document | None]]:
        if self._found is None:
            from era_ap.directory.sql import sql_source  # noqa: PLC0415 - SQLAlchemy loads slowly

            source, found = sql_source(self._source), _Found({}, {})
            try:
                await source.look(found.take)
            finally:
                await source.close()
            self._told = found.problems
            names = found.accounts.keys() | found.domains.keys()
            self._found = {name: (found.accounts.get(name, {}), found.domains.get(name)) for name in names}
        return self._found


@dataclass(slots=True)
class _Found:
    """What one look at a source gave, as documents."""

    accounts: dict[str, dict[str, Document]]
    domains: dict[str, Document]
    problems: Sequence[Problem] = ()

    def take(self, change: Change) -> None:
        for account in change.accounts:
            fields = {
                name: value for name, value in account.fields.items() if name not in ("login", "domain")
            }
            self.accounts.setdefault(account.key.domain, {})[account.key.login] = fields
        for domain in change.domains:
            if domain.settings:
                self.domains[domain.name] = {"settings": domain.settings}
        self.problems = change.problems


class Side(Reader, Protocol):
    """A reader that has something to give back."""

    async def close(self) -> None:
        """Give it back."""
        ...


def reader_of(source: DirectorySource) -> Side:
    """The source as the one that an export reads. Raises ``Refused``."""
    if isinstance(source, YamlFolder):
        return FolderReader(source.path)
    return ForeignReader(source) if source.queries is not None else SourceReader(source)


class FileReader:
    """``reader`` for a folder: accounts whose login cannot be the name of a file stay out, and are told."""

    def __init__(self, reader: Side, source: str) -> None:
        self._reader = reader
        self._source = source

    async def domains(self) -> Sequence[str]:
        return await self._reader.domains()

    async def read(self, name: str) -> tuple[Reading, Sequence[Problem]]:
        reading, problems = await self._reader.read(name)
        documents = reading.documents
        odd = (
            frozenset(login for login in documents.accounts if not _is_file(name, login))
            if documents
            else None
        )
        if documents is None or not odd:
            return reading, problems
        accounts = {login: each for login, each in documents.accounts.items() if login not in odd}
        fitting = DomainDocuments(name, documents.document, accounts, documents.originals)
        told = [self._problem(name, login) for login in sorted(odd)]
        return Reading(fitting, reading.unreadable | odd, reading.lost), (*problems, *told)

    async def names(self, name: str) -> frozenset[str] | None:
        return await self._reader.names(name)

    async def close(self) -> None:
        await self._reader.close()

    def _problem(self, name: str, login: str) -> Problem:
        detail = "the login cannot be the name of a file; the account stays out of the folder"
        return Problem(Reason.ACCOUNT_INVALID, f"{self._source}: {login}@{name}", detail)


def _is_file(name: str, login: str) -> bool:
    place = AccountKey(name, login)
    return place_of(canonical_file(place)) == place
