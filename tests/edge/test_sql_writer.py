"""Editing the SQL directory, on every kind of database: transactions, expected revisions, hostile values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sql_backend import SqlBackend
from sqlalchemy import func, select

from era_ap.directory import sql_edit
from era_ap.directory.documents import Difference, DomainDocuments, Original, Stored
from era_ap.directory.model import AccountKey
from era_ap.directory.sql_connect import Use
from era_ap.directory.sql_database import Database
from era_ap.directory.sql_schema import devices, feed, metadata, originals, sipusers, tombstones
from era_ap.directory.sql_writer import SqlWriter
from era_ap.errors import Reason, Refused
from tests.databases import MariaDb, Server, Sqlite

DOMAIN = "a.example.com"
KEY = AccountKey(DOMAIN, "101")
SETTINGS = {"settings": {"ap_constants": {"ntp": "n1"}}}
HOSTILE = [
    "'; DROP TABLE sipusers; --",
    '"; DROP TABLE sipusers; --',
    "' OR '1'='1",
    "\\'; DELETE FROM domains; -- ",
    "\\",
    "\\\\'",
    "' || (SELECT password FROM sipusers) || '",
    "%s %(x)s {0} :name $1 ?",
    "%27%20OR%201=1",
    "/* */ ; SELECT 1 #",
    "\u02bc OR 1=1 \uff07; --",
    "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439 \U0001f600",
    "\u202eright to left",
    "a\x01b\x1fc",
    "e\u0301 \u00e9",
    "0x27 CHAR(39) \x7f",
    "null",
    "line\nand\ttab\r\n",
    "nul \x00 nul",
    "\xbf\x27 OR 1=1 --",
]


@pytest.fixture
def backend(any_sql: Server | Sqlite) -> Iterator[SqlBackend]:
    backend = SqlBackend(any_sql.shared())
    yield backend
    backend.close()


def rows_of(backend: SqlBackend, query: Any) -> list[tuple[Any, ...]]:
    async def ask() -> list[tuple[Any, ...]]:
        database = Database(backend.settings, Use.WRITE)
        async with database.session() as session:
            found = [tuple(row) for row in await session.rows(query)]
        await database.close()
        return found

    return backend.run(ask())


def count(backend: SqlBackend, table: Any) -> int:
    return int(rows_of(backend, select(func.count()).select_from(table))[0][0])


def revision(backend: SqlBackend) -> int:
    return int(rows_of(backend, select(feed.c.revision))[0][0])


def phone(mac: str, **more: object) -> dict[str, object]:
    return {"opts": {"ap_devices": [{"mac": mac, "device_model": "T46S", **more}]}}


def put(backend: SqlBackend, documents: DomainDocuments, **how: Any) -> Difference:
    return backend.run(backend.writer.put(documents, **how))


def documents(backend: SqlBackend, name: str = DOMAIN) -> DomainDocuments | None:
    return backend.run(backend.writer.documents(name))


# --- documents come back as they were


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"password": "s", "login": "101", "name": "x"},
        {"name": "x", "opts": {"b": "1", "a": "2"}, "reg": "no", "password": "s", "ext": {}},
        {"password": None, "opts": None, "ext": None, "list": [], "object": {}},
        {"password": ["not", "text"], "opts": {"ap_devices": []}},
        {"zero": "000", "mac": "001122334455", "deep": {"a": [{"b": [None, "x"]}]}},
    ],
)
def test_a_document_comes_back_with_its_keys_in_order(
    backend: SqlBackend, document: dict[str, object]
) -> None:
    revision = backend.write_account(KEY, document)
    stored = backend.run(backend.writer.account(KEY))
    assert stored == Stored(document, revision)
    assert list(stored.document) == list(document)
    found = documents(backend)
    assert found is not None
    assert found.accounts == {"101": document}


@pytest.mark.parametrize("document", [{}, SETTINGS, {"settings": None}, {"note": "x", **SETTINGS}])
def test_a_domain_comes_back(backend: SqlBackend, document: dict[str, object]) -> None:
    revision = backend.write_domain(DOMAIN, document)
    assert backend.run(backend.writer.domain(DOMAIN)) == Stored(document, revision)
    assert documents(backend) == DomainDocuments(DOMAIN, document)


def test_a_domain_that_only_has_accounts_has_no_document(backend: SqlBackend) -> None:
    backend.write_account(KEY, {})
    assert documents(backend) == DomainDocuments(DOMAIN, None, {"101": {}})
    found = backend.run(backend.writer.domain(DOMAIN))
    assert found is not None
    assert found.document == {}
    assert backend.run(backend.writer.domains()) == (DOMAIN,)


def test_what_is_not_there_is_none(backend: SqlBackend) -> None:
    assert documents(backend) is None
    assert backend.run(backend.writer.account(KEY)) is None
    assert backend.run(backend.writer.domain(DOMAIN)) is None
    assert backend.run(backend.writer.domains()) == ()
    assert not backend.run(backend.writer.remove_domain(DOMAIN))


def test_typed_values_become_text(backend: SqlBackend) -> None:
    backend.write_account(KEY, {"reg": False, "n": 7, "opts": {"x": [True, 1.5]}})
    stored = backend.run(backend.writer.account(KEY))
    assert stored is not None
    assert stored.document == {"reg": "false", "n": "7", "opts": {"x": ["true", "1.5"]}}


@pytest.mark.parametrize(
    "logins", [("Anna", "anna", "ANNA"), ("a", "á", "a\u0301"), ("1", "01", "001"), ("ß", "ss")]
)
def test_logins_are_compared_character_by_character(backend: SqlBackend, logins: tuple[str, ...]) -> None:
    for login in logins:
        backend.write_account(KEY._replace(login=login), {"name": login})
    found = documents(backend)
    assert found is not None
    assert found.accounts == {login: {"name": login} for login in logins}
    assert backend.remove_account(KEY._replace(login=logins[0]))
    found = documents(backend)
    assert found is not None
    assert sorted(found.accounts) == sorted(logins[1:])


def test_half_a_surrogate_pair_is_refused(backend: SqlBackend) -> None:
    with pytest.raises(Refused) as caught:
        backend.write_account(KEY, {"name": "\ud800"})
    assert caught.value.reason is Reason.ACCOUNT_INVALID
    with pytest.raises(Refused):
        backend.write_domain(DOMAIN, {"settings": {"x": "\udfff"}})


# --- hostile values


def hostile_document(value: str) -> dict[str, object]:
    return {
        "password": value,
        "name": value,
        value: value,
        "opts": {"ap_devices": [{"mac": "001565000001", "device_model": value, value: value}]},
        "ext": {value: [value]},
    }


def check_hostile_values(backend: SqlBackend) -> None:
    """Write each value alone and all in one transaction; they come back, and nothing else happens."""
    accounts = {str(number): hostile_document(value) for number, value in enumerate(HOSTILE)}
    for login, document in list(accounts.items())[::2]:
        backend.write_account(KEY._replace(login=login), document)
    kept = {
        login: Original(f"{DOMAIN}/{HOSTILE[int(login)]}", f"# {HOSTILE[int(login)]}") for login in accounts
    }
    settings = {"settings": {value: value for value in HOSTILE}}
    put(backend, DomainDocuments(DOMAIN, settings, accounts, kept))
    found = documents(backend)
    storable = {login: each for login, each in kept.items() if "\0" not in each.text}
    assert found == DomainDocuments(DOMAIN, settings, accounts, storable)
    models = rows_of(backend, select(devices.c.login, devices.c.model))
    assert dict(models) == {login: HOSTILE[int(login)].replace("\0", "").strip() for login in accounts}
    change = backend.observe()
    assert change is not None
    passwords = {account.key.login: account.fields["password"] for account in change.accounts}
    assert passwords == {str(number): value for number, value in enumerate(HOSTILE)}


def test_a_hostile_value_is_only_a_value(backend: SqlBackend) -> None:
    check_hostile_values(backend)


@pytest.mark.parametrize("mode", ["NO_BACKSLASH_ESCAPES,ANSI_QUOTES", "ORACLE", ""])
def test_a_hostile_value_is_only_a_value_in_every_mode_of_mariadb(mariadb: MariaDb, mode: str) -> None:
    usual = mariadb.administer("SELECT @@GLOBAL.sql_mode").strip()
    mariadb.administer(f"SET GLOBAL sql_mode = '{mode}'")
    try:
        backend = SqlBackend(mariadb.shared())
        check_hostile_values(backend)
        backend.close()
    finally:
        mariadb.administer(f"SET GLOBAL sql_mode = '{usual}'")


def test_a_hostile_login_is_only_a_login(backend: SqlBackend) -> None:
    logins = [each for each in HOSTILE if each == each.strip() and each.isprintable()]
    assert len(logins) > 10
    for login in ("witness", *logins):
        backend.write_account(KEY._replace(login=login), {"name": "x"})
    put(backend, DomainDocuments(DOMAIN, None, {login: phone("001565000001") for login in logins}))
    change = backend.observe()
    assert change is not None
    assert {account.key.login for account in change.accounts} == {"witness", *logins}
    for number, login in enumerate(logins, 1):
        assert backend.run(backend.writer.account(KEY._replace(login=login))) is not None
        assert backend.remove_account(KEY._replace(login=login))
        assert count(backend, sipusers) == 1 + len(logins) - number
    change = backend.observe()
    assert change is not None
    assert {key.login for key in change.removed} == set(logins)


@pytest.mark.parametrize("name", ["'; DROP TABLE domains; --", "a' OR '1'='1", "a\\", "a b", "a%00b"])
def test_a_hostile_domain_is_refused_or_not_there(backend: SqlBackend, name: str) -> None:
    backend.write_account(KEY, {})
    with pytest.raises(Refused):
        backend.write_domain(name, {})
    with pytest.raises(Refused):
        backend.run(backend.writer.remove_domain(name))
    assert documents(backend, name) is None
    assert backend.run(backend.writer.account(AccountKey(name, "1"))) is None
    assert backend.run(backend.look(domains={name})) is not None
    assert backend.run(backend.writer.domains()) == (DOMAIN,)


def test_all_tables_are_still_there(backend: SqlBackend) -> None:
    for table in metadata.sorted_tables:
        assert count(backend, table) >= 0


# --- only what differs


def test_putting_the_same_again_writes_nothing(backend: SqlBackend) -> None:
    wanted = DomainDocuments(DOMAIN, SETTINGS, {"101": phone("001565000001"), "102": {"name": "x"}})
    assert put(backend, wanted) == Difference(("101", "102"), (), (), 0, True)
    before = revision(backend)
    assert put(backend, wanted) == Difference(unchanged=2)
    assert backend.write_account(KEY, phone("001565000001"))
    assert backend.write_domain(DOMAIN, SETTINGS)
    assert revision(backend) == before


def test_put_tells_and_does_the_difference(backend: SqlBackend) -> None:
    put(backend, DomainDocuments(DOMAIN, SETTINGS, {"1": {}, "2": {"name": "old"}, "3": {}}))
    wanted = DomainDocuments(DOMAIN, None, {"1": {}, "2": {"name": "new"}, "4": {}})
    expected = Difference(("4",), ("2",), (), 1, False)
    assert put(backend, wanted, dry_run=True) == expected
    found = documents(backend)
    assert found is not None
    assert set(found.accounts) == {"1", "2", "3"}
    assert put(backend, wanted) == expected
    found = documents(backend)
    assert found is not None
    assert found.accounts == {"1": {}, "2": {"name": "new"}, "3": {}, "4": {}}
    assert found.document == SETTINGS
    assert put(backend, wanted, remove_others=True) == Difference((), (), ("3",), 3, True)
    assert documents(backend) == wanted


def test_put_takes_nothing_for_granted_that_changed_since(backend: SqlBackend) -> None:
    put(backend, DomainDocuments(DOMAIN, None, {"1": {"n": "old"}, "2": {"n": "old"}}))
    since = documents(backend)
    assert since is not None
    backend.write_account(KEY._replace(login="2"), {"n": "other"})
    put(backend, DomainDocuments(DOMAIN, None, {"1": {"n": "new"}, "3": {}}), since=since)
    for login in ("1", "2", "3"):
        with pytest.raises(Refused, match=f"{login}@{DOMAIN} has changed meanwhile"):
            put(backend, DomainDocuments(DOMAIN, None, {login: {"n": "mine"}}), since=since)


def test_a_large_domain_is_written_in_steps(backend: SqlBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_edit, "WRITTEN", 3)
    macs = [f"0015650000{number:02}" for number in range(10)]
    for name in ("first", "second"):
        wanted = {mac: {"name": name, **phone(mac)} for mac in macs}
        put(backend, DomainDocuments(DOMAIN, None, wanted))
        assert documents(backend) == DomainDocuments(DOMAIN, None, wanted)
        assert count(backend, devices) == 10
    put(backend, DomainDocuments(DOMAIN, None, {}), remove_others=True)
    assert (count(backend, devices), count(backend, tombstones)) == (0, 10)


def test_a_whole_transaction_or_nothing(backend: SqlBackend) -> None:
    put(backend, DomainDocuments(DOMAIN, None, {"1": {"name": "old"}}))
    before = revision(backend)
    with pytest.raises(Refused) as caught:
        put(backend, DomainDocuments(DOMAIN, None, {"1": {"name": "new"}, "2": {"opts": "no object"}}))
    assert (caught.value.reason, "2@a.example.com" in caught.value.detail) == (Reason.ACCOUNT_INVALID, True)
    with pytest.raises(Refused):
        put(backend, DomainDocuments("No Domain", None, {}))
    assert revision(backend) == before
    assert documents(backend) == DomainDocuments(DOMAIN, None, {"1": {"name": "old"}})


def test_devices_and_tombstones_are_in_step(backend: SqlBackend) -> None:
    query = select(devices.c.login, devices.c.mac, devices.c.line, devices.c.model).order_by(devices.c.mac)
    backend.write_account(KEY, phone("00:15:65:00:00:02", line="2"))
    assert rows_of(backend, query) == [("101", "001565000002", 2, "T46S")]
    two = {
        "opts": {"ap_devices": [{"mac": "001565000002"}, {"mac": "0015-6500-0001"}], "ap_device_model": "X"}
    }
    backend.write_account(KEY, two)
    assert rows_of(backend, query) == [("101", "001565000001", 1, "X"), ("101", "001565000002", 1, "X")]
    assert backend.remove_account(KEY)
    assert (rows_of(backend, query), count(backend, tombstones)) == ([], 1)
    backend.write_account(KEY, {})
    assert count(backend, tombstones) == 0
    put(backend, DomainDocuments(DOMAIN, None, {"1": phone("001565000001"), "2": phone("001565000002")}))
    assert backend.run(backend.writer.remove_domain(DOMAIN))
    assert (count(backend, devices), count(backend, sipusers), count(backend, tombstones)) == (0, 0, 4)
    backend.write_domain(DOMAIN, {})
    assert count(backend, tombstones) == 3


# --- originals


def test_originals_stay_with_their_documents(backend: SqlBackend) -> None:
    mine, other = (
        Original(f"{DOMAIN}/sipusers/1.yaml", "# mine\nname: x\n"),
        Original(f"{DOMAIN}/domain.json", "{}"),
    )
    accounts: dict[str, dict[str, object]] = {"1": {"name": "x"}, "2": {}}
    wanted = DomainDocuments(DOMAIN, {}, accounts, {"1": mine, "": other})
    put(backend, wanted)
    assert documents(backend) == wanted
    before = revision(backend)
    put(
        backend,
        DomainDocuments(DOMAIN, {}, accounts, {"1": Original(mine.file, "name: x # now\n"), "": other}),
    )
    found = documents(backend)
    assert found is not None
    assert (found.originals["1"].text, revision(backend)) == ("name: x # now\n", before)
    put(backend, DomainDocuments(DOMAIN, None, {"2": {}}))
    found = documents(backend)
    assert found is not None
    assert set(found.originals) == {"1", ""}
    put(backend, DomainDocuments(DOMAIN, {}, accounts))
    assert count(backend, originals) == 0


def test_an_edit_drops_the_original(backend: SqlBackend) -> None:
    accounts: dict[str, dict[str, object]] = {"1": {}, "2": {}, "3": {}}
    kept = {login: Original(f"{DOMAIN}/sipusers/{login}.yml", "{ }") for login in accounts}
    put(backend, DomainDocuments(DOMAIN, {}, accounts, {**kept, "": Original(f"{DOMAIN}/domain.yml", "{ }")}))
    backend.write_account(KEY._replace(login="1"), {"name": "edited"})
    backend.remove_account(KEY._replace(login="2"))
    backend.write_domain(DOMAIN, SETTINGS)
    found = documents(backend)
    assert found is not None
    assert set(found.originals) == {"3"}
    backend.run(backend.writer.remove_domain(DOMAIN))
    assert count(backend, originals) == 0


# --- expected revisions


def test_an_edit_overwrites_nobodys_work(backend: SqlBackend) -> None:
    writer = backend.writer
    first = backend.run(writer.write_account(KEY, {"name": "1"}, expected=""))
    second = backend.run(writer.write_account(KEY, {"name": "2"}, expected=first))
    assert first != second
    for work in (
        lambda: writer.write_account(KEY, {"name": "3"}, expected=first),
        lambda: writer.write_account(KEY, {"name": "3"}, expected=""),
        lambda: writer.remove_account(KEY, expected=first),
        lambda: writer.write_domain(DOMAIN, {}, expected=""),
        lambda: writer.remove_domain(DOMAIN, expected="x"),
        lambda: writer.remove_account(KEY._replace(login="9"), expected="x"),
    ):
        with pytest.raises(Refused) as caught:
            backend.run(work())
        assert caught.value.reason is Reason.DIRECTORY_CONFLICT
    stored = backend.run(writer.account(KEY))
    assert stored == Stored({"name": "2"}, second)
    assert backend.run(writer.remove_account(KEY, expected=second))


def test_of_two_edits_at_once_one_is_done(backend: SqlBackend) -> None:
    async def race() -> list[object]:
        writers = [SqlWriter(backend.settings) for _ in range(4)]
        edits = [
            writer.write_account(KEY, {"name": str(number)}, expected=first)
            for number, writer in enumerate(writers)
        ]
        done = await asyncio.gather(*edits, return_exceptions=True)
        for writer in writers:
            await writer.close()
        return list(done)

    for _ in range(3):
        backend.write_account(KEY, {"name": "first"})
        first = backend.write_account(KEY, {"name": "first"})
        done = backend.run(race())
        assert sum(isinstance(each, str) for each in done) == 1
        lost = [each for each in done if not isinstance(each, str)]
        assert all(isinstance(each, Refused) and each.reason is Reason.DIRECTORY_CONFLICT for each in lost), (
            lost
        )
