"""Time zones: every zone of the tz database in every vendor's notation, and the rules for summer time."""

from __future__ import annotations

import datetime
import io
import re
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from era_ap.errors import Reason, Refused
from era_ap.provisioning.timezones import LISTS, OFFSET_DECIDES, TimeZones, general
from era_ap.provisioning.zones import Change, Database, Zone

TODAY = datetime.date(2026, 7, 1)
DATABASE = Database()
ZONES = TimeZones(lambda: TODAY)


DISTINCT = tuple({DATABASE.data(name): name for name in reversed(DATABASE.names)}.values())


def zone_of(name: str, date: datetime.date) -> Zone:
    zone = DATABASE.zone(name, date)
    assert zone is not None
    return zone


def clock_of(name: str) -> ZoneInfo:
    """The zone of the same database, whatever the system has."""
    return ZoneInfo.from_file(io.BytesIO(DATABASE.data(name) or b""))


def constants(name: str, date: datetime.date = TODAY) -> dict[str, str]:
    zones = ZONES if date == TODAY else TimeZones(lambda: date)
    return dict(zones.constants(name).values)


# --- zones that many people live in


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "Europe/Moscow",
            {
                "tz.offset_seconds": "10800",
                "tz.offset_minutes": "180",
                "tz.minutes_inverted": "-180",
                "tz.quarter_hours": "12",
                "tz.offset_hours": "+3",
                "tz.offset_hhmm": "+03:00",
                "tz.offset_hmm": "+3:00",
                "tz.gmt": "GMT+03:00",
                "tz.utc": "UTC+3",
                "tz.posix": "MSK-3",
                "tz.abbr": "MSK",
                "tz.dst": "0",
                "tz.dst_yesno": "no",
                "tz.dst_minutes": "0",
                "tz.dst_start.month": "",
                "tz.dst_end.weekday_name": "",
                "yealink.time_zone": "+3",
                "yealink.time_zone_name": "Russia(Moscow)",
                "yealink.summer_time": "0",
                "snom.timezone": "RUS+3",
                "grandstream.timezone": "MSK-3",
                "htek.timezone": "73",
                "escene.timezone": "15",
                "cisco.timezone": "Russian Standard/Daylight Time",
                "cisco.dst_rule": "",
                "gigaset.timezone": "GMT+3.Europe/Moscow",
                "avaya.dst_start": "",
            },
        ),
        (
            "Europe/Berlin",
            {
                "tz.posix": "CET-1CEST,M3.5.0,M10.5.0/3",
                "tz.dst": "1",
                "tz.dst_abbr": "CEST",
                "tz.dst_minutes": "60",
                "tz.dst_start.month": "3",
                "tz.dst_start.week": "5",
                "tz.dst_start.nth": "-1",
                "tz.dst_start.first_day": "29",
                "tz.dst_start.last": "1",
                "tz.dst_start.weekday": "0",
                "tz.dst_start.weekday1": "1",
                "tz.dst_start.weekday7": "7",
                "tz.dst_start.weekday_name": "Sunday",
                "tz.dst_start.month_name": "March",
                "tz.dst_start.day": "29",
                "tz.dst_start.hour": "2",
                "tz.dst_start.time": "02:00",
                "tz.dst_end.month": "10",
                "tz.dst_end.day": "25",
                "tz.dst_end.hour": "3",
                "yealink.time_zone_name": "Germany(Berlin)",
                "yealink.summer_time": "2",
                "snom.timezone": "GER+1",
                "grandstream.timezone": "CET-1CEST-2,M3.5.0/02:00:00,M10.5.0/03:00:00",
                "htek.timezone": "50",
                "escene.timezone": "13",
                "cisco.dst_rule": "start=3/-1/7/2:0:0;end=10/-1/7/3:0:0;save=1:0:0",
                "gigaset.timezone": "GMT+1.Europe/Amsterdam",
                "avaya.dst_start": "LSunMar2L",
                "avaya.dst_stop": "LSunOct3L",
            },
        ),
        (
            "America/New_York",
            {
                "tz.offset_hours": "-5",
                "tz.gmt": "GMT-05:00",
                "tz.posix": "EST5EDT,M3.2.0,M11.1.0",
                "tz.dst_start.week": "2",
                "tz.dst_start.first_day": "8",
                "snom.timezone": "USA-5",
                "cisco.dst_rule": "start=3/8/7/2:0:0;end=11/1/7/2:0:0;save=1:0:0",
                "avaya.dst_start": "2SunMar2L",
                "avaya.dst_stop": "1SunNov2L",
            },
        ),
        (
            "Asia/Kolkata",
            {
                "tz.offset_hours": "+5:30",
                "tz.offset_hhmm": "+05:30",
                "tz.utc": "UTC+5:30",
                "tz.quarter_hours": "22",
                "tz.posix": "IST-5:30",
                "snom.timezone": "IND+5.5",
                "htek.timezone": "84",
            },
        ),
        (
            "America/St_Johns",
            {"tz.offset_hours": "-3:30", "tz.offset_hhmm": "-03:30", "tz.quarter_hours": "-14"},
        ),
        ("Asia/Dubai", {"tz.posix": "<+04>-4", "grandstream.timezone": "STD-4", "snom.timezone": "UAE+4"}),
        ("Etc/UTC", {"tz.offset_hours": "0", "tz.utc": "UTC", "tz.gmt": "GMT+00:00", "tz.posix": "UTC0"}),
        ("Europe/Vienna", {"yealink.time_zone_name": "Austria(Vienna)", "escene.timezone": "74"}),
        ("Europe/Kiev", {"yealink.time_zone_name": "Ukraine(Kyiv, Odessa)", "snom.timezone": "UKR+2"}),
        ("Asia/Novosibirsk", {"yealink.time_zone": "+7", "yealink.time_zone_name": "Russia(Krasnoyarsk)"}),
        # Summer time that straddles the new year, that adds half an hour, that is called standard time.
        ("Australia/Sydney", {"tz.posix": "AEST-10AEDT,M10.1.0,M4.1.0/3", "tz.dst_start.month": "10"}),
        ("Australia/Lord_Howe", {"tz.posix": "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "tz.dst_minutes": "30"}),
        (
            "Europe/Dublin",
            {"tz.offset_minutes": "0", "tz.posix": "GMT0IST,M3.5.0/1,M10.5.0", "tz.abbr": "GMT"},
        ),
        # Times before and after the day itself are said by the day they fall on in this year.
        (
            "America/Nuuk",
            {"tz.dst_start.weekday_name": "Saturday", "tz.dst_start.day": "28", "tz.dst_start.hour": "23"},
        ),
        (
            "America/Santiago",
            {"tz.dst_start.weekday_name": "Sunday", "tz.dst_start.day": "6", "tz.dst_start.hour": "0"},
        ),
        (
            "Asia/Gaza",
            {"tz.dst_start.weekday_name": "Saturday", "tz.dst_start.day": "28", "tz.dst_start.hour": "2"},
        ),
    ],
)
def test_a_zone(name: str, expected: dict[str, str]) -> None:
    found = constants(name)
    assert {key: found[key] for key in expected} == expected


