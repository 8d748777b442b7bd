"""Typed keys: where each entry goes, what is left out and why, what a key's template is told."""

from __future__ import annotations

import pytest
from filling import account, constants, lines, rendering
from hypothesis import given, settings
from hypothesis import strategies as st

from era_ap.errors import Problem, Reason, Refused
from era_ap.provisioning.layout import Layout
from era_ap.provisioning.models_file import parse
from era_ap.provisioning.render import Rendering

MODEL = """
phone:
  accounts: 3
  keys:
    line: {count: 4, fields: {key: "line.{position}"}}
    multi: {count: 2, pages: 2, fields: {key: "multi.{page}.{position}"}}
    module: {count: 3, modules: 2, fields: {key: "module.{module}.{position}"}, types: {url: null}}
  types: {none: 0, blf: 16, speeddial: 13, line: 15, dnd: 5, url: {code: 17, value: "get:{value}"}}
"""
TEMPLATE = "[blf.key]=[blf.type]:[blf.value]\n"


def layout(text: str = MODEL, **changes: str) -> Layout:
    models, problems = parse(text)
    assert problems == ()
    found = models.layout("phone")
    assert found is not None
    return found


def placed(
    blf: object, *, accounts: int = 1, text: str = MODEL, template: str = TEMPLATE, prefix: str = "**"
) -> Rendering:
    first = account(blf=blf)
    rest = [account(str(101 + number)) for number in range(1, accounts)]
    return rendering(
        "[blf]\n",
        {"model.blf": template},
        lines=lines(first, *rest),
        layout=layout(text),
        constants=constants(site={"pickup.prefix": prefix}),
    )


def keys(blf: object, **how: object) -> list[str]:
    result = placed(blf, **how)  # type: ignore[arg-type]
    assert result.warnings == ()
    return result.data.decode().splitlines()


def warned(blf: object, **how: object) -> tuple[list[str], list[Problem]]:
    result = placed(blf, **how)  # type: ignore[arg-type]
    return result.data.decode().splitlines(), list(result.warnings)


@pytest.mark.parametrize(
    ("entry", "label"),
    [
        ({"type": "none"}, ""),
        ({"type": "dnd"}, "dnd"),
        ({"type": "line"}, "101"),
        ({"type": "none", "label": "free"}, "free"),
        ({"number": "7"}, "7"),
    ],
)
def test_a_key_without_a_label_is_called_by_what_it_is(entry: dict[str, str], label: str) -> None:
    assert keys([entry], template="[blf.label]\n") == [label]


# --- where entries go


def test_entries_take_the_free_keys_in_order_after_the_lines() -> None:
    entries = [str(number) for number in range(1, 13)]
    assert keys(entries, accounts=2) == [
        "line.3=blf:1",
        "line.4=blf:2",
        "multi.1.1=blf:3",
        "multi.1.2=blf:4",
        "multi.2.1=blf:5",
        "multi.2.2=blf:6",
        "module.1.1=blf:7",
        "module.1.2=blf:8",
        "module.1.3=blf:9",
        "module.2.1=blf:10",
        "module.2.2=blf:11",
        "module.2.3=blf:12",
    ]


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ({"position": "4"}, "line.4"),
        ({"position": "5"}, "multi.1.1"),
        ({"position": "8"}, "multi.2.2"),
        ({"position": "9"}, "module.1.1"),
        ({"position": "14"}, "module.2.3"),
        ({"module": "2", "position": "3"}, "module.2.3"),
        ({"module": "2"}, "module.2.1"),
        ({"module": "0"}, "line.2"),
        ({"module": "0", "position": "6"}, "multi.1.2"),
        ({"page": "2"}, "multi.2.1"),
        ({"page": "2", "position": "2"}, "multi.2.2"),
        ({"area": "multi"}, "multi.1.1"),
        ({"area": "multi", "position": "3"}, "multi.2.1"),
        ({"area": "line", "position": "2"}, "line.2"),
        ({"area": "module", "position": "5"}, "module.2.2"),
        ({"position": 4}, "line.4"),
        ({}, "line.2"),
    ],
)
def test_an_entry_may_say_where_it_is(where: dict[str, object], key: str) -> None:
    assert keys([{"number": "1", **where}]) == [f"{key}=blf:1"]


def test_those_that_say_where_they_are_come_first_and_the_order_is_that_of_the_phone() -> None:
    blf = ["1", {"number": "2", "position": "2"}, "3", {"number": "4", "module": "1"}, "5"]
    assert keys(blf) == [
        "line.2=blf:2",
        "line.3=blf:1",
        "line.4=blf:3",
        "multi.1.1=blf:5",
        "module.1.1=blf:4",
    ]


def test_lines_with_gaps_leave_the_keys_between_free() -> None:
    found = lines(account(blf=["1", "2"]), account("102"))
    found = (found[0], type(found[1])(found[1].account, found[1].device, 3))
    result = rendering("[blf]", {"model.blf": "[blf.key] "}, lines=found, layout=layout())
    assert result.data == b"line.2 line.4 "


