"""Netascii: both directions, in pieces cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.tftp.netascii import Decoder, encode

TEXT = st.text(alphabet="\r\n\0a", max_size=40).map(str.encode)


def decode(wire: bytes, cut: int = 1) -> bytes:
    decoder = Decoder()
    pieces = [decoder.feed(wire[at : at + cut]) for at in range(0, len(wire), cut)]
    return b"".join(pieces) + decoder.finish()


def test_line_ends() -> None:
    assert encode(b"a\nb\r\n") == b"a\r\nb\r\0\r\n"
    assert decode(b"a\r\nb\r\0c") == b"a\nb\rc"


@pytest.mark.parametrize("wire", [b"a\r", b"\rx", b"\r\r\n"])
def test_what_the_rfc_does_not_know_passes(wire: bytes) -> None:
    assert decode(wire).replace(b"\n", b"\r\n") == wire


@given(TEXT, st.integers(1, 5))
def test_there_and_back(data: bytes, cut: int) -> None:
    assert decode(encode(data), cut) == data


@given(TEXT, st.integers(1, 40))
def test_encoding_knows_no_pieces(data: bytes, cut: int) -> None:
    assert b"".join(encode(data[at : at + cut]) for at in range(0, len(data), cut)) == encode(data)
