"""Keys, lines, types and limits of models: what models take over from others, and what is wrong with them."""

from __future__ import annotations

import pytest

from era_ap.errors import Reason
from era_ap.provisioning.layout import Layout
from era_ap.provisioning.models import Models
from era_ap.provisioning.models_file import combine, parse, read_models
from era_ap.provisioning.spots import Area

TEXT = """
generic: {A: A1}
base:
  accounts: {count: 6, fields: {user: [35, 404], block: "P{user}"}}
  keys:
    memory: 0
    line: {count: 10, fields: {key: "linekey.{position}"}}
    module: {count: 20, modules: 2, pages: 2, reserved: [1], fill: gaps, types: {park: null}}
  types: {none: 0, blf: {code: 1, value: "{number}@{line}"}, Speed-Dial: 2, park: 3}
  dialect: {label_length: 10, forbidden: '"'}
  constants: {transport.udp: 0, word: a}
A1: {like: base, accounts: 2, keys: {line: 4}}
A2:
  like: A1
  keys: {memory: 8, module: null, line: {fill: true, accounts: false, fields: {line: "{line0}"}}}
  types: {blf: 16, park: null}
  dialect: {escape: {'"': "'"}}
  constants: {word: b}
plain: {vendor: X}
"""


def models(text: str = TEXT) -> Models:
    found, problems = parse(text)
    assert problems == ()
    return found


def layout(model: str, text: str = TEXT) -> Layout:
    found = models(text).layout(model)
    assert found is not None
    return found


def area(model: str, name: str) -> Area:
    return next(each for each in layout(model).areas or () if each.name == name)


def test_a_model_has_what_it_takes_over() -> None:
    assert [(each.name, each.first, each.size) for each in layout("A1").areas or ()] == [
        ("line", 1, 4),
        ("module", 5, 80),
    ]
    module = area("A1", "module")
    assert (module.count, module.pages, module.modules, module.unit) == (20, 2, 2, 40)
    assert (module.reserved, module.fill, module.accounts) == (frozenset({1}), "gaps", False)
    assert area("A1", "line").accounts
    assert layout("A1").lines == 2
    assert set(layout("A1").line_fields) == {"user", "block"}
    assert set(area("A1", "line").types) == {"none", "blf", "speeddial", "park"}
    assert set(module.types) == {"none", "blf", "speeddial"}


def test_its_own_words_go_before_them_one_by_one() -> None:
    found = layout("A2")
    assert [each.name for each in found.areas or ()] == ["memory", "line"]
    line = area("A2", "line")
    assert (line.count, line.fill, line.accounts) == (4, "all", False)
    assert set(line.fields) == {"key", "line"}
    assert line.types["blf"]["code"].pattern == ("16",)
    assert set(line.types["blf"]) == {"code", "value"}
    assert "park" not in line.types
    assert found.constants == {"transport.udp": "0", "word": "b"}
    assert found.dialect is not None
    assert (found.dialect.label_length, found.dialect.forbidden) == (10, frozenset())


def test_a_model_without_data_has_no_layout_and_one_without_keys_none_to_give() -> None:
    assert models().layout("plain") is None
    assert models().layout("nobody") is None
    assert layout("X", "X: {accounts: 2}").areas is None
    assert layout("X", "X: {keys: {line: 0}}").areas == ()


def test_a_model_listed_nowhere_has_the_keys_of_the_one_that_stands_in_for_it() -> None:
    assert models().layout("A77") is models().layout("A1") or models().layout("A77") == models().layout("A1")
    found = models()
    assert found.layout("A77") is found.layout("a78") is found.layout("A1")


