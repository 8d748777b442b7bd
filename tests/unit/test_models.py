"""Models: whose templates are tried, for which firmware, and what is wrong with models.yml."""

from __future__ import annotations

import pytest

from era_ap.errors import Reason, Refused
from era_ap.provisioning.models import Models, read_version
from era_ap.provisioning.models_file import parse as read_models

TEXT = """
generic: {T4: T46S, T: T28P, GXP: GXP2170}
T46S:
  vendor: yealink
  facts: {keys: 27, screen: colour}
T46U:
  like: T46S
  aliases: [SIP-T46U, "Yealink T46U"]
  facts: {keys: 10}
T48U: {like: T46U}
VVX400:
  vendor: polycom
  firmware:
    - {versions: ">=5.4,<6", template: VVX400-5}
    - {versions: "6.*", template: VVX400-6}
VVX401: {like: VVX400}
6867: {like: 017}
"""


def parse(text: str) -> Models:
    models, problems = read_models(text)
    assert problems == ()
    return models


def problems_of(text: str) -> list[str]:
    _, problems = read_models(text)
    assert all(problem.reason is Reason.MODELS_INVALID for problem in problems)
    return [f"{problem.where} {problem.detail}" for problem in problems]


@pytest.mark.parametrize(
    ("model", "bases"),
    [
        ("T46S", ("T46S",)),
        ("t46s", ("t46s",)),
        ("T46U", ("T46U", "T46S")),
        ("T48U", ("T48U", "T46U", "T46S")),
        ("sip-t46u", ("sip-t46u", "T46U", "T46S")),
        ("Yealink T46U", ("Yealink T46U", "T46U", "T46S")),
        ("6867", ("6867", "017")),
        ("T49G", ("T49G", "T46S")),
        ("T23P", ("T23P", "T28P")),
        ("gxp2135", ("gxp2135", "GXP2170")),
        ("Nokia", ("Nokia",)),
        ("SIP T46U", ("SIP T46U",)),
    ],
)
def test_the_own_template_comes_first_then_those_it_is_like(model, bases):
    assert parse(TEXT).bases(model) == bases


def test_a_model_listed_nowhere_is_known_as_such():
    models = parse(TEXT)
    assert models.generic("T49G") == "T46S"
    assert models.generic("T46S") is None
    assert "T49G" not in models
    assert "sip-T46U" in models


def test_facts_are_taken_over_and_overruled():
    facts = parse(TEXT).facts("T48U")
    assert facts == {"keys": "10", "screen": "colour", "vendor": "yealink"}
    assert parse(TEXT).facts("Nokia") == {}


@pytest.mark.parametrize(
    ("firmware", "first"),
    [
        ("5.4", "VVX400-5"),
        ("5.4.0.10182", "VVX400-5"),
        ("5.10.1", "VVX400-5"),
        ("v5.9", "VVX400-5"),
        ("6.4.1.2", "VVX400-6"),
        (None, "VVX400"),
        ("unknown", "VVX400"),
        ("9" * 5000, "VVX400"),
    ],
)
def test_a_known_firmware_version_chooses_the_template(firmware, first):
    assert parse(TEXT).bases("VVX400", firmware)[0] == first


@pytest.mark.parametrize("firmware", ["5.3.9", "4.1.4.7430", "7.0"])
def test_a_version_in_no_range_of_the_model_is_refused(firmware):
    with pytest.raises(Refused) as caught:
        parse(TEXT).bases("VVX400", firmware)
    assert caught.value.reason is Reason.FIRMWARE_UNSUPPORTED
    assert firmware in caught.value.detail


def test_ranges_taken_over_from_another_model_exclude_nothing():
    models = parse(TEXT)
    assert models.bases("VVX401", "5.5") == ("VVX400-5", "VVX401", "VVX400")
    assert models.bases("VVX401", "7.0") == ("VVX401", "VVX400")


