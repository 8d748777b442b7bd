"""How a file is described over HTTP: its Content-Type, its ETag and the header of an answer with it.

Owns the types of the dialects (phones.md 1.2: the extension does not tell the dialect, the content does) and
the entity tags: keyed hashes, so that one in somebody's log cannot be used to try passwords.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from era_ap.web.ranges import Part

if TYPE_CHECKING:
    from collections.abc import Iterable

Header = tuple[bytes, bytes]

_XML_ENCODING: Final = re.compile(
    rb"""^\xef?\xbb?\xbf?<\?xml[^>]{0,120}encoding\s*=\s*["']([A-Za-z0-9._-]{1,30})"""
)
_BINARY: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SNIFFED: Final = 512
_MARKUP: Final = (b"<?xml", b"<!--", b"<!DOCTYPE")
_ELEMENT: Final = re.compile(rb"<[A-Za-z_][\w.:-]*[\s/>]")
_REMEMBERED: Final = 50_000
"""Descriptions: as many as answers are kept."""
_PRIVATE: Final = (b"cache-control", b"private, no-cache")
_RANGES: Final = (b"accept-ranges", b"bytes")
_NOT_SNIFFED: Final = (b"x-content-type-options", b"nosniff")
_NO_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HTML: Final = re.compile(rb"<(?:!doctype\s+)?html\b", re.IGNORECASE)


def content_type(head: bytes, *, xml: bool = False) -> bytes:
    """The Content-Type of a file that begins with ``head``; ``xml`` where it is known to be XML."""
    head = head[:_SNIFFED]
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _HTML.match(text):
        return b"text/html; charset=utf-8"
    if xml or text.startswith(_MARKUP) or _ELEMENT.match(text):
        declared = _XML_ENCODING.match(head)
        return b"text/xml; charset=" + (declared[1].lower() if declared else b"utf-8")
    if _BINARY.search(head) or not _is_utf8(head):
        return b"application/octet-stream"
    return b"text/plain; charset=utf-8"


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and len(head) == _SNIFFED  # cut within a character
    return True


class Head:
    """Status and header of an answer; ``octets`` are its lines as sent. Raises ``ValueError``."""

    __slots__ = ("fields", "octets", "status")

    def __init__(self, status: int, fields: Iterable[Header]) -> None:
        self.status = status
        self.fields = (*fields, _NOT_SNIFFED)
        self.octets = b"".join(b"%b: %b\r\n" % field for field in self.fields)
        if any(_NO_VALUE.search(value) for _, value in self.fields):
            raise ValueError("this would break out of its header")


@dataclass(frozen=True, slots=True)
class Description:
    """``etag`` with its quotes, "" where there is none; ``content_type`` as a header's value.

    ``whole`` is the head of an answer with all of it; None of a large file.
    """

    etag: str
    content_type: bytes
    whole: Head | None = field(default=None, compare=False)

    def head(self, part: Part, size: int) -> Head:
        """The head of an answer with ``part`` of the file, which has ``size`` octets."""
        fields = [_PRIVATE, _RANGES]
        if self.etag:
            fields.append((b"etag", self.etag.encode()))
        if part.status == 416:
            fields.append((b"content-range", b"bytes */%d" % size))
        if part.status == 206:
            fields.append((b"content-range", b"bytes %d-%d/%d" % (part.start, part.end - 1, size)))
        if part.has_body:
            fields.append((b"content-type", self.content_type))
        if part.status != 304:
            fields.append((b"content-length", b"%d" % (part.end - part.start)))
        return Head(part.status, fields)


class Describer:
    """Describes files. ``key`` is shared by the instances of a site, so that their tags agree."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key, person=b"era_ap etag").digest()[:32]
        self._known: OrderedDict[tuple[int, int, bool], Description] = OrderedDict()

    def of_content(self, data: bytes, *, xml: bool = False) -> Description:
        """A whole file in memory; computed once while the same file is asked for again.

        Python's own hash, which the bytes carry with them and nobody outside can foresee, stands for them, so
        that they are not held here.
        """
        key = (hash(data), len(data), xml)
        known = self._known.get(key)
        if known is None:
            found = Description(self._tag(data), content_type(data, xml=xml))
            size = len(data)
            known = self._known[key] = replace(found, whole=found.head(Part(200, 0, size), size))
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    def of_large(self, name: str, revision: str, head: bytes) -> Description:
        """A large file that is known by its ``revision`` and begins with ``head``."""
        etag = self._tag(f"{name}\x00{revision}".encode()) if revision else ""
        return Description(etag, content_type(head))

    def _tag(self, data: bytes) -> str:
        return f'"{hashlib.blake2b(data, digest_size=12, key=self._key).hexdigest()}"'
