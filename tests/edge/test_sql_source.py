"""The SQL directory as a source, on every kind of database: the contract of all back ends, and its feed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from directory_contract import DirectoryContract
from sql_backend import SqlBackend
from sqlalchemy import insert, text, update

from era_ap.directory import sql_edit, sql_pages
from era_ap.directory.documents import DomainDocuments
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.model import AccountKey
from era_ap.directory.source import PIECE, Change
from era_ap.directory.sql_connect import Use
from era_ap.directory.sql_database import Database
from era_ap.directory.sql_schema import VERSION_TABLE, domains, sipusers
from era_ap.directory.sql_source import SqlSource
from era_ap.directory.sql_writer import SqlWriter
from era_ap.errors import Reason, Refused, Severity
from tests.databases import PostgreSql, Server, Sqlite, emptied

KEY = AccountKey("a.example.com", "101")
MAC = "001565aabbcc"


@pytest.fixture
def backend(any_sql: Server | Sqlite) -> Iterator[SqlBackend]:
    backend = SqlBackend(any_sql.shared())
    yield backend
    backend.close()


class TestContract(DirectoryContract):
    pass


def keys_of(change: Change | None) -> set[str]:
    assert change is not None
    return {account.key.login for account in change.accounts}


def by_hand(backend: SqlBackend, *statements: Any) -> None:
    """What another program might do to the tables."""

    async def execute() -> None:
        database = Database(backend.settings, Use.WRITE)
        async with database.session() as session:
            for statement in statements:
                await session.run(statement)
            await session.commit()
        await database.close()

    backend.run(execute())


def fill(backend: SqlBackend, *logins: str, domain: str = KEY.domain) -> None:
    backend.run(
        backend.writer.put(DomainDocuments(domain, None, {login: {"name": login} for login in logins}))
    )


# --- what is handed over


def test_a_directory_without_a_domain_takes_nothing_away(backend: SqlBackend) -> None:
    with pytest.raises(Refused) as caught:
        backend.observe()
    assert caught.value.reason is Reason.DIRECTORY_UNAVAILABLE
    assert (
        caught.value.detail
        == f"{backend.source.name}: the database holds no domain; what was known stays in service"
    )
    fill(backend, "101")
    assert keys_of(backend.observe()) == {"101"}


def test_a_domain_comes_changes_and_goes_with_its_accounts(backend: SqlBackend) -> None:
    index = DirectoryIndex()
    fill(backend, "101", domain="other.example.com")
    backend.write_domain("a.example.com", {"settings": {"ap_constants": {"k": "1"}}})
    fill(backend, "101", "102")
    for constants, settings in ((None, {"k": "2"}), ({"k": "2"}, None)):
        change = backend.observe()
        assert change is not None
        index.apply(change)
        if settings is not None:
            backend.write_domain("a.example.com", {"settings": {"ap_constants": settings}})
        domain = index.domain("a.example.com")
        assert domain is not None
        assert constants is None or domain.constants == constants
    assert backend.run(backend.writer.remove_domain("a.example.com"))
    change = backend.observe()
    assert change is not None
    assert (change.removed_domains, {key.login for key in change.removed}) == (
        ("a.example.com",),
        {"101", "102"},
    )
    fill(backend, "102")
    change = backend.observe()
    assert [domain.name for domain in change.domains] == ["a.example.com"] if change else False


def test_a_whole_look_comes_by_domain_and_login_in_pieces(
    backend: SqlBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_pages, "PAGE", 7)
    expected = []
    for domain, count in (
        ("b.example.com", 20),
        ("a.example.com", 3),
        ("c.example.com", 7),
        ("d.example.com", 0),
    ):
        fill(backend, *(f"{number:03d}" for number in range(count)), domain=domain)
        expected += [AccountKey(domain, f"{number:03d}") for number in range(count)]
    fill(backend, *map(str, range(PIECE + 1)), domain="e.example.com")
    pieces: list[Change] = []
    backend.run(backend.source.look(pieces.append))
    assert backend.source.whole
    found = [account.key for piece in pieces for account in piece.accounts]
    assert found[: len(expected)] == sorted(expected)
    assert len(found) == len(expected) + PIECE + 1
    assert len({domain.name for piece in pieces for domain in piece.domains}) == 5
    assert max(len(piece.accounts) for piece in pieces) <= PIECE


def test_many_changes_come_in_pages(backend: SqlBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(backend, "x")
    backend.observe()
    monkeypatch.setattr(sql_pages, "PAGE", 3)
    for domain in ("b.example.com", "a.example.com"):
        fill(backend, *(f"{number:03d}" for number in range(10)), domain=domain)
    backend.remove_account(AccountKey("b.example.com", "005"))
    change = backend.observe()
    assert change is not None
    assert not backend.source.whole
    assert len({account.key for account in change.accounts}) == len(change.accounts) == 19
    assert change.removed == (AccountKey("b.example.com", "005"),)


def test_a_look_at_some_domains_leaves_the_rest_for_later(backend: SqlBackend) -> None:
    fill(backend, "1")
    backend.observe()
    cursor = backend.source.cursor
    fill(backend, "1", "2")
    fill(backend, "7", domain="b.example.com")
    assert keys_of(backend.run(backend.look(domains={"a.example.com"}))) == {"2"}
    assert (backend.source.cursor, backend.source.whole) == (cursor, False)
    assert keys_of(backend.observe()) == {"2", "7"}
    assert backend.observe() is None


def test_a_first_look_takes_no_notice_of_domains(backend: SqlBackend) -> None:
    fill(backend, "1")
    fill(backend, "7", domain="b.example.com")
    assert keys_of(backend.run(backend.look(domains={"b.example.com"}))) == {"1", "7"}
    assert backend.source.whole


# --- going on


def test_a_restart_goes_on_where_it_was(backend: SqlBackend) -> None:
    fill(backend, "1", "2", "3")
    backend.observe()
    cursor = backend.source.cursor
    fill(backend, "4")
    backend.remove_account(KEY._replace(login="2"))
    backend.restarted(cursor)
    change = backend.observe()
    assert not backend.source.whole
    assert keys_of(change) == {"4"}
    assert change is not None
    assert change.removed == (KEY._replace(login="2"),)
    assert backend.observe() is None


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "[1]", "null", '["x", "y", []]', '[99999, "0", []]', "{}"]
)
def test_a_cursor_that_says_nothing_makes_a_whole_look(backend: SqlBackend, cursor: str) -> None:
    fill(backend, "1")
    backend.restarted(cursor)
    assert keys_of(backend.observe()) == {"1"}
    assert backend.source.whole


def test_another_history_is_read_anew(backend: SqlBackend) -> None:
    """A backup that was put back, or a standby that lagged: the same numbers, other content."""
    for login in ("1", "2", "3"):
        fill(backend, login)
    backend.observe()
    backend.run(emptied(backend.settings))
    for login in ("5", "6", "7", "8", "9"):
        fill(backend, login)
    assert keys_of(backend.observe()) == {"5", "6", "7", "8", "9"}
    assert backend.source.whole
    assert backend.observe() is None


def test_a_history_that_went_back_is_read_anew(backend: SqlBackend) -> None:
    for login in ("1", "2", "3"):
        fill(backend, login)
    backend.observe()
    backend.run(emptied(backend.settings))
    fill(backend, "1")
    backend.observe()
    assert backend.source.whole


def test_what_was_away_too_long_reads_all_anew(backend: SqlBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(backend, "1", "2")
    backend.observe()
    cursor = backend.source.cursor
    backend.remove_account(KEY._replace(login="2"))
    fill(backend, "3")
    late = backend.restarted(None)
    backend.observe()
    fresh = late.cursor
    now = sql_edit.time.time
    monkeypatch.setattr(sql_edit.time, "time", lambda: now() + sql_edit.KEEP_SECONDS + 10)
    for number in range(sql_edit.PRUNE_EVERY + 1):
        fill(backend, "3", f"x{number}")
    backend.restarted(cursor)
    backend.observe()
    assert backend.source.whole
    backend.restarted(fresh)
    backend.observe()
    assert not backend.source.whole, "nothing happened for long, but this one had seen all of it"


# --- findings


def test_a_row_that_cannot_be_read_leaves_the_last_good_version(backend: SqlBackend) -> None:
    index = DirectoryIndex()
    fill(backend, "101", "102")
    change = backend.observe()
    assert change is not None
    index.apply(change)
    here = (sipusers.c.domain == KEY.domain) & (sipusers.c.login == KEY.login)
    by_hand(
        backend,
        text("UPDATE feed SET revision = revision + 1"),
        text("INSERT INTO revisions SELECT revision, 'hand', 0 FROM feed"),
        update(sipusers)
        .where(here)
        .values(fields='["no object"]', revision=text("(SELECT revision FROM feed)")),
    )
    change = backend.observe()
    assert change is not None
    index.apply(change)
    (problem,) = index.problems
    assert (problem.where, problem.reason) == (backend.source.name, Reason.ACCOUNT_INVALID)
    assert "101@a.example.com: a column is not a JSON object" in problem.detail
    account = index.account(KEY)
    assert account is not None
    assert account.fields["name"] == "101"

    backend.restarted(backend.source.cursor)
    change = backend.observe()
    assert not backend.source.whole
    assert change is None or change.problems == (problem,)
    assert change is not None, "a restart tells again what is still wrong"

    backend.write_account(KEY, {"name": "good"})
    change = backend.observe()
    assert change is not None
    assert change.problems == ()


def test_rows_of_another_program_need_only_their_content(backend: SqlBackend) -> None:
    by_hand(
        backend,
        insert(domains).values(name="a.example.com", settings='{"ap_constants": {"k": 1}}', revision=1),
        insert(sipusers).values(
            domain="a.example.com", login="101", password="s", opts='{"ap_mac_address": "00:15:65:AA:BB:CC"}',
            fields='{"reg": true, "n": 1.50, "x": null}', revision=1,
        ),
    )  # fmt: skip
    index = DirectoryIndex()
    change = backend.observe()
    assert change is not None
    index.apply(change)
    assert index.owners(MAC) == (KEY,)
    account = index.account(KEY)
    assert account is not None
    assert (account.fields["n"], account.fields["x"], account.fields["password"]) == ("1.50", None, "s")
    assert account.registers
    domain = index.domain("a.example.com")
    assert domain is not None
    assert domain.constants == {"k": "1"}


def test_the_transaction_that_is_advised_to_other_programs_is_seen(postgresql: PostgreSql) -> None:
    guide = (Path(__file__).parents[2] / "deploy" / "sql" / "directory.rst").read_text("utf-8")
    statements = guide[guide.index("    BEGIN;") : guide.index("COMMIT;")] + "COMMIT;"
    backend = SqlBackend(postgresql.shared())
    fill(backend, "101", "102")
    backend.observe()
    for login in ("101", "102"):
        words = statements.replace("'101'", f"'{login}'")
        postgresql.administer(words, database=backend.settings.address.database)
        change = backend.observe()
        assert not backend.source.whole
        assert keys_of(change) == {login}
    fill(backend, "103")
    assert keys_of(backend.observe()) == {"103"}
    backend.close()


# --- versions of the tables


@pytest.mark.parametrize(
    ("version", "words"),
    [("0000", "has tables of an older version; run 'era-ap directory upgrade'"), (None, "has no tables")],
)
def test_old_tables_are_refused(backend: SqlBackend, version: str | None, words: str) -> None:
    fill(backend, "1")
    kept = (
        f"UPDATE {VERSION_TABLE} SET version_num = '{version}'" if version else f"DELETE FROM {VERSION_TABLE}"
    )
    by_hand(backend, text(kept))
    try:
        with pytest.raises(Refused) as caught:
            backend.observe()
        assert words in caught.value.detail
        with pytest.raises(Refused):
            fill(backend, "2")
    finally:
        by_hand(
            backend,
            text(f"DELETE FROM {VERSION_TABLE}"),
            text(f"INSERT INTO {VERSION_TABLE} VALUES ('0001')"),
        )
    assert keys_of(backend.observe()) == {"1"}


def test_newer_tables_are_read_and_told_but_not_written(backend: SqlBackend) -> None:
    fill(backend, "1")
    by_hand(backend, text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    try:
        change = backend.observe()
        assert keys_of(change) == {"1"}
        assert change is not None
        (problem,) = change.problems
        assert (problem.severity, "update era_ap" in problem.detail) == (Severity.WARNING, True)
        with pytest.raises(Refused):
            fill(backend, "2")
    finally:
        by_hand(backend, text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))


def test_a_database_without_tables_says_what_to_do(any_sql: Server | Sqlite) -> None:
    backend = SqlBackend(any_sql.database(schema=False))
    with pytest.raises(Refused) as caught:
        backend.observe()
    assert "run 'era-ap directory upgrade'" in caught.value.detail
    backend.close()


# --- several writers at once


def test_no_change_of_concurrent_writers_is_missed(backend: SqlBackend) -> None:
    """What several writers commit meanwhile a reader that looks all the time has in the end, removals too."""
    seed = 11
    logins = [str(number) for number in range(12)]

    async def write(number: int, done: list[int]) -> None:
        rng = random.Random(seed + number)
        writer = SqlWriter(backend.settings)
        for turn in range(15):
            key = AccountKey(f"{rng.choice('abc')}.example.com", rng.choice(logins))
            if rng.random() < 0.3:
                await writer.remove_account(key)
            else:
                await writer.write_account(key, {"name": f"{number}.{turn}"})
        done.append(number)
        await writer.close()

    async def everything() -> tuple[DirectoryIndex, DirectoryIndex]:
        followed, done = DirectoryIndex(), list[int]()
        await backend.writer.write_domain("a.example.com", {})
        writers = [asyncio.ensure_future(write(number, done)) for number in range(4)]
        while len(done) < len(writers):
            await backend.source.look(followed.apply)
            await asyncio.sleep(0)
            for task in writers:
                if task.done():
                    task.result()
        await backend.source.look(followed.apply)
        anew, source = DirectoryIndex(), SqlSource(backend.settings)
        await source.look(anew.apply)
        await source.close()
        return followed, anew

    followed, anew = backend.run(everything())
    for domain in "abc":
        for login in logins:
            key = AccountKey(f"{domain}.example.com", login)
            one, other = followed.account(key), anew.account(key)
            assert (one and one.fields) == (other and other.fields), key
    assert len(followed) == len(anew)


def test_a_writer_waits_for_the_one_before_it(backend: SqlBackend) -> None:
    """Else a revision could become visible after a higher one, and a reader would never ask for it again."""

    async def everything() -> list[set[str]]:
        database = Database(backend.settings, Use.WRITE)
        seen: list[set[str]] = []

        async def look() -> None:
            change = await backend.look()
            seen.append({account.key.login for account in change.accounts} if change else set())

        await backend.writer.write_domain(KEY.domain, {})
        await look()
        async with database.session() as session:
            edit = sql_edit.Edit(session, database.kind)
            await edit.lock()
            row = sql_edit.AccountRows(*sql_edit_row("first"))
            await edit.put_accounts(KEY.domain, {"first": row}, ())
            second = asyncio.ensure_future(backend.writer.write_account(KEY._replace(login="second"), {}))
            await asyncio.wait({second}, timeout=0.3)
            assert not second.done()
            await look()
            await edit.commit()
        await second
        await look()
        await database.close()
        return seen

    assert backend.run(everything()) == [set(), set(), {"first", "second"}]


def sql_edit_row(login: str) -> Any:
    from era_ap.directory.sql_rows import account_row

    return account_row(KEY._replace(login=login), {})


# --- being told


def test_postgresql_tells_at_once(postgresql: PostgreSql) -> None:
    backend = SqlBackend(postgresql.shared())

    async def everything() -> None:
        woken = asyncio.Event()
        backend.source.on_news(woken.set)
        await backend.writer.write_domain(KEY.domain, {})
        await backend.look()
        await asyncio.wait_for(woken.wait(), 10)  # it listens now
        for _ in range(3):
            await backend.look()
            woken.clear()
            await backend.writer.write_account(KEY, {"name": str(_)})
            await asyncio.wait_for(woken.wait(), 10)
            assert keys_of(await backend.look()) == {KEY.login}

    backend.run(everything())
    backend.close()


def test_a_lost_listener_comes_back(postgresql: PostgreSql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("era_ap.directory.sql_listen.RETRY_SECONDS", 0.0)
    backend = SqlBackend(postgresql.shared())

    async def everything() -> None:
        woken = asyncio.Event()
        backend.source.on_news(woken.set)
        await backend.writer.write_domain(KEY.domain, {})
        await backend.look()
        await asyncio.wait_for(woken.wait(), 10)
        for _ in range(3):
            postgresql.administer(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            )
            woken.clear()
            while not woken.is_set():
                await backend.look()
                await asyncio.sleep(0.01)
        woken.clear()
        await backend.writer.write_account(KEY, {"name": "x"})
        await asyncio.wait_for(woken.wait(), 10)

    backend.run(everything())
    backend.close()
