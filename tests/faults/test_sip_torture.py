"""Ugly and hostile messages after the list of RFC 4475, told as SUBSCRIBEs; sizes and garbage (D1, D8).

Valid ones are answered like any other, invalid ones by 4xx, 5xx or silence; nothing raises, nothing takes
longer than five milliseconds.
"""

from __future__ import annotations

import gc
import random
import tracemalloc
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era_ap.sip.message import Request, Response, parse, write
from era_ap.sip.shapes import shapes
from tests.unit.sip_site import MAC, World, confirm, message, subscribe

URI = f"sip:MAC%3a{MAC}@224.0.1.75"
EVENT = "ua-profile;vendor=yealink"


def raw(start: str, *lines: str, end: str = "\r\n", body: str = "") -> bytes:
    return (end.join((start, *lines)) + 2 * end + body).encode()


VALID = {
    # 3.1.1.1 a short tortuous message: folding, odd letter case, blanks before colons, escaped quotes
    "short-tortuous": raw(
        f"SUBSCRIBE {URI} SIP/2.0",
        f'TO :\r\n {URI} ;   x-param = "a"',
        f'from : "J Rosenberg \\\\\\"" <{URI}>\r\n  ;\r\n  tag = 98asjd8',
        "MaX-fOrWaRdS: 0068", "Call-ID: wsinv.ndaksdj@192.0.2.50", "Content-Length   : 0",
        "cseq: 0009\r\n  SUBSCRIBE",
        "Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.50;branch=390skdjuw",
        "s :", "NewFangledHeader:   newfangled value\r\n continued newfangled value",
        'UnknownHeaderWithUnusualValue: ;;,,;;,;', f"o: {EVENT}",
        "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  / 2.0  "
        " / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239",
        'm:"Quoted string \\"\\"" <sip:192.0.2.50:5060>;newparam = newvalue ;\r\n  secondparam ; q = 0.33',
    ),
    # 3.1.1.2 wide range of characters; 3.1.1.3 percent signs; 3.1.1.4 escaped nulls; 3.1.1.5 no escape
    "wide-range": subscribe(
        Contact="<sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*p$w~@192.0.2.50>",
        From='"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:h>;tag=1',
    ),
    "percent": subscribe(From="<sip:sips%3Auser%40example.com@example.net>;tag=1"),
    "escaped-nulls": subscribe(From="<sip:null-%00-null@example.com>;tag=1", Contact="<sip:%00@192.0.2.50>"),
    "percent-no-escape": subscribe(From='"%Z%45" <sip:re%67ister%zz@h>;tag=1'),
    # 3.1.1.6 no LWS between display name and <; 3.1.1.7 long values in fields; 3.1.1.8 extra trailing octets
    "no-lws": subscribe(From="caller<sip:caller@h>;tag=1"),
    "long-values": subscribe(
        From=f'"{"I have a user name of extreme proportion" * 20}" <sip:h>;tag={"1" * 900};x="{"lg" * 400}"',
        Call_ID=f"{'really' * 100}long", Via=f"SIP/2.0/UDP 192.0.2.50;branch=z9hG4bK{'long' * 200}",
    ),
    "trailing-octets": subscribe(Content_Length="0") + b"\r\nREGISTER sip:h SIP/2.0\r\n\r\n",
    # 3.1.1.9 semicolon-separated parameters in the user part; 3.1.1.10 varied transport types
    "semicolons": subscribe(From="<sip:user;par=u%40example.net@example.com>;tag=1"),
    "transports": subscribe(Via="SIP/2.0/UNKNOWN 192.0.2.50;branch=z9hG4bK1, SIP/2.0/TLS t1;branch=z9hG4bK2"),
    # 3.1.1.11 multipart MIME body, 3.3.7 unknown content type
    "body": subscribe(Content_Type="multipart/mixed; boundary=x", Content_Length="9") + b"--x\0\xff--x--",
    # 3.2.1 missing transaction identifier
    "no-identifier": subscribe(Via="SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK"),
    # 3.3.9 unknown header fields, 3.3.15 unacceptable Accept
    "unknown-fields": subscribe(Unheard_Of="x", Accept="text/nobodyKnowsThis, application/url"),
    # 3.1.2.12 invalid date and 3.1.2.11 malformed date: fields nobody reads
    "date": subscribe(Date="Fri, 01 Jan 2010 16:00:00 EST", Timestamp="-"),
    "expires": subscribe(Expires="99999999999999999999999", Max_Forwards="0"),
    "lf-only": subscribe().replace(b"\r\n", b"\n"),
}  # fmt: skip

