"""Editing a directory in a SQL database: the ``Writer`` of ``documents``.

Owns the comparison of what is wanted with what is there, and the check of expected revisions. Only what
differs is written. Does not own the steps of a transaction (``sql_edit``) nor columns (``sql_rows``).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select

from era_ap.directory.documents import (
    Difference,
    Document,
    DomainDocuments,
    Original,
    Stored,
    check_since,
)
from era_ap.directory.model import AccountKey
from era_ap.directory.notation import parse_domain, parse_login
from era_ap.directory.sql_connect import Use
from era_ap.directory.sql_database import Database, Session
from era_ap.directory.sql_edit import WHOLE, AccountRows, Edit
from era_ap.directory.sql_failures import RepeatableError
from era_ap.directory.sql_rows import (
    AccountRow,
    DomainRow,
    account_document,
    account_row,
    domain_document,
    domain_row,
    storable,
)
from era_ap.directory.sql_schema import domains, originals, sipusers
from era_ap.directory.sql_state import require_current
from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from era_ap.config.directory import SqlDatabase

ATTEMPTS = 3
NO_DOCUMENT = DomainRow(None, None)

Result = TypeVar("Result")
Row = TypeVar("Row", AccountRow, DomainRow)
Read = TypeVar("Read")


class SqlWriter:
    """The database of ``settings``, to be edited; see ``documents.Writer`` for what each method does."""

    def __init__(self, settings: SqlDatabase) -> None:
        self._edits = Database(settings, Use.WRITE)
        self._reads = Database(settings, Use.READ)

    async def write_account(self, key: AccountKey, document: Document, *, expected: str | None = None) -> str:
        rows = AccountRows(*account_row(key, document))

        async def work(session: Session, edit: Edit) -> str:
            known = (await _accounts(session, key.domain, key.login)).get(key.login)
            _check(str(key), expected, known)
            if known != rows.account:
                await _ensure_domain(session, edit, key.domain)
                await edit.put_accounts(key.domain, {key.login: rows}, () if known is None else (key.login,))
                await edit.put_originals(key.domain, {key.login: None})
            return rows.account.revision

        return await self._edit(work)

    async def write_domain(self, name: str, document: Document, *, expected: str | None = None) -> str:
        row = domain_row(name, document)

        async def work(session: Session, edit: Edit) -> str:
            known = await _domain(session, name)
            _check(name, expected, known)
            if known != row:
                await edit.put_domain(name, row, exists=known is not None)
                await edit.put_originals(name, {WHOLE: None})
            return row.revision

        return await self._edit(work)

    async def remove_account(self, key: AccountKey, *, expected: str | None = None) -> bool:
        if parse_domain(key.domain) != key.domain or parse_login(key.login) is None:
            raise Refused(Reason.ACCOUNT_INVALID, f"{key.login!r} of {key.domain!r} cannot be an account")

        async def work(session: Session, edit: Edit) -> bool:
            known = (await _accounts(session, key.domain, key.login)).get(key.login)
            _check(str(key), expected, known)
            await edit.remove_accounts(key.domain, () if known is None else (key.login,))
            return known is not None

        return await self._edit(work)

    async def remove_domain(self, name: str, *, expected: str | None = None) -> bool:
        if parse_domain(name) != name:
            raise Refused(Reason.DOMAIN_INVALID, f"{name!r} is not a domain name in lower case")

        async def work(session: Session, edit: Edit) -> bool:
            known = await _domain(session, name)
            _check(name, expected, known)
            if known is not None:
                await edit.remove_accounts(name, tuple(await _accounts(session, name)))
                await edit.remove_domain(name)
            return known is not None

        return await self._edit(work)

    async def put(
        self,
        wanted: DomainDocuments,
        *,
        remove_others: bool = False,
        dry_run: bool = False,
        since: DomainDocuments | None = None,
    ) -> Difference:
        rows, row = await asyncio.to_thread(_rows_of, wanted)

        async def work(session: Session, edit: Edit | None) -> Difference:
            known = await _domain(session, wanted.name)
            there = await _accounts(session, wanted.name)
            if since is not None:
                check_since(
                    wanted, since, lambda login: _document(there.get(login), f"{login}@{wanted.name}")
                )
            target = row
            if target is None:
                target = known if known is not None and not remove_others else NO_DOCUMENT
            difference = _difference(rows, there, remove_others=remove_others, domain=known != target)
            if edit is None:
                return difference
            if known != target:
                await edit.put_domain(wanted.name, target, exists=known is not None)
            await edit.remove_accounts(wanted.name, difference.removed)
            changed = {login: rows[login] for login in (*difference.added, *difference.changed)}
            await edit.put_accounts(wanted.name, changed, there)
            kept = await _originals(session, wanted.name)
            dropped = row is not None or known != target
            await edit.put_originals(wanted.name, _other_originals(wanted, kept, domain=dropped))
            return difference

        if dry_run:
            async with self._reads.session() as session:
                await require_current(session)
                return await work(session, None)
        return await self._edit(work)

    async def domains(self) -> tuple[str, ...]:
        async with self._reads.session() as session:
            await require_current(session)
            return tuple(sorted(name for (name,) in await session.rows(select(domains.c.name), mass=True)))

    async def documents(self, name: str) -> DomainDocuments | None:
        async with self._reads.session() as session:
            await require_current(session)
            row = await _domain(session, name)
            if row is None:
                return None
            accounts, kept = await _accounts(session, name), await _originals(session, name)
        return await asyncio.to_thread(_documents_of, name, row, accounts, kept)

    async def account(self, key: AccountKey) -> Stored | None:
        async with self._reads.session() as session:
            await require_current(session)
            row = (await _accounts(session, key.domain, key.login)).get(key.login)
        return None if row is None else Stored(_readable(account_document, row, str(key)), row.revision)

    async def domain(self, name: str) -> Stored | None:
        async with self._reads.session() as session:
            await require_current(session)
            row = await _domain(session, name)
        document = None if row is None else _readable(domain_document, row, name)
        return None if row is None else Stored(document or {}, row.revision)

    async def close(self) -> None:
        await asyncio.gather(self._edits.close(), self._reads.close())

    async def _edit(self, work: Callable[[Session, Edit], Awaitable[Result]]) -> Result:
        """Do ``work`` in a transaction, again where nothing of it could happen."""
        for attempt in range(ATTEMPTS):
            try:
                async with self._edits.session() as session:
                    await require_current(session)
                    edit = Edit(session, self._edits.kind)
                    await edit.lock()
                    result = await work(session, edit)
                    await edit.commit()
                    return result
            except RepeatableError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError


async def _domain(session: Session, name: str) -> DomainRow | None:
    query = select(domains.c.settings, domains.c.fields).where(domains.c.name == name)
    rows = await session.rows(query)
    return DomainRow(rows[0][0], rows[0][1]) if rows else None


async def _accounts(session: Session, domain: str, login: str | None = None) -> dict[str, AccountRow]:
    columns = (sipusers.c.login, sipusers.c.password, sipusers.c.opts, sipusers.c.ext, sipusers.c.fields)
    query = select(*columns).where(sipusers.c.domain == domain)
    if login is not None:
        query = query.where(sipusers.c.login == login)
    return {each[0]: AccountRow._make(each[1:]) for each in await session.rows(query, mass=True)}


async def _originals(session: Session, domain: str) -> dict[str, Original]:
    query = select(originals.c.login, originals.c.file, originals.c.text).where(originals.c.domain == domain)
    return {each[0]: Original(each[1], each[2]) for each in await session.rows(query, mass=True)}


async def _ensure_domain(session: Session, edit: Edit, name: str) -> None:
    if await _domain(session, name) is None:
        await edit.put_domain(name, NO_DOCUMENT, exists=False)


def _check(subject: str, expected: str | None, known: AccountRow | DomainRow | None) -> None:
    if expected is not None and expected != ("" if known is None else known.revision):
        raise Refused(Reason.DIRECTORY_CONFLICT, f"{subject} is not what the edit began with")


def _rows_of(wanted: DomainDocuments) -> tuple[dict[str, AccountRows], DomainRow | None]:
    """All rows of ``wanted``; raises ``Refused`` for the first document that would not read back."""
    if parse_domain(wanted.name) != wanted.name:
        raise Refused(Reason.DOMAIN_INVALID, f"{wanted.name!r} is not a domain name in lower case")
    rows = {
        login: AccountRows(*account_row(AccountKey(wanted.name, login), document))
        for login, document in wanted.accounts.items()
    }
    return rows, None if wanted.document is None else domain_row(wanted.name, wanted.document)


def _difference(
    rows: Mapping[str, AccountRows], there: Mapping[str, AccountRow], *, remove_others: bool, domain: bool
) -> Difference:
    added = tuple(sorted(login for login in rows if login not in there))
    changed = sorted(login for login in rows if login in there and rows[login].account != there[login])
    removed = sorted(login for login in there if login not in rows) if remove_others else []
    same = len(rows) - len(added) - len(changed)
    return Difference(added, tuple(changed), tuple(removed), same, domain)


def _other_originals(
    wanted: DomainDocuments, kept: Mapping[str, Original], *, domain: bool
) -> dict[str, Original | None]:
    """What must be put so that each document of ``wanted`` has its original, or none."""
    found: dict[str, Original | None] = {}
    for login in (*wanted.accounts, *((WHOLE,) if domain else ())):
        original = wanted.originals.get(login)
        if original is not None and not (storable(original.file) and storable(original.text)):
            original = None
        if original != kept.get(login):
            found[login] = original
    return found


def _documents_of(
    name: str, row: DomainRow, accounts: Mapping[str, AccountRow], kept: Mapping[str, Original]
) -> DomainDocuments:
    return DomainDocuments(
        name,
        _readable(domain_document, row, name),
        {
            login: _readable(account_document, accounts[login], f"{login}@{name}")
            for login in sorted(accounts)
        },
        kept,
    )


def _document(row: AccountRow | None, subject: str) -> dict[str, object] | None:
    return None if row is None else _readable(account_document, row, subject)


def _readable(read: Callable[[Row], Read], row: Row, subject: str) -> Read:
    try:
        return read(row)
    except ValueError:
        detail = f"{subject}: a column that another program wrote is not a JSON object"
        reason = Reason.ACCOUNT_INVALID if read is account_document else Reason.DOMAIN_INVALID
        raise Refused(reason, detail) from None
