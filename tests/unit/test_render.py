"""era_ap.provisioning.render and what it is made of: values, nesting, limits, escaping, trace."""

from __future__ import annotations

import random
import time

import pytest
from filling import MAC, Clock, account, constants, fill, lines, rendering, scope
from lxml import etree

from era_ap.errors import Reason, Refused, Severity
from era_ap.provisioning.language import Kind, parse
from era_ap.provisioning.render import Budget, NamesNeeded, render


def refusal(text: str, files: dict[str, str] | None = None, **changes: object) -> Refused:
    with pytest.raises(Refused) as caught:
        fill(text, files, **changes)
    return caught.value


# --- values (E15 to E20, E22)

FIELDS = {
    "display_name": "Bob",
    "a.b": "flat",
    "a": {"b": "deep", "c": "deep c"},
    "ext": {"my_obj": {"my_key": "v", "x.y": "flat below"}, "slot": "two", "n": 5, "yes": True},
    "list": ["zero", {"k": "one"}],
    "none": None,
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("login", "101"),
        ("ext.my_obj.my_key", "v"),
        ("a.b", "flat"),
        ("a.c", "deep c"),
        ("ext.my_obj.x.y", "flat below"),
        ("list.0", "zero"),
        ("list.1.k", "one"),
        ("opts.ap_devices.mac", MAC),
    ],
)
def test_fields(key: str, value: str) -> None:
    assert fill(f"<[sipuser.{key}]>", lines=lines(account(**FIELDS))) == f"<{value}>"


@pytest.mark.parametrize(
    "key", ["nope", "ext", "list", "list.7", "list.-1", "list.k", "none", "login.x", "ext..n", "LOGIN"]
)
def test_a_missing_field_is_empty_and_a_warning(key: str) -> None:
    result = rendering(f"a\n[sipuser.{key}]!", lines=lines(account(**FIELDS)))
    assert result.data == b"a\n!"
    (warning,) = result.warnings
    assert (warning.reason, warning.where, warning.severity) == (
        Reason.FIELD_MISSING,
        "root:2",
        Severity.WARNING,
    )
    assert "101@a.example.com" in warning.detail


def test_an_object_or_a_list_is_no_value_and_the_warning_says_so() -> None:
    assert "is an object" in rendering("[sipuser.ext]", lines=lines(account(**FIELDS))).warnings[0].detail
    assert "is a list" in rendering("[sipuser.list]", lines=lines(account(**FIELDS))).warnings[0].detail


def test_missing_may_be_an_error() -> None:
    assert refusal("[sipuser.x]", missing_is_error=True).reason is Reason.FIELD_MISSING
    assert refusal("[constants.x]", missing_is_error=True).reason is Reason.CONSTANT_MISSING
    assert refusal("[nslookup.x]", missing_is_error=True).reason is Reason.NAME_UNRESOLVED


def test_a_list_of_devices_without_an_index_gives_the_phone_being_served() -> None:
    devices = [{"mac": "000000000001", "room": "1"}, {"mac": MAC.upper(), "room": "2"}]
    found = account(opts={"ap_devices": devices})
    line = lines(found)[0]
    for device, room in zip(found.devices, "12", strict=True):
        served = type(line)(found, device, 1)
        assert fill("[sipuser.opts.ap_devices.room]", lines=(served,)) == room
    assert fill("[sipuser.opts.ap_devices.1.room]", lines=lines(found)) == "2"


def test_constants_go_by_priority() -> None:
    sources = constants(domain={"a": "1"}, master={"a": "2", "b": "2"}, site={"a": "3", "b": "3", "c.d": "3"})
    assert fill("[constants.a][constants.b][constants.c.d]", constants=sources) == "123"


def test_reserved_constants_cannot_be_redefined() -> None:
    sources = constants(domain={"domain": "x", "sg.addr": "x", "newid": "x"})
    text = "[constants.domain] [constants.sg.addr] [constants.newid] [constants.newid]"
    assert fill(text, constants=sources) == "a.example.com 10.0.0.5 id-1 id-2"


