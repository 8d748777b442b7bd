"""Which XPath expressions an override may use, and the simple ones that can be created (spec 8).

Owns the checking of an expression before lxml sees it: its cost is bounded (length, ``//``, predicates do not
nest) and it reaches nothing outside the document (no functions but a few, no variables, no name spaces, no
far axes). Does not own its evaluation. XPath 1.0 (W3C Recommendation) section 3.7, lexical structure.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Final, NoReturn

from era_ap.errors import Reason, Refused
from era_ap.provisioning.escape import legal

MAX_LENGTH: Final = 512
MAX_DESCENTS: Final = 3
MAX_STEPS: Final = 32
MAX_PREDICATES: Final = 8
MANY_ELEMENTS: Final = 2000

_FUNCTIONS: Final = frozenset(
    {"text", "position", "last", "contains", "starts-with", "not", "name", "local-name"}
)
_WORDS: Final = ("and", "or")
_COMPARED: Final = frozenset({"=", "!=", "<", ">", ","})
_NO_OPERAND: Final = frozenset({"[", "(", ",", "=", "!=", "<", ">", "+", "-", "|", "and", "or", "not"})
_AXES: Final = frozenset({"child", "self", "parent", "attribute"})
_TOKEN: Final = re.compile(
    r"""(?P<text>"[^"]*"|'[^']*')|(?P<axis>[^\W\d][\w.\-]*)\s*::|(?P<function>[^\W\d][\w.\-]*)\s*\("""
    r"""|(?P<name>[^\W\d][\w.\-]*)|(?P<number>\d+(?:\.\d+)?)|(?P<descent>//)"""
    r"""|(?P<other>[/\[\]()@,.*=<>+|-]|!=)|[ \t\r\n]+"""
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


def check(path: str, elements: int) -> None:
    """Raise ``Refused`` (OVERRIDE_XPATH) unless ``path`` may be evaluated in a file of that many elements."""
    if not 0 < len(path) <= MAX_LENGTH:
        _refuse(path, f"has to have 1 to {MAX_LENGTH} characters")
    if path != legal(path):
        _refuse(path, "has control characters")
    tokens = _tokens(path)
    written = [token for _, token in tokens]
    kinds = [kind for kind, _ in tokens]
    if kinds.count("descent") > MAX_DESCENTS:
        _refuse(path, f"has more than {MAX_DESCENTS} '//'")
    if written.count("/") > MAX_STEPS or written.count("[") > MAX_PREDICATES:
        _refuse(path, f"has more than {MAX_STEPS} steps or {MAX_PREDICATES} predicates")
    _check_predicates(path, tokens)
    goes_up = ("axis", "parent") in tokens or (".", ".") in itertools.pairwise(written)
    if elements > MANY_ELEMENTS and (goes_up or "|" in written or kinds.count("descent") > 1):
        _refuse(path, f"has '..', '|' or several '//', too slow for more than {MANY_ELEMENTS} elements")


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


def _tokens(path: str) -> list[tuple[str, str]]:
    """Kind and text of each token; names of axes and functions are without what follows them."""
    tokens, position = list[tuple[str, str]](), 0
    while position < len(path):
        match = _TOKEN.match(path, position)
        if match is None:
            _refuse(path, f"has {path[position]!r} at character {position + 1}, which is not allowed")
        position = match.end()
        kind = match.lastgroup
        if kind is None:
            continue
        if kind == "axis" and match[kind] not in _AXES:
            _refuse(path, f"uses the axis {match[kind]!r}; only {', '.join(sorted(_AXES))} are allowed")
        if kind == "function" and match[kind] not in (*_FUNCTIONS, *_WORDS):
            _refuse(path, f"uses {match[kind]}(); only {', '.join(sorted(_FUNCTIONS))} are allowed")
        tokens.append((kind, match[kind]))
    return tokens


def _check_predicates(path: str, tokens: list[tuple[str, str]]) -> None:
    """A predicate looks at its node and below and compares with text or numbers: linear in the size."""
    inside, before = False, ("other", "[")
    for here in tokens:
        kind, written = here
        if here in (("other", "["), ("other", "]")):
            if inside is (written == "["):
                _refuse(path, "has predicates inside each other")
            inside = not inside
        elif not inside:
            pass
        elif kind == "descent" or (written == "/" and before[1] in _NO_OPERAND):
            _refuse(path, "leaves the node in a predicate")
        elif here == ("axis", "parent") or (written, before[1]) == (".", "."):
            _refuse(path, "goes up in a predicate")
        elif before[0] == "other" and before[1] in _COMPARED and not _is_value(kind, written):
            _refuse(path, "compares with something else than text or a number in a predicate")
        before = here


def _is_value(kind: str, written: str) -> bool:
    return kind in ("text", "number") or written in ("=", "last", "position")


def _refuse(path: str, problem: str) -> NoReturn:
    raise Refused(Reason.OVERRIDE_XPATH, f"the XPath {path[:120]!r} {problem}")
