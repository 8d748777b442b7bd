"""The pack of Aastra and Mitel: names and values, keys in their areas, clock, boot chains, golden files."""

from __future__ import annotations

import datetime
import re

import pytest
from pack_chain import MAC as PHONE
from pack_chain import asked, chain
from packs import (
    accounts_of,
    all_options,
    filled,
    golden,
    golden_file,
    keys,
    layout_of,
    lines_of,
    models,
    scope_of,
    template_of,
    types_of,
)

from era_ap.errors import Reason, Refused
from era_ap.provisioning.render import Budget, render
from era_ap.provisioning.zones import Database

LINE = re.compile(r'[a-z][a-z0-9 \[\]|.-]*: (?:"[^"]*"|[^"#]*)|#.*|')


def values(data: bytes) -> dict[str, str]:
    """The settings of a file, which keeps to the dialect; the last one counts, so each is there once."""
    lines = data.decode().splitlines()
    assert not [line for line in lines if not LINE.fullmatch(line)]
    pairs = [line.partition(": ") for line in lines if line and not line.startswith("#")]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value.strip('"') for name, _, value in pairs}


@pytest.mark.parametrize("model", models("mitel"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts), keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        assert values(filled(model, accounts, blf, **all_options()).data)


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["6867i", "6731i", "6755i", "6920"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("mitel", model, accounts, full, "cfg")


def test_keys_of_all_areas() -> None:
    blf = [
        {"number": "201"},
        {"number": "202", "area": "softkey"},
        {"type": "park", "number": "700", "label": "Park"},
        {"number": "203", "module": "2", "position": "5", "label": "Door #1"},
    ]
    found = values(filled("6867i", 1, blf).data)
    assert (found["topsoftkey1 type"], found["topsoftkey1 value"]) == ("blf", "201")
    assert (found["softkey1 type"], found["softkey1 value"]) == ("speeddial", "202")
    assert found["topsoftkey2 value"] == "asterisk;700"
    assert (found["expmod2 key5 type"], found["expmod2 key5 label"]) == ("blf", "Door #1")
    assert values(filled("6739i", 1, [{"number": "201"}]).data)["softkey1 type"] == "blf"


@pytest.mark.parametrize(("proto", "code"), [("udp", "1"), ("tcp", "2"), ("tls", "4")])
def test_the_transport_is_that_of_the_gate(proto: str, code: str) -> None:
    assert values(filled("6867i", **{"sg.proto": proto}).data)["sip transport protocol"] == code


def test_the_clock_of_a_zone_with_and_without_summer_time() -> None:
    berlin = values(filled("6867i", timezone="Europe/Berlin").data)
    assert berlin["time zone minutes"] == "-60"
    assert [berlin[f"dst start {part}"] for part in ("month", "week", "day", "hour")] == ["3", "-1", "1", "2"]
    assert [berlin[f"dst end {part}"] for part in ("month", "week", "day", "hour")] == ["10", "-1", "1", "3"]
    moscow = values(filled("6867i").data)
    assert (moscow["time zone minutes"], moscow["dst config"]) == ("-180", "0")
    assert "dst start month" not in moscow


def test_every_rule_of_summer_time_has_its_numbers() -> None:
    database, known = Database(), layout_of("6867i").constants
    for name in database.names:
        zone = database.zone(name, datetime.date(2026, 7, 1))
        for change in (zone.start, zone.end) if zone is not None and zone.save else ():
            assert f"week.{change.week}" in known
            assert f"day.{change.weekday}" in known


@pytest.mark.parametrize(
    ("proto", "name"), [("tftp", "tftp server"), ("http", "http server"), ("https", "https server")]
)
def test_where_to_ask(proto: str, name: str) -> None:
    found = values(filled("6867i", **{"provisioning.proto": proto}).data)
    assert found["download protocol"] == proto.upper()
    assert found[name] == "192.0.2.1"


def test_without_registration_there_is_no_password() -> None:
    assert values(filled("6867i", **{"sg.register": "off"}).data)["sip line1 password"] == ""


def test_a_number_sign_is_kept_and_a_quote_never_written() -> None:
    def phone(**fields: str) -> bytes:
        scope = scope_of("6867i", lines_of("6867i", 1, None, **fields))
        return render(template_of("6867i"), scope, Budget(lambda: 0.0)).data

    assert values(phone(name='Bob "B" #1', password="a#b:c"))["sip line1 display name"] == "Bob  B  #1"
    assert values(phone(password="a#b:c"))["sip line1 password"] == "a#b:c"
    with pytest.raises(Refused) as refused:
        phone(password='a"b')
    assert refused.value.reason is Reason.VALUE_FORBIDDEN


@pytest.mark.parametrize(
    ("vendor", "model", "common"),
    [("aastra", "6757i", "aastra.cfg"), ("aastra", "6731i", "aastra.cfg"), ("mitel", "6920", "startup.cfg")],
)
def test_a_boot_chain_ends_with_the_phones_own_file(vendor: str, model: str, common: str) -> None:
    assert chain(vendor, model) == [common, f"{PHONE.upper()}.cfg"]
    data = asked(model, common) or b""
    golden("mitel", f"common-{common}", data)
    assert values(data)["time server disabled"] == "0"


@pytest.mark.parametrize(
    ("name", "model"), [("Aastra 57i", "6757i"), ("6757iCT", "6757i"), ("Aastra 53i", "6753i")]
)
def test_older_names_lead_to_their_own_model(name: str, model: str) -> None:
    assert template_of(name) is template_of(model)
    assert layout_of(name) == layout_of(model)


def test_a_53xx_does_not_get_the_text_file_of_the_others() -> None:
    assert asked("6867i", f"MN_{PHONE.upper()}.cfg") is None
