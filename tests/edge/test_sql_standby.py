"""A directory read from a standby of PostgreSQL: it lags, another takes its place, it is promoted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sql_backend import SqlBackend

from era_ap.directory.model import AccountKey
from era_ap.directory.source import Change
from tests.databases import PostgreSql, wait_for

KEY = AccountKey("a.example.com", "101")


class Standby(PostgreSql):
    """A hot standby that streams from ``primary``."""

    def __init__(self, primary: PostgreSql) -> None:
        self._primary = primary
        super().__init__()

    def prepare(self) -> None:
        where = ["-h", str(self._primary.folder), "-p", str(self._primary.port), "-U", "postgres"]
        self.run(
            str(self.programs / "pg_basebackup"), *where, "-D", "data", "-R", "-X", "stream", "-c", "fast"
        )

    def caught_up(self) -> bool:
        """Whether everything that the primary has written was replayed."""
        ahead = self._primary.administer("SELECT pg_current_wal_lsn()").strip()
        return self.administer(f"SELECT pg_last_wal_replay_lsn() >= '{ahead}'").strip() == "t"


@pytest.fixture
def primary(postgresql: PostgreSql) -> Iterator[SqlBackend]:
    made = SqlBackend(postgresql.shared())
    yield made
    made.close()


@pytest.fixture
def standby(postgresql: PostgreSql, primary: SqlBackend) -> Iterator[tuple[Standby, SqlBackend]]:
    server = Standby(postgresql)
    settings = primary.settings
    backend = SqlBackend(replace(settings, address=replace(settings.address, port=server.port)))
    yield server, backend
    backend.close()
    server.close()


def names(change: Change | None) -> list[object]:
    return [account.fields["name"] for account in change.accounts] if change is not None else []


def test_a_standby_that_lags_and_takes_over(primary: SqlBackend, standby: tuple[Standby, SqlBackend]) -> None:
    server, behind = standby
    behind.source.on_news(lambda: None)
    primary.write_account(KEY, {"name": "first"})
    wait_for(server.caught_up)
    assert names(behind.observe()) == ["first"]
    assert behind.observe() is None

    server.administer("SELECT pg_wal_replay_pause()")
    primary.write_account(KEY, {"name": "second"})
    assert names(primary.observe()) == ["second"]
    assert behind.observe() is None, "what lags is no fault"

    # An instance that has read the primary is sent to the standby: an older state of the same history.
    cursor = primary.source.cursor
    assert cursor is not None
    behind.restarted(cursor)
    assert names(behind.observe()) == ["first"]
    assert behind.source.whole
    assert behind.observe() is None

    server.administer("SELECT pg_wal_replay_resume()")
    wait_for(server.caught_up)
    assert names(behind.observe()) == ["second"]
    assert not behind.source.whole

    # The standby becomes the primary without having seen the last edit, which is lost.
    server.administer("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
    wait_for(lambda: not server.administer("SELECT pid FROM pg_stat_wal_receiver").strip())
    primary.write_account(KEY, {"name": "lost"})
    assert names(primary.observe()) == ["lost"]
    server.administer("SELECT pg_promote(true, 30)")
    behind.write_account(KEY, {"name": "third"})
    behind.restarted(primary.source.cursor)
    assert names(behind.observe()) == ["third"]
    assert behind.source.whole, "the same revision, but not of the same history"
