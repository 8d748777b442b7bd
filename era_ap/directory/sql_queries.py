"""A foreign database as a read-only source: the operator's ``queries``, read whole and compared by hash.

Owns when everything is read (the fingerprint of ``changed`` differs, or there is none) and what of it is
news. The transaction is read-only whatever the queries say. Does not own what columns mean (``query_rows``).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import TextClause, text

from era_ap.config import ConfigError
from era_ap.config.directory import Queries
from era_ap.config.sources import parse_queries
from era_ap.directory.model import Account, AccountKey, Domain, read_account, read_domain
from era_ap.directory.query_columns import Columns, as_text
from era_ap.directory.query_rows import ForeignRows, columns_of
from era_ap.directory.source import Change
from era_ap.directory.sql_database import Database
from era_ap.directory.sql_pages import PAGE
from era_ap.directory.sql_pieces import News, pieces
from era_ap.errors import Problem, Reason, Refused

if TYPE_CHECKING:
    from era_ap.config.directory import SqlDatabase
    from era_ap.directory.sql_database import Session

POLL_SECONDS = 10.0
READY = resources.files("era_ap") / "data" / "sql"
"""Ready queries, NAME.yml each."""

_MAX_BYTES = 1 << 20
_encode = json.JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":")).encode

Take = Callable[[Change], None]
Kept = TypeVar("Kept", Account, Domain)


class QuerySource:
    """The database of ``settings``, which has ``queries``; ``source.Source`` says what each method does."""

    def __init__(self, settings: SqlDatabase) -> None:
        self.name = settings.name
        self.poll_seconds = POLL_SECONDS if settings.poll_seconds is None else settings.poll_seconds
        self.whole = True
        self.cursor: str | None = None
        self._settings = settings
        self._database = Database(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="directory-queries")
        self._queries: dict[str, TextClause] = {}
        self._fingerprint: bytes | None = None
        self._last: Comparison | None = None

    def restore(self, cursor: str) -> None:
        """A foreign database has no feed: all is read after a restart."""

    def on_news(self, wake: Callable[[], None]) -> None:
        """A foreign database tells nothing by itself."""

    async def look(self, take: Take, *, domains: Collection[str] | None = None) -> None:
        """Read everything unless the fingerprint is the same; hand over what differs from the last time."""
        loop = asyncio.get_running_loop()
        if not self._queries:
            self._queries = await loop.run_in_executor(self._thread, _statements, self._settings)
        async with self._database.session() as session:
            fingerprint = await self._ask_fingerprint(session)
            self.whole = self._last is None
            if not self.whole and fingerprint is not None and fingerprint == self._fingerprint:
                return
            rows = ForeignRows(self.name)
            await self._read(session, "domains", rows.add_domains)
            await self._read(session, "devices", rows.add_devices)
            await self._read(session, "keys", rows.add_keys)
            comparison = Comparison(rows, self._last, self.name)
            await self._read(session, "accounts", comparison.add, lambda: _hand_over(comparison, take))
        await loop.run_in_executor(self._thread, comparison.finish)
        await _hand_over(comparison, take)
        if comparison.told != comparison.problems:
            take(Change(problems=comparison.problems))  # the last piece went before all findings were known
            comparison.told = comparison.problems
        self._last, self._fingerprint = comparison, fingerprint

    async def close(self) -> None:
        """Let go of everything."""
        await self._database.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _ask_fingerprint(self, session: Session) -> bytes | None:
        query = self._queries.get("changed")
        if query is None:
            return None
        rows = await session.rows(query, mass=True)
        return repr([as_text(list(row)) for row in rows]).encode()

    async def _read(
        self,
        session: Session,
        name: str,
        add: Callable[[Columns, Sequence[Any]], None],
        after: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """All rows of one query, taken in by the thread; ``after`` each page."""
        query = self._queries.get(name)
        if query is None:
            return
        columns: Columns | None = None
        async for names, rows in session.pages(query, None, PAGE):
            columns = columns or columns_of(name, names)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, add, columns, rows)
            if after is not None:
                await after()


class Comparison:
    """What one look found, against the look before; what is news waits in ``news`` to be handed over."""

    def __init__(self, rows: ForeignRows, before: Comparison | None, origin: str) -> None:
        self.news = News([], [], [], [])
        self.told: tuple[Problem, ...] = before.told if before is not None else ()
        self._rows = rows
        self._origin = origin
        self._before = before._known if before is not None else {}
        self._found_before = before._found if before is not None else {}
        self._known: dict[AccountKey | str, bytes] = {}
        self._found: dict[AccountKey | str, tuple[Problem, ...]] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All findings."""
        each = [problem for problems in self._found.values() for problem in problems]
        return (*self._rows.findings.problems, *each)

    def add(self, columns: Columns, rows: Sequence[Any]) -> None:
        """A page of the query ``accounts``."""
        for key, document in self._rows.documents(columns, rows):
            revision = self._news_of(key, document)
            if revision is not None:
                account, found = read_account(
                    *key, document, origin=self._origin, revision=revision, is_text=True
                )
                self._keep(key, account, self.news.accounts, found)

    def finish(self) -> None:
        """The domains, and what is there no more. Raises ``Refused`` where nothing is there at all."""
        if not self._known:
            detail = (
                f"{self._origin}: the query accounts gives no usable row; what was known stays in service"
            )
            raise Refused(Reason.DIRECTORY_UNAVAILABLE, detail)
        self._rows.finish()
        for name, document in self._rows.domains.items():
            revision = self._news_of(name, document)
            if revision is not None:
                domain, found = read_domain(name, document, origin=self._origin, revision=revision)
                self._keep(name, domain, self.news.domains, found)
        for gone in self._before.keys() - self._known.keys():
            if isinstance(gone, AccountKey):
                self.news.removed.append(gone)
            else:
                self.news.removed_domains.append(gone)
        self._before, self._found_before = {}, {}

    def _news_of(self, place: AccountKey | str, document: Mapping[str, object]) -> str | None:
        """The revision of a document that differs from before, None if it is the same."""
        digest = hashlib.blake2b(_encode(document).encode(), digest_size=8).digest()
        self._known[place] = digest
        if self._before.get(place) != digest:
            return digest.hex()
        if place in self._found_before:
            self._found[place] = self._found_before[place]
        return None

    def _keep(
        self, place: AccountKey | str, value: Kept | None, values: list[Kept], found: tuple[Problem, ...]
    ) -> None:
        if value is not None:
            values.append(value)
        if found:
            self._found[place] = found


