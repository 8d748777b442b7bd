"""Real database servers for tests: PostgreSQL and MariaDB in folders of their own, as unprivileged users.

Ports are the kernel's choice, addresses loopback, processes are ended by pid. A server is started once for
all tests that ask for it; every test gets a database of its own. SQLite needs no server and fits the shape.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from era_ap.config import SqlAddress, SqlDatabase, SqlKind
from tests.cluster.certificates import Authority

PASSWORD = "pa'ss\"w%40rd"
START_SECONDS = 60.0
_POSTGRESQL = Path("/usr/lib/postgresql")

_GUARD = 'read nothing; kill -9 "$0"; rm -rf "$1"'
"""Outlives the test run to end its server, even where the run was killed: its input ends with the run."""

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine, from any thread, whether a loop runs in it or not."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


def free_port() -> int:
    """A TCP port that the kernel gave and that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(what: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Wait until ``what`` is true."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain")
        time.sleep(0.02)


def make_tables(settings: SqlDatabase) -> None:
    """The tables of era_ap in a database."""
    from era_ap.directory.sql_upgrade import upgrade  # drivers: only for those who need them

    run(upgrade(settings))


async def emptied(settings: SqlDatabase) -> SqlDatabase:
    """The database with its tables as they were made: quicker than a new one, and a history of its own."""
    from era_ap.directory import sql_schema
    from era_ap.directory.sql_connect import Use
    from era_ap.directory.sql_database import Database

    database = Database(settings, Use.WRITE)
    async with database.session() as session:
        for table in reversed(sql_schema.metadata.sorted_tables):
            await session.run(table.delete())
        await session.run(sql_schema.feed.insert(), {"id": 1, "revision": 1})
        first = {"revision": 1, "token": secrets.token_hex(8), "at": int(time.time())}
        await session.run(sql_schema.revisions.insert(), first)
        await session.commit()
    await database.close()
    return settings


