"""Structured values: what phones write is read, what nobody should write is None."""

from __future__ import annotations

import pytest

from era_ap.sip.fields import (
    CSeq,
    Uri,
    parse_cseq,
    parse_name_addr,
    parse_params,
    parse_uri,
    parse_via,
    split_list,
    unquote,
)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:10.0.0.1", Uri("sip", "", "10.0.0.1", None)),
        ("SIP:x@H.example:5059;transport=udp?a=b@c", Uri("sip", "x", "H.example", 5059)),
        ("sips:a%40b@[2001:db8::1]:5061", Uri("sips", "a%40b", "[2001:db8::1]", 5061)),
        ("sip:user;par=u%40x.example@example.com", Uri("sip", "user;par=u%40x.example", "example.com", None)),
        ("sip:1_odd~(!)&isn't+$/?,;@h", Uri("sip", "1_odd~(!)&isn't+$/?,;", "h", None)),
        ("sip:h:", Uri("sip", "", "h", None)),
        ("tel:+358", None),
        ("sip:", None),
        ("sip:@", None),
        ("sip:h:0", None),
        ("sip:h:65536", None),
        ("no colon", None),
        ("", None),
    ],
)
def test_uris(text: str, uri: Uri | None) -> None:
    assert parse_uri(text) == uri


@pytest.mark.parametrize(
    ("value", "uri", "tag"),
    [
        ("<sip:a@b>;tag=1", "sip:a@b", "1"),
        ('"a; <b>, \\" c" <sip:a@b;x=y> ; TAG = "q"', "sip:a@b;x=y", "q"),
        ("sip:a@b;tag=2", "sip:a@b", "2"),
        ("Caller <sip:a@b>", "sip:a@b", ""),
        ("<sip:a@b>;tag=first;tag=second", "sip:a@b", "first"),
    ],
)
def test_names_and_addresses(value: str, uri: str, tag: str) -> None:
    found = parse_name_addr(value)
    assert found is not None
    assert (found.uri, found.tag) == (uri, tag)


@pytest.mark.parametrize("value", ["", " ", "<>", ";tag=1"])
def test_what_is_no_address(value: str) -> None:
    assert parse_name_addr(value) is None


def test_a_via_with_blanks_everywhere_as_rfc_4475_has_it() -> None:
    via = parse_via("SIP / 2.0 / UDP  192.0.2.2:5060 ; branch=390skdjuw ; rport")
    assert via is not None
    assert (via.transport, via.host, via.port) == ("UDP", "192.0.2.2", 5060)
    assert via.params == {"branch": "390skdjuw", "rport": ""}
    assert via.branch == ""  # not the magic cookie: RFC 2543


@pytest.mark.parametrize(
    "value",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0 h",
        "SIP/2.0/UDP h:70000",
        "SIP/2.0/UDP h x",
        "HTTP/1/UDP h",
    ],
)
def test_what_is_no_via(value: str) -> None:
    assert parse_via(value) is None


def test_the_branch_cookie_counts_in_any_letter_case() -> None:
    for text, branch in (("z9hG4bKa", "z9hG4bKa"), ("Z9HG4BKa", "Z9HG4BKa"), ("z9hG4bK", ""), ("1", "")):
        via = parse_via(f"SIP/2.0/UDP h;branch={text}")
        assert via is not None
        assert via.branch == branch


@pytest.mark.parametrize(
    ("value", "cseq"),
    [
        ("1 SUBSCRIBE", CSeq(1, "SUBSCRIBE")),
        ("0009\t NOTIFY", CSeq(9, "NOTIFY")),
        ("2147483647 X", CSeq(2147483647, "X")),
        ("2147483648 X", None),
        ("36893488147419103232 X", None),
        ("-1 X", None),
        ("１ X", None),
        ("1", None),
        ("1 A B", None),
    ],
)
def test_cseq(value: str, cseq: CSeq | None) -> None:
    assert parse_cseq(value) == cseq


def test_parameters_in_quotes_may_hold_anything() -> None:
    found = parse_params(';profile-type="device";vendor="a;b=\\"c\\"";Model=x ; version = "1.2" ;;=;flag')
    assert found == {
        "profile-type": "device", "vendor": 'a;b="c"', "model": "x", "version": "1.2", "flag": "",
    }  # fmt: skip


@pytest.mark.parametrize("text", ['"', '"\\', ';a="b', ';a="b\\', ';a="b\\";c=d', '"' * 5000 + "\\"])
def test_quotes_that_never_end_do_no_harm(text: str) -> None:
    parse_params(text)
    split_list(text)
    parse_name_addr(text)
    assert unquote('"') == '"'


def test_lists_are_split_outside_of_quotes_and_brackets() -> None:
    assert split_list('"a,b" <sip:c,d@e>, f , ,g') == ['"a,b" <sip:c,d@e>', "f", "g"]