@pytest.mark.parametrize(
    ("versions", "inside", "outside"),
    [
        (
            ">=66.80,<66.90",
            ["66.80", "66.80.0.5", "66.84.0.15", "66.89.255"],
            ["66.79", "66.90", "66.100", "108.86"],
        ),
        (">2.9", ["2.10", "2.9.1", "3"], ["2.9", "2.9.0", "1.99"]),
        ("<=2.9", ["2.9.0.0", "2.8"], ["2.9.1"]),
        ("66.84.*", ["66.84", "66.84.1"], ["66.8", "66.840"]),
        ("!=66.84.*,>66", ["66.85"], ["66.84.2", "66"]),
        ("!=1.2", ["1.3"], ["1.2", "1.2.0"]),
        ("= 1.0.4.138", ["1.0.4.138", "v1.0.4.138"], ["1.0.4.139"]),
        (">=2.11.0+build.a", ["2.11.0+build.b", "2.11.1"], ["2.11.0"]),
        (">=7.4.4", ["7.4.4a", "7.4.7"], ["7.4.3"]),
    ],
)
def test_versions_compare_number_by_number(versions, inside, outside):
    models = parse(f'X: {{firmware: [{{versions: "{versions}", template: Y}}]}}')
    for version in inside:
        assert models.bases("X", version)[0] == "Y", version
    for version in outside:
        with pytest.raises(Refused):
            models.bases("X", version)


def test_a_version_needs_a_digit_in_front():
    assert read_version("V05.20.0001") == ((5, ""), (20, ""), (1, ""))
    assert read_version("latest") is None
    assert read_version("²") is None


def test_a_circle_is_found_when_reading_and_refused_when_asked():
    models, problems = read_models("A: {like: B}\nB: {like: c}\nC: {like: A}\nD: {like: D}\nE: {}")
    assert {problem.where for problem in problems} == {f"templates/models.yml:{n}" for n in (1, 2, 3, 4)}
    assert all(problem.reason is Reason.MODEL_CYCLE for problem in problems)
    with pytest.raises(Refused) as caught:
        models.bases("B")
    assert caught.value.reason is Reason.MODEL_CYCLE
    assert caught.value.detail == "B is like C is like A is like B"
    assert models.bases("E") == ("E",)


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("T46U: {lke: T46S}", 1, "did you mean 'like'"),
        ("T46U: {colour: red}", 1, "under 'facts'"),
        ("\nT46U: [T46S]", 2, "is a mapping"),
        ("- T46U", 1, "mapping of models"),
        ("T46U: {like: [a]}", 1, "like: is a name"),
        ("T46U: {aliases: {a: b}}", 1, "list of names"),
        ("T46U: {firmware: {a: b}}", 1, "list of {versions, template}"),
        ("T46U:\n  firmware:\n    - {versions: '>1'}", 3, "both"),
        ("T46U: {firmware: [{versions: '>=x', template: y}]}", 1, "'>=x' is not a condition"),
        ("T46U: {firmware: [{versions: '>1.*', template: y}]}", 1, "'>1.*' is not a condition"),
        ("T46U: {facts: 5}", 1, "facts: is a mapping"),
        ("generic: [a]", 1, "beginnings of model names"),
        ("T46U: {}\nt46u: {}", 2, "letter case"),
        ("T46U: {}\nX: {aliases: [T46u]}", 2, "already stands for T46U"),
        ("T46U: {}\nT46U: {}", 2, "twice"),
        ("T46U: {like: 'x}", 1, "not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, line, part):
    found = problems_of(text)
    assert len(found) == 1
    assert found[0].startswith(f"templates/models.yml:{line} ")
    assert part in found[0]


def test_one_bad_entry_does_not_take_the_others_away():
    models, problems = read_models("T46U: {like: T46S}\nX: 5\n")
    assert len(problems) == 1
    assert models.bases("T46U") == ("T46U", "T46S")


def test_an_empty_file_is_no_problem():
    assert list(parse("# nothing yet\n")) == []
