"""What the files of a model can carry: characters, encoding, lengths (``dialect`` in models.yml).

Owns the limits and what becomes of a value that breaks one: in a text that is only shown (a label, a display
name) the character becomes a blank; a value that works (a number, a password) is refused by name, because a
phone with a changed password is worse off than one with its old file. Does not own the escaping of XML and
line ends (``escape``).
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from era_ap.provisioning.rules import whole

if TYPE_CHECKING:
    from collections.abc import Callable

SHOWN: Final = frozenset({"label", "name", "display_name", "description"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """The limits of one model; ``escape`` maps code points for ``str.translate``, lengths of 0 are none.

    ``forbidden`` are characters that no value may have, ``separators`` those that divide the parts of a key.
    """

    escape: Mapping[int, str] = field(default_factory=dict)
    forbidden: frozenset[str] = frozenset()
    separators: frozenset[str] = frozenset()
    encoding: str = "utf-8"
    label_length: int = 0
    line_length: int = 0

    @property
    def touches_values(self) -> bool:
        """Whether any value may be changed or refused for its characters, not only for its length."""
        return bool(self.forbidden or self.separators or self.escape) or self.encoding != "utf-8"

    def flaw(self, value: str, *, in_key: bool = False) -> str | None:
        """The first character of ``value`` that cannot be carried, None if there is none."""
        if not (self.forbidden.isdisjoint(value) and (not in_key or self.separators.isdisjoint(value))):
            for character in value:
                if character in self.forbidden or (in_key and character in self.separators):
                    return character
        if self.encoding != "utf-8" and not value.isascii():
            return next((each for each in value if not _fits(each, self.encoding)), None)
        return None

    def blanked(self, value: str, *, in_key: bool = False) -> str:
        """``value`` with a blank for each character that cannot be carried."""
        if self.flaw(value, in_key=in_key) is None:
            return value
        return "".join(" " if self.flaw(each, in_key=in_key) else each for each in value)

    def carried(self, value: str) -> str:
        """``value`` with the characters escaped that the dialect writes otherwise."""
        return value.translate(self.escape) if self.escape else value

    def leaves(self, value: str) -> bool:
        """Whether ``value``, and so each part of it, is written as it is wherever it stands."""
        return self.flaw(value, in_key=True) is None and self.carried(value) == value


def named(character: str) -> str:
    """A character as messages show it."""
    return f"'{character}'" if character.isprintable() else f"U+{ord(character):04X}"


def read_limits(value: object, bad: Callable[[str, str], None]) -> dict[str, object]:
    """The valid limits of one model of models.yml; ``bad`` is told key and complaint for each other."""
    if not isinstance(value, dict):
        bad("", "is a mapping, for example {label_length: 10}")
        return {}
    limits: dict[str, object] = {}
    for key, given in value.items():
        if key not in _READERS:
            bad(key, f"unknown key; there are {', '.join(_READERS)}")
            continue
        limit, complaint = _READERS[key](given)
        if limit is None:
            bad(key, complaint)
        else:
            limits[key] = limit
    return limits


def dialect_of(limits: Mapping[str, object]) -> Dialect | None:
    """The dialect of limits as ``read_limits`` gives them; None where there are none."""
    given = dict(limits)
    if not given:
        return None
    escape = given.get("escape", {})
    escaped = frozenset(map(chr, escape)) if isinstance(escape, Mapping) else frozenset()
    forbidden, separators = given.get("forbidden", frozenset()), given.get("separators", frozenset())
    assert isinstance(forbidden, frozenset) and isinstance(separators, frozenset)
    given |= {"forbidden": forbidden - escaped, "separators": separators - escaped}
    return Dialect(**given)  # type: ignore[arg-type]  # each value was typed by read_limits


def _escapes(given: object) -> tuple[object, str]:
    if isinstance(given, dict) and all(len(one) == 1 and isinstance(to, str) for one, to in given.items()):
        return {ord(one): str(to) for one, to in given.items()}, ""
    return None, "maps single characters to what is written for them"


def _characters(given: object) -> tuple[object, str]:
    return frozenset(given) if isinstance(given, str) else None, "is text, each character of which is meant"


def _encoding(given: object) -> tuple[object, str]:
    try:
        return codecs.lookup(str(given)).name, ""
    except LookupError:
        return None, f"'{given}' is not known; use utf-8, iso-8859-1 and the like"


def _length(given: object) -> tuple[object, str]:
    return whole(given, 0, 100_000), "is a number of characters"


_READERS: Final = {
    "escape": _escapes,
    "forbidden": _characters,
    "separators": _characters,
    "encoding": _encoding,
    "label_length": _length,
    "line_length": _length,
}


def _fits(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
