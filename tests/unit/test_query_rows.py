"""Rows of a foreign database become documents: what each column of the operator's queries means."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from era_ap.directory.model import AccountKey
from era_ap.directory.query_columns import TOLD, Columns
from era_ap.directory.query_rows import ForeignRows, columns_of
from era_ap.errors import Refused, Severity

KEY = AccountKey("a.example.com", "101")
MAC = "00:15:65:00:00:01"


def rows() -> ForeignRows:
    return ForeignRows("postgresql://db/pbx#kamailio")


def read(names: str, *values: Sequence[Any], found: ForeignRows | None = None) -> list[dict[str, Any]]:
    """The documents of rows of the query accounts."""
    found = found or rows()
    return [document for _, document in found.documents(columns_of("accounts", names.split()), values)]


def add(found: ForeignRows, query: str, names: str, *values: Sequence[Any]) -> None:
    method = {"devices": found.add_devices, "keys": found.add_keys, "domains": found.add_domains}[query]
    method(columns_of(query, names.split()), values)


def told(found: ForeignRows) -> list[str]:
    return [problem.detail for problem in found.findings.problems]


def account(names: str, *values: Any) -> dict[str, Any]:
    (document,) = read(f"domain login {names}", ("a.example.com", "101", *values))
    return {key: value for key, value in document.items() if key not in ("domain", "login")}


def test_plain_columns_are_fields() -> None:
    found = rows()
    columns = columns_of("accounts", ["login", "password", "domain"])
    ((key, document),) = found.documents(columns, [("101", "s", "A.Example.COM")])
    assert key == KEY
    assert document == {"password": "s", "login": "101", "domain": "a.example.com"}
    assert (told(found), found.domains) == ([], {"a.example.com": {}})


def test_dots_make_objects_and_null_is_not_given() -> None:
    assert account("ext.a.b ext.a.c opts.x name", "1", None, "2", None) == {
        "ext": {"a": {"b": "1"}},
        "opts": {"x": "2"},
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (True, "true"),
        (Decimal("1.50"), "1.50"),
        (b"caf\xc3\xa9", "café"),
        (memoryview(b"x"), "x"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        ("017", "017"),
        ("", ""),
        (["a", 1], ["a", "1"]),
    ],
)
def test_values_of_every_type_become_text(value: object, text: object) -> None:
    assert account("name", value) == {"name": text}


def test_objects_may_come_as_json() -> None:
    found = account("ext opts fields ext.more", '{"a": [1, true, null]}', {"b": 2}, '{"reg": false}', "x")
    assert found == {
        "ext": {"a": ["1", "true", None], "more": "x"},
        "opts": {"b": "2"},
        "reg": "false",
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "JSON that is not valid"),
        ('{"a":"\\ud83d"}', "JSON that is not valid"),
        ("x", "no JSON object"),
        ("[1]", "no JSON object"),
    ],
)
def test_what_is_no_object_is_told_and_left_out(value: str, words: str) -> None:
    found = rows()
    (document,) = read("domain login ext name", ("a.example.com", "101", value, "n"), found=found)
    assert "ext" not in document
    assert document["name"] == "n"
    assert words in told(found)[0]


def test_an_empty_text_in_place_of_an_object_is_nothing() -> None:
    found = rows()
    (document,) = read("domain login ext", ("a.example.com", "101", " "), found=found)
    assert ("ext" in document, told(found)) == (False, [])


def test_nested_json_is_read_by_its_last_name() -> None:
    assert account("ext.settings ext.note", '{"a": "1"}', '{"a": "1"}') == {
        "ext": {"settings": {"a": "1"}, "note": '{"a": "1"}'}
    }


@pytest.mark.parametrize(
    ("domain", "login", "words"),
    [
        (None, "101", "no usable domain"),
        ("not a domain", "101", "no usable domain"),
        ("a.example.com", None, "no usable login"),
        ("a.example.com", " 101", "no usable login"),
        ("a.example.com", "", "no usable login"),
    ],
)
def test_a_row_of_nobody_is_told(domain: str | None, login: str | None, words: str) -> None:
    found = rows()
    assert read("domain login", (domain, login), ("b.example.com", "1"), found=found) == [
        {"login": "1", "domain": "b.example.com"}
    ]
    assert words in told(found)[0]


def test_the_first_of_two_rows_of_one_account_counts() -> None:
    found = rows()
    first, second = ("a.example.com", "101", "x"), ("A.example.com", "101", "y")
    (document,) = read("domain login name", first, second, found=found)
    assert document["name"] == "x"
    assert "there twice" in told(found)[0]


def test_findings_have_an_end() -> None:
    found = rows()
    read("domain login", *[(None, str(number)) for number in range(TOLD + 5)], found=found)
    assert len(told(found)) == TOLD + 1
    assert told(found)[-1] == "5 further rows have findings"


# --- devices and keys


def test_devices_are_joined_in_order_of_their_lines() -> None:
    found = rows()
    add(
        found,
        "devices",
        "domain login mac line device_model override x.y",
        ("A.example.com", "101", MAC, 10, "T46S", '{"a": "b"}', None),
        ("a.example.com", "101", MAC, 2, "T46S", None, "z"),
        ("a.example.com", "101", "001565000002", None, "T23G", None, None),
        ("a.example.com", "102", MAC, 1, "T46S", None, None),
        ("a.example.com", "101", None, 1, "T46S", None, None),
        ("a.example.com", "101", " ", 1, "T46S", None, None),
    )
    one, two = read("domain login", ("a.example.com", "101"), ("a.example.com", "102"), found=found)
    assert one["opts"]["ap_devices"] == [
        {"mac": "001565000002", "device_model": "T23G"},
        {"mac": MAC, "line": "2", "device_model": "T46S", "x": {"y": "z"}},
        {"mac": MAC, "line": "10", "device_model": "T46S", "override": {"a": "b"}},
    ]
    assert len(two["opts"]["ap_devices"]) == 1
    found.finish()
    assert told(found) == []


def test_devices_join_those_of_a_json_column() -> None:
    found = rows()
    add(found, "devices", "domain login mac", (*KEY, MAC))
    (document,) = read("domain login opts", (*KEY, '{"ap_devices": {"mac": "1"}, "a": "b"}'), found=found)
    assert document["opts"] == {"ap_devices": [{"mac": "1"}, {"mac": MAC}], "a": "b"}


def test_rows_of_an_account_that_is_not_there_are_told() -> None:
    found = rows()
    add(found, "devices", "domain login mac", (*KEY, MAC))
    add(found, "keys", "domain login number", (*KEY, "1"))
    read("domain login", ("b.example.com", "1"), found=found)
    found.finish()
    assert [each.partition(":")[0] for each in told(found)] == ["query devices", "query keys"]
    assert {problem.severity for problem in found.findings.problems} == {Severity.WARNING}


def test_keys_belong_to_the_phone_they_name() -> None:
    found = rows()
    add(
        found,
        "devices",
        "domain login mac line blf",
        (*KEY, MAC, 1, '[{"number": "0"}]'),
        (*KEY, MAC, 2, None),
        (*KEY, "001565000002", 1, None),
    )
    add(
        found,
        "keys",
        "domain login mac type number",
        (*KEY, "001565000001", "blf", "201"),
        (*KEY, MAC, None, 202),
        (*KEY, None, None, "300"),
        (*KEY, "001565000009", None, "1"),
    )
    (document,) = read("domain login", tuple(KEY), found=found)
    assert [each.get("blf") for each in document["opts"]["ap_devices"]] == [
        [{"number": "0"}, {"type": "blf", "number": "201"}, {"number": "202"}],
        None,
        None,
    ]
    assert document["ext"] == {"ap_blf": [{"number": "300"}]}
    assert "has no phone 001565000009" in told(found)[0]


def test_keys_without_a_column_of_phones_are_the_accounts() -> None:
    found = rows()
    add(found, "keys", "domain login number", (*KEY, "1"), (*KEY, "2"))
    (document,) = read("domain login ext.ap_blf", (*KEY, '[{"number": "0"}]'), found=found)
    assert document["ext"]["ap_blf"] == [{"number": "0"}, {"number": "1"}, {"number": "2"}]


# --- domains


def test_domains_in_one_row_or_many() -> None:
    found = rows()
    add(
        found,
        "domains",
        "domain constant value constants.ntp.server settings.ext.zone settings",
        ("A.example.com", "a.b", "1", "n1", "z", '{"x": "y"}'),
        ("a.example.com", "c", 2, None, None, None),
        ("a.example.com", "d", None, None, None, None),
        ("b.example.com", None, None, None, None, None),
        ("not a domain", "c", 2, None, None, None),
    )
    assert found.domains == {
        "a.example.com": {
            "settings": {
                "ext": {"zone": "z"},
                "x": "y",
                "ap_constants": {"ntp.server": "n1", "a.b": "1", "c": "2"},
            }
        },
        "b.example.com": {"settings": {}},
    }
    assert len(told(found)) == 1


# --- columns


@pytest.mark.parametrize(
    ("query", "names", "words"),
    [
        ("accounts", "domain user", "query accounts: gives no column login; name columns with AS"),
        ("devices", "domain login", "query devices: gives no column mac"),
        ("keys", "login", "query keys: gives no column domain"),
        ("domains", "name", "query domains: gives no column domain"),
        ("accounts", "domain login name name", "query accounts: gives two columns name"),
    ],
)
def test_columns_that_lack_or_are_there_twice_are_refused(query: str, names: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        columns_of(query, names.split())
    assert words in caught.value.detail


def test_columns_know_their_own() -> None:
    assert Columns.of("keys", ["a", "mac", "domain"], ["domain"], ["mac", "b"]) == Columns(
        "keys", {"domain": 2, "mac": 1}, ((0, ("a",)),)
    )
