"""era_ap.provisioning.language: what is a placeholder, and what is literal text."""

from __future__ import annotations

import time

import pytest

from era_ap.errors import Reason, Refused
from era_ap.provisioning.language import Category, Kind, Placeholder, decode, parse


def placeholders(text: str) -> list[Placeholder]:
    return [node for node in parse("t", text).nodes if isinstance(node, Placeholder)]


@pytest.mark.parametrize(
    "text",
    [
        *("[ VoIP ]", "[2-9]xxx", "[::1]", "[account]", "[sipuser]", "[constants]", "[include]", "[random]"),
        *(
            "[nslookup]",
            "<![CDATA[x]]>",
            "[]",
            "[[]]",
            "]",
            "[",
            "[Sipuser.login]",
            "[ sipuser.login]",
            "[blf ]",
        ),
        *("[account_1]", "[blfs]", "[accounts.1]", "[randomize.5]", "[include,x]", "a[b\nc]", "%[^:]:%s"),
    ],
)
def test_literal_text_stays(text: str) -> None:
    template = parse("t", text)
    assert placeholders(text) == []
    assert template.text == text
    assert template.weight == len(text)


@pytest.mark.parametrize(
    ("text", "category", "key"),
    [
        ("[sipuser.login]", Category.SIPUSER, "login"),
        ("[sipuser.ext.my_obj.my_key]", Category.SIPUSER, "ext.my_obj.my_key"),
        ("[constants.domain]", Category.CONSTANTS, "domain"),
        ("[nslookup.ntp.example.com]", Category.NSLOOKUP, "ntp.example.com"),
        ("[include.sip.inc]", Category.INCLUDE, "sip.inc"),
        ("[random.5]", Category.RANDOM, "5"),
        ("[random,5]", Category.RANDOM, "5"),
        ("[blf]", Category.BLF, ""),
        ("[blf.number]", Category.BLF_FIELD, "number"),
        ("[accounts]", Category.ACCOUNTS, ""),
        ("[account.line]", Category.ACCOUNT, "line"),
    ],
)
def test_categories(text: str, category: Category, key: str) -> None:
    (found,) = placeholders(f"a {text} b")
    assert (found.category, found.key, found.source, found.parts) == (category, key, text, None)


def test_placeholders_nest() -> None:
    (outer,) = placeholders("[include.sg[random,5]]")
    assert outer.parts is not None
    assert outer.parts[0] == "sg"
    assert isinstance(inner := outer.parts[1], Placeholder)
    assert inner.category is Category.RANDOM


def test_a_placeholder_inside_literal_brackets() -> None:
    assert [each.source for each in placeholders("[[sipuser.login]] <![CDATA[[sipuser.login]]]>")] == [
        "[sipuser.login]"
    ] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n\nb [sipuser.login\n]", "line 3: the placeholder '[sipuser.login' is not closed"),
        ("[include.sg[random.5]", "not closed"),
        ("x\r\n[include.sg[random.5\r\n]]", "line 2"),
        ("[constants.", "not closed"),
        ("[constants.]", "has no key"),
        ("[constants.a[b]]", "begins no placeholder"),
    ],
)
def test_syntax_errors_name_the_line(text: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        parse("t", text)
    assert caught.value.reason is Reason.TEMPLATE_SYNTAX
    assert words in caught.value.detail


def test_brackets_nest_32_deep_and_no_deeper() -> None:
    parse("t", "[constants." * 32 + "a" + "]" * 32)
    for depth in (33, 100_000):
        with pytest.raises(Refused) as caught:
            parse("t", "[constants." * depth + "a" + "]" * depth)
        assert caught.value.reason is Reason.DEPTH_LIMIT


def test_literal_names_are_listed() -> None:
    template = parse(
        "t",
        "[include.A.inc] [include.sg[random.2]] [constants.[include.b]] [nslookup.NTP.x.] [nslookup.1.1.1.1]",
    )
    assert template.includes == {"A.inc", "b"}
    assert template.hostnames == {"ntp.x"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<?xml version='1.0'?><a/>", Kind.XML),
        ("  \n<settings/>", Kind.XML),
        ("<!-- note --><a/>", Kind.XML),
        ("<flat-profile>", Kind.XML),
        ("<<VOIP CONFIG FILE>>Version:2.0002", Kind.TEXT),
        ("#!version:1.0.0.1", Kind.TEXT),
        ("< a", Kind.TEXT),
        ("", Kind.TEXT),
    ],
)
def test_kind(text: str, kind: Kind) -> None:
    assert parse("t", text).kind is kind


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"\xef\xbb\xbfa=1\r\n", "a=1\r\n", "utf-8"),
        ("имя=1".encode(), "имя=1", "utf-8"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>", None, "iso8859-1"),
        (b'<?xml version="1.0" encoding="windows-1251"?><a>\xc0</a>', None, "cp1251"),
    ],
)
def test_decode(data: bytes, text: str | None, encoding: str) -> None:
    decoded, found = decode(data)
    assert found == encoding
    assert decoded == (text if text is not None else data.decode(encoding))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a\nb\xe9", "line 2: byte 0xE9 is not utf-8"),
        (b"<?xml version='1.0' encoding='unicode_escape'?><a/>", "'unicode_escape' is not supported"),
        (b"<?xml version='1.0' encoding='UTF-16'?><a/>", "'UTF-16' is not supported"),
    ],
)
def test_decode_refuses(data: bytes, words: str) -> None:
    with pytest.raises(Refused) as caught:
        decode(data)
    assert caught.value.reason is Reason.TEMPLATE_ENCODING
    assert words in caught.value.detail


@pytest.mark.parametrize(
    "text", ["[blf]\n" * 50_000, "[" * 300_000, "[sipuser.a] " * 30_000, " " * 300_000 + "[blf]"]
)
def test_reading_is_linear(text: str) -> None:
    start = time.process_time()
    parse("t", text)
    assert time.process_time() - start < 3
