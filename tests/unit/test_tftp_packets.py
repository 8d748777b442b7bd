"""Packets: what is tolerated, what is answered, what is met with silence."""

from __future__ import annotations

import pytest

from era_ap.errors import Outcome, Reason
from era_ap.tftp.packets import (
    ACKS,
    DATA_HEADERS,
    Ack,
    Data,
    Error,
    Mode,
    Oack,
    Opcode,
    Request,
    format_error,
    format_oack,
    format_request,
    parse,
    parse_request,
)


@pytest.mark.parametrize(
    "datagram",
    [
        b"\0\1a.cfg\0octet\0",
        b"\0\1a.cfg\0OcTeT\0",
        b"\0\1a.cfg\0octet",
        b"\0\1a.cfg\0octet\0\0",
        b"\0\1a.cfg\0octet\0\0\0\0\0",
        b"\0\1a.cfg\0octet\0garbage without an end",
    ],
)
def test_a_plain_request_with_the_liberties_phones_take(datagram: bytes) -> None:
    request = parse_request(datagram)
    assert isinstance(request, Request)
    assert (request.opcode, request.name, request.mode) == (Opcode.RRQ, "a.cfg", Mode.OCTET)
    assert not request.options


def test_names_are_utf8_else_latin1() -> None:
    assert parse_request("\0\1привет.cfg\0octet\0".encode()).name == "привет.cfg"  # type: ignore[union-attr]
    assert parse_request(b"\0\1caf\xe9\0octet\0").name == "café"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name", ["x" * 512, "/Cisco/CP-8841/a.xml", "Communicator\\a.cnf.xml", "a%20b", "", " "]
)
def test_a_name_comes_through_as_written(name: str) -> None:
    request = parse_request(b"\0\1" + name.encode() + b"\0netascii\0")
    assert isinstance(request, Request)
    assert (request.name, request.mode) == (name, Mode.NETASCII)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"\0\1a.cfg", Reason.MALFORMED),
        (b"\0\1a.cfg\0", Reason.MALFORMED),
        (b"\0\1", Reason.MALFORMED),
        (b"\0\2x\0\0", Reason.MALFORMED),
        (b"\0\1a.cfg\0mail\0", Reason.MODE_UNSUPPORTED),
        (b"\0\1a\0b.cfg\0octet\0", Reason.MODE_UNSUPPORTED),
    ],
)
def test_an_unusable_request_has_a_reason(datagram: bytes, reason: Reason) -> None:
    assert parse_request(datagram) is reason
    assert reason.outcome is Outcome.PROTOCOL


@pytest.mark.parametrize("opcode", [0, 3, 4, 5, 6, 7, 8, 255, 256, 257, 65535])
def test_other_opcodes_are_no_request(opcode: int) -> None:
    assert parse_request(opcode.to_bytes(2, "big") + b"a\0octet\0") is None


@pytest.mark.parametrize("datagram", [b"", b"\0", b"\1", b"\1\1", b"\0\3", b"\0\4\0", b"\0\5\0", b"\0\7abc"])
def test_what_is_no_packet_is_none(datagram: bytes) -> None:
    assert parse(datagram) is None


def options_of(tail: bytes) -> dict[str, str]:
    request = parse_request(b"\0\1a\0octet\0" + tail)
    assert isinstance(request, Request)
    return dict(request.options)


def test_options_of_every_odd_kind() -> None:
    assert options_of(b"BLKSIZE\x001428\0tsize\x000\0") == {"blksize": "1428", "tsize": "0"}
    assert options_of(b"blksize\x00512\0blksize\x001024\0") == {"blksize": "512"}, "the first wins"
    assert options_of(b"blksize\0") == {}, "no value"
    assert options_of(b"blksize\0\0tsize\x000\0") == {"blksize": "", "tsize": "0"}
    assert options_of(b"\0\0blksize\x00512\0") == {"blksize": "512"}, "stray NULs before it"
    assert options_of("blksize\0٥١٢\0".encode()) == {"blksize": "٥١٢"}
    assert len(options_of(b"".join(b"o%d\0v\0" % n for n in range(300)))) == 300


def test_every_packet_survives_the_way_there_and_back() -> None:
    request = Request(Opcode.WRQ, "log.txt", Mode.NETASCII, {"tsize": "12"})
    assert parse(format_request(request)) == request
    assert parse(DATA_HEADERS[65535] + b"abc") == Data(65535, b"abc")
    assert parse(ACKS[258]) == Ack(258)
    assert parse(format_error(1, "File not found")) == Error(1, "File not found")
    assert parse(format_oack((("blksize", "1024"),))) == Oack({"blksize": "1024"})
    assert len(ACKS) == len(DATA_HEADERS) == 65536


def test_options_are_remembered_unless_they_are_long() -> None:
    def options(count: int) -> object:
        request = parse_request(b"\0\1a.cfg\0octet\0" + b"".join(b"o%d\0v\0" % each for each in range(count)))
        assert isinstance(request, Request)
        assert len(request.options) == count
        return request.options

    assert options(4) is options(4)
    assert options(400) is not options(400), "many of these would fill memory"