class Server(ABC):
    """A database server of one test run."""

    kind: SqlKind
    owner: str
    """User of the operating system, where tests run as root."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="era_ap_db_"))
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.authority = Authority(self.folder)
        self.certificate = self.authority.issue("server")
        self.certificate.chmod(0o600)
        self._user: str | None = None
        self._shared: SqlDatabase | None = None
        if os.getuid() == 0:
            self._user = self.owner
            user = pwd.getpwnam(self.owner)
            for path in (self.folder, self.certificate):
                os.chown(path, user.pw_uid, user.pw_gid)
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def prepare(self) -> None:
        """Make the data."""

    @abstractmethod
    def command(self) -> list[str]:
        """What to start."""

    @abstractmethod
    def administer(self, *statements: str, database: str = "") -> str:
        """Execute statements as the administrator; returns what they printed."""

    @abstractmethod
    def create(self, name: str) -> None:
        """Make a database that belongs to the user ``owner``."""

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run one of the server's tools as its user."""
        done = subprocess.run(
            command, user=self._user, cwd=self.folder, text=True, capture_output=True, check=False, **options
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                user=self._user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, str(self._process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # what ends all of the run, such as timeout(1), must not end its guard
        )
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text(errors="replace")[-2000:])
        try:
            self.administer("SELECT 1")
        except AssertionError:
            return False
        return True

    def processes(self) -> list[psutil.Process]:
        """The server's process and its children."""
        if self._process is None or self._process.poll() is not None:
            return []
        main = psutil.Process(self._process.pid)
        return [main, *main.children(recursive=True)]

    def kill(self) -> None:
        """End the server at once."""
        for process in self.processes():
            self._signal(process, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(START_SECONDS)
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def freeze(self) -> None:
        """Stop all its processes where they are."""
        for process in self.processes():
            self._signal(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for process in self.processes():
            self._signal(process, signal.SIGCONT)

    @staticmethod
    def _signal(process: psutil.Process, number: int) -> None:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)

    def shared(self) -> SqlDatabase:
        """An empty database with the tables of era_ap, the same one each time."""
        if self._shared is None:
            self._shared = self.database()
        return run(emptied(self._shared))

    def database(self, *, schema: bool = True, name: str | None = None) -> SqlDatabase:
        """A new database, with the tables of era_ap unless ``schema`` is False."""
        name = name or f"test{next(self._numbers)}"
        self.create(name)
        settings = SqlDatabase(
            SqlAddress(self.kind, name, "127.0.0.1", self.port, None, "owner", PASSWORD), poll_seconds=0.2
        )
        if schema:
            make_tables(settings)
        return settings

    def close(self) -> None:
        """End the server and remove all it had."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgreSql(Server):
    kind = SqlKind.POSTGRESQL
    owner = "postgres"

    def __init__(self) -> None:
        found = sorted(_POSTGRESQL.glob("*/bin/initdb"))
        which = shutil.which("initdb")
        if not found and which is None:
            pytest.skip("PostgreSQL's server is not installed (apt-get install postgresql)")
        self.programs = (found[-1] if found else Path(which or "").resolve()).parent
        super().__init__()

    def prepare(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self.run(
            str(self.programs / "initdb"), "-D", "data", "-U", "postgres", "-E", "UTF8", "--no-locale",
            "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}",
        )  # fmt: skip

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "synchronous_commit": "on",
            "full_page_writes": "off",
            "max_connections": 60,
            "shared_buffers": "64MB",
            "ssl": "on",
            "ssl_cert_file": self.certificate,
            "ssl_key_file": self.certificate,
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *options]

    def administer(self, *statements: str, database: str = "postgres") -> str:
        words = [word for statement in statements for word in ("-c", statement)]
        where = ["-h", str(self.folder), "-p", str(self.port), "-U", "postgres", "-d", database]
        return self.run(
            str(self.programs / "psql"), "-X", "-At", "-v", "ON_ERROR_STOP=1", *where, *words
        ).stdout

    def create(self, name: str) -> None:
        if not self.administer("SELECT 1 FROM pg_roles WHERE rolname = 'owner'"):
            self.administer(f"CREATE ROLE owner LOGIN PASSWORD '{quoted(PASSWORD)}'")
        self.administer(f"CREATE DATABASE {name} OWNER owner")


class MariaDb(Server):
    kind = SqlKind.MYSQL
    owner = "mysql"

    def __init__(self) -> None:
        for tool in ("mariadbd", "mariadb-install-db", "mariadb"):
            if shutil.which(tool, path=_PATH) is None:
                pytest.skip(f"MariaDB's {tool} is not installed (apt-get install mariadb-server)")
        super().__init__()

    def prepare(self) -> None:
        self.run(
            _tool("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder}/data", "--skip-test-db",
            "--auth-root-authentication-method=normal", "--innodb-log-file-size=16M",
        )  # fmt: skip

    def command(self) -> list[str]:
        return [
            _tool("mariadbd"), "--no-defaults", f"--datadir={self.folder}/data",
            f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid",
            f"--port={self.port}", "--bind-address=127.0.0.1",
            "--skip-networking=0", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=2",
            "--innodb-log-file-size=16M", "--character-set-server=latin1",
            f"--ssl-cert={self.certificate}", f"--ssl-key={self.certificate}",
        ]  # fmt: skip

    def administer(self, *statements: str, database: str = "") -> str:
        client = [_tool("mariadb"), "--no-defaults", f"--socket={self.folder}/socket", "-uroot", "-N", "-B"]
        client.append("--default-character-set=utf8mb4")
        return self.run(*client, database or "mysql", "-e", ";".join(statements)).stdout

    def create(self, name: str) -> None:
        password = quoted(PASSWORD)
        self.administer(
            f"CREATE DATABASE {name}",
            f"CREATE USER IF NOT EXISTS owner@'%' IDENTIFIED BY '{password}'",
            f"GRANT ALL ON {name}.* TO owner@'%'",
        )


class Sqlite:
    """Files instead of a server."""

    kind = SqlKind.SQLITE

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="era_ap_db_"))
        self._numbers = itertools.count(1)

    def shared(self) -> SqlDatabase:
        """A new file with the tables of era_ap."""
        return self.database()

    def database(self, *, schema: bool = True) -> SqlDatabase:
        """A new file; none is made unless ``schema``."""
        path = self.folder / f"test{next(self._numbers)}.db"
        settings = SqlDatabase(SqlAddress(self.kind, str(path)), poll_seconds=0.2)
        if schema:
            make_tables(settings)
        return settings

    def close(self) -> None:
        """Remove all files."""
        shutil.rmtree(self.folder, ignore_errors=True)


_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def _tool(name: str) -> str:
    return shutil.which(name, path=_PATH) or name


def quoted(text: str) -> str:
    """For a literal of SQL."""
    return text.replace("'", "''")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """A server of PostgreSQL for all tests."""
    server = PostgreSql()
    yield server
    server.close()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A server of MariaDB for all tests."""
    server = MariaDb()
    yield server
    server.close()


@pytest.fixture(scope="session")
def sqlite() -> Iterator[Sqlite]:
    """Files of SQLite."""
    files = Sqlite()
    yield files
    files.close()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def any_sql(request: pytest.FixtureRequest) -> Server | Sqlite:
    """Each kind of database in turn."""
    server: Server | Sqlite = request.getfixturevalue(request.param)
    return server
