"""MAC, domain and login notation; scalars as text."""

from __future__ import annotations

import datetime

import pytest

from era_ap.directory.notation import parse_domain, parse_login, parse_mac, text_tree


@pytest.mark.parametrize(
    "text",
    [
        "001565aabbcc",
        "001565AABBCC",
        "00:15:65:AA:BB:CC",
        "00-15-65-aa-bb-cc",
        "00.15.65.aa.bb.cc",
        "0015.65aa.bbcc",
        "001565-aabbcc",
        "00 15 65 aa bb cc",
        " 00:15:65:aa:bb:cc\t",
        "00\u201315\u201365\u2013aa\u2013bb\u2013cc",
        "00_15_65_aa_bb_cc",
    ],
)
def test_every_spelling_of_a_mac_is_one_mac(text: str) -> None:
    assert parse_mac(text) == "001565aabbcc"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "001565aabbc",
        "001565aabbccd",
        "001565aabbcg",
        "0:15:65:a:b:c",
        "00:15:65:aa:bb:cc (desk)",
        "٠٠١٥٦٥٠٠٠٠٠٠",
    ],
)
def test_what_is_not_a_mac(text: str) -> None:
    assert parse_mac(text) is None


def test_zeroes_are_notation_of_a_mac() -> None:
    assert parse_mac("00:00:00:00:00:00") == "000000000000"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.com", "example.com"),
        ("B.a.Example.COM", "b.a.example.com"),
        ("local", "local"),
        ("_sip.example.com", "_sip.example.com"),
        ("1.example", "1.example"),
        ("", None),
        (".", None),
        ("..", None),
        ("a..b", None),
        ("example.com.", None),
        ("-a.example", None),
        ("a-.example", None),
        ("a b", None),
        ("a/b", None),
        ("пример.рф", None),
        ("a" * 64, None),
        (".".join(["a" * 60] * 5), None),
        ("example.com\n", None),
    ],
)
def test_domain_names(text: str, name: str | None) -> None:
    assert parse_domain(text) == name


@pytest.mark.parametrize("text", ["1001", "john.doe", "Иванов", "a b", "+79991234567", "x" * 128])
def test_logins(text: str) -> None:
    assert parse_login(text) == text


@pytest.mark.parametrize("text", ["", " 1", "1 ", "a\nb", "a\x00", "\udcff", "x" * 129])
def test_what_is_not_a_login(text: str) -> None:
    assert parse_login(text) is None


def test_typed_scalars_become_their_text() -> None:
    typed = {
        "a": True,
        "b": False,
        "c": 17,
        "d": 1.5,
        "e": None,
        "f": ["x", 2],
        "g": datetime.date(2024, 1, 2),
        5: {},
    }
    assert text_tree(typed) == {
        "a": "true",
        "b": "false",
        "c": "17",
        "d": "1.5",
        "e": None,
        "f": ["x", "2"],
        "g": "2024-01-02",
        "5": {},
    }


def test_depth_is_limited() -> None:
    deep: object = "x"
    for _ in range(30):
        deep = [deep]
    assert text_tree(deep) == deep
    with pytest.raises(ValueError, match="30 levels"):
        text_tree([deep])
