"""The source that a database of the configuration is: ours, or a foreign one that is asked by queries.

Owns the choice. Whoever imports this loads SQLAlchemy and the drivers, so do it where there is a database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era_ap.directory.sql_queries import QuerySource
from era_ap.directory.sql_source import SqlSource

if TYPE_CHECKING:
    from era_ap.config.directory import SqlDatabase
    from era_ap.directory.source import Source


def sql_source(settings: SqlDatabase) -> Source:
    """The source of ``settings``; it connects when it is first looked at."""
    return SqlSource(settings) if settings.queries is None else QuerySource(settings)
