"""What is wrong with a site configuration, in an operator's words.

Owns the error that carries all problems at once, the notation of a place (``roles[2].ext.allow[0]``) and the
translation of pydantic's findings. A value is shown as found, except what may hold a secret.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from era_ap.errors import Problem, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_CREDENTIALS = re.compile(r"(//)(?:[^/@\s]*|[^/@:\s]+:\S*)@|^[^/@:\s]+:(?!//)\S*@")
"""Of a URL, also where its scheme was forgotten or the password holds a slash."""

_SHOWN = 60

_SENTENCES = {
    "missing": "is required and missing",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must not be empty",
}


class ConfigError(Exception):
    """The site configuration cannot be used; ``problems`` holds everything found, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(f"{problem.where}: {problem.detail}" for problem in self.problems)


class DisagreementError(ValueError):
    """Parts of a value do not fit each other; the sentence says which, showing the whole would not help."""


class Findings:
    """Collects problems by location and turns them into ``Problem`` with file and line.

    ``lines`` maps locations to line numbers; a location without one takes that of its nearest parent.
    """

    def __init__(self, origin: str, lines: Mapping[Location, int]) -> None:
        self._origin = origin
        self._lines = lines
        self._found: list[tuple[int, Problem]] = []

    def add(self, at: Location, sentence: str, reason: Reason = Reason.CONFIG_INVALID) -> None:
        """Note that the value at ``at`` is not usable; ``sentence`` follows the path."""
        line = self.line(at)
        where = f"{self._origin}:{line}" if line else self._origin
        detail = f"{place(at)}: {sentence}" if at else sentence
        self._found.append((line, Problem(reason, where, detail)))

    def line(self, at: Location) -> int:
        """Line of ``at`` or of its nearest parent; 0 where none is known."""
        return next((self._lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self._lines), 0)

    def problems(self) -> tuple[Problem, ...]:
        """Everything found so far, by line."""
        return tuple(problem for _, problem in sorted(self._found, key=lambda found: found[0]))


def place(at: Location) -> str:
    """``("roles", 2, "ext")`` as ``roles[2].ext``."""
    parts: list[str] = []
    for part in at:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif _PLAIN_KEY.fullmatch(part):
            parts.append(f".{part}" if parts else part)
        else:
            parts.append(f"[{shown(part)}]")
    return "".join(parts)


def shown(value: object) -> str:
    """The value found, short, on one line and without the credentials of a URL."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = _CREDENTIALS.sub(r"\1…@", str(value))
    return ascii_safe(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def ascii_safe(text: str) -> str:
    """``text`` in quotes, control characters and lone surrogates escaped."""
    return repr(text).encode("utf-8", "backslashreplace").decode()


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for an unknown word: the nearest known one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word.lower()[:_SHOWN], names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(names)}" if names else "none is known"


def explain(error: ValidationError) -> list[tuple[Location, str, Reason]]:
    """Location, sentence and reason of each finding of pydantic; unknown keys get a bare sentence."""
    return [_explain(item) for item in error.errors(include_url=False)]


def _explain(item: ErrorDetails) -> tuple[Location, str, Reason]:
    at: Location = tuple(part for part in item["loc"] if part != "[key]" or item["type"] == "extra_forbidden")
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return at, "unknown key", Reason.CONFIG_UNKNOWN_KEY
    if kind == "missing":
        return at, _SENTENCES[kind], Reason.CONFIG_INVALID
    sentence = _sentence(kind, context, item["msg"])
    if isinstance(context.get("error"), DisagreementError):
        return at, sentence, Reason.CONFIG_INVALID
    return at, f"{sentence}, found {shown(item['input'])}", Reason.CONFIG_INVALID


def _sentence(kind: str, context: Mapping[str, Any], otherwise: str) -> str:
    if kind == "value_error":
        return str(context["error"])
    template = _SENTENCES.get(kind)
    return template.format_map(context) if template else otherwise
