"""The lists that are repeated: BLF keys and the lines of a phone (spec 7, ``[accounts]`` of spec 6).

Owns the reading of a BLF list, the choice of the template of one entry and the numbers of a key. Does not own
the expansion. ``[blf.position]`` is the key's place on the phone, from 1: the entry's own ``position``, else
the keys follow the lines (index + number of lines); ``[blf.position0]`` is one less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from era_ap.errors import Reason, Refused
from era_ap.provisioning.fields import as_text

if TYPE_CHECKING:
    from era_ap.provisioning.language import Template
    from era_ap.provisioning.scope import Line, Scope
    from era_ap.provisioning.spots import Known


_UNSAID: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)  # frozen, it would take three times as long to make, and each phone has dozens
class BlfKey:
    """One entry of the list; ``index`` counts from 1. What it has ``said`` goes before its fields.

    A key that was placed by the model's data is ``known``: its numbers are safe for the dialect.
    """

    index: int
    fields: Mapping[str, object]
    said: Mapping[str, str]
    known: Known | None = None
    _numbers: Mapping[str, str] | None = None

    @property
    def numbers(self) -> Mapping[str, str]:
        """The placeholders that no field redefines."""
        if self.known is None:
            return self.said
        if self._numbers is None:
            self._numbers = self.known.completed(self.said)
        return self._numbers

    @property
    def names(self) -> Mapping[str, object]:
        """What a row that copies may ask for: all that is not the same for each key at this place."""
        if self.known is None:
            return {**self.fields, **self.said}
        return self.numbers if self.known.rules else self.said


def read_keys(line: Line, lines: int | None) -> tuple[BlfKey, ...]:
    """The BLF keys of the phone, numbered behind its ``lines``; without, somebody else will number them.

    Raises ``Refused`` (BLF_INVALID) naming the account and the entry.
    """
    entries = line.device.blf
    if entries is None or entries == "":
        return ()
    if not isinstance(entries, list | tuple):
        raise Refused(Reason.BLF_INVALID, f"account {line.account.key}: the BLF list is no list")
    if lines is None:
        return tuple(
            [
                BlfKey(index, entry if type(entry) is dict else _fields(entry, index, line), _UNSAID)
                for index, entry in enumerate(entries, 1)
            ]
        )
    return tuple([_key(_fields(entry, index, line), index, lines) for index, entry in enumerate(entries, 1)])


def _fields(entry: object, index: int, line: Line) -> Mapping[str, object]:
    if isinstance(entry, Mapping):
        return entry
    number = as_text(entry)
    if number is None:
        detail = f"account {line.account.key}: BLF entry {index} is neither a number nor an object"
        raise Refused(Reason.BLF_INVALID, detail)
    return {"number": number}


def _key(fields: Mapping[str, object], index: int, lines: int) -> BlfKey:
    numbers = {"index": str(index), "index0": str(index - 1)}
    own = as_text(fields.get("position"))
    if own is None or (own.isascii() and own.isdigit() and len(own) < 10):
        position = index + lines if own is None else int(own)
        numbers["position"] = str(position)
        numbers["position0"] = str(position - 1)
    return BlfKey(index, fields, numbers)


def entry_template(scope: Scope, stem: str) -> Template | None:
    """The template of one entry of ``stem`` ("blf", "account"): for each base name the typed one, then the
    plain.
    """
    for base in scope.bases:
        for name in (f"{base}.{stem}.{scope.type}", f"{base}.{stem}") if scope.type else (f"{base}.{stem}",):
            template = scope.templates(name)
            if template is not None:
                return template
    return None


def template_missing(scope: Scope, stem: str) -> Refused:
    """The error of a list that has entries and no template for them."""
    reason = Reason.BLF_TEMPLATE_MISSING if stem == "blf" else Reason.ACCOUNT_TEMPLATE_MISSING
    tried = ", ".join(f"{base}.{stem}" for base in scope.bases)
    return Refused(reason, f"looked for {tried}" if tried else f"there is no base name for <model>.{stem}")