def test_a_refused_reserved_constant_refuses_only_where_it_is_used() -> None:
    reserved = {"sg.addr": Refused(Reason.NO_GATE, "no gate")}
    assert fill("a", reserved=reserved) == "a"
    assert refusal("[constants.sg.addr]", reserved=reserved).reason is Reason.NO_GATE


def test_constants_are_scanned_again_but_reserved_ones_are_not() -> None:
    sources = constants(domain={"a": "<[constants.b]>[sipuser.login]", "b": "[include.x]"})
    assert fill("[constants.a]", {"x": "included"}, constants=sources) == "<included>101"
    assert fill("[constants.domain]", reserved={"domain": "[sipuser.login]"}) == "[sipuser.login]"


@pytest.mark.parametrize("uses", [1, 3, 4, 7])
def test_lookups_differ_until_all_addresses_were_used(uses: int) -> None:
    addresses = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.2")
    for seed in range(20):
        found = fill(
            "[nslookup.NTP.x] " * uses, addresses=lambda _name: addresses, rng=random.Random(seed)
        ).split()
        assert len(set(found[:3])) == min(uses, 3)
        assert found[3:] == found[: uses - 3] if uses <= 6 else found[3:6] == found[:3]


def test_lookups_start_at_random_and_names_are_asked_in_lower_case() -> None:
    asked: set[str] = set()

    def addresses(name: str) -> tuple[str, ...]:
        asked.add(name)
        return "1", "2"

    assert {fill("[nslookup.A.b.]", addresses=addresses, rng=random.Random(n)) for n in range(20)} == {
        "1",
        "2",
    }
    assert asked == {"a.b"}


def test_names_not_known_yet_are_collected() -> None:
    known = {"d.e": ("::1",)}
    text = "[nslookup.[constants.ntp]] [nslookup.[sipuser.login].x] [nslookup.d.e] [nslookup.10.0.0.7]"
    sources = constants(site={"ntp": "n.x"})
    with pytest.raises(NamesNeeded) as caught:
        fill(text, constants=sources, addresses=known.get)
    assert caught.value.names == {"n.x", "101.x"}
    known |= {"n.x": ("1.1.1.1",), "101.x": ()}
    assert fill(text, constants=sources, addresses=known.get) == "1.1.1.1  ::1 10.0.0.7"


def test_a_name_that_is_needed_goes_before_the_error_its_absence_brings() -> None:
    with pytest.raises(NamesNeeded):
        fill("[include.[nslookup.a]]", addresses=lambda _name: None)


def test_a_value_that_is_no_host_name_is_never_asked_for() -> None:
    found = account(x="a b\n/")
    result = rendering("[nslookup.[sipuser.x]]", lines=lines(found), addresses=lambda _name: None)
    assert [each.reason for each in result.warnings] == [Reason.NAME_UNRESOLVED]


def test_random() -> None:
    found = {fill("[random.3][random,3]", rng=random.Random(seed)) for seed in range(100)}
    assert found == {f"{one}{other}" for one in range(3) for other in range(3)}
    assert fill("[random.1]") == "0"


@pytest.mark.parametrize("key", ["0", "-1", "1.5", "x", "1000000001", "٣", " 3", "1e3", "9" * 5000])
def test_random_needs_a_range(key: str) -> None:
    assert refusal(f"[random.{key}]").reason is Reason.RANDOM_RANGE


def test_random_picks_a_template() -> None:
    files = {f"sg{number}": f"proxy {number}" for number in range(5)}
    assert {fill("[include.sg[random,5]]", files, rng=random.Random(n)) for n in range(60)} == set(
        files.values()
    )


def test_a_value_may_be_a_key_but_is_never_parsed() -> None:
    found = account(ext={"slot": "two", "two": "second", "x]": "odd", "evil": "[sipuser.password]"})
    sources = constants(site={"slot": "two", "two": "constant"})
    text = "[sipuser.ext.[constants.slot]] [constants.[sipuser.ext.slot]] [constants.[sipuser.ext.evil]]"
    assert fill(text, lines=lines(found), constants=sources) == "second constant "


# --- data is data (E12, b9, F5)


