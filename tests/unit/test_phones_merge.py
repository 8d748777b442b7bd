"""What rows of phones do to accounts: added, changed, moved, left alone."""

from __future__ import annotations

import pytest

from era_ap.directory.documents import Document, DomainDocuments
from era_ap.directory.phones_csv import PhoneRow
from era_ap.directory.phones_merge import Merged, Policy, merge_rows, phone_rows

A = "a.example.com"
M1, M2 = "001565000001", "001565000002"
C1 = "00:15:65:00:00:01"


def row(
    login: str = "101", mac: str = M1, number: int | None = None, line: int = 2, **values: str
) -> PhoneRow:
    fields = {name.replace("__", "."): value for name, value in values.items()}
    return PhoneRow(line, mac, A, login, number, fields)


def merge(
    accounts: dict[str, Document], *rows: PhoneRow, replace: bool = False, move: bool = False
) -> Merged:
    return merge_rows(DomainDocuments(A, None, accounts), rows, Policy(replace, move))


def after(account: Document, *rows: PhoneRow, **policy: bool) -> object:
    merged = merge({"101": account}, *rows, **policy)
    assert merged.problems == ()
    return merged.accounts.get("101", account)


def test_a_phone_is_added_to_an_account() -> None:
    assert after({"name": "Anna"}, row(model="T46S", label="Desk", number=2)) == {
        "name": "Anna",
        "opts": {"ap_devices": [{"mac": C1, "line": "2", "device_model": "T46S", "label": "Desk"}]},
    }


def test_a_phone_is_changed_and_all_else_of_it_stays() -> None:
    account = {
        "opts": {"x": "1", "ap_devices": [{"mac": "0015.6500.0001", "blf": ["7"], "device_model": "T46S"}]}
    }
    assert after(account, row(model="T48S", device__firmware="1.2")) == {
        "opts": {
            "x": "1",
            "ap_devices": [
                {"mac": "0015.6500.0001", "blf": ["7"], "device_model": "T48S", "firmware": "1.2"}
            ],
        }
    }


@pytest.mark.parametrize(
    "account",
    [
        {"opts": {"ap_devices": [{"mac": M1, "device_model": "T46S"}]}},
        {"opts": {"ap_devices": {"mac": M1, "device_model": " T46S "}}},
        {"opts": {"ap_mac_address": M1, "ap_device_model": "T46S"}},
        {"opts": {"ap_devices": [{"mac": M1}], "ap_device_model": "T46S"}},
        {"opts": {"ap_mac_address": M1, "ap_devices": [{"device_model": "T46S", "line": "1"}]}},
    ],
)
def test_a_row_that_says_what_is_so_changes_nothing(account: dict[str, object]) -> None:
    account |= {"name": " Anna ", "password": "p "}
    merged = merge({"101": account}, row(model="T46S", number=1, name="Anna", password="p "))
    assert merged == Merged({}, (), ())


def test_the_flat_form_is_left_and_completed() -> None:
    account = {"opts": {"ap_mac_address": M1, "ap_device_model": "T46S"}}
    assert after(account, row(model="T48S")) == {
        "opts": {
            "ap_mac_address": M1,
            "ap_device_model": "T46S",
            "ap_devices": [{"mac": C1, "device_model": "T48S"}],
        }
    }


def test_an_object_in_place_of_a_list_becomes_one() -> None:
    account = {"opts": {"ap_devices": {"mac": M1, "device_model": "T46S"}}}
    assert after(account, row(mac=M2, model="T48S")) == {
        "opts": {
            "ap_devices": [
                {"mac": M1, "device_model": "T46S"},
                {"mac": "00:15:65:00:00:02", "device_model": "T48S"},
            ]
        }
    }


def test_fields_of_the_account() -> None:
    assert after(
        {"name": "Old", "ext": None, "opts": {"ap_devices": [{"mac": M1, "device_model": "T"}]}},
        row(name="New", password="p", ext__room__no="7", opts__dnd="1"),
    ) == {
        "name": "New",
        "ext": {"room": {"no": "7"}},
        "opts": {"ap_devices": [{"mac": M1, "device_model": "T"}], "dnd": "1"},
        "password": "p",
    }


def test_an_account_is_made_where_a_password_is_given() -> None:
    merged = merge({}, row(model="T46S", name="Anna", password="p"), row("102", M2, line=3, model="T46S"))
    assert merged.accounts == {
        "101": {
            "name": "Anna",
            "password": "p",
            "opts": {"ap_devices": [{"mac": C1, "device_model": "T46S"}]},
        }
    }
    (problem,) = merged.problems
    assert (problem.line, problem.column) == (3, "login")
    assert "give a password" in problem.detail


def test_two_rows_may_be_about_one_account() -> None:
    merged = merge({}, row(model="T", password="p"), row(mac=M2, model="T", line=3))
    (account,) = merged.accounts.values()
    assert len(account["opts"]["ap_devices"]) == 2  # type: ignore[index]


def test_a_phone_of_several_lines() -> None:
    merged = merge({"101": {}, "102": {}}, row(model="T", number=1), row("102", model="T", number=2, line=3))
    assert set(merged.accounts) == {"101", "102"}
    assert merged.warnings == ()


