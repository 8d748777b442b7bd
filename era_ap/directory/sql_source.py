"""A directory in a SQL database as a source of changes: ``Source`` for the tables of ``sql_schema``.

Owns what is read when: everything in one picture first, then by revision, removals included; where it goes
on after a restart; and when what it knows is of another history (a backup put back) and all must be read
anew. Does not own queries (``sql_pages``), limits (``sql_database``) nor being told at once (``sql_listen``).
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from era_ap.config.database_url import SqlKind
from era_ap.directory.model import Account, AccountKey, Domain
from era_ap.directory.source import Change
from era_ap.directory.sql_database import Database
from era_ap.directory.sql_failures import UPGRADE
from era_ap.directory.sql_listen import Listener
from era_ap.directory.sql_pages import (
    PAGE,
    Standing,
    accounts_of,
    all_accounts,
    all_domains,
    changed_accounts,
    changed_domains,
    removed,
    standing,
)
from era_ap.directory.sql_pieces import News, pieces
from era_ap.directory.sql_rows import AccountRow, DomainRow, read_account_row, read_domain_row
from era_ap.directory.sql_schema import SchemaState, state_of
from era_ap.errors import Problem, Reason, Refused, Severity

if TYPE_CHECKING:
    from era_ap.config.directory import SqlDatabase
    from era_ap.directory.sql_database import Session

FAULTY_KEPT = 1000
"""Accounts with findings that a cursor names, so that they are found again after a restart."""

Value = TypeVar("Value")
Findings = dict["AccountKey | str", tuple[Problem, ...]]
Parsed = tuple[list[Value], Findings, "list[AccountKey | str]"]
Parser = Callable[[Sequence[Any], str], Parsed[Value]]


class Position(NamedTuple):
    """A revision of the feed that was read, and the token that proves whose it is."""

    revision: int
    token: str


class SqlSource:
    """The database of ``settings``; see ``source.Source`` for what each method does."""

    def __init__(self, settings: SqlDatabase) -> None:
        self.name = settings.name
        self.poll_seconds = settings.poll_seconds
        self.whole = True
        self._settings = settings
        self._database = Database(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="directory-sql")
        self._listener: Listener | None = None
        self._at: Position | None = None
        self._recheck: tuple[AccountKey, ...] = ()
        self._findings: dict[AccountKey | str, tuple[Problem, ...]] = {}
        self._told: tuple[Problem, ...] = ()
        self._state = SchemaState.CURRENT

    @property
    def cursor(self) -> str | None:
        """The position, and the accounts with findings, which a restart must look at to find them again."""
        if self._at is None:
            return None
        faulty = [tuple(key) for key in self._findings if isinstance(key, AccountKey)]
        return json.dumps([*self._at, faulty[:FAULTY_KEPT]], separators=(",", ":"))

    def restore(self, cursor: str) -> None:
        """Go on at ``cursor``, if it is one."""
        try:
            revision, token, faulty = json.loads(cursor)
            self._at = Position(int(revision), str(token))
            self._recheck = tuple(AccountKey(str(domain), str(login)) for domain, login in faulty)
        except (ValueError, TypeError):
            self._at = None

    def on_news(self, wake: Callable[[], None]) -> None:
        """PostgreSQL tells of each transaction."""
        if self._database.kind is SqlKind.POSTGRESQL:
            self._listener = Listener(self._settings, wake)

    async def look(self, take: Callable[[Change], None], *, domains: Collection[str] | None = None) -> None:
        """Everything at first and in doubt, else what is newer than the position."""
        async with self._database.session() as session:
            before = self._at
            found = await standing(session, before.revision if before else 0)
            now = self._position(found)
            self.whole = before is None or found is None or found.own_token != before.token
            if before is None or self.whole:
                with _seldom_collected():
                    await self._read_all(session, take)
            elif now.revision != before.revision or self._recheck:
                await self._read_news(session, take, before.revision, domains)
        if self._told != self._problems():
            self._told = self._problems()
            take(Change(problems=self._told))
        if self.whole or domains is None:
            self._at = now
            self._recheck = ()
        if self._listener is not None:
            self._listener.ensure()

    async def close(self) -> None:
        """Let go of everything."""
        if self._listener is not None:
            await self._listener.close()
        await self._database.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _position(self, found: Standing | None) -> Position:
        """Where the feed is; raises ``Refused`` where the tables cannot be read by this version."""
        self._state = state_of(found.version if found else None)
        if found is None or found.token is None or self._state in (SchemaState.EMPTY, SchemaState.BEHIND):
            raise Refused(Reason.DIRECTORY_UNAVAILABLE, f"the database {self._state.value}; {UPGRADE}")
        return Position(found.revision, found.token)

    async def _read_all(self, session: Session, take: Callable[[Change], None]) -> None:
        self._findings = {}
        empty = True
        async for rows in _ahead(all_domains(session)):
            empty = False
            found = await self._parsed(_parse_domains, rows)
            await self._hand_over(News([], [], found, []), take)
        if empty:
            detail = "the database holds no domain; what was known stays in service"
            raise Refused(Reason.DIRECTORY_UNAVAILABLE, detail)
        async for rows in _ahead(all_accounts(session)):
            accounts = await self._parsed(_parse_accounts, rows)
            await self._hand_over(News(accounts, [], [], []), take)

    async def _read_news(
        self,
        session: Session,
        take: Callable[[Change], None],
        since: int,
        names: Collection[str] | None,
    ) -> None:
        gone: list[AccountKey] = []
        gone_domains: list[str] = []
        async for rows in removed(session, since, names):
            gone += [AccountKey(domain, login) for domain, login in rows if login]
            gone_domains += [domain for domain, login in rows if not login]
        places: list[AccountKey | str] = [*gone, *gone_domains]
        for place in places:
            self._findings.pop(place, None)
        found: list[Domain] = []
        async for rows in changed_domains(session, since, names):
            found += await self._parsed(_parse_domains, rows)
        accounts = await self._parsed(_parse_accounts, await accounts_of(session, self._recheck))
        news = News(accounts, gone, found, gone_domains)
        async for rows in _ahead(changed_accounts(session, since, names)):
            news.accounts.extend(await self._parsed(_parse_accounts, rows))
            if len(news.accounts) > PAGE:
                await self._hand_over(news, take)
                news = News([], [], [], [])
        await self._hand_over(news, take)

    async def _hand_over(self, news: News, take: Callable[[Change], None]) -> None:
        for piece in pieces(news, self._problems()):
            self._told = piece.problems
            take(piece)
            await asyncio.sleep(0)

    async def _parsed(self, parse: Parser[Value], rows: Sequence[Any]) -> list[Value]:
        """The values of rows, made in the thread; what was found about each is kept."""
        loop = asyncio.get_running_loop()
        values, findings, clean = await loop.run_in_executor(self._thread, parse, rows, self.name)
        for key in clean:
            self._findings.pop(key, None)
        self._findings.update(findings)
        return values

    def _problems(self) -> tuple[Problem, ...]:
        found = tuple(problem for problems in self._findings.values() for problem in problems)
        if self._state is SchemaState.AHEAD:
            detail = f"the database {self._state.value}"
            return (Problem(Reason.DIRECTORY_UNAVAILABLE, self.name, detail, Severity.WARNING), *found)
        return found


def _parse_accounts(rows: Sequence[Any], origin: str) -> Parsed[Account]:
    values: list[Account] = []
    findings: Findings = {}
    clean: list[AccountKey | str] = []
    for domain, login, *columns in rows:
        key = AccountKey(domain, login)
        account, problems = read_account_row(key, AccountRow._make(columns), origin)
        if account is not None:
            values.append(account)
        if problems:
            findings[key] = problems
        else:
            clean.append(key)
    return values, findings, clean


def _parse_domains(rows: Sequence[Any], origin: str) -> Parsed[Domain]:
    values: list[Domain] = []
    findings: Findings = {}
    clean: list[AccountKey | str] = []
    for name, settings, fields in rows:
        domain, problems = read_domain_row(name, DomainRow(settings, fields), origin)
        if domain is not None:
            values.append(domain)
        if problems:
            findings[name] = problems
        else:
            clean.append(name)
    return values, findings, clean


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """A million short-lived documents, none of them in a cycle, would set off thousands of collections."""
    usual = gc.get_threshold()
    gc.set_threshold(max(usual[0], 50_000), *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


async def _ahead(pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[Sequence[Any]]:
    """The pages, the next one being fetched while one is at work on the last."""
    coming = asyncio.ensure_future(_next(pages))
    try:
        while (rows := await coming) is not None:
            coming = asyncio.ensure_future(_next(pages))
            yield rows
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _next(pages: AsyncIterator[Sequence[Any]]) -> Sequence[Any] | None:
    return await anext(pages, None)