def test_data_is_never_scanned() -> None:
    found = account(display_name="[include.secret] [sipuser.password] [constants.domain]")
    text = "[sipuser.display_name]|[account.x][include.i]"
    expected = "[include.secret] [sipuser.password] [constants.domain]"
    files = {"secret": "S", "i": "[sipuser.display_name]"}
    assert fill(text, files, lines=lines(found)) == f"{expected}|{expected}"
    sources = constants(site={"c": "[sipuser.display_name]"})
    assert fill("[constants.c]", files, lines=lines(found), constants=sources) == expected


@pytest.mark.parametrize("char", "\n\r\0\v\f\x1c\x1d\x1e\x85\u2028\u2029")
def test_line_breaks_in_data_become_blanks_in_text(char: str) -> None:
    found = account(x=f"a{char}b=1")
    assert fill("n = [sipuser.x]\n", lines=lines(found)) == "n = a b=1\n"
    assert (
        fill("[constants.c]", constants=constants(site={"c": f"a{char}[constants.domain]"}))
        == "a a.example.com"
    )


@pytest.mark.parametrize("value", ["% ; = # [ ] \t\"'&<>", "Иван 😀 \u200f", "a\\nb", "]]>", "-->"])
def test_text_keeps_what_is_harmless(value: str) -> None:
    assert fill("n = [sipuser.x]", lines=lines(account(x=value))) == f"n = {value}"


HOSTILE = [
    *(
        'Bob & "Alice" <x>\'',
        "]]>",
        "]]",
        "]",
        ">",
        "-->",
        "--",
        "-",
        "a--b---c",
        "<!--",
        "<![CDATA[",
        "&lt;",
    ),
    *(
        "a\nb\r\nc\td",
        "%;=#[]",
        "Иван 😀 \u200f\ufeff",
        "]]>]]>",
        "",
        " ",
        "x" * 5000,
        "]>",
        "[include.secret]",
    ),
]


@pytest.mark.parametrize("value", HOSTILE)
def test_xml_reads_back_what_was_put_in(value: str) -> None:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<r a="[sipuser.x]" b=\'[sipuser.x]\'>'
        "[sipuser.x]<c/>[sipuser.x]"
        "<d><![CDATA[[sipuser.x]]]></d><e><![CDATA[[[sipuser.x][sipuser.x]>]]></e><!--[sipuser.x]--></r>"
    )
    result = rendering(text, lines=lines(account(x=value)))
    root = etree.fromstring(result.data)
    found = [root.get("a"), root.get("b"), root.text, root[0].tail, root[1].text]
    assert [each or "" for each in found] == [value] * 5
    assert root[2].text == f"[{value}{value}>"
    assert [each.tag for each in root] == ["c", "d", "e", etree.Comment]


def test_places_follow_the_text_through_includes() -> None:
    files = {"open": "<![CDATA[", "close": "]]>"}
    found = account(x="a & b")
    assert fill("<r>[include.open][sipuser.x][include.close][sipuser.x]</r>", files, lines=lines(found)) == (
        "<r><![CDATA[a & b]]>a &amp; b</r>"
    )


def test_xml_loses_what_xml_cannot_carry() -> None:
    found = account(x="a\0b\x08c\ufffed\x1be")
    text = "<r a='[sipuser.x]'><![CDATA[[sipuser.x]]]></r>"
    root = etree.fromstring(rendering(text, lines=lines(found)).data)
    assert root.text == root.get("a") == "a b c d e"


def test_constants_are_escaped_and_includes_are_markup() -> None:
    sources = constants(site={"c": "<b> & [constants.domain] [include.i]"})
    assert fill("<r>[constants.c]</r>", {"i": "<i/>"}, constants=sources) == (
        "<r>&lt;b&gt; &amp; a.example.com <i/></r>"
    )


def test_the_root_decides_how_an_include_is_escaped() -> None:
    found, files = account(x="a & b"), {"i": "[sipuser.x]", "x": "<x>[sipuser.x]</x>"}
    assert fill("<r>[include.i]</r>", files, lines=lines(found)) == "<r>a &amp; b</r>"
    assert fill("t = [include.x]", files, lines=lines(found)) == "t = <x>a & b</x>"


