"""The Digium pack: three files of a phone, keys that count from 0 on pages, hostile data, golden files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from packs import (
    MAC,
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


def items(model: str, accounts: int, blf: object) -> list[dict[str, str]]:
    """Where keys are; each that is not blank is for a contact, and each contact has its key."""
    root = etree.fromstring(filled(model, accounts, blf, "smartblf").data)
    found = [dict(item.items()) for item in root.iterfind("smart_blf/blf_items/blf_item")]
    contacts = etree.fromstring(filled(model, accounts, blf, "contacts").data).findall("contacts/contact")
    ids = [contact.get("id") for contact in contacts]
    assert [item["contact_id"] for item in found if "blank" not in item] == ids
    assert len(set(ids)) == len(ids)
    assert {item.pop("paging") for item in found} <= {"1"}
    return found


@pytest.mark.parametrize("model", models("digium"))
def test_every_model_gives_its_three_files(model: str) -> None:
    accounts = accounts_of(model)
    blf = keys(model, accounts, ("blf", "speeddial"))
    root = etree.fromstring(filled(model, accounts, blf, **all_options()).data)
    ids = [setting.get("id") for setting in root.iterfind("setting")]
    assert len(set(ids)) == len(ids)
    assert [account.get("index") for account in root.iterfind("accounts/account")] == [
        str(number) for number in range(accounts)
    ]
    assert len([item for item in items(model, accounts, blf) if "blank" not in item]) == len(blf)


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["D40", "D50", "D65"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("digium", model, min(accounts, accounts_of(model)), full, "cfg")


@pytest.mark.parametrize("kind", ["contacts", "smartblf"])
def test_the_files_of_the_keys_are_golden(kind: str) -> None:
    blf = [{"number": "201", "label": "A & B"}, {"type": "speeddial", "number": "0305551"}, {"number": "203"}]
    golden("digium", f"D50-1-keys-{kind}.cfg", filled("D50", 1, [*blf, {"number": "204"}], kind).data)
    assert b"secret-1" not in filled("D50", 1, blf, kind).data


def test_keys_count_from_0_in_each_place_after_the_lines() -> None:
    blf = ["201", "202", "203", "204"]
    assert [(item["location"], item["index"]) for item in items("D50", 2, blf)] == [
        ("main", "2"),
        ("main", "3"),
        ("side", "0"),
        ("side", "1"),
    ]


def test_pages_come_by_their_order_so_that_keys_before_a_used_one_are_written_blank() -> None:
    found = items("D70", 1, [{"number": "201", "area": "side", "page": "2", "position": "3"}])
    assert [item["index"] for item in found] == [*map(str, range(10)), "0", "1", "2"]
    assert [item.get("contact_id") for item in found] == [None] * 12 + ["side-13"]
    found = items("D65", 1, [{"number": "201", "area": "page", "position": "4"}])
    assert [(item["index"], item.get("contact_id")) for item in found] == [
        *((str(index), None) for index in range(1, 6)),
        ("3", "page-4"),
    ]


def test_a_ringing_key_picks_up_and_a_speed_dial_watches_nobody() -> None:
    blf = [{"number": "201", "pickup": "*8"}, {"type": "speeddial", "number": "202"}]
    root = etree.fromstring(filled("D50", 1, blf, "contacts").data)
    watched, dialled = root.findall("contacts/contact")
    assert watched.get("subscribe_to") == "sip:201@a.example.com"
    (pickup,) = watched.findall("actions/action[@id='pickup']")
    assert (pickup.get("dial_prefix"), pickup.get("dial")) == ("*8", "201")
    assert dialled.get("subscribe_to") is None
    keys_file = etree.fromstring(filled("D50", 1, blf, "smartblf").data)
    (ringing,) = keys_file.iterfind(".//behavior[@target_status='ringing']")
    assert ringing.get("press_action") == "pickup"


def test_what_is_wrong_with_keys_is_told_with_the_phones_own_file() -> None:
    result = filled("D40", 1, ["201", "202"])
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_OVERFLOW]


@pytest.mark.parametrize(("register", "expected"), [("on", ("1", "secret-1")), ("off", ("0", ""))])
def test_a_phone_of_an_account_without_registration_does_not_register(
    register: str, expected: tuple[str, str]
) -> None:
    (account,) = etree.fromstring(filled("D40", **{"sg.register": register}).data).iterfind("accounts/*")
    assert (account.get("register"), account.get("password")) == expected


def test_the_proxy_is_the_gate() -> None:
    old = etree.fromstring(filled("D40", **{"sg.proto": "tcp"}).data)
    new = etree.fromstring(filled("D65", **{"sg.proto": "tls"}).data)
    for root, transport in ((old, "tcp"), (new, "tls")):
        (account,) = root.iterfind("accounts/account")
        assert (account.get("outbound_proxy"), account.get("outbound_port")) == ("192.0.2.10", "5060")
        assert root.xpath("//host_primary/@transport") == [transport]
    assert old.xpath("//outbound_proxy/@server") == []
    assert new.xpath("//host_primary/outbound_proxy/@server") == ["192.0.2.10"]


@pytest.mark.parametrize("model", models("digium"))
def test_tls_is_refused_where_the_phone_cannot(model: str) -> None:
    if model in ("D60", "D62", "D65"):
        assert b'transport="tls"' in filled(model, **{"sg.proto": "tls"}).data
        return
    with pytest.raises(Refused) as refused:
        filled(model, **{"sg.proto": "tls"})
    assert refused.value.reason is Reason.INCLUDE_MISSING
    assert "digium/transport-refused.inc" in refused.value.detail


@pytest.mark.parametrize("name", ["D80", "Digium D80", "Sangoma D80"])
def test_a_phone_that_needs_dpma_gets_nothing(name: str) -> None:
    assert storage().models.generic(name) is None
    assert not any(storage().template(f"{base}.cfg") for base in storage().models.bases(name))


def test_a_phone_is_found_by_the_name_of_its_new_maker() -> None:
    assert "digium/D65" in storage().models.bases("Sangoma D65")
    assert filled("Sangoma D65").data == filled("D65").data
    assert storage().models.generic("Sangoma D61") == "D40"
    assert storage().models.generic("Sangoma S705") in (None, "S500")


def test_the_phone_is_told_where_its_further_files_are_and_they_are_found() -> None:
    root = etree.fromstring(filled("D65").data)
    urls = [root.find("contacts").get("url"), root.find("smart_blf/blf_items").get("url")]
    assert urls == [f"http://192.0.2.1/{MAC}-{kind}.cfg" for kind in ("contacts", "smartblf")]
    names = [name for step in names_of("digium", MAC, "") for name in step]
    assert [f"http://192.0.2.1/{name}" for name in names[1:]] == urls
    found = [MaskTable(builtin_masks()).match(f"Digium/{name}").mask.type for name in names]
    assert found == [None, "contacts", "smartblf"]


HOSTILE = ("[include.secret]", '"/><account index="9', "]]>", "-->", "a\nb", "[constants.domain]", "{key}")
text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))


@given(name=text, password=text, label=text, number=text)
@settings(max_examples=40, deadline=None)
def test_data_is_data_wherever_it_lands(name: str, password: str, label: str, number: str) -> None:
    lines = lines_of("D50", 1, [{"number": number, "label": label}], name=name, password=password)
    roots = {}
    for kind in ("", "contacts", "smartblf"):
        try:
            data = render(template_of("D50", kind), scope_of("D50", lines, kind), Budget(lambda: 0.0)).data
        except Refused as refused:
            assert refused.reason is Reason.REQUIRED_MISSING
            return
        roots[kind] = etree.fromstring(data)
        benign = etree.fromstring(filled("D50", 1, ["201"], kind).data)
        assert [each.tag for each in roots[kind].iter()] == [each.tag for each in benign.iter()]
    (account,) = roots[""].iterfind("accounts/account")
    assert (account.get("caller_id"), account.get("password")) == (legal(name), legal(password))
    (contact,) = roots["contacts"].iterfind("contacts/contact")
    assert (contact.get("first_name"), contact.get("account_id")) == (legal(label), legal(number))
