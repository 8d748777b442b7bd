"""Which XPath expressions an override may use, and the simple ones that can be created (spec 8).

Owns the checking of an expression before lxml sees it: its cost is bounded (length, ``//``, predicates do not
nest) and it reaches nothing outside the document (no functions but a few, no variables, no name spaces, no
far axes). Does not own its evaluation. XPath 1.0 (W3C Recommendation) section 3.7, lexical structure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from era_ap.errors import Reason, Refused

MAX_LENGTH: Final = 512
MAX_DESCENTS: Final = 3
MAX_STEPS: Final = 32

_FUNCTIONS: Final = frozenset(
    {"text", "position", "last", "contains", "starts-with", "not", "name", "local-name"}
)
_AXES: Final = frozenset({"child", "self", "parent", "attribute"})
_TOKEN: Final = re.compile(
    r"""(?P<text>"[^"]*"|'[^']*')|(?P<axis>[^\W\d][\w.\-]*)\s*::|(?P<function>[^\W\d][\w.\-]*)\s*\("""
    r"""|(?P<name>[^\W\d][\w.\-]*)|(?P<number>\d+(?:\.\d+)?)|(?P<descent>//)"""
    r"""|(?P<other>[/\[\]()@,.*=<>+|-]|!=)|\s+"""
)
_STEP: Final = re.compile(r"/([^\W\d][\w.\-]*)((?:\[[^\[\]]*\])*)")
_PREDICATE: Final = re.compile(r"\[\s*([^\[\]]*?)\s*\]")
_EQUAL: Final = re.compile(r"""@([^\W\d][\w.\-]*)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_AND: Final = re.compile(r"\s+and\s+")
_ATTRIBUTE: Final = re.compile(r"(.+?)/@([^\W\d][\w.\-]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """One element of a simple path: its name and the attributes it must have."""

    name: str
    attributes: tuple[tuple[str, str], ...]


def check(path: str) -> None:
    """Raise ``Refused`` (OVERRIDE_XPATH) unless ``path`` may be evaluated."""
    if not 0 < len(path) <= MAX_LENGTH:
        _refuse(path, f"has to have 1 to {MAX_LENGTH} characters")
    position, inside, descents, steps = 0, False, 0, 0
    while position < len(path):
        match = _TOKEN.match(path, position)
        if match is None:
            _refuse(path, f"has {path[position]!r} at character {position + 1}, which is not allowed")
        position = match.end()
        _check_names(path, match)
        descents += match["descent"] is not None
        steps += match["descent"] is not None or match["other"] == "/"
        if match["descent"] and inside:
            _refuse(path, "has '//' in a predicate")
        if match["other"] in ("[", "]"):
            if inside is (match["other"] == "["):
                _refuse(path, "has predicates inside each other")
            inside = not inside
    if descents > MAX_DESCENTS or steps > MAX_STEPS:
        _refuse(path, f"has more than {MAX_DESCENTS} '//' or {MAX_STEPS} steps")


def attribute_of(path: str) -> tuple[str, str] | None:
    """``path`` without its last step and the attribute that step names; None if it names none."""
    match = _ATTRIBUTE.fullmatch(path.strip())
    return (match[1], match[2]) if match else None


def simple_steps(path: str) -> tuple[Step, ...] | None:
    """The elements of a path like ``/a/b[@idx='1']/c``, which can be created; None for any other."""
    steps, position, path = list[Step](), 0, path.strip()
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return None
        attributes: list[tuple[str, str]] = []
        for predicate in _PREDICATE.findall(match[2]):
            for condition in _AND.split(predicate):
                equal = _EQUAL.fullmatch(condition)
                if equal is None:
                    return None
                attributes.append((equal[1], equal[2] if equal[2] is not None else equal[3]))
        steps.append(Step(match[1], tuple(attributes)))
        position = match.end()
    return tuple(steps) or None


def _check_names(path: str, match: re.Match[str]) -> None:
    if match["axis"] and match["axis"] not in _AXES:
        _refuse(path, f"uses the axis {match['axis']!r}; only {', '.join(sorted(_AXES))} are allowed")
    if match["function"] and match["function"] not in (*_FUNCTIONS, "and", "or"):
        _refuse(path, f"uses {match['function']}(); only {', '.join(sorted(_FUNCTIONS))} are allowed")


def _refuse(path: str, problem: str) -> NoReturn:
    raise Refused(Reason.OVERRIDE_XPATH, f"the XPath {path[:120]!r} {problem}")
