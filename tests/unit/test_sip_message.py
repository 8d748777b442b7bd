"""SIP messages: read as phones write them, written as RFC 3261 wants them."""

from __future__ import annotations

import pytest

from era_ap.sip.message import MAX_DATAGRAM, Fault, Request, Response, parse, required_faults, write

LINES = (
    "SUBSCRIBE sip:MAC001565a1b2c3@224.0.1.75 SIP/2.0",
    "Via: SIP/2.0/UDP 192.0.2.50:5059;branch=z9hG4bK1",
    "From: <sip:MAC001565a1b2c3@224.0.1.75>;tag=1",
    "To: <sip:MAC001565a1b2c3@224.0.1.75>",
    "Call-ID: 1@192.0.2.50",
    "CSeq: 1 SUBSCRIBE",
    "Event: ua-profile",
    "Content-Length: 0",
)


def wire(*lines: str, body: bytes = b"", end: str = "\r\n") -> bytes:
    return (end.join(lines) + 2 * end).encode() + body


def changed(**fields: str | None) -> bytes:
    """The usual message with other values; None leaves the field out."""
    lines = []
    for line in LINES:
        name = line.partition(":")[0].replace("-", "_")
        if name not in fields:
            lines.append(line)
        elif fields[name] is not None:
            lines.append(f"{name.replace('_', '-')}: {fields[name]}")
    return wire(*lines)


def request(data: bytes) -> Request:
    found = parse(data)
    assert isinstance(found, Request), found
    return found


def test_a_plain_request() -> None:
    found = request(wire(*LINES))
    assert (found.method, found.uri) == ("SUBSCRIBE", "sip:MAC001565a1b2c3@224.0.1.75")
    assert found.get("Call-ID") == "1@192.0.2.50"
    assert found.faults == ()
    assert required_faults(found) == ()
    assert found.get("Content-Length") is None


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends_of_both_kinds(end: str) -> None:
    assert request(wire(*LINES, end=end)) == request(wire(*LINES))


def test_compact_forms_letter_case_and_folding() -> None:
    found = request(
        wire(
            "SUBSCRIBE sip:h SIP/2.0", "v: SIP/2.0/UDP h", "f: <sip:a>", "t:<sip:b>", "i : 7",
            "cSEQ: 1\r\n\tSUBSCRIBE",
            "o:ua-profile;\r\n  vendor=\"x\"", "m: <sip:c>", "l: 0", "x-ODD-name: y",
        )
    )  # fmt: skip
    assert found.fields == (
        ("Via", "SIP/2.0/UDP h"), ("From", "<sip:a>"), ("To", "<sip:b>"), ("Call-ID", "7"),
        ("CSeq", "1 SUBSCRIBE"),
        ("Event", 'ua-profile; vendor="x"'), ("Contact", "<sip:c>"), ("X-Odd-Name", "y"),
    )  # fmt: skip
    assert required_faults(found) == ()


def test_a_missing_end_of_the_head_is_forgiven() -> None:
    assert request(b"\r\n".join(line.encode() for line in LINES)).get("Event") == "ua-profile"


def test_line_ends_before_the_start_line_are_skipped() -> None:
    assert request(b"\r\n\r\n" + wire(*LINES)).faults == ()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n\r\n", b"\0", b"\0\x01x.cfg\0octet\0", b"GET / HTTP/1.1\r\n\r\n", b"SIP/2.0",
        b"SIP/2.0 20 x\r\n\r\n",
        b"SUBSCRIBE sip:h", b"SUBSCRIBE", b"(x) sip:h SIP/2.0\r\n\r\n", wire(*LINES) + b"x" * MAX_DATAGRAM,
        b"SIP/3.0 200 OK\r\n\r\n", b"SIP/2.0 700 OK\r\n\r\n", b"SIP/2.0 2000 OK\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_message(data: bytes) -> None:
    assert parse(data) is None


def test_a_datagram_of_8_kib_is_one() -> None:
    found = request(changed(User_Agent="x", Event="ua-profile;x=" + "y" * 8000))
    assert len(found.get("Event") or "") > 8000


@pytest.mark.parametrize(
    ("head", "status", "text"),
    [
        ("SUBSCRIBE sip:h SIP/7.0", 505, "Version Not Supported"),
        ("SUBSCRIBE sip:h x SIP/2.0", 400, "Bad Request-URI"),
        ("SUBSCRIBE <sip:h> SIP/2.0", 400, "Bad Request-URI"),
        ("SUBSCRIBE  SIP/2.0", 400, "Bad Request-URI"),
        ("SUBSCRIBE nobodyKnowsThisScheme:x SIP/2.0", 416, "Unsupported URI Scheme"),
        ("SUBSCRIBE sip: SIP/2.0", 400, "Bad Request-URI"),
    ],
)
def test_faulty_start_lines(head: str, status: int, text: str) -> None:
    assert required_faults(request(wire(head, *LINES[1:])))[0] == Fault(status, text)


