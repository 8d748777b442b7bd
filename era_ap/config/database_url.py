"""The URL of a SQL database, in the notation of SQLAlchemy, read strictly.

Owns the parts of a URL and what is wrong with one. No finding, text or ``repr`` ever shows the password, so
findings do not show the value at all. Does not own drivers.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from era_ap.config.problems import DisagreementError, nearest

if TYPE_CHECKING:
    from pydantic import ValidationInfo

_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]+)?")


class SqlKind(enum.StrEnum):
    """A kind of database, by the scheme of its URL."""

    SQLITE = "sqlite+aiosqlite"
    POSTGRESQL = "postgresql+asyncpg"
    MYSQL = "mysql+asyncmy"


_SCHEMES = {kind.value: kind for kind in SqlKind} | {"mariadb+asyncmy": SqlKind.MYSQL}
_NEAR = {
    "sqlite": SqlKind.SQLITE,
    "postgres": SqlKind.POSTGRESQL,
    "postgresql": SqlKind.POSTGRESQL,
    "mysql": SqlKind.MYSQL,
    "mariadb": SqlKind.MYSQL,
}
_SOCKET_KEYS = {SqlKind.POSTGRESQL: "host", SqlKind.MYSQL: "unix_socket"}


@dataclass(frozen=True, slots=True)
class SqlAddress:
    """A database: ``database`` is its name, for SQLite its file.

    ``socket`` is the UNIX socket, for PostgreSQL its folder. As text: a URL without user and password.
    """

    kind: SqlKind
    database: str
    host: str | None = None
    port: int | None = None
    socket: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        scheme = self.kind.value.partition("+")[0]
        if self.kind is SqlKind.SQLITE:
            return f"{scheme}:{self.database}"
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host or self.socket
        return f"{scheme}://{host}{f':{self.port}' if self.port else ''}/{self.database}"


def is_database_url(text: str) -> bool:
    """Whether somebody means a database, right or wrong."""
    return text.partition(":")[0].partition("+")[0].lower() in _NEAR


def as_database(value: object, info: ValidationInfo) -> SqlAddress:
    """The converter of a shape; see ``read_url``."""
    base: Path | None = (info.context or {}).get("base")
    return value if isinstance(value, SqlAddress) else read_url(value, base)


def read_url(value: object, base: Path | None) -> SqlAddress:
    """A URL as text; a relative file of SQLite starts at ``base``. Raises ``DisagreementError``."""
    if not isinstance(value, str) or not value.isprintable():
        raise DisagreementError("must be text like postgresql+asyncpg://USER@HOST/DATABASE")
    scheme, colon, rest = value.partition("://")
    kind = _SCHEMES.get(scheme)
    if kind is None or not colon:
        near = _NEAR.get(scheme.partition("+")[0].partition(":")[0].lower())
        names = [near] if near else list(SqlKind)
        raise DisagreementError("must begin with " + " or ".join(f"{name.value}://" for name in names))
    if kind is SqlKind.SQLITE:
        return SqlAddress(kind, str(_file(rest, base)))
    try:
        return _server(kind, urlsplit(f"//{rest}"))
    except DisagreementError:
        raise
    except ValueError:
        form = f"{kind.value}://USER@HOST:PORT/DATABASE"
        raise DisagreementError(f"is not like {form}; a password belongs into password_file") from None


def _file(rest: str, base: Path | None) -> Path:
    path = rest.removeprefix("/")
    if path == rest or path in ("", "/", ":memory:") or "?" in path:
        raise DisagreementError("needs a file, like sqlite+aiosqlite:///./directory.db")
    try:
        file = Path(unquote(path)).expanduser()
    except RuntimeError:
        raise DisagreementError("must be a path; its home folder (~) is not known") from None
    return base / file if base else file


def _server(kind: SqlKind, url: SplitResult) -> SqlAddress:
    database = unquote(url.path.removeprefix("/"))
    if not database or "/" in database or url.fragment:
        raise DisagreementError("needs the name of the database after the host, like //USER@HOST/DATABASE")
    keys = dict(parse_qsl(url.query, keep_blank_values=True))
    key = _SOCKET_KEYS[kind]
    socket = keys.pop(key, None)
    if keys:
        raise DisagreementError(f"has a key after '?' that is not used here; {nearest('', [key])}")
    if (socket is None) == (not url.hostname) or (socket is not None and not socket.startswith("/")):
        raise DisagreementError(f"needs either a host or the path of a socket, like ///DATABASE?{key}=/PATH")
    if url.hostname and not _HOST.fullmatch(url.hostname):
        raise DisagreementError("has a host that is neither a name nor an address")
    return SqlAddress(
        kind=kind,
        database=database,
        host=url.hostname or None,
        port=url.port,
        socket=socket,
        user=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
    )
