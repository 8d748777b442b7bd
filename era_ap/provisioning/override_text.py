"""Correcting a filled text file line by line, without touching any other byte (spec 8).

Owns which lines a path means and where a new line goes. A path is a key, or ``"[section] key"`` (Fanvil:
``"<SECTION> key"``). A key that stands several times in its section is corrected everywhere; in a list the
n-th use of a path means its n-th occurrence and further ones are added. A key without a section means the
first section that has it. New lines are written like the lines around them, at the end of the section or
file, before a closing marker; a missing section is made at the end. How lines are written is ``dialect``'s.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason, Refused
from era_ap.provisioning.dialect import (
    Dialect,
    KeyLine,
    detect,
    heading,
    is_comment,
    is_end_marker,
    key_line,
    split_lines,
)
from era_ap.provisioning.escape import text_safe
from era_ap.provisioning.scope import Change, Effect

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK_EVERY: Final = 1000
_SECTIONED: Final = re.compile(r"(?:\[([^\[\]]+)\]|<([^<>]+)>)\s*(\S.*)")
_SET_PREFIX: Final = re.compile(r"SET\s+(?=\S)", re.IGNORECASE)


@dataclass(slots=True)
class _Row:
    text: str
    ending: str
    section: str
    parts: KeyLine | None
    added: bool = False
    gone: bool = False

    @property
    def value(self) -> str:
        return self.text[self.parts.start : self.parts.end] if self.parts else ""


class TextEditor:
    """A text file being corrected; ``tick`` is called now and then and may end the work by raising.

    Raises ``Refused`` (OVERRIDE_DIALECT) where no line has a key.
    """

    def __init__(self, text: str, tick: Callable[[], None]) -> None:
        self._tick = tick
        lines = split_lines(text)
        dialect = detect([line for line, _ in lines])
        if dialect is None:
            raise Refused(Reason.OVERRIDE_DIALECT, "no line of the filled template has a key")
        self._dialect = dialect
        self._newline = next((ending for _, ending in lines if ending), "\n")
        self._rows: list[_Row] = []
        section = ""
        for number, (line, ending) in enumerate(lines):
            if number % _TICK_EVERY == 0:
                tick()
            name = heading(line)
            section = section if name is None else name
            self._rows.append(_Row(line, ending, section, key_line(line, dialect)))
        columns = Counter(_column(row, dialect) for row in self._rows if row.parts)
        column, count = columns.most_common(1)[0]
        keys = {len(row.parts.key) for row in self._rows if row.parts}
        self._column = column if column and 2 * count > sum(columns.values()) and len(keys) > 1 else None

    def text(self) -> str:
        """The file as it is now."""
        return "".join(row.text + row.ending for row in self._rows if not row.gone)

    def change(self, path: str, value: str | None, use: int | None) -> Change:
        """Give the key a value, or remove its line where ``value`` is None."""
        self._tick()
        section, key = _split_path(path)
        if self._dialect is Dialect.SET:
            key = _SET_PREFIX.sub("", key, count=1)
        rows = self._find(section, key)
        if use is not None:
            rows = rows[use : use + 1]
        before = rows[0].value if rows else ""
        if value is None:
            for row in rows:
                row.gone = True
            return Change(path, before, "", Effect.REMOVED if rows else Effect.NOTHING)
        if not rows:
            self._append(section, self._new_line(section, key, value))
            return Change(path, "", value, Effect.ADDED)
        for row in rows:
            self._put(row, value)
        return Change(path, before, value, Effect.REPLACED)

    def merge(self, body: str) -> list[Change]:
        """Lines with a key correct it or are added as written; other lines are added, blank ones not."""
        lines: list[tuple[str | None, str, KeyLine | None]] = []
        section: str | None = None
        for line, _ in split_lines(body):
            name = heading(line)
            if name is not None:
                section = name
            elif line.strip():
                lines.append((section, line, self._own_key_line(line)))
        total = Counter((section, parts.key) for section, _, parts in lines if parts)
        seen: Counter[tuple[str | None, str]] = Counter()
        changes = []
        for section, line, parts in lines:
            place = (section, parts.key) if parts else None
            use = seen[place] if place and total[place] > 1 else None
            changes.append(self._merge_line(section, line, parts, use))
            if place:
                seen[place] += 1
        return changes

    def _merge_line(self, section: str | None, line: str, parts: KeyLine | None, use: int | None) -> Change:
        self._tick()
        path = f"[{section}] {parts.key if parts else ''}".strip() if section else parts.key if parts else ""
        rows = self._find(section, parts.key) if parts else []
        rows = rows if use is None else rows[use : use + 1]
        if parts is None or not rows:
            self._append(section, line)
            return Change(
                path or "(line)", "", line if parts is None else line[parts.start : parts.end], Effect.ADDED
            )
        before = rows[0].value
        outer = 1 if parts.quote else 0
        for row in rows:
            self._put(row, line[parts.start - outer : parts.end + outer])
        return Change(path, before, line[parts.start : parts.end], Effect.REPLACED)

    def _own_key_line(self, line: str) -> KeyLine | None:
        """The key of a line of a correction: in the file's dialect, else as ``key = value``."""
        own = key_line(line, self._dialect)
        plain = None if self._dialect is Dialect.EQUALS else key_line(line, Dialect.EQUALS)
        if own is None or plain is None:
            return own or plain
        return plain if plain.start < own.start and self._dialect is Dialect.COLON else own

    def _find(self, section: str | None, key: str) -> list[_Row]:
        """The lines of the original file with that key, in one section."""
        rows = [row for row in self._rows if row.parts and row.parts.key == key and not row.added]
        if section is None:
            return [row for row in rows if row.section == rows[0].section]
        return [row for row in rows if row.section.casefold() == section.casefold()]

    def _put(self, row: _Row, value: str) -> None:
        parts = row.parts
        assert parts is not None
        value = self._quoted(value, parts.quote)
        outer = 1 if parts.quote else 0
        start, end = parts.start - outer, parts.end + outer
        row.text = row.text[:start] + value + row.text[end:]
        row.parts = KeyLine(parts.key, parts.at, parts.start, start + len(value) - outer, parts.quote)

    def _quoted(self, value: str, quote: str) -> str:
        if len(value) > 1 and value[0] in "\"'" and value[0] == value[-1]:
            return value
        if self._dialect is Dialect.SET and not quote and (not value or " " in value or "\t" in value):
            quote = '"'
        return f"{quote}{value}{quote}"

    def _new_line(self, section: str | None, key: str, value: str) -> str:
        rows = [row for row in self._rows if row.parts and not row.gone] or [r for r in self._rows if r.parts]
        near = [row for row in rows if section is not None and row.section.casefold() == section.casefold()]
        model = (near or rows)[-1]
        parts = model.parts
        assert parts is not None
        after_key = parts.at + len(parts.key)
        gap = model.text[after_key : parts.start - (1 if parts.quote else 0)]
        indent = model.text[: len(model.text) - len(model.text.lstrip())]
        if self._dialect is Dialect.SET:
            return f"{indent}SET {key} {self._quoted(value, parts.quote)}"
        if self._column is not None:
            gap = " " * (self._column - len(indent) - len(key)) + gap.lstrip(" \t")
        return f"{indent}{key}{gap}{self._quoted(value, parts.quote)}"

    def _append(self, section: str | None, line: str) -> None:
        wanted = None if section is None else section.casefold()
        if wanted is not None and all(row.section.casefold() != wanted for row in self._rows):
            bracketed = not any(row.text.lstrip().startswith("<") for row in self._rows)
            title = f"[{section}]" if bracketed else f"<{section}>"
            self._insert(None, _Row(title, self._newline, section or "", None, added=True))
        self._insert(
            wanted, _Row(line, self._newline, section or "", key_line(line, self._dialect), added=True)
        )

    def _insert(self, wanted: str | None, row: _Row) -> None:
        """Put a row after the last line that is not blank, of the section or of the file."""
        place = 0
        for position, each in enumerate(self._rows, 1):
            inside = wanted is None or each.section.casefold() == wanted
            if inside and (each.text.strip() and not (is_end_marker(each.text) and place)):
                place = position
        if place and not self._rows[place - 1].ending:
            self._rows[place - 1].ending = self._newline
        if wanted is None and row.parts is not None and place:
            row.section = self._rows[place - 1].section
        self._rows.insert(place, row)


def _split_path(path: str) -> tuple[str | None, str]:
    match = _SECTIONED.fullmatch(path.strip())
    section, key = ((match[1] or match[2]).strip(), match[3]) if match else (None, path)
    key = key.strip()
    if not key or path != text_safe(path) or is_comment(key):
        raise Refused(Reason.OVERRIDE_FORM, f"{path[:120]!r} is no key")
    return section, key


def _column(row: _Row, dialect: Dialect) -> int | None:
    """At which column the separator stands, if padding may have brought it there."""
    assert row.parts is not None
    after_key = row.parts.at + len(row.parts.key)
    column = row.text.find(dialect.value, after_key)
    return column if column > after_key else None
