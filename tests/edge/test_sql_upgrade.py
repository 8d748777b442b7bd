"""Making the tables, on every kind of database; who may do what with them; which databases are refused."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sql_backend import SqlBackend
from sqlalchemy import Connection

from era_ap.config import SqlDatabase, SqlKind
from era_ap.directory import migrations
from era_ap.directory.documents import DomainDocuments
from era_ap.directory.model import AccountKey
from era_ap.directory.sql_connect import Use
from era_ap.directory.sql_database import Database
from era_ap.directory.sql_schema import HEAD, VERSION_TABLE, SchemaState, metadata, state_of
from era_ap.directory.sql_state import schema_state
from era_ap.directory.sql_upgrade import upgrade
from era_ap.errors import Refused
from tests.databases import PASSWORD, PostgreSql, Server, Sqlite, quoted, run

KEY = AccountKey("a.example.com", "101")
EMPTY, CURRENT, AHEAD = SchemaState.EMPTY, SchemaState.CURRENT, SchemaState.AHEAD
SCRIPTS = Path(__file__).parents[2] / "deploy" / "sql"


@pytest.fixture
def empty(any_sql: Server | Sqlite) -> SqlDatabase:
    return any_sql.database(schema=False)


def execute(settings: SqlDatabase, statement: str) -> None:
    async def work() -> None:
        database = Database(settings, Use.UPGRADE)
        async with database.session() as session:
            await session.connection.exec_driver_sql(statement)
            await session.commit()
        await database.close()

    run(work())


def test_an_empty_database_gets_its_tables_once(empty: SqlDatabase) -> None:
    assert run(upgrade(empty)) == (EMPTY, CURRENT)
    assert run(schema_state(empty)) is CURRENT
    assert run(upgrade(empty)) == (CURRENT, CURRENT)
    backend = SqlBackend(empty)
    backend.write_account(KEY, {"name": "x"})
    assert run(upgrade(empty)) == (CURRENT, CURRENT)
    assert backend.observe() is not None
    backend.close()


def test_upgrades_at_the_same_time_do_it_once(empty: SqlDatabase) -> None:
    async def both() -> list[tuple[SchemaState, SchemaState]]:
        return list(await asyncio.gather(upgrade(empty), upgrade(empty)))

    befores = sorted((before.name for before, _ in run(both())))
    assert befores == ["CURRENT", "EMPTY"]


def test_the_steps_lead_to_the_tables_that_are_used(empty: SqlDatabase) -> None:
    run(upgrade(empty))

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return list(compare_metadata(context, metadata))

    async def compare() -> list[object]:
        database = Database(empty, Use.UPGRADE)
        async with database.session() as session:
            found = await session.connection.run_sync(differences)
        await database.close()
        return found

    assert run(compare()) == []


def test_the_last_step_is_the_one_that_is_expected() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [HEAD]
    assert [step.revision for step in scripts.walk_revisions()][-1] == "0001"


def test_newer_tables_are_left_alone(empty: SqlDatabase) -> None:
    run(upgrade(empty))
    execute(empty, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    assert run(upgrade(empty)) == (AHEAD, AHEAD)
    assert run(schema_state(empty)) is AHEAD


@pytest.mark.parametrize(
    ("version", "state"),
    [(None, EMPTY), ("0000", SchemaState.BEHIND), (HEAD, CURRENT), ("0002", AHEAD), ("9999", AHEAD)],
)
def test_versions(version: str | None, state: SchemaState) -> None:
    assert state_of(version) is state


def test_a_database_without_tables_is_empty(any_sql: Server | Sqlite) -> None:
    settings = any_sql.database(schema=False)
    if any_sql.kind is SqlKind.SQLITE:
        Path(settings.address.database).touch()
    assert run(schema_state(settings)) is EMPTY


# --- SQLite


def test_a_new_file_is_ours_alone(sqlite: Sqlite) -> None:
    settings = sqlite.database()
    assert stat.S_IMODE(Path(settings.address.database).stat().st_mode) == 0o600


def test_only_an_upgrade_makes_a_file(sqlite: Sqlite) -> None:
    settings = sqlite.database(schema=False)
    backend = SqlBackend(settings)
    with pytest.raises(Refused) as caught:
        backend.observe()
    assert "run 'era-ap directory upgrade' if it is not there yet" in caught.value.detail
    with pytest.raises(Refused):
        backend.write_account(KEY, {})
    backend.close()
    assert not Path(settings.address.database).exists()


def test_a_file_that_was_replaced_is_noticed(sqlite: Sqlite) -> None:
    ours, other = sqlite.database(), sqlite.database()
    backend, put_back = SqlBackend(ours), SqlBackend(other)
    backend.write_account(KEY, {"name": "before"})
    backend.observe()
    put_back.write_account(KEY, {"name": "after"})
    put_back.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{ours.address.database}{suffix}").unlink(missing_ok=True)
    Path(other.address.database).rename(ours.address.database)
    change = backend.observe()
    assert change is not None
    assert [account.fields["name"] for account in change.accounts] == ["after"]
    backend.close()


def test_what_is_no_database_is_refused(sqlite: Sqlite) -> None:
    settings = sqlite.database(schema=False)
    Path(settings.address.database).write_text("no database" * 100)
    with pytest.raises(Refused) as caught:
        run(schema_state(settings))
    assert "SQLITE_NOTADB" in caught.value.detail


# --- least privilege


@pytest.fixture(params=["postgresql", "mariadb"])
def roles(request: pytest.FixtureRequest) -> Iterator[tuple[SqlBackend, SqlBackend]]:
    """A backend of the role of daemons, and of that of editors, as the delivered scripts make them."""
    server: Server = request.getfixturevalue(request.param)
    settings = server.database()
    if isinstance(server, PostgreSql):
        script = (SCRIPTS / "era_ap_postgresql.sql").read_text()
        for name in ("daemon", "editor"):
            script = script.replace(f":{name}", f"'{quoted(PASSWORD)}'")
    else:
        script = (SCRIPTS / "era_ap_mariadb.sql").read_text()
        for words in ("'change me'", "'change me too'"):
            script = script.replace(words, f"'{quoted(PASSWORD)}'")
    server.administer(script, database=settings.address.database)
    backends = [
        SqlBackend(replace(settings, address=replace(settings.address, user=f"era_ap_{role}")))
        for role in ("daemon", "editor")
    ]
    yield backends[0], backends[1]
    for backend in backends:
        backend.close()
    if isinstance(server, PostgreSql):
        both = "era_ap_daemon, era_ap_editor"
        server.administer(f"DROP OWNED BY {both}", f"DROP ROLE {both}", database=settings.address.database)
    else:
        server.administer("DROP USER era_ap_daemon@'%', era_ap_editor@'%'")


def test_roles_may_do_what_they_need_and_no_more(roles: tuple[SqlBackend, SqlBackend]) -> None:
    reader, writer = roles
    for number in range(3):
        writer.write_account(KEY._replace(login=str(number)), {"name": "x"})
    writer.write_account(KEY, {"opts": {"ap_mac_address": "001565000001"}})
    writer.write_domain(KEY.domain, {"settings": {}})
    writer.run(writer.writer.put(DomainDocuments(KEY.domain, {"settings": {"a": "b"}}, {"1": {"n": "1"}})))
    change = reader.observe()
    assert change is not None
    assert len(change.accounts) == 4
    assert writer.remove_account(KEY)
    assert writer.run(writer.writer.remove_domain(KEY.domain))
    change = reader.observe()
    assert change is not None
    assert change.removed_domains == (KEY.domain,)
    assert run(schema_state(reader.settings)) is CURRENT
    for refused in (lambda: reader.writer.write_account(KEY, {}), lambda: upgrade_anew(writer.settings)):
        with pytest.raises(Refused) as caught:
            reader.run(refused())
        assert any(words in caught.value.detail for words in ("denied", "read-only", "must be owner"))


async def upgrade_anew(settings: SqlDatabase) -> str:
    """Something that only the owner may do."""
    database = Database(settings, Use.UPGRADE)
    try:
        async with database.session() as session:
            await session.connection.exec_driver_sql("DROP TABLE devices")
        return ""
    finally:
        await database.close()
