"""Keys on which the lines of a phone are: left to the phone, or written where models.yml says so."""

from __future__ import annotations

import pytest
from filling import account, constants, fill, lines, rendering

from era_ap.errors import Reason
from era_ap.provisioning.layout import Layout
from era_ap.provisioning.models_file import parse

FILES = {"model.blf": "[blf.position]=[blf.type]/[blf.code]/[blf.line]/[blf.label]/[blf.index];"}


def layout(area: str, types: str = "none: 0, blf: 1, line: 'SIP{line}'", further: str = "") -> Layout:
    models, problems = parse(f"m: {{keys: {{line: {{count: 4, {area}}}}}, types: {{{types}}}{further}}}")
    assert problems == ()
    found = models.layout("m")
    assert found is not None
    return found


def keys(shape: Layout, blf: list[object] | None = None, count: int = 2) -> str:
    phone = lines(account("101", blf=blf), *(account(str(100 + n), line=str(n)) for n in range(2, count + 1)))
    return fill("[blf]", FILES, lines=phone, layout=shape, constants=constants(site={"pickup.prefix": "*8"}))


def test_without_a_word_they_are_left_to_the_phone() -> None:
    assert keys(layout("accounts: true"), ["201"]) == "3=blf/1/1/201/1;"


def test_written_they_are_keys_of_type_line_before_the_others() -> None:
    assert keys(layout("accounts: written"), ["201"]) == (
        "1=line/SIP1/1/101/;2=line/SIP2/2/102/;3=blf/1/1/201/1;"
    )


def test_they_are_written_without_any_entry_and_with_the_empty_ones() -> None:
    assert keys(layout("accounts: written")) == "1=line/SIP1/1/101/;2=line/SIP2/2/102/;"
    assert keys(layout("accounts: written, fill: true"), count=1) == (
        "1=line/SIP1/1/101/;2=none/0/1//;3=none/0/1//;4=none/0/1//;"
    )


def test_a_line_past_the_last_key_has_none() -> None:
    assert keys(layout("accounts: written"), count=5).count("=line/") == 4


def test_an_entry_cannot_have_the_key_of_a_line() -> None:
    phone = lines(account("101", blf=[{"number": "201", "position": "1"}]))
    result = rendering("[blf]", FILES, lines=phone, layout=layout("accounts: written"))
    assert result.data == b"1=line/SIP1/1/101/;"
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_PLACE]


def test_a_model_without_the_type_writes_none() -> None:
    assert keys(layout("accounts: written", types="blf: 1"), ["201"]) == "3=blf/1/1/201/1;"


def test_their_labels_keep_to_the_dialect() -> None:
    shape = layout("accounts: written", further=", dialect: {label_length: 2}")
    assert keys(shape, count=1) == "1=line/SIP1/1/10/;"


def test_another_word_is_a_finding() -> None:
    _, problems = parse("m: {keys: {line: {count: 4, accounts: writen}}}")
    assert [problem.reason for problem in problems] == [Reason.MODELS_INVALID]
    assert "is one of true, false, written" in problems[0].detail


@pytest.mark.parametrize("word", ["true", "false", "written"])
def test_a_derived_model_takes_it_over(word: str) -> None:
    base = f"a: {{keys: {{line: {{count: 2, accounts: {word}}}}}, types: {{line: 1}}}}\n"
    models, problems = parse(base + "b: {like: a, keys: {line: 3}}")
    assert problems == ()
    found = models.layout("b")
    assert found is not None
    assert found.areas is not None
    assert (found.areas[0].accounts, found.areas[0].writes_lines) == (word != "false", word == "written")
