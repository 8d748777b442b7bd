"""A file as a sheet: its text with gaps, into each of which a value of the phone is copied.

The files of most phones of a model are alike but for such values: of its accounts, of the entries of its list
of keys, of the request. Owns what a sheet is, the phones it is good for, and its making from the plans that
one of them was filled in by. Where more than copying is to be done there is no sheet, or it does not give a
text: the plan is followed then (``expand``).
"""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import replace
from itertools import chain
from operator import call
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from era_ap.errors import Refused
from era_ap.provisioning.escape import Place, makers
from era_ap.provisioning.keys import ASKING
from era_ap.provisioning.language import Category, Kind
from era_ap.provisioning.plan import Repeat, Slot, Varies, divider_of, taking
from era_ap.provisioning.values import Values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from era_ap.errors import Problem
    from era_ap.provisioning.blf import BlfKey
    from era_ap.provisioning.language import Template
    from era_ap.provisioning.limits import Dialect
    from era_ap.provisioning.meter import Meter
    from era_ap.provisioning.plan import Plan, Taking
    from era_ap.provisioning.scope import Line, Scope

SHEETS: Final = 32
"""Sheets that are kept for phones that share their plans."""

_BEGIN: Final = f"\0{secrets.randbelow(10**18):018}"
"""Begins a mark; nobody can have written it into the configuration."""
_MARK: Final = re.compile(f"{_BEGIN}([0-9]+)\0")
_MARKING: Final = f"\0{string.digits}"

Source = tuple[int, str]
"""Where a value comes from: the number of the record among those of the phone, and its name there."""


class Shape(NamedTuple):
    """What phones must have in common to share a sheet, beside their plans.

    ``lines`` are the numbers of their lines, ``entries`` the names in each entry of their list of keys.
    """

    template: Template
    depth: int
    lines: tuple[int, ...]
    entries: tuple[tuple[str, ...], ...]


def shape_of(template: Template, scope: Scope, depth: int) -> Shape | None:
    """The shape of a phone; None for one that has no sheet whatever others have."""
    lines = scope.lines
    if not lines or (lines[0].device.override and scope.is_corrected):
        return None
    keys = lines[0].device.blf
    if isinstance(keys, dict):  # no list, though an empty one looks like one
        return None
    try:
        entries = tuple(map(tuple, map(dict.keys, keys or ())))  # type: ignore[call-overload]
    except TypeError:  # it is no list of objects
        return None
    return Shape(template, depth, tuple([line.number for line in lines]), entries)


class Sheet(NamedTuple):
    """``pieces`` of text, the odd ones to be replaced by values.

    Of each record of the phone ``takings`` take some; ``order`` puts these where they belong. Beside the
    length of the text, ``size`` is what has been counted for it.
    """

    kind: Kind
    files: tuple[str, ...]
    pieces: tuple[str, ...]
    takings: tuple[Taking, ...]
    order: Taking
    safe: Callable[[str], str]
    dialect: Dialect | None
    expansions: int
    size: int

    def text(self, scope: Scope, meter: Meter) -> str | None:
        """The file of a phone of that shape; None, and nothing is counted, where more is to be done."""
        try:
            values = list(chain.from_iterable(map(call, self.takings, _records(scope))))
            together = "".join(values)
        except (KeyError, TypeError):  # one is not given, or no text
            return None
        if "" in values:  # as if it were not given
            return None
        if self.dialect is not None and not self.dialect.leaves(together):
            return None
        if self.safe(together) != together:
            values = list(map(self.safe, values))
        pieces = list(self.pieces)
        pieces[1::2] = self.order(values)
        text = "".join(pieces)
        return text if meter.takes(self.expansions, self.size + len(text)) else None


class Sheets:
    """The sheets of phones that share their plans; the first ``SHEETS`` shapes have one."""

    def __init__(self) -> None:
        self._sheets: dict[Shape, Sheet | None] = {}

    def get(self, shape: Shape) -> Sheet | None:
        """The sheet for a shape, if there is one."""
        return self._sheets.get(shape)

    def learn(self, shape: Shape, kind: Kind, plan: Plan, scope: Scope) -> None:
        """Make the sheet for a shape, now that ``plan`` was followed for a phone of it."""
        if shape in self._sheets or len(self._sheets) >= SHEETS:
            return
        try:
            self._sheets[shape] = _Maker(shape, kind, scope).made(plan)
        except (Refused, Varies):
            self._sheets[shape] = None


def _records(scope: Scope) -> Iterable[Mapping[str, Any]]:
    """All that values are copied from."""
    entries: Any = scope.lines[0].device.blf or ()
    return (*[line.account.fields for line in scope.lines], scope.reserved, scope.own, *entries)


