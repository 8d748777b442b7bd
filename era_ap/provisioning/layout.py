"""The keys and lines of a phone model: areas, types of keys, computed numbers, limits (models.yml).

Owns the reading of the sections ``keys``, ``types``, ``accounts``, ``dialect`` and ``constants``, and how a
model takes them over along ``like``: area by area, type by type, field by field, its own words last. Does not
own which entry goes where (``keys``) nor what a rule computes (``rules``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from era_ap.provisioning.limits import dialect_of, read_limits
from era_ap.provisioning.rules import NAME, Rule, read_rule, whole
from era_ap.provisioning.spots import Area, Known, Seat, known_of

if TYPE_CHECKING:
    from era_ap.provisioning.limits import Dialect
    from era_ap.provisioning.spots import Fields

SECTIONS: Final = ("accounts", "keys", "types", "dialect", "constants")

MAX_KEYS: Final = 10_000
LINE_NAMES: Final = frozenset({"line", "line0"})
PLACE_NAMES: Final = frozenset(
    {
        "area",
        "position",
        "position0",
        "slot",
        "slot0",
        "place",
        "place0",
        "page",
        "page0",
        "module",
        "module0",
    }
)
ENTRY_NAMES: Final = frozenset(
    {"index", "index0", "type", "code", "number", "value", "label", "pickup", "login"}
)
NONE: Final = "none"
_WRITTEN: Final = "written"

_AREA_KEYS: Final = ("count", "modules", "pages", "accounts", "fill", "reserved", "fields", "types")
_BLANKS: Final = re.compile(r"[ _-]")

Part = Mapping[str, Mapping[str, object]]
"""The valid sections of one model by name, before they are laid over those it takes over."""

Bad = Callable[[tuple[str | int, ...], str], None]


@dataclass(frozen=True, slots=True)
class Layout:
    """What is known of one model; without ``areas`` its keys are only numbered, ``lines`` of 0 is not known.

    ``constants`` are words of the vendor and defaults, below those of domain and site. ``types`` are those of
    all areas; ``seats`` are kept of keys that are given away alike, by how many there are and the lines.
    """

    areas: tuple[Area, ...] | None
    lines: int
    line_fields: Fields
    dialect: Dialect | None
    constants: Mapping[str, str]
    types: frozenset[str]
    seats: dict[tuple[int, ...], tuple[Seat, ...]] = field(default_factory=dict, compare=False, repr=False)
    _known: dict[tuple[int, str], Known] = field(default_factory=dict, compare=False, repr=False)

    def known(self, number: int, kind: str) -> Known:
        """What is known of key ``number``, which the phone has, as a key of type ``kind``."""
        known = self._known.get((number, kind))
        if known is None:
            area = self.area_at(number)
            assert area is not None
            known = self._known[number, kind] = known_of(area, number, kind)
        return known

    def area_at(self, place: int) -> Area | None:
        """The area that has the key of that number, None past the last key."""
        for area in self.areas or ():
            if area.first <= place < area.first + area.size:
                return area
        return None


def canonical(kind: str) -> str:
    """A type of keys as it is compared: ``Speed Dial``, ``speed-dial`` and ``speeddial`` are one."""
    return _BLANKS.sub("", kind).lower()


def read_part(entry: Mapping[str, object], bad: Bad) -> Part:
    """The sections of one entry of models.yml; ``bad`` is told the path and what is wrong there."""
    part: dict[str, Mapping[str, object]] = {}
    for section, reader in (("accounts", _accounts), ("keys", _keys), ("types", _types)):
        if entry.get(section) is not None:
            part[section] = reader(entry[section], (section,), bad)
    if entry.get("dialect") is not None:
        part["dialect"] = read_limits(
            entry["dialect"], lambda key, what: bad(("dialect", key) if key else ("dialect",), what)
        )
    if entry.get("constants") is not None:
        part["constants"] = _constants(entry["constants"], bad)
    return part


def lay_over(below: Part, above: Part) -> Part:
    """``above`` over what it takes over: mappings are merged at every depth, all else is replaced."""
    return _merged(below, above)  # type: ignore[return-value]  # of mappings comes a mapping


def compile_layout(part: Part) -> Layout | None:
    """The layout of merged sections; None where a model has none."""
    if not part:
        return None
    accounts = part.get("accounts", {})
    areas, first = [], 1
    for name, given in part.get("keys", {}).items():
        assert isinstance(given, Mapping)
        area = _area(name, first, given, part.get("types", {}))
        if area.size:
            areas.append(area)
            first += area.size
    return Layout(
        areas=tuple(areas) if "keys" in part else None,
        types=frozenset(kind for area in areas for kind in area.types),
        lines=_int(accounts.get("count", 0)),
        line_fields=_fields_of(accounts),
        dialect=dialect_of(part.get("dialect", {})),
        constants=MappingProxyType({key: str(text) for key, text in part.get("constants", {}).items()}),
    )


def unknown_names(part: Part, own: Part) -> list[tuple[tuple[str, ...], str]]:
    """Patterns of ``own`` that refer to a name which nothing in ``part`` (the merged sections) defines."""
    known = PLACE_NAMES | ENTRY_NAMES | LINE_NAMES
    key_names = known | {
        at[-1] for at, _ in _patterns({each: part.get(each, {}) for each in ("keys", "types")})
    }
    line_names = LINE_NAMES | {at[-1] for at, _ in _patterns({"accounts": part.get("accounts", {})})}
    return [
        (at, f"'{{{name}}}' is defined nowhere")
        for at, rule in _patterns(own)
        for name in sorted(rule.names - (line_names if at[0] == "accounts" else key_names))
    ]


def _patterns(part: Mapping[str, object], *at: str) -> list[tuple[tuple[str, ...], Rule]]:
    found: list[tuple[tuple[str, ...], Rule]] = []
    for name, value in part.items():
        if isinstance(value, Rule):
            found.append(((*at, name), value))
        elif isinstance(value, Mapping):
            found += _patterns(value, *at, name)
    return found


def _merged(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return merged


def _area(name: str, first: int, given: Mapping[str, object], types: Mapping[str, object]) -> Area:
    own_types = given.get("types", {})
    assert isinstance(own_types, Mapping)
    reserved = given.get("reserved", frozenset())
    assert isinstance(reserved, frozenset)
    return Area(
        name=name,
        first=first,
        count=_int(given.get("count", 0)),
        modules=_int(given.get("modules", 0)),
        pages=_int(given.get("pages", 1)),
        accounts=bool(given.get("accounts", name == "line")),
        writes_lines=given.get("accounts") == _WRITTEN,
        fill=str(given.get("fill", NONE)),
        reserved=reserved,
        fields=_fields_of(given),
        types=MappingProxyType(
            {
                kind: MappingProxyType(dict(fields))
                for kind, fields in _merged(types, own_types).items()
                if isinstance(fields, Mapping)
            }
        ),
    )


def _fields_of(given: Mapping[str, object]) -> Fields:
    fields = given.get("fields", {})
    assert isinstance(fields, Mapping)
    return MappingProxyType({name: rule for name, rule in fields.items() if rule is not None})


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


# --- reading, with complaints


def _accounts(value: object, at: tuple[str | int, ...], bad: Bad) -> dict[str, object]:
    value = {"count": value} if isinstance(value, str) else value
    if not isinstance(value, dict) or set(value) - {"count", "fields"}:
        bad(at, "is the number of lines, or {count: 6, fields: {…}}")
        return {}
    found: dict[str, object] = {}
    _number(value, "count", 1000, at, found, bad)
    if value.get("fields") is not None:
        found["fields"] = _fields(value["fields"], (*at, "fields"), bad)
    return found


def _keys(value: object, at: tuple[str | int, ...], bad: Bad) -> dict[str, object]:
    if not isinstance(value, dict):
        bad(at, "is a mapping of areas, for example {line: 27, module: {count: 40, modules: 3}}")
        return {}
    areas: dict[str, object] = {}
    for name, given in value.items():
        if name == "accounts" or not NAME.fullmatch(name):
            hint = "stands beside 'keys', not in it" if name == "accounts" else "is no name of an area"
            bad((*at, name), hint)
            continue
        area = {"count": "0"} if given is None else {"count": given} if isinstance(given, str) else given
        if not isinstance(area, dict):
            bad((*at, name), "is a number of keys, or {count: 40, modules: 3, fields: {…}}")
            continue
        areas[str(name)] = _read_area(area, (*at, name), bad)
    return areas


def _read_area(given: Mapping[str, object], at: tuple[str | int, ...], bad: Bad) -> dict[str, object]:
    area: dict[str, object] = {}
    for key in given:
        if key not in _AREA_KEYS:
            bad((*at, key), f"unknown key; there are {', '.join(_AREA_KEYS)}")
    for key in ("count", "modules", "pages"):
        _number(given, key, MAX_KEYS, at, area, bad)
    for key, words in (
        ("accounts", {"true": True, "false": False, _WRITTEN: _WRITTEN}),
        ("fill", {"true": "all", "false": NONE, "gaps": "gaps"}),
    ):
        if given.get(key) is not None:
            if str(given[key]).lower() in words:
                area[key] = words[str(given[key]).lower()]
            else:
                bad((*at, key), f"is one of {', '.join(words)}")
    if given.get("reserved") is not None:
        listed = given["reserved"]
        numbers = [whole(each, 1, MAX_KEYS) for each in listed] if isinstance(listed, list) else [None]
        if None in numbers:
            bad((*at, "reserved"), "is a list of positions, counted from 1")
        else:
            area["reserved"] = frozenset(numbers)
    if given.get("fields") is not None:
        area["fields"] = _fields(given["fields"], (*at, "fields"), bad)
    if given.get("types") is not None:
        area["types"] = _types(given["types"], (*at, "types"), bad)
    return area


def _types(value: object, at: tuple[str | int, ...], bad: Bad) -> dict[str, object]:
    if not isinstance(value, dict):
        bad(at, "is a mapping of types to codes, for example {blf: 16, speeddial: 13}")
        return {}
    types: dict[str, object] = {}
    for kind, given in value.items():
        if given is None:
            types[canonical(kind)] = None
        elif isinstance(given, str):
            types[canonical(kind)] = _fields({"code": given}, (*at, kind), bad)
        else:
            types[canonical(kind)] = _fields(given, (*at, kind), bad)
    return types


def _fields(value: object, at: tuple[str | int, ...], bad: Bad) -> dict[str, object]:
    if not isinstance(value, dict):
        bad(at, "is a mapping of names to rules, for example {key: 'linekey.{position}'}")
        return {}
    fields: dict[str, object] = {}
    for name, given in value.items():
        where = (*at, name)
        if not NAME.fullmatch(name):
            bad(where, "is no name: lower-case letters, digits and '_'")
            continue
        rule = None if given is None else read_rule(given, lambda what, where=where: bad(where, what))  # type: ignore[misc]
        if rule is not None or given is None:
            fields[str(name)] = rule
    return fields


def _constants(value: object, bad: Bad) -> dict[str, object]:
    if not isinstance(value, dict):
        bad(("constants",), "is a mapping of constants to texts, for example {transport.udp: 0}")
        return {}
    found: dict[str, object] = {}
    for key, text in value.items():
        if text is None or isinstance(text, str):
            found[str(key)] = str(text or "")
        else:
            bad(("constants", key), "is a text")
    return found


def _number(
    given: Mapping[str, object],
    key: str,
    most: int,
    at: tuple[str | int, ...],
    into: dict[str, object],
    bad: Bad,
) -> None:
    if given.get(key) is None:
        return
    number = whole(given[key], 0, most)
    if number is None:
        bad((*at, key), f"is a whole number up to {most}")
    else:
        into[key] = number
