"""The columns of the operator's queries: which are there, and where in a document each one's value belongs.

Owns names, paths and the making of text. What documents are made of is ``query_rows``'s, which also says what
operators may write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from era_ap.directory.model import AccountKey
from era_ap.directory.notation import check_characters, parse_domain, parse_login, text_tree
from era_ap.errors import Problem, Reason, Refused, Severity

TOLD = 100
"""Findings about rows that are told one by one; of further ones only the number."""

Row = Sequence[Any]

_OBJECTS = frozenset({"opts", "ext", "settings", "fields"})
_JSON = _OBJECTS | {"blf", "override", "ap_blf", "ap_override", "ap_devices"}


class RowFindings:
    """Collects what is wrong with rows, however many there are."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._told: list[Problem] = []
        self._more = 0

    def add(self, detail: str, severity: Severity = Severity.ERROR) -> None:
        """A row that is not used, or not all of it."""
        if len(self._told) < TOLD:
            self._told.append(Problem(Reason.ACCOUNT_INVALID, self._origin, detail, severity))
        else:
            self._more += 1

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything found."""
        if not self._more:
            return tuple(self._told)
        rest = Problem(Reason.ACCOUNT_INVALID, self._origin, f"{self._more} further rows have findings")
        return (*self._told, rest)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one query: ``own`` have a meaning, the others are values at the path of their name."""

    query: str
    own: Mapping[str, int]
    values: tuple[tuple[int, tuple[str, ...]], ...]

    @classmethod
    def of(
        cls, query: str, names: Sequence[str], required: Sequence[str], optional: Sequence[str] = ()
    ) -> Columns:
        """Those of ``query``; raises ``Refused`` DIRECTORY_UNAVAILABLE where one lacks or is there twice."""
        lacking = next((name for name in required if name not in names), None)
        twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
        if lacking is not None or twice is not None:
            said = f"no column {lacking}" if lacking is not None else f"two columns {twice}"
            detail = f"query {query}: gives {said}; name columns with AS"
            raise Refused(Reason.DIRECTORY_UNAVAILABLE, detail)
        own = {name: names.index(name) for name in (*required, *optional) if name in names}
        values = [(number, tuple(name.split("."))) for number, name in enumerate(names) if name not in own]
        return cls(query, own, tuple(values))

    def key(self, row: Row, findings: RowFindings) -> AccountKey | None:
        """The account that a row is about, None if its domain or login is none."""
        name, login = self.domain(row, findings), self.text(row, "login")
        if name is not None and (login is None or parse_login(login) is None):
            findings.add(f"query {self.query}: a row of {name} has no usable login ({login!r:.60})")
            return None
        return None if name is None or login is None else AccountKey(name, login)

    def domain(self, row: Row, findings: RowFindings) -> str | None:
        """The domain that a row is about, None if it is none."""
        text = self.text(row, "domain")
        name = parse_domain(text.strip()) if text is not None else None
        if name is None:
            findings.add(f"query {self.query}: a row has no usable domain ({text!r:.60})")
        return name

    def text(self, row: Row, name: str) -> str | None:
        """The value of a column that has a meaning, None where it is NULL or not there."""
        number = self.own.get(name)
        value = None if number is None else as_text(row[number])
        return value if isinstance(value, str) else None

    def fill(self, row: Row, target: dict[str, Any], findings: RowFindings) -> None:
        """Put the values of the other columns into ``target``, each where its name says."""
        for number, path in self.values:
            value = as_text(row[number])
            if value is not None and path[-1] in _JSON:
                value = self._json(value, path, findings)
            if value is not None:
                put(target, path, value)

    def _json(self, value: object, path: tuple[str, ...], findings: RowFindings) -> object:
        if isinstance(value, str):
            if value.lstrip()[:1] in ("{", "["):
                try:
                    read = json.loads(value)
                    check_characters(value, read)
                    value = text_tree(read)
                except (ValueError, RecursionError):
                    findings.add(
                        f"query {self.query}: the column {'.'.join(path)} holds JSON that is not valid"
                    )
                    return None
            elif not value.strip() and path[-1] in _OBJECTS:
                return None
        if len(path) == 1 and path[0] in _OBJECTS and not isinstance(value, dict):
            findings.add(f"query {self.query}: the column {path[0]} holds no JSON object")
            return None
        return value


def as_text(value: object) -> object:
    """A value of a driver as text, or as lists and objects of text; NULL is None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    try:
        return text_tree(value)
    except ValueError:
        return None


def put(target: dict[str, Any], path: Sequence[str], value: object) -> None:
    """Put a value at a path, making the objects on its way; objects at the same place are merged."""
    for part in path[:-1]:
        inner = target.get(part)
        if not isinstance(inner, dict):
            inner = target[part] = {}
        target = inner
    there = target.get(path[-1])
    if isinstance(there, dict) and isinstance(value, dict):
        there.update(value)
    else:
        target[path[-1]] = value