def test_the_day_is_that_of_the_year() -> None:
    days = {
        year: constants("Europe/Berlin", datetime.date(year, 1, 1))["tz.dst_start.day"]
        for year in (2026, 2027)
    }
    assert days == {2026: "29", 2027: "28"}
    assert constants("Asia/Jerusalem", datetime.date(2029, 1, 1))["tz.dst_start.day"] == "23"


# --- all of them


def offset_by_rule(zone: Zone, moment: datetime.datetime) -> int:
    """Seconds east of UTC at ``moment`` by the rule alone, as a phone would reckon."""
    if zone.start is None or zone.end is None:
        return zone.offset

    def instant(change: Change, offset: int) -> datetime.datetime:
        clock = datetime.datetime(moment.year, change.month, 1, tzinfo=datetime.UTC)
        days = [clock + datetime.timedelta(days=n) for n in range(31)]
        fitting = [d for d in days if d.month == change.month and d.isoweekday() % 7 == change.weekday]
        day = fitting[min(change.week, len(fitting)) - 1]
        return day + datetime.timedelta(seconds=change.seconds - offset)

    start, end = instant(zone.start, zone.offset), instant(zone.end, zone.offset + zone.save)
    in_summer = start <= moment < end if start < end else not end <= moment < start
    return zone.offset + (zone.save if in_summer else 0)


@pytest.mark.parametrize("name", DISTINCT)
def test_the_rule_says_what_the_database_says_all_year(name: str) -> None:
    zone = zone_of(name, datetime.date(2026, 1, 1))
    clock = clock_of(name)
    moment = datetime.datetime(2026, 1, 1, 0, 30, tzinfo=datetime.UTC)
    for _ in range(365 * 2 if zone.regular else 0):
        delta = moment.astimezone(clock).utcoffset()
        assert delta is not None
        assert offset_by_rule(zone, moment) == delta.total_seconds(), moment
        moment += datetime.timedelta(hours=12)


