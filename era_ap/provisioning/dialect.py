"""How a phone's text configuration is written: separator, comments, sections, quotes (spec 8).

Owns the recognition of a file's dialect from its own lines and the taking apart of one line. The dialects are
``key = value`` (Yealink, Akuvox, Panasonic with quotes), ``key: value`` (Mitel, Cisco; Fanvil with a padded
name column), ``SET key value`` (Avaya) and ``KEY value`` (Avaya 12xx). Does not own what is changed in it.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

_SET: Final = re.compile(r"\s*SET[ \t]+(\S+)[ \t]*")
_UPPER: Final = re.compile(r"\s*([A-Z][A-Z0-9_]*)[ \t]+(?=\S)")
_COMMENTS: Final = ("#", ";", "//", "!")
_LINE: Final = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")


class Dialect(enum.Enum):
    """What stands between a key and its value."""

    EQUALS = "="
    COLON = ":"
    SET = "SET"
    BLANK = " "


@dataclass(frozen=True, slots=True)
class KeyLine:
    """Where the parts of a line are: the key begins at ``at``, the value is ``line[start:end]`` without
    quotes.
    """

    key: str
    at: int
    start: int
    end: int
    quote: str


def split_lines(text: str) -> list[tuple[str, str]]:
    """Lines and their endings (CRLF, LF, CR or none at the end of the file); nothing else divides lines."""
    return [(match[1], match[2]) for match in _LINE.finditer(text) if match[0]]


def detect(lines: list[str]) -> Dialect | None:
    """The dialect most lines are written in; None if there is no line with a key."""
    found = Counter(dialect for line in lines if (dialect := _dialect_of(line)) is not None)
    marked = [each for each in (Dialect.SET, Dialect.EQUALS, Dialect.COLON) if found[each]]
    if marked:
        return max(marked, key=lambda each: found[each])
    return Dialect.BLANK if found else None


def is_comment(line: str) -> bool:
    """Whether the line is a remark; Mitel's ``!key: value`` (a locked key) is none."""
    body = line.lstrip()
    if body.startswith("!"):
        return len(body) < 2 or not body[1].isalpha() or ":" not in body
    return body.startswith(_COMMENTS)


def heading(line: str) -> str | None:
    """The name of the section that begins with this line: ``[name]`` or Fanvil's ``<NAME>``."""
    body = line.strip()
    inside = body[1:-1]
    if len(body) > 2 and (body[0], body[-1]) in (("[", "]"), ("<", ">")) and not set("[]<>") & set(inside):
        return inside.strip()
    return None


def is_end_marker(line: str) -> bool:
    """Whether the line closes the file, such as ``<<END OF FILE>>``."""
    body = line.strip()
    return body.startswith("<<") and body.endswith(">>")


def key_line(line: str, dialect: Dialect) -> KeyLine | None:
    """The parts of a line with a key; None for any other line."""
    if not line.strip() or line.lstrip()[0] in "<[" or is_comment(line):
        return None
    if dialect in (Dialect.SET, Dialect.BLANK):
        match = (_SET if dialect is Dialect.SET else _UPPER).match(line)
        return None if match is None else _parts(line, match[1], match.start(1), match.end())
    separator = line.find(dialect.value)
    name = line[: max(separator, 0)]
    prefix = "!^" if dialect is Dialect.COLON else ""
    key = name.strip().lstrip(prefix)
    if not key:
        return None
    start = separator + 1
    while start < len(line) and line[start] in " \t":
        start += 1
    return _parts(line, key, name.index(key), start)


def _parts(line: str, key: str, at: int, start: int) -> KeyLine:
    end = max(start, len(line.rstrip()))
    quote = line[start : start + 1]
    if quote not in ('"', "'") or end - start < 2:
        return KeyLine(key, at, start, end, "")
    closing = line.find(quote, start + 1, end)
    rest = line[closing + 1 : end]
    if closing > 0 and (not rest or (rest[0] in " \t" and rest.strip().startswith(("#", ";")))):
        return KeyLine(key, at, start + 1, closing, quote)
    if line[end - 1] == quote:
        return KeyLine(key, at, start + 1, end - 1, quote)
    return KeyLine(key, at, start, end, "")


def _dialect_of(line: str) -> Dialect | None:
    body = line.strip()
    if not body or body[0] in "<[" or is_comment(line):
        return None
    if _SET.match(line):
        return Dialect.SET
    places = [(body.find(each.value), each) for each in (Dialect.EQUALS, Dialect.COLON)]
    first = min(((place, each) for place, each in places if place > 0), key=lambda it: it[0], default=None)
    if first is not None:
        return first[1]
    return Dialect.BLANK if _UPPER.match(line) else None
