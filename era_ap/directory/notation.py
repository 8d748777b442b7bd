"""How the directory's documents are written: MAC, domain and login notation, text scalars, findings.

Owns the spelling of names (spec 4) and the collecting of one document's problems. Does not know any field.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from functools import lru_cache

from era_ap.errors import Problem, Reason, Severity

MAC_ZERO = "000000000000"
MAX_DEPTH = 30
"""Levels of objects and lists in a document; the JSON of MariaDB has room for one more."""

_DOMAIN_LENGTH = 253
_SEPARATORS = re.compile(r"[\W_]+")
_MAC = re.compile(r"[0-9a-fA-F]{12}")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def parse_mac(text: str) -> str | None:
    """``text`` as 12 lower-case hex digits, whatever separators and case it was written with; else None.

    All zeroes parse too; no device ever has them (spec 4).
    """
    digits = _SEPARATORS.sub("", text)
    return digits.lower() if _MAC.fullmatch(digits) else None


def parse_domain(text: str) -> str | None:
    """``text`` as a lower-case domain name, None if it is none (RFC 1123 section 2.1, ``_`` allowed)."""
    return _domain_name(text) if len(text) <= _DOMAIN_LENGTH else None


@lru_cache(maxsize=4096)  # the accounts of a domain ask one after the other
def _domain_name(text: str) -> str | None:
    name = text.lower()
    fits = len(name) <= _DOMAIN_LENGTH and all(_LABEL.fullmatch(label) for label in name.split("."))
    return name if fits else None


def parse_login(text: str) -> str | None:
    """``text`` if it can be a login (1 to 128 printable characters, no blank at its ends), else None."""
    fits = 0 < len(text) <= 128 and text == text.strip() and not _UNPRINTABLE.search(text)
    return text if fits else None


def text_tree(value: object, depth: int = MAX_DEPTH) -> object:
    """A copy of a document with text in place of every scalar; null stays None.

    For back ends that deliver typed JSON: ``true`` and ``1`` become "true" and "1".

    Raises:
        ValueError: nested more than ``depth`` levels deep.
    """
    if depth < 0:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return {sys.intern(str(key)): text_tree(each, depth - 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [text_tree(each, depth - 1) for each in value]
    return str(value)


def check_characters(text: str, value: object) -> None:
    """JSON can say more than text can hold: half of a surrogate pair is no character.

    Raises:
        ValueError: ``value``, which the JSON ``text`` means, has such a half.
    """
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()


class Findings:
    """Collects problems of one document."""

    def __init__(self, origin: str, subject: str) -> None:
        self._origin = origin
        self._subject = subject
        self.problems: list[Problem] = []

    def error(self, reason: Reason, detail: str) -> None:
        self.problems.append(Problem(reason, self._origin, f"{self._subject}: {detail}"))

    def warning(self, reason: Reason, detail: str) -> None:
        self.problems.append(Problem(reason, self._origin, f"{self._subject}: {detail}", Severity.WARNING))


def shown(value: object) -> str:
    """A field's value for a message: text only, never a whole object."""
    return repr(value[:40]) if isinstance(value, str) else "not text"


def blank(value: object) -> bool:
    """Whether nothing useful was written: null, or text of blanks only."""
    return value is None or (isinstance(value, str) and not value.strip())