@pytest.mark.parametrize("head", ["SUBSCRIBE  sip:h  SIP/2.0 ", "SUBSCRIBE sip:h sip/2.0"])
def test_start_lines_that_are_corrected(head: str) -> None:
    assert required_faults(request(wire(head, *LINES[1:]))) == ()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Via": None}, "Bad Via"),
        ({"Via": "SIP/2.0/UDP"}, "Bad Via"),
        ({"From": None}, "Bad From"),
        ({"To": ""}, "Bad To"),
        ({"Call_ID": None}, "Missing Call-ID"),
        ({"Call_ID": ""}, "Missing Call-ID"),
        ({"CSeq": None}, "Bad CSeq"),
        ({"CSeq": "1 NOTIFY"}, "Bad CSeq"),
        ({"CSeq": "4294967296 SUBSCRIBE"}, "Bad CSeq"),
        ({"Content_Length": "-1"}, "Bad Content-Length"),
        ({"Content_Length": "2147483648"}, "Bad Content-Length"),
        ({"Content_Length": "1"}, "Bad Content-Length"),
        ({"Content_Length": "0x0"}, "Bad Content-Length"),
    ],
)
def test_faulty_fields(fields: dict[str, str | None], text: str) -> None:
    assert [fault.text for fault in required_faults(request(changed(**fields)))] == [text]


@pytest.mark.parametrize("twice", ["From: <sip:x>", "To: <sip:x>;tag=", "Call-ID: 2", "CSeq: 2 SUBSCRIBE"])
def test_what_may_stand_only_once(twice: str) -> None:
    (fault,) = required_faults(request(wire(*LINES, twice)))
    assert fault == Fault(400, f"Multiple {twice.partition(':')[0]}")


def test_a_line_that_is_no_field_is_a_fault_with_all_its_continuations() -> None:
    found = request(wire(*LINES, "no colon here", " Call-ID: 9", "ev il: x"))
    assert found.faults == (Fault(400, "Bad Header Field"),) * 2
    assert found.get_all("Call-ID") == ["1@192.0.2.50"]


def test_a_body_is_cut_where_content_length_says() -> None:
    found = request(wire("MESSAGE sip:h SIP/2.0", "Content-Length: 3", body=b"abcdef"))
    assert found.body == b"abc"
    assert request(wire("MESSAGE sip:h SIP/2.0", body=b"abcdef")).body == b"abcdef"


def test_a_missing_blank_after_the_colon_and_control_bytes() -> None:
    found = request(wire(*LINES[:-2], "Event:ua-profile", "User-Agent: AVAYA/SIP12x0<\x17>/04\0"))
    assert (found.get("Event"), found.get("User-Agent")) == ("ua-profile", "AVAYA/SIP12x0<?>/04?")
    assert found.faults == ()


def test_a_bare_cr_cannot_smuggle_in_a_line() -> None:
    found = request(wire(*LINES[:4], "Call-ID: 1\rTo: <sip:evil>", *LINES[5:]))
    assert found.get("Call-ID") == "1?To: <sip:evil>"
    assert b"\r\nTo: <sip:evil>" not in write(found)


def test_latin_1_is_echoed_as_it_came() -> None:
    data = wire(*LINES).replace(b"1@192", b"\xe9\xff@192")
    found = request(data)
    assert found.encoding == "latin-1"
    assert b"Call-ID: \xe9\xff@192.0.2.50\r\n" in write(found)
    assert request(wire(*LINES, "Subject: \u0416")).get("Subject") == "\u0416"


def test_a_response() -> None:
    found = parse(b"SIP/2.0 202  Accepted now\r\nCSeq: 2 NOTIFY\r\n\r\n")
    assert isinstance(found, Response)
    assert (found.status, found.reason, found.get("CSeq")) == (202, "Accepted now", "2 NOTIFY")


def test_writing_is_strict_and_exact() -> None:
    message = Request(
        (("Via", "SIP/2.0/UDP h"), ("To", "<sip:ж>")), b"tftp://h/", method="NOTIFY", uri="sip:h"
    )
    assert write(message) == (
        b"NOTIFY sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nTo: <sip:\xd0\xb6>\r\nContent-Length: 9\r\n\r\ntftp://h/"
    )
    assert parse(write(message)) == message


@pytest.mark.parametrize("evil", ["a\r\nTo: <sip:b>", "a\nb", "a\0", "a\x7f"])
def test_nothing_with_control_characters_is_written(evil: str) -> None:
    with pytest.raises(ValueError, match="control"):
        write(Response((("Subject", evil),), status=200, reason="OK"))
    with pytest.raises(ValueError, match="control"):
        write(Request((), method="NOTIFY", uri=evil))


def test_fields_that_are_lists() -> None:
    found = request(wire("OPTIONS sip:h SIP/2.0", "Via: SIP/2.0/UDP a, SIP/2.0/UDP b", "Via: SIP/2.0/UDP c"))
    assert found.items("Via") == ["SIP/2.0/UDP a", "SIP/2.0/UDP b", "SIP/2.0/UDP c"]
