"""Constants computed from the constant ``timezone``: a name of the tz database as each vendor writes it.

Owns the notations that can be computed, and the choice from the lists of vendors that know zones by name or
number only (``data/timezones.yml``). What a list has no entry for gets the nearest one and a note, which is a
warning where the constant is used. Does not own the zones (``zones``) nor the date: it is handed in.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import yaml

from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.zones import LAST, Database

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping

    from era_ap.provisioning.zones import Change, Zone

WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
LISTS: Final = {
    "yealink": "yealink.time_zone_name",
    "snom": "snom.timezone",
    "htek": "htek.timezone",
    "escene": "escene.timezone",
    "cisco": "cisco.timezone",
    "gigaset": "gigaset.timezone",
    "akuvox": "akuvox.time_zone_name",
}
OFFSET_DECIDES: Final = frozenset({"yealink", "akuvox"})
"""Vendors that are told the offset and whether there is summer time; without it the name is an ornament."""


@dataclass(frozen=True, slots=True)
class ZoneConstants:
    """Constants of one zone; ``notes`` are warnings by constant."""

    values: Mapping[str, str]
    notes: Mapping[str, Problem]


@dataclass(frozen=True, slots=True)
class _Entry:
    value: str
    zone: Zone
    data: bytes | None


class TimeZones:
    """The constants of zones on the date that ``today`` gives; kept until the date changes."""

    def __init__(self, today: Callable[[], datetime.date]) -> None:
        self.today = today
        self._database = Database()
        text = resources.files("era_ap").joinpath("data/timezones.yml").read_text(encoding="utf-8")
        self._listed: dict[str, list[list[str]]] = yaml.load(text, Loader=yaml.BaseLoader)  # nosec B506 # noqa: S506 - text only
        self._date: datetime.date | None = None
        self._zones: dict[str, Zone | None] = {}
        self._entries: dict[str, tuple[_Entry, ...]] = {}
        self._kept: dict[str, ZoneConstants] = {}

    def constants(self, name: str) -> ZoneConstants:
        """All constants of the zone ``name``. Raises ``Refused`` (TIMEZONE_UNKNOWN)."""
        date = self.today()
        if date != self._date:
            self._date, self._kept, self._zones = date, {}, {}
            self._entries = {vendor: self._of_list(vendor, date) for vendor in LISTS}
        kept = self._kept.get(name)
        if kept is None:
            zone = self._zone(name, date)
            if zone is None:
                near = difflib.get_close_matches(name, self._database.names, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise Refused(Reason.TIMEZONE_UNKNOWN, f"there is no time zone {name[:80]!r}{hint}")
            kept = self._kept[name] = self._computed(zone)
        return kept

    def _of_list(self, vendor: str, date: datetime.date) -> tuple[_Entry, ...]:
        found = []
        for value, name in self._listed[vendor]:
            zone = self._zone(name, date)
            if zone is not None:
                found.append(_Entry(value, zone, self._database.data(name)))
        return tuple(found)

    def _zone(self, name: str, date: datetime.date) -> Zone | None:
        if name not in self._zones:
            self._zones[name] = self._database.zone(name, date)
        return self._zones[name]

    def _computed(self, zone: Zone) -> ZoneConstants:
        values = {f"tz.{key}": value for key, value in general(zone).items()}
        values |= notations(zone)
        notes: dict[str, Problem] = {}
        for vendor, constant in LISTS.items():
            entry, exact = self._nearest(zone, self._entries[vendor])
            values[constant] = entry.value
            if vendor == "gigaset":
                hours = _hours(entry.zone.offset) if entry.zone.offset else ""
                values[constant] = f"GMT{hours}.{entry.value}"
            ornament = vendor in OFFSET_DECIDES and not zone.save and entry.zone.offset == zone.offset
            if not exact and not ornament:
                notes[constant] = _note(zone, constant, entry)
        if not zone.regular:
            what = f"{zone.name} changes its clocks by no rule; today's offset is used, without summer time"
            note = Problem(Reason.TIMEZONE_NEAREST, "timezone", what, Severity.WARNING)
            notes = dict.fromkeys(values, note)
            notes.pop("tz.name")
        return ZoneConstants(MappingProxyType(values), MappingProxyType(notes))

    def _nearest(self, zone: Zone, entries: tuple[_Entry, ...]) -> tuple[_Entry, bool]:
        """The entry of a list for ``zone``, and whether their clocks always agree."""
        data, continent = self._database.data(zone.name), zone.name.partition("/")[0]

        def distance(entry: _Entry) -> tuple[bool, int, bool, bool, bool]:
            return (
                entry.zone.rule != zone.rule,
                abs(entry.zone.offset - zone.offset),
                bool(entry.zone.save) != bool(zone.save),
                entry.zone.name != zone.name and entry.data != data,
                not entry.zone.name.startswith(continent),
            )

        entry = min(entries, key=distance)
        return entry, entry.zone.rule == zone.rule


def general(zone: Zone) -> dict[str, str]:
    """The constants ``tz.…`` without that prefix."""
    minutes = zone.offset // 60
    sign, size = "-" if minutes < 0 else "+", abs(minutes)
    padded = f"{sign}{size // 60:02}:{size % 60:02}"
    values = {
        "name": zone.name,
        "abbr": zone.abbreviation,
        "posix": posix(zone),
        "offset_seconds": str(zone.offset),
        "offset_minutes": str(minutes),
        "minutes_inverted": str(-minutes),
        "quarter_hours": str(minutes // 15),
        "offset_hours": _hours(zone.offset),
        "offset_hhmm": padded,
        "offset_hmm": f"{sign}{size // 60}:{size % 60:02}",
        "gmt": f"GMT{padded}",
        "utc": f"UTC{_hours(zone.offset)}" if minutes else "UTC",
        "dst": "1" if zone.save else "0",
        "dst_yesno": "yes" if zone.save else "no",
        "dst_minutes": str(zone.save // 60),
        "dst_seconds": str(zone.save),
        "dst_abbr": zone.summer,
    }
    for name, change in (("dst_start", zone.start), ("dst_end", zone.end)):
        values |= {f"{name}.{key}": value for key, value in _change(change).items()}
    return values


def posix(zone: Zone) -> str:
    """The zone as a value of TZ: ``MSK-3``, ``CET-1CEST,M3.5.0,M10.5.0/3``."""
    text = f"{_quoted(zone.abbreviation)}{_west(zone.offset)}"
    if zone.start is None or zone.end is None:
        return text
    ahead = "" if zone.save == 3600 else _west(zone.offset + zone.save)
    rules = []
    for change in (zone.start, zone.end):
        hours, minutes = divmod(change.seconds // 60, 60)
        time = "" if change.seconds == 7200 else f"/{hours}:{minutes:02}" if minutes else f"/{hours}"
        rules.append(f"M{change.month}.{change.week}.{change.weekday}{time}")
    return f"{text}{_quoted(zone.summer)}{ahead},{','.join(rules)}"


def notations(zone: Zone) -> dict[str, str]:
    """What single vendors write and can be computed."""
    values = {
        "yealink.time_zone": _hours(zone.offset),
        "yealink.summer_time": "2" if zone.save else "0",
        "grandstream.timezone": f"{_letters(zone.abbreviation, 'STD')}{_west(zone.offset)}",
        "cisco.dst_rule": "",
        "avaya.dst_start": "",
        "avaya.dst_stop": "",
    }
    if zone.start is None or zone.end is None:
        return values
    rules = []
    for change in (zone.start, zone.end):
        hours, minutes = divmod(change.seconds // 60, 60)
        rules.append(f"M{change.month}.{change.week}.{change.weekday}/{hours:02}:{minutes:02}:00")
    summer = f"{_letters(zone.summer, 'DST')}{_west(zone.offset + zone.save)}"
    values["grandstream.timezone"] += f"{summer},{','.join(rules)}"
    save = f"{zone.save // 3600}:{zone.save // 60 % 60}:0"
    values["cisco.dst_rule"] = f"start={_cisco(zone.start)};end={_cisco(zone.end)};save={save}"
    values["avaya.dst_start"], values["avaya.dst_stop"] = _avaya(zone.start), _avaya(zone.end)
    return values


def _change(change: Change | None) -> dict[str, str]:
    """The fields of one change of the clocks; all empty without one."""
    names = (
        "month",
        "week",
        "nth",
        "first_day",
        "last",
        "weekday",
        "weekday1",
        "weekday7",
        "day",
        "hour",
        "minute",
    )
    if change is None:
        return dict.fromkeys((*names, "weekday_name", "month_name", "time"), "")
    hour, minute = divmod(change.seconds // 60, 60)
    is_last = change.week == LAST
    values = (
        *(change.month, change.week, -1 if is_last else change.week, 7 * (change.week - 1) + 1, int(is_last)),
        *(change.weekday, change.weekday + 1, change.weekday or 7, change.day, hour, minute),
    )
    return {
        **{name: str(value) for name, value in zip(names, values, strict=True)},
        "weekday_name": WEEKDAYS[change.weekday],
        "month_name": MONTHS[change.month - 1],
        "time": f"{hour:02}:{minute:02}",
    }


def _cisco(change: Change) -> str:
    hours, minutes = divmod(change.seconds // 60, 60)
    day = -1 if change.week == LAST else 7 * (change.week - 1) + 1
    return f"{change.month}/{day}/{change.weekday or 7}/{hours}:{minutes}:0"


def _avaya(change: Change) -> str:
    which = "L" if change.week == LAST else str(change.week)
    return f"{which}{WEEKDAYS[change.weekday][:3]}{MONTHS[change.month - 1][:3]}{change.seconds // 3600}L"


def _hours(offset: int) -> str:
    """``+3``, ``-3:30``, ``0``."""
    minutes = abs(offset) // 60
    if not minutes:
        return "0"
    rest = f":{minutes % 60:02}" if minutes % 60 else ""
    return f"{'-' if offset < 0 else '+'}{minutes // 60}{rest}"


def _west(offset: int) -> str:
    """Hours west of Greenwich as POSIX counts them: ``-3``, ``3:30``, ``0``."""
    return _hours(-offset).removeprefix("+")


def _quoted(name: str) -> str:
    return name if name.isalpha() and len(name) >= 3 else f"<{name}>"


def _letters(name: str, otherwise: str) -> str:
    return name if name.isascii() and name.isalpha() and len(name) >= 3 else otherwise


def _note(zone: Zone, constant: str, entry: _Entry) -> Problem:
    same = "the same offset" if entry.zone.offset == zone.offset else "another offset"
    what = f"{constant}: this vendor's list has no {zone.name}; {entry.value} has {same} and is used"
    return Problem(Reason.TIMEZONE_NEAREST, "timezone", what, Severity.WARNING)
