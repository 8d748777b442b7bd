"""Making the tables of a directory in a database, and bringing them up to date.

Owns the run of the migrations and the words about a database that is empty, behind or ahead. Does not own
the steps (``migrations``). Alembic is loaded only here, when somebody upgrades.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from era_ap.directory import migrations
from era_ap.directory.sql_connect import Use
from era_ap.directory.sql_database import Database
from era_ap.directory.sql_schema import HEAD, VERSION_TABLE, SchemaState, state_of

if TYPE_CHECKING:
    from era_ap.config.directory import SqlDatabase

_LOCK = 0x6572615F6170  # "era_ap": two upgrades at once wait for each other


async def upgrade(settings: SqlDatabase) -> tuple[SchemaState, SchemaState]:
    """Bring the tables to ``HEAD``; returns what they were and what they are. Nothing is done if AHEAD.

    Needs the right to create tables. A new file of SQLite is readable for its owner only. Raises ``Refused``
    DIRECTORY_UNAVAILABLE.
    """
    database = Database(settings, Use.UPGRADE)
    try:
        async with database.session() as session:
            before = await session.connection.run_sync(_upgrade)
            await session.commit()
    finally:
        await database.close()
    return before, before if before is SchemaState.AHEAD else SchemaState.CURRENT


def _upgrade(connection: sa.Connection) -> SchemaState:
    _lock(connection)
    known = sa.inspect(connection).has_table(VERSION_TABLE)
    version = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")) if known else None  # nosec B608 # noqa: S608
    before = state_of(version)
    if before in (SchemaState.EMPTY, SchemaState.BEHIND):
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
    return before


def _lock(connection: sa.Connection) -> None:
    """Of two upgrades at once the second waits, then finds nothing to do. SQLite waits by itself."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    elif connection.dialect.name != "sqlite":
        connection.execute(sa.text("SELECT GET_LOCK(:lock, 60)"), {"lock": f"era_ap {_LOCK}"})