def test_a_range_of_firmware_brings_the_keys_of_its_template() -> None:
    text = """
new: {keys: {line: {count: 20, fields: {key: new}}}, types: {blf: 16}}
old: {keys: {line: {count: 5, fields: {key: old}}}, types: {blf: 1}}
T: {like: new, keys: {line: 7}, firmware: [{versions: "<5", template: old}, {versions: ">=5", template: T}]}
"""
    found = models(text)
    for firmware, key, code in (("4.9", "old", "1"), ("5.0", "new", "16"), (None, "new", "16")):
        (line,) = (found.layout("T", firmware) or layout("T", text)).areas or ()
        assert (line.count, line.fields["key"].pattern, line.types["blf"]["code"].pattern) == (
            7,
            (key,),
            (code,),
        )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("X: {keys: 5}", "keys: is a mapping of areas"),
        ("X: {keys: {accounts: 5}}", "keys.accounts: stands beside 'keys'"),
        ("X: {keys: {Line Keys: 5}}", "is no name of an area"),
        ("X: {keys: {line: many}}", "keys.line.count: is a whole number"),
        ("X: {keys: {line: [1]}}", "keys.line: is a number of keys"),
        ("X: {keys: {line: {count: 4, modul: 2}}}", "keys.line.modul: unknown key"),
        ("X: {keys: {line: {count: 4, fill: maybe}}}", "keys.line.fill: is one of true, false, gaps"),
        ("X: {keys: {line: {count: 4, reserved: 1}}}", "keys.line.reserved: is a list of positions"),
        ("X: {keys: {line: {count: 4, fields: [a]}}}", "keys.line.fields: is a mapping of names"),
        ("X: {keys: {line: {count: 4, fields: {Key: a}}}}", "keys.line.fields.Key: is no name"),
        ("X: {keys: {line: {count: 4, fields: {key: '{nokey}'}}}}", "'{nokey}' is defined nowhere"),
        ("X: {types: [blf]}", "types: is a mapping of types to codes"),
        ("X: {types: {blf: [1]}}", "types.blf: is a mapping of names to rules"),
        ("X: {types: {blf: {value: '{numer}'}}}", "types.blf.value: '{numer}' is defined nowhere"),
        ("X: {accounts: few}", "accounts.count: is a whole number"),
        ("X: {accounts: {count: 2, lines: 3}}", "accounts: is the number of lines"),
        ("X: {accounts: {count: 2, fields: {a: '{position}'}}}", "accounts.fields.a: '{position}'"),
        ("X: {dialect: 5}", "dialect: is a mapping"),
        ("X: {dialect: {labels: 5}}", "dialect.labels: unknown key; there are escape, forbidden"),
        ("X: {dialect: {encoding: klingon}}", "dialect.encoding: 'klingon' is not known"),
        ("X: {dialect: {escape: {ab: c}}}", "dialect.escape: maps single characters"),
        ("X: {dialect: {label_length: long}}", "dialect.label_length: is a number"),
        ("X: {constants: [a]}", "constants: is a mapping"),
        ("X: {constants: {a: {b: c}}}", "constants.a: is a text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, part: str) -> None:
    _, problems = parse(text)
    assert [problem.reason for problem in problems] == [Reason.MODELS_INVALID]
    assert problems[0].where == "templates/models.yml:1"
    assert part in problems[0].detail


def test_what_is_wrong_is_said_of_the_model_that_says_it_only() -> None:
    _, problems = parse("A: {types: {blf: '{nix}'}}\nB: {like: A}\nC: {like: B}")
    assert [problem.where for problem in problems] == ["templates/models.yml:1"]


# --- several files


def test_the_file_at_the_top_goes_before_those_of_the_folders() -> None:
    top, _ = read_models("T1: {like: acme/T1, keys: {line: 9}}\ngeneric: {T: T1}")
    acme, _ = read_models("T1: {keys: {line: 4}}\nT2: {like: T1}\ngeneric: {T: T2, U: T2}", "a", "acme")
    found, problems = combine([top, acme])
    assert problems == ()
    assert found.bases("T1") == ("T1", "acme/T1")
    assert found.bases("T2") == ("T2", "acme/T2", "T1", "acme/T1")
    assert found.bases("acme/T1") == ("acme/T1", "T1")
    assert [(each.areas or ())[0].count for each in map(found.layout, ("T1", "T2", "acme/T1")) if each] == [
        9,
        9,
        4,
    ]
    assert (found.generic("T77"), found.generic("U1")) == ("T1", "T2")


def test_two_folders_may_not_both_have_a_model() -> None:
    files = [read_models("T1: {keys: {line: 4}}", f"templates/{name}/models.yml", name)[0] for name in "ab"]
    found, problems = combine(files)
    assert found.bases("T1") == ("T1", "a/T1")
    assert [problem.where for problem in problems] == ["templates/b/models.yml:1"]
    assert "already stands in templates/a/models.yml" in problems[0].detail


def test_a_folders_loose_like_is_looked_for_in_the_folder() -> None:
    file, _ = read_models("T1: {like: base}", "a", "acme")
    assert combine([file])[0].bases("T1") == ("T1", "acme/T1", "base", "acme/base")
