"""Reading the tables of a directory page by page: everything, or what is newer than a revision.

Owns the queries. A page is one statement of bounded size, found by an index, so that no statement runs long
whatever the size of the directory or of one domain. Does not own the transaction around the pages, which
makes them one picture, nor what becomes of rows (``sql_source``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Select, and_, bindparam, column, or_, select, table, tuple_

from era_ap.directory.sql_schema import VERSION_TABLE, domains, feed, revisions, sipusers, tombstones

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

    from era_ap.directory.model import AccountKey
    from era_ap.directory.sql_database import Session

PAGE = 1000

_ACCOUNT = (
    sipusers.c.domain,
    sipusers.c.login,
    sipusers.c.password,
    sipusers.c.opts,
    sipusers.c.ext,
    sipusers.c.fields,
)
_DOMAIN = (domains.c.name, domains.c.settings, domains.c.fields)
_GRAVE = (tombstones.c.domain, tombstones.c.login)

_token = select(revisions.c.token).where(revisions.c.revision == feed.c.revision).scalar_subquery()
_own_token = select(revisions.c.token).where(revisions.c.revision == bindparam("own")).scalar_subquery()
_version = select(column("version_num")).select_from(table(VERSION_TABLE)).scalar_subquery()
_STANDING: Select[Any] = select(_version, feed.c.revision, _token, _own_token).where(feed.c.id == 1)

_REST_OF_DOMAIN = (
    select(*_ACCOUNT)
    .where(sipusers.c.domain == bindparam("domain"), sipusers.c.login > bindparam("login"))
    .order_by(sipusers.c.login)
    .limit(bindparam("most"))
)
_NEXT_DOMAINS = (
    select(*_ACCOUNT)
    .where(sipusers.c.domain > bindparam("domain"))
    .order_by(sipusers.c.domain, sipusers.c.login)
    .limit(bindparam("most"))
)
_ALL_DOMAINS = (
    select(*_DOMAIN)
    .where(domains.c.name > bindparam("domain"))
    .order_by(domains.c.name)
    .limit(bindparam("most"))
)


class Standing(NamedTuple):
    """Where the feed is: version of the tables, last revision with its token, token of the reader's own."""

    version: str | None
    revision: int
    token: str | None
    own_token: str | None


async def standing(session: Session, own: int) -> Standing | None:
    """One small query, asked at every look; None where the feed has no row."""
    rows = await session.rows(_STANDING, {"own": own})
    return Standing(*rows[0]) if rows else None


async def all_domains(session: Session) -> AsyncIterator[Sequence[Any]]:
    """Name, settings and fields of every domain, by name."""
    name = ""
    while rows := await session.rows(_ALL_DOMAINS, {"domain": name, "most": PAGE}, mass=True):
        name = rows[-1][0]
        yield rows


async def all_accounts(session: Session) -> AsyncIterator[Sequence[Any]]:
    """Key and document columns of every account, by domain and login."""
    domain, login = "", ""
    while True:
        after = {"domain": domain, "login": login, "most": PAGE}
        rows = list(await session.rows(_REST_OF_DOMAIN, after, mass=True)) if domain else []
        if len(rows) < PAGE:
            after = {"domain": domain, "most": PAGE - len(rows)}
            rows += await session.rows(_NEXT_DOMAINS, after, mass=True)
        if not rows:
            return
        domain, login = rows[-1][0], rows[-1][1]
        yield rows


async def accounts_of(session: Session, keys: Sequence[AccountKey]) -> Sequence[Any]:
    """Key and document columns of certain accounts."""
    if not keys:
        return []
    wanted = tuple_(sipusers.c.domain, sipusers.c.login).in_([tuple(key) for key in keys])
    rows: Sequence[Any] = await session.rows(select(*_ACCOUNT).where(wanted), mass=True)
    return rows


def changed_domains(
    session: Session, since: int, names: Collection[str] | None
) -> AsyncIterator[Sequence[Any]]:
    """Name, settings and fields of the domains written after revision ``since``."""
    return _changed(session, domains, _DOMAIN, (domains.c.name,), since, names)


def changed_accounts(
    session: Session, since: int, names: Collection[str] | None
) -> AsyncIterator[Sequence[Any]]:
    """Key and document columns of the accounts written after revision ``since``."""
    return _changed(session, sipusers, _ACCOUNT, (sipusers.c.domain, sipusers.c.login), since, names)


def removed(session: Session, since: int, names: Collection[str] | None) -> AsyncIterator[Sequence[Any]]:
    """Domain and login of what was removed after revision ``since``; no login: the domain itself."""
    return _changed(session, tombstones, _GRAVE, (tombstones.c.domain, tombstones.c.login), since, names)


async def _changed(
    session: Session,
    source: Table,
    columns: Sequence[ColumnElement[Any]],
    key: Sequence[ColumnElement[Any]],
    since: int,
    names: Collection[str] | None,
) -> AsyncIterator[Sequence[Any]]:
    """By revision, and by key where one transaction wrote many."""
    revision = source.c.revision
    query = select(*columns, revision).order_by(revision, *key).limit(PAGE)
    if names is not None:
        query = query.where(key[0].in_(sorted(names)))
    found: list[ColumnElement[bool]] = [revision > since]
    while rows := await session.rows(query.where(*found), mass=True):
        yield [row[:-1] for row in rows]
        if len(rows) < PAGE:
            return
        last = rows[-1]
        beyond = _beyond(key, last[: len(key)])
        found = [revision >= last[-1], or_(revision > last[-1], beyond)]


def _beyond(key: Sequence[ColumnElement[Any]], values: Sequence[str]) -> ColumnElement[bool]:
    """Whether a key sorts after ``values``."""
    if len(key) == 1:
        return key[0] > values[0]
    return or_(key[0] > values[0], and_(key[0] == values[0], key[1] > values[1]))
