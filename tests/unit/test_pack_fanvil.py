"""The Fanvil pack: the text generation, sysConf, keys on pages, golden files."""

from __future__ import annotations

import re

import pytest
from lxml import etree
from packs import accounts_of, all_options, filled, golden_file, keys, layout_of, models, storage, types_of

from era_ap.errors import Reason
from era_ap.provisioning.language import Kind

LINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 /-]*:.*|<[A-Za-z0-9 ]+>|--[A-Za-z ]+-- *:|")
PAGES = ("dssSide", "internal")
EVERYTHING = all_options() | {
    "use.tones": "tones",
    "use.phonebook": "phonebook",
    "fanvil.tones": "19",
    "phonebook.name": "Company",
    "phonebook.url": "http://192.0.2.1/phonebook.xml",
}
TEXT = [model for model in models("fanvil") if "X4" in storage().models.bases(model)]
XML = [model for model in models("fanvil") if "X5U" in storage().models.bases(model)]


def values(data: bytes) -> dict[str, str]:
    """The settings of a text file, which keeps to the dialect; each may stand in it once."""
    lines = data.decode().split("\n")
    assert lines[0] == "<<VOIP CONFIG FILE>>Version:2.0002"
    assert [line for line in lines if line][-1] == "<<END OF FILE>>"
    body = lines[1 : lines.index("<<END OF FILE>>")]
    assert [line for line in body if not LINE.fullmatch(line)] == []
    pairs = [line.partition(":") for line in body if line and line[0] not in "<-"]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    assert all(len(name) >= 18 for name, _, _ in pairs)
    return {name.rstrip(): value for name, _, value in pairs}


def tree(data: bytes) -> etree._Element:
    root = etree.fromstring(data)
    assert root.tag == "sysConf"
    assert root[0].tag == "Version"
    return root


def placed(root: etree._Element) -> dict[tuple[str, int, int], tuple[str, str, str]]:
    """(container, page, index) of each key; the phone takes containers of the same page together."""
    found = {}
    for page in root.iterfind("dsskey/*[@index]"):
        for key in page.iterfind("Fkey") if page.tag in PAGES else [page]:
            place = (page.tag, int(page.get("index", "")), int(key.get("index", "")))
            assert place not in found
            assert [child.tag for child in key] == ["Type", "Value", "Title"]
            found[place] = tuple(child.text or "" for child in key)
    return found


def test_both_generations_make_up_the_pack() -> None:
    assert sorted(TEXT + XML) == sorted(models("fanvil"))
    assert {"X2", "X3", "X4", "X5", "C58", "C62", "H5"} <= set(TEXT)
    assert {"X3SG", "X4U", "X5S", "X6", "X7C", "X210", "V67", "W611W", "i10S"} <= set(XML)


@pytest.mark.parametrize("model", TEXT)
def test_a_text_file_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        found = values(filled(model, accounts, blf, **EVERYTHING).data)
        assert not [name for name, value in found.items() if not value and not name.startswith("Fkey")]


@pytest.mark.parametrize("model", XML)
def test_a_sysconf_file_writes_every_key_once(model: str) -> None:
    accounts = accounts_of(model)
    root = tree(filled(model, accounts, keys(model, accounts)[:3], **EVERYTHING).data)
    assert len({child.tag for child in root}) == len(root)
    assert len(placed(root)) == sum(area.size for area in layout_of(model).areas or ())
    lines = [value for kind, value, _ in placed(root).values() if kind == "2"]
    room = sum(area.size for area in layout_of(model).areas or () if area.accounts)
    assert lines == [f"SIP{line}" for line in range(1, min(accounts, room) + 1)]


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["X4", "X5U", "X7C", "V67", "X3"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("fanvil", model, min(accounts, accounts_of(model)), full, "cfg")


def test_keys_are_counted_on_their_page() -> None:
    blf = [
        {"number": "201", "area": "dss", "page": "2", "position": "6"},
        {"number": "202", "position": "5"},
        {"number": "203", "position": "34", "label": "last"},
        {"number": "204"},
    ]
    found = placed(tree(filled("X5U", 1, blf).data))
    assert found["dssSide", 1, 1] == ("2", "SIP1", "101")
    assert found["internal", 2, 6] == ("1", "201@1/ba**201", "201")
    assert found["internal", 1, 1] == ("1", "202@1/ba**202", "202")
    assert found["internal", 5, 6] == ("1", "203@1/ba**203", "last")
    assert found["dssSide", 1, 2] == ("1", "204@1/ba**204", "204")
    assert found["dssSide", 1, 3] == ("0", "", "")


def test_a_model_with_pages_of_side_keys_goes_on_to_the_next_page() -> None:
    found = placed(tree(filled("X7C", 1, keys("X7C", 1)).data))
    assert found["dssSide", 1, 12][1] == "211@1/ba**211"
    assert found["dssSide", 2, 1][1] == "212@1/ba**212"
    assert found["dssSide", 5, 12][1] == "259@1/ba**259"


def test_a_door_phone_has_keys_without_pages() -> None:
    assert placed(tree(filled("i10SD", 1, ["201"]).data)) == {
        ("dssSoft", 1, 1): ("1", "201@1/ba**201", "201"),
        ("dssSoft", 2, 2): ("0", "", ""),
    }


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"number": "201", "pickup": "*8"}, ("1", "201@1/ba*8201")),
        ({"number": "201", "line": "2"}, ("1", "201@2/ba**201")),
        ({"type": "Speed Dial", "number": "7"}, ("1", "7@1/f")),
        ({"type": "intercom", "number": "7"}, ("1", "7@1/i")),
        ({"type": "park", "number": "70"}, ("1", "70@1/c")),
        ({"type": "line", "line": "2"}, ("2", "SIP2")),
        ({"type": "dnd"}, ("3", "F_DND")),
        ({"type": "prefix", "value": "0"}, ("3", "F_PREFIX:0")),
        ({"type": "dtmf", "value": "1#"}, ("4", "1#")),
        ({"type": "url", "value": "http://door/open?a=1&b=2"}, ("7", "http://door/open?a=1&b=2")),
        ({"type": "multicast", "value": "224.0.0.9:9000"}, ("14", "224.0.0.9:9000/PCMU")),
    ],
)
def test_each_type_is_written_as_the_vendor_does(entry: dict[str, str], expected: tuple[str, str]) -> None:
    assert placed(tree(filled("X5U", 2, [entry]).data))["dssSide", 1, 3][:2] == expected
    found = values(filled("X4", 2, [entry]).data)
    assert (found["Fkey3 Type"], found["Fkey3 Value"]) == expected


