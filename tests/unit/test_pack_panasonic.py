"""The Panasonic pack: first lines, line ends and lengths, buttons, boot chains, golden files."""

from __future__ import annotations

import datetime
import re

import pytest
from lxml import etree
from pack_chain import MAC as PHONE
from pack_chain import asked, chain
from packs import accounts_of, all_options, filled, golden, golden_file, keys, layout_of, models, types_of

from era_ap.errors import Reason
from era_ap.provisioning.zones import Database

LINE = re.compile(r'[A-Z][A-Z0-9_]{0,31}="[^"]{0,500}"|#.*|')
FIRST = {"T": "# PCC Standard Format File #", "": "# Panasonic SIP Phone Standard Format File #"}
TEXT = [model for model in models("panasonic") if not model.startswith("KX-UTG")]


def values(model: str, data: bytes) -> dict[str, str]:
    """The settings of a file, which keeps to the dialect."""
    assert data.startswith(FIRST["T" if model.startswith("KX-TGP") else ""].encode())
    assert data.endswith(b"\r\n")
    lines = data.removesuffix(b"\r\n").split(b"\r\n")
    assert not [line for line in lines if b"\n" in line or b"\r" in line or len(line) > 535]
    texts = [line.decode() for line in lines]
    assert not [line for line in texts if not LINE.fullmatch(line)]
    pairs = [line.partition("=") for line in texts if line and not line.startswith("#")]
    assert len({name for name, _, _ in pairs}) == len(pairs), "of two values the first counts"
    return {name: value.strip('"') for name, _, value in pairs}


@pytest.mark.parametrize("model", TEXT)
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts), keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        assert values(model, filled(model, accounts, blf, **all_options()).data)


@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize(
    ("model", "full"),
    [
        ("KX-UT136", False),
        ("KX-UT136", True),
        ("KX-HDV330", False),
        ("KX-HDV330", True),
        ("KX-TGP550", False),
        ("KX-UTG300", False),
    ],
)
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("panasonic", model, accounts, full, "xml" if "UTG" in model else "cfg")


def test_lines_and_buttons_of_both_generations() -> None:
    blf = [{"number": "201", "label": "Anna"}, {"type": "speeddial", "number": "0305551", "label": "Taxi"}]
    ut = values("KX-UT136", filled("KX-UT136", 2, blf).data)
    assert [ut[f"FLEX_BUTTON_FACILITY_ACT{n}"].rpartition("_")[2] for n in (1, 2, 3, 4)] == [
        "DN",
        "DN",
        "CONTACT",
        "ONETOUCH",
    ]
    assert (ut["FLEX_BUTTON_FACILITY_ARG3"], ut["FLEX_BUTTON_QUICK_DIAL3"]) == ("201", "")
    assert (ut["FLEX_BUTTON_FACILITY_ARG4"], ut["FLEX_BUTTON_QUICK_DIAL4"]) == ("", "0305551")
    hdv = values("KX-HDV330", filled("KX-HDV330", 1, [*blf, {"number": "202", "module": "1"}]).data)
    assert hdv["FLEX_BUTTON_FACILITY_ACT1"] == "X_PANASONIC_IPTEL_LINE"
    assert hdv["FLEX_BUTTON_FACILITY_ACT2"] == "X_PANASONIC_IPTEL_BLF"
    assert hdv["DSS_BUTTON_FACILITY_ARG1"] == "202"


def test_the_pages_of_an_hdv_count_on() -> None:
    found = values(
        "KX-HDV330", filled("KX-HDV330", 1, [{"number": "201", "page": "3", "position": "2"}]).data
    )
    assert found["FLEX_BUTTON_FACILITY_ARG18"] == "201"


@pytest.mark.parametrize(("proto", "code", "tls"), [("udp", "0", "0"), ("tcp", "1", "0"), ("tls", "2", "1")])
def test_the_transport_is_that_of_the_gate(proto: str, code: str, tls: str) -> None:
    found = values("KX-HDV230", filled("KX-HDV230", **{"sg.proto": proto}).data)
    assert (found["SIP_TRANSPORT_1"], found["SIP_TLS_MODE_1"]) == (code, tls)
    assert values("KX-UT136", filled("KX-UT136", **{"sg.proto": proto}).data)["SIP_TRANSPORT_1"] == code


def test_without_registration_there_is_no_password() -> None:
    assert values("KX-UT136", filled("KX-UT136", **{"sg.register": "off"}).data)["SIP_PASS_1"] == ""


def test_the_clock() -> None:
    found = values("KX-UT136", filled("KX-UT136", timezone="Europe/Berlin").data)
    assert found["LOCAL_TIME_ZONE_POSIX"] == "CET-1CEST,M3.5.0,M10.5.0/3"
    root = etree.fromstring(filled("KX-UTG300", timezone="Europe/Berlin").data)
    time = {element.tag: element.text for element in root.find("Device/System/SysTime")}
    assert (time["TIME_ZONE"], time["DST_ENABLE"], time["DST_STOP_TIME"]) == ("60", "Y", "180")


def test_every_hour_of_a_change_has_its_minutes() -> None:
    database, known = Database(), layout_of("KX-UTG300").constants
    for name in database.names:
        zone = database.zone(name, datetime.date(2026, 7, 1))
        for change in (zone.start, zone.end) if zone is not None and zone.save else ():
            assert f"hour.{change.seconds // 3600}" in known, name


def test_a_label_that_would_make_the_line_too_long_is_cut() -> None:
    found = values("KX-UT136", filled("KX-UT136", 1, [{"number": "201", "label": "x" * 600}]).data)
    assert found["FLEX_BUTTON_LABEL2"] == "x" * 100


def test_a_phone_without_buttons_says_so() -> None:
    warnings = filled("KX-UT123", 1, [{"number": "201"}]).warnings
    assert [problem.reason for problem in warnings] == [Reason.KEY_OVERFLOW]


@pytest.mark.parametrize(
    ("vendor", "model", "asks_as", "expected"),
    [
        ("panasonic", "KX-UT136", "", ["KX-UT136.cfg", f"Config{PHONE.upper()}.cfg"]),
        ("panasonic", "KX-HDV130", "", ["KX-HDV130.cfg", f"Config{PHONE.upper()}.cfg"]),
        ("panasonic", "KX-TGP550", "KX-TGP550T04", ["KX-TGP550T04.cfg", f"Config{PHONE.upper()}.cfg"]),
        ("panasonic-utg", "KX-UTG300", "", [f"Config{PHONE.upper()}.cfg"]),
    ],
)
def test_a_boot_chain_ends_with_the_phones_own_file(
    vendor: str, model: str, asks_as: str, expected: list[str]
) -> None:
    assert chain(vendor, model, asks_as) == expected
    if len(expected) == 2:
        data = asked(model, expected[0]) or b""
        golden("panasonic", f"common-{'tgp' if 'TGP' in model else 'ut'}.cfg", data)
        first = values(model, data)
        assert first["CFG_STANDARD_FILE_PATH"] == "tftp://192.0.2.1/Config{MAC}.cfg"
