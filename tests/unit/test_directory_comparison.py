"""What putting documents would change, and what stays because it could not be read."""

from __future__ import annotations

from era_ap.directory.comparison import Edit, FieldEdit, Kind, Reading, compare, field_edits, merge
from era_ap.directory.documents import DomainDocuments, Original

A = "a.example.com"


def test_edits_are_told_record_by_record() -> None:
    wanted = DomainDocuments(A, {"settings": {}}, {"1": {"name": "new"}, "2": {"name": "same"}, "4": {}})
    present = DomainDocuments(A, None, {"1": {"name": "old"}, "2": {"name": "same"}, "3": {}})
    assert compare(wanted, present, remove_others=True) == (
        Edit(Kind.ADD, A),
        Edit(Kind.CHANGE, A, "1", (FieldEdit("name", "old", "new"),)),
        Edit(Kind.REMOVE, A, "3"),
        Edit(Kind.ADD, A, "4"),
    )
    assert Kind.REMOVE not in {edit.kind for edit in compare(wanted, present, remove_others=False)}


def test_the_same_documents_are_no_edit() -> None:
    documents = DomainDocuments(A, {"settings": {"x": "1"}}, {"1": {"a": "1", "b": [None, {}, []]}})
    turned = DomainDocuments(A, {"settings": {"x": "1"}}, {"1": {"b": [None, {}, []], "a": "1"}})
    assert compare(documents, turned, remove_others=True) == ()


def test_numbers_and_booleans_of_other_writers_are_their_text() -> None:
    assert list(field_edits({"reg": False, "n": 5}, {"reg": "false", "n": "5"})) == []


def test_fields_are_told_by_path() -> None:
    before = {"opts": {"ap_devices": [{"mac": "1", "blf": []}]}, "gone": None}
    after = {"opts": {"ap_devices": [{"mac": "2", "blf": ["7"]}]}, "new": {}}
    assert list(field_edits(before, after)) == [
        FieldEdit("opts.ap_devices[0].mac", "1", "2"),
        FieldEdit("opts.ap_devices[0].blf", "[]", None),
        FieldEdit("gone", "null", None),
        FieldEdit("opts.ap_devices[0].blf[0]", None, "7"),
        FieldEdit("new", None, "{}"),
    ]


def test_null_and_nothing_are_not_the_same() -> None:
    assert list(field_edits({"name": None}, {})) == [FieldEdit("name", "null", None)]
    assert list(field_edits({"name": "null"}, {"name": None})) == [FieldEdit("name", "null", "null")]


def test_secrets_are_masked_and_still_told() -> None:
    assert list(field_edits({"password": "one"}, {"password": "two"})) == [
        FieldEdit("password", "***", "***")
    ]


def test_what_could_not_be_read_stays() -> None:
    present = DomainDocuments(
        A,
        {"settings": {}},
        {"1": {"name": "kept"}, "2": {}},
        {"1": Original("x", "y"), "2": Original("z", "")},
    )
    wanted = Reading(DomainDocuments(A, None, {"3": {}}), frozenset({"1", "", "9"}))
    merged = merge(wanted, present)
    assert merged == DomainDocuments(
        A, {"settings": {}}, {"3": {}, "1": {"name": "kept"}}, {"1": Original("x", "y")}
    )


def test_a_domain_that_is_not_there_is_wanted_away() -> None:
    assert merge(Reading(None), DomainDocuments(A)) is None