LETTERS, WEST, CLOCK = r"[A-Za-z]{3,}", r"-?\d+(:\d\d)?", r"\d+(:\d\d)?"
NAME, RULE = rf"(<[-+0-9A-Z]+>|{LETTERS})", r",M\d+\.[1-5]\.[0-6]"
FORMS = {
    "tz.posix": rf"{NAME}{WEST}({NAME}({WEST})?({RULE}(/{CLOCK})?){{2}})?",
    "tz.offset_seconds": r"-?\d+",
    "tz.quarter_hours": r"-?\d+",
    "tz.offset_hours": r"0|[-+]\d+(:\d\d)?",
    "tz.offset_hhmm": r"[-+]\d\d:\d\d",
    "tz.gmt": r"GMT[-+]\d\d:\d\d",
    "yealink.time_zone": r"0|[-+]\d+(:\d\d)?",
    "yealink.time_zone_name": r"[A-Z].*",
    "yealink.summer_time": r"[02]",
    "snom.timezone": r"[A-Z]{3}[23]?[-+]\d+(\.\d+)?",
    "grandstream.timezone": rf"{LETTERS}{WEST}({LETTERS}{WEST}({RULE}/\d\d:\d\d:00){{2}})?",
    "htek.timezone": r"\d{1,3}",
    "escene.timezone": r"\d{1,3}",
    "cisco.timezone": r".* Time",
    "cisco.dst_rule": r"|start=\d+/-?\d+/[1-7]/\d+:\d+:0;end=\d+/-?\d+/[1-7]/\d+:\d+:0;save=\d:\d+:0",
    "gigaset.timezone": r"GMT([-+]\d+(:\d\d)?)?\.[A-Z][A-Za-z_]+/[A-Za-z_/]+",
    "avaya.dst_start": r"|[1-4L][A-Z][a-z]{2}[A-Z][a-z]{2}\d+L",
}


@pytest.mark.parametrize("name", DATABASE.names)
def test_every_zone_has_every_notation_in_its_form(name: str) -> None:
    found = ZONES.constants(name)
    for key, form in FORMS.items():
        assert re.fullmatch(form, found.values[key]), (key, found.values[key])
    zone = zone_of(name, TODAY)
    for vendor, constant in LISTS.items():
        matched = [entry.zone for entry in ZONES._entries[vendor] if entry.value in found.values[constant]]
        exact = any(other.rule == zone.rule for other in matched)
        told = constant in found.notes
        ornament = vendor in OFFSET_DECIDES and not zone.save and not told
        assert exact != told or ornament or not zone.regular
        if told:
            same = [entry for entry in ZONES._entries[vendor] if entry.zone.offset == zone.offset]
            assert not same or any(other.offset == zone.offset for other in matched)


def test_most_zones_are_known_to_every_vendor_exactly() -> None:
    counts = dict.fromkeys(LISTS.values(), 0)
    for name in DATABASE.names:
        for constant in counts.keys() & ZONES.constants(name).notes.keys():
            counts[constant] += 1
    most = {"yealink.time_zone_name": 20, "snom.timezone": 80, "htek.timezone": 50, "escene.timezone": 40}
    most |= {"cisco.timezone": 70, "gigaset.timezone": 140, "akuvox.time_zone_name": 30}
    assert {name: count for name, count in counts.items() if count > most[name]} == {}


@pytest.mark.parametrize("date", [TODAY, datetime.date(2026, 3, 1)])
def test_clocks_that_follow_no_rule_go_by_the_day_and_it_is_told(date: datetime.date) -> None:
    irregular = [name for name in DISTINCT if not zone_of(name, date).regular]
    assert "Africa/Casablanca" in irregular
    assert len(irregular) < len(DISTINCT) / 20
    for name in irregular:
        noon = datetime.datetime(date.year, date.month, date.day, 12, tzinfo=clock_of(name))
        found = TimeZones(lambda: date).constants(name)
        delta = noon.utcoffset()
        assert delta is not None
        assert found.values["tz.offset_seconds"] == str(round(delta.total_seconds()))
        assert found.values["tz.dst"] == "0"
        assert found.notes.keys() == found.values.keys() - {"tz.name"}
        assert "by no rule" in found.notes["tz.posix"].detail


def test_a_zone_nobody_knows_is_refused_with_the_nearest_name() -> None:
    for name in ("Europe/Moskow", "../../etc/passwd", "Europe", "europe/moscow", ""):
        with pytest.raises(Refused) as refused:
            ZONES.constants(name)
        assert refused.value.reason is Reason.TIMEZONE_UNKNOWN
    with pytest.raises(Refused, match="did you mean Europe/Moscow"):
        ZONES.constants("Europe/Moskow")


def test_a_zone_is_computed_once_a_day() -> None:
    dates = [datetime.date(2026, 12, 31)]
    zones = TimeZones(lambda: dates[-1])
    first = zones.constants("Europe/Berlin")
    assert zones.constants("Europe/Berlin") is first
    dates.append(datetime.date(2027, 1, 1))
    assert zones.constants("Europe/Berlin").values["tz.dst_start.day"] == "28"


def test_a_zone_without_summer_time_has_all_the_names_of_one_with_it() -> None:
    berlin = DATABASE.zone("Europe/Berlin", TODAY)
    assert berlin is not None
    assert general(berlin).keys() == general(replace(berlin, save=0, start=None, end=None)).keys()
