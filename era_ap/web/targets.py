"""What the target of an HTTP request asks for: a name, a query, perhaps a temporary address.

Owns percent-decoding (once, RFC 3986 section 2.1) and the form ``/p/TOKEN/NAME``. What a name means, and that
it never leads out of the storage, is the provisioner's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from era_ap.errors import Reason, Refused

_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NOT_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAC_IN_NAME: Final = re.compile(r"[0-9a-f]{2}(?:[:.-]?[0-9a-f]{2}){5}", re.IGNORECASE)
_TEMPORARY: Final = re.compile(r"/+p/+([^/]*)/*(.*)", re.DOTALL)
_TOKEN: Final = re.compile(rb"/+p(?:/|%2f)+[^/]*", re.IGNORECASE)
_QUERY: Final = 256
_REMEMBERED: Final = 16_384
_LONGEST: Final = 128


@dataclass(frozen=True, slots=True)
class Target:
    """``name`` and ``query`` are decoded; ``token`` is that of a temporary address, None of another one."""

    name: str
    query: str = ""
    token: str | None = field(default=None, repr=False)

    @property
    def needs_hint(self) -> bool:
        """Whether the name holds nothing that looks like a MAC."""
        return _MAC_IN_NAME.search(self.name) is None


def read_target(path: bytes, query: bytes) -> Target:
    """Read the path and query of a request target, as sent; raises ``Refused`` (HTTP_MALFORMED)."""
    name = _decode(path)
    found = _TEMPORARY.fullmatch(name)
    text = _read_query(query) if query else ""
    if found is not None:
        return Target(found[2], text, found[1])
    return Target(name, text)


class Targets:
    """Reads targets and remembers the usual ones: plain paths, none with somebody's token."""

    def __init__(self) -> None:
        self._known: dict[bytes, Target] = {}

    def read(self, path: bytes, query: bytes) -> Target:
        """As ``read_target``."""
        if query or len(path) > _LONGEST:
            return read_target(path, query)
        target = self._known.get(path)
        if target is None:
            target = read_target(path, query)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            if target.token is None:
                self._known[path] = target
        return target


def _decode(raw: bytes) -> str:
    if b"%" in raw:
        if _BROKEN_ESCAPE.search(raw):
            raise Refused(Reason.HTTP_MALFORMED, f"a broken escape in {_shown(raw)}")
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Refused(Reason.HTTP_MALFORMED, f"not UTF-8: {_shown(raw)}") from None


def _shown(raw: bytes) -> str:
    """A path for the log, without the token of a temporary address."""
    return ascii(_TOKEN.sub(rb"/p/...", raw, count=1)[:80])


def _read_query(query: bytes) -> str:
    """The query as a part of a name that masks can be compared with; "" where it cannot be one."""
    text = unquote_to_bytes(query).decode("utf-8", "replace").replace("/", "%2F").replace("\\", "%5C")
    return "" if len(text) > _QUERY or _NOT_TEXT.search(text) else text
