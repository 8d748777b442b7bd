"""Which key of a phone an entry of the BLF list gets, and the fields its template may ask for.

Owns the placing: what an entry asks for is honoured, the others take the free keys in order, and what cannot
be placed is left out with a warning. A key an account of the phone stands on is not free. Does not own the
shape of a phone (``layout``) nor the filling of templates.

Fields of a placed key beside those of its entry: ``area``, ``position`` (on its page and module), ``slot``
(in its area), ``place`` (on the phone), ``page``, ``module``, each also from 0 (``position0``), ``type``,
``code``, ``line``, ``login`` and what models.yml computes.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from era_ap.errors import Problem, Reason, Severity
from era_ap.provisioning.blf import BlfKey
from era_ap.provisioning.fields import as_text
from era_ap.provisioning.layout import NONE, canonical
from era_ap.provisioning.limits import named
from era_ap.provisioning.rules import whole
from era_ap.provisioning.spots import Seat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from era_ap.provisioning.layout import Layout
    from era_ap.provisioning.scope import Line
    from era_ap.provisioning.spots import Area

_BLF: Final = "blf"
_LINE: Final = "line"
_NOTHING_SAID: Final = {
    **dict.fromkeys(("number", "value", "label", "pickup", "login", "code", "index", "index0"), ""),
    "type": NONE,
}
_PLACE: Final = ("module", "page", "position")
_WORKING: Final = ("number", "value", "pickup")
_MOST_SEATS: Final = 256
ASKING: Final = frozenset({"type", "area", "line", *_PLACE})
"""Fields by which an entry asks for a certain key; most have none of them."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The keys in the order of the phone, and what is to be said about those that were left out."""

    keys: tuple[BlfKey, ...]
    problems: tuple[Problem, ...]


def place(entries: Sequence[BlfKey], layout: Layout, lines: Sequence[Line], pickup: str) -> Placed:
    """Give each of ``entries`` a key of a phone whose lines are ``lines``, the primary one first.

    ``pickup`` is what an entry of type blf is picked up with if it does not say so itself.
    """
    problems: list[Problem] = []
    words = _Words(layout, lines, pickup, problems)
    seats = _seats_of_plain(entries, layout, lines)
    if seats is None:
        seats = _Placing(layout, lines, problems).seats(entries)
    return Placed(
        tuple([key for seat in seats if (key := words.key(seat, entries)) is not None]), tuple(problems)
    )


def _seats_of_plain(
    entries: Sequence[BlfKey], layout: Layout, lines: Sequence[Line]
) -> tuple[Seat, ...] | None:
    """The seats of entries that ask for nothing: on all phones with these lines they are the same.

    None where one of them asks for something, or finds no place.
    """
    if layout.types and _BLF not in layout.types:
        return None
    for entry in entries:
        if not ASKING.isdisjoint(entry.fields):
            return None
    mark = (len(entries), *[line.number for line in lines])
    seats = layout.seats.get(mark)
    if seats is None:
        problems: list[Problem] = []
        seats = _Placing(layout, lines, problems).seats(entries)
        if problems:
            return None
        if len(layout.seats) < _MOST_SEATS:
            layout.seats[mark] = seats
    return seats


@dataclass(slots=True)
class _Wish:
    """One entry as far as it is understood; ``kind`` is None for an entry that leaves its key empty."""

    entry: BlfKey
    kind: str | None
    line: Line
    area: str = ""
    module: int | None = None
    page: int | None = None
    position: int | None = None


