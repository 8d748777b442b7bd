"""Databases of telephone switches for tests: tables as those projects define them, filled row by row.

Columns and types stand in ``tests/data/pbx``; ``deploy/sql`` has the queries and rights that are tried here.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from pathlib import Path

import yaml

from era_ap.config import SqlDatabase
from tests.databases import PASSWORD, MariaDb, Server, quoted

ROOT = Path(__file__).parents[1]
READY = ROOT / "deploy" / "sql"
SCHEMAS = ROOT / "tests" / "data" / "pbx"
_ENUM = re.compile(r"enum\(([^)]*)\)")
BOOL_VALUES = "0 1 off on false true no yes"


class Pbx:
    """The database of a switch on a server of the test run."""

    def __init__(self, server: Server, system: str, name: str | None = None) -> None:
        self.server = server
        self.owner = server.database(schema=False, name=name)
        self.user = f"reader_{uuid.uuid4().hex[:8]}"  # users belong to all databases of a server
        self._types: dict[str, str] = {}
        self._waiting: list[str] = []
        if isinstance(server, MariaDb):
            server.administer(f"ALTER DATABASE {self.owner.address.database} CHARACTER SET utf8mb4")
        tables: dict[str, str] = yaml.safe_load((SCHEMAS / f"{system}.yml").read_text())
        created = [self._create(table, columns) for table, columns in tables.items()]
        self.execute(*created)

    def execute(self, *statements: str) -> str:
        """Run statements as the administrator, after all rows were added; returns what they print."""
        waiting, self._waiting = self._waiting, []
        return self.server.administer(*waiting, *statements, database=self.owner.address.database)

    def add(self, table: str, **values: object) -> str:
        """Insert a row, at the latest for the reader; returns its key where that is a UUID (``...``)."""
        key = str(uuid.uuid4())
        kept = {name: key if value is ... else value for name, value in values.items()}
        columns = ", ".join(kept)
        row = ", ".join(map(_literal, kept.values()))
        if isinstance(self.server, MariaDb):
            row = row.replace("\\", "\\\\")
        self._waiting.append(f"INSERT INTO {table} ({columns}) VALUES ({row})")
        return key

    def run_file(self, name: str, folder: Path = READY) -> None:
        """Execute a file of ``deploy/sql``, with the password of tests in place of the one to change."""
        text = (folder / name).read_text()
        literal = f"'{quoted(PASSWORD)}'"
        text = (
            re.sub(r"^--.*$", "", text, flags=re.M)
            .replace(":password", literal)
            .replace("'change me'", literal)
        )
        text = text.replace("era_ap_reader", self.user)
        text = re.sub(r" +-- .*$", "", text, flags=re.M)
        self.execute(*filter(None, (statement.strip() for statement in text.split(";"))))

    def reader(self, **more: object) -> SqlDatabase:
        """The same database for the user that the file of rights has made; ``more`` are further settings."""
        if self._waiting:
            self.execute()
        address = replace(self.owner.address, user=self.user)
        return replace(self.owner, address=address, **more)  # type: ignore[arg-type]

    def _create(self, table: str, columns: str) -> str:
        written = []
        for column in re.split(r", (?![^(]*\))", columns):
            name, _, kind = column.partition(" ")
            kind = kind.replace("bool_values", f"enum({BOOL_VALUES})")
            written.append(f"{self._name(name)} {self._kind(kind)}")
        return f"CREATE TABLE {table} ({', '.join(written)})"

    def _name(self, name: str) -> str:
        quote = "`" if isinstance(self.server, MariaDb) else '"'
        return name if name.isidentifier() else f"{quote}{name}{quote}"

    def _kind(self, kind: str) -> str:
        found = _ENUM.search(kind)
        if isinstance(self.server, MariaDb):
            kind = kind.replace("serial", "integer auto_increment primary key")
        if found is None:
            return kind
        values = ", ".join(f"'{value}'" for value in found[1].split())
        if isinstance(self.server, MariaDb):
            return kind.replace(found[0], f"enum({values})")
        if values not in self._types:
            self._types[values] = f"values_{len(self._types)}"
            self._waiting.append(f"CREATE TYPE {self._types[values]} AS ENUM ({values})")
        return kind.replace(found[0], self._types[values])


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f"'{quoted(str(value))}'"