def test_a_type_that_an_area_lacks_skips_it() -> None:
    blf = [{"type": "url", "value": str(number)} for number in range(7)] + ["9"]
    assert keys(blf)[-1] == "module.1.1=blf:9"
    lines_, problems = warned([*blf, {"type": "url", "value": "x"}])
    assert lines_[-1] == "module.1.1=blf:9"
    assert [problem.reason for problem in problems] == [Reason.KEY_OVERFLOW]


def test_reserved_keys_are_never_used() -> None:
    text = MODEL.replace("modules: 2,", "modules: 2, reserved: [1, 3],")
    assert keys([{"number": "1", "module": "1"}, {"number": "2", "area": "module"}], text=text) == [
        "module.1.2=blf:1",
        "module.2.2=blf:2",
    ]


# --- what is left out


@pytest.mark.parametrize(
    ("entry", "reason", "part"),
    [
        ({"position": "1"}, Reason.KEY_PLACE, "taken by line 1 of the phone"),
        ({"position": "15"}, Reason.KEY_PLACE, "there is no key at position 15"),
        ({"position": "0"}, Reason.KEY_PLACE, "counted from 1"),
        ({"position": "first"}, Reason.KEY_PLACE, "position is 'first'"),
        ({"module": "3"}, Reason.KEY_OVERFLOW, "no key is free at module 3"),
        ({"module": "3", "position": "1"}, Reason.KEY_PLACE, "there is no key at module 3, position 1"),
        ({"module": "1", "position": "4"}, Reason.KEY_PLACE, "there is no key at module 1, position 4"),
        ({"page": "3"}, Reason.KEY_OVERFLOW, "no key is free at page 3"),
        ({"area": "top"}, Reason.KEY_PLACE, "there is no area 'top'; there are line, multi, module"),
        ({"line": "4"}, Reason.KEY_PLACE, "the phone has no line '4'"),
        ({"type": "bfl"}, Reason.KEY_TYPE, "did you mean 'blf'?"),
        ({"type": "teleport"}, Reason.KEY_TYPE, "it knows blf, dnd, line, none, speeddial, url"),
        ({"type": "url", "module": "1", "position": "1"}, Reason.KEY_TYPE, "area module cannot be 'url'"),
    ],
)
def test_what_cannot_be_is_left_out_with_a_warning(entry: dict[str, str], reason: Reason, part: str) -> None:
    found, problems = warned([{"number": "1", **entry}, "2"])
    assert [line.partition("=")[2] for line in found if line] == ["blf:2"]
    assert [problem.reason for problem in problems] == [reason]
    assert part in problems[0].detail
    assert "BLF entry 1 of account 101@a.example.com" in problems[0].detail
    assert problems[0].where == "test"


def test_an_unknown_type_leaves_its_key_empty() -> None:
    found, _ = warned(["1", {"type": "teleport"}, "3"])
    assert found == ["line.2=blf:1", "line.4=blf:3"]


def test_of_two_on_one_key_the_first_has_it() -> None:
    found, problems = warned([{"number": "1", "position": "2"}, {"number": "2", "position": "2"}])
    assert found == ["line.2=blf:1"]
    assert "taken by entry 1" in problems[0].detail


def test_a_phone_full_of_keys_leaves_out_the_last() -> None:
    found, problems = warned([str(number) for number in range(1, 16)])
    assert len(found) == 13
    assert [problem.detail.rpartition(": ")[2] for problem in problems] == ["no key is free"] * 2


def test_a_model_without_keys_leaves_out_all_of_them() -> None:
    found, problems = warned(["1"], text="phone: {keys: {line: 0}}")
    assert found == []
    assert [problem.reason for problem in problems] == [Reason.KEY_OVERFLOW]


def test_where_no_types_are_known_all_are_taken() -> None:
    text = "phone: {keys: {line: {count: 3, fields: {key: 'k{position}'}}}}"
    assert keys([{"type": "any thing", "number": "1"}], text=text) == ["k2=anything:1"]


# --- keys without an entry


def test_unused_keys_are_emptied_where_the_vendor_needs_it() -> None:
    text = MODEL.replace("{count: 4,", "{count: 4, fill: true,").replace("pages: 2,", "pages: 2, fill: gaps,")
    assert keys([{"number": "1", "position": "3"}, {"number": "2", "page": "2"}], text=text) == [
        "line.2=none:",
        "line.3=blf:1",
        "line.4=none:",
        "multi.1.1=none:",
        "multi.1.2=none:",
        "multi.2.1=blf:2",
    ]
    assert keys([], text=text) == ["line.2=none:", "line.3=none:", "line.4=none:"]


def test_an_empty_key_has_all_fields() -> None:
    text = MODEL.replace("{count: 4,", "{count: 2, fill: true,")
    names = (
        "type",
        "code",
        "number",
        "value",
        "label",
        "pickup",
        "login",
        "index",
        "index0",
        "line",
        "line0",
    )
    template = "|".join(f"[blf.{name}]" for name in names)
    assert keys([], text=text, template=template) == ["none|0||||||||1|0"]