class _Placing:
    """The keys of one phone being given away; ``_taken`` has the entry on each, or words for what else is."""

    def __init__(self, layout: Layout, lines: Sequence[Line], problems: list[Problem]) -> None:
        self._layout = layout
        self._areas = layout.areas or ()
        self._lines = {line.number: line for line in lines}
        self._primary = lines[0]
        self._types = layout.types
        self._taken: dict[int, str | int] = {}
        self._of_lines: dict[int, _Wish] = {}
        self._candidates: dict[tuple[str | None, str, int | None, int | None], Iterator[int]] = {}
        self._has_blf = _BLF in self._types or not self._types
        self._problems = problems
        for area in self._areas:
            for line in lines if area.accounts else ():
                if line.number <= area.size:
                    number = area.first + line.number - 1
                    self._taken[number] = f"line {line.number} of the phone"
                    if area.writes_lines and _LINE in area.types:
                        self._of_lines[number] = _Wish(BlfKey(0, {}, {}), _LINE, line)

    def seats(self, entries: Sequence[BlfKey]) -> tuple[Seat, ...]:
        """Who is on which key, in the order of the phone."""
        wishes = [wish for entry in entries if (wish := self._wish(entry)) is not None]
        found: dict[int, _Wish] = dict(self._of_lines)
        for fixed in (True, False):
            for wish in wishes:
                if (wish.position is not None) is fixed:
                    number = self._fixed(wish) if fixed else self._free(wish)
                    if number:
                        self._taken[number] = wish.entry.index
                        found[number] = wish
        return tuple(self._seat(number, found.get(number)) for number in self._written(found))

    def _seat(self, number: int, wish: _Wish | None) -> Seat:
        empty = self._layout.known(number, NONE)
        if wish is None or wish.kind is None:
            return Seat(empty, empty)
        known = self._layout.known(number, wish.kind if wish.kind in self._types else NONE)
        return Seat(known, empty, wish.kind, wish.entry.index, wish.line.number)

    # --- what an entry asks for

    def _wish(self, entry: BlfKey) -> _Wish | None:
        fields = entry.fields
        if self._has_blf and ASKING.isdisjoint(fields):
            return _Wish(entry, _BLF, self._primary)
        line = self._line(entry)
        if line is None:
            return None
        kind = canonical(as_text(fields["type"]) or _BLF) if "type" in fields else _BLF
        area = as_text(fields["area"]) or "" if "area" in fields else ""
        wish = _Wish(entry, self._known(entry, kind), line, area)
        if wish.area and all(area.name != wish.area for area in self._areas):
            names = ", ".join(area.name for area in self._areas)
            what = f"there is no area '{wish.area[:40]}'; there are {names}"
            self._note(entry, Reason.KEY_PLACE, what)
            return None
        for name in _PLACE:
            given = as_text(fields.get(name)) if name in fields else None
            if given:
                number = whole(given, 0 if name == "module" else 1)
                if number is None:
                    what = f"{name} is {given[:40]!r}; it is a number counted from 1"
                    self._note(entry, Reason.KEY_PLACE, what)
                    return None
                setattr(wish, name, number)
        return wish

    def _line(self, entry: BlfKey) -> Line | None:
        given = as_text(entry.fields.get("line"))
        if not given:
            return self._primary
        line = self._lines.get(whole(given, 1) or 0)
        if line is None:
            self._note(entry, Reason.KEY_PLACE, f"the phone has no line {given[:40]!r}")
        return line

    def _known(self, entry: BlfKey, kind: str) -> str | None:
        types = self._types
        if kind in types or not types:
            return kind
        near = difflib.get_close_matches(kind, types, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"it knows {', '.join(sorted(types))}"
        self._note(entry, Reason.KEY_TYPE, f"this model has no keys of type '{kind[:40]}'; {hint}")
        return None

    # --- where it goes

    def _fixed(self, wish: _Wish) -> int:
        """The number of the key that a wish with a position means, 0 if it cannot have it."""
        assert wish.position is not None
        area, number = self._meant(wish)
        if area is None:
            self._note(wish.entry, Reason.KEY_PLACE, f"there is no key at {_where(wish)}")
            return 0
        taken = self._taken.get(number)
        if taken is None and (number - area.first) % area.count + 1 in area.reserved:
            taken = "the phone itself"
        if taken is not None:
            by = taken if isinstance(taken, str) else f"entry {taken}"
            self._note(wish.entry, Reason.KEY_PLACE, f"the key at {_where(wish)} is taken by {by}")
            return 0
        if wish.kind is not None and area.types and wish.kind not in area.types:
            self._note(wish.entry, Reason.KEY_TYPE, f"a key of area {area.name} cannot be '{wish.kind}'")
            wish.kind = None
        return number

    def _meant(self, wish: _Wish) -> tuple[Area | None, int]:
        position = wish.position or 0
        for area in self._areas:
            if not _fits(area, wish):
                continue
            if wish.module or wish.page:
                start = max((wish.module or 1) - 1, 0) * area.unit + ((wish.page or 1) - 1) * area.count
                most = area.count if wish.page else area.unit
                return (area, area.first + start + position - 1) if position <= most else (None, 0)
            if wish.area:
                return (area, area.first + position - 1) if position <= area.size else (None, 0)
            if area.first <= position < area.first + area.size:
                return area, position
        return None, 0

    def _free(self, wish: _Wish) -> int:
        """The number of the first free key for a wish without a position, 0 if there is none."""
        alike = (wish.kind, wish.area, wish.module, wish.page)
        candidates = self._candidates.get(alike)
        if candidates is None:
            candidates = self._candidates[alike] = _suiting(self._areas, wish)
        for number in candidates:
            if number not in self._taken:
                return number
        what = f"no key is free{f' at {_where(wish)}' if wish.area or wish.page or wish.module else ''}"
        self._note(wish.entry, Reason.KEY_OVERFLOW, what)
        return 0

    def _written(self, found: Mapping[int, _Wish]) -> list[int]:
        """The numbers of the keys to write, in order: those with an entry and those to be emptied."""
        numbers = set(found)
        for area in self._areas:
            end = area.first + area.size
            if area.fill == "gaps":
                end = max((number for number in found if area.first <= number < end), default=area.first)
            if area.fill != NONE:
                numbers |= {
                    number
                    for number in range(area.first, end)
                    if number not in self._taken
                    and (number - area.first) % area.count + 1 not in area.reserved
                }
        return sorted(numbers)

    def _note(self, entry: BlfKey, reason: Reason, what: str) -> None:
        self._problems.append(_problem(self._primary, entry, reason, what))


class _Words:
    """What the keys of one phone say."""

    def __init__(self, layout: Layout, lines: Sequence[Line], pickup: str, problems: list[Problem]) -> None:
        self._lines = {line.number: line for line in lines}
        self._primary = lines[0]
        self._pickup = pickup
        self._problems = problems
        self._dialect = layout.dialect
        self._label_length = layout.dialect.label_length if layout.dialect is not None else 0
        self._careful = layout.dialect is not None and layout.dialect.touches_values
        self._alike: dict[tuple[str, int], dict[str, str]] = {}

    def key(self, seat: Seat, entries: Sequence[BlfKey]) -> BlfKey | None:
        """The key at ``seat`` with its entry of ``entries``; None where nothing is written."""
        if seat.kind is not None:
            key = entries[seat.entry - 1] if seat.entry else BlfKey(0, {}, {})
            said = self._said(key, seat.kind, seat.line)
            if said is not None:
                key.said, key.known = said, seat.known
                return key
        if seat.empty.area.fill == NONE:
            return None
        line = {"line": str(self._primary.number), "line0": str(self._primary.number - 1)}
        return BlfKey(0, {}, {**_NOTHING_SAID, **line}, seat.empty)

    def _said(self, entry: BlfKey, kind: str, line: int) -> dict[str, str] | None:
        """What the entry itself says, safe for the dialect; None if the dialect cannot carry it."""
        get, index = entry.fields.get, entry.index
        alike = self._alike.get((kind, line))
        if alike is None:
            alike = self._alike[kind, line] = {**_said_of(self._lines[line]), "type": kind}
        value = as_text(get("value"))
        number = as_text(get("number")) or value or ""
        label = as_text(get("label")) or number or {_LINE: alike["login"], NONE: ""}.get(kind, kind)
        said = {
            **alike,
            "number": number,
            "value": value or number,
            "pickup": as_text(get("pickup")) or (self._pickup if kind == _BLF else ""),
            "label": label,
            "index": str(index or ""),
            "index0": str(index - 1) if index else "",
        }
        if self._careful and not self._carried(entry, said):
            return None
        if self._label_length:
            said["label"] = said["label"][: self._label_length].rstrip()
        if self._careful and self._dialect is not None:
            said["label"] = self._dialect.carried(said["label"])
        return said

    def _carried(self, entry: BlfKey, said: dict[str, str]) -> bool:
        """Whether the dialect can carry what is said, which is then written as it must be."""
        dialect = self._dialect
        assert dialect is not None
        for name in _WORKING:
            flaw = dialect.flaw(said[name], in_key=True)
            if flaw is not None:
                what = f"its {name} has {named(flaw)}, which files of this model cannot carry"
                self._problems.append(_problem(self._primary, entry, Reason.KEY_VALUE, what))
                return False
            said[name] = dialect.carried(said[name])
        said["login"] = dialect.carried(said["login"])
        said["label"] = dialect.blanked(said["label"], in_key=True)
        return True


def _problem(primary: Line, entry: BlfKey, reason: Reason, what: str) -> Problem:
    account = primary.account
    detail = f"BLF entry {entry.index} of account {account.key}: {what}"
    return Problem(reason, account.origin, detail, Severity.WARNING)


def _suiting(areas: Sequence[Area], wish: _Wish) -> Iterator[int]:
    """The numbers of the keys that would do for a wish without a position, free or not, in order."""
    for area in areas:
        if not _fits(area, wish) or (wish.kind is not None and area.types and wish.kind not in area.types):
            continue
        start, end = area.first, area.first + area.size
        if wish.module or wish.page:
            start += max((wish.module or 1) - 1, 0) * area.unit + ((wish.page or 1) - 1) * area.count
            end = start + (area.count if wish.page else area.unit)
        for number in range(start, end):
            if (number - area.first) % area.count + 1 not in area.reserved:
                yield number


def _said_of(line: Line) -> dict[str, str]:
    """What every entry on ``line`` says."""
    return {
        "login": as_text(line.account.fields.get("login")) or "",
        "line": str(line.number),
        "line0": str(line.number - 1),
        "code": "",
    }


def _fits(area: Area, wish: _Wish) -> bool:
    """Whether the area, module and page that the wish names, if any, are in ``area``."""
    if wish.area and wish.area != area.name:
        return False
    if wish.module is not None and not (wish.module <= area.modules if wish.module else not area.modules):
        return False
    paged = area.pages > 1 or bool(wish.area or wish.module)
    return wish.page is None or (paged and wish.page <= area.pages)


def _where(wish: _Wish) -> str:
    parts = (
        f"area {wish.area}" if wish.area else "",
        f"module {wish.module}" if wish.module is not None else "",
        f"page {wish.page}" if wish.page else "",
        f"position {wish.position}" if wish.position else "",
    )
    return ", ".join(part for part in parts if part)
