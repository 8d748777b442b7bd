"""The trace of a rendering: where each value came from (``era-ap explain``).

Owns the entries and what they hide. An expansion that is traced takes the same steps as one that is not; its
handlers are only wrapped. A value is masked if its path names a secret or if a secret went into it.
"""

from __future__ import annotations

import html
from dataclasses import replace
from typing import TYPE_CHECKING

from era_ap.masking import is_secret, mask
from era_ap.provisioning.expand import Expansion
from era_ap.provisioning.language import Category, Placeholder
from era_ap.provisioning.scope import TraceEntry

if TYPE_CHECKING:
    from era_ap.provisioning.language import Kind
    from era_ap.provisioning.meter import Meter
    from era_ap.provisioning.scope import Scope
    from era_ap.provisioning.walk import Handler

_FIELDS = (Category.SIPUSER, Category.ACCOUNT, Category.BLF_FIELD, Category.CONSTANTS)


def _traced(handler: Handler) -> Handler:
    def handle(self: TracedExpansion, node: Placeholder, key: str, out: list[str]) -> None:
        where, depth, start, hidden = f"{self._file}:{node.line}", self._depth, len(out), self._hidden
        position = len(self.entries)
        self.entries.append(TraceEntry(node.source, where, "", "", depth))
        self._origin = ""
        handler(self, node, key, out)
        value = "".join(out[start:]) if node.category <= Category.CONSTANTS else ""
        if node.category in _FIELDS and is_secret(key):
            self._hidden += 1
        if self._hidden != hidden:
            self.secrets |= {value, html.unescape(value)} - {""}
            value = mask(value)
        self.entries[position] = TraceEntry(node.source, where, value, self._source_of(node), depth)

    return handle


class TracedExpansion(Expansion):
    """An ``Expansion`` that writes down each step; ``entries`` has an outer one before those inside it."""

    def __init__(self, scope: Scope, kind: Kind, meter: Meter, encoding: str, depth: int) -> None:
        super().__init__(replace(scope, plans=None), kind, meter, encoding, depth)
        self._hidden = 0
        self.entries: list[TraceEntry] = []

    _handlers = tuple(map(_traced, Expansion._handlers))

    def _source_of(self, node: Placeholder) -> str:
        """Where the value came from, in words."""
        if self._origin == "missing":
            return "missing"
        category, values = node.category, self._values
        words = "DNS" if category is Category.NSLOOKUP else "random"
        if category is Category.CONSTANTS:
            words = f"constants of {self._origin}" if self._origin else "the request"
        elif category >= Category.INCLUDE:
            words = f"include {self._origin}" if self._origin else "no entries"
        elif category is Category.SIPUSER:
            words = f"account {values.primary().account.key}"
        elif category is Category.ACCOUNT and values.line is not None:
            words = f"account {values.line.account.key}"
        elif category is Category.BLF_FIELD and values.blf_key is not None:
            words = f"BLF key {values.blf_key.index} of account {values.primary().account.key}"
        return words
