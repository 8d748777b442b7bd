"""The SQL directory as a source, on every kind of database: the contract of all back ends, and its feed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from directory_contract import DirectoryContract
from sql_backend import SqlBackend

from tests.databases import Server, Sqlite


@pytest.fixture
def backend(any_sql: Server | Sqlite) -> Iterator[SqlBackend]:
    backend = SqlBackend(any_sql.shared())
    yield backend
    backend.close()


class TestContract(DirectoryContract):
    pass
