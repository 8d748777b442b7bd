"""The areas of keys of a phone, and what is known of a key before anybody's entry is on it.

Owns the shape of an area, the names of a place and the rules of models.yml that need nothing else; they
are computed once for each key and type, not for every phone of the model. Does not own the reading
(``layout``) nor the placing (``keys``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from era_ap.provisioning.rules import Spot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from era_ap.provisioning.rules import Rule

    Fields = Mapping[str, Rule]
    Types = Mapping[str, Fields]


@dataclass(frozen=True, slots=True)
class Area:
    """Keys of one kind. ``count`` is that of one page (of one module); ``modules`` is 0 on the phone itself.

    ``first`` is the number of its first key among all keys of the phone, from 1. ``accounts``: the lines of
    the phone occupy its first keys; ``writes_lines``: as keys of type line, which are written too.
    ``reserved`` positions of each page are never used. ``fill``: keys that nothing is on are written as empty
    ones: none, those before a used one ("gaps"), or all.
    """

    name: str
    first: int
    count: int
    modules: int
    pages: int
    accounts: bool
    writes_lines: bool
    fill: str
    reserved: frozenset[int]
    fields: Fields
    types: Types

    @property
    def unit(self) -> int:
        """Keys of one module, or of all pages where there is none."""
        return self.count * self.pages

    @property
    def size(self) -> int:
        """All keys of the area."""
        return self.unit * max(self.modules, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """``names`` hold whatever the entry says; ``rules`` are left to be computed, in order, from both.

    ``fixed`` are the names that no rule computes anew. There is one of each key and type, equal to no other.

    ``names`` is a plain dict, though nobody may change it: it is merged for each key of each phone, which of
    any other mapping takes three times as long.
    """

    area: Area
    spot: Spot
    names: Mapping[str, str]
    rules: tuple[tuple[str, Rule], ...]
    fixed: frozenset[str]

    def completed(self, said: Mapping[str, str]) -> Mapping[str, str]:
        """All names of the key, given what its entry has ``said``."""
        names = {**said, **self.names}
        for name, rule in self.rules:
            text = rule.text(self.spot, names)
            if text is not None:
                names[name] = text
        return names


class Seat(NamedTuple):
    """A key that is written: as ``known`` with an entry or a line on it, as ``empty`` with none.

    ``kind`` is None with none; ``entry`` counts them from 1, 0 is a key of the ``line`` itself.
    """

    known: Known
    empty: Known
    kind: str | None = None
    entry: int = 0
    line: int = 0


def known_of(area: Area, number: int, kind: str) -> Known:
    """What is known of key ``number`` of the phone, which is in ``area``, as a key of type ``kind``."""
    module, in_module = divmod(number - area.first, area.unit)
    page, in_page = divmod(in_module, area.count)
    spot = Spot(in_page + 1, page + 1, module + 1 if area.modules else 0)
    names = _place_names(area, number, spot)
    rules = [*area.fields.items(), *area.types.get(kind, {}).items()]
    # From the first rule on that refers to an entry, a name may be another one for each entry.
    while rules and rules[0][1].names <= names.keys():
        name, rule = rules.pop(0)
        text = rule.text(spot, names)
        if text is not None:
            names[name] = text
    return Known(area, spot, names, tuple(rules), frozenset(names) - {name for name, _ in rules})


def _place_names(area: Area, number: int, spot: Spot) -> dict[str, str]:
    slot = number - area.first + 1
    return {
        "area": area.name,
        "position": str(spot.position),
        "position0": str(spot.position - 1),
        "slot": str(slot),
        "slot0": str(slot - 1),
        "place": str(number),
        "place0": str(number - 1),
        "page": str(spot.page),
        "page0": str(spot.page - 1),
        "module": str(spot.module),
        "module0": str(max(spot.module - 1, 0)),
    }
