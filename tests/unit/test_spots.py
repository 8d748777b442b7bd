"""What is known of a key before an entry is on it: computed once, and the same as computed each time."""

from __future__ import annotations

from era_ap.provisioning.layout import Layout, compile_layout, read_part


def layout_of(**sections: object) -> Layout:
    complaints: list[object] = []
    part = read_part(sections, lambda *told: complaints.append(told))
    assert not complaints
    layout = compile_layout(part)
    assert layout is not None
    return layout


KEYS = {"line": {"count": "3", "fields": {"key": "linekey.{position}", "tag": "{key}/{number}"}}}
TYPES = {"blf": {"code": "16"}, "speeddial": {"code": "13", "line": "0"}}


def test_rules_that_need_an_entry_wait_for_it() -> None:
    known = layout_of(keys=KEYS, types=TYPES).known(2, "blf")
    assert known.names["key"] == "linekey.2"
    assert "tag" not in known.names
    names = known.completed({"number": "101", "code": "", "line": "1"})
    assert names["tag"] == "linekey.2/101"
    assert names["code"] == "16"
    assert names["line"] == "1"


def test_a_rule_goes_before_what_the_entry_says() -> None:
    known = layout_of(keys=KEYS, types=TYPES).known(1, "speeddial")
    assert known.completed({"number": "101", "line": "7"})["line"] == "0"


def test_entries_of_one_place_do_not_see_each_other() -> None:
    layout = layout_of(keys=KEYS, types=TYPES)
    first = layout.known(3, "blf").completed({"number": "101", "label": "A"})
    second = layout.known(3, "blf").completed({"number": "102"})
    assert (first["tag"], second["tag"]) == ("linekey.3/101", "linekey.3/102")
    assert "label" not in second


def test_the_types_of_a_place_are_kept_apart() -> None:
    layout = layout_of(keys=KEYS, types=TYPES)
    assert layout.known(1, "blf").completed({})["code"] == "16"
    assert layout.known(1, "speeddial").completed({})["code"] == "13"
    assert "code" not in layout.known(1, "none").completed({})
