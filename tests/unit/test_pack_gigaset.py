"""The Gigaset pack: ProviderFrame, Nx70 and Maxwell, their numbers, zones, boot chains and golden files."""

from __future__ import annotations

import datetime

import pytest
from lxml import etree
from pack_chain import MAC as PHONE
from pack_chain import chain
from packs import (
    accounts_of,
    all_options,
    filled,
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

FRAMES = ["N510", "N720"]
OWN = [model for model in models("gigaset") if not model.startswith("P")]


def frame(data: bytes) -> dict[str, str]:
    root = etree.fromstring(data)
    assert root.tag == "ProviderFrame"
    items = [(item.get("ID"), item.get("value")) for item in root.iter("SYMB_ITEM")]
    assert len({name for name, _ in items}) == len(items)
    assert all(value and value.count('"') in (0, 2) for _, value in items)
    return {str(name): str(value).strip('"') for name, value in items}


def params(data: bytes) -> dict[str, str]:
    root = etree.fromstring(data)
    assert root.tag == "provisioning"
    pairs = [(param.get("name"), param.get("value")) for param in root.find("nvm").iter("param")]
    pairs = [pair for pair in pairs if pair[0] != "hs.RegStatus"]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("model", OWN)
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    read = frame if model in FRAMES else params
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts), keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        assert read(filled(model, accounts, blf, **all_options()).data)


@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize(
    ("model", "full"),
    [("N510", False), ("N720", False), ("N870", False), ("Maxwell3", False), ("Maxwell3", True)],
)
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("gigaset", model, accounts, full, "xml")


def test_the_first_line_of_an_n510_has_no_number_in_most_of_its_names() -> None:
    found = frame(filled("N510", 3).data)
    assert found["BS_IP_Data1.aucS_SIP_USER_ID"] == "101"
    assert found["BS_IP_Data1.aucS_SIP_USER_ID_3"] == "103"
    assert "BS_IP_Data1.aucS_SIP_USER_ID_1" not in found
    assert found["BS_IP_Data1.ucB_SIP_ACCOUNT_IS_ACTIVE_1"] == "0x1"
    assert [found[f"BS_Accounts.astAccounts[{n}].uiSendMask"] for n in range(3)] == ["0x1", "0x2", "0x4"]


def test_the_accounts_of_an_nx70_are_numbered_with_five_digits() -> None:
    found = params(filled("N870", 2).data)
    assert found["SipAccount.00002.UserName"] == "102"
    assert found["SipProvider.0.OutboundProxyAddress"] == "192.0.2.10"


@pytest.mark.parametrize(("proto", "code"), [("udp", "1"), ("tcp", "2"), ("tls", "3")])
def test_the_transport_of_an_nx70(proto: str, code: str) -> None:
    assert params(filled("N870", **{"sg.proto": proto}).data)["SipProvider.0.TransportProtocol"] == code


@pytest.mark.parametrize(
    ("model", "proto"), [("N510", "tcp"), ("N510", "tls"), ("N720", "tls"), ("Maxwell3", "tcp")]
)
def test_a_transport_that_is_not_known_refuses_the_file(model: str, proto: str) -> None:
    with pytest.raises(Refused) as refused:
        filled(model, **{"sg.proto": proto})
    assert refused.value.reason is Reason.INCLUDE_MISSING
    assert f"transport-{proto}.inc" in str(refused.value.detail)


def test_a_maxwell_over_tls() -> None:
    found = params(filled("Maxwell3", **{"sg.proto": "tls"}).data)
    assert (found["SIP.TransportProtocol"], found["SIP.Security.SRTP"]) == ("2", "1")


@pytest.mark.parametrize("model", ["N510", "N720", "N870", "Maxwell3"])
def test_without_registration_there_is_no_password(model: str) -> None:
    assert b"secret-1" in filled(model).data
    assert b"secret-1" not in filled(model, **{"sg.register": "off"}).data


def test_the_keys_of_a_maxwell_count_from_0() -> None:
    blf = [
        {"number": "201", "label": "A & B", "position": "3"},
        {"type": "speeddial", "number": "202"},
        {"type": "url", "value": "http://door.example.com/?a=1&b=2", "label": "Door"},
    ]
    found = params(filled("Maxwell3", 1, blf).data)
    name = "PhoneUI.Keys.FunctionKeys"
    assert {key: value for key, value in found.items() if key.startswith(f"{name}.2.")} == {
        f"{name}.2.Type": "4",
        f"{name}.2.PhoneNumber": "201",
        f"{name}.2.CallPickupCode": "**",
        f"{name}.2.DisplayName": "A & B",
    }
    assert found[f"{name}.0.Type"] == "3"
    assert f"{name}.0.CallPickupCode" not in found
    assert found[f"{name}.1.URL"] == "http://door.example.com/?a=1&b=2"


def test_an_n510_has_a_number_for_every_zone_of_the_world() -> None:
    database = Database()
    today = datetime.date(2026, 7, 1)
    offsets = {
        zone.offset // 60 for name in database.names if (zone := database.zone(name, today)) is not None
    }
    known = layout_of("N510").constants
    assert {offset for offset in offsets if f"zone.{offset}" not in known} == set()
    frankfurt = frame(filled("N510", timezone="Europe/Berlin").data)
    assert frankfurt["BS_IP_Data1.uiI_TIME_TIMEZONE"] == "0x1b"
    assert frankfurt["BS_IP_Data1.ucB_TIME_USE_AUTOMATIC_DST"] == "1"
    assert frame(filled("N510").data)["BS_IP_Data1.ucB_TIME_USE_AUTOMATIC_DST"] == "0"


def test_names_beyond_latin_1_are_character_references() -> None:
    scope = scope_of("N510", lines_of("N510", 1, None, name="Борис Ü"))
    data = render(template_of("N510"), scope, Budget(lambda: 0.0)).data
    assert etree.fromstring(data).getroottree().docinfo.encoding == "ISO-8859-1"
    assert "Ü".encode("iso-8859-1") in data
    assert frame(data)["BS_IP_Data1.aucS_SIP_DISPLAYNAME"] == "Борис Ü"


@pytest.mark.parametrize(
    ("vendor", "model", "expected"),
    [
        ("gigaset-n", "N510", [f"{PHONE.upper()}.xml"]),
        ("gigaset-n", "N720", [f"{PHONE.upper()}.xml"]),
        ("gigaset", "N870", [f"{PHONE}.xml"]),
        ("gigaset", "Maxwell3", [f"{PHONE}.xml"]),
        ("gigaset", "P850", [f"{PHONE}.xml"]),
    ],
)
def test_a_boot_chain_ends_with_the_phones_own_file(vendor: str, model: str, expected: list[str]) -> None:
    assert chain(vendor, model) == expected


def test_a_p_phone_has_the_settings_of_snom() -> None:
    root = etree.fromstring(filled("P810", 1, keys("P810", 1)).data)
    assert root.tag == "settings"
    assert len(root.findall("functionKeys/fkey")) >= 3 + 3 * 60