class _Maker:
    """Takes the steps of plans for a specimen: a phone whose values are marks, by which they are found again.

    Raises ``Varies`` or ``Refused`` where more is to be done than to copy.
    """

    def __init__(self, shape: Shape, kind: Kind, scope: Scope) -> None:
        self._kind = kind
        self._scope = scope
        self._dialect = scope.layout.dialect if scope.layout is not None else None
        self._place = Place.MARKUP if kind is Kind.XML else Place.TEXT
        self._safe = makers(shape.template.encoding)[self._place]
        self._sources: list[Source] = []
        self._problems: dict[Problem, None] = {}
        self._values = Values(self._specimen(shape), self._problems)
        self._line = 0
        self._pieces = [""]
        self._gaps: list[Source] = []
        self._files: dict[str, None] = {shape.template.name: None}
        self._expansions = self._size = 0

    def made(self, plan: Plan) -> Sheet:
        """The sheet of the root ``plan``."""
        self._take(plan)
        if self._problems:
            raise Varies
        wanted: list[dict[str, None]] = [{} for _ in _records(self._scope)]
        is_careful = self._dialect is not None and self._dialect.touches_values
        # What the dialect cannot carry takes a key away, though it may stand nowhere in the file.
        for record, name in (*self._gaps, *(self._sources if is_careful else ())):
            wanted[record][name] = None
        numbers = {
            source: number
            for number, source in enumerate((at, name) for at, names in enumerate(wanted) for name in names)
        }
        return Sheet(
            kind=self._kind,
            files=tuple(self._files),
            pieces=tuple(self._pieces),
            takings=tuple([taking(tuple(names)) for names in wanted]),
            order=taking([numbers[source] for source in self._gaps]),
            safe=self._safe,
            dialect=self._dialect,
            expansions=self._expansions,
            size=self._size - sum(map(len, self._pieces)),
        )

    def _specimen(self, shape: Shape) -> Scope:
        """A phone of that shape whose values in keys are marks."""
        lines = self._scope.lines
        if any(not ASKING.isdisjoint(names) for names in shape.entries):
            raise Varies  # its key may be another one for each phone
        dialect = self._dialect
        if dialect is not None and (dialect.label_length or not dialect.leaves(_MARKING)):
            raise Varies
        first = len(lines) + len((self._scope.reserved, self._scope.own))
        entries = [
            {name: self._mark(record, name) for name in names}
            for record, names in enumerate(shape.entries, first)
        ]
        marked = [
            replace(line, account=replace(line.account, fields={"login": self._mark(number, "login")}))
            for number, line in enumerate(lines)
        ]
        marked[0] = replace(marked[0], device=replace(lines[0].device, blf=entries))
        return replace(self._scope, lines=tuple(marked))

    def _mark(self, record: int, name: str) -> str:
        self._sources.append((record, name))
        return f"{_BEGIN}{len(self._sources) - 1}\0"

    # --- the steps

    def _take(self, plan: Plan) -> None:
        self._expansions += plan.expansions
        self._size += plan.size
        self._files |= plan.files
        for step in plan.steps:
            if isinstance(step, str):
                self._pieces[-1] += step
            elif isinstance(step, Slot) and step.place is self._place:
                self._copy(step.node.category, step.key, step.node.path)
            elif isinstance(step, Repeat) and step.place is self._place:
                self._repeat(step)
            else:
                raise Varies

    def _copy(self, category: Category, key: str, path: tuple[str, ...]) -> None:
        lines = len(self._scope.lines)
        if category is Category.SIPUSER:
            self._gap((0, key))
        elif category is Category.ACCOUNT:
            self._gap((self._line, key))
        elif category is Category.BLF_FIELD:
            self._say(self._values.blf(key, path))
        elif category is Category.CONSTANTS and key in self._scope.reserved:
            self._gap((lines, key))
        elif category is Category.CONSTANTS and key in self._scope.own:
            self._gap((lines + 1, key))
        else:
            raise Varies

    def _repeat(self, step: Repeat) -> None:
        """The list with all its entries; what stands between them is counted too."""
        is_keys = step.node.category is Category.BLF
        entries: Sequence[BlfKey | Line] = self._values.blf_keys() if is_keys else self._values.lines()
        if not entries:
            return
        if step.table is None or (is_keys and any(map(_measures, self._values.blf_keys()))):
            raise Varies
        template, node = step.table.where.template, step.node
        self._files[template.name] = None
        divider = divider_of(template, node)
        self._pieces[-1] += node.indent
        for number, entry in enumerate(entries):
            if number:
                self._pieces[-1] += divider
            self._line = number
            self._values.enter(entry)
            plan = step.table.plan(self._scope, entry) or step.table.plan(self._scope, entry)
            if plan is None:
                raise Varies
            self._take(plan)
        self._pieces[-1] += node.ending
        self._size += len(node.indent) + len(node.ending) + len(divider) * (len(entries) - 1)

    # --- the text

    def _gap(self, source: Source) -> None:
        self._gaps.append(source)
        self._pieces += ("", "")

    def _say(self, said: object) -> None:
        """Write what a key of the specimen says: the same for each phone, but for the marks in it."""
        if not isinstance(said, str):
            raise Varies
        texts = _MARK.split(said)
        for position, text in enumerate(texts):
            if position % 2:
                self._gap(self._sources[int(text)])
            elif "\0" in text:
                raise Varies
            else:
                self._pieces[-1] += self._safe(text)
                self._size += len(self._safe(text))


def _measures(key: BlfKey) -> bool:
    """Whether what is written for a key depends on how long its values are."""
    return key.known is not None and any(rule.pads for _, rule in key.known.rules)
