"""What operators are told of a database's errors: what helps, and never a value, a row or a password."""

from __future__ import annotations

import socket
import sqlite3
import ssl

import asyncmy.errors
import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from era_ap.directory.sql_failures import (
    UPGRADE,
    RepeatableError,
    lacks_table,
    refusal,
    refusal_of_edit,
    sentence,
)
from era_ap.errors import Reason, Refused

CLOSED = "the connection was closed by the server"
HINT = f"; {UPGRADE} if it is a database of era_ap"


def postgresql(kind: type[asyncpg.PostgresError], message: str) -> asyncpg.PostgresError:
    return kind(message)


def sqlite(statement: str, prepare: str = "") -> sqlite3.Error:
    with pytest.raises(sqlite3.Error) as caught, sqlite3.connect(":memory:") as connection:
        connection.executescript(prepare)
        connection.execute(statement)
    return caught.value


def caused(outer: BaseException, cause: BaseException) -> BaseException:
    outer.__cause__ = cause
    return outer


def wrapped(error: Exception) -> DBAPIError:
    """As SQLAlchemy raises it, with the statement and its values."""
    return DBAPIError("INSERT INTO sipusers VALUES ('SECRET')", {"password": "SECRET"}, error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer within 2.5 s"),
        (PoolTimeoutError(), "no connection of the pool became free within 2.5 s"),
        (ConnectionRefusedError(111, "x"), "nobody listens there"),
        (ConnectionResetError(), CLOSED),
        (EOFError(), CLOSED),
        (socket.gaierror(-2, "x"), "the name of the server is not known"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
        (ssl.SSLError(1, "x"), "TLS failed: SSLError"),
        (asyncpg.InterfaceError("SECRET"), CLOSED),
        (asyncpg.ConnectionDoesNotExistError("SECRET"), CLOSED),
        (
            postgresql(asyncpg.InvalidPasswordError, 'password authentication failed for user "u"'),
            'PostgreSQL says InvalidPasswordError (28P01): password authentication failed for user "u"',
        ),
        (
            postgresql(asyncpg.InsufficientPrivilegeError, "permission denied for table sipusers"),
            "PostgreSQL says InsufficientPrivilegeError (42501): permission denied for table sipusers",
        ),
        (
            postgresql(asyncpg.UndefinedTableError, 'relation "feed" does not exist'),
            f'relation "feed" does not exist{HINT}',
        ),
        (postgresql(asyncpg.UniqueViolationError, "SECRET"), "PostgreSQL says UniqueViolationError (23505)"),
        (postgresql(asyncpg.DataError, 'invalid input: "SECRET"'), "PostgreSQL says DataError (22000)"),
        (
            asyncmy.errors.OperationalError(1045, "Access denied for user 'u'@'h' (using password: YES)"),
            "the server says 1045: Access denied for user 'u'@'h' (using password: YES)",
        ),
        (
            asyncmy.errors.ProgrammingError(1146, "Table 'd.feed' doesn't exist"),
            f"Table 'd.feed' doesn't exist{HINT}",
        ),
        (asyncmy.errors.OperationalError(2013, "SECRET"), CLOSED),
        (
            asyncmy.errors.IntegrityError(1062, "Duplicate entry 'SECRET'"),
            "the server says IntegrityError 1062",
        ),
        (
            asyncmy.errors.ProgrammingError(1064, "You have an error near 'SECRET' at line 3"),
            "the server says ProgrammingError 1064 at line 3",
        ),
        (asyncmy.errors.InternalError("SECRET"), CLOSED),
        (
            caused(asyncmy.errors.OperationalError(2003, "Can't connect"), ConnectionRefusedError()),
            "nobody listens there",
        ),
        (sqlite("SELECT * FROM feed"), f"no such table: feed{HINT}"),
        (sqlite("SELECT 'SECRET' FRM x"), "SQLite says SQLITE_ERROR"),
        (
            sqlite("INSERT INTO t VALUES ('SECRET')", "CREATE TABLE t (a CHECK (a = ''));"),
            "SQLite says SQLITE_CONSTRAINT_CHECK",
        ),
        (
            sqlite("DELETE FROM t", "CREATE TABLE t (a); PRAGMA query_only=ON;"),
            "SQLite says SQLITE_READONLY: attempt to write a readonly database",
        ),
        (RuntimeError("SECRET"), "failed (RuntimeError)"),
    ],
)
def test_what_is_told(error: Exception, words: str) -> None:
    assert sentence(error, 2.5) == words
    assert "SECRET" not in sentence(wrapped(error), 2.5)
    refused = refusal(error, "postgresql://db/era", 2.5)
    assert refused.reason is Reason.DIRECTORY_UNAVAILABLE
    assert refused.detail == f"postgresql://db/era: {words}"


