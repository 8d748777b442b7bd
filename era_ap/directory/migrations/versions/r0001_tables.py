"""The first tables. Written out, not taken from ``sql_schema``: a step stays what it was."""

from __future__ import annotations

import secrets
import time
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_INNODB: dict[str, Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Make the tables, and the first revision of the feed."""
    _feed()
    _documents()
    _devices()


def downgrade() -> None:
    """Drop the tables with all they hold."""
    for table in ("originals", "devices", "tombstones", "sipusers", "domains", "revisions", "feed"):
        op.drop_table(table)


def _name() -> sa.types.TypeEngine[str]:
    return (
        sa.String(253)
        .with_variant(postgresql.VARCHAR(253, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(253, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
    )


def _login() -> sa.types.TypeEngine[str]:
    return (
        sa.String(128)
        .with_variant(postgresql.VARCHAR(128, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(128, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
    )


def _value() -> sa.types.TypeEngine[str]:
    long = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return sa.Text().with_variant(long, "mysql", "mariadb")


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _feed() -> None:
    feed = op.create_table(
        "feed",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("revision", _number(), nullable=False),
        **_INNODB,
    )
    revisions = op.create_table(
        "revisions",
        sa.Column("revision", _number(), primary_key=True, autoincrement=False),
        sa.Column("token", sa.String(16), nullable=False),
        sa.Column("at", _number(), nullable=False),
        **_INNODB,
    )
    op.bulk_insert(feed, [{"id": 1, "revision": 1}])
    op.bulk_insert(revisions, [{"revision": 1, "token": secrets.token_hex(8), "at": int(time.time())}])
    op.create_table(
        "tombstones",
        sa.Column("domain", _name(), primary_key=True),
        sa.Column("login", _login(), primary_key=True),
        sa.Column("revision", _number(), nullable=False),
        **_INNODB,
    )
    op.create_index("tombstones_revision", "tombstones", ["revision"])


def _documents() -> None:
    op.create_table(
        "domains",
        sa.Column("name", _name(), primary_key=True),
        sa.Column("settings", sa.JSON),
        sa.Column("fields", sa.JSON),
        sa.Column("revision", _number(), nullable=False),
        **_INNODB,
    )
    op.create_index("domains_revision", "domains", ["revision"])
    op.create_table(
        "sipusers",
        sa.Column("domain", _name(), sa.ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("login", _login(), primary_key=True),
        sa.Column("password", _value()),
        sa.Column("opts", sa.JSON),
        sa.Column("ext", sa.JSON),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("revision", _number(), nullable=False),
        **_INNODB,
    )
    op.create_index("sipusers_revision", "sipusers", ["revision"])
    op.create_table(
        "originals",
        sa.Column("domain", _name(), sa.ForeignKey("domains.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("login", _login(), primary_key=True),
        sa.Column("file", _value(), nullable=False),
        sa.Column("text", _value(), nullable=False),
        **_INNODB,
    )


def _devices() -> None:
    mac = sa.String(12).with_variant(
        mysql.CHAR(12, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )
    op.create_table(
        "devices",
        sa.Column("domain", _name(), primary_key=True),
        sa.Column("login", _login(), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("mac", mac, nullable=False),
        sa.Column("model", _value()),
        sa.Column("line", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["domain", "login"], ["sipusers.domain", "sipusers.login"], ondelete="CASCADE"
        ),
        **_INNODB,
    )
    op.create_index("devices_mac", "devices", ["mac"])
