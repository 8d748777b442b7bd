"""The Cisco packs: flat profiles (SPA, MPP), SEP files, the text of 7940 and 7960; golden files."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from packs import (
    LEFT_OVER,
    OPTIONS,
    accounts_of,
    all_options,
    filled,
    golden,
    keys,
    lines_of,
    models,
    scope_of,
    storage,
    template_of,
    types_of,
)

from era_ap.errors import Reason, Refused
from era_ap.provisioning.render import Budget, render

BERLIN = {"timezone": "Europe/Berlin"}
TEXT_LINE = re.compile(r'[a-z0-9_]+: "[^"\n]*"|#.*|')


def profile(data: bytes) -> dict[str, str]:
    """The parameters of a flat profile; none stands twice, so that it does not matter which one counts."""
    root = etree.fromstring(data)
    assert root.tag == "flat-profile"
    found: dict[str, str] = {}
    for element in root.iterchildren(tag=etree.Element):
        assert re.fullmatch(r"[A-Z][A-Za-z0-9_-]*", element.tag)
        assert element.tag not in found, element.tag
        assert len(element) == 0
        found[str(element.tag)] = element.text or ""
    return found


def sep_lines(data: bytes) -> list[dict[str, str]]:
    """The buttons of a SEP file, each with its attributes and children."""
    root = etree.fromstring(data)
    assert root.tag == "device"
    found = []
    for line in root.iterfind("sipProfile/sipLines/line"):
        assert line.get("button") == line.get("lineIndex")
        found.append({"button": str(line.get("button"))} | {str(c.tag): c.text or "" for c in line})
    assert len({line["button"] for line in found}) == len(found)
    return found


def text_values(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in data.decode("iso-8859-1").split("\n"):
        assert TEXT_LINE.fullmatch(line), line
        key, colon, value = line.partition(": ")
        if colon and not line.startswith("#"):
            assert key not in found, key
            found[key] = value[1:-1]
    return found


READERS = {"cisco-spa": profile, "cisco-sep": sep_lines, "cisco-7940": text_values}
ALL = [(folder, model) for folder in READERS for model in models(folder)]


@pytest.mark.parametrize(("folder", "model"), ALL)
def test_every_model_keeps_to_its_dialect(folder: str, model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        rendering = filled(model, accounts, blf, **all_options(), **BERLIN)
        assert rendering.warnings == ()
        assert LEFT_OVER.search(rendering.data) is None
        assert READERS[folder](rendering.data)


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize(
    ("folder", "model", "ending"),
    [
        ("cisco-spa", "SPA504G", "xml"),
        ("cisco-spa", "SPA942", "xml"),
        ("cisco-spa", "8851-3PCC", "xml"),
        ("cisco-spa", "7841-3PCC", "xml"),
        ("cisco-sep", "7962", "cnf.xml"),
        ("cisco-sep", "CP-7861", "cnf.xml"),
        ("cisco-sep", "CP-8841", "cnf.xml"),
    ],
)
def test_a_model_gives_its_golden_file(
    folder: str, model: str, ending: str, accounts: int, full: bool
) -> None:
    blf = keys(model, accounts) if full else None
    data = filled(model, accounts, blf, **all_options(), **BERLIN).data
    golden(folder, f"{model}-{accounts}-{'keys' if full else 'plain'}.{ending}", data)


@pytest.mark.parametrize(("model", "accounts"), [("7960", 1), ("7960", 3), ("7940", 1)])
def test_a_text_model_gives_its_golden_file(model: str, accounts: int) -> None:
    golden("cisco-7940", f"{model}-{accounts}.cnf", filled(model, accounts, **all_options(), **BERLIN).data)


@pytest.mark.parametrize(
    "name",
    ["cisco-spa/common.cfg", "cisco-mpp/common.xml", "cisco-7940/sipdefault.cnf", "cisco-7940/dialplan.xml"],
)
def test_common_files_need_no_account_and_have_no_secret(name: str) -> None:
    template = storage().template(name)
    assert template is not None
    rendering = render(template, scope_of("", (), **all_options()), Budget(lambda: 0.0))
    assert rendering.warnings == ()
    assert b"change-me" not in rendering.data
    golden("common", name.replace("/", "-"), rendering.data)


def test_the_sync_file_never_has_the_number_of_the_configuration() -> None:
    template = storage().template("cisco-7940/syncinfo.xml")
    assert template is not None
    root = etree.fromstring(render(template, scope_of("", ()), Budget(lambda: 0.0)).data)
    assert (root.tag, root.get("VERSION")) == ("IMAGE", "*")
    assert int(root.get("SYNC") or 0) >= 10
    assert text_values(filled("7960").data)["sync"] == "1"


@pytest.mark.parametrize("model", ["SPA504G", "8841-3PCC"])
@pytest.mark.parametrize("name", ["cisco-spa/common.cfg", "cisco-mpp/common.xml"])
def test_the_common_file_leads_to_the_phones_own(model: str, name: str) -> None:
    template = storage().template(name)
    assert template is not None
    for option, url in (("provisioning", "tftp://192.0.2.1/$MA.xml"), ("", "/$MA.xml")):
        scope = scope_of("", (), **{"use.provisioning": option})
        assert profile(render(template, scope, Budget(lambda: 0.0)).data)["Profile_Rule_B"] == url
    own = profile(filled(model).data)
    assert (own["Profile_Rule"], own["Profile_Rule_B"]) == ("tftp://192.0.2.1/$MA.xml", "")


# --- single settings


@pytest.mark.parametrize(
    ("proto", "spa", "sep"), [("udp", "UDP", "2"), ("tcp", "TCP", "1"), ("tls", "TLS", "3")]
)
def test_the_transport_is_that_of_the_gate(proto: str, spa: str, sep: str) -> None:
    gate = {"sg.proto": proto, "sg.port": "5071"}
    for model in ("SPA504G", "8841-3PCC", "SPA942"):
        found = profile(filled(model, **gate).data)
        assert (found["SIP_Transport_1_"], found["Outbound_Proxy_1_"]) == (spa, "192.0.2.10:5071")
        assert found["Proxy_1_"] == "a.example.com"
    root = etree.fromstring(filled("7942", **gate).data)
    assert root.findtext("transportLayerProtocol") == sep
    assert root.findtext("sipProfile/sipProxies/outboundProxy") == "192.0.2.10"
    assert {e.text for e in root.iter("sipPort", "securedSipPort", "outboundProxyPort")} == {"5071"}


def test_a_phone_that_does_not_register_gets_no_password() -> None:
    off = {"sg.register": "off"}
    found = profile(filled("SPA504G", **off).data)
    assert (found["Register_1_"], found["Make_Call_Without_Reg_1_"], found["Password_1_"]) == (
        "No",
        "Yes",
        "",
    )
    assert profile(filled("SPA504G").data)["Register_1_"] == "Yes"
    sep = filled("7942", **off).data
    assert etree.fromstring(sep).findtext("sipProfile/sipProxies/registerWithProxy") == "false"
    assert sep_lines(sep)[0]["authPassword"] == ""
    text = text_values(filled("7960", **off).data)
    assert (text["proxy_register"], text["line1_password"]) == ("0", "")


def test_the_admin_password_has_the_name_of_the_dialect() -> None:
    assert "Admin_Password" not in profile(filled("SPA504G").data)
    assert "Admin_Passwd" not in profile(filled("8841-3PCC").data)
    assert profile(filled("8841-3PCC").data)["Admin_Password"] == "change-me-4711"


def test_the_clock_follows_the_zone() -> None:
    berlin = profile(filled("SPA504G", **BERLIN).data)
    assert berlin["Time_Zone"] == "GMT+01:00"
    assert berlin["Daylight_Saving_Time_Enable"] == "yes"
    assert berlin["Daylight_Saving_Time_Rule"] == "start=3/-1/7/2:0:0;end=10/-1/7/3:0:0;save=1:0:0"
    moscow = profile(filled("SPA504G").data)
    assert (moscow["Time_Zone"], moscow["Daylight_Saving_Time_Enable"]) == ("GMT+03:00", "no")
    assert "Daylight_Saving_Time_Rule" not in moscow
    path = "devicePool/dateTimeSetting/timeZone"
    assert etree.fromstring(filled("7942").data).findtext(path) == "Russian Standard/Daylight Time"
    text = text_values(filled("7960", **BERLIN).data)
    assert {key: text[key] for key in text if key.startswith(("dst_", "time_zone"))} == {
        "time_zone": "CET",
        "dst_auto_adjust": "1",
        "dst_offset": "1",
        "dst_start_month": "Mar",
        "dst_start_day": "0",
        "dst_start_day_of_week": "Sunday",
        "dst_start_week_of_month": "8",
        "dst_start_time": "2",
        "dst_stop_month": "Oct",
        "dst_stop_day": "0",
        "dst_stop_day_of_week": "Sunday",
        "dst_stop_week_of_month": "8",
        "dst_stop_time": "3",
    }
    assert text_values(filled("7960").data)["dst_auto_adjust"] == "0"


def test_spa_keys_are_functions_and_unused_ones_are_emptied() -> None:
    blf = [
        {"number": "201", "label": "Anna"},
        {"type": "line", "line": "2", "position": "4", "label": "Second"},
        {"type": "speeddial", "number": "202", "label": "Taxi", "module": "2", "position": "32"},
    ]
    found = profile(filled("SPA504G", 2, blf).data)
    assert [found[f"Extension_{n}_"] for n in range(1, 5)] == ["1", "2", "Disabled", "2"]
    assert found["Extended_Function_3_"] == "fnc=sd+blf+cp;sub=201@$PROXY;nme=Anna"
    assert (found["Short_Name_4_"], found["Extended_Function_4_"]) == ("Second", "")
    assert (found["Line_Enable_3_"], found["Password_3_"]) == ("No", "")
    assert found["Unit_2_Key_32"] == "fnc=sd;ext=202@$PROXY;nme=Taxi"
    assert {value for key, value in found.items() if key.startswith("Unit_") and key != "Unit_2_Key_32"} == {
        ""
    }


def test_an_mpp_names_the_keys_of_its_side_cars_with_a_line_at_the_end() -> None:
    assert "Unit_3_Key_32_" in profile(filled("8861-3PCC").data)
    assert "Unit_1_Key_1" in profile(filled("6851-3PCC").data)
    assert not [key for key in profile(filled("8841-3PCC").data) if key.startswith("Unit_")]


def test_a_semicolon_never_gets_into_a_key() -> None:
    rendering = filled("SPA504G", 1, [{"number": "201", "label": "a;b"}, {"number": "2;ext=999"}])
    assert profile(rendering.data)["Extended_Function_2_"].endswith(";nme=a b")
    assert b"999" not in rendering.data
    assert Reason.KEY_VALUE in {problem.reason for problem in rendering.warnings}


def test_sep_buttons_follow_the_lines() -> None:
    blf = [{"number": "201", "label": "Anna"}, {"type": "speed dial", "number": "202", "position": "6"}]
    lines = sep_lines(filled("7962", 2, blf).data)
    assert [(line["button"], line["featureID"]) for line in lines] == [
        ("1", "9"), ("2", "9"), ("3", "21"), ("6", "2"),
    ]  # fmt: skip
    assert (lines[2]["speedDialNumber"], lines[2]["featureLabel"]) == ("201", "Anna")
    assert lines[2]["featureOptionMask"] == "1"
    assert "featureOptionMask" not in lines[3]


@pytest.mark.parametrize("model", ["SPA504G", "8841-3PCC"])
@pytest.mark.parametrize("option", [*OPTIONS, "phonebook"])
def test_an_option_is_off_when_its_constant_is_empty(model: str, option: str) -> None:
    off = {f"use.{each}": "" for each in OPTIONS}
    without = profile(filled(model, **off).data)
    assert len(profile(filled(model, **{**off, f"use.{option}": option}).data)) > len(without)
    with pytest.raises(Refused) as refused:
        filled(model, **{**off, f"use.{option}": "misspelled"})
    assert refused.value.reason is Reason.INCLUDE_MISSING


def test_the_web_pages_can_be_switched_off() -> None:
    off = {"phone.web": "off"}
    assert profile(filled("8841-3PCC").data)["Enable_Web_Server"] == "Yes"
    assert profile(filled("8841-3PCC", **off).data)["Enable_Web_Server"] == "No"
    assert etree.fromstring(filled("7942", **off).data).findtext("vendorConfig/webAccess") == "1"


def test_a_number_alone_is_the_multiplatform_phone() -> None:
    assert template_of("8841").name == "cisco-spa/8841-3PCC"
    assert template_of("CP-8841").name == "cisco-sep/7942.xml"


# --- hostile data

text = st.one_of(
    st.sampled_from(['Bob & "Alice" <x>', "a\nPassword_2_=x", "</flat-profile>", "-->", "]]>", "Ы" * 500]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40),
).filter(str.strip)


@given(
    model=st.sampled_from(["SPA504G", "SPA942", "8851-3PCC", "7962"]), name=text, password=text, label=text
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_data_is_data_wherever_it_lands(model: str, name: str, password: str, label: str) -> None:
    scope = scope_of(
        model, lines_of(model, 1, [{"number": "201", "label": label}], name=name, password=password)
    )
    data = render(template_of(model), scope, Budget(lambda: 0.0)).data
    if model == "7962":
        line, key = sep_lines(data)
        assert (line["displayName"], line["authPassword"], key["featureLabel"]) == (name, password, label)
        return
    found = profile(data)
    assert (found["Display_Name_1_"], found["Password_1_"]) == (name, password)
    function = found["Extended_Function_2_"]
    assert function == f"fnc=sd+blf+cp;sub=201@$PROXY;nme={label.replace(';', ' ')}"
    assert set(found) == set(profile(filled(model, 1, [{"number": "201"}]).data))


def test_a_quote_becomes_a_blank_in_a_name_and_refuses_a_password() -> None:
    def text_of(**fields: str) -> bytes:
        scope = scope_of("7960", lines_of("7960", 1, None, **fields))
        return render(template_of("7960"), scope, Budget(lambda: 0.0)).data

    found = text_values(text_of(name='Zoë "Z"\nline2_name: x', password="a:b;c#d"))
    assert found["line1_displayname"] == "Zoë  Z  line2_name: x"
    assert found["line1_password"] == "a:b;c#d"
    assert text_values(text_of(name="Иван"))["line1_displayname"] == "    "
    with pytest.raises(Refused) as refused:
        text_of(password='a"b')
    assert refused.value.reason is Reason.VALUE_FORBIDDEN


@pytest.mark.parametrize("proto", ["tcp", "tls"])
def test_a_7960_is_refused_at_a_gate_it_cannot_speak_with(proto: str) -> None:
    with pytest.raises(Refused) as refused:
        filled("7960", **{"sg.proto": proto})
    assert refused.value.reason is Reason.INCLUDE_MISSING
