"""The Snom pack: its XML, function keys counted from 0 over all side-cars, golden files."""

from __future__ import annotations

import re

import pytest
from lxml import etree
from packs import accounts_of, all_options, filled, golden_file, keys, models, types_of

from era_ap.errors import Reason

DECT = ("M300", "M700", "M900")


@pytest.mark.parametrize("model", models("snom"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts), keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        check(filled(model, accounts, blf, **all_options()).data, base=model in DECT)


def check(data: bytes, base: bool) -> None:
    root = etree.fromstring(data)
    assert root.tag == "settings"
    parts = ["phone-settings"] if base else ["phone-settings", "functionKeys"]
    assert [child.tag for child in root.iterchildren(tag=etree.Element)] == parts
    seen = set()
    for element in root.iterfind("*/*"):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", element.tag)
        assert set(element.keys()) <= {"idx", "perm", "context", "label", "short_label"}
        assert element.text
        seen.add((element.tag, element.get("idx")))
    assert len(seen) == len(root.findall("*/*"))


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["D735", "D865", "D120"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("snom", model, accounts, full, "htm")


def fkeys(model: str, lines: int, blf: list[dict[str, str]]) -> list[tuple[str | None, str | None]]:
    found = etree.fromstring(filled(model, lines, blf).data).iterfind("functionKeys/fkey")
    return [(key.get("idx"), key.text) for key in found]


def test_keys_of_side_cars_count_on() -> None:
    blf = [
        {"number": "201"},
        {"number": "202", "position": "10"},
        {"number": "203", "module": "2"},
        {"type": "speeddial", "number": "204", "position": "33"},
    ]
    assert fkeys("D735", 2, blf) == [
        ("2", "blf 201|**"),
        ("9", "blf 202|**"),
        ("32", "speed 204"),
        ("50", "blf 203|**"),
    ]


def test_types_have_their_words() -> None:
    blf = [
        {"type": "url", "value": "http://x/?a&b"},
        {"type": "park", "number": "700"},
        {"number": "205", "pickup": "*8205"},
    ]
    assert fkeys("D735", 1, blf) == [
        ("1", "url http://x/?a&b"),
        ("2", "orbit 700"),
        ("3", "blf 205|*8205"),
    ]


def test_a_number_with_the_separator_leaves_its_key_empty() -> None:
    result = filled("D735", 1, [{"number": "201|x", "label": "a"}, {"number": "202", "label": "a|b"}])
    (key,) = etree.fromstring(result.data).iterfind("functionKeys/fkey")
    assert (key.get("idx"), key.text, key.get("label")) == ("2", "blf 202|**", "a b")
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_VALUE]


def test_a_phone_without_registration_gets_no_password() -> None:
    root = etree.fromstring(filled("D735", **{"sg.register": "off"}).data)
    assert root.findtext("phone-settings/user_pass") == ""


@pytest.mark.parametrize("model", DECT)
def test_a_dect_base_has_one_server_and_an_account_for_each_handset(model: str) -> None:
    (settings,) = etree.fromstring(filled(model, 3, **all_options()).data)
    values = {(each.tag, each.get("idx")): each.text for each in settings.iterchildren(tag=etree.Element)}
    servers = ("user_host", "user_outbound", "srv_sip_transport")
    assert [values[name, "1"] for name in servers] == ["a.example.com", "192.0.2.10:5060", "udp"]
    assert ("user_host", "2") not in values
    for line in ("1", "2", "3"):
        names = ("user_name", "user_pass", "subscr_sip_hs_idx", "subscr_sip_ua_data_server_id")
        assert [values[name, line] for name in names] == [f"10{line}", f"secret-{line}", line, "1"]
