"""era_ap.provisioning.blf: keys and lines that are repeated (spec 7, E10, b7)."""

from __future__ import annotations

import pytest
from filling import account, constants, fill, lines, rendering

from era_ap.errors import Reason, Refused

KEYS = [
    {"number": "201", "label": "Каб & 1", "ext": {"pick": "*8"}},
    "202",
    {"number": "203", "position": "7"},
]


def phone(blf: object = KEYS, **fields: object) -> dict[str, object]:
    return {"lines": lines(account(blf=blf, **fields))}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("[blf.index][blf.index0];", "10;21;32;"),
        ("[blf.number];", "201;202;203;"),
        ("[blf.label];", "Каб & 1;;;"),
        ("[blf.ext.pick];", "*8;;;"),
        ("[blf.position]/[blf.position0];", "2/1;3/2;7/6;"),
        ("[sipuser.login][constants.c][include.i][random.1];", "101ci0;" * 3),
        ("[constants.[blf.number]];", "found;;;"),
    ],
)
def test_fields_of_an_entry(entry: str, expected: str) -> None:
    files = {"model.blf": entry, "i": "i"}
    sources = constants(site={"c": "c", "201": "found"})
    assert fill("[blf]", files, constants=sources, **phone()) == expected


@pytest.mark.parametrize(
    ("root", "entry", "expected"),
    [
        ("a\n[blf]\nb\n", "k[blf.index]=[blf.number]\n", "a\nk1=1\nk2=2\nb\n"),
        ("a\n[blf]\nb\n", "k[blf.index]=[blf.number]", "a\nk1=1\nk2=2\nb\n"),
        ("a\n[blf]", "k[blf.index]\n", "a\nk1\nk2"),
        ("[blf]\n", "k[blf.index]\n", "k1\nk2\n"),
        ("a\r\n[blf]\r\nb", "k[blf.index]\r\n", "a\r\nk1\r\nk2\r\nb"),
        ("a\r\n[blf]\r\nb", "k[blf.index]", "a\r\nk1\r\nk2\r\nb"),
        ("a\n  [blf]  \nb", "k[blf.index]\n", "a\n  k1\nk2  \nb"),
        ("a\n[blf]\n[blf]\nb", "k[blf.index]\n", "a\nk1\nk2\nk1\nk2\nb"),
        ("a\n[blf]", "k[blf.index]", "a\nk1\nk2"),
        ("[blf]", "k[blf.index];", "k1;k2;"),
        ("keys=[blf];", "[blf.number],", "keys=1,2,;"),
        ("<k>[blf]</k>", "<f i='[blf.index0]'/>\n", "<k><f i='0'/>\n<f i='1'/></k>"),
        ("a\n[blf]\nb", "k[blf.index]\n\n", "a\nk1\n\nk2\n\nb"),
        ("a\n[include.i]\nb", "k[blf.index]\n", "a\nk1\nk2\nb"),
    ],
)
def test_bytes_around_a_list(root: str, entry: str, expected: str) -> None:
    assert fill(root, {"model.blf": entry, "i": "[blf]\n"}, **phone(["1", "2"])) == expected


@pytest.mark.parametrize("blf", [None, [], ""])
@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("a\n[blf]\nb\n", "a\nb\n"),
        ("a\n  [blf]\t\r\nb", "a\nb"),
        ("a[blf]b", "ab"),
        ("[blf]", ""),
        ("a\n[blf]", "a\n"),
    ],
)
def test_an_empty_list_gives_nothing_and_needs_no_template(blf: object, root: str, expected: str) -> None:
    assert fill(root, **phone(blf)) == expected


@pytest.mark.parametrize("blf", [{"number": "1"}, "201", 5, [None], [["1"]], [{"number": "1"}, [1]]])
def test_only_lists_of_numbers_and_objects(blf: object) -> None:
    with pytest.raises(Refused) as caught:
        fill("[blf]", {"model.blf": "x"}, **phone(blf))
    assert caught.value.reason is Reason.BLF_INVALID
    assert "101@a.example.com" in caught.value.detail


