"""The ALE pack: settings by id, keys after the lines, common files, hostile data, golden files."""

from __future__ import annotations

import configparser
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pack_chain import MAC, asked, chain
from packs import (
    accounts_of,
    all_options,
    filled,
    golden,
    golden_file,
    keys,
    lines_of,
    models,
    scope_of,
    storage,
    template_of,
)

from era_ap.errors import Reason, Refused
from era_ap.phone import names_of
from era_ap.provisioning.escape import legal
from era_ap.provisioning.names import MaskTable, builtin_masks
from era_ap.provisioning.render import Budget, render

IP_TOUCH = ["4008", "4018"]


def values(data: bytes) -> dict[str, str]:
    root = etree.fromstring(data)
    assert root.tag == "settings"
    pairs = [(element.get("id") or "", element.get("value") or "") for element in root]
    for element in root:
        assert (element.tag, element.keys()[:2], element.text) == ("setting", ["id", "value"], None)
        assert element.get("override", "true") == "true"
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]+|language(_local)?", name) for name, _ in pairs)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def sections(data: bytes) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=True)
    parser.read_string(data.decode())
    return {name: dict(parser[name]) for name in parser.sections()}


@pytest.mark.parametrize("model", models("ale"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    read = sections if model in IP_TOUCH else values
    for blf in (None, keys(model, accounts), keys(model, accounts, ("blf", "speeddial"))):
        assert read(filled(model, accounts, blf, **all_options(), **{"use.phonebook": "phonebook"}).data)


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["M3", "M5", "M8"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("ale", model, accounts, full, "xml")


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize(("model", "ending"), [("8028s", "xml"), ("4018", "txt")])
def test_an_older_model_gives_its_golden_file(model: str, ending: str, full: bool) -> None:
    golden_file("ale", model, 1, full, ending)


def test_the_sections_of_an_ip_touch() -> None:
    blf = [{"type": "speeddial", "number": "202", "label": "Taxi"}]
    found = sections(filled("ALE 4018", 1, blf, timezone="Europe/Berlin").data)
    assert found["dns"]["dns_addr"] == found["sip"]["outbound_proxy_addr"] == "192.0.2.10"
    assert (found["sip"]["user_name"], found["sip"]["sip_transport_mode"]) == ("101", "1")
    assert found["sntp"]["timezone"] == "UT::60:032902:102503"
    assert found["appl"]["speed_dial_1_first_name"] == "Taxi"
    assert found["appl"]["speed_dial_1_uri"] == "202"
    assert sections(filled("4008").data)["sntp"]["timezone"] == "UT::180:000000:000000"
    assert sections(filled("4008", **{"sg.register": "off"}).data)["sip"]["authentication_password"] == ""
    assert sections(filled("4008", **{"sg.proto": "tcp"}).data)["sip"]["sip_transport_mode"] == "2"
    assert asked("4018", f"sipconfig-{MAC}.txt") is not None


def test_the_settings_of_an_8028s() -> None:
    found = values(filled("8028s-GE", 1, ["202"]).data)
    assert (found["SIPGroup1DeviceUri"], found["SIPGroup1OutBoundProxyAddress"]) == ("101", "192.0.2.10")
    assert (found["SIPUseDeviceKey2"], "SIPUseDeviceKey1" in found) == ("202", False)
    assert values(filled("8028s", **{"sg.register": "off"}).data)["SIPGroup1AuthenticationPassword"] == ""
    assert chain("ale", "8028s", "8028s-GE")[-1] == f"config.{MAC}.xml"


@pytest.mark.parametrize(("model", "proto"), [("8028s", "tcp"), ("8028s", "tls"), ("4018", "tls")])
def test_a_transport_that_is_not_known_refuses_the_file(model: str, proto: str) -> None:
    with pytest.raises(Refused) as refused:
        filled(model, **{"sg.proto": proto})
    assert refused.value.reason is Reason.INCLUDE_MISSING


def test_keys_come_after_the_lines() -> None:
    blf = ["201", {"type": "speeddial", "number": "202", "label": "Taxi", "position": "20"}]
    found = values(filled("M3", 2, blf).data)
    key = "ProgramKey{}{}".format
    assert [found.get(key(number, "Type")) for number in (1, 2, 3, 20)] == [None, None, "59", "1"]
    assert [found[key(3, each)] for each in ("Account", "Value", "Extension")] == ["1", "201", "**"]
    assert found[key(20, "Label")] == "Taxi"


def test_keys_of_a_model_nobody_knows_the_keys_of_are_left_out_with_a_warning() -> None:
    result = filled("M8", 1, ["201"])
    assert not [name for name in values(result.data) if name.startswith("ProgramKey")]
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_OVERFLOW]


def test_a_type_the_vendor_has_no_code_for_leaves_its_key_empty() -> None:
    result = filled("M3", 1, [{"type": "park", "number": "700"}, "201"])
    assert "ProgramKey2Type" not in values(result.data)
    assert values(result.data)["ProgramKey3Value"] == "201"
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_TYPE]


def test_the_clock_and_the_switches() -> None:
    found = values(filled("M7", timezone="America/New_York", **{"phone.web": "off", "sg.proto": "tls"}).data)
    assert (found["SettingTimeZone"], found["SettingTimeZoneLocation"]) == ("-05:00", "America/New_York")
    assert {found["DeviceNetworkHttpEnable"], found["DeviceNetworkHttpsEnable"]} == {"false"}
    assert found["Account1Server1Transport"] == "tls"


def test_a_phone_without_registration_gets_no_password() -> None:
    assert values(filled("M3", **{"sg.register": "off"}).data)["Account1Password"] == ""


def test_the_files_come_in_the_vendors_order_and_only_the_last_is_the_phones_own() -> None:
    names = [name for step in names_of("ale", "3c28a6aabbcc", "M5") for name in step]
    assert names == ["config.xml", "config.M5.xml", "config.3c28a6aabbcc.xml"]
    masks = [MaskTable(builtin_masks()).match(name) for name in [*names, "config.3C28A6AABBCC.xml"]]
    assert [match.mask.template for match in masks] == ["ale/common.xml", "ale/common.xml", None, None]
    assert [match.mac for match in masks] == [None, None, "3c28a6aabbcc", "3c28a6aabbcc"]


def test_the_common_file_has_the_clock_and_no_secret() -> None:
    template = storage().template("ale/common.xml")
    assert template is not None
    data = render(template, scope_of("", (), **all_options()), Budget(lambda: 0.0)).data
    golden("common", "ale-common.xml", data)
    assert set(values(data)) == {
        "SettingSntpServer",
        "SettingTimeZone",
        "SettingTimeZoneLocation",
        "SettingDstEnable",
    }


HOSTILE = (
    "[include.secret]",
    '"/><setting id="x" value="',
    "]]>",
    "-->",
    "a\nb",
    "[constants.domain]",
    "{key}",
)
text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))


@given(name=text, password=text, label=text, number=text)
@settings(max_examples=40, deadline=None)
def test_data_is_data_wherever_it_lands(name: str, password: str, label: str, number: str) -> None:
    scope = scope_of(
        "M3", lines_of("M3", 1, [{"number": number, "label": label}], name=name, password=password)
    )
    try:
        found = values(render(template_of("M3"), scope, Budget(lambda: 0.0)).data)
    except Refused as refused:
        assert refused.reason is Reason.REQUIRED_MISSING
        return
    assert found.keys() == values(filled("M3", 1, ["201"]).data).keys()
    assert found["Account1DisplayName"] == legal(name)
    assert found["Account1Password"] == legal(password)
    assert (found["ProgramKey2Label"], found["ProgramKey2Value"]) == (legal(label), legal(number))