def test_the_cause_below_sqlalchemy_is_told() -> None:
    error = wrapped(
        caused(RuntimeError("adapter"), asyncpg.InvalidCatalogNameError('database "d" does not exist'))
    )  # type: ignore[arg-type]
    assert (
        sentence(error, 1) == 'PostgreSQL says InvalidCatalogNameError (3D000): database "d" does not exist'
    )


def test_what_was_on_its_way_before_is_not_told() -> None:
    error = TimeoutError()
    error.__context__ = asyncpg.InterfaceError("x")
    assert sentence(error, 1) == "no answer within 1 s"


@pytest.mark.parametrize(
    ("error", "repeatable"),
    [
        (asyncpg.DeadlockDetectedError("x"), True),
        (asyncpg.SerializationError("x"), True),
        (asyncpg.LockNotAvailableError("x"), True),
        (asyncmy.errors.OperationalError(1213, "x"), True),
        (asyncmy.errors.OperationalError(1205, "x"), True),
        (asyncpg.UniqueViolationError("x"), False),
        (asyncmy.errors.OperationalError(1045, "x"), False),
        (TimeoutError(), False),
    ],
)
def test_what_may_be_repeated(error: Exception, repeatable: bool) -> None:
    for each in (error, wrapped(error)):
        found = refusal(each, "n", 1)
        assert isinstance(found, Refused)
        assert isinstance(found, RepeatableError) is repeatable


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (asyncpg.UndefinedTableError("x"), True),
        (asyncmy.errors.ProgrammingError(1146, "x"), True),
        (sqlite("SELECT * FROM feed"), True),
        (asyncpg.UndefinedColumnError("x"), False),
        (asyncmy.errors.ProgrammingError(1054, "x"), False),
        (OSError(), False),
    ],
)
def test_a_missing_table_is_recognised(error: Exception, lacks: bool) -> None:
    assert lacks_table(wrapped(error)) is lacks


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (asyncpg.CheckViolationError("SECRET"), Reason.DOMAIN_INVALID),
        (asyncpg.UntranslatableCharacterError("SECRET"), Reason.DOMAIN_INVALID),
        (asyncmy.errors.DataError(1406, "SECRET"), Reason.DOMAIN_INVALID),
        (asyncmy.errors.OperationalError(4025, "SECRET"), Reason.DOMAIN_INVALID),
        (
            sqlite("INSERT INTO t VALUES ('SECRET')", "CREATE TABLE t (a CHECK (a = ''));"),
            Reason.DOMAIN_INVALID,
        ),
        (asyncpg.DiskFullError("full"), Reason.DIRECTORY_UNAVAILABLE),
        (asyncmy.errors.OperationalError(2013, "SECRET"), Reason.DIRECTORY_UNAVAILABLE),
        (sqlite("SELECT * FROM feed"), Reason.DIRECTORY_UNAVAILABLE),
        (TimeoutError(), Reason.DIRECTORY_UNAVAILABLE),
    ],
)
def test_values_that_are_not_taken_are_no_fault_of_the_database(error: Exception, reason: Reason) -> None:
    refused = refusal_of_edit(wrapped(error), "n", 1)
    assert refused.reason is reason
    assert "SECRET" not in refused.detail
