"""Overrides of XML files: XPath and fragments (spec 8, E11, b8)."""

from __future__ import annotations

import pytest
from filling import account, constants, fill, lines, rendering
from lxml import etree

from era_ap.errors import Reason, Refused
from era_ap.provisioning.language import parse
from era_ap.provisioning.override_xml import XmlEditor
from era_ap.provisioning.render import Effect

SNOM = (
    "<?xml version='1.0' encoding=\"utf-8\"?>\n<?pi x?>\n<!-- head -->\n<settings>\n  <phone-settings>\n"
    '    <language perm="R">English</language>\n    <user_pass idx="1">a</user_pass>\n'
    '    <user_pass idx="2">b</user_pass>\n  </phone-settings>\n</settings>\n<!-- tail --><?end?>\n'
)
POLY = '<polycomConfig><reg reg.1.address="101" reg.1.label="x"/><device device.set="1"/></polycomConfig>'
GS = '<gs_provision version="1"><config version="1"><P271>1</P271><P47>x</P47></config></gs_provision>'


def overridden(text: str, override: object, **fields: object) -> str:
    return fill(text, lines=lines(account(override=override, **fields)))


@pytest.mark.parametrize(
    ("text", "override", "expected"),
    [
        (
            SNOM,
            {"/settings/phone-settings/language": "Рус & <x>"},
            SNOM.replace("English", "Рус &amp; &lt;x&gt;"),
        ),
        (SNOM, {"//user_pass[@idx='2']": "c"}, SNOM.replace(">b<", ">c<")),
        (SNOM, {"//user_pass": "c"}, SNOM.replace(">b<", ">c<").replace(">a<", ">c<")),
        (SNOM, {"//language/@perm": "RW"}, SNOM.replace('"R"', '"RW"')),
        (SNOM, {"//language/@new": "1"}, SNOM.replace('"R"', '"R" new="1"')),
        (SNOM, {"//language/@perm": None}, SNOM.replace(' perm="R"', "")),
        (SNOM, {"//language/text()": "x"}, SNOM.replace("English", "x")),
        (SNOM, {"//user_pass[@idx='2']": None}, SNOM.replace('    <user_pass idx="2">b</user_pass>\n', "")),
        (SNOM, {"//nope": None}, SNOM),
        (
            SNOM,
            {"/settings/phone-settings/ntp": "x"},
            SNOM.replace(">b</user_pass>\n", ">b</user_pass>\n    <ntp>x</ntp>\n"),
        ),
        (
            SNOM,
            {"/settings/keys/fkey[@idx='0'][@context='active']/@label": "L"},
            SNOM.replace(
                "</phone-settings>\n",
                '</phone-settings>\n  <keys><fkey idx="0" context="active" label="L"/></keys>\n',
            ),
        ),
        (POLY, {"//reg/@reg.1.address": "102"}, POLY.replace('"101"', '"102"')),
        (POLY, {"//reg/@reg.2.address": "102"}, POLY.replace('"x"', '"x" reg.2.address="102"')),
        (POLY, {"/polycomConfig/call/@call.x": "1"}, POLY.replace("</poly", '<call call.x="1"/></poly')),
        (GS, {"//P271": "0"}, GS.replace(">1</P271", ">0</P271")),
        (GS, {"/gs_provision/config/P30": "ntp"}, GS.replace("</config>", "<P30>ntp</P30></config>")),
    ],
)
def test_object_form(text: str, override: object, expected: str) -> None:
    assert overridden(text, override) == expected


def pairs(*given: tuple[str, object]) -> list[dict[str, object]]:
    return [{"path": path, "value": value} for path, value in given]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (pairs(("//k", "x")), "<r><k>x</k><k>x</k><z/></r>"),
        (pairs(("//k", "x"), ("//k", "y"), ("//k", "w")), "<r><k>x</k><k>y</k><k>w</k><z/></r>"),
        (pairs(("/r/n", "1"), ("/r/n", "2")), "<r><k>1</k><k>2</k><z/><n>1</n><n>2</n></r>"),
    ],
)
def test_list_form(override: object, expected: str) -> None:
    assert overridden("<r><k>1</k><k>2</k><z/></r>", override) == expected


@pytest.mark.parametrize(
    ("text", "fragment", "expected"),
    [
        (
            SNOM,
            "<settings><phone-settings><language>D</language></phone-settings></settings>",
            SNOM.replace("English", "D"),
        ),
        (SNOM, "<phone-settings><language perm='RW'/></phone-settings>", SNOM.replace('"R"', '"RW"')),
        (
            SNOM,
            "<phone-settings><user_pass idx='2'>z</user_pass></phone-settings>",
            SNOM.replace(">b<", ">z<"),
        ),
        (
            SNOM,
            "<?xml version='1.0'?>\n<phone-settings><user_pass idx='3'>z</user_pass></phone-settings>",
            SNOM.replace(">b</user_pass>\n", '>b</user_pass>\n    <user_pass idx="3">z</user_pass>\n'),
        ),
        (POLY, "<reg reg.1.label='y' reg.2.label='z'/>", POLY.replace('"x"', '"y" reg.2.label="z"')),
        (POLY, "<a/><b>1</b>", POLY.replace("</poly", "<a/><b>1</b></poly")),
        (
            GS,
            "<gs_provision version='2'><config><P47>y</P47></config></gs_provision>",
            GS.replace('n version="1"><c', 'n version="2"><c').replace(">x<", ">y<"),
        ),
        ("<r><k>1</k><k>2</k></r>", "<k>x</k><k>y</k><k>z</k>", "<r><k>x</k><k>y</k><k>z</k></r>"),
        (
            "<r><item name='a'>1</item><item name='b'>2</item></r>",
            "<item name='b'>3</item>",
            '<r><item name="a">1</item><item name="b">3</item></r>',
        ),
        ("<r xmlns='urn:x'><k>1</k></r>", "<k>2</k>", '<r xmlns="urn:x"><k>2</k></r>'),
        (GS, "  ", GS),
    ],
)
def test_fragments(text: str, fragment: str, expected: str) -> None:
    assert overridden(text, fragment) == expected


