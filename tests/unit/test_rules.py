"""Computed fields: numbers, tables and patterns, and what is wrong with them."""

from __future__ import annotations

import pytest

from era_ap.config.document import read
from era_ap.provisioning.rules import Spot, read_rule


def value(text: str, position: int = 1, page: int = 1, module: int = 0, **names: str) -> str | None:
    complaints: list[str] = []
    rule = read_rule(read(text).value, complaints.append)
    assert rule is not None, complaints
    return rule.text(Spot(position, page, module), names)


@pytest.mark.parametrize(
    ("rule", "position", "text"),
    [
        ("{start: 41200}", 1, "41200"),
        ("{start: 41200}", 4, "41203"),
        ("{start: 301, step: 3}", 7, "319"),
        ("{start: 5, step: -1}", 3, "3"),
        ("{start: -2}", 1, "-2"),
        ("{start: 0, step: 0}", 9, "0"),
        ("[{start: 41200}, {from: 5, start: 20200, step: 5}]", 4, "41203"),
        ("[{start: 41200}, {from: 5, start: 20200, step: 5}]", 5, "20200"),
        ("[{start: 41200}, {from: 5, start: 20200, step: 5}]", 6, "20205"),
        ("[{from: 5, start: 20200, step: 5}, {start: 41200}]", 6, "20205"),
        ("[271, 401, 501]", 1, "271"),
        ("[271, 401, 501]", 3, "501"),
        ("[271, 401, 501]", 4, None),
        ("plain", 9, "plain"),
        ("''", 1, ""),
    ],
)
def test_a_rule_by_position(rule: str, position: int, text: str | None) -> None:
    assert value(rule, position) == text


def test_pages_and_modules_add_up() -> None:
    rule = "{start: 100, step: 2, page: 20, module: 500}"
    assert value(rule, 1) == "100"
    assert value(rule, 3, page=2) == "124"
    assert value(rule, 3, page=1, module=1) == "104"
    assert value(rule, 3, page=2, module=3) == "1124"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("'key.{n}'", "key.7"),
        ("'{n}{n}'", "77"),
        ("'{n:02}-{n:03}'", "07-007"),
        ("'{long:02}'", "1234"),
        ("'<{missing}>'", "<>"),
        ("'{number}@{n}/ba{pickup}{number}'", "{n}@7/ba**{n}"),
    ],
)
def test_a_pattern_is_filled_once(pattern: str, text: str) -> None:
    assert value(pattern, n="7", long="1234", number="{n}", pickup="**") == text


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("'{Position}'", "in lower case"),
        ("'{position'", "'{' or '}'"),
        ("'{position:2}'", "'{' or '}'"),
        ("'{0.__class__}'", "'{' or '}'"),
        ("{step: 2}", "'start' is required"),
        ("{start: 1, stepp: 2}", "from, start, step"),
        ("{start: one}", "start is a whole number"),
        ("{start: 1, from: 0}", "of at least 1"),
        ("{start: 99999999999}", "start is a whole number"),
        ("[{start: 1}, 5]", "a list of values"),
        ("[]", "is text such as"),
    ],
)
def test_what_is_wrong_is_said(rule: str, part: str) -> None:
    complaints: list[str] = []
    assert read_rule(read(rule).value, complaints.append) is None
    assert len(complaints) == 1
    assert part in complaints[0]
