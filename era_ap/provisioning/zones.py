"""Time zones of the tz database as phones need them: an offset, and a rule for summer time or none.

Owns the reading of the database (package tzdata) and the form of a rule: month, week, weekday and local time
of both changes, summer time always being ahead. Does not own any vendor's notation (``timezones``).
RFC 9636 section 3.3.1 (the footer), POSIX.1 section 8.3 (TZ).
"""

from __future__ import annotations

import datetime
import io
import re
from dataclasses import dataclass
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

DAY: Final = 86_400
LAST: Final = 5

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+)*")
_FOOTER: Final = re.compile(
    r"(?P<name><[^>]+>|[A-Za-z]{3,})(?P<offset>[-+0-9:]+)"
    r"(?:(?P<summer><[^>]+>|[A-Za-z]{3,})(?P<ahead>[-+0-9:]+)?,(?P<start>[^,]+),(?P<end>[^,]+))?"
)
_RULE: Final = re.compile(r"M(\d+)\.(\d)\.(\d)(?:/([-+0-9:]+))?")
_SAMPLES: Final = 26
_TWO: Final = 7200


@dataclass(frozen=True, slots=True)
class Change:
    """When clocks are changed: in week 1 to 4 of a month or in its last (5), on a weekday from 0 (Sunday).

    ``seconds`` is the time of the clock before the change; ``day`` is the day of the month in this year.
    """

    month: int
    week: int
    weekday: int
    seconds: int
    day: int


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone on one date. Seconds east of UTC in winter; ``save`` is what summer time adds, 0 without it.

    ``regular`` is False where no rule can say what the database says: the offset is then that of the date.
    """

    name: str
    offset: int
    abbreviation: str
    save: int = 0
    summer: str = ""
    start: Change | None = None
    end: Change | None = None
    regular: bool = True

    @property
    def rule(self) -> tuple[object, ...]:
        """What two zones have in common whose clocks always agree."""
        changes = (self.start, self.end) if self.start and self.end else ()
        return (self.offset, self.save, *((c.month, c.week, c.weekday, c.seconds) for c in changes))


class Database:
    """The zones of the package tzdata."""

    def __init__(self) -> None:
        self._files = resources.files("tzdata").joinpath("zoneinfo")
        listed = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
        self.names = tuple(listed.split())
        self._known = frozenset(self.names)

    def data(self, name: str) -> bytes | None:
        """The compiled zone, equal for names of one zone; None if there is no such zone."""
        if name not in self._known or not _NAME.fullmatch(name):
            return None
        return self._files.joinpath(*name.split("/")).read_bytes()

    def zone(self, name: str, date: datetime.date) -> Zone | None:
        """The zone as it is from ``date`` on; None if there is none of that name."""
        data = self.data(name)
        if data is None:
            return None
        info = ZoneInfo.from_file(io.BytesIO(data), key=name)
        footer = data.rstrip(b"\n").rpartition(b"\n")[2].decode("ascii")
        zone = _of_footer(name, footer, date.year)
        if zone is not None and _agrees(zone, footer, info, date):
            return zone
        noon = datetime.datetime(date.year, date.month, date.day, 12, tzinfo=info)
        return Zone(name, _seconds(noon.utcoffset()), noon.tzname() or "", regular=False)


def _of_footer(name: str, footer: str, year: int) -> Zone | None:
    match = _FOOTER.fullmatch(footer)
    if match is None:
        return None
    offset, abbreviation = -_time(match["offset"]), match["name"].strip("<>")
    if match["summer"] is None:
        return Zone(name, offset, abbreviation)
    ahead = -_time(match["ahead"]) if match["ahead"] else offset + 3600
    summer = match["summer"].strip("<>")
    start, end = _change(match["start"], year), _change(match["end"], year)
    if start is None or end is None:
        return None
    if ahead < offset:  # Ireland's winter time is said to be behind its standard time
        offset, ahead, abbreviation, summer, start, end = ahead, offset, summer, abbreviation, end, start
    return Zone(name, offset, abbreviation, ahead - offset, summer, start, end)


def _change(text: str, year: int) -> Change | None:
    match = _RULE.fullmatch(text)
    if match is None:
        return None
    month, week, weekday = int(match[1]), int(match[2]), int(match[3])
    seconds = _time(match[4]) if match[4] else _TWO
    date = _date(year, month, week, weekday)
    if 0 <= seconds < DAY:
        return Change(month, week, weekday, seconds, date.day)
    # A time beyond the day: said by the day it falls on, which holds for this year.
    date += datetime.timedelta(days=seconds // DAY)
    last = date + datetime.timedelta(days=7)
    of_month = LAST if week == LAST and last.month != date.month else (date.day - 1) // 7 + 1
    return Change(date.month, of_month, date.isoweekday() % 7, seconds % DAY, date.day)


def _date(year: int, month: int, week: int, weekday: int) -> datetime.date:
    first = datetime.date(year, month, 1)
    day = 1 + (weekday - first.isoweekday()) % 7 + 7 * (week - 1)
    date = first + datetime.timedelta(days=day - 1)
    return date if date.month == month else date - datetime.timedelta(days=7)


def _agrees(zone: Zone, footer: str, info: ZoneInfo, date: datetime.date) -> bool:
    """Whether the rule says what the database says, at some days of the year that begins with ``date``."""
    for number in range(_SAMPLES):
        day = date + datetime.timedelta(days=14 * number)
        moment = datetime.datetime(day.year, day.month, day.day, 12, tzinfo=datetime.UTC)
        this_year = zone if day.year == date.year else _of_footer(zone.name, footer, day.year)
        if this_year is None or _seconds(moment.astimezone(info).utcoffset()) != _offset_at(
            this_year, moment
        ):
            return False
    return True


def _offset_at(zone: Zone, moment: datetime.datetime) -> int:
    if zone.start is None or zone.end is None:
        return zone.offset
    start = _instant(zone.start, moment.year, zone.offset)
    end = _instant(zone.end, moment.year, zone.offset + zone.save)
    in_summer = start <= moment < end if start < end else not end <= moment < start
    return zone.offset + (zone.save if in_summer else 0)


def _instant(change: Change, year: int, offset: int) -> datetime.datetime:
    midnight = datetime.datetime(year, change.month, change.day, tzinfo=datetime.UTC)
    return midnight + datetime.timedelta(seconds=change.seconds - offset)


def _time(text: str) -> int:
    """Seconds of ``[+-]h[:m[:s]]``."""
    sign = -1 if text.startswith("-") else 1
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    return sign * sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))


def _seconds(delta: datetime.timedelta | None) -> int:
    return round(delta.total_seconds()) if delta is not None else 0