def test_values_are_expanded_and_data_in_them_is_data() -> None:
    value = "[sipuser.display_name]|[constants.c]"
    name = "[include.i]<x>&\0"
    sources = constants(site={"c": "<[sipuser.login]>"})
    for override in ({"/r/a": value}, f"<a>{value}</a>"):
        found = lines(account(display_name=name, override=override))
        root = etree.fromstring(fill("<r><a/></r>", {"i": "no"}, lines=found, constants=sources))
        assert [(each.tag, each.text, len(each)) for each in root] == [("a", "[include.i]<x>& |<101>", 0)]


def test_a_fragment_may_include_markup() -> None:
    found = lines(account(override="[include.i]"))
    assert fill("<r><a/></r>", {"i": "<a>[sipuser.login]</a>"}, lines=found) == "<r><a>101</a></r>"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ({"//a": "x"}, Reason.OVERRIDE_XPATH),
        ({"/r": None}, Reason.OVERRIDE_XPATH),
        ({"//comment()": "x"}, Reason.OVERRIDE_XPATH),
        ({"//[": "x"}, Reason.OVERRIDE_XPATH),
        ({"//b[": "x"}, Reason.OVERRIDE_XPATH),
        ({"'text'": "x"}, Reason.OVERRIDE_XPATH),
        ({"a:b": "x"}, Reason.OVERRIDE_XPATH),
        ({"document('/etc/passwd')": "x"}, Reason.OVERRIDE_XPATH),
        ("<a>", Reason.OVERRIDE_FRAGMENT),
        ("a = 1", Reason.OVERRIDE_FRAGMENT),
        ("<a/>text", Reason.OVERRIDE_FRAGMENT),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", Reason.OVERRIDE_FRAGMENT),
        ("</fragment><a/><fragment>", Reason.OVERRIDE_FRAGMENT),
    ],
)
def test_wrong_overrides_name_the_account(override: object, reason: Reason) -> None:
    with pytest.raises(Refused) as caught:
        overridden("<r><a><b>1</b></a></r>", override)
    assert caught.value.reason is reason
    assert "101@a.example.com" in caught.value.detail


def test_what_cannot_be_created_is_a_warning() -> None:
    for path in ("//P999", "/other/x", "/r/a[2]", "/r/a/text()"):
        found = rendering("<r><a/></r>", lines=lines(account(override={path: "1"})), trace=True)
        assert found.data == b"<r><a/></r>"
        assert [each.reason for each in found.warnings] == [Reason.OVERRIDE_XPATH]
        assert [each.effect for each in found.trace] == [Effect.NOTHING]


def test_a_file_that_is_not_well_formed_is_not_corrected() -> None:
    with pytest.raises(Refused) as caught:
        overridden("<r>", {"/r": "1"})
    assert caught.value.reason is Reason.XML_BROKEN


def test_declaration_encoding_and_line_ends_stay() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>\r\n<r>\r\n  <a>\xe9</a>\r\n</r>\r\n'
    result = rendering(text, lines=lines(account(override={"/r/a": "é Ж"})))
    expected = text.replace("\xe9<", "\xe9 &#1046;<").encode("latin-1")
    assert result.data == expected


def test_cdata_and_comments_inside_stay() -> None:
    text = "<r><!-- c --><a><![CDATA[x < y]]></a><b>1</b></r>"
    assert overridden(text, {"/r/b": "2"}) == text.replace(">1<", ">2<")


@pytest.mark.parametrize("tail", ["", "\n", "<!-- a --><!-- b -->\n", "\n<?x <!-- ?>\n<!-- <?y?> -->\n\n"])
def test_what_follows_the_root_stays(tail: str) -> None:
    editor = XmlEditor(f"<r><a/></r>{tail}", lambda: None)
    editor.change("/r/a", "1", None)
    assert editor.text() == f"<r><a>1</a></r>{tail}"


def test_large_fragments_are_merged_in_linear_time() -> None:
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1

    body = "".join(f"<k idx='{number}'>x</k>" for number in range(10_000))
    editor = XmlEditor(f"<r>{body}</r>", tick)
    assert len(editor.merge(body.replace("x<", "y<"))) == ticks == 10_000


def test_the_trace_has_paths_and_effects() -> None:
    override = {
        "/settings/phone-settings/language": "D",
        "//user_pass[@idx='1']": "s",
        "/settings/x": "1",
        "//language/@perm": None,
    }
    found = rendering(SNOM, lines=lines(account(override=override)), trace=True)
    assert [(e.before, e.value, e.effect) for e in found.trace] == [
        ("English", "D", Effect.REPLACED),
        ("***", "***", Effect.REPLACED),
        ("", "1", Effect.ADDED),
        ("R", "", Effect.REMOVED),
    ]


def test_the_kind_is_that_of_the_root() -> None:
    assert parse("x", SNOM).kind.value == "xml"


def test_an_element_without_text_empties_the_one_it_replaces() -> None:
    text = '<s><u idx="1" p="R">old</u><u idx="2">b</u></s>'
    assert etree.fromstring(overridden(text, '<u idx="1"/>')).findtext("u") == ""
    assert "old" not in overridden(text, '<u idx="1"/>')


def test_a_fragment_of_attributes_alone_leaves_the_text() -> None:
    assert "old" in overridden('<s><u idx="1">old</u></s>', '<u idx="1" p="RW"/>')