@pytest.mark.parametrize(
    ("names", "kind", "used"),
    [
        (("model.blf",), "boot", "model.blf"),
        (("model.blf", "model.blf.boot"), "boot", "model.blf.boot"),
        (("model.blf", "model.blf.boot"), "", "model.blf"),
        (("like.blf", "like.blf.boot"), "boot", "like.blf.boot"),
        (("model.blf", "like.blf.boot"), "boot", "model.blf"),
        (("MODEL.BLF",), "", "MODEL.BLF"),
    ],
)
def test_choice_of_the_template(names: tuple[str, ...], kind: str, used: str) -> None:
    found = rendering("[blf]", dict.fromkeys(names, ""), bases=("model", "like"), type=kind, **phone())
    assert found.files == ("root", used)


def test_a_missing_template_is_an_error() -> None:
    with pytest.raises(Refused) as caught:
        fill("[blf]", bases=("model", "like"), **phone())
    assert caught.value.reason is Reason.BLF_TEMPLATE_MISSING
    assert "model.blf, like.blf" in caught.value.detail


def test_keys_follow_the_lines_of_the_phone() -> None:
    found = lines(account(blf=["1", "2"]), account("102"), account("103"))
    assert fill("[blf]", {"model.blf": "[blf.position] "}, lines=found) == "4 5 "


def test_fields_of_an_entry_are_data() -> None:
    found = phone([{"label": "[include.secret]\n<x>"}])
    assert (
        fill("[blf]\n", {"model.blf": "l=[blf.label]\n", "secret": "S"}, **found)
        == "l=[include.secret] <x>\n"
    )
    assert fill("<r>\n[blf]\n</r>", {"model.blf": "<f>[blf.label]</f>\n"}, **found) == (
        "<r>\n<f>[include.secret]&#10;&lt;x&gt;</f>\n</r>"
    )


@pytest.mark.parametrize("text", ["[blf.number]", "[account.login]"])
def test_outside_its_template_an_entry_is_empty_and_a_warning(text: str) -> None:
    result = rendering(f"<{text}>[blf]<{text}>", {"model.blf": ""}, **phone())
    assert result.data == b"<><>"
    assert [each.reason for each in result.warnings] == [Reason.FIELD_MISSING]


def test_a_blf_template_that_contains_itself() -> None:
    with pytest.raises(Refused) as caught:
        fill("[blf]", {"model.blf": "[blf]"}, **phone())
    assert (caught.value.reason, caught.value.chain) == (
        Reason.INCLUDE_CYCLE,
        ("root", "model.blf", "model.blf"),
    )


# --- [accounts]


def test_lines_of_the_phone() -> None:
    found = lines(account("101", line="1"), account("205", display_name="Зал <2>"))
    entry = "[account.line]/[account.line0] [account.login] [account.display_name] [sipuser.login]\n"
    assert fill("a\n[accounts]\nb", {"model.account": entry}, lines=found) == (
        "a\n1/0 101  101\n2/1 205 Зал <2> 101\nb"
    )


def test_the_account_template_may_have_a_type_and_include() -> None:
    files = {"model.account.boot": "[include.i];", "model.account": "no", "i": "[account.login]"}
    assert fill("[accounts]", files, type="boot", lines=lines(account("1"), account("2"))) == "1;2;"


def test_a_missing_account_template_is_an_error() -> None:
    with pytest.raises(Refused) as caught:
        fill("[accounts]")
    assert caught.value.reason is Reason.ACCOUNT_TEMPLATE_MISSING


def test_keys_inside_lines() -> None:
    found = lines(account("1", blf=["7", "8"]), account("2"))
    files = {"model.account": "[account.login]:[blf];", "model.blf": "[blf.number][account.login]"}
    assert fill("[accounts][account.login]", files, lines=found) == "1:7181;2:7282;"
