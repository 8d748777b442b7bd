"""A SQL directory under test: writer, source and the loop they live in, with the verbs of the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from era_ap.config import SqlDatabase
from era_ap.directory.model import AccountKey
from era_ap.directory.source import Change
from era_ap.directory.sql_source import SqlSource
from era_ap.directory.sql_writer import SqlWriter

Result = TypeVar("Result")


def merged(pieces: list[Change]) -> Change | None:
    """The pieces of one look as one change; None if there are none."""
    if not pieces:
        return None
    return Change(
        tuple(account for piece in pieces for account in piece.accounts),
        tuple(key for piece in pieces for key in piece.removed),
        tuple(domain for piece in pieces for domain in piece.domains),
        tuple(name for piece in pieces for name in piece.removed_domains),
        pieces[-1].problems,
    )


class SqlBackend:
    """Writer and source of one database."""

    def __init__(self, settings: SqlDatabase) -> None:
        self.settings = settings
        self.writer = SqlWriter(settings)
        self.source = SqlSource(settings)
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)

    def write_account(self, key: AccountKey, document: Mapping[str, object]) -> str:
        return self.run(self.writer.write_account(key, document))

    def write_domain(self, name: str, document: Mapping[str, object]) -> str:
        return self.run(self.writer.write_domain(name, document))

    def remove_account(self, key: AccountKey) -> bool:
        return self.run(self.writer.remove_account(key))

    def observe(self) -> Change | None:
        return self.run(self.look())

    async def look(self, source: SqlSource | None = None, **how: Any) -> Change | None:
        pieces: list[Change] = []
        await (source or self.source).look(pieces.append, **how)
        return merged(pieces)

    def restarted(self, cursor: str | None) -> SqlSource:
        """Another source, as after a restart."""
        self.run(self.source.close())
        self.source = SqlSource(self.settings)
        if cursor is not None:
            self.source.restore(cursor)
        return self.source

    def close(self) -> None:
        self.run(self.source.close())
        self.run(self.writer.close())
        self._runner.close()
