"""The Polycom pack: its parameters are attributes, keys assigned one by one, golden files."""

from __future__ import annotations

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


def values(data: bytes) -> dict[str, str]:
    """All parameters; each stands once, in an element below the root."""
    root = etree.fromstring(data)
    assert root.tag == "polycomConfig"
    assert not root.attrib
    found: dict[str, str] = {}
    for element in root.iterchildren(tag=etree.Element):
        assert not (element.text or "").strip()
        for name, value in element.items():
            assert name not in found, name
            found[str(name)] = str(value)
    return found


def settings_of(model: str, accounts: int = 1, blf: object = None, **constants: str) -> dict[str, str]:
    rendering = filled(model, accounts, blf, **constants)
    assert rendering.warnings == ()
    assert LEFT_OVER.search(rendering.data) is None
    return values(rendering.data)


@pytest.mark.parametrize("model", models("polycom"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts), keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        found = settings_of(model, accounts, blf, **all_options(), **BERLIN)
        for name in found:
            if name.startswith("device.") and name != "device.set":
                assert found[f"{name.removesuffix('.set')}.set"] == "1", name
        blf_keys = [name for name in found if name.endswith(".category") and found[name] == "BLF"]
        assert all(found[name.replace("category", "index")] == "0" for name in blf_keys)


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["VVX400", "VVX250", "SPIP650", "EdgeE500"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    blf = keys(model, accounts) if full else None
    data = filled(model, accounts, blf, **all_options(), **BERLIN).data
    golden("polycom", f"{model}-{accounts}-{'keys' if full else 'plain'}.cfg", data)


def test_the_common_list_is_for_every_phone() -> None:
    template = storage().template("polycom/common.cfg")
    assert template is not None
    data = render(template, scope_of("", (), **all_options()), Budget(lambda: 0.0)).data
    golden("common", "polycom-common.cfg", data)
    assert etree.fromstring(data).get("CONFIG_FILES") == "phone[PHONE_MAC_ADDRESS].cfg"


@pytest.mark.parametrize(("proto", "word"), [("udp", "UDPOnly"), ("tcp", "TCPOnly"), ("tls", "TLS")])
def test_the_transport_is_that_of_the_gate(proto: str, word: str) -> None:
    found = settings_of("VVX400", **{"sg.proto": proto, "sg.port": "5071"})
    assert found["reg.1.server.1.transport"] == found["reg.1.outboundProxy.transport"] == word
    assert found["reg.1.server.1.port"] == found["reg.1.outboundProxy.port"] == "5071"
    assert found["reg.1.server.1.address"] == "a.example.com"
    assert found["reg.1.outboundProxy.address"] == "192.0.2.10"


def test_a_phone_that_does_not_register_gets_no_password() -> None:
    found = settings_of("VVX400", **{"sg.register": "off"})
    assert (found["reg.1.server.1.register"], found["reg.1.auth.password"]) == ("0", "")
    assert settings_of("VVX400")["reg.1.server.1.register"] == "1"


def test_without_a_time_server_of_ours_that_of_dhcp_counts() -> None:
    ours = settings_of("VVX400", **{"ntp.server": "192.0.2.5"})
    assert ours["tcpIpApp.sntp.address"] == "192.0.2.5"
    assert ours["tcpIpApp.sntp.address.overrideDHCP"] == "1"
    none = settings_of("VVX400", **{"ntp.server": ""})
    assert not {name for name in none if name.startswith("tcpIpApp.sntp.address")}


def clock(found: dict[str, str]) -> dict[str, str]:
    prefix = "tcpIpApp.sntp.daylightSavings."
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("zone", "seconds", "rule"),
    [
        ("Europe/Moscow", "10800", {"enable": "0"}),
        (
            "Europe/Berlin",
            "3600",
            {
                "enable": "1",
                "fixedDayEnable": "0",
                "start.month": "3",
                "start.time": "2",
                "start.dayOfWeek": "1",
                "start.dayOfWeek.lastInMonth": "1",
                "stop.month": "10",
                "stop.time": "3",
                "stop.dayOfWeek": "1",
                "stop.dayOfWeek.lastInMonth": "1",
            },
        ),
        (
            "America/New_York",
            "-18000",
            {
                "enable": "1",
                "fixedDayEnable": "0",
                "start.month": "3",
                "start.date": "8",
                "start.time": "2",
                "start.dayOfWeek": "1",
                "start.dayOfWeek.lastInMonth": "0",
                "stop.month": "11",
                "stop.date": "1",
                "stop.time": "2",
                "stop.dayOfWeek": "1",
                "stop.dayOfWeek.lastInMonth": "0",
            },
        ),
    ],
)
def test_the_clock_follows_the_zone(zone: str, seconds: str, rule: dict[str, str]) -> None:
    found = settings_of("VVX400", timezone=zone)
    assert found["tcpIpApp.sntp.gmtOffset"] == seconds
    assert clock(found) == rule


def test_keys_have_the_place_that_was_asked_for() -> None:
    blf = [
        {"number": "201", "label": "a"},
        {"type": "park", "number": "701", "label": "b", "position": "5"},
        {"type": "line", "line": "2", "position": "6"},
        {"number": "202", "label": "c", "module": "2", "position": "3"},
    ]
    found = settings_of("VVX400", 2, blf)
    categories = {name: value for name, value in found.items() if name.endswith(".category")}
    assert categories == {
        "lineKey.1.category": "Line",
        "lineKey.2.category": "Line",
        "lineKey.3.category": "BLF",
        "lineKey.5.category": "BLF",
        "lineKey.6.category": "Line",
        "lineKey.55.category": "BLF",
    }
    assert (found["lineKey.6.index"], found["lineKey.reassignment.enabled"]) == ("2", "1")
    resources = {n: v for n, v in found.items() if n.startswith("attendant.") and not n.endswith("label")}
    assert list(resources.items()) == [
        ("attendant.resourceList.3.address", "201"),
        ("attendant.resourceList.3.type", "normal"),
        ("attendant.resourceList.5.address", "701"),
        ("attendant.resourceList.5.type", "automata"),
        ("attendant.resourceList.55.address", "202"),
        ("attendant.resourceList.55.type", "normal"),
    ]


def test_a_soundpoint_knows_no_assignment_of_keys() -> None:
    found = settings_of("SPIP550", 1, [{"number": "201"}])
    assert found["attendant.resourceList.2.address"] == "201"
    assert not [name for name in found if name.startswith("lineKey")]
    warned = filled("SPIP550", 1, [{"type": "line", "line": "1"}]).warnings
    assert [problem.reason for problem in warned] == [Reason.KEY_TYPE]


@pytest.mark.parametrize("option", [*OPTIONS, "phonebook"])
def test_an_option_is_off_when_its_constant_is_empty(option: str) -> None:
    off = {f"use.{each}": "" for each in OPTIONS}
    without = settings_of("VVX400", **off)
    assert len(settings_of("VVX400", **{**off, f"use.{option}": option})) > len(without)
    with pytest.raises(Refused) as refused:
        filled("VVX400", **{**off, f"use.{option}": "misspelled"})
    assert refused.value.reason is Reason.INCLUDE_MISSING


def test_the_web_pages_can_be_switched_off() -> None:
    assert settings_of("VVX400")["httpd.cfg.enabled"] == "1"
    assert settings_of("VVX400", **{"phone.web": "off"})["httpd.cfg.enabled"] == "0"


text = st.one_of(
    st.sampled_from(['Bob & "Alice" <x>', "a\nb='1'", '" reg.1.address="999', "-->", "]]>", "Ы" * 500]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40),
)


@given(
    name=text, password=text.filter(str.strip), label=text.filter(str.strip), number=text.filter(str.strip)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_data_is_data_wherever_it_lands(name: str, password: str, label: str, number: str) -> None:
    entry = {"number": number, "label": label}
    scope = scope_of("VVX400", lines_of("VVX400", 1, [entry], name=name, password=password))
    found = values(render(template_of("VVX400"), scope, Budget(lambda: 0.0)).data)
    assert found["reg.1.auth.password"] == password
    assert found["reg.1.displayName"] == name
    assert found["attendant.resourceList.2.address"] == number
    assert found["attendant.resourceList.2.label"] == label
    assert set(found) == set(settings_of("VVX400", 1, [{"number": "201"}]))
