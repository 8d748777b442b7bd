"""The Grandstream pack: aliases and P-codes, computed numbers, golden files."""

from __future__ import annotations

import re

import pytest
from lxml import etree
from packs import MAC, accounts_of, all_options, filled, golden_file, keys, models, storage, types_of

from era_ap.provisioning.names import MaskTable, builtin_masks


@pytest.mark.parametrize("model", models("grandstream"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts), keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        check(filled(model, accounts, blf, **all_options()).data)


def check(data: bytes) -> None:
    root = etree.fromstring(data)
    assert (root.tag, root.get("version")) == ("gs_provision", "1")
    assert root.findtext("mac") == MAC
    config = root.find("config")
    assert config is not None
    names = []
    for element in config.iterchildren(tag=etree.Element):
        assert element.text
        if config.get("version") == "2":
            assert element.tag == "item"
            assert element.keys() == ["name"]
            names.append(element.get("name"))
        else:
            assert re.fullmatch(r"P[1-9][0-9]*", element.tag)
            assert not element.attrib
            names.append(element.tag)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize(
    ("model", "accounts"), [(model, n) for model in ("GXP2170", "GRP2614", "GXP1628") for n in (1, 3)]
)
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("grandstream", model, min(accounts, accounts_of(model)), full, "xml")


def items(data: bytes) -> dict[str, str | None]:
    root = etree.fromstring(data)
    return {each.get("name") or each.tag: each.text for each in root.iterfind("config/*")}


@pytest.mark.parametrize(
    ("model", "name", "values"),
    [("GXP1628", "P130", "012"), ("GXP2170", "account.1.sip.transport", ("UDP", "TCP", "TlsOrTcp"))],
)
def test_the_transport_is_that_of_the_gate(model: str, name: str, values: tuple[str, ...]) -> None:
    for proto, value in zip(("udp", "tcp", "tls"), values, strict=True):
        assert items(filled(model, **{"sg.proto": proto}).data)[name] == value


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        ("GXP1628", "P31", "0"),
        ("GXP2170", "account.1.sip.registration", "No"),
        ("GXP1628", "P34", None),
        ("GXP2170", "account.1.sip.subscriber.password", None),
    ],
)
def test_a_phone_without_registration(model: str, name: str, value: str | None) -> None:
    assert items(filled(model, **{"sg.register": "off"}).data)[name] == value
    assert items(filled(model).data)[name] != value


def test_a_phone_gets_no_binary_file() -> None:
    match = MaskTable(builtin_masks()).match(f"cfg{MAC}")
    names = [f"grandstream/{base}.{match.mask.type}" for base in ("GXP2170", "GXP1628")]
    assert [name for name in names if storage().template(name)] == []


def test_accounts_have_the_codes_of_their_number() -> None:
    found = items(filled("GXP2120", 6).data)
    users = ["P35", "P404", "P504", "P604", "P1704", "P1804"]
    assert [found[code] for code in users] == [str(100 + n) for n in range(1, 7)]


def test_keys_have_the_codes_of_their_number() -> None:
    found = items(filled("GXP2124", 1, [str(200 + n) for n in range(1, 25)]).data)
    values = {1: "P303", 7: "P321", 8: "P356", 18: "P396", 19: "P1443", 24: "P1463"}
    assert {n: found[code] for n, code in values.items()} == {n: str(200 + n) for n in values}
    assert [found[code] for code in ("P323", "P329", "P353", "P393", "P1440", "P1460")] == ["1"] * 6
    assert [found[code] for code in ("P301", "P319", "P354", "P1441")] == ["0"] * 4


def test_virtual_keys_between_others_are_emptied_and_those_of_lines_left_alone() -> None:
    blf = [
        {"number": "201"},
        {"number": "202", "position": "5", "line": "2"},
        {"number": "203", "module": "1"},
    ]
    found = items(filled("GXP2170", 2, blf).data)
    modes = {name: value for name, value in found.items() if name.endswith("keyMode")}
    assert modes == {
        "pks.vpk.3.keyMode": "BLF",
        "pks.vpk.4.keyMode": "None",
        "pks.vpk.5.keyMode": "BLF",
        "pks.ext.1.keyMode": "BLF",
    }
    assert (found["pks.vpk.5.account"], found["pks.ext.1.account"]) == ("1", "Account1")


def test_the_second_port_of_an_adapter_has_codes_of_its_own() -> None:
    found = items(filled("HT802", 2, **all_options()).data)
    one = {"P271": "1", "P47": "a.example.com", "P35": "101", "P34": "secret-1", "P31": "1", "P109": "0"}
    two = {"P401": "1", "P747": "a.example.com", "P735": "102", "P734": "secret-2", "P731": "1", "P813": "0"}
    assert found.items() >= one.items() | two.items()
    assert (found["P48"], found["P748"]) == ("192.0.2.10:5060",) * 2
    assert (found["P64"], found["P246"]) == ("customize", "MSK-3")
    assert "P26015" not in found  # there it allows a reset to the factory's settings
    assert not {"P401", "P735"} & set(items(filled("HT801").data))
    silent = items(filled("HT502", **{"sg.register": "off"}).data)
    assert (silent["P31"], silent["P109"], silent["P34"]) == ("0", "1", None)


@pytest.mark.parametrize(("model", "ports"), [("HT812", 2), ("HT814", 4), ("HT818", 8), ("HT704", 4)])
def test_ports_of_an_adapter_with_one_profile_are_numbered_on(model: str, ports: int) -> None:
    found = items(filled(model, ports, **all_options()).data)
    assert (found["P47"], found["P48"], found["P2312"]) == ("a.example.com", *("192.0.2.10:5060",) * 2)
    assert (found["P271"], found["P31"], found["P109"], found["P130"]) == ("1", "1", "0", "0")
    for port in range(ports):
        login = str(101 + port)
        assert (found[f"P{4060 + port}"], found[f"P{4090 + port}"]) == (login, login)
        assert (found[f"P{4120 + port}"], found[f"P{4595 + port}"]) == (f"secret-{port + 1}", "1")
        assert (found[f"P{4150 + port}"], found[f"P{4180 + port}"]) == ("0", f"User {port + 1}")
    assert f"P{4060 + ports}" not in found
    silent = items(filled(model, **{"sg.register": "off"}).data)
    assert (silent["P31"], silent["P109"], silent["P4120"]) == ("0", "1", None)


@pytest.mark.parametrize("model", ["HT503", "HT813"])
def test_an_adapter_to_the_telephone_network_has_one_telephone(model: str) -> None:
    found = items(filled(model, 1, **all_options()).data)
    assert (found["P35"], found["P34"], found["P47"]) == ("101", "secret-1", "a.example.com")
    assert not {"P735", "P734", "P401"} & set(found)


def test_a_wireless_phone_has_two_accounts_and_no_keys() -> None:
    found = items(filled("WP820", 2, **all_options()).data)
    assert [found[code] for code in ("P35", "P34", "P404", "P406")] == ["101", "secret-1", "102", "secret-2"]
    assert (found["P48"], found["P403"], found["P4428"]) == ("192.0.2.10:5060", "192.0.2.10:5060", "1")
    assert not {"P196", "P323", "P26015"} & set(found)
