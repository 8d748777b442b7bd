"""Structured values of SIP header fields: URI, name-addr, Via, CSeq, parameters (RFC 3261 sections 19, 20).

Owns their reading, tolerant of what phones send. A value that cannot be read is None, never an exception.
Does not own messages (``message``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_CSEQ: Final = 2**31 - 1
DEFAULT_PORT: Final = 5060

# Possessive throughout: no part of a hostile value is ever looked at twice.
_QUOTED = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_SEMICOLONS = re.compile(rf"(?:{_QUOTED}|[^;\"])++", re.DOTALL)
_COMMAS = re.compile(rf"(?:{_QUOTED}|<[^>]*+(?:>|\Z)|[^,\"<])++", re.DOTALL)
_NAME_ADDR = re.compile(rf"((?:{_QUOTED}|[^<\"])*+)<([^>]*+)>(.*)", re.DOTALL)
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[^\s:;?<>\[\]\"/]{1,255})(?:[ \t]*:[ \t]*([0-9]{0,6}))?")
_VIA = re.compile(r"SIP[ \t]*/[ \t]*([^\s/]{1,16})[ \t]*/[ \t]*([A-Za-z0-9+.-]{1,16})[ \t]+", re.IGNORECASE)
_CSEQ = re.compile(r"([0-9]{1,10})[ \t]+([!-~]{1,32})")


@dataclass(frozen=True, slots=True)
class Uri:
    """A ``sip:`` or ``sips:`` URI; ``port`` is None where it names none. IPv6 hosts stand in brackets."""

    scheme: str
    user: str
    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class NameAddr:
    """From, To or Contact: the URI as written and the parameters behind it."""

    uri: str
    params: Mapping[str, str]

    @property
    def tag(self) -> str:
        """The tag (RFC 3261 section 19.3), empty if there is none."""
        return self.params.get("tag", "")


@dataclass(frozen=True, slots=True)
class Via:
    """One hop: who sent the message and where its responses go (RFC 3261 section 20.42, RFC 3581)."""

    version: str
    transport: str
    host: str
    port: int | None
    params: Mapping[str, str]

    @property
    def branch(self) -> str:
        """The branch if it identifies the transaction (RFC 3261 section 8.1.1.7), else empty."""
        branch = self.params.get("branch", "")
        return branch if branch[:7].lower() == "z9hg4bk" and len(branch) > 7 else ""


@dataclass(frozen=True, slots=True)
class CSeq:
    """Number and method of a request within its dialog."""

    number: int
    method: str


def split_list(value: str) -> list[str]:
    """The elements of a comma-separated field; commas in quotes and angle brackets do not count."""
    return [item for part in _COMMAS.findall(value) if (item := part.strip(" \t"))]


def parse_params(text: str) -> dict[str, str]:
    """``;a=b;c="d"``: names in lower case, values without quotes; of a repeated name the first counts."""
    found: dict[str, str] = {}
    for part in _SEMICOLONS.findall(text):
        name, _, value = part.partition("=")
        name = name.strip(" \t").lower()
        if name:
            found.setdefault(name, unquote(value.strip(" \t")))
    return found


def unquote(value: str) -> str:
    """A quoted string without its quotes and backslashes; other text as it is."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)


def parse_uri(text: str) -> Uri | None:
    """A SIP or SIPS URI, its parameters and headers left out."""
    scheme, colon, rest = text.strip(" \t").partition(":")
    if not colon or scheme.lower() not in ("sip", "sips"):
        return None
    user, at, there = rest.partition("@")
    found = _HOST_PORT.match(there if at else rest)
    if found is None:
        return None
    port = _port(found[2])
    return None if port == -1 else Uri(scheme.lower(), user if at else "", found[1], port)


def parse_name_addr(value: str) -> NameAddr | None:
    """``"Name" <uri>;params`` or ``uri;params`` (then the parameters are the field's); None if empty."""
    found = _NAME_ADDR.match(value)
    if found is not None:
        uri, params = found[2].strip(" \t"), found[3]
    else:
        uri, _, params = value.strip(" \t").partition(";")
    return NameAddr(uri, parse_params(params)) if uri else None


def parse_via(value: str) -> Via | None:
    """One element of a Via field."""
    value = value.strip(" \t")
    head = _VIA.match(value)
    where = _HOST_PORT.match(value, head.end()) if head else None
    if head is None or where is None:
        return None
    rest = value[where.end() :].strip(" \t")
    port = _port(where[2])
    if port == -1 or (rest and rest[0] != ";"):
        return None
    return Via(head[1], head[2].upper(), where[1], port, parse_params(rest))


def parse_cseq(value: str) -> CSeq | None:
    """``4711 SUBSCRIBE``; None also beyond 2**31 - 1."""
    found = _CSEQ.fullmatch(value.strip(" \t"))
    if found is None or int(found[1]) > MAX_CSEQ:
        return None
    return CSeq(int(found[1]), found[2])


def _port(text: str | None) -> int | None:
    if not text:
        return None
    return port if 0 < (port := int(text)) <= 65535 else -1
