"""Documents as rows and back: nothing is lost, whatever an operator writes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era_ap.directory.model import AccountKey, read_account
from era_ap.directory.notation import text_tree
from era_ap.directory.sql_rows import (
    NO_DOCUMENT,
    AccountRow,
    DeviceRow,
    DomainRow,
    account_document,
    account_row,
    domain_document,
    domain_row,
    read_account_row,
    read_domain_row,
)
from era_ap.errors import Reason, Refused

KEY = AccountKey("a.example.com", "101")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.sampled_from(["opts", "ext", "password", "reg", "name", "settings", "true", "a", ""])
VALUES = st.recursive(
    st.none() | TEXTS | st.sampled_from(["true", "false", "{", "\0", "017"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.none() | st.dictionaries(NAMES | TEXTS, VALUES, max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    """Account documents in any order of keys, with the columns of their own there or not."""
    fields: dict[str, object] = draw(st.dictionaries(NAMES | TEXTS, VALUES, max_size=4))
    for name in ("login", "domain"):
        fields.pop(name, None)
    for name in draw(st.permutations(["opts", "ext", "password"])):
        fields.pop(name, None)
        if draw(st.booleans()):
            fields[name] = draw(VALUES if name == "password" else OBJECTS)
    return fields


@given(documents())
@settings(max_examples=300)
def test_a_document_comes_back_with_its_order(document: dict[str, object]) -> None:
    row, _ = account_row(KEY, document)
    back = account_document(row)
    assert back == document
    assert json.dumps(back) == json.dumps(document)
    account, problems = read_account_row(KEY, row, "o")
    expected, expected_problems = read_account(*KEY, document, origin="o", revision=row.revision)
    assert problems == expected_problems
    assert account is not None
    assert expected is not None
    assert (account.fields, account.devices, account.registers) == (
        expected.fields,
        expected.devices,
        expected.registers,
    )


@given(st.dictionaries(NAMES | TEXTS, VALUES, max_size=3), OBJECTS)
def test_a_domain_comes_back(fields: dict[str, object], given_settings: dict[str, object] | None) -> None:
    document = {key: value for key, value in fields.items() if key not in ("name", "domain")}
    document["settings"] = given_settings
    try:
        row = domain_row("a.example.com", document)
    except Refused as refused:
        assert refused.reason is Reason.DOMAIN_INVALID
        return
    assert json.dumps(domain_document(row)) == json.dumps(document)


@given(documents(), documents())
def test_revisions_differ_as_documents_do(one: dict[str, object], other: dict[str, object]) -> None:
    same = json.dumps(one) == json.dumps(other)
    assert (account_row(KEY, one)[0].revision == account_row(KEY, other)[0].revision) is same


def test_where_the_parts_are() -> None:
    row, _ = account_row(KEY, {"name": "é", "password": "p", "opts": {"a": 1}, "ext": None})
    assert row == AccountRow("p", '{"a":"1"}', None, '{"name":"é","password":null,"opts":null,"ext":null}')
    assert domain_row("a.b", {"settings": {"x": "y"}}) == DomainRow('{"x":"y"}', '{"settings":null}')


def test_a_password_that_no_column_can_hold_stays_with_the_rest() -> None:
    row, _ = account_row(KEY, {"password": "a\0b"})
    assert row == AccountRow(None, None, None, '{"password":"a\\u0000b"}')
    assert account_document(row) == {"password": "a\0b"}


def test_devices() -> None:
    opts = {
        "ap_devices": [
            {"mac": "00:15:65:00:00:01", "device_model": "T\0" + "x" * 300, "line": "2"},
            {"mac": "nonsense"},
            {"mac": "001565000002"},
        ]
    }
    _, devices = account_row(KEY, {"opts": opts})
    assert devices == (
        DeviceRow(0, "001565000001", "T" + "x" * 254, 2),
        DeviceRow(1, "001565000002", None, 1),
    )


@pytest.mark.parametrize(
    ("row", "document"),
    [
        (AccountRow(None, None, None, "{}"), {}),
        (
            AccountRow("p", '{"a":1}', '{"b":true}', "{}"),
            {"password": "p", "opts": {"a": "1"}, "ext": {"b": True}},
        ),
        (
            AccountRow(None, None, None, '{"password":"in fields","n":1.50}'),
            {"password": "in fields", "n": "1.50"},
        ),
        (AccountRow("column", None, None, '{"password":"in fields"}'), {"password": "column"}),
    ],
)
def test_rows_of_other_programs(row: AccountRow, document: dict[str, object]) -> None:
    assert account_document(row) == document
    account, _ = read_account_row(KEY, row, "o")
    assert account is not None
    assert account.fields == {**text_tree(document), "login": "101", "domain": "a.example.com"}  # type: ignore[dict-item]


@pytest.mark.parametrize("fields", ["[]", "1", "nonsense", "", "[" * 5000, '{"a":"\\ud83d"}'])
def test_what_is_no_object_is_a_finding(fields: str) -> None:
    account, (problem,) = read_account_row(KEY, AccountRow(None, None, None, fields), "o")
    assert (account, problem.reason, problem.where) == (None, Reason.ACCOUNT_INVALID, "o")
    domain, (problem,) = read_domain_row("a.b", DomainRow(None, fields), "o")
    assert (domain, problem.reason) == (None, Reason.DOMAIN_INVALID)


def test_a_document_that_is_nested_too_deeply_is_a_finding() -> None:
    account, problems = read_account_row(
        KEY, AccountRow(None, None, None, '{"a":' * 80 + "1" + "}" * 80), "o"
    )
    assert account is None
    assert "nested more than" in problems[0].detail


def test_a_domain_without_a_document() -> None:
    row = DomainRow(None, None)
    assert (domain_document(row), row.revision) == (None, NO_DOCUMENT)
    domain, problems = read_domain_row("a.b", row, "o")
    assert domain is not None
    assert (domain.settings, problems) == ({}, ())


@pytest.mark.parametrize(
    "document", [{"opts": "x"}, {"login": "9"}, {"name": "\ud800"}, {"password": "\udfff"}, {"\ud800": "x"}]
)
def test_what_would_not_read_back_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(Refused) as caught:
        account_row(KEY, document)
    assert caught.value.reason is Reason.ACCOUNT_INVALID


@pytest.mark.parametrize("key", [AccountKey("A.b", "1"), AccountKey("a.b", ""), AccountKey("a b", "1")])
def test_what_is_no_account_is_refused(key: AccountKey) -> None:
    with pytest.raises(Refused):
        account_row(key, {})
