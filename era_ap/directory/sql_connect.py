"""Connecting to a database: driver, password, TLS, limits that the server keeps for us.

Owns what each driver is told. Passwords and certificates are read at each connecting, so that they can be
replaced; names are looked up in one thread of our own, so that a stalled resolver costs one thread and
nobody else's. Does not own pools nor transactions (``sql_database``).
"""

from __future__ import annotations

import asyncio
import enum
import getpass
import logging
import math
import os
import sqlite3
import ssl
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from socket import SOCK_STREAM, getaddrinfo
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiosqlite
import asyncmy.connection
import asyncpg  # type: ignore[import-untyped]

from era_ap.config.database_url import SqlKind
from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from era_ap.config.directory import SqlDatabase

MASS = 10
"""Mass reading may take so many times the limit of a single statement."""

_FILE_BYTES = 4096
_LOCKED_SECONDS = 0.02
_LOGGERS = ("aiosqlite", "asyncmy", "asyncpg", "sqlalchemy.pool")
"""They log statements with their values, or failures that are told by ``Refused`` anyway, once."""

_PORTS = {SqlKind.POSTGRESQL: 5432, SqlKind.MYSQL: 3306}
_Mysql: Any = asyncmy.connection.Connection  # its stubs have no types
_SQL_MODE = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"


class Use(enum.Enum):
    """What connections are for; only UPGRADE may create a file of SQLite, and has no limits of its own."""

    READ = "read"
    WRITE = "write"
    UPGRADE = "upgrade"


class Connector:
    """Makes driver connections; ``unfinished`` are those that nobody has taken over yet."""

    def __init__(self, settings: SqlDatabase, use: Use) -> None:
        self.unfinished: set[Any] = set()
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._settings = settings
        self._use = use
        self._thread: ThreadPoolExecutor | None = None
        self._busy: Future[Any] | None = None

    async def __call__(self) -> Any:
        """A driver's connection within the time limit; raises what the driver raises, or ``Refused``."""
        async with asyncio.timeout(self._settings.seconds):
            match self._settings.address.kind:
                case SqlKind.SQLITE:
                    made = await self._sqlite()
                case SqlKind.POSTGRESQL:
                    made = await self._postgresql()
                case SqlKind.MYSQL:
                    made = await self._mysql()
        self.unfinished.add(made)
        return made

    def close(self) -> None:
        """Let go of the thread."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, work: Any, *arguments: object) -> Any:
        """``work`` in the one thread, within the time limit; nothing queues up behind work that hangs."""
        async with asyncio.timeout(self._settings.seconds):
            while self._busy is not None and not self._busy.done():
                await asyncio.wait({asyncio.wrap_future(self._busy)})
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="sql")
            self._busy = self._thread.submit(work, *arguments)
            return await asyncio.shield(asyncio.wrap_future(self._busy))

    async def _sqlite(self) -> Any:
        path = Path(self._settings.address.database)
        if self._use is Use.UPGRADE:
            await self.in_thread(_touch, path)
        # Less than our limit: its own word, that the file is locked, says more.
        seconds = self._settings.seconds * 0.8
        address = f"file:{quote(str(path))}?mode=rw"
        connecting = aiosqlite.connect(address, uri=True, isolation_level=None, timeout=seconds)
        connecting._thread.daemon = True  # one that hangs on a dead disk must not keep the process
        made = await connecting
        try:
            await made.execute("PRAGMA foreign_keys=ON")
            if self._use is Use.READ:
                await made.execute("PRAGMA query_only=ON")
            elif self._use is Use.UPGRADE:
                await _keep_wal(made, seconds)
        except Exception:
            await made.close()
            raise
        return made

    async def _postgresql(self) -> Any:
        address = self._settings.address
        settings = {"application_name": "era_ap"}
        if self._use is not Use.UPGRADE:
            limit = math.ceil(self._settings.seconds * 1000)
            settings["statement_timeout"] = str(limit * MASS)
            settings["idle_in_transaction_session_timeout"] = str(limit * MASS)
            settings["lock_timeout"] = str(limit)
        return await asyncpg.connect(
            host=address.host or address.socket,
            port=address.port or _PORTS[address.kind],
            user=address.user or getpass.getuser(),
            password=await self._prepared(),
            database=address.database,
            ssl=await self._tls() or False,
            timeout=self._settings.seconds,
            statement_cache_size=0,  # see sql_database
            server_settings=settings,
        )

    async def _mysql(self) -> Any:
        address = self._settings.address
        made = _Mysql(
            host=address.host,
            port=address.port or _PORTS[address.kind],
            unix_socket=address.socket,
            user=address.user or getpass.getuser(),
            password=await self._prepared() or "",
            database=address.database,
            charset="utf8mb4",
            ssl=await self._tls(),
            sql_mode=f"'{_SQL_MODE}'",
            connect_timeout=self._settings.seconds,
        )
        await made.connect()
        try:
            for statement in self._mysql_session("MariaDB" in made.get_server_info()):
                await made.query(statement)
        except BaseException:
            made.close()
            raise
        return made

    def _mysql_session(self, mariadb: bool) -> list[str]:
        level = "READ COMMITTED" if self._use is Use.WRITE else "REPEATABLE READ"
        access = ", READ ONLY" if self._use is Use.READ else ""
        statements = [f"SET SESSION TRANSACTION ISOLATION LEVEL {level}{access}"]
        if self._use is not Use.UPGRADE:
            seconds = math.ceil(self._settings.seconds)
            statements.append(f"SET SESSION innodb_lock_wait_timeout = {seconds}")
            most = f"max_statement_time = {seconds * MASS}" if mariadb else ""
            statements.append(f"SET SESSION {most or f'max_execution_time = {seconds * MASS * 1000}'}")
        return statements

    async def _prepared(self) -> str | None:
        """The password, once the server's name is known to have addresses."""
        address = self._settings.address
        if address.host is not None and not _is_address(address.host):
            await self.in_thread(getaddrinfo, address.host, address.port, 0, SOCK_STREAM)
        if self._settings.password_file is None:
            return address.password
        password: str = await self.in_thread(_read_password, self._settings.password_file)
        return password

    async def _tls(self) -> ssl.SSLContext | None:
        return await self.in_thread(_tls_context, self._settings) if self._settings.tls else None


