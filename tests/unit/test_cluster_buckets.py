"""Buckets of the MAC cache: what goes in comes out, equal content is equal bytes, harm is refused."""

from __future__ import annotations

import random
import struct
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.cluster.buckets import (
    BUCKETS,
    MAX_PAYLOAD,
    Bucket,
    DamagedError,
    Row,
    TooLargeError,
    bucket_of_domain,
    bucket_of_mac,
    pack,
    revision_digest,
    unpack,
)
from era_ap.directory.model import AccountKey

MAC = 0x001565000001
ROW = Row(MAC, "a.example.com", "101", 1, 0xDEADBEEF)

names = st.sampled_from(["a.example.com", "b.example.com", "b.a.example.com", "xn--e1afmkfd.example", "x"])
logins = st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=12)
digests = st.integers(0, 0xFFFFFFFF)
rows = st.builds(Row, st.integers(1, 2**48 - 1), names, logins, st.integers(1, 999_999), digests)
contents = st.tuples(
    st.lists(rows, unique_by=lambda row: row[:3], max_size=30), st.dictionaries(names, digests, max_size=5)
)


def spread(macs: list[int]) -> Counter[int]:
    return Counter(map(bucket_of_mac, macs))


@pytest.mark.parametrize("step", [1, 2, 3, 7, 16, 256, 1024, 4096, 65536])
def test_neighbours_and_regular_steps_spread_over_all_buckets(step: int) -> None:
    filled = spread([0x001565000000 + number * step for number in range(100_000)])
    assert len(filled) == BUCKETS
    assert max(filled.values()) < 2 * 100_000 / BUCKETS


def test_macs_of_many_vendors_spread_over_all_buckets() -> None:
    rng = random.Random(1)
    filled = spread([rng.randrange(2**48) for _ in range(100_000)])
    assert len(filled) == BUCKETS
    assert max(filled.values()) < 2 * 100_000 / BUCKETS


@pytest.mark.parametrize("mac", [0, 1, 2**48 - 1])
def test_every_mac_has_a_bucket(mac: int) -> None:
    assert 0 <= bucket_of_mac(mac) < BUCKETS


def test_the_buckets_of_a_mac_and_a_domain_never_change() -> None:
    # What a running instance has written is found by the next release.
    assert bucket_of_mac(MAC) == 250
    assert bucket_of_domain("a.example.com") == 746
    assert revision_digest("1") == 0x83DCEFB7


@given(contents)
def test_what_goes_in_comes_out(content: tuple[list[Row], dict[str, int]]) -> None:
    given_rows, settings = content
    for bucket in (pack(given_rows, settings), unpack(pack(given_rows, settings).payload)):
        assert list(bucket.rows()) == sorted(given_rows)
        assert bucket.settings() == settings
        assert bucket.count == len(given_rows)
        assert bucket.macs == len({row.mac for row in given_rows})
        for mac in {row.mac for row in given_rows} | {0, MAC}:
            assert bucket.owners(mac) == tuple(sorted(row for row in given_rows if row.mac == mac))


@given(contents, st.randoms(use_true_random=False))
def test_equal_content_is_equal_bytes_whatever_the_order(
    content: tuple[list[Row], dict[str, int]], rng: random.Random
) -> None:
    given_rows, settings = content
    shuffled = rng.sample(given_rows, len(given_rows))
    turned = dict(rng.sample(list(settings.items()), len(settings)))
    first, second = pack(given_rows, settings), pack(shuffled, turned)
    assert (first.payload, first.digest) == (second.payload, second.digest)


@pytest.mark.parametrize(
    "other",
    [
        ROW._replace(mac=MAC + 1),
        ROW._replace(domain="b.example.com"),
        ROW._replace(login="102"),
        ROW._replace(line=2),
        ROW._replace(digest=1),
    ],
)
def test_another_row_is_another_digest(other: Row) -> None:
    assert pack([ROW], {}).digest != pack([other], {}).digest


def test_several_accounts_may_list_a_mac_also_of_several_domains() -> None:
    all_three = [ROW, ROW._replace(login="102", line=2), ROW._replace(domain="b.example.com")]
    bucket = pack(all_three, {})
    assert [row.key for row in bucket.owners(MAC)] == [
        AccountKey("a.example.com", "101"),
        AccountKey("a.example.com", "102"),
        AccountKey("b.example.com", "101"),
    ]
    assert bucket.macs == 1


def test_a_bucket_of_nothing_holds_nothing() -> None:
    bucket = unpack(pack([], {}).payload)
    assert (bucket.count, bucket.macs, bucket.owners(MAC), bucket.settings()) == (0, 0, (), {})


def test_more_than_a_node_can_take_is_refused() -> None:
    long = [Row(number, "a.example.com", f"{number:0128}", 1, 0) for number in range(1, 7_000)]
    with pytest.raises(TooLargeError, match="6999 rows"):
        pack(long, {})
    many = [Row(number, f"d{number}", "1", 1, 0) for number in range(1, 70_000)]
    with pytest.raises(TooLargeError, match="69999 domains"):
        pack(many, {})


# --- bytes from elsewhere


def payload() -> bytes:
    settings = {"a.example.com": 5, "c.example.com": 6}
    return pack([ROW, ROW._replace(mac=MAC + 1, login="Ünal")], settings).payload


def use(bucket: Bucket) -> None:
    """Everything that may be asked of a bucket."""
    for row in [*bucket.rows(), ROW, Row(0, "", "", 0, 0)]:
        bucket.owners(row.mac)
    bucket.settings()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_bucket_or_refused(data: bytes) -> None:
    try:
        bucket = unpack(data)
    except DamagedError:
        return
    use(bucket)


def test_a_bucket_with_any_byte_changed_is_a_bucket_or_refused() -> None:
    whole = payload()
    refused = 0
    for place in range(len(whole)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            try:
                use(unpack(whole[:place] + bytes((value,)) + whole[place + 1 :]))
            except DamagedError:
                refused += 1
    assert refused > len(whole)


def test_a_bucket_cut_short_or_with_more_behind_is_refused() -> None:
    whole = payload()
    for length in range(len(whole)):
        with pytest.raises(DamagedError):
            unpack(whole[:length])
    with pytest.raises(DamagedError, match="not as long"):
        unpack(whole + b"x")


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">IHH", 0xFFFFFFFF, 0xFFFF, 0xFFFF),
        struct.pack(">IHH", 0, 0, 0) + bytes(MAX_PAYLOAD),
    ],
)
def test_sizes_that_promise_too_much_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedError):
        unpack(data)


def test_rows_out_of_order_are_refused() -> None:
    whole = payload()
    turned = whole[:8] + whole[14:20] + whole[8:14] + whole[20:]
    with pytest.raises(DamagedError, match="order"):
        unpack(turned)
