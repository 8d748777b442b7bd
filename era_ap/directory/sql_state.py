"""Whether the tables of a database are those that this version of era_ap knows.

Owns the question and its words. Does not own bringing them up to date (``sql_upgrade``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, column, select, table
from sqlalchemy.exc import DBAPIError

from era_ap.directory.sql_connect import Use
from era_ap.directory.sql_database import Database, Session
from era_ap.directory.sql_failures import UPGRADE, lacks_table
from era_ap.directory.sql_schema import VERSION_TABLE, SchemaState, state_of
from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from era_ap.config.directory import SqlDatabase

_VERSION: Select[Any] = select(column("version_num")).select_from(table(VERSION_TABLE))


async def read_state(session: Session) -> SchemaState:
    """How the tables stand; fails like every query where there are none."""
    rows = await session.rows(_VERSION)
    return state_of(rows[0][0] if rows else None)


async def require_current(session: Session) -> None:
    """Raises ``Refused`` unless everything may be read and written."""
    state = await read_state(session)
    if state is not SchemaState.CURRENT:
        advice = "" if state is SchemaState.AHEAD else f"; {UPGRADE}"
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, f"the database {state.value}{advice}")


async def schema_state(settings: SqlDatabase) -> SchemaState:
    """How the tables of a database stand. Raises ``Refused`` DIRECTORY_UNAVAILABLE."""
    database = Database(settings, Use.READ)
    try:
        async with database.session() as session:
            try:
                return await read_state(session)
            except DBAPIError as error:
                if lacks_table(error):
                    return SchemaState.EMPTY
                raise
    finally:
        await database.close()
