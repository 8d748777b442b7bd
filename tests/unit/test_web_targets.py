"""From the target of a request to a name: decoded once, and nothing but text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.errors import Reason, Refused
from era_ap.web import targets
from era_ap.web.targets import Target, Targets, read_target


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"/a.cfg", Target("/a.cfg")),
        (b"//a//b.cfg", Target("//a//b.cfg")),
        (b"/a%2eb%20c.cfg", Target("/a.b c.cfg")),
        (b"/%252e%252e/x", Target("/%2e%2e/x")),
        (b"/%d1%84.cfg", Target("/ф.cfg")),
        (b"/p/TOKEN/a/b.cfg", Target("a/b.cfg", token="TOKEN")),
        (b"//p//TOKEN//b.cfg", Target("b.cfg", token="TOKEN")),
        (b"/p/TOKEN", Target("", token="TOKEN")),
        (b"/p/TOKEN/", Target("", token="TOKEN")),
        (b"/p/", Target("", token="")),
        (b"/p%2fTOKEN%2Fb.cfg", Target("b.cfg", token="TOKEN")),
        (b"/p/../b.cfg", Target("b.cfg", token="..")),
        (b"/p", Target("/p")),
        (b"/phones/x.cfg", Target("/phones/x.cfg")),
        (b"", Target("")),
    ],
)
def test_a_path(path: bytes, target: Target) -> None:
    assert read_target(path, b"") == target


@pytest.mark.parametrize(
    "path", [b"/%", b"/%2", b"/%zz", b"/%c0%ae%c0%ae/", b"/%ff", b"/%ed%a0%80", b"/\xff"]
)
def test_what_is_no_text_is_malformed(path: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_target(path, b"")
    assert refused.value.reason is Reason.HTTP_MALFORMED


def test_a_token_is_never_told() -> None:
    for path in (b"/p/TOKEN/%zz", b"//p//TOKEN/%ff", b"/p%2FTOKEN/%ff"):
        with pytest.raises(Refused) as refused:
            read_target(path, b"")
        assert "TOKEN" not in str(refused.value)
    assert "TOKEN" not in repr(read_target(b"/p/TOKEN/x", b""))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (b"mac=001565000001", "mac=001565000001"),
        (b"mac=00%3A15", "mac=00:15"),
        (b"a=x/../y", "a=x%2F..%2Fy"),
        (b"a=%0a", ""),
        (b"a=%00", ""),
        (b"a=" + b"x" * 300, ""),
        (b"a=%ff", "a=�"),
    ],
)
def test_a_query(query: bytes, text: str) -> None:
    assert read_target(b"/", query).query == text


@pytest.mark.parametrize(
    ("name", "needs"),
    [("/001565000001.cfg", False), ("/00-15-65-00-00-01.txt", False), ("/spa508G.cfg", True), ("/", True)],
)
def test_a_name_with_a_mac_needs_no_hint(name: str, needs: bool) -> None:
    assert Target(name).needs_hint is needs


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_nothing_else_is_raised(path: bytes, query: bytes) -> None:
    try:
        read_target(path, query)
    except Refused as refused:
        assert refused.reason is Reason.HTTP_MALFORMED


def test_what_is_remembered_is_what_would_be_read() -> None:
    memory = Targets()
    for path, query in (
        (b"/a%20b.cfg", b""),
        (b"/a.cfg", b"x=1"),
        (b"/p/TOKEN/a.cfg", b""),
        (b"/" * 5000, b""),
    ):
        assert memory.read(path, query) == memory.read(path, query) == read_target(path, query)
    assert list(memory._known) == [b"/a%20b.cfg"]  # nobody's token, nothing long
    with pytest.raises(Refused):
        memory.read(b"/%", b"")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_REMEMBERED", 10)
    memory = Targets()
    for number in range(100):
        assert memory.read(b"/%d" % number, b"") == Target(f"/{number}")
        assert len(memory._known) <= 10
