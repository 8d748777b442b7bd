"""Rows of phones put aside until their domain's turn comes, whatever order the table has them in.

Owns a temporary database on disk, so a table of a million rows needs no memory; it has no name in the file
system and is gone with the process. Does not own what rows mean (``phones_csv``, ``phones_merge``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from era_ap.directory.phones_csv import MAC, CellProblem, PhoneRow

_SCHEMA = """
PRAGMA temp_store = FILE;
CREATE TABLE rows (line INTEGER PRIMARY KEY, mac TEXT, domain TEXT, login TEXT, number INTEGER, cells TEXT);
"""
_BATCH = 5000


class RowStore:
    """Takes rows in the order of the table, gives them domain by domain; within one in the table's order."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", check_same_thread=False)
        self._base.executescript(_SCHEMA)
        self._waiting: list[tuple[int, str, str, str, int | None, str]] = []

    def add(self, row: PhoneRow) -> None:
        """Put a row aside."""
        cells = json.dumps(dict(row.values)) if row.values else ""
        self._waiting.append((row.line, row.mac, row.domain, row.login, row.number, cells))
        if len(self._waiting) >= _BATCH:
            self._write()

    def finish(self) -> None:
        """All rows are there: sort them."""
        self._write()
        self._base.execute("CREATE INDEX rows_domain ON rows (domain, line)")
        self._base.execute("CREATE INDEX rows_mac ON rows (mac, domain)")

    def claimed_twice(self) -> Iterator[CellProblem]:
        """Rows whose MAC an earlier row gives to another domain; they are taken away."""
        found = self._base.execute(
            "SELECT later.line, first.line, first.domain FROM rows AS later JOIN"
            " (SELECT mac, min(line) AS line FROM rows GROUP BY mac HAVING min(domain) <> max(domain))"
            " AS shared"
            " ON shared.mac = later.mac JOIN rows AS first ON first.line = shared.line"
            " WHERE later.domain <> first.domain ORDER BY later.line"
        ).fetchall()
        for line, first, domain in found:
            self._base.execute("DELETE FROM rows WHERE line = ?", (line,))
            yield CellProblem(line, MAC, f"belongs to {domain} in line {first}; a phone has one domain")

    def domains(self) -> list[tuple[str, int]]:
        """The domains, sorted, each with the number of its rows."""
        return self._base.execute(
            "SELECT domain, count(*) FROM rows GROUP BY domain ORDER BY domain"
        ).fetchall()

    def rows(self, domain: str) -> Iterator[PhoneRow]:
        """The rows of a domain in the order of the table."""
        query = "SELECT line, mac, domain, login, number, cells FROM rows WHERE domain = ? ORDER BY line"
        for line, mac, name, login, number, cells in self._base.execute(query, (domain,)):
            yield PhoneRow(line, mac, name, login, number, json.loads(cells) if cells else {})

    def close(self) -> None:
        """Throw all of it away."""
        self._base.close()

    def _write(self) -> None:
        with self._base:
            self._base.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", self._waiting)
        self._waiting.clear()
