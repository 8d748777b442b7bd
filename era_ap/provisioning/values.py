"""What the placeholders that insert plain values are worth: fields, addresses, random numbers, constants.

Owns the finding of a value and the words for one that is missing; keeps the turn of ``[nslookup]`` over one
file. Does not own making it safe, nor the nesting (``expand``).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.blf import BlfKey, read_keys
from era_ap.provisioning.fields import as_text, find
from era_ap.provisioning.keys import place
from era_ap.provisioning.language import host_name, is_address
from era_ap.provisioning.rules import Spot
from era_ap.provisioning.scope import DAEMON

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from era_ap.provisioning.scope import Line, Scope

_RANDOM_MOST = 10**9


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no such value; ``reason`` and ``detail`` become a warning, or the error of ext.missing."""

    reason: Reason
    detail: str


class Values:
    """Values for one rendering. ``blf_key`` and ``line`` are those of the entry being expanded, if any.

    What is to be said about values that are used goes into ``problems``, each once.
    """

    def __init__(self, scope: Scope, problems: dict[Problem, None]) -> None:
        self._scope = scope
        self._turns: dict[str, Iterator[str]] = {}
        self._primary = scope.lines[0] if scope.lines else None
        self._fields: Mapping[str, object] | None = self._primary.account.fields if self._primary else None
        self._keys: tuple[BlfKey, ...] | None = None
        self._lines: tuple[Line, ...] | None = None
        self._computed: dict[str, str] | None = None
        self.blf_key: BlfKey | None = None
        self.line: Line | None = None
        self.needed: set[str] = set()
        self.problems = problems

    def primary(self) -> Line:
        """The primary line. Raises ``Refused`` (ACCOUNT_IN_COMMON) in a common file."""
        if self._primary is None:
            raise Refused(Reason.ACCOUNT_IN_COMMON, "a common file is filled with constants only")
        return self._primary

    def blf_keys(self) -> tuple[BlfKey, ...]:
        """The entries of ``[blf]``. Raises ``Refused`` (ACCOUNT_IN_COMMON, BLF_INVALID)."""
        if self._keys is None:
            layout = self._scope.layout
            if layout is None or layout.areas is None:
                self._keys = read_keys(self.primary(), len(self._scope.lines))
            else:
                prefix = self.constant("pickup.prefix")[0]
                pickup = prefix if isinstance(prefix, str) and "[" not in prefix else ""
                entries = read_keys(self.primary(), None)
                placed = place(entries, layout, self.lines() or (self.primary(),), pickup)
                self._keys = placed.keys
                self.problems |= dict.fromkeys(placed.problems)
        return self._keys

    def lines(self) -> tuple[Line, ...]:
        """The entries of ``[accounts]``: as many as the model has. Raises ``Refused`` (ACCOUNT_IN_COMMON)."""
        if self._lines is None:
            self.primary()
            most = self._scope.layout.lines if self._scope.layout is not None else 0
            self._lines = tuple([line for line in self._scope.lines if not most or line.number <= most])
            for line in self._scope.lines if most else ():
                if line.number > most:
                    what = f"account {line.account.key} is line {line.number}; this model has {most} lines"
                    problem = Problem(Reason.LINE_OVERFLOW, line.account.origin, what, Severity.WARNING)
                    self.problems[problem] = None
        return self._lines

    def enter(self, entry: BlfKey | Line) -> None:
        """Let ``[blf.KEY]`` or ``[account.KEY]`` mean this entry."""
        if isinstance(entry, BlfKey):
            self.blf_key = entry
        else:
            self.line = entry
            self._computed = None

    def sipuser(self, key: str, path: tuple[str, ...]) -> str | Missing:
        """A field of the primary account."""
        if self._fields is None:
            self.primary()
        else:
            value = self._fields.get(key)
            if type(value) is str:
                return value
        return _field_of(self.primary(), key, path)

    def account(self, key: str, path: tuple[str, ...]) -> str | Missing:
        """A field of the account that ``[accounts]`` is at, or ``line`` (from 1) and ``line0`` (from 0)."""
        line = self.line
        if line is None:
            self.primary()
            return Missing(
                Reason.FIELD_MISSING, f"[account.{key}] has a value only in a <model>.account template"
            )
        if key == "line":
            return str(line.number)
        if key == "line0":
            return str(line.number - 1)
        layout = self._scope.layout
        if layout is not None and key in layout.line_fields:
            return self._computed_field(line, key)
        value = line.account.fields.get(key)
        return value if type(value) is str else _field_of(line, key, path)

    def _computed_field(self, line: Line, key: str) -> str | Missing:
        computed = self._computed
        if computed is None:
            layout, spot = self._scope.layout, Spot(line.number)
            computed = self._computed = {"line": str(line.number), "line0": str(line.number - 1)}
            for name, rule in layout.line_fields.items() if layout is not None else ():
                text = rule.text(spot, computed)
                if text is not None:
                    computed[name] = text
        if key in computed:
            return computed[key]
        return Missing(Reason.FIELD_MISSING, f"models.yml has no {key!r} for line {line.number}")

    def blf(self, key: str, path: tuple[str, ...]) -> str | Missing:
        """A field of the BLF key that ``[blf]`` is at, or one of its numbers."""
        entry = self.blf_key
        if entry is None:
            self.primary()
            return Missing(Reason.FIELD_MISSING, f"[blf.{key}] has a value only in a <model>.blf template")
        number = entry.numbers.get(key)
        if number is not None:
            return number
        value = entry.fields.get(key)
        if type(value) is str:
            return value
        value = find(entry.fields, path, None)
        text = as_text(value)
        return text if text is not None else _no_value(f"BLF entry {entry.index}", key, value)

    def nslookup(self, key: str, _path: tuple[str, ...]) -> str | Missing:
        """An address of the name: another one at each use until all were used."""
        name = host_name(key)
        if is_address(name):
            return name
        turn = self._turns.get(name)
        if turn is None:
            addresses = self._scope.addresses(name) if _may_be_host(name) else ()
            if addresses is None:
                self.needed.add(name)
                return ""
            if not addresses:
                return Missing(Reason.NAME_UNRESOLVED, f"no address of {name[:253]!r} is known")
            different = tuple(dict.fromkeys(addresses))
            start = self._scope.rng.randrange(len(different)) if len(different) > 1 else 0
            turn = self._turns[name] = itertools.cycle(different[start:] + different[:start])
        return next(turn)

    def random(self, key: str, _path: tuple[str, ...]) -> str | Missing:
        """A whole number from 0 to N-1. Raises ``Refused`` (RANDOM_RANGE)."""
        count = int(key) if key.isascii() and key.isdigit() and len(key) <= 10 else 0
        if not 1 <= count <= _RANDOM_MOST:
            raise Refused(Reason.RANDOM_RANGE, f"N is not a whole number from 1 to {_RANDOM_MOST}")
        return str(self._scope.rng.randrange(count))

    def constant(self, key: str) -> tuple[str | Missing, str]:
        """The text of a constant and its origin, which is "" for a text that is not to be scanned."""
        if key == "newid":
            return self._scope.new_id(), ""
        reserved = self._scope.reserved.get(key)
        if reserved is not None:
            if isinstance(reserved, Refused):
                raise Refused(reserved.reason, reserved.detail, reserved.chain)
            return reserved, ""
        for source in self._scope.constants:
            value = source.values.get(key)
            if value is not None:
                if source.notes and key in source.notes:
                    self.problems[source.notes[key]] = None
                return value, source.origin
        own = self._scope.own.get(key)
        if own is not None:
            return own, DAEMON
        return Missing(Reason.CONSTANT_MISSING, f"the constant {key[:120]!r} is defined nowhere"), ""


def field(line: Line, path: str) -> str | None:
    """The text at a dotted path of the line's account; None where there is none."""
    value = line.account.fields.get(path)
    if type(value) is str:
        return value
    return as_text(find(line.account.fields, tuple(path.split(".")), line.device))


def _field_of(line: Line, key: str, path: tuple[str, ...]) -> str | Missing:
    value = find(line.account.fields, path, line.device)
    text = as_text(value)
    return text if text is not None else _no_value(f"account {line.account.key}", key, value)


def _no_value(owner: str, key: str, value: object) -> Missing:
    if value is None:
        return Missing(Reason.FIELD_MISSING, f"{owner} has no field {key[:120]!r}")
    kind = "a list" if isinstance(value, list | tuple) else "an object"
    return Missing(
        Reason.FIELD_MISSING, f"the field {key[:120]!r} of {owner} is {kind}; name one value in it"
    )


def _may_be_host(name: str) -> bool:
    """Whether asking DNS makes sense; a value of account data may be anything."""
    return 0 < len(name) <= 253 and name.isascii() and name.isprintable() and not set(" /\\@") & set(name)
