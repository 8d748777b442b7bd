"""What Alembic runs: the steps, in the transaction of the connection that ``sql_upgrade`` has opened."""

from __future__ import annotations

from alembic import context

from era_ap.directory.sql_schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
