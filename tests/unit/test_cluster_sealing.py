"""Nodes of the MAC cache: what is written is read back, also by a stranger's format, damage and bombs."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.cluster.buckets import BUCKETS, EMPTY, MAX_PAYLOAD, DamagedError, Row, pack
from era_ap.cluster.sealing import (
    FORMAT,
    IN_FLUX,
    NOTHING,
    Index,
    open_bucket,
    open_index,
    seal_bucket,
    seal_index,
)
from tests.cached_macs import term_of

ROWS = [Row(0x001565000000 + number, "a.example.com", str(number), 1, number) for number in range(1000)]
BUCKET = pack(ROWS, {"a.example.com": 7})
INDEX = Index(12, 0x100000002, 1_800_000_000_000, True, 1000, 1001, 2, (BUCKET.digest, *NOTHING[1:]))


@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_bucket_is_read_back(level: int) -> None:
    assert open_bucket(seal_bucket(BUCKET, level)).payload == BUCKET.payload


def test_an_index_is_read_back() -> None:
    blind = replace(INDEX, sees=False, digests=(IN_FLUX, *NOTHING[1:]))
    for index in (INDEX, blind):
        assert open_index(seal_index(index)) == index
    assert INDEX.complete
    term = term_of(7, 12, 3, 0x100000002)
    assert INDEX.is_of(term)
    assert not INDEX.is_of(replace(term, number=13))
    assert not INDEX.is_of(replace(term, zxid=1))
    assert not blind.complete
    assert len(INDEX.digests) == BUCKETS
    assert set(NOTHING) == {EMPTY}


def test_a_thousand_regular_rows_take_little() -> None:
    assert len(seal_bucket(BUCKET)) < 12 * len(ROWS)


def test_the_largest_bucket_fits_into_a_node_even_if_nothing_compresses() -> None:
    rng = random.Random(1)
    logins = ["".join(chr(rng.randrange(0x100, 0x8000)) for _ in range(128)) for _ in range(2_250)]
    rows = [Row(rng.randrange(2**48), "a.example.com", login, 1, rng.randrange(2**32)) for login in logins]
    bucket = pack(rows, {})
    assert len(bucket.payload) > 0.9 * MAX_PAYLOAD
    assert len(seal_bucket(bucket)) < 1_000_000


def sealed(payload: bytes, kind: bytes = b"B", form: int = FORMAT) -> bytes:
    return bytes((form,)) + kind + zlib.compress(payload)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (bytes((FORMAT,)), "1 bytes"),
        (bytes(2 * 1024 * 1024), "2097152 bytes"),
        (sealed(BUCKET.payload, form=FORMAT + 1), "format 2 is not known"),
        (sealed(BUCKET.payload, b"I"), "another kind"),
        (bytes((FORMAT,)) + b"Bgarbage", "incorrect header|invalid"),
        (sealed(BUCKET.payload)[:-10], "cut short"),
        (sealed(BUCKET.payload) + b"x", "something follows"),
        (sealed(BUCKET.payload + b"x"), "not as long"),
        (sealed(b""), "unpack"),
    ],
)
def test_what_is_no_bucket_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(DamagedError, match=words):
        open_bucket(data)


@pytest.mark.parametrize("length", [0, 10, 8228, 8230, 9000])
def test_an_index_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(DamagedError):
        open_index(sealed(bytes(length), b"I"))


def test_a_decompression_bomb_is_refused_in_little_memory() -> None:
    squeezing = zlib.compressobj(9)
    bomb = b"".join(squeezing.compress(bytes(1 << 20)) for _ in range(99)) + squeezing.flush()
    data = bytes((FORMAT,)) + b"B" + bomb
    assert len(data) < 1024 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match=f"more than {MAX_PAYLOAD} bytes"):
            open_bucket(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * MAX_PAYLOAD
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for kind, read in ((b"B", open_bucket), (b"I", open_index)):
        for each in (data, sealed(data, kind)):
            try:
                read(each)
            except DamagedError:
                continue


def test_a_node_with_any_byte_changed_is_read_or_refused() -> None:
    for whole, read in ((seal_bucket(pack(ROWS[:20], {})), open_bucket), (seal_index(INDEX), open_index)):
        for place in range(len(whole)):
            data = whole[:place] + bytes((whole[place] ^ 0x55,)) + whole[place + 1 :]
            try:
                read(data)
            except DamagedError:
                continue
