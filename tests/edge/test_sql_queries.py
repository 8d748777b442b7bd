"""A foreign database as a source, on every kind of database: what is asked, what is news, what cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from era_ap.config import Queries, SqlDatabase, SqlKind
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.model import AccountKey
from era_ap.directory.source import Change
from era_ap.directory.sql_connect import Use
from era_ap.directory.sql_database import Database
from era_ap.directory.sql_queries import POLL_SECONDS, QuerySource
from era_ap.errors import Reason, Refused
from tests.databases import Server, Sqlite

KEY = AccountKey("a.example.com", "101")
OTHER = AccountKey("a.example.com", "102")
MAC = "001565000001"
TABLES = (
    "CREATE TABLE subscriber (domain VARCHAR(64), username VARCHAR(64), password VARCHAR(64), note TEXT)",
    "CREATE TABLE phones (mac VARCHAR(17), domain VARCHAR(64), login VARCHAR(64), line INTEGER)",
    "CREATE TABLE constants (name VARCHAR(64), value VARCHAR(64))",
    "CREATE TABLE stamp (n INTEGER)",
    "INSERT INTO subscriber VALUES ('a.example.com', '101', 's1', 'x'), ('a.example.com', '102', 's2', NULL)",
    "INSERT INTO phones VALUES ('00:15:65:00:00:01', 'a.example.com', '101', 1)",
    "INSERT INTO constants VALUES ('ntp.server', 'n1')",
    "INSERT INTO stamp VALUES (1)",
)
QUERIES = Queries(
    accounts='SELECT domain, username AS login, password, note AS "ext.note" FROM subscriber -- it\'s :: all',
    devices="SELECT domain, login, mac, line, 'T46S' AS device_model FROM phones",
    domains="SELECT :domain AS domain, name AS constant, value FROM constants",
)


class Pbx:
    """A database that is not ours, and the source that asks it."""

    def __init__(self, settings: SqlDatabase) -> None:
        self._runner = asyncio.Runner()
        self._settings = settings
        self._owner = Database(settings, Use.WRITE)
        self.execute(*TABLES)
        self.index = DirectoryIndex()
        self.source = self.asking()

    def asking(self, queries: Queries | Path | str = QUERIES, **parameters: str) -> QuerySource:
        """Another source with other queries."""
        given = tuple((parameters or {"domain": "a.example.com"}).items())
        self.source = QuerySource(replace(self._settings, queries=queries, parameters=given))
        return self.source

    def execute(self, *statements: str) -> None:
        async def execute() -> None:
            async with self._owner.session() as session:
                for statement in statements:
                    words = statement
                    if self._owner.kind is SqlKind.MYSQL:
                        words = statement.replace('"', "`")
                    await session.run(text(words))
                await session.commit()

        self._runner.run(execute())

    def look(self) -> list[Change]:
        pieces: list[Change] = []
        self._runner.run(self.source.look(pieces.append))
        for piece in pieces:
            self.index.apply(piece)
        return pieces

    def refusal(self) -> str:
        with pytest.raises(Refused) as caught:
            self.look()
        assert caught.value.reason is Reason.DIRECTORY_UNAVAILABLE
        return caught.value.detail

    def field(self, key: AccountKey, name: str) -> Any:
        account = self.index.account(key)
        return None if account is None else account.fields.get(name)

    def close(self) -> None:
        self._runner.run(self.source.close())
        self._runner.run(self._owner.close())
        self._runner.close()


def spelt(queries: Queries, kind: SqlKind) -> Queries:
    """With the quotes of names that the database knows."""
    if kind is not SqlKind.MYSQL:
        return queries
    return Queries(**{name: text.replace('"', "`") for name, text in queries if text is not None})


@pytest.fixture
def pbx(any_sql: Server | Sqlite) -> Iterator[Pbx]:
    pbx = Pbx(any_sql.database(schema=any_sql.kind is SqlKind.SQLITE))
    pbx.asking(spelt(QUERIES, any_sql.kind))
    yield pbx
    pbx.close()


def test_the_first_look_hands_over_everything(pbx: Pbx) -> None:
    pbx.look()
    assert pbx.source.whole
    assert len(pbx.index) == 2
    assert (pbx.field(KEY, "password"), pbx.field(KEY, "ext")) == ("s1", {"note": "x"})
    assert pbx.index.owners(MAC) == (KEY,)
    domain = pbx.index.domain("a.example.com")
    assert domain is not None
    assert domain.constants == {"ntp.server": "n1"}
    assert pbx.index.problems == ()


def test_a_later_look_hands_over_what_differs(pbx: Pbx) -> None:
    pbx.look()
    assert pbx.look() == []
    pbx.execute(
        "UPDATE subscriber SET password = 'new' WHERE username = '102'",
        "INSERT INTO subscriber VALUES ('b.example.com', '7', 's', NULL)",
    )
    changes = pbx.look()
    assert not pbx.source.whole
    assert {account.key for change in changes for account in change.accounts} == {
        OTHER,
        AccountKey("b.example.com", "7"),
    }
    assert [domain.name for change in changes for domain in change.domains] == ["b.example.com"]
    assert pbx.field(OTHER, "password") == "new"


def test_a_phone_or_a_constant_that_changes_is_news(pbx: Pbx) -> None:
    pbx.look()
    pbx.execute("UPDATE phones SET login = '102'", "UPDATE constants SET value = 'n2'")
    pbx.look()
    assert pbx.index.owners(MAC) == (OTHER,)
    domain = pbx.index.domain("a.example.com")
    assert domain is not None
    assert domain.constants == {"ntp.server": "n2"}


def test_what_is_gone_goes_out_of_service(pbx: Pbx) -> None:
    pbx.execute("INSERT INTO subscriber VALUES ('b.example.com', '7', 's', NULL)")
    pbx.look()
    pbx.execute("DELETE FROM subscriber WHERE username IN ('101', '7')", "DELETE FROM phones")
    (change,) = pbx.look()
    assert set(change.removed) == {KEY, AccountKey("b.example.com", "7")}
    assert change.removed_domains == ("b.example.com",)
    assert pbx.index.domains == ("a.example.com",)


def test_an_emptied_table_takes_nothing_away(pbx: Pbx) -> None:
    pbx.look()
    pbx.execute("DELETE FROM subscriber")
    assert "gives no usable row" in pbx.refusal()
    assert len(pbx.index) == 2
    pbx.execute("INSERT INTO subscriber VALUES ('a.example.com', '101', 's1', 'x')")
    (change,) = pbx.look()
    assert change.removed == (OTHER,)


def test_nothing_is_read_while_the_fingerprint_is_the_same(pbx: Pbx, any_sql: Server | Sqlite) -> None:
    pbx.asking(spelt(QUERIES, any_sql.kind).model_copy(update={"changed": "SELECT n FROM stamp"}))
    pbx.look()
    pbx.execute("UPDATE subscriber SET password = 'new' WHERE username = '102'")
    assert pbx.look() == []
    pbx.execute("UPDATE stamp SET n = 2")
    pbx.look()
    assert pbx.field(OTHER, "password") == "new"


def test_findings_come_and_go(pbx: Pbx) -> None:
    pbx.execute("INSERT INTO phones VALUES ('nonsense', 'a.example.com', '102', 1), ('1', 'x.com', '9', 1)")
    pbx.look()
    found = sorted(problem.detail for problem in pbx.index.problems)
    assert len(found) == 2
    assert "'nonsense'; a MAC is 12 hexadecimal digits" in found[0]
    assert "rows of 9@x.com" in found[1]
    pbx.execute("UPDATE subscriber SET note = 'y' WHERE username = '101'")
    pbx.look()
    assert len(pbx.index.problems) == 2
    pbx.execute("DELETE FROM phones WHERE mac = '1'")
    pbx.look()
    assert len(pbx.index.problems) == 1


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        ("SELECT domain FROM subscriber", "query accounts: gives no column login"),
        ("SELECT domain, username AS login FROM nothing_here", "nothing_here"),
        ("SELECT domain, :missing AS login FROM subscriber", "needs the parameter missing"),
        ("nonsense 'SECRET'", ""),
    ],
)
def test_a_query_that_fails_is_told(pbx: Pbx, accounts: str, words: str) -> None:
    pbx.asking(Queries(accounts=accounts))
    said = pbx.refusal()
    assert words in said
    assert said.startswith(pbx.source.name)
    assert pbx.source.name.endswith("#queries")


@pytest.mark.parametrize("statement", ["DELETE FROM subscriber", "UPDATE subscriber SET password = ''"])
def test_no_query_can_write(pbx: Pbx, statement: str) -> None:
    pbx.look()
    queries = pbx.source._settings.queries
    assert isinstance(queries, Queries)
    pbx.asking(queries.model_copy(update={"changed": statement}))
    pbx.refusal()
    pbx.asking(queries)
    pbx.look()
    assert (len(pbx.index), pbx.field(KEY, "password")) == (2, "s1")


@pytest.mark.parametrize(
    "value", ["x' OR '1'='1", "'; DROP TABLE subscriber; --", "\\' OR 1=1 -- ", '" OR ""="']
)
def test_a_hostile_parameter_is_only_a_value(pbx: Pbx, value: str) -> None:
    query = "SELECT domain, username AS login FROM subscriber WHERE password = :value OR username = '101'"
    pbx.asking(Queries(accounts=query), value=value)
    pbx.look()
    assert [account.key for piece in [pbx.index.account(KEY)] if (account := piece)] == [KEY]
    assert len(pbx.index) == 1


def test_many_rows_come_in_pieces(pbx: Pbx) -> None:
    values = ", ".join(f"('b.example.com', '{number}', 's', NULL)" for number in range(2500))
    pbx.execute(f"INSERT INTO subscriber VALUES {values}")
    changes = pbx.look()
    assert max(len(change.accounts) for change in changes) <= 500
    assert len(pbx.index) == 2502


# --- where queries come from


def test_queries_of_a_file(pbx: Pbx, tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text("accounts: |\n  SELECT domain, username AS login, password\n  FROM subscriber;\n")
    pbx.asking(file)
    pbx.look()
    assert pbx.field(KEY, "password") == "s1"
    assert pbx.source.name.endswith("#mine")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("acounts: x\n", "did you mean 'accounts'?"),
        ("- a\n", "a file of queries is a mapping with 'accounts'"),
        ("a: [\n", "not valid YAML"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_not_usable_is_told(
    tmp_path: Path, content: str | None, words: str, sqlite: Sqlite
) -> None:
    file = tmp_path / "mine.yml"
    if content is not None:
        file.write_text(content)
    pbx = Pbx(sqlite.database(schema=True))
    pbx.asking(file)
    assert words in pbx.refusal()
    pbx.close()


def test_an_unknown_name_lists_those_there_are(sqlite: Sqlite) -> None:
    pbx = Pbx(sqlite.database(schema=True))
    pbx.asking("sonnata")
    assert "ready queries: " in pbx.refusal()
    pbx.close()


def test_the_pause_between_looks(sqlite: Sqlite) -> None:
    settings = replace(sqlite.database(schema=True), queries=QUERIES)
    assert QuerySource(settings).poll_seconds == 0.2
    assert QuerySource(replace(settings, poll_seconds=None)).poll_seconds == POLL_SECONDS
