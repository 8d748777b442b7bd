"""Walking the nodes of templates: nesting, cycles, and the place at which the output stands (spec 6).

Owns the stack of files, the levels of nesting (files and placeholders in placeholders count alike) and the
lexical state of XML. Does not own what a placeholder inserts: each category has its handler (``expand``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from era_ap.errors import Reason, Refused
from era_ap.provisioning.escape import Place, makers
from era_ap.provisioning.language import Kind, Placeholder, Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from era_ap.provisioning.language import Node, Template
    from era_ap.provisioning.meter import Meter

    Handler = Callable[[Any, Placeholder, str, list[str]], None]
    """A method, with its object as the first argument."""


class Walker:
    """The walk through one file and what it brings in; ``_handlers`` has one for each ``Category``.

    They are the class's: an object that held its own methods would wait for the garbage collector.
    """

    _handlers: ClassVar[tuple[Handler, ...]]

    def __init__(self, kind: Kind, meter: Meter, encoding: str, depth: int) -> None:
        self._meter = meter
        self._most_depth = depth
        self._encoding = encoding
        self._safe_at = makers(encoding)
        self._place = Place.MARKUP if kind is Kind.XML else Place.TEXT
        self._safe = self._safe_at[self._place]
        self._stack: list[str] = []
        self._depth = -1
        self._file = ""
        self._line = 1
        self._whole = True

    def _move(self, place: Place) -> None:
        self._place = place
        self._safe = self._safe_at[place]

    def _splice(self, template: Template, nodes: Sequence[Node], out: list[str], *, whole: bool) -> None:
        """Expand a file (or constant) in place. ``whole``: no text of an including file follows it."""
        name = template.name
        if name in self._stack:
            chain = (*self._stack, name)
            raise Refused(Reason.INCLUDE_CYCLE, " > ".join(chain), chain)
        self._enter(name)
        before = self._file, self._whole
        self._stack.append(name)
        self._file = name
        self._whole = whole
        self._meter.grow(template.weight)
        self._walk(nodes, out)
        self._depth -= 1
        self._file, self._whole = before
        self._stack.pop()

    def _enter(self, name: str) -> None:
        if self._depth >= self._most_depth:
            raise Refused(Reason.DEPTH_LIMIT, f"more than {self._most_depth} levels", (*self._stack, name))
        self._depth += 1

    def _walk(self, nodes: Sequence[Node], out: list[str]) -> None:
        handlers, step = self._handlers, self._meter.step
        for node in nodes:
            if type(node) is str:
                out.append(node)
            elif type(node) is Placeholder:
                self._line = node.line
                step()
                handlers[node.category](self, node, node.key if node.parts is None else self._key(node), out)
            elif type(node) is Switch:
                out.append(node.text)
                if self._place <= Place.COMMENT:
                    self._move(node.after[self._place])

    def _key(self, node: Placeholder) -> str:
        """The key of a placeholder composed of others: text, its values neither scanned nor escaped."""
        self._enter(node.source[:80])
        before = self._place
        self._move(Place.KEY)
        out: list[str] = []
        self._walk(node.parts or (), out)
        self._move(before)
        self._depth -= 1
        self._line = node.line
        return "".join(out).strip("\r\n")
