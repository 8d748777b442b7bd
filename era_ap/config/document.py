"""Safe reading of the YAML (or JSON) text of a site configuration.

Owns syntax: one document, no tags, no duplicate keys, bounded depth and size (aliases counted as if written
out), the line of every value. Scalars stay text as typed; ``Plain`` marks what stood without quotes, and the
schema decides what type it has (YAML 1.2 chapter 10 leaves that to the schema).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml
from yaml import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from era_ap.config.problems import Location

MAX_TEXT = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 100_000

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class Plain(str):
    """A scalar that stood without quotes; the only kind that may be read as a number or a flag."""

    __slots__ = ()


class SyntaxProblem(Exception):  # noqa: N818 - carries one finding, is never the final error
    """The text is no usable document; ``line`` counts from 1, 0 where unknown."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        super().__init__(sentence, line)
        self.sentence = sentence
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """A read text: ``value`` is made of dict, list, str, ``Plain`` and None.

    ``lines`` gives the line of each location, ``findings`` what did not stop the reading (place, sentence).
    """

    value: object
    lines: dict[Location, int] = field(default_factory=dict)
    findings: list[tuple[Location, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: object
    values: int
    height: int


def read(text: str) -> Document:
    """Read one YAML or JSON document; raises ``SyntaxProblem`` where nothing can be made of it."""
    if len(text) > MAX_TEXT:
        raise SyntaxProblem(f"the file is larger than {MAX_TEXT >> 20} MiB")
    text = _blanks_for_tabs(text.removeprefix("\ufeff"))
    try:
        return _Reader(text).read()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise SyntaxProblem(f"not valid YAML: {error.problem or 'syntax error'}", line) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SyntaxProblem(
            f"not valid YAML: character U+{ord(text[error.position]):04X} is not allowed", line
        ) from None
    except (ValueError, OverflowError, IndexError):
        # PyYAML lets these through for escapes beyond Unicode and absurd %YAML versions.
        raise SyntaxProblem("not valid YAML: an escape or a directive is out of range") from None


def _blanks_for_tabs(text: str) -> str:
    """JSON may be indented by tabs, YAML may not; in valid JSON no tab stands inside a string."""
    if "\t" not in text or not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")


class _Reader:
    """Builds values from YAML events; recursion is bounded by ``MAX_DEPTH``, work by ``MAX_VALUES``."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[events.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._anchors: dict[str, _Anchored] = {}
        self._document = Document(None)
        self._values = 0
        self._height = 0

    def read(self) -> Document:
        """The one document of the stream; an empty stream is None."""
        value: object = None
        documents = 0
        for event in self._events:
            if isinstance(event, events.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise SyntaxProblem(
                        "a second document begins here ('---'); the file holds one", _line(event)
                    )
            elif isinstance(event, events.NodeEvent):
                value = self._value(event, ())
        return Document(value, self._document.lines, self._document.findings)

    def _value(self, event: events.Event, at: Location) -> object:
        self._document.lines[at] = _line(event)
        self._reach(event, len(at), 1)
        if isinstance(event, events.AliasEvent):
            return self._alias(event, len(at))
        if getattr(event, "tag", None) not in (None, "!"):
            self._document.findings.append((at, "YAML tags ('!…') are not used here"))
        anchor: str | None = getattr(event, "anchor", None)
        before, outer, self._height = self._values, self._height, len(at)
        value = self._collection(event, at)
        if anchor is not None:
            self._anchors[anchor] = _Anchored(value, self._values - before + 1, self._height - len(at))
        self._height = max(outer, self._height)
        return value

    def _reach(self, event: events.Event, depth: int, values: int) -> None:
        self._values += values
        self._height = max(self._height, depth)
        if depth > MAX_DEPTH:
            raise SyntaxProblem(f"values are nested more than {MAX_DEPTH} levels deep", _line(event))
        if self._values > MAX_VALUES:
            raise SyntaxProblem(
                f"more than {MAX_VALUES} values (aliases counted as written out)", _line(event)
            )

    def _alias(self, event: events.AliasEvent, depth: int) -> object:
        target = self._anchors.get(event.anchor or "")
        if target is None:
            raise SyntaxProblem(
                f"the alias *{event.anchor} names no value that is complete above it", _line(event)
            )
        self._reach(event, depth + target.height, target.values)
        return target.value

    def _collection(self, event: events.Event, at: Location) -> object:
        if isinstance(event, events.SequenceStartEvent):
            items: list[object] = []
            while not isinstance(event := next(self._events), events.SequenceEndEvent):
                items.append(self._value(event, (*at, len(items))))
            return items
        if isinstance(event, events.MappingStartEvent):
            return self._mapping(at)
        return _scalar(event) if isinstance(event, events.ScalarEvent) else None

    def _mapping(self, at: Location) -> dict[str, object]:
        mapping: dict[str, object] = {}
        while not isinstance(event := next(self._events), events.MappingEndEvent):
            key = self._key(event, at)
            there = (*at, key)
            first = self._document.lines.get(there)
            value = self._value(next(self._events), there)
            if key not in mapping:
                mapping[key] = value
                self._document.lines[there] = _line(event)
            else:
                sentence = f"the key stands twice, in lines {first} and {_line(event)}; keep one"
                self._document.findings.append((there, sentence))
        return mapping

    def _key(self, event: events.Event, at: Location) -> str:
        if isinstance(event, events.ScalarEvent):
            self._reach(event, len(at), 1)
            return _text(event)
        raise SyntaxProblem("a key must be a simple word", _line(event))


def _scalar(event: events.ScalarEvent) -> str | None:
    text = _text(event)
    if event.style is not None:
        return text
    return None if text in _NULLS else Plain(text)


def _text(event: events.ScalarEvent) -> str:
    # JSON writes characters beyond the BMP as two escapes, which YAML reads as two characters.
    return str(event.value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _line(event: events.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
