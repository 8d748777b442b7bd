"""What a database can do wrong: every fault ends within its limit, costs nothing, and heals by itself."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sql_backend import SqlBackend
from sqlalchemy import text
from tcp_relay import Mode, Relay

from era_ap.config import SqlDatabase, SqlKind
from era_ap.directory import sql_connect, sql_listen
from era_ap.directory.model import AccountKey
from era_ap.directory.source import Change
from era_ap.directory.sql_source import SqlSource
from era_ap.directory.sql_writer import SqlWriter
from era_ap.errors import Reason, Refused
from tests.cluster.certificates import Authority
from tests.databases import PASSWORD, MariaDb, PostgreSql, Server, Sqlite

KEY = AccountKey("a.example.com", "101")
FAULTS = 100
LAG = 0.1
"""Seconds that the event loop may wait, but for a few times on a busy machine; 0.01 are usual."""


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def connections(server: Server, database: str) -> int:
    """Connections to a database that the server has."""
    if isinstance(server, MariaDb):
        query = f"SELECT count(*) FROM information_schema.processlist WHERE db = '{database}'"
    else:
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
    return int(server.administer(query))


@dataclass
class Bench:
    """A source and a writer behind a relay, and how long the loop waited."""

    server: Server
    settings: SqlDatabase
    relay: Relay
    source: SqlSource
    writer: SqlWriter
    lags: int = 0
    edits: int = 0

    async def look(self) -> list[Change]:
        found: list[Change] = []
        await self.source.look(found.append)
        return found

    async def edit(self) -> None:
        self.edits += 1
        await self.writer.write_account(KEY, {"name": f"edit {self.edits}"})

    async def refused(self, work: Callable[[], Awaitable[object]], seconds: float) -> str:
        """``work`` is refused within ``seconds``; why."""
        begin = time.monotonic()
        with pytest.raises(Refused) as caught:
            await work()
        taken = time.monotonic() - begin
        assert taken < seconds, f"{taken:.2f} s: {caught.value.detail}"
        assert caught.value.reason is Reason.DIRECTORY_UNAVAILABLE
        assert PASSWORD not in caught.value.detail
        return caught.value.detail

    async def recovers(self, seconds: float = 5.0) -> None:
        """Looks and edits succeed again within ``seconds``, tried as often as a poller does."""
        end = time.monotonic() + seconds
        while True:
            try:
                await self.edit()
                changes = await self.look()
            except Refused:
                assert time.monotonic() < end
                await asyncio.sleep(0.2)
            else:
                names = [account.fields["name"] for change in changes for account in change.accounts]
                assert names == [f"edit {self.edits}"]
                return

    async def listens(self, seconds: float = 5.0) -> None:
        """There is a connection that hears of news, where the kind of database has such."""
        listener, end = self.source._listener, time.monotonic() + seconds
        while listener is not None and not listener.hears:
            assert time.monotonic() < end
            await self.look()
            await asyncio.sleep(0.02)

    async def watch(self) -> None:
        while True:
            begin = time.perf_counter()
            await asyncio.sleep(0.01)
            self.lags += time.perf_counter() - begin - 0.01 > LAG


@asynccontextmanager
async def bench_of(server: Server, seconds: float = 0.5) -> AsyncIterator[Bench]:
    settings = server.shared()
    relay = Relay(server.port)
    await relay.start()
    through = replace(settings, address=replace(settings.address, port=relay.port), seconds=seconds, pool=2)
    bench = Bench(server, through, relay, SqlSource(through), SqlWriter(through))
    watching = asyncio.ensure_future(bench.watch())
    try:
        await bench.recovers()
        bench.lags = 0
        yield bench
        assert bench.lags < FAULTS / 10, "something blocks the loop"
    finally:
        watching.cancel()
        await bench.source.close()
        await bench.writer.close()
        await relay.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- on the way to the server


def test_a_hundred_faults_leave_nothing_behind(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_listen, "RETRY_SECONDS", 0.05)
    rng = random.Random(5)
    modes = [Mode.CLOSED, Mode.RESET, Mode.MUTE, Mode.LATE]

    async def everything() -> None:
        async with bench_of(server, seconds=0.1) as bench:
            database, loop = bench.settings.address.database, asyncio.get_running_loop()
            asker = ThreadPoolExecutor(1)  # the loop's own pool may start another thread for each question
            bench.source.on_news(lambda: None)
            await bench.listens()
            held = await loop.run_in_executor(asker, connections, server, database)
            before = (open_files(), threading.active_count(), held)
            for number in range(FAULTS):
                await bench.relay.set(rng.choice(modes))
                work = bench.edit if number % 5 == 0 else bench.look
                await bench.refused(work, 2.0)
                if number % 3 == 0:
                    await bench.relay.set(Mode.PASS)
                    await bench.recovers()
            await bench.relay.set(Mode.PASS)
            await bench.recovers()
            await bench.listens()
            for engine in (bench.source._database.engine, bench.writer._edits.engine):
                assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
            for _ in range(100):  # what was given up ends a little later
                held = await loop.run_in_executor(asker, connections, server, database)
                if held <= before[2] and threading.active_count() <= before[1]:
                    break
                await asyncio.sleep(0.05)
            assert held <= before[2]
            assert open_files() <= before[0] + 2
            assert threading.active_count() <= before[1], threading.enumerate()
            asker.shutdown()

    asyncio.run(everything())


@pytest.mark.parametrize("mode", [Mode.MUTE, Mode.LATE])
def test_a_silent_server_is_given_up_within_the_limit(server: Server, mode: Mode) -> None:
    async def everything() -> None:
        async with bench_of(server) as bench:
            await bench.relay.set(mode)
            said = await bench.refused(bench.look, 1.0)  # a connection of the pool
            assert said == f"{bench.source.name}: no answer within 0.5 s"
            assert await bench.refused(bench.look, 1.5) == said  # a new one
            assert await bench.refused(bench.edit, 1.5)
            await bench.relay.set(Mode.PASS)
            await bench.recovers()

    asyncio.run(everything())


def test_a_server_that_takes_no_more_is_given_up_too(server: Server) -> None:
    """What was not sent yet must not hold up the end of the connection."""

    async def everything() -> None:
        async with bench_of(server, seconds=0.2) as bench:
            database = bench.writer._edits

            async def write() -> None:
                async with database.session() as session:
                    await session.rows(text("SELECT 1"))
                    await bench.relay.set(Mode.MUTE)
                    await session.rows(text("SELECT :much"), {"much": "x" * 12_000_000})

            await bench.refused(write, 2.0)
            await bench.relay.set(Mode.PASS)
            await bench.recovers()

    asyncio.run(everything())


def test_a_cancelled_look_leaves_the_source_usable(server: Server) -> None:
    async def everything() -> None:
        async with bench_of(server, seconds=5.0) as bench:
            for mode in (Mode.MUTE, Mode.PASS):
                await bench.relay.set(mode)
                await bench.edit() if mode is Mode.PASS else None
                task = asyncio.ensure_future(bench.look())
                await asyncio.wait({task}, timeout=0.2 if mode is Mode.MUTE else 0.001)
                task.cancel()
                await asyncio.wait({task}, timeout=3.0)
                assert task.done()
            await bench.relay.set(Mode.PASS)
            await bench.recovers()

    asyncio.run(everything())


@pytest.mark.parametrize("mode", [Mode.CLOSED, Mode.RESET, Mode.MUTE])
def test_a_fault_in_the_middle_of_a_whole_look_is_forgotten(server: Server, mode: Mode) -> None:
    async def everything() -> None:
        async with bench_of(server, seconds=0.2) as bench:
            source = SqlSource(bench.settings)
            pieces: list[Change] = []

            def take(change: Change) -> None:
                pieces.append(change)
                task = asyncio.ensure_future(bench.relay.set(mode))
                tasks.append(task)

            tasks: list[asyncio.Task[None]] = []
            with pytest.raises(Refused):
                await source.look(take)
            assert pieces
            assert source.cursor is None
            await bench.relay.set(Mode.PASS)
            found: list[Change] = []
            await source.look(found.append)
            assert source.whole
            assert [account.key for change in found for account in change.accounts] == [KEY]
            await source.close()
            await asyncio.gather(*tasks)

    asyncio.run(everything())


# --- the server itself


def test_a_server_that_is_away_at_the_start(server: Server) -> None:
    settings = replace(server.shared(), seconds=0.5)
    server.kill()
    backend = SqlBackend(settings)
    try:
        begin = time.monotonic()
        with pytest.raises(Refused) as caught:
            backend.observe()
        assert time.monotonic() - begin < 2.0
        assert caught.value.detail == f"{settings.name}: nobody listens there"
    finally:
        server.start()
    backend.write_account(KEY, {})
    assert backend.observe() is not None
    backend.close()


def test_a_server_that_is_killed_and_comes_back(server: Server) -> None:
    async def everything() -> None:
        async with bench_of(server) as bench:
            try:
                await asyncio.to_thread(server.kill)
                await bench.refused(bench.look, 2.0)
                await bench.refused(bench.edit, 2.0)
            finally:
                await asyncio.to_thread(server.start)
            await bench.recovers()

    asyncio.run(everything())


def test_a_server_that_is_frozen_and_thawed(server: Server) -> None:
    async def everything() -> None:
        async with bench_of(server) as bench:
            server.freeze()
            try:
                for _ in range(3):
                    await bench.refused(bench.look, 2.0)
                    await bench.refused(bench.edit, 2.0)
            finally:
                server.thaw()
            await bench.recovers()

    asyncio.run(everything())


def test_a_writer_that_holds_the_lock_is_not_waited_for_for_ever(server: Server) -> None:
    async def everything() -> None:
        async with bench_of(server) as bench, bench.writer._edits.session() as session:
            await session.connection.exec_driver_sql("UPDATE feed SET revision = revision")
            other = SqlWriter(bench.settings)
            await bench.refused(lambda: other.write_account(KEY, {"name": "x"}), 8.0)
            assert await bench.look() == []
            await other.close()

    asyncio.run(everything())


# --- SQLite


def test_a_locked_file_refuses_writers_and_lets_readers_pass(sqlite: Sqlite) -> None:
    settings = replace(sqlite.database(), seconds=0.2)
    backend = SqlBackend(settings)
    backend.write_account(KEY, {"name": "before"})
    other = sqlite3.connect(settings.address.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    begin = time.monotonic()
    with pytest.raises(Refused) as caught:
        backend.write_account(KEY, {"name": "after"})
    assert time.monotonic() - begin < 2.0
    assert "SQLITE_BUSY" in caught.value.detail
    assert backend.observe() is not None
    other.rollback()
    other.close()
    backend.write_account(KEY, {"name": "after"})
    backend.close()


def test_a_file_that_is_gone_is_refused_and_found_again(sqlite: Sqlite, tmp_path: Path) -> None:
    settings = sqlite.database()
    backend = SqlBackend(settings)
    backend.write_account(KEY, {})
    backend.observe()
    backend.run(backend.writer.close())
    path = Path(settings.address.database)
    path.rename(tmp_path / "away")
    backend.restarted(None)
    with pytest.raises(Refused):
        backend.observe()
    (tmp_path / "away").rename(path)
    assert backend.observe() is not None
    backend.close()


# --- what connecting needs


def test_a_password_is_read_anew_at_each_connecting(postgresql: PostgreSql, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wrong\n")
    shared = postgresql.shared()
    settings = replace(shared, password_file=file, address=replace(shared.address, password=None))
    backend = SqlBackend(settings)
    with pytest.raises(Refused) as caught:
        backend.observe()
    assert "password authentication failed" in caught.value.detail
    assert "wrong" not in caught.value.detail
    file.write_text(f"{PASSWORD}\r\nanother line\n")
    backend.write_account(KEY, {})
    assert backend.observe() is not None
    backend.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "its first line is empty"),
        (b"\nx\n", "first line"),
        (b"\xff\xfe", "not text"),
    ],
)
def test_a_password_file_that_is_not_usable_is_told(
    postgresql: PostgreSql, tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    backend = SqlBackend(replace(postgresql.shared(), password_file=file))
    with pytest.raises(Refused) as caught:
        backend.observe()
    assert f"password_file {file}: " in caught.value.detail
    assert words in caught.value.detail
    backend.close()


def test_a_password_file_that_hangs_holds_up_nothing_else(postgresql: PostgreSql, tmp_path: Path) -> None:
    file = tmp_path / "password"
    os.mkfifo(file)
    shared = postgresql.shared()
    settings = replace(shared, password_file=file, seconds=0.2)
    backend = SqlBackend(settings)
    threads = threading.active_count()
    for _ in range(3):
        begin = time.monotonic()
        with pytest.raises(Refused) as caught:
            backend.observe()
        assert time.monotonic() - begin < 2.0
        assert "no answer within 0.2 s" in caught.value.detail
    assert threading.active_count() <= threads + 1
    file.write_text(PASSWORD)
    file.unlink()
    file.write_text(PASSWORD)
    backend.write_account(KEY, {})
    assert backend.observe() is not None
    backend.close()


def test_a_resolver_that_hangs_costs_one_thread(
    postgresql: PostgreSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def hang(*_: object) -> list[object]:
        answered.wait(30)
        return []

    monkeypatch.setattr(sql_connect, "getaddrinfo", hang)
    shared = postgresql.shared()
    settings = replace(shared, address=replace(shared.address, host="localhost"), seconds=0.2)
    backend = SqlBackend(settings)
    threads = threading.active_count()
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            backend.observe()
        assert "no answer within 0.2 s" in caught.value.detail
    assert threading.active_count() <= threads + 1
    answered.set()
    backend.write_account(KEY, {})
    assert backend.observe() is not None
    backend.close()


def test_a_name_that_is_not_known_is_told(postgresql: PostgreSql) -> None:
    shared = postgresql.shared()
    backend = SqlBackend(replace(shared, address=replace(shared.address, host="nowhere.invalid")))
    with pytest.raises(Refused) as caught:
        backend.observe()
    assert caught.value.detail.endswith(("the name of the server is not known", "no answer within 3 s"))
    backend.close()


def test_a_wrong_password_or_database_is_told_without_the_password(server: Server) -> None:
    shared = server.shared()
    for address, words in (
        (replace(shared.address, password="TopSecret1"), ("authentication failed", "Access denied")),
        (replace(shared.address, database="nowhere"), ("does not exist", "denied", "Unknown database")),
    ):
        backend = SqlBackend(replace(shared, address=address))
        with pytest.raises(Refused) as caught:
            backend.observe()
        assert any(each in caught.value.detail for each in words), caught.value.detail
        assert "TopSecret1" not in caught.value.detail
        assert PASSWORD not in repr(caught.value) + repr(shared)
        backend.close()


def test_sockets_in_the_file_system(server: Server) -> None:
    shared = server.shared()
    postgresql = server.kind is SqlKind.POSTGRESQL
    folder = str(server.folder) if postgresql else str(server.folder / "socket")
    port = server.port if postgresql else None
    backend = SqlBackend(
        replace(shared, address=replace(shared.address, host=None, port=port, socket=folder))
    )
    backend.write_account(KEY, {})
    assert backend.observe() is not None
    backend.close()


def encrypted(backend: SqlBackend) -> str:
    """The cipher of a connection, "" where there is none."""
    postgresql = backend.settings.address.kind is SqlKind.POSTGRESQL
    query = (
        "SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        if postgresql
        else "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'"
    )

    async def ask() -> str:
        async with backend.source._database.session() as session:
            return str((await session.rows(text(query)))[0][0] or "")

    return backend.run(ask())


def test_tls_is_used_where_it_is_asked_for(server: Server) -> None:
    shared = server.shared()
    for settings, secret in (
        (replace(shared, tls=True, ca_file=server.authority.file), True),
        (shared, False),
    ):
        backend = SqlBackend(settings)
        backend.write_account(KEY, {"name": str(secret)})
        assert backend.observe() is not None
        assert bool(encrypted(backend)) is secret
        backend.close()


def test_a_server_that_cannot_prove_its_name_is_refused(server: Server, tmp_path: Path) -> None:
    shared = server.shared()
    stranger = Authority(tmp_path, "stranger").file
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    for settings, words in (
        (replace(shared, tls=True), "certificate is not accepted"),
        (replace(shared, tls=True, ca_file=stranger), "certificate is not accepted"),
        (
            replace(
                shared,
                tls=True,
                ca_file=server.authority.file,
                address=replace(shared.address, host="localhost"),
            ),
            "certificate is not accepted",
        ),
        (replace(shared, tls=True, ca_file=broken), "cannot be used; they are PEM files"),
        (replace(shared, tls=True, cert_file=broken, key_file=broken), "cannot be used; they are PEM files"),
    ):
        backend = SqlBackend(settings)
        with pytest.raises(Refused) as caught:
            backend.observe()
        assert words in caught.value.detail
        backend.close()


@pytest.fixture(autouse=True)
def _nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level("DEBUG")
    yield
    assert PASSWORD not in caplog.text
    told = [record.getMessage() for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]
    assert told == [], "what went wrong is told by Refused, and nothing is left behind"
