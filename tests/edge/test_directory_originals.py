"""Which file a document goes to, and whether an operator's text still means it."""

from __future__ import annotations

import pytest

from era_ap.directory.documents import Original
from era_ap.directory.model import AccountKey
from era_ap.directory.originals import canonical_text, file_for, original_of, place_of, still_means
from era_ap.errors import Reason, Refused

KEY = AccountKey("a.example.com", "101")
FILE = "a.example.com/sipusers/101.yml"


@pytest.mark.parametrize(
    ("file", "place"),
    [
        (FILE, KEY),
        ("A.Example.com/sipusers/101.json", KEY),
        ("a.example.com/sipusers/a.b@c.yaml", AccountKey("a.example.com", "a.b@c")),
        ("a.example.com/domain.yaml", "a.example.com"),
        ("a.example.com/sipusers/domain.yml", AccountKey("a.example.com", "domain")),
        ("../etc/sipusers/101.yml", None),
        ("a.example.com/../b.example.com/sipusers/101.yml", None),
        ("a.example.com/sipusers/../../x.yml", None),
        ("a.example.com/sipusers/.hidden.yml", None),
        ("a.example.com/sipusers/101.txt", None),
        ("a.example.com/101.yml", None),
        ("/etc/passwd", None),
        ("", None),
    ],
)
def test_only_places_of_documents_are_files(file: str, place: object) -> None:
    assert place_of(file) == place


def test_a_canonical_file_needs_no_original() -> None:
    assert original_of(KEY, FILE, "name: Anna\n", {"name": "Anna"}) is None
    assert original_of(KEY, FILE, "name: 'Anna'\n", {"name": "Anna"}) == Original(FILE, "name: 'Anna'\n")
    other = FILE.replace("yml", "yaml")
    assert original_of(KEY, other, "name: Anna\n", {"name": "Anna"}) == Original(other, "name: Anna\n")


def test_an_original_is_used_while_it_means_the_document() -> None:
    original = Original(FILE, "name: Anna  # the boss\n")
    assert file_for(KEY, {"name": "Anna"}, original) == (FILE, "name: Anna  # the boss\n")
    assert file_for(KEY, {"name": "Boris"}, original) == (FILE, "name: Boris\n")


@pytest.mark.parametrize(
    "original",
    [
        Original("b.example.com/sipusers/101.yml", "name: Anna\n"),
        Original("../a.example.com/sipusers/101.yml", "name: Anna\n"),
        Original(FILE, "name: [\n"),
        Original(FILE, ""),
        Original(FILE, "name: Boris\n"),
    ],
)
def test_an_original_of_something_else_counts_for_nothing(original: Original) -> None:
    assert not still_means(original, KEY, {"name": "Anna"})
    assert file_for(KEY, {"name": "Anna"}, original) == (FILE, "name: Anna\n")


@pytest.mark.parametrize("login", ["a/b", ".a", "../x", "a\\b", "x" * 128 + "é" * 100])
def test_a_login_that_is_no_file_name_is_refused(login: str) -> None:
    with pytest.raises(Refused) as refused:
        file_for(AccountKey("a.example.com", login), {}, None)
    assert refused.value.reason is Reason.ACCOUNT_INVALID


def test_what_would_not_read_back_is_refused() -> None:
    with pytest.raises(Refused):
        canonical_text(FILE, {"name": "\ud800"}, Reason.ACCOUNT_INVALID)


@pytest.mark.parametrize(
    "document",
    [
        {"name": "Anna", "reg": "no", "x": None, "empty": {}, "list": [], "n": "017"},
        {"text": "two\nlines\n", "odd": "# it's [a] {b}, & *c: |\t%", "quote": 'a "b" \\'},
        {"opts": {"ap_devices": [{"mac": "001565000001", "blf": ["1", {"a": [["x"]]}]}]}},
        {"key with: colon": "v", "'k'": "w", "#": "x", "Имя": "Ёж 😀", "blank ": " x "},
        {},
    ],
)
def test_every_canonical_text_is_known_as_such(document: dict[str, object]) -> None:
    text = canonical_text(FILE, document, Reason.ACCOUNT_INVALID)
    assert original_of(KEY, FILE, text, document) is None