# --- what a template is told


@pytest.mark.parametrize(
    ("entry", "fields", "text"),
    [
        (
            {"number": "1", "position": "7"},
            "area position position0 slot slot0 place place0",
            "multi 1 0 3 2 7 6",
        ),
        ({"number": "1", "position": "7"}, "page page0 module module0", "2 1 0 0"),
        (
            {"number": "1", "position": "13"},
            "area position slot place page module module0",
            "module 2 5 13 1 2 1",
        ),
        ({"number": "1"}, "type code number value label pickup index index0", "blf 16 1 1 1 ** 1 0"),
        ({"value": "v"}, "number value label", "v v v"),
        ({"number": "1", "value": "v"}, "number value label", "1 v 1"),
        ({"number": "1", "label": "L", "pickup": "*8"}, "label pickup", "L *8"),
        ({"type": "Speed-Dial", "number": "1"}, "type code pickup", "speeddial 13 "),
        ({"type": "dnd"}, "code number label", "5  dnd"),
        ({"type": "line", "line": "2"}, "line line0 login label", "2 1 102 102"),
        ({"type": "url", "value": "x"}, "number value", "x get:x"),
        ({"number": "1", "extra": {"a": "b"}}, "extra.a", "b"),
        ({"number": "1", "room": "7"}, "room", "7"),
    ],
)
def test_fields_of_a_key(entry: dict[str, object], fields: str, text: str) -> None:
    template = " ".join(f"[blf.{name}]" for name in fields.split())
    assert keys([entry], accounts=2, template=template) == [text]


def test_a_prefix_that_is_no_plain_text_is_none() -> None:
    assert keys(["1"], template="<[blf.pickup]>", prefix="[constants.x]") == ["<>"]


def test_fields_are_data_wherever_they_come_from() -> None:
    text = MODEL.replace("16", '"{number}-{label}"')
    blf = [{"number": "[include.secret]", "label": "{value}<[random.5]>"}]
    assert keys(blf, text=text, template="[blf.code]") == ["[include.secret]-{value}<[random.5]>"]


# --- limits of the dialect


def test_labels_are_cut_and_blanked() -> None:
    text = f"{MODEL}  dialect: {{label_length: 6, forbidden: 'x', separators: '|', escape: {{'\"': '~~'}}}}\n"
    blf = [{"number": "1", "label": 'a|b"x cde'}, {"number": "1", "label": "12345 789"}]
    assert keys(blf, text=text, template="<[blf.label]>") == ["<a b~~>", "<12345>"]


@pytest.mark.parametrize("field", ["number", "value", "pickup"])
def test_what_a_key_cannot_carry_leaves_it_empty(field: str) -> None:
    text = f"{MODEL}  dialect: {{separators: ';', encoding: latin-1}}\n"
    for bad in ("a;b", "жук"):
        found, problems = warned([{"number": "1", field: bad}, "2"], text=text)
        assert found == ["line.3=blf:2"]
        assert [problem.reason for problem in problems] == [Reason.KEY_VALUE]
        assert f"its {field} has" in problems[0].detail
    result = placed([{"number": "1", field: "é"}], text=text, template=f"[blf.{field}]")
    assert result.data == "é\n".encode("latin-1")


def test_further_fields_of_a_key_keep_to_the_dialect_as_any_data() -> None:
    text = f"{MODEL}  dialect: {{forbidden: '\"'}}\n"
    with pytest.raises(Refused) as refused:
        placed([{"number": "1", "room": 'a"b'}], text=text, template="[blf.room]")
    assert refused.value.reason is Reason.VALUE_FORBIDDEN


# --- whatever is asked for

position = st.one_of(st.none(), st.integers(-1, 16).map(str))
wish = st.fixed_dictionaries(
    {"number": st.text("0123456789", min_size=1, max_size=4)},
    optional={
        "type": st.sampled_from(["blf", "url", "line", "none", "nix", ""]),
        "area": st.sampled_from(["line", "multi", "module", "nix", ""]),
        "position": position,
        "page": st.sampled_from(["", "1", "2", "3"]),
        "module": st.sampled_from(["", "0", "1", "2", "3"]),
        "line": st.sampled_from(["", "1", "2", "3"]),
    },
)


@given(st.lists(wish, max_size=18), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_no_key_is_written_twice_and_none_is_lost_in_silence(
    entries: list[dict[str, str]], accounts: int
) -> None:
    result = placed(entries, accounts=accounts, template="[blf.key] [blf.index]\n")
    found = [line.split() for line in result.data.decode().splitlines() if line]
    places = [key for key, _ in found]
    assert len(set(places)) == len(places)
    taken = {f"line.{number}" for number in range(1, min(accounts, 3) + 1)}
    assert taken.isdisjoint(places)
    numbers = {int(index) for _, index in found}
    left_out = {
        int(problem.detail.split()[2])
        for problem in result.warnings
        if problem.detail.startswith("BLF entry")
    }
    assert numbers | left_out == set(range(1, len(entries) + 1))
    assert numbers.isdisjoint(left_out)