async def _hand_over(comparison: Comparison, take: Take) -> None:
    news, comparison.news = comparison.news, News([], [], [], [])
    for piece in pieces(news, comparison.problems):
        take(piece)
        comparison.told = piece.problems
        await asyncio.sleep(0)


def ready_names() -> tuple[str, ...]:
    """The names that ``queries`` may have, sorted."""
    files = READY.iterdir() if READY.is_dir() else ()
    return tuple(sorted(each.name.removesuffix(".yml") for each in files if each.name.endswith(".yml")))


def _statements(settings: SqlDatabase) -> dict[str, TextClause]:
    """The queries with their parameters; raises ``Refused`` DIRECTORY_UNAVAILABLE, blocks."""
    queries = _queries(settings)
    parameters = dict(settings.parameters)
    found: dict[str, TextClause] = {}
    for name in type(queries).model_fields:
        query = getattr(queries, name)
        if query is None:
            continue
        statement = text(query)
        wanted = set(statement.compile().params)
        lacking = sorted(wanted - parameters.keys())
        if lacking:
            detail = f"{settings.name}: query {name} needs the parameter {lacking[0]}; add it to 'parameters'"
            raise Refused(Reason.DIRECTORY_UNAVAILABLE, detail)
        found[name] = statement.bindparams(**{each: parameters[each] for each in wanted})
    return found


def _queries(settings: SqlDatabase) -> Queries:
    given = settings.queries
    if isinstance(given, Queries):
        return given
    file = given if isinstance(given, Path) else READY / f"{given}.yml"
    try:
        return parse_queries(file.read_text("utf-8")[:_MAX_BYTES], str(file))
    except ConfigError as error:
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, f"{settings.name}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "is not text"
        known = ", ".join(ready_names())
        advice = f"; ready queries: {known}" if isinstance(given, str) else ""
        detail = f"{settings.name}: queries {given}: {said}{advice}"
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, detail) from None
