"""The line of a YAML or JSON text at which a field stands, for messages about documents that can be read.

Owns the way from a path such as ``opts.ap_devices[2].mac`` to a line. Used only when there is something to
say: reading a document for its lines costs several times as much as reading it.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_PATH = re.compile(r"\b(?:opts|ext|settings|reg|login|domain|name|devices)\b(?:\.[\w-]+|\[\d+\])*")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def line_of(text: str, path: str) -> int | None:
    """The line, from 1, of the field at ``path``, or of the deepest object on the way to it; None if none."""
    try:
        node = yaml.compose(text.removeprefix("\ufeff"), Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    line = None
    for number, name in _STEP.findall(path):
        found = _element(node, int(number)) if number else _value(node, name)
        if found is None:
            break
        line, node = found
    return line


def line_of_finding(text: str, detail: str) -> int | None:
    """The line of the first field that the sentence ``detail`` names."""
    for named in _PATH.finditer(detail):
        line = line_of(text, named.group())
        if line is not None:
            return line
    return None


def _value(node: Any, name: str) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == name:
                return key.start_mark.line + 1, value
    return None


def _element(node: Any, number: int) -> tuple[int, Any] | None:
    if isinstance(node, yaml.SequenceNode) and number < len(node.value):
        return node.value[number].start_mark.line + 1, node.value[number]
    return None