def test_a_template_that_begins_with_an_include_is_of_its_kind() -> None:
    result = rendering(
        "[include.head]<r>[sipuser.x]</r>", {"head": "<!-- h -->"}, lines=lines(account(x="&"))
    )
    assert (result.kind, result.data) == (Kind.XML, b"<!-- h --><r>&amp;</r>")


# --- includes (E21, F1, F3)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("[include.i]\nb\n", "1\n2\nb\n"),
        ("a [include.i]: b", "a 1\n2: b"),
        ("[include.i]", "1\n2\n"),
        ("[include.crlf]\r\nb", "1\r\nb"),
        ("[include.nested]\nb", "1\n2\nb"),
        ("[include.nested]", "1\n2\n"),
        ("[include.I]x", "1\n2x"),
        ("a[include.empty]b", "ab"),
    ],
)
def test_line_endings_of_includes(root: str, expected: str) -> None:
    files = {"i": "1\n2\n", "crlf": "1\r\n", "nested": "[include.i]", "empty": ""}
    assert fill(root, files) == expected


def test_the_files_used_are_listed() -> None:
    assert rendering("[include.A][include.a]", {"a": "[include.b]", "b": ""}).files == ("root", "a", "b")


@pytest.mark.parametrize(
    ("files", "chain"),
    [
        ({"a": "[include.a]"}, ("root", "a", "a")),
        ({"a": "[include.b]", "b": "[include.c]", "c": "[include.a]"}, ("root", "a", "b", "c", "a")),
        ({"a": "[include.[include.a]]"}, ("root", "a", "a")),
    ],
)
def test_a_circle_names_its_chain(files: dict[str, str], chain: tuple[str, ...]) -> None:
    refused = refusal("[include.a]", files)
    assert (refused.reason, refused.chain) == (Reason.INCLUDE_CYCLE, chain)
    assert " > ".join(chain) in refused.detail


def test_a_constant_that_contains_itself() -> None:
    refused = refusal(
        "[constants.a]", constants=constants(site={"a": "x[constants.b]", "b": "[constants.a]"})
    )
    assert refused.reason is Reason.INCLUDE_CYCLE
    assert refused.chain == ("root", "constants.a", "constants.b", "constants.a")


def test_files_nest_32_deep_and_no_deeper() -> None:
    files = {str(number): f"[include.{number + 1}]" for number in range(1, 40)}
    assert fill("[include.1]", files | {"32": "end"}) == "end"
    refused = refusal("[include.1]", files | {"33": "end"})
    assert refused.reason is Reason.DEPTH_LIMIT
    assert refused.chain == ("root", *map(str, range(1, 34)))


def test_brackets_and_files_together_stay_within_the_limit() -> None:
    files = {str(n): "[include." * 20 + f"{n + 1}" + "]" * 20 for n in range(40)}
    assert refusal("[include.0]", files).reason is Reason.DEPTH_LIMIT


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a/../../b", "/etc/passwd", "..", "..\\x", "C:\\x", "c:x", "a\0", "\\\\host\\share"],
)
def test_an_include_never_leaves_the_templates(name: str) -> None:
    assert refusal(f"[include.{name}]").reason is Reason.INCLUDE_OUTSIDE
    found = account(x=name)
    assert refusal("[include.[sipuser.x]]", lines=lines(found)).reason is Reason.INCLUDE_OUTSIDE


def test_an_include_may_be_in_a_folder_or_have_dots() -> None:
    assert fill("[include.vendor/a..b.inc]", {"vendor/a..b.inc": "x"}) == "x"


def test_a_missing_include_names_the_way_to_it() -> None:
    refused = refusal("a\n[include.a]", {"a": "\n[include.nope]"})
    assert (refused.reason, refused.chain) == (Reason.INCLUDE_MISSING, ("root", "a", "nope"))
    assert refused.detail.startswith("a:2: ")


