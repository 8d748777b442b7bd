"""Documents of the directory as text: YAML (1.1 syntax, no types) and JSON, read and written.

Owns the rule that a scalar is the text that was typed (spec 4): only a plain ``null``, ``~`` or nothing is
None. Tags are refused; a key given twice, a second document and anything past the limits is an error with
its line. Anchors, aliases and merge keys work, within the limit of nodes. Knows no fields and no files.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from yaml import events

from era_ap.directory.notation import MAX_DEPTH, check_characters

MAX_BYTES = 1 << 20
MAX_NODES = 100_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_SAFE_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.@/+-]*(?: [A-Za-z0-9_.@/+-]+)*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


_HALF = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]")


class DocumentError(ValueError):
    """A document cannot be read. ``line`` counts from 1; None where it is not known."""

    def __init__(self, detail: str, line: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.line = line


def decode(data: bytes) -> str:
    """``data`` as text: UTF-8, a byte order mark is dropped.

    Raises:
        DocumentError: larger than ``MAX_BYTES``, not UTF-8, or a character that YAML does not allow.
    """
    if len(data) > MAX_BYTES:
        raise DocumentError(f"larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError("not UTF-8", data.count(b"\n", 0, error.start) + 1) from None
    if wrong := _NOT_YAML.search(text):
        code = f"U+{ord(wrong.group()):04X}"
        raise DocumentError(
            f"the control character {code} is not allowed", text.count("\n", 0, wrong.start()) + 1
        )
    return text


def load_yaml(text: str) -> object:
    """The document as dict, list, str and None. Raises ``DocumentError``."""
    loader = _Loader(text)
    try:
        return _YamlReader(loader.get_event).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        detail = " ".join(part for part in (error.context, error.problem) if part)
        if error.context == "while scanning an alias":
            detail = "a value that begins with * needs quotes"
        raise DocumentError(f"not YAML: {detail}", mark.line + 1 if mark else None) from None
    except yaml.YAMLError:
        raise DocumentError("not YAML") from None
    finally:
        loader.dispose()


def load_json(text: str) -> object:
    """The document as dict, list, str, bool and None; numbers as typed. Raises ``DocumentError``."""
    try:
        tree: object = json.loads(
            text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_unique_pairs
        )
        check_characters(text, tree)
    except json.JSONDecodeError as error:
        raise DocumentError(f"not JSON: {error.msg}", error.lineno) from None
    except DocumentError as error:
        raise DocumentError(error.detail, _line_of_repeated_key(text)) from None
    except UnicodeEncodeError:
        half = _HALF.search(text)
        line = text.count("\n", 0, half.start()) + 1 if half else None
        raise DocumentError("half of a surrogate pair is no character", line) from None
    except RecursionError:
        raise DocumentError(f"nested more than {MAX_DEPTH} levels deep") from None
    return tree


def _unique_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise DocumentError(f"the key {key!r} is given twice in one object")
        found[sys.intern(key)] = value
    return found


def _line_of_repeated_key(text: str) -> int | None:
    """JSON's own reader does not say where; read as YAML, the same text fails at the same key."""
    try:
        load_yaml(text)
    except DocumentError as error:
        return error.line
    return None


class _YamlReader:
    """Builds one document from a parser's events; recursion is bounded by ``MAX_DEPTH``."""

    def __init__(self, next_event: Callable[[], Any]) -> None:
        self._next = next_event
        self._nodes = 0
        self._anchors: dict[str, tuple[object, int]] = {}

    def document(self) -> object:
        self._next()  # StreamStart
        if isinstance(self._next(), events.StreamEndEvent):
            return None
        tree = self._node(self._next(), 0)
        self._next()  # DocumentEnd
        after = self._next()
        if not isinstance(after, events.StreamEndEvent):
            raise DocumentError("a second document begins; only one is allowed", _line(after))
        return tree

    def _node(self, event: Any, depth: int) -> object:
        self._count(1, event)
        kind = type(event)
        if kind is events.AliasEvent:
            return self._alias(event)
        if event.tag is not None:
            raise DocumentError(
                f"the tag {event.tag} is not allowed; a value is the text as typed", _line(event)
            )
        before = self._nodes
        if kind is events.ScalarEvent:
            value = None if not event.style and event.value in _NULLS else event.value
        elif depth >= MAX_DEPTH:
            raise DocumentError(f"nested more than {MAX_DEPTH} levels deep", _line(event))
        elif kind is events.MappingStartEvent:
            value = self._mapping(depth + 1)
        else:
            value = self._sequence(depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise DocumentError(f"more than {MAX_NODES} values, aliases counted", _line(event))

    def _alias(self, event: Any) -> object:
        if event.anchor not in self._anchors:
            raise DocumentError(f"the alias *{event.anchor} has no anchor before it", _line(event))
        value, size = self._anchors[event.anchor]
        self._count(size, event)
        return value

    def _sequence(self, depth: int) -> list[object]:
        items = []
        while type(event := self._next()) is not events.SequenceEndEvent:
            items.append(self._node(event, depth))
        return items

    def _mapping(self, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        merged: list[Mapping[str, object]] = []
        merges = 0
        while type(event := self._next()) is not events.MappingEndEvent:
            if type(event) is not events.ScalarEvent or event.tag is not None or event.anchor is not None:
                raise DocumentError("a key must be plain or quoted text", _line(event))
            if event.value == "<<" and not event.style:
                merges += 1
                merged += self._merge_sources(self._node(self._next(), depth), event)
            elif event.value in found:
                raise DocumentError(f"the key {event.value!r} is given twice", _line(event))
            else:
                found[sys.intern(event.value)] = self._node(self._next(), depth)
        if merges > 1:
            raise DocumentError("the key '<<' is given twice; merge a list: <<: [*a, *b]", _line(event))
        for source in merged:
            for key, value in source.items():
                found.setdefault(key, value)
        return found

    def _merge_sources(self, value: object, event: Any) -> list[Mapping[str, object]]:
        """What ``<<`` merges: an object, or a list of objects of which an earlier one wins."""
        listed = value if isinstance(value, list) else [value]
        sources = [each for each in listed if isinstance(each, Mapping)]
        if len(sources) != len(listed):
            raise DocumentError("'<<' merges an object or a list of objects", _line(event))
        return sources


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _represent_text(dumper: Any, text: str) -> Any:
    if "\n" in text:
        style = "|"
    elif _SAFE_PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        style = None
    else:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


class _TextDumper(_Dumper):  # type: ignore[misc]
    """Quotes whatever any YAML reader, 1.1 or 1.2, could take for something else than text."""

    yaml_representers = {**_Dumper.yaml_representers, str: _represent_text}  # noqa: RUF012 - PyYAML's own way

    def ignore_aliases(self, data: object) -> bool:
        return True


def dump_yaml(document: Mapping[str, object]) -> str:
    """``document`` (dict, list, str, bool, int, None) as block YAML, keys in the order given.

    Raises:
        DocumentError: it holds something that would not read back as it is.
    """
    try:
        text: str = yaml.dump(
            document,
            Dumper=_TextDumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            width=1 << 20,
        )
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise DocumentError(f"cannot be written as YAML: {error}") from None
    return text


def dump_json(document: Mapping[str, object]) -> str:
    """``document`` as indented JSON with its characters unescaped."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