def test_the_words_that_changed_between_the_generations() -> None:
    blf = [{"type": "record"}, {"type": "ldap"}]
    old = values(filled("X4", 1, blf).data)
    assert (old["Fkey2 Value"], old["Fkey3 Value"]) == ("F_REC", "F_LDAP:1")
    new = placed(tree(filled("X5U", 1, blf).data))
    assert [new["dssSide", 1, n][1] for n in (2, 3)] == ["F_RECORD", "F_LDAPCONTACTS:0"]
    assert filled("X4", 1, [{"type": "xml", "value": "http://x"}]).warnings[0].reason is Reason.KEY_TYPE


def test_a_label_is_cut_where_the_text_generation_chokes() -> None:
    blf = [{"number": "201", "label": "Front door of the house"}]
    assert values(filled("X4", 1, blf).data)["Fkey2 Title"] == "Front door"
    assert placed(tree(filled("X5U", 1, blf).data))["dssSide", 1, 2][2] == "Front door of the house"


def test_the_transport_is_that_of_the_gate() -> None:
    for proto, code in (("udp", "0"), ("tcp", "1"), ("tls", "3")):
        assert values(filled("X4", **{"sg.proto": proto}).data)["SIP1 Transport"] == code
        assert tree(filled("X5U", **{"sg.proto": proto}).data).findtext("sip/line/Transport") == code


def test_a_phone_without_registration() -> None:
    text = values(filled("X4", **{"sg.register": "off"}).data)
    assert (text["SIP1 Enable Reg"], text["SIP1 Register Pswd"]) == ("0", "")
    line = tree(filled("X5U", **{"sg.register": "off"}).data).find("sip/line")
    assert line is not None
    assert (line.findtext("EnableReg"), line.findtext("RegisterPswd")) == ("0", "")
    assert line.findtext("ProxyAddr") == "192.0.2.10"


@pytest.mark.parametrize(
    ("zone", "quarters", "summer"),
    [("Europe/Moscow", "12", None), ("Europe/Berlin", "4", ("3", "5", "10")), ("Asia/Kolkata", "22", None)],
)
def test_the_clock_is_that_of_the_zone(zone: str, quarters: str, summer: tuple[str, ...] | None) -> None:
    date = tree(filled("X5U", timezone=zone).data).find("phone/date")
    assert date is not None
    assert date.findtext("TimeZone") == quarters
    text = values(filled("X4", timezone=zone).data)
    assert text["Time Zone"] == quarters
    if summer is None:
        assert (date.findtext("EnableDST"), text["Enable DST"]) == ("0", "0")
        assert date.find("DSTStartMon") is None
    else:
        assert (date.findtext("EnableDST"), date.findtext("DSTFixedType")) == ("2", "2")
        assert tuple(date.findtext(f"DST{n}") for n in ("StartMon", "StartWeek", "EndMon")) == summer
        assert (text["Enable DST"], text["DST Start Mon"], text["DST End Mon"]) == ("2", "3", "10")


def test_models_whose_zones_are_numbered_otherwise_keep_their_own() -> None:
    assert not [name for name in values(filled("C62").data) if "Zone" in name or "DST" in name]


@pytest.mark.parametrize(
    ("proto", "code", "server"),
    [("tftp", "2", "192.0.2.1"), ("http", "4", "http://192.0.2.1"), ("https", "5", "https://192.0.2.1")],
)
def test_where_the_phone_asks(proto: str, code: str, server: str) -> None:
    given = {"use.provisioning": "provisioning", "provisioning.proto": proto}
    ap = tree(filled("X5U", **given).data).find("ap")
    assert ap is not None
    assert (ap.findtext("FlashProtocol"), ap.findtext("FlashServerIP")) == (code, server)
    text = values(filled("X4", **given).data)
    assert (text["Download Protocol"], text["Download Server IP"]) == (code, server)


def test_a_sysconf_file_is_served_under_any_extension() -> None:
    template = storage().template("fanvil/X5U")
    assert template is not None
    assert template.kind is Kind.XML


@pytest.mark.parametrize("name", ["X6U Pro", "x6u-pro", "Fanvil X5U-V2", "V62 Pro", "NP-X5", "Linkvil W611W"])
def test_names_that_phones_give_themselves_are_known(name: str) -> None:
    assert storage().models.generic(name) is None
    assert storage().models.layout(name) is not None


@pytest.mark.parametrize(
    ("name", "like"), [("X3U-NEW", "X3U"), ("i55", "i10S"), ("V68", "V65"), ("C56", "C58")]
)
def test_an_unknown_model_gets_a_model_of_its_family(name: str, like: str) -> None:
    assert storage().models.generic(name) == like