def test_a_key_that_holds_a_secret_is_not_told() -> None:
    found = lines(account(password="hunter22"))
    warning = rendering("[constants.[sipuser.password]]", lines=found).warnings[0]
    assert warning.detail == "[constants.[sipuser.password]]"
    for name in ("[include.[sipuser.password]]", "[include.../[sipuser.password]]"):
        refused = refusal(name, lines=found)
        assert "hunter22" not in repr(refused)
        assert name in refused.detail


def test_constants_of_the_same_text_have_their_own_names() -> None:
    sources = constants(site={"a": "[include.i]", "b": "[include.i]"})
    refused = refusal("[constants.a]", {"i": "[constants.b]"}, constants=sources)
    assert refused.chain == ("root", "constants.a", "i", "constants.b", "i")


# --- limits (F2)


def test_expansions_are_limited() -> None:
    assert fill("[constants.domain]" * 10_000) != ""
    assert refusal("[constants.domain]" * 10_001).reason is Reason.EXPANSION_LIMIT


def test_a_fan_out_of_two_to_the_twentieth_ends_soon() -> None:
    files = {str(number): f"[include.{number + 1}][include.{number + 1}]" for number in range(20)} | {
        "20": "x"
    }
    parsed = {name: parse(name, text) for name, text in files.items()}
    start = time.process_time()
    with pytest.raises(Refused) as caught:
        render(parse("root", "[include.0]"), scope(templates=parsed.get), Budget(time.monotonic))
    assert time.process_time() - start < 0.6
    assert caught.value.reason in (Reason.EXPANSION_LIMIT, Reason.TIME_LIMIT)


@pytest.mark.parametrize(
    ("text", "files", "value"),
    [
        ("[include.a]" * 30, {"a": "x" * 50_000}, ""),
        ("x" * (1 << 20) + "y", {}, ""),
        ("[sipuser.x]" * 300, {}, "y" * 4096),
        ("[sipuser.x]" * 150, {}, "я" * 4096),
        ("<r>" + "[sipuser.x]" * 60 + "</r>", {}, "&" * 4096),
        ("[blf]", {"model.blf": "z" * 100_000}, ""),
    ],
)
def test_output_is_limited(text: str, files: dict[str, str], value: str) -> None:
    found = account(x=value, blf=["1"] * 11)
    assert refusal(text, files, lines=lines(found)).reason is Reason.OUTPUT_LIMIT


def test_output_may_be_as_large_as_the_limit() -> None:
    assert len(fill("x" * (1 << 20))) == 1 << 20


def test_time_is_limited() -> None:
    template = parse("root", "[constants.domain]" * 5000)
    with pytest.raises(Refused) as caught:
        render(template, scope(), Budget(Clock(0.01)))
    assert caught.value.reason is Reason.TIME_LIMIT
    assert render(template, scope(), Budget(Clock(0.0001))).data


# --- required fields (F4)


@pytest.mark.parametrize("value", [None, "", " ", "\n", "\0"])
@pytest.mark.parametrize("field", ["password", "ext.pin"])
def test_required_fields(field: str, value: str | None) -> None:
    found = account("102", **({"password": value} if field == "password" else {"ext": {"pin": value}}))
    refused = refusal("x", lines=lines(account(), found), required=("sipuser.login", f"sipuser.{field}"))
    if field == "ext.pin":
        assert "101@a.example.com" in refused.detail
    else:
        assert "102@a.example.com" in refused.detail
    assert refused.reason is Reason.REQUIRED_MISSING
    assert f"sipuser.{field}" in refused.detail


def test_a_phone_that_does_not_register_needs_no_password() -> None:
    assert fill("x", lines=lines(account(password=None, reg="false"))) == "x"


# --- common files


@pytest.mark.parametrize(
    "text", ["[sipuser.login]", "[blf]", "[accounts]", "[account.x]", "[blf.x]", "[constants.c]"]
)
def test_a_common_file_has_no_account(text: str) -> None:
    sources = constants(site={"c": "[sipuser.login]", "d": "ok"})
    assert fill("[constants.d]", lines=(), constants=sources) == "ok"
    assert refusal(text, lines=(), constants=sources).reason is Reason.ACCOUNT_IN_COMMON


# --- checks and encodings (F8)


