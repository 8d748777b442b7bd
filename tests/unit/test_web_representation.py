"""Content-Type by what a file holds, and entity tags that tell nothing."""

from __future__ import annotations

import pytest

from era_ap.web import representation
from era_ap.web.representation import Describer, content_type

TEXT, XML, BINARY = b"text/plain; charset=utf-8", b"text/xml; charset=utf-8", b"application/octet-stream"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"#!version:1.0.0.1\naccount.1.enable = 1\n", TEXT),
        (b"<<VOIP CONFIG FILE>>Version:2.0002\n", TEXT),
        (b"SET FOO 1\n", TEXT),
        (b"", TEXT),
        ("имя = ф".encode(), TEXT),
        (("ф" * 400).encode()[:600], TEXT),
        (b'<?xml version="1.0"?><a/>', XML),
        (b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8"?><a/>', XML),
        (b"<?xml version=\"1.0\" encoding='ISO-8859-1'?><a/>", b"text/xml; charset=iso-8859-1"),
        (b"<settings><phone-settings/></settings>", XML),
        (b"\n  <!-- x --><a/>", XML),
        (b"<!DOCTYPE html><html></html>", b"text/html; charset=utf-8"),
        (bytes(range(256)), BINARY),
        (b"RIFF\x24\x08\x00\x00WAVE", BINARY),
        (b"\xff\xd8\xff\xe0 JFIF", BINARY),
    ],
)
def test_the_content_tells_its_type(head: bytes, kind: bytes) -> None:
    assert content_type(head) == kind


def test_what_is_known_to_be_xml_is_xml() -> None:
    assert content_type(b"[x]", xml=True) == XML


def test_instances_with_one_key_agree_and_nobody_else_can_compute_a_tag() -> None:
    data = b"secret = 1234\n"
    one, two, stranger = Describer(b"k" * 32), Describer(b"k" * 32), Describer(b"x" * 32)
    assert one.of_content(data) == one.of_content(bytes(bytearray(data))) == two.of_content(data)
    assert one.of_content(data).etag != stranger.of_content(data).etag
    assert one.of_content(data).etag != one.of_content(b"secret = 1235\n").etag


def test_the_same_bytes_may_be_of_two_types() -> None:
    one = Describer(b"k" * 32)
    types = [one.of_content(b"[x]", xml=xml).content_type for xml in (False, True, False)]
    assert types == [TEXT, XML, TEXT]


def test_a_large_file_has_the_tag_of_its_revision() -> None:
    one = Describer(b"k" * 32)
    first, changed, other = (
        one.of_large(*known, b"\x00") for known in (("a.rom", "1-2"), ("a.rom", "1-3"), ("b.rom", "1-3"))
    )
    assert len({first.etag, changed.etag, other.etag}) == 3
    assert first.content_type == BINARY
    assert one.of_large("a.rom", "", b"").etag == ""


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(representation, "_REMEMBERED", 10)
    tags = Describer(b"k" * 32)
    first = tags.of_content(b"a" * 60)
    for number in range(20):
        tags.of_content(bytes([number]) * 60)
    assert len(tags._known) == 10
    assert tags.of_content(b"a" * 60) == first