def test_one_line_given_twice_is_told() -> None:
    merged = merge(
        {"101": {}, "102": {}}, row(model="T"), row("102", model="T", line=3), row(model="U", line=4)
    )
    assert [(each.line, each.column) for each in merged.problems] == [(3, "line"), (4, "line")]
    assert "is 101 (line 2)" in merged.problems[0].detail
    assert "stands in line 2" in merged.problems[1].detail


def test_a_row_without_a_line_is_ambiguous_where_there_are_several() -> None:
    account = {"opts": {"ap_devices": [{"mac": M1, "line": "1"}, {"mac": M1, "line": "2"}]}}
    (problem,) = merge({"101": account}, row(model="T")).problems
    assert problem.column == "line"
    assert after(account, row(number=2, model="T")) == {
        "opts": {"ap_devices": [{"mac": M1, "line": "1"}, {"mac": M1, "line": "2", "device_model": "T"}]}
    }


def test_a_new_phone_needs_a_model() -> None:
    (problem,) = merge({"101": {}}, row(label="Desk")).problems
    assert problem.column == "model"
    assert after({"opts": {"ap_device_model": "T46S"}}, row()) == {
        "opts": {"ap_device_model": "T46S", "ap_devices": [{"mac": C1}]}
    }


@pytest.mark.parametrize(
    ("account", "cell"),
    [({"opts": "x"}, {"model": "T"}), ({"ext": "x"}, {"ext__a": "1"}), ({"opts": ["x"]}, {"model": "T"})],
)
def test_an_account_that_cannot_be_edited_is_told_and_left(account: Document, cell: dict[str, str]) -> None:
    merged = merge({"101": account}, row(**cell))
    assert len(merged.problems) == 1
    assert merged.accounts == {}


def test_replace_takes_the_other_phones_of_the_accounts_away() -> None:
    account = {
        "opts": {
            "ap_mac_address": "00156500000f",
            "ap_devices": [{"mac": M2, "device_model": "T"}, {"mac": M1, "device_model": "T"}],
        }
    }
    merged = merge({"101": account, "102": account}, row(model="T"), replace=True)
    assert merged.accounts == {"101": {"opts": {"ap_devices": [{"mac": M1, "device_model": "T"}]}}}


def test_replace_takes_nothing_from_an_account_with_a_bad_row() -> None:
    account = {"opts": {"ap_devices": [{"mac": M2, "device_model": "T"}]}}
    merged = merge({"101": account}, row(model="T"), row(mac="00156500000a", line=3), replace=True)
    assert len(merged.problems) == 1
    assert len(merged.accounts["101"]["opts"]["ap_devices"]) == 2  # type: ignore[index]


def test_a_phone_of_another_account_is_a_warning_or_moves() -> None:
    accounts: dict[str, Document] = {
        "101": {"opts": {"ap_mac_address": M1, "ap_device_model": "T"}},
        "102": {"opts": {"ap_devices": [{"mac": M1, "line": "2"}, {"mac": M2}]}},
        "103": {},
    }
    merged = merge(accounts, row("103", model="T"))
    assert set(merged.accounts) == {"103"}
    (warning,) = merged.warnings
    assert "line 1 of 101@a.example.com" in warning.detail
    merged = merge(accounts, row("103", model="T"), move=True)
    assert merged.warnings == ()
    assert merged.accounts["101"] == {"opts": {"ap_device_model": "T"}}
    assert "102" not in merged.accounts
    merged = merge(accounts, row("103", model="T", number=2), move=True)
    assert merged.accounts["102"] == {"opts": {"ap_devices": [{"mac": M2}]}}


def test_an_export_has_all_phones_and_taken_in_again_changes_nothing() -> None:
    accounts: dict[str, Document] = {
        "101": {
            "name": " A",
            "password": "p",
            "opts": {"ap_devices": [{"mac": M1, "device_model": "T", "label": "L"}]},
        },
        "102": {
            "opts": {"ap_mac_address": M2, "ap_device_model": "U", "ap_devices": [{"mac": M1, "line": "2"}]}
        },
        "103": {"name": "no phone"},
        "104": {"opts": {"ap_devices": [{"mac": "0004130000aa", "line": "3", "device_model": "V"}]}},
    }
    documents = DomainDocuments(A, None, accounts)
    rows = list(phone_rows(documents))
    assert [(each["mac"], each["login"], each["line"], each["model"]) for each in rows] == [
        (C1, "101", "1", "T"),
        (C1, "102", "2", "U"),
        ("00:15:65:00:00:02", "102", "1", "U"),
        ("00:04:13:00:00:aa", "104", "3", "V"),
    ]
    assert rows[0]["label"] == "L"
    read = [
        PhoneRow(
            number,
            each["mac"].replace(":", ""),
            A,
            each["login"],
            int(each["line"]),
            {name: text for name in ("model", "label", "name", "password") if (text := each[name].strip())},
        )
        for number, each in enumerate(rows, 2)
    ]
    assert merge_rows(documents, read, Policy(replace=True, move=True)) == Merged({}, (), ())
