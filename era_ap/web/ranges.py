"""Conditional and partial requests as pure functions: If-Match, If-None-Match, If-Range, Range (RFC 9110).

Owns the decision: whole, part, not modified, precondition failed or not satisfiable. Several ranges at once
are answered with the whole file, as RFC 9110 section 14.2 allows; phones ask for one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_RANGE: Final = re.compile(r"bytes\s*=\s*(?:(\d{1,18})\s*-\s*(\d{1,18})?|-\s*(\d{1,18}))\s*", re.IGNORECASE)
_TAG: Final = re.compile(r'\s*((?:W/)?"[^"]*")\s*(?:,|$)')


_CONDITIONS: Final = frozenset({b"if-match", b"if-none-match", b"range"})


@dataclass(frozen=True, slots=True)
class Part:
    """What to send: octets ``start`` to ``end`` (excluded) with ``status``; nothing for 304, 412 and 416."""

    status: int
    start: int = 0
    end: int = 0

    @property
    def has_body(self) -> bool:
        """Whether the octets of the file follow."""
        return self.status in (200, 206)


def asks_whole(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a GET or HEAD with ``headers`` (lower-case names) sets no condition and wants no part."""
    return _CONDITIONS.isdisjoint(headers)


def choose_part(headers: Mapping[bytes, bytes], size: int, etag: str) -> Part:
    """What a GET or HEAD with ``headers`` (lower-case names) gets of a file of ``size`` octets.

    ``etag`` with its quotes, "" where there is none. Order of evaluation as in RFC 9110 section 13.2.2.
    """
    if_match = headers.get(b"if-match")
    if if_match is not None and not _lists(if_match, etag, weak=False):
        return Part(412)
    if_none_match = headers.get(b"if-none-match")
    if if_none_match is not None and _lists(if_none_match, etag, weak=True):
        return Part(304)
    wanted = headers.get(b"range")
    if wanted is None or not _may_be_partial(headers.get(b"if-range"), etag):
        return Part(200, 0, size)
    return _cut(wanted.decode("latin-1"), size)


def _cut(wanted: str, size: int) -> Part:
    found = _RANGE.fullmatch(wanted)
    if found is None:
        return Part(200, 0, size)  # another unit, several ranges or nonsense: ignored (RFC 9110 section 14.2)
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start = int(first)
        end = size if last is None else min(int(last) + 1, size)
        if last is not None and int(last) < start:
            return Part(200, 0, size)
    return Part(206, start, end) if start < end else Part(416)


def _may_be_partial(if_range: bytes | None, etag: str) -> bool:
    """Only a strong tag proves that the parts fit together; there are no dates here to compare."""
    return if_range is None or (etag != "" and if_range.strip().decode("latin-1") == etag)


def _lists(header: bytes, etag: str, *, weak: bool) -> bool:
    text = header.decode("latin-1").strip()
    if text == "*":
        return True
    tags = _TAG.findall(text)
    return etag != "" and (etag in tags or (weak and f"W/{etag}" in tags))