INVALID = {
    # 3.1.2.1 extraneous separators; 3.1.2.2, 3.1.2.3 Content-Length larger than the message, negative
    "separators": subscribe(Via=";;,;,,", Contact="\"\" <> ;,"),
    "length-larger": subscribe(Content_Length="9999"),
    "length-negative": subscribe(Content_Length="-999"),
    "length-huge": subscribe(Content_Length="2147483648"),
    "length-text": subscribe(Content_Length="zero"),
    # 3.1.2.4 overlarge scalar values
    "scalars": subscribe(CSeq="36893488147419103232 SUBSCRIBE", Max_Forwards="300", Expires="1" * 40),
    # 3.1.2.6 unterminated quoted string in a display name: From has no URI left
    "no-start": b"\r\n\r\n\r\n",
    # 3.1.2.7 <> around the Request-URI; 3.1.2.8 white space in it; 3.1.2.10 escaped headers
    "angle-uri": subscribe(start=f"SUBSCRIBE <{URI}> SIP/2.0"),
    "white-uri": subscribe(start=f"SUBSCRIBE {URI}; lr SIP/2.0"),
    # 3.1.2.16 unknown version; 3.1.2.17 CSeq and start line disagree; 3.1.2.18 with an unknown method
    "version": subscribe(start=f"SUBSCRIBE {URI} SIP/7.0"),
    "cseq-other": subscribe(CSeq="8 INVITE"),
    "cseq-unknown": subscribe(start=f"NEWMETHOD {URI} SIP/2.0"),
    # 3.1.2.19 overlarge response code
    "response-code": b"SIP/2.0 4294967301 better not break the receiver\r\n\r\n",
    # 3.3.1 missing required fields; 3.3.2 unknown scheme; 3.3.3 known but odd; 3.3.4 unknown scheme in From
    "missing": raw(f"SUBSCRIBE {URI} SIP/2.0", "CSeq: 1 SUBSCRIBE"),
    "scheme": subscribe(start="SUBSCRIBE nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"),
    "scheme-known": subscribe(start="SUBSCRIBE soap.beep://192.0.2.103:3002 SIP/2.0"),
    # 3.3.5, 3.3.6 Require and Proxy-Require with unknown tags; 3.3.8 multiple values in single-value fields
    "require": subscribe(Require="nothingSupportsThis, nothingSupportsThisEither"),
    "multiple": subscribe()[:-2] + b"CSeq: 5 SUBSCRIBE\r\nCall-ID: 2\r\nTo: <sip:x>\r\n\r\n",
    "lengths": subscribe()[:-2] + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    # two To headers with an empty tag, a Via that is none, a Via without end
    "two-to": subscribe(To="<sip:x>;tag=")[:-2] + b"To: <sip:x>;tag=\r\n\r\n",
    "bad-via": subscribe(Via="SIP/2.0/UDP \xff[::1" + ";" * 500),
    "quote-via": subscribe(Via='SIP/2.0/UDP "' + "\\" * 1001),
}  # fmt: skip


@pytest.mark.parametrize("name", VALID)
@pytest.mark.parametrize("multicast", [True, False])
def test_what_is_valid_is_answered(name: str, multicast: bool) -> None:
    sent = World().hear(VALID[name], multicast=multicast)
    assert len(sent) == 2, name
    accepted, notify = map(message, sent)
    assert isinstance(accepted, Response)
    assert accepted.status == 200
    assert notify.get("Call-ID") == accepted.get("Call-ID")


@pytest.mark.parametrize("name", INVALID)
def test_what_is_invalid_is_refused_or_ignored(name: str) -> None:
    assert World().hear(INVALID[name]) == []
    for each in World().hear(INVALID[name], multicast=False):
        answer = message(each)
        assert isinstance(answer, Response)
        assert 400 <= answer.status < 600


