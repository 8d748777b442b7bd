"""One transaction that edits a directory in a SQL database.

Owns the steps: the lock of ``feed`` first, so that revisions follow each other in the order of commits; the
next revision only once something differs; rows, devices, tombstones and originals in step. Values are always
bound, never part of a statement. Does not own the form of columns (``sql_rows``) nor what differs
(``sql_writer``).
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update

from era_ap.config.database_url import SqlKind
from era_ap.directory.documents import Original
from era_ap.directory.sql_rows import AccountRow, DeviceRow, DomainRow
from era_ap.directory.sql_schema import (
    CHANNEL,
    devices,
    domains,
    feed,
    originals,
    revisions,
    sipusers,
    tombstones,
)
from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Executable, Table

    from era_ap.directory.sql_database import Session

KEEP_SECONDS = 30 * 86400
"""An instance that was off for less goes on where it was; after that it reads all anew."""

PRUNE_EVERY = 100

WHOLE = ""
"""The login that stands for a domain itself, in tombstones and originals."""

AT_ONCE = 500
"""Logins that one statement names."""

WRITTEN = 5000
"""Rows that are written within one limit of time."""

_account_of = (sipusers.c.domain == bindparam("of_domain")) & (sipusers.c.login == bindparam("of_login"))


class AccountRows(NamedTuple):
    """An account as rows."""

    account: AccountRow
    devices: tuple[DeviceRow, ...]


class Edit:
    """A transaction of ``session``; nothing of it happens without ``commit``."""

    def __init__(self, session: Session, kind: SqlKind) -> None:
        self._session = session
        self._kind = kind
        self._current = 0
        self._revision: int | None = None

    async def lock(self) -> None:
        """Wait until no other writer is at work, and keep them waiting until the end."""
        rows = await self._session.rows(select(feed.c.revision).where(feed.c.id == 1).with_for_update())
        if not rows:
            raise Refused(Reason.DIRECTORY_UNAVAILABLE, "the table feed is empty; put a backup of it back")
        self._current = rows[0][0]

    async def commit(self) -> None:
        """Make all of it happen; readers that listen are told."""
        if self._revision is not None and self._kind is SqlKind.POSTGRESQL:
            await self._session.rows(select(func.pg_notify(CHANNEL, str(self._revision))))
        await self._session.commit()

    async def put_domain(self, name: str, row: DomainRow, *, exists: bool) -> None:
        """Insert or replace the row of a domain."""
        values = {"settings": row.settings, "fields": row.fields, "revision": await self._next()}
        if exists:
            await self._session.run(update(domains).where(domains.c.name == name).values(values))
            return
        await self._session.run(insert(domains), {"name": name, **values})
        await self._delete(tombstones, name, [WHOLE])

    async def put_accounts(
        self, domain: str, rows: Mapping[str, AccountRows], existing: Collection[str]
    ) -> None:
        """Insert or replace accounts by login, with their devices; ``existing`` have a row already."""
        if not rows:
            return
        revision = await self._next()
        values = {
            login: {**each.account._asdict(), "revision": revision, "domain": domain, "login": login}
            for login, each in rows.items()
        }
        new = [login for login in rows if login not in existing]
        old = [login for login in rows if login in existing]
        if new:
            await self._each(insert(sipusers), [values[login] for login in new])
            await self._delete(tombstones, domain, new)
        if old:
            changed = [{**values[login], "of_domain": domain, "of_login": login} for login in old]
            columns: dict[str, Any] = {name: bindparam(name) for name in (*AccountRow._fields, "revision")}
            await self._each(update(sipusers).where(_account_of).values(columns), changed)
            await self._delete(devices, domain, old)
        found = [
            {"domain": domain, "login": login, **device._asdict()}
            for login, each in rows.items()
            for device in each.devices
        ]
        await self._each(insert(devices), found)

    async def remove_accounts(self, domain: str, logins: Collection[str]) -> None:
        """Remove accounts that exist, with their devices and originals."""
        if not logins:
            return
        revision = await self._next()
        for table in (devices, originals, sipusers):
            await self._delete(table, domain, logins)
        graves = [{"domain": domain, "login": login, "revision": revision} for login in logins]
        await self._each(insert(tombstones), graves)

    async def remove_domain(self, name: str) -> None:
        """Remove a domain that exists and has no accounts any more."""
        revision = await self._next()
        await self._session.run(delete(originals).where(originals.c.domain == name))
        await self._session.run(delete(domains).where(domains.c.name == name))
        await self._session.run(insert(tombstones), {"domain": name, "login": WHOLE, "revision": revision})

    async def put_originals(self, domain: str, wanted: Mapping[str, Original | None]) -> None:
        """Keep these originals by login instead of those there are; None: none."""
        if not wanted:
            return
        await self._delete(originals, domain, wanted)
        kept = [
            {"domain": domain, "login": login, "file": each.file, "text": each.text}
            for login, each in wanted.items()
            if each is not None
        ]
        await self._each(insert(originals), kept)

    async def _each(self, statement: Executable, values: Sequence[Mapping[str, object]]) -> None:
        """Do ``statement`` for each of ``values``; the limit of time is for so many, not for all."""
        for begin in range(0, len(values), WRITTEN):
            await self._session.run(statement, values[begin : begin + WRITTEN])

    async def _delete(self, source: Table, domain: str, logins: Iterable[str]) -> None:
        rest = list(logins)
        while rest:
            some, rest = rest[:AT_ONCE], rest[AT_ONCE:]
            here = (source.c.domain == domain) & source.c.login.in_(some)
            await self._session.run(delete(source).where(here))

    async def _next(self) -> int:
        """The revision of this transaction."""
        if self._revision is None:
            self._revision = self._current + 1
            now = int(time.time())
            await self._session.run(update(feed).where(feed.c.id == 1).values(revision=self._revision))
            told = {"revision": self._revision, "token": secrets.token_hex(8), "at": now}
            await self._session.run(insert(revisions), told)
            if self._revision % PRUNE_EVERY == 0:
                await self._prune(now - KEEP_SECONDS)
        return self._revision

    async def _prune(self, horizon: int) -> None:
        """Forget what only somebody who was away since before ``horizon`` could ask for."""
        latest = select(func.max(revisions.c.revision)).where(revisions.c.at < horizon)
        oldest = (await self._session.rows(latest))[0][0]
        if oldest is not None:
            await self._session.run(delete(revisions).where(revisions.c.revision < oldest))
            await self._session.run(delete(tombstones).where(tombstones.c.revision <= oldest))
