"""The Akuvox pack: ``Config.*`` lines, keys by name and number, summer time, hostile data, golden files."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packs import (
    accounts_of,
    all_options,
    filled,
    golden_file,
    keys,
    lines_of,
    models,
    scope_of,
    storage,
    template_of,
    types_of,
)

from era_ap.errors import Reason, Refused
from era_ap.phone import names_of
from era_ap.provisioning.escape import text_safe
from era_ap.provisioning.names import MaskTable, builtin_masks
from era_ap.provisioning.render import Budget, render

SETTING = re.compile(r"Config(?:\.[A-Za-z0-9_]+){3} = .*|Config\.Firmware\.Url = .*|#.*|")


def values(data: bytes) -> dict[str, str]:
    lines = data.decode().split("\n")
    assert not [line for line in lines if not SETTING.fullmatch(line)]
    pairs = [tuple(line.split(" = ", 1)) for line in lines if line.startswith("Config.")]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("model", models("akuvox"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    types = tuple(types_of(model)) or ("blf",)
    for blf in (None, keys(model, accounts), keys(model, accounts, types)):
        data = filled(model, accounts, blf, **all_options(), **{"use.phonebook": "phonebook"}).data
        assert data.startswith(b"#!version:1.0.0.1\n")
        assert values(data)[f"Config.Account{accounts}.GENERAL.UserName"] == str(100 + accounts)


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["SP-R63G", "WP480", "WP410"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("akuvox", model, accounts, full, "cfg")


def test_lines_stand_on_the_first_keys_and_the_others_follow() -> None:
    blf = [{"number": "201", "label": "Anna"}, {"type": "speed dial", "number": "202", "position": "8"}]
    found = values(filled("SP-R63G", 2, blf).data)
    key = "Config.Programable.LINEKEY{}.{}".format
    assert [found[key(number, "Type")] for number in (1, 2, 3, 8)] == ["14", "14", "16", "10"]
    assert [found[key(3, each)] for each in ("Label", "Param1", "Param2", "Param3")] == [
        "Anna",
        "201",
        "1",
        "**",
    ]
    assert found[key(8, "Param3")] == ""
    assert key(4, "Type") not in found


def test_a_phone_with_less_keys_than_lines_has_all_its_lines() -> None:
    found = values(filled("SP-R50P", 3).data)
    assert found["Config.Account3.GENERAL.Enable"] == "1"
    assert "Config.Programable.LINEKEY2.Type" not in found


@pytest.mark.parametrize("prefix", ["", "SP-", "Akuvox ", "Akuvox SP-"])
@pytest.mark.parametrize(
    "name", ["R20K", "R26", "R27", "R28", "R29", "R52P", "R53P", "R55", "R59", "R67G", "R50P", "R63G"]
)
def test_a_model_is_found_by_each_of_its_names(prefix: str, name: str) -> None:
    found = storage().models
    assert found.generic(prefix + name) is None
    assert found.facts(prefix + name)["vendor"] == "Akuvox"
    assert values(filled(prefix + name).data)["Config.Account1.GENERAL.UserName"] == "101"


def test_a_door_phone_has_no_keys_of_a_desk_phone() -> None:
    assert not [key for key in values(filled("R20K", 2).data) if "Programable" in key]


def test_the_keys_of_wp410_have_names() -> None:
    found = values(filled("WP410", 2, ["201", "202"]).data)
    assert found["Config.Programable.TRANSFER.Param1"] == "201"
    assert found["Config.Programable.VOICEMESSAGE.Param1"] == "202"
    assert not [key for key in found if "LINEKEY" in key]


@pytest.mark.parametrize(("proto", "code"), [("udp", "0"), ("tcp", "1"), ("tls", "2")])
def test_the_transport_is_that_of_the_gate(proto: str, code: str) -> None:
    assert values(filled("WP480", **{"sg.proto": proto}).data)["Config.Account1.SIP.TransType"] == code


@pytest.mark.parametrize(
    ("model", "zone", "expected"),
    [
        ("SP-R63G", "Europe/Berlin", ("+1", "Germany(Berlin)", "2", None, None)),
        ("WP480", "Europe/Berlin", ("+1", "Germany(Berlin)", "1", "3/5/7/2", "10/5/7/3")),
        ("WP480", "Europe/Moscow", ("+3", "Russia(Moscow)", "0", None, None)),
        ("WP480", "Asia/Kolkata", ("+5:30", "India(Calcutta)", "0", None, None)),
    ],
)
def test_the_clock(model: str, zone: str, expected: tuple[str | None, ...]) -> None:
    found = values(filled(model, timezone=zone).data)
    names = ("TimeZone", "Name", "DTS", "StartTime", "EndTime")
    assert tuple(found.get(f"Config.Settings.SNTP.{name}") for name in names) == expected


def test_a_phone_without_registration_gets_no_password() -> None:
    assert values(filled("SP-R63G", **{"sg.register": "off"}).data)["Config.Account1.GENERAL.Pwd"] == ""


def test_the_phone_asks_for_its_own_file() -> None:
    for name in (*names_of("akuvox", "0c1105aabbcc", "")[-1], "9C7514AABBCC.cfg"):
        match = MaskTable(builtin_masks()).match(name)
        assert (match.mac or "").startswith(("0c1105", "9c7514"))
        assert match.mask.type is None


HOSTILE = (
    "[include.secret]",
    "a\nConfig.Account1.SIP.Server = evil",
    "a\r\n#b",
    "[constants.domain]",
    "{key}",
)
text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))


@given(name=text, password=text, label=text, number=text)
@settings(max_examples=40, deadline=None)
def test_data_is_data_wherever_it_lands(name: str, password: str, label: str, number: str) -> None:
    scope = scope_of(
        "SP-R63G", lines_of("SP-R63G", 1, [{"number": number, "label": label}], name=name, password=password)
    )
    try:
        found = values(render(template_of("SP-R63G"), scope, Budget(lambda: 0.0)).data)
    except Refused as refused:
        assert refused.reason is Reason.REQUIRED_MISSING
        return
    assert found.keys() == values(filled("SP-R63G", 1, ["201"]).data).keys()
    assert found["Config.Account1.GENERAL.DisplayName"] == text_safe(name)
    assert found["Config.Account1.GENERAL.Pwd"] == text_safe(password)
    assert found["Config.Programable.LINEKEY2.Param1"] == text_safe(number)