NOBODY = {"start": "SUBSCRIBE sip:h SIP/2.0", "From": "<sip:h>", "To": "<sip:h>", "Contact": None}
SIZES = {
    "64-kb-field": subscribe(Subject="x" * 64_000),
    "64-kb-quotes": subscribe(From='"' * 64_000),
    "16-kb-quotes": subscribe(From='"' * 15_000),
    "16-kb-backslashes": subscribe(From='"' + "\\" * 15_000),
    "16-kb-semicolons": subscribe(From="<sip:h>" + ";" * 15_000),
    "16-kb-commas": subscribe(Via="," * 15_000),
    "16-kb-brackets": subscribe(Via="<" * 15_000, Contact="<" * 100),
    "16-kb-macs": subscribe(User_Agent="MAC" * 5_000, **NOBODY),
    "1-kb-macs": subscribe(User_Agent="MAC0" * 250, **NOBODY),
    "16-kb-digits": subscribe(User_Agent="00:" * 5_000, **NOBODY),
    "1-kb-digits": subscribe(User_Agent="00:" * 340, **NOBODY),
    "1-kb-agent": subscribe(User_Agent="Gigaset " + "a " * 500, **NOBODY),
    "16-kb-event": subscribe(Event="ua-profile" + ';vendor="' * 1_600),
    "16-kb-folding": subscribe(Subject="x" + "\r\n " * 5_000),
    "16-kb-blanks": subscribe(Contact=" " * 15_000),
    "16-kb-agent": subscribe(User_Agent="Gigaset " + "a " * 7_000),
    "8-kb-agent": subscribe(User_Agent="Aastra6731i " + "a " * 4_000),
    "10000-fields": subscribe()[:-2] + b"a: b\r\n" * 10_000 + b"\r\n",
    "2000-fields": subscribe()[:-2] + b"a: b\r\n" * 2_000 + b"\r\n",
    "2000-vias": subscribe()[:-2] + b"v: SIP/2.0/UDP h\r\n" * 600 + b"\r\n",
    "nuls": subscribe().replace(b"SIP", b"S\0P") + b"\0" * 10_000,
    "invalid-utf-8": subscribe().replace(b"ua-profile", b"ua-profile;\xff\xfe=\xc3"),
    "bare-lf": subscribe().replace(b"\r\n", b"\n"),
    "bare-cr": subscribe().replace(b"\r\n", b"\r"),
    "only-line-ends": b"\r\n" * 8_000,
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_no_message_takes_longer_than_five_milliseconds(name: str) -> None:
    times = []
    for number in range(5):
        world = World()
        gc.disable()
        try:
            start = perf_counter()
            world.hear(SIZES[name], multicast=bool(number % 2))
            times.append(perf_counter() - start)
        finally:
            gc.enable()
    assert min(times) < 0.005, f"{min(times) * 1000:.2f} ms"


def test_memory_stays_flat_whatever_is_sent() -> None:
    world = World()
    for data in SIZES.values():
        world.hear(data, multicast=False)
    world.reasons()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(20):
            for data in SIZES.values():
                world.hear(data, float(number), multicast=False)
            world.reasons()
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 4_000_000


PIECES = [
    *(shape.compose(MAC, "192.0.2.50", 5060, random.Random(1)) for shape in shapes().values()),
    *VALID.values(),
    *INVALID.values(),
    confirm(World().hear(subscribe())[1]),
]
ODD = [b"\r\n", b"\n", b"\r", b"\0", b'"', b"<", b";", b",", b"\xff", b" "]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message with bytes replaced, cut, doubled or mixed in from another."""
    data = bytearray(draw(st.sampled_from(PIECES)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=4))
            case 1:
                del data[at : at + draw(st.integers(1, 60))]
            case 2:
                data[at:at] = data[at : at + draw(st.integers(1, 60))]
            case 3:
                data[at:at] = draw(
                    st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b'"', b"<", b";", b",", b"\xff", b" "])
                )
            case _:
                data[at:] = draw(st.sampled_from(PIECES))[at:]
    return bytes(data)


@given(st.one_of(st.binary(max_size=400), damaged()), st.booleans())
@settings(max_examples=400, deadline=None)
def test_nothing_raises_and_all_that_is_sent_is_well_formed(data: bytes, multicast: bool) -> None:
    world = World(everybody=True)
    world.hear(subscribe(Call_ID="before"))
    for each in world.hear(data, 0.1, multicast=multicast):
        message(each)
    world.run(100.0)
    world.reasons()


@given(st.one_of(st.binary(max_size=400), damaged()))
@settings(max_examples=400, deadline=None)
def test_writing_what_was_read_is_stable(data: bytes) -> None:
    found = parse(data)
    if found is None:
        return
    written = write(found)
    again = parse(written)
    assert isinstance(again, Request | Response)
    assert write(again) == written
