"""The Htek pack, with Sangoma: P-codes and names, keys by arithmetic, golden files."""

from __future__ import annotations

import re

import pytest
from lxml import etree
from packs import accounts_of, all_options, filled, golden_file, keys, models, storage, types_of

from era_ap.errors import Reason

EVERYTHING = all_options() | {
    "use.tones": "tones",
    "use.phonebook": "phonebook",
    "htek.tones": "27",
    "phonebook.name": "Company",
    "phonebook.url": "http://192.0.2.1/phonebook.xml",
}
NAMED = [model for model in models("htek") if "UC926U" in storage().models.bases(model)]


def values(data: bytes) -> dict[str, str]:
    """The value of each element; none stands in the file twice."""
    root = etree.fromstring(data)
    assert (root.tag, root.get("version")) == ("hl_provision", "1")
    assert [(child.tag, child.get("version")) for child in root] == [("config", "1")]
    elements = list(root[0].iterchildren(tag=etree.Element))
    assert len({element.tag for element in elements}) == len(elements)
    return {element.tag: element.text or "" for element in elements}


@pytest.mark.parametrize("model", models("htek"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    shape = r"[A-Z][A-Za-z0-9_]+" if model in NAMED else r"P[1-9][0-9]*"
    for blf in (
        None,
        keys(model, accounts)[:60],
        keys(model, accounts, tuple(types_of(model)) or ("blf",))[:60],
    ):
        found = values(filled(model, accounts, blf, **EVERYTHING).data)
        assert [tag for tag in found if not re.fullmatch(shape, tag)] == []


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["UC926", "UC926U", "S700", "UC902"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("htek", model, min(accounts, accounts_of(model)), full, "xml")


def test_the_numbers_of_accounts() -> None:
    found = values(filled("S700", 3).data)
    assert [found[code] for code in ("P35", "P735", "P504")] == ["101", "102", "103"]
    assert [found[code] for code in ("P34", "P734", "P506")] == ["secret-1", "secret-2", "secret-3"]
    assert {found[code] for code in ("P47", "P747", "P502")} == {"a.example.com:5060"}
    assert {found[code] for code in ("P48", "P748", "P503")} == {"192.0.2.10:5060"}
    assert {found[code] for code in ("P24082", "P24083", "P24084")} == {"0"}


def test_accounts_from_the_seventh_share_the_first_profile() -> None:
    found = values(filled("UC926", 8).data)
    assert [found[code] for code in ("P24090", "P24110", "P24130", "P24088")] == ["1", "107", "secret-7", "0"]
    assert found["P24111"] == "108"
    assert [found[code] for code in ("P20362", "P20363")] == ["a.example.com:5060"] * 2


@pytest.mark.parametrize(
    ("position", "codes"),
    [
        (2, ("P41201", "P41301", "P41401", "P41501", "P41601")),
        (4, ("P41203", "P41303", "P41403", "P41503", "P41603")),
        (5, ("P20200", "P20201", "P20202", "P20203", "P20204")),
        (36, ("P20355", "P20356", "P20357", "P20358", "P20359")),
        (37, ("P23000", "P23002", "P23003", "P23004", "P23005")),
        (45, ("P23048", "P23050", "P23051", "P23052", "P23053")),
    ],
)
def test_the_numbers_of_line_keys(position: int, codes: tuple[str, ...]) -> None:
    found = values(filled("S700", 1, [{"number": "201", "label": "L", "position": str(position)}]).data)
    assert tuple(found[code] for code in codes) == ("3", "201", "L", "0", "**")


@pytest.mark.parametrize(
    ("module", "position", "first"), [(1, 1, 60000), (1, 21, 60100), (2, 1, 61000), (6, 40, 65195)]
)
def test_the_numbers_of_side_car_keys(module: int, position: int, first: int) -> None:
    entry = {"number": "201", "label": "L", "module": str(module), "position": str(position)}
    found = values(filled("UC926", 1, [entry]).data)
    assert tuple(found[f"P{first + n}"] for n in range(5)) == ("3", "201", "L", "0", "**")
    named = values(filled("UC926U", 1, [entry]).data)
    page, place = (1, position) if position <= 20 else (2, position - 20)
    assert named[f"Exp{module}_{page}_{place}_Value"] == "201"
    assert named[f"Exp{module}_{page}_{place}_KeyType"] == "3"


def test_lines_have_keys_and_the_rest_is_emptied() -> None:
    found = values(filled("UC924", 2).data)
    assert [found[code] for code in ("P41200", "P41201", "P41202")] == ["1", "1", "0"]
    assert [found[code] for code in ("P41500", "P41501")] == ["0", "1"]
    assert found["P20315"] == "0"
    assert "P20320" not in found
    assert "P60000" not in found


def test_a_dtmf_key_and_one_of_an_unknown_type() -> None:
    result = filled("UC926", 1, [{"type": "dtmf", "value": "5#"}, {"type": "door", "number": "1"}])
    found = values(result.data)
    assert (found["P41201"], found["P41301"], found["P41202"]) == ("10", "5#", "0")
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_TYPE]


def test_the_transport_and_no_registration() -> None:
    for proto, code in (("udp", "0"), ("tcp", "1"), ("tls", "2")):
        assert values(filled("UC926", **{"sg.proto": proto}).data)["P130"] == code
        assert values(filled("UC926U", **{"sg.proto": proto}).data)["Profile1_SipTransport"] == code
    off = {"sg.register": "off"}
    assert [values(filled("UC926", **off).data)[code] for code in ("P31", "P34")] == ["0", ""]
    assert values(filled("UC926U", **off).data)["Profile1_SipRegistration"] == "0"


@pytest.mark.parametrize(
    ("zone", "code"), [("Europe/Moscow", "73"), ("Etc/UTC", "33"), ("Europe/Rome", "52")]
)
def test_the_zone_has_the_vendors_number(zone: str, code: str) -> None:
    assert values(filled("UC926", timezone=zone).data)["P64"] == code


def test_the_server_is_told_only_for_protocols_whose_code_is_known() -> None:
    given = {"use.provisioning": "provisioning"}
    assert "P237" not in values(filled("UC926", **given, **{"provisioning.proto": "tftp"}).data)
    for proto, code in (("http", "1"), ("https", "3")):
        found = values(filled("UC926", **given, **{"provisioning.proto": proto}).data)
        assert (found["P212"], found["P237"]) == (code, f"{proto}://192.0.2.1/")
        found = values(filled("UC926U", **given, **{"provisioning.proto": proto}).data)
        assert found["FirmwareUpGrade_UrgrateMode"] == code


def test_neither_the_device_code_nor_the_binary_file_is_there() -> None:
    assert storage().template("htek/common.xml") is None
    assert not any(storage().template(f"{base}.bin") for base in storage().models.bases("UC926"))


@pytest.mark.parametrize("name", ["Htek UC924E", "Sangoma S505", "uc912g", "UC926S"])
def test_names_that_phones_give_themselves_are_known(name: str) -> None:
    assert storage().models.generic(name) is None
    assert storage().models.layout(name) is not None
