"""What went wrong with a database, in words that hold no secret.

Owns the translation of drivers' exceptions. Their texts may carry passwords, whole rows or statements with
values, so a text is used only where its kind cannot: what names tables, columns, users and servers.
"""

from __future__ import annotations

import re
import socket
import sqlite3
import ssl
from collections.abc import Iterator

import asyncmy.errors
import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.exc import DBAPIError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from era_ap.errors import Reason, Refused

UPGRADE = "run 'era-ap directory upgrade'"

_POSTGRESQL_TEXTS = ("25", "28", "3D", "42", "53", "55", "57")
"""Classes of SQLSTATE whose messages name objects and never values (PostgreSQL manual, appendix A)."""

_MYSQL_TEXTS = frozenset(
    {1040, 1044, 1045, 1049, 1054, 1129, 1130, 1142, 1143, 1146, 1203, 1205, 1213, 1226, 1267}
)
_MYSQL_NO_TABLE, _MYSQL_SYNTAX = 1146, 1064
_MYSQL_CONNECTING = frozenset({2002, 2003})
"""The network's error, which is the cause, says more."""
_SQLITE_KINDS = re.compile("SQLITE_(BUSY|CORRUPT|FULL|INTERRUPT|IOERR|LOCKED|NOTADB|PERM|READONLY)")
_SQLITE_OBJECT = re.compile(r"no such (table|column): [\w.]+")
_CLOSED = "the connection was closed by the server"
_NETWORK: tuple[tuple[type[BaseException], str], ...] = (
    (PoolTimeoutError, "no connection of the pool became free within {:g} s"),
    (TimeoutError, "no answer within {:g} s"),
    (ConnectionRefusedError, "nobody listens there"),
    (socket.gaierror, "the name of the server is not known"),
    (ConnectionError, _CLOSED),
    (EOFError, _CLOSED),
)
_POSTGRESQL_VALUE = ("22", "23", "54")
_MYSQL_VALUE = frozenset({1048, 1062, 1153, 1264, 1292, 1366, 1406, 1452, 3140, 3157, 4025})
_SQLITE_VALUE = re.compile("SQLITE_(CONSTRAINT|MISMATCH|TOOBIG)")
_SERIALISE = frozenset({"40001", "40P01", "55P03"})
_MYSQL_SERIALISE = frozenset({1205, 1213, 1020})

FAILURES = (
    DBAPIError,
    PoolTimeoutError,
    InvalidRequestError,
    NoSuchModuleError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncmy.errors.MySQLError,
    sqlite3.Error,
    OSError,
    TimeoutError,
    EOFError,
    ConnectionError,
)
"""Everything that drivers and SQLAlchemy raise where the database is at fault."""


class RepeatableError(Refused):
    """Nothing happened, and the same transaction done again may well succeed.

    A deadlock, another one that came first, or a connection that was in the pool while its server was away.
    """


def refusal(error: BaseException, name: str, seconds: float) -> Refused:
    """The failure of the source ``name`` as ``Refused`` DIRECTORY_UNAVAILABLE; ``seconds`` was the limit."""
    kind = RepeatableError if _lost_race(error) else Refused
    return kind(Reason.DIRECTORY_UNAVAILABLE, f"{name}: {sentence(error, seconds)}")


def refusal_of_edit(error: BaseException, name: str, seconds: float) -> Refused:
    """The same for an edit: values that the database does not take are no fault of the database."""
    refused = refusal(error, name, seconds)
    if not any(map(_is_about_values, _causes(error))):
        return refused
    detail = f"the database does not take the values: {sentence(error, seconds)}"
    return Refused(Reason.DOMAIN_INVALID, detail)


def sentence(error: BaseException, seconds: float) -> str:
    """What happened and, where it is known, what to do."""
    for cause in _causes(error):
        said = _driver(cause) or _network(cause, seconds)
        if said is not None:
            return said
    return f"failed ({type(error).__name__})"


def lacks_table(error: BaseException) -> bool:
    """Whether a table does not exist."""
    return any(
        isinstance(cause, asyncpg.UndefinedTableError)
        or (isinstance(cause, asyncmy.errors.MySQLError) and _number(cause) == _MYSQL_NO_TABLE)
        or (isinstance(cause, sqlite3.Error) and str(cause).startswith("no such table"))
        for cause in _causes(error)
    )


def _lost_race(error: BaseException) -> bool:
    for cause in _causes(error):
        if getattr(cause, "sqlstate", None) in _SERIALISE:
            return True
        if isinstance(cause, asyncmy.errors.MySQLError) and _number(cause) in _MYSQL_SERIALISE:
            return True
        if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorname", "") == "SQLITE_BUSY":
            return True
    return False


def _is_about_values(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_POSTGRESQL_VALUE)
    if isinstance(error, asyncmy.errors.MySQLError):
        return _number(error) in _MYSQL_VALUE
    name = getattr(error, "sqlite_errorname", "")
    return isinstance(error, sqlite3.Error) and _SQLITE_VALUE.match(name) is not None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, then what SQLAlchemy wrapped in it or what it was raised from, and so on."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        wrapped = getattr(error, "orig", None) or error.__cause__
        error = wrapped or (None if error.__suppress_context__ else error.__context__)


def _driver(error: BaseException) -> str | None:
    if isinstance(error, asyncpg.PostgresError):
        return _postgresql(error)
    if isinstance(error, asyncpg.InterfaceError):
        return _CLOSED
    if isinstance(error, asyncmy.errors.MySQLError):
        return _mysql(error)
    return _sqlite(error) if isinstance(error, sqlite3.Error) else None


def _postgresql(error: asyncpg.PostgresError) -> str:
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return f"{_line(error)}; {UPGRADE} if it is a database of era_ap"
    code = error.sqlstate or "?????"
    if code.startswith("08"):
        return _CLOSED
    text = f": {_line(error)}" if code.startswith(_POSTGRESQL_TEXTS) else ""
    return f"PostgreSQL says {type(error).__name__} ({code}){text}"


def _mysql(error: asyncmy.errors.MySQLError) -> str | None:
    number = _number(error)
    if number in _MYSQL_CONNECTING and error.__cause__ is not None:
        return None
    text = str(error.args[1]) if len(error.args) > 1 else ""
    if number == _MYSQL_NO_TABLE:
        return f"{_first_line(text)}; {UPGRADE} if it is a database of era_ap"
    if number in _MYSQL_TEXTS:
        return f"the server says {number}: {_first_line(text)}"
    line = re.search(r"at line \d+$", text) if number == _MYSQL_SYNTAX else None
    if number == 0 or number in range(2000, 3000):
        return _CLOSED
    return f"the server says {type(error).__name__} {number}{f' {line[0]}' if line else ''}"


def _sqlite(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    missing = _SQLITE_OBJECT.match(str(error))
    if missing:
        return f"{missing[0]}; {UPGRADE} if it is a database of era_ap"
    if name.startswith("SQLITE_CANTOPEN"):
        return f"the file cannot be opened; {UPGRADE} if it is not there yet"
    text = f": {_line(error)}" if _SQLITE_KINDS.match(name) else ""
    return f"SQLite says {name}{text}"


def _network(error: BaseException, seconds: float) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {getattr(error, 'verify_message', '')}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'reason', None) or type(error).__name__}"
    for kind, words in _NETWORK:
        if isinstance(error, kind):
            return words.format(seconds)
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else None


def _number(error: asyncmy.errors.MySQLError) -> int:
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def _line(error: BaseException) -> str:
    return _first_line(str(error.args[0]) if error.args else "")


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:200]