@pytest.mark.parametrize(
    "text", ["<a>", "<a></b>", "<a/><b/>", "<a>&nope;</a>", "<a b=1/>", "<?xml version='1.0'?>"]
)
def test_broken_xml_is_never_served(text: str) -> None:
    assert refusal(text).reason is Reason.XML_BROKEN


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
        '<?xml version="1.0"?><!-- c -->\n<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd"><r/>',
        '<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]><r/>',
        '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><r>&b;</r>',
        "<!DOCTYPE html><html/>",
    ],
)
def test_a_dtd_is_refused(text: str) -> None:
    assert refusal(text).reason is Reason.XML_ENTITY


def test_the_word_doctype_elsewhere_is_harmless() -> None:
    assert "<!DOCTYPE" in fill("<r><![CDATA[<!DOCTYPE]]></r>")


def test_depth_of_elements_is_limited() -> None:
    assert refusal("<a>" * 5000 + "</a>" * 5000).reason is Reason.XML_BROKEN


def test_an_encoding_that_cannot_carry_a_value_gets_references() -> None:
    text = (
        "<?xml version='1.0' encoding='ISO-8859-1'?>"
        "<r a='é'>[sipuser.x]<![CDATA[[sipuser.x]]]><!--[sipuser.x]--></r>"
    )
    template = parse("root", text, encoding="iso8859-1")
    data = render(template, scope(lines=lines(account(x="Иé"))), Budget(Clock())).data
    assert "é".encode("latin-1") in data
    root = etree.fromstring(data)
    assert (root.get("a"), root.text) == ("é", "ИéИé")


def test_text_that_cannot_be_encoded() -> None:
    refused = refusal("a\n[sipuser.x]", lines=lines(account(x="\ud800")))
    assert refused.reason is Reason.OUTPUT_ENCODING
    assert "line 2" in refused.detail


# --- trace


def test_trace() -> None:
    found = account(display_name="Bob", blf=["201"])
    sources = constants(**{"site msk1": {"a": "[constants.b]", "b": "B", "p": "[sipuser.password]!"}})
    text = "[sipuser.display_name] [sipuser.password]\n[constants.a] [constants.p] [include.i] [sipuser.no]"
    text += "\n[blf]"
    files = {"i": "[constants.domain]", "model.blf": "[blf.number]"}
    result = rendering(text, files, lines=lines(found), constants=sources, trace=True)
    assert result.data == rendering(text, files, lines=lines(found), constants=sources).data
    seen = [(e.placeholder, e.where, e.value, e.origin, e.depth) for e in result.trace]
    assert seen == [
        ("[sipuser.display_name]", "root:1", "Bob", "account 101@a.example.com", 0),
        ("[sipuser.password]", "root:1", "***", "account 101@a.example.com", 0),
        ("[constants.a]", "root:2", "B", "constants of site msk1", 0),
        ("[constants.b]", "constants.a:1", "B", "constants of site msk1", 1),
        ("[constants.p]", "root:2", "***", "constants of site msk1", 0),
        ("[sipuser.password]", "constants.p:1", "***", "account 101@a.example.com", 1),
        ("[include.i]", "root:2", "", "include i", 0),
        ("[constants.domain]", "i:1", "a.example.com", "the request", 1),
        ("[sipuser.no]", "root:2", "", "missing", 0),
        ("[blf]", "root:3", "", "include model.blf", 0),
        ("[blf.number]", "model.blf:1", "201", "BLF key 1 of account 101@a.example.com", 1),
    ]


def test_no_trace_unless_asked() -> None:
    assert rendering("[sipuser.login]").trace == ()


def test_trace_hides_secrets_that_overrides_bring_or_find() -> None:
    override = {"x": "[sipuser.password]", "y": "new", "admin_pw": "topsecret"}
    found = account(password="hunter22", override=override)
    result = rendering("x = 1\ny = [sipuser.password]\n", lines=lines(found), trace=True)
    assert result.data == b"x = hunter22\ny = new\nadmin_pw = topsecret\n"
    assert "hunter22" not in repr(result.trace)
    assert "topsecret" not in repr(result.trace)