def abort(connection: Any) -> None:
    """End a driver's connection at once, whatever it waits for; what waits gets an error."""
    if isinstance(connection, aiosqlite.Connection):
        if connection._connection is not None:
            connection._connection.interrupt()
    elif isinstance(connection, _Mysql):
        transport = connection._transport
        connection.close()
        if transport is not None:
            transport.abort()  # closing alone would first send what a silent server does not take
    else:
        connection.terminate()


def _touch(path: Path) -> None:
    """A new file of SQLite is ours alone: it will hold passwords."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


async def _keep_wal(connection: aiosqlite.Connection, seconds: float) -> None:
    """Let readers never wait for writers; the file remembers it.

    SQLite does not wait for the lock that this takes. Raises sqlite3.OperationalError after ``seconds``.
    """
    until = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            await connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            is_locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_locked or asyncio.get_running_loop().time() > until:
                raise
        else:
            return
        await asyncio.sleep(_LOCKED_SECONDS)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _read_password(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES).decode()
    except OSError as error:
        raise _unusable(f"password_file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _unusable(f"password_file {path}: is not text") from None
    password = text.partition("\n")[0].removesuffix("\r")
    if not password:
        raise _unusable(f"password_file {path}: its first line is empty")
    return password


def _tls_context(settings: SqlDatabase) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ValueError):
        raise _unusable("ca_file, cert_file or key_file cannot be used; they are PEM files") from None
    return context


def _unusable(detail: str) -> Refused:
    return Refused(Reason.DIRECTORY_UNAVAILABLE, detail)
