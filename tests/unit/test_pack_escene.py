"""The Escene pack: one XML file of attributes, keys counted from 0, golden files."""

from __future__ import annotations

import pytest
from lxml import etree
from packs import accounts_of, all_options, filled, golden_file, keys, models, storage, types_of

from era_ap.errors import Reason


def tree(data: bytes) -> etree._Element:
    root = etree.fromstring(data)
    assert root.tag == "all"
    assert len({child.tag for child in root}) == len(root)
    return root


@pytest.mark.parametrize("model", models("escene"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        root = tree(filled(model, accounts, blf, **all_options()).data)
        assert [user.get("id") for user in root.iterfind("sipUsers/sipUser")] == [
            str(number) for number in range(accounts)
        ]
        ids = [key.get("id") for key in root.iterfind("hotlines/hotline")]
        assert ids == [str(number) for number in range(len(ids))]


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["ES320", "ES330", "ES206"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("escene", model, min(accounts, accounts_of(model)), full, "xml")


def test_an_account() -> None:
    users = tree(filled("ES320", 2).data).findall("sipUsers/sipUser")
    assert dict(users[1].attrib) == {
        "id": "1",
        "EnableAccount": "1",
        "Describe": "102",
        "DomainName": "a.example.com",
        "UserName": "User 2",
        "UserNumber": "102",
        "approveName": "102",
        "Password": "secret-2",
        "ProxyServerAddress": "192.0.2.10:5060",
        "LinkUse": "0",
        "CallLeaveMessageNum": "*97",
        "RefreshTime": "3600",
    }


def test_keys_count_from_0_and_accounts_from_1() -> None:
    blf = [
        {"number": "201", "label": 'A "B" <c>'},
        {"type": "dtmf", "value": "5", "position": "8", "line": "2"},
    ]
    found = tree(filled("ES320", 2, blf).data).findall("hotlines/hotline")
    assert dict(found[0].attrib) == {
        "id": "0",
        "SipAccounts": "1",
        "ID": "0",
        "Type": "1",
        "HotlineNum": "201",
        "Name": 'A "B" <c>',
    }
    assert [found[7].get(name) for name in ("id", "Type", "HotlineNum", "SipAccounts")] == [
        "7",
        "4",
        "5",
        "2",
    ]
    assert [key.get("Type") for key in found[1:7]] == ["0"] * 6


def test_a_type_the_vendor_does_not_have_is_said() -> None:
    result = filled("ES320", 1, [{"type": "url", "value": "http://x"}])
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_TYPE]


def test_the_transport_and_no_registration() -> None:
    for proto, code in (("udp", "0"), ("tcp", "1"), ("tls", "2")):
        user = tree(filled("ES320", **{"sg.proto": proto}).data).find("sipUsers/sipUser")
        assert user is not None
        assert user.get("LinkUse") == code
    user = tree(filled("ES320", **{"sg.register": "off"}).data).find("sipUsers/sipUser")
    assert user is not None
    assert user.get("Password") == ""


@pytest.mark.parametrize(("proto", "code"), [("tftp", "0"), ("http", "1"), ("https", "3")])
def test_where_the_phone_asks(proto: str, code: str) -> None:
    given = {"use.provisioning": "provisioning", "provisioning.proto": proto}
    found = tree(filled("ES320", **given).data).find("Privisions/privision")
    assert found is not None
    assert (found.get("protocol"), found.get("Firmware")) == (code, "192.0.2.1")
    assert tree(filled("ES320", **{"use.provisioning": ""}).data).find("Privisions") is None


@pytest.mark.parametrize(("zone", "code"), [("Europe/Moscow", "15"), ("Europe/Berlin", "13")])
def test_the_zone_has_the_vendors_number(zone: str, code: str) -> None:
    found = tree(filled("ES320", timezone=zone).data).find("SysTimes/systime")
    assert found is not None
    assert found.get("TimeZoneType") == code


def test_the_files_by_number_are_not_there() -> None:
    names = ("escene/extern.xml", "escene/phonebook.xml", "escene/enterprise.xml")
    assert [name for name in names if storage().template(name)] == []
