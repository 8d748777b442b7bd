"""Computed fields of keys and lines, written as data in models.yml: numbers, tables and patterns.

Owns the three forms and their reading. ``{start: 41200, step: 1}`` counts with the position (``page`` and
``module`` are added for each further page and module); a list of such pieces, each with ``from``, changes the
counting at a position; a list of values is a table by position; text is a pattern: ``linekey.{position}``,
with leading zeroes ``{position:02}``. Does not own what the names in a pattern stand for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
MOST: Final = 10**9

_REFERENCE: Final = re.compile(r"\{([a-z][a-z0-9_]*)(?::0([1-9]))?\}")
_PIECE_KEYS: Final = ("from", "start", "step", "page", "module")
_FORMS: Final = (
    "is text such as 'linekey.{position}', {start: 41200, step: 1}, a list of these with 'from', "
    "or a list of values"
)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a rule is evaluated: all count from 1; ``module`` is 0 on the phone itself."""

    position: int
    page: int = 1
    module: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """``start`` at position ``first``, ``step`` more for each position after it."""

    first: int
    start: int
    step: int = 1
    page: int = 0
    module: int = 0

    def number(self, spot: Spot) -> int:
        """The number at ``spot``."""
        beyond = self.page * (spot.page - 1) + self.module * max(spot.module - 1, 0)
        return self.start + self.step * (spot.position - self.first) + beyond


@dataclass(frozen=True, slots=True)
class Reference:
    """``{name}`` in a pattern; ``width`` is the least number of digits."""

    name: str
    width: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One computed field: exactly one of the three forms is not empty (an empty text is an empty pattern)."""

    pieces: tuple[Piece, ...] = ()
    table: tuple[str, ...] = ()
    pattern: tuple[str | Reference, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names that the pattern refers to."""
        return frozenset(part.name for part in self.pattern if isinstance(part, Reference))

    @property
    def pads(self) -> bool:
        """Whether the pattern has leading zeroes."""
        return any(part.width for part in self.pattern if isinstance(part, Reference))

    def text(self, spot: Spot, names: Mapping[str, str]) -> str | None:
        """The field at ``spot``; a name that is not in ``names`` is empty. None past the end of a table."""
        if self.pieces:
            piece = self.pieces[0]
            for later in self.pieces[1:]:
                if spot.position < later.first:
                    break
                piece = later
            return str(piece.number(spot))
        if self.table:
            return self.table[spot.position - 1] if 0 < spot.position <= len(self.table) else None
        out = ""
        for part in self.pattern:
            out += part if isinstance(part, str) else names.get(part.name, "").zfill(part.width)
        return out


def read_rule(value: object, bad: Callable[[str], None]) -> Rule | None:
    """A rule as written in models.yml; None after ``bad`` was told what is wrong."""
    if isinstance(value, str):
        return _pattern(str(value), bad)
    if isinstance(value, dict):
        piece = _piece(value, bad)
        return None if piece is None else Rule(pieces=(piece,))
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return Rule(table=tuple(str(each) for each in value))
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        pieces = [_piece(each, bad) for each in value]
        found = [piece for piece in pieces if piece is not None]
        if len(found) == len(pieces):
            return Rule(pieces=tuple(sorted(found, key=lambda piece: piece.first)))
        return None
    bad(_FORMS)
    return None


def whole(value: object, least: int = 0, most: int = MOST) -> int | None:
    """A whole number as typed, None if ``value`` is none from ``least`` to ``most``."""
    text = str(value).strip() if isinstance(value, str) else ""
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 10:
        return None
    return int(text) if least <= int(text) <= most else None


def _piece(value: Mapping[str, object], bad: Callable[[str], None]) -> Piece | None:
    unknown = [key for key in value if key not in _PIECE_KEYS]
    if unknown or "start" not in value:
        bad(f"has the keys {', '.join(_PIECE_KEYS)}, of which 'start' is required")
        return None
    numbers = {}
    for key, default in (("from", "1"), ("start", ""), ("step", "1"), ("page", "0"), ("module", "0")):
        number = whole(value.get(key, default), 1 if key == "from" else -MOST)
        if number is None:
            bad(f"{key} is a whole number{' of at least 1' if key == 'from' else ''}")
            return None
        numbers[key] = number
    return Piece(numbers["from"], numbers["start"], numbers["step"], numbers["page"], numbers["module"])


def _pattern(text: str, bad: Callable[[str], None]) -> Rule | None:
    parts: list[str | Reference] = []
    done = 0
    for match in _REFERENCE.finditer(text):
        if match.start() > done:
            parts.append(text[done : match.start()])
        parts.append(Reference(match[1], int(match[2] or 0)))
        done = match.end()
    if done < len(text):
        parts.append(text[done:])
    if any("{" in part or "}" in part for part in parts if isinstance(part, str)):
        bad("has a '{' or '}' that is no name in lower case such as {position} or {position:02}")
        return None
    return Rule(pattern=tuple(parts))
