"""The tables of a directory in a SQL database, as they are at ``HEAD`` (migrations lead there).

Owns names and types. A row's ``revision`` is the number of the transaction that wrote it: ``feed`` holds the
last one, and its row lock, taken first by every writer, makes these numbers follow each other in the order
of commits, so that a reader who has seen N misses nothing below it. ``revisions`` proves to a reader that
the number it knows is of this history (not of a backup put back, or of a standby that lagged), and
``tombstones`` tell what was removed. Does not own the form of a document's columns (``sql_rows``).
"""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import JSON

HEAD = "0001"
CHANNEL = "era_ap_directory"
"""What PostgreSQL's NOTIFY tells of each transaction, with its revision."""

VERSION_TABLE = "era_ap_schema"


class SchemaState(enum.Enum):
    """How the tables of a database stand to this version of era_ap."""

    EMPTY = "has no tables of era_ap yet"
    BEHIND = "has tables of an older version"
    CURRENT = "is up to date"
    AHEAD = "has tables of a newer version; update era_ap"


def state_of(version: str | None) -> SchemaState:
    """What a version that was read means; None where the table of versions is missing or empty."""
    if version is None:
        return SchemaState.EMPTY
    if version == HEAD:
        return SchemaState.CURRENT
    return SchemaState.BEHIND if version < HEAD else SchemaState.AHEAD


metadata = MetaData()

# Names are compared byte by byte everywhere: "Anna", "anna" and "ánna" are three logins.
Name = (
    String(253)
    .with_variant(postgresql.VARCHAR(253, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(253, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
)
Login = (
    String(128)
    .with_variant(postgresql.VARCHAR(128, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(128, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
)
Mac = String(12).with_variant(mysql.CHAR(12, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
Value = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
Json = JSON(none_as_null=True)
Number = BigInteger().with_variant(Integer(), "sqlite")
_INNODB: dict[str, Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB", "mysql_charset": "utf8mb4"}

feed = Table(
    "feed",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("revision", Number, nullable=False),
    **_INNODB,
)

revisions = Table(
    "revisions",
    metadata,
    Column("revision", Number, primary_key=True, autoincrement=False),
    Column("token", String(16), nullable=False),
    Column("at", Number, nullable=False),
    **_INNODB,
)

domains = Table(
    "domains",
    metadata,
    Column("name", Name, primary_key=True),
    Column("settings", Json),
    Column("fields", Json),
    Column("revision", Number, nullable=False),
    Index("domains_revision", "revision"),
    **_INNODB,
)
"""``fields`` is NULL where the domain has no document of its own, only accounts."""

sipusers = Table(
    "sipusers",
    metadata,
    Column("domain", Name, ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
    Column("login", Login, primary_key=True),
    Column("password", Value),
    Column("opts", Json),
    Column("ext", Json),
    Column("fields", Json, nullable=False),
    Column("revision", Number, nullable=False),
    Index("sipusers_revision", "revision"),
    **_INNODB,
)

devices = Table(
    "devices",
    metadata,
    Column("domain", Name, primary_key=True),
    Column("login", Login, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("mac", Mac, nullable=False),
    Column("model", Value),
    Column("line", Integer, nullable=False),
    ForeignKeyConstraint(["domain", "login"], ["sipusers.domain", "sipusers.login"], ondelete="CASCADE"),
    Index("devices_mac", "mac"),
    **_INNODB,
)
"""Who has a MAC, for people and other programs; it follows from ``sipusers.opts`` and ``ext``."""

tombstones = Table(
    "tombstones",
    metadata,
    Column("domain", Name, primary_key=True),
    Column("login", Login, primary_key=True),
    Column("revision", Number, nullable=False),
    Index("tombstones_revision", "revision"),
    **_INNODB,
)
"""What was removed; ``login`` is empty for a whole domain."""

originals = Table(
    "originals",
    metadata,
    Column("domain", Name, ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
    Column("login", Login, primary_key=True),
    Column("file", Value, nullable=False),
    Column("text", Value, nullable=False),
    **_INNODB,
)
"""Files that were imported and whose text an export must give back; ``login`` is empty for the domain's."""
