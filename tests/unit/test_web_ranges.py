"""Conditional and partial requests: what is sent of a file of 100 octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.web.ranges import Part, choose_part

ETAG = '"abc"'
WHOLE = Part(200, 0, 100)


def chosen(size: int = 100, etag: str = ETAG, **headers: str) -> Part:
    lines = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    return choose_part(lines, size, etag)


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", Part(206, 0, 1)),
        ("bytes=0-99", Part(206, 0, 100)),
        ("bytes=10-", Part(206, 10, 100)),
        ("bytes=90-1000", Part(206, 90, 100)),
        ("bytes=-5", Part(206, 95, 100)),
        ("bytes=-500", Part(206, 0, 100)),
        ("Bytes = 1 - 2 ", Part(206, 1, 3)),
        ("bytes=100-", Part(416)),
        ("bytes=-0", Part(416)),
        ("bytes=99999999999999999-", Part(416)),
        ("bytes=5-4", WHOLE),
        ("bytes=0-1,5-6", WHOLE),
        ("bytes=", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=+1-2", WHOLE),
        ("bytes=٣-٤".encode().decode("latin-1"), WHOLE),
        ("items=0-1", WHOLE),
    ],
)
def test_a_range(wanted: str, part: Part) -> None:
    assert chosen(range=wanted) == part


def test_no_part_of_an_empty_file_can_be_had() -> None:
    assert chosen(0, range="bytes=0-") == Part(416)
    assert chosen(0) == Part(200, 0, 0)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (ETAG, 304),
        (f"W/{ETAG}", 304),
        (f'"x", {ETAG}', 304),
        ("*", 304),
        ('"x"', 200),
        ("abc", 200),
        ("", 200),
    ],
)
def test_if_none_match(header: str, status: int) -> None:
    assert chosen(if_none_match=header).status == status


def test_a_file_without_a_tag_matches_nothing() -> None:
    assert chosen(etag="", if_none_match='""').status == 200
    assert chosen(etag="", if_range="", range="bytes=0-1") == WHOLE


@pytest.mark.parametrize(("header", "status"), [(ETAG, 200), ("*", 200), (f"W/{ETAG}", 412), ('"x"', 412)])
def test_if_match(header: str, status: int) -> None:
    assert chosen(if_match=header).status == status


@pytest.mark.parametrize(
    ("header", "status"),
    [(ETAG, 206), (f"W/{ETAG}", 200), ('"x"', 200), ("Sat, 21 Nov 2026 00:00:00 GMT", 200)],
)
def test_if_range(header: str, status: int) -> None:
    assert chosen(if_range=header, range="bytes=0-1").status == status


def test_not_modified_goes_before_a_range() -> None:
    assert chosen(if_none_match=ETAG, range="bytes=0-1") == Part(304)


@given(st.binary(max_size=60), st.integers(0, 10**12))
def test_no_range_raises_or_leaves_the_file(wanted: bytes, size: int) -> None:
    part = choose_part({b"range": b"bytes=" + wanted}, size, ETAG)
    assert part.status in (200, 206, 416)
    assert 0 <= part.start <= part.end <= size
