"""How a value is made safe for the place it is inserted at (spec 6).

Owns the places a template can have (text; XML content, CDATA section, comment), how literal template text
moves from one to another, and the safe form of data in each. Does not own what is data and what is markup
(``expand`` does). XML 1.0 (fifth edition) sections 2.2 (characters), 2.4 (character data), 2.5 (comments) and
2.7 (CDATA).
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


class Place(enum.IntEnum):
    """Where in the output a value lands. The first three are the lexical states of XML."""

    MARKUP = 0
    CDATA = 1
    COMMENT = 2
    TEXT = 3
    KEY = 4


Moves = tuple[Place, Place, Place]

_CDATA_OPEN: Final = "<![CDATA["
_CDATA_CLOSE: Final = "]]>"
_OPENING: Final = re.compile(r"<!--|<!\[CDATA\[")

_LINE_BREAKS: Final = {ord(char): " " for char in "\0\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"}
_ILLEGAL: Final = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_UNSAFE: Final = re.compile("[&<>\"'\0-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES: Final = {
    # Written as references, these three survive the attribute and line-end normalisation of any XML reader.
    **{ord(char): f"&#{ord(char)};" for char in "\t\n\r"},
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("'"): "&#39;",
}
_DOUBLE_DASH: Final = re.compile("-(?=-)")


def text_safe(value: str) -> str:
    """``value`` on one line of a text file: every line break and NUL is a blank."""
    return value if value.isprintable() else value.translate(_LINE_BREAKS)


def legal(value: str) -> str:
    """``value`` with a blank for each character that XML 1.0 cannot carry."""
    return value if value.isprintable() else _ILLEGAL.sub(" ", value)


def markup_safe(value: str) -> str:
    """``value`` as XML character data or attribute value."""
    if value.isalnum() or _UNSAFE.search(value) is None:
        return value
    return _ILLEGAL.sub(" ", value).translate(_ESCAPES)


def _cdata_safe(value: str, encoding: str) -> str:
    if not value:
        return value
    value = legal(value)
    split = f"{_CDATA_CLOSE}{_CDATA_OPEN}"
    if "\r" in value or not _fits(value, encoding):
        return f"{_CDATA_CLOSE}{markup_safe(value)}{_CDATA_OPEN}"
    # The text around it may be brackets too: a section never begins or ends with a part of "]]>".
    before, after = split if value[0] in "]>" else "", split if value[-1] == "]" else ""
    return f"{before}{value.replace(_CDATA_CLOSE, f']]{split}>')}{after}"


def _comment_safe(value: str, encoding: str) -> str:
    value = _DOUBLE_DASH.sub("- ", legal(value)) or " "  # nothing between two dashes would join them
    if not _fits(value, encoding):
        value = value.encode(encoding, "replace").decode(encoding)
    return f"{' ' if value[:1] == '-' else ''}{value}{' ' if value[-1:] == '-' else ''}"


def _fits(value: str, encoding: str) -> bool:
    if encoding == "utf-8" or value.isascii():
        return True
    try:
        value.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _as_it_is(value: str) -> str:
    return value


@lru_cache(maxsize=64)
def makers(encoding: str) -> tuple[Callable[[str], str], ...]:
    """The function that makes data safe, for each ``Place`` by its number; ``encoding`` is that of the
    output.
    """
    return (
        markup_safe,
        lambda value: _cdata_safe(value, encoding),
        lambda value: _comment_safe(value, encoding),
        text_safe,
        _as_it_is,
    )


def moves(literal: str) -> Moves | None:
    """In which XML place the output is after ``literal``, for each place before it; None where nothing
    changes.
    """
    if "<!" not in literal and _CDATA_CLOSE not in literal and "-->" not in literal:
        return None
    after = (
        _place_after(literal, Place.MARKUP),
        _place_after(literal, Place.CDATA),
        _place_after(literal, Place.COMMENT),
    )
    return None if after == (Place.MARKUP, Place.CDATA, Place.COMMENT) else after


def _place_after(literal: str, place: Place) -> Place:
    position = 0
    while True:
        if place is Place.MARKUP:
            opening = _OPENING.search(literal, position)
            if opening is None:
                return place
            place = Place.COMMENT if opening[0] == "<!--" else Place.CDATA
            position = opening.end()
        closing = "-->" if place is Place.COMMENT else _CDATA_CLOSE
        found = literal.find(closing, position)
        if found < 0:
            return place
        place, position = Place.MARKUP, found + len(closing)
