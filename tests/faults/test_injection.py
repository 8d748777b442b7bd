"""Whatever an account holds, it is data: it adds no line to a text, no element to XML, and runs nothing."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree

from era_ap.directory.model import Account, AccountKey, Device
from era_ap.errors import Refused
from era_ap.provisioning.language import Kind, Template, parse
from era_ap.provisioning.render import Budget, ConstantSource, Line, NamesNeeded, Rendering, Scope, render

MAC = "001565aabbcc"
WORDS = [
    *(
        "[include.secret]",
        "[sipuser.password]",
        "[blf]",
        "[accounts]",
        "[constants.c]",
        "]]>",
        "<![CDATA[",
        "-->",
    ),
    *(
        "<!--",
        "--",
        "-",
        "]",
        "[",
        ">",
        "<",
        "&",
        '"',
        "'",
        "<x/>",
        "&amp;",
        "\n",
        "\r\n",
        "\0",
        "=",
        ":",
        "#",
        ";",
    ),
    *(
        "\x85",
        "\u2028",
        "\x1c",
        "\v",
        "😀",
        "\u200f",
        "Каб",
        "\ufffe",
        "%",
        " ",
        "../",
        "key = value",
        "?>",
        "<?",
    ),
]
DATA = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.sampled_from(WORDS), max_size=6).map("".join),
)
SEEDS = ["[include.secret]", 'Bob & "Alice" <x>', "a\nb=1", "Ж" * 4096, "\0", "😀", "\u200f", "]]>", "-->"]

TEXT = (
    'a = [sipuser.x]\n[blf]\n[accounts]\nq = "[sipuser.x]"\n[include.inc]\nc = [constants.[sipuser.x]]\nend\n'
)
XML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!-- [sipuser.x] -->\n'
    "<r a=\"[sipuser.x]\" b='[sipuser.x]'>[sipuser.x]"
    "<c><![CDATA[[sipuser.x]]]></c><d><![CDATA[][sipuser.x][sipuser.x]]]></d>\n[blf]\n[accounts]\n[include.inc]"
    "<!--[sipuser.x]-[sipuser.x]--><k>[constants.[sipuser.x]]</k></r>\n"
)
FILES = {
    Kind.TEXT: {
        "model.blf": "k[blf.index] = [blf.x]\n",
        "model.account": "l = [account.x]\n",
        "inc": "i = [sipuser.x]\n",
    },
    Kind.XML: {
        "model.blf": "<f i='[blf.index]' l='[blf.x]'>[blf.x]</f>\n",
        "model.account": "<l><![CDATA[[account.x]]]></l>\n",
        "inc": "<i>[sipuser.x]</i>\n",
    },
}
CALM = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def phone(value: object, override: object = None) -> tuple[Line, ...]:
    """Two lines of one phone; every field that a template shows is ``value``."""
    found = []
    for number in (1, 2):
        device = Device(MAC, "model", number, [{"x": value}, {"x": value}], override, {})
        fields = {"login": f"10{number}", "password": "hunter22", "domain": "a.example.com", "x": value}
        key = AccountKey("a.example.com", f"10{number}")
        found.append(Line(Account(key, fields, (device,), True, "1", "test"), device, number))
    return tuple(found)


def filled(text: str, files: dict[str, str], lines: tuple[Line, ...]) -> Rendering:
    def template(name: str) -> Template | None:
        known = files | {"secret": "LEAKED\n"}
        return parse(name.lower(), known[name.lower()]) if name.lower() in known else None

    scope = Scope(
        templates=template,
        bases=("model",),
        type="",
        lines=lines,
        constants=(ConstantSource("site", {"c": "LEAKED"}),),
        reserved={"domain": "a.example.com"},
        addresses=lambda _name: None,
        rng=random.Random(1),
        new_id=lambda: "id",
    )
    return render(parse("root", text), scope, Budget(lambda: 0.0))


def line_count(text: str) -> int:
    return len(text.splitlines())


def with_seeds(test: object) -> object:
    for seed in SEEDS:
        test = example(value=seed)(test)  # type: ignore[arg-type]
    return test


@CALM
@given(value=DATA)
@with_seeds
def test_a_value_adds_no_line_to_a_text(value: str) -> None:
    calm = filled(TEXT, FILES[Kind.TEXT], phone("v")).data.decode()
    text = filled(TEXT, FILES[Kind.TEXT], phone(value)).data.decode()
    assert line_count(text) == line_count(calm)
    assert ("LEAKED" in text) == (value.strip("\r\n") == "c")
    assert "hunter22" not in text
    keys = [line.split(" = ")[0] for line in calm.splitlines()]
    assert [line.split(" = ")[0] for line in text.splitlines()] == keys


def shape(root: etree._Element) -> list[tuple[object, tuple[str, ...]]]:
    return [(each.tag, tuple(map(str, each.keys()))) for each in root.iter()]


@CALM
@given(value=DATA)
@with_seeds
def test_a_value_adds_no_element_to_xml_and_reads_back(value: str) -> None:
    calm = etree.fromstring(filled(XML, FILES[Kind.XML], phone("v")).data)
    root = etree.fromstring(filled(XML, FILES[Kind.XML], phone(value)).data)
    assert shape(root) == shape(calm)
    assert "LEAKED" not in "".join(root.itertext()) or value.strip("\r\n") == "c"
    clean = "".join(
        " " if char in "\ufffe\uffff" or (char < " " and char not in "\t\r\n") else char for char in value
    )
    assert [root.get("a"), root.get("b"), root.findtext("c"), root.findtext("l")] == [clean] * 4
    assert root.findtext("d") == f"]{clean}{clean}"
    assert [each.get("l") for each in root.findall("f")] == [clean] * 2


@CALM
@given(value=DATA)
@with_seeds
def test_a_value_in_an_override_stays_one_value(value: str) -> None:
    override = {"a": "x [sipuser.x]", "new": "[sipuser.x]"}
    text = filled("a = 1\nb = 2\n", {}, phone(value, override)).data.decode()
    assert [line.split(" = ")[0] for line in text.splitlines()] == ["a", "b", "new"]
    override = {"/r/a": "x [sipuser.x]", "/r/b/@new": "[sipuser.x]", "/r/c": "[sipuser.x]"}
    root = etree.fromstring(filled("<r><a/><b/></r>", {}, phone(value, override)).data)
    assert shape(root) == [("r", ()), ("a", ()), ("b", ("new",)), ("c", ())]
    root = etree.fromstring(filled("<r><a/></r>", {}, phone(value, "<a>[sipuser.x]</a>")).data)
    assert shape(root) == [("r", ()), ("a", ())]


PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "[sipuser.",
                "[constants.",
                "[include.",
                "[random.",
                "[random,",
                "[nslookup.",
                "[blf.",
                "[account.",
            ),
            *(
                "[blf]",
                "[accounts]",
                "]",
                "[",
                "x",
                "3",
                "login",
                "inc",
                "root",
                "\n",
                "<r>",
                "</r>",
                "<!--",
                "-->",
            ),
            *("<![CDATA[", "]]>", "<?xml version='1.0'?>", "key = ", "&", "<!DOCTYPE r>", "../", "\\", "\0"),
        ]
    ),
    max_size=25,
).map("".join)


@CALM
@given(text=st.one_of(PIECES, st.text(max_size=60)), file=PIECES, override=st.one_of(st.none(), PIECES))
def test_any_template_is_filled_or_refused(text: str, file: str, override: str | None) -> None:
    files = {"inc": file, "x": file, "model.blf": file, "model.account": file}
    try:
        found = filled(text, files, phone(file, override))
    except (Refused, NamesNeeded):
        return
    if found.kind is Kind.XML:
        etree.fromstring(found.data)


@CALM
@given(
    path=st.one_of(
        st.text(max_size=30),
        st.lists(
            st.sampled_from(
                ["/", "//", "r", "a", "@x", "[", "]", "'1'", "=", "*", ".", "text()", "last()", "|", "[1]"]
            ),
            max_size=10,
        ).map("".join),
    ),
    value=st.one_of(st.none(), DATA),
)
@pytest.mark.parametrize("text", ["<r x='1'><a>1</a><a x='2'/>t<b><a/></b></r>", "a = 1\n[r]\na = 2\n"])
def test_any_override_is_applied_or_refused(text: str, path: str, value: str | None) -> None:
    for override in ({path: value}, [{"path": path, "value": value}] * 3, path):
        try:
            found = filled(text, {}, phone("v", override))
        except (Refused, NamesNeeded):
            continue
        if found.kind is Kind.XML:
            etree.fromstring(found.data)
