"""A database with limits: pool, time, transactions; every failure becomes ``Refused``.

Owns the engine and that nothing waits for ever: what passes its limit has its connection cut, which frees
the waiting call, the pool's place and the server. Does not own statements (``sql_source``, ``sql_writer``)
nor how one connects (``sql_connect``).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import AsyncAdaptedQueuePool, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from era_ap.config.database_url import SqlKind
from era_ap.directory.sql_connect import MASS, Connector, Use, abort
from era_ap.directory.sql_failures import FAILURES, RepeatableError, refusal, refusal_of_edit
from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from sqlalchemy import Executable

    from era_ap.config.directory import SqlDatabase

BEGIN = {Use.READ: "BEGIN", Use.WRITE: "BEGIN IMMEDIATE", Use.UPGRADE: "BEGIN IMMEDIATE"}


class Database:
    """The database of ``settings``, for one use. For one event loop."""

    def __init__(self, settings: SqlDatabase, use: Use = Use.READ) -> None:
        self.settings = settings
        self.name = settings.name
        self.seconds = settings.seconds
        self._use = use
        self._connector = Connector(settings, use)
        self._file: tuple[int, int] | None = None
        self.engine = self._engine()

    @property
    def kind(self) -> SqlKind:
        """The kind of database."""
        return self.settings.address.kind

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """One transaction on one connection: a snapshot (READ), or undone unless ``commit`` was called.

        Raises:
            Refused: DIRECTORY_UNAVAILABLE for everything the database does wrong, within the time limit;
                DOMAIN_INVALID where it does not take the values of an edit.
        """
        session = Session(self, await self._connection())
        try:
            yield session
        except FAILURES as error:
            lost = session.was_lost
            await session.drop()
            told = refusal_of_edit if self._use is Use.WRITE else refusal
            refused = told(error, self.name, self.seconds)
            raise (RepeatableError(refused.reason, refused.detail) if lost else refused) from None
        except Refused as refused:
            await session.drop()
            raise self._named(refused) from None
        except BaseException:
            await session.drop()
            raise
        await session.close()

    async def close(self) -> None:
        """Give back all connections; never raises."""
        try:
            async with asyncio.timeout(self.seconds):
                await self.engine.dispose()
        except FAILURES:
            pass
        finally:
            self._connector.close()

    def _engine(self) -> AsyncEngine:
        options: dict[str, Any] = {}
        if self._use is not Use.UPGRADE:  # SQLAlchemy itself reads JSON when it looks at tables
            options = {"json_serializer": _as_it_is, "json_deserializer": _as_it_is}
        if self.kind is SqlKind.POSTGRESQL:
            options["isolation_level"] = "REPEATABLE READ" if self._use is Use.READ else "READ COMMITTED"
            options["execution_options"] = {"postgresql_readonly": self._use is Use.READ}
            engine: AsyncEngine
            # Statements have no name and live as long as their transaction: a proxy that shares connections,
            # such as PgBouncer, may give us another connection for each.
            options["creator"] = lambda: engine.sync_engine.dialect.loaded_dbapi.connect(
                async_creator_fn=self._connector,
                prepared_statement_cache_size=0,
                prepared_statement_name_func=lambda: "",
            )
        else:
            options["async_creator"] = self._connector
        engine = create_async_engine(
            f"{self.kind.value}://",
            poolclass=AsyncAdaptedQueuePool,
            pool_size=self.settings.pool,
            max_overflow=0,
            pool_timeout=self.seconds,
            hide_parameters=True,
            **options,
        )
        if self.kind is SqlKind.SQLITE:
            begin = BEGIN[self._use]
            event.listen(engine.sync_engine, "begin", lambda sync: sync.exec_driver_sql(begin))
        return engine

    async def _connection(self) -> AsyncConnection:
        late = False

        def expire() -> None:
            nonlocal late
            late = True
            self._abort_unfinished()

        timer = asyncio.get_running_loop().call_later(2 * self.seconds, expire)
        try:
            if self.kind is SqlKind.SQLITE:
                await self._follow_file()
            connection = await self.engine.connect()
            self._connector.unfinished.discard((await connection.get_raw_connection()).driver_connection)
        except Refused as refused:
            raise self._named(refused) from None
        except FAILURES as error:
            self._abort_unfinished()
            raise refusal(TimeoutError() if late else error, self.name, self.seconds) from None
        finally:
            timer.cancel()
        return connection

    def _named(self, refused: Refused) -> Refused:
        """The same, and which database it is about where that is the point."""
        about_us = refused.reason is Reason.DIRECTORY_UNAVAILABLE
        if not about_us or refused.detail.startswith(self.name):
            return refused
        return Refused(refused.reason, f"{self.name}: {refused.detail}")

    def _abort_unfinished(self) -> None:
        while self._connector.unfinished:
            abort(self._connector.unfinished.pop())

    async def _follow_file(self) -> None:
        """Open connections would go on with a file that was replaced (a backup put back)."""
        try:
            found = await self._connector.in_thread(Path(self.settings.address.database).stat)
        except OSError:
            return  # connecting tells what is wrong with it
        identity = (found.st_dev, found.st_ino)
        if self._file not in (None, identity):
            await self.engine.dispose()
        self._file = identity


def _as_it_is(text: str) -> str:
    """Columns of JSON are written and read as text: what is made of it need not happen on the loop."""
    return text


class Session:
    """A transaction. Every call is within the limit, or ``seconds`` of its own."""

    def __init__(self, database: Database, connection: AsyncConnection) -> None:
        self.connection = connection
        self._database = database
        self._late = False
        self._committing = False

    @property
    def was_lost(self) -> bool:
        """Whether the connection broke at once and before the end, as after a restart of the server."""
        return self.connection.invalidated and not self._late and not self._committing

    async def rows(
        self,
        statement: Executable,
        values: Mapping[str, object] | None = None,
        *,
        mass: bool = False,
    ) -> Sequence[Any]:
        """All rows of a query; ``mass`` for one that may take longer."""
        async with self._limit(self._database.seconds * (MASS if mass else 1)):
            return (await self.connection.execute(statement, values)).all()

    async def pages(
        self, statement: Executable, values: Mapping[str, object] | None, size: int
    ) -> AsyncIterator[tuple[Sequence[str], Sequence[Any]]]:
        """The names of the columns with ``size`` rows at a time, from a cursor that the server keeps."""
        seconds = self._database.seconds * MASS
        async with self._limit(seconds):
            result = await self.connection.stream(statement, values)
        names = tuple(result.keys())
        while True:
            async with self._limit(seconds):
                rows = await result.fetchmany(size)
            yield names, rows
            if len(rows) < size:
                break
        async with self._limit(seconds):
            await result.close()

    async def run(
        self,
        statement: Executable,
        values: Mapping[str, object] | Sequence[Mapping[str, object]] | None = None,
    ) -> int:
        """Do what returns no rows, once or for each of ``values``; returns how many rows it met."""
        async with self._limit(self._database.seconds * MASS):
            return (await self.connection.execute(statement, values)).rowcount

    async def commit(self) -> None:
        """Make all of it happen."""
        self._committing = True
        async with self._limit(self._database.seconds):
            await self.connection.commit()

    async def close(self) -> None:
        """End the transaction; the connection goes back to the pool."""
        try:
            async with self._limit(self._database.seconds):
                await self.connection.close()
        except FAILURES:
            await self.drop()

    async def drop(self) -> None:
        """End the transaction after a failure; the connection is not used again where that is in doubt."""
        if not self.connection.invalidated and not self._late:
            try:
                async with self._limit(self._database.seconds):
                    await self.connection.rollback()
            except FAILURES:
                pass
        try:
            if self._late and not self.connection.invalidated:
                await self.connection.invalidate()
            await self.connection.close()
        except FAILURES:
            pass

    @asynccontextmanager
    async def _limit(self, seconds: float) -> AsyncIterator[None]:
        timer = asyncio.get_running_loop().call_later(seconds, self._expire)
        try:
            yield
        except FAILURES:
            if self._late:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self._late = True
        raw = self.connection.sync_connection
        if raw is not None and not raw.closed and not raw.invalidated:
            abort(raw.connection.driver_connection)
