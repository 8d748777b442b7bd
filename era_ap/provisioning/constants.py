"""The site's constants: ``constants/<Site>.cfg`` (spec 6).

Owns the notation: a line ``key = value``, dotted keys, lines that begin with ``#`` are comments. A value is
what stands after the first ``=``, without blanks around it; a ``#`` in it belongs to it, as in ``*97#``.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from era_ap.errors import Problem, Reason, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

RESERVED = ("domain", "sg.addr", "newid")

_KEY = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_SHOWN = 40


def read_constants(data: bytes, origin: str) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
    """Constants by dotted key, and what is wrong with the file.

    A problem of severity ERROR means that a line could not be understood; the others were taken.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = data.count(b"\n", 0, error.start) + 1
        return MappingProxyType({}), (_problem(origin, bad, "not UTF-8; save the file as UTF-8"),)
    values: dict[str, str] = {}
    first: dict[str, int] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, sign, value = line.partition("=")
        key = key.strip()
        if not sign or not _KEY.fullmatch(key):
            problems.append(_problem(origin, number, f"'{line.strip()[:_SHOWN]}' is not 'key = value'"))
            continue
        if key in RESERVED:
            problems.append(
                _warning(origin, number, f"[constants.{key}] is given by the daemon; this line does nothing")
            )
            continue
        if key in first:
            problems.append(
                _warning(origin, number, f"'{key}' already stands in line {first[key]}; this one counts")
            )
        first[key] = number
        values[key] = value.strip()
    return MappingProxyType(values), tuple(problems)


def _problem(origin: str, line: int, sentence: str) -> Problem:
    return Problem(Reason.CONSTANTS_INVALID, f"{origin}:{line}", sentence)


def _warning(origin: str, line: int, sentence: str) -> Problem:
    return Problem(Reason.CONSTANTS_INVALID, f"{origin}:{line}", sentence, Severity.WARNING)
