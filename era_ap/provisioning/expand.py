"""Filling in a parsed template: repeating lists, and following a plan where there is one (spec 6 and 7).

Owns the lists and what divides their entries, and the use of plans: what a plan does not say for sure, or is
to be refused, is left to the walk. Does not own what a placeholder inserts (``insert``) nor the making of
plans (``planner``).

Entries of a list are divided by the line ending of their template. A ``[blf]`` or ``[accounts]`` alone on its
line (not in its whole file) divides entries whose template has none by a line break, and goes with its line
where there is no entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from era_ap.errors import Refused
from era_ap.provisioning.blf import BlfKey, entry_template, template_missing
from era_ap.provisioning.escape import Place
from era_ap.provisioning.insert import Inserter
from era_ap.provisioning.language import Category
from era_ap.provisioning.plan import Remark, Repeat, Slot, Varies, Where, divider_of
from era_ap.provisioning.scope import NamesNeeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from era_ap.provisioning.language import Kind, Placeholder, Template
    from era_ap.provisioning.meter import Meter
    from era_ap.provisioning.plan import Plan
    from era_ap.provisioning.planner import Plans, Table
    from era_ap.provisioning.scope import Line, Scope
    from era_ap.provisioning.walk import Handler

_ALIKE: Final = (Place.TEXT, Place.MARKUP)
"""Places where values are safe one by one if they are so all together."""


class Expansion(Inserter):
    """Fills templates for one scope.

    ``secrets`` are the values a trace has to hide; without a trace they are not collected.
    """

    def __init__(self, scope: Scope, kind: Kind, meter: Meter, encoding: str, depth: int) -> None:
        super().__init__(scope, kind, meter, encoding, depth)
        self._plans: Plans | None = scope.plans
        self._follows = False
        self.secrets: set[str] = set()

    def fill(self, template: Template, place: Place | None = None) -> str:
        """The text of ``template`` filled in; ``place`` is where all of it lands, None: where the root lands.

        An address that is not known yet leaves a gap; ``check_known`` tells at the end.

        Raises:
            Refused: with the place in its detail and the files that led there in its chain.
            NamesNeeded: without the addresses nothing more can be said about the file.
        """
        before = self._place
        self._move(before if place is None else place)
        out: list[str] = []
        try:
            self._splice(template, template.nodes, out, whole=True)
        except Refused as refused:
            self.check_known()
            where = f"{self._file}:{self._line}"
            detail = f"{where}: {refused.detail}" if refused.detail else where
            raise Refused(refused.reason, detail, refused.chain or tuple(self._stack)) from None
        self._move(before)
        return "".join(out)

    def plan(self, template: Template) -> Plan | None:
        """The plan of the root ``template``; None where there is none, or not yet."""
        table = self._table(template)
        return table.plan(self._scope, None) if table is not None else None

    def follow(self, plan: Plan) -> str:
        """What ``fill`` gives, by the plan of the root template.

        Raises ``Varies`` or ``Refused`` where something is to be told that only ``fill`` can tell; this
        expansion is of no more use then.
        """
        out: list[str] = []
        self._follows = True
        self._take(plan, out)
        self._follows = False
        return "".join(out)

    def check_known(self) -> None:
        """Raise ``NamesNeeded`` if an address was missing because its name was never asked for."""
        if self._values.needed:
            raise NamesNeeded(frozenset(self._values.needed))

    def _table(self, template: Template) -> Table | None:
        """The plans of a template that is to be filled in here."""
        if self._plans is None:
            return None
        where = Where(template, self._place, self._encoding, self._most_depth, tuple(self._stack))
        return self._plans.at(where)

    def _take(self, plan: Plan, out: list[str]) -> None:
        """Do what is left to do of a template. Raises ``Varies`` or ``Refused``."""
        if not self._meter.takes(plan.expansions, plan.size):
            raise Varies
        self.files |= plan.files
        handlers = self._handlers
        for step in plan.steps:
            if type(step) is str:
                out.append(step)
            elif type(step) is Slot:
                node = step.node
                self._file, self._line = step.file, node.line
                if step.place is not self._place:
                    self._move(step.place)
                handlers[node.category](self, node, step.key, out)
            elif type(step) is Repeat:
                self._stack, self._depth = list(step.stack), len(step.stack) - 1
                self._move(step.place)
                self._repeat(step.node, step.table, out)
            elif type(step) is Remark:
                self.warnings |= dict.fromkeys(step.warnings)

    # --- lists

    def _list(self, node: Placeholder, _key: str, out: list[str]) -> None:
        self._repeat(node, None, out)

    _handlers: ClassVar[tuple[Handler, ...]] = (
        *(Inserter._data, Inserter._data, Inserter._data, Inserter._data, Inserter._data),
        *(Inserter._constant, Inserter._include, _list, _list),
    )

    def _repeat(self, node: Placeholder, table: Table | None, out: list[str]) -> None:
        values = self._values
        keys = values.blf_keys() if node.category is Category.BLF else ()
        entries: Sequence[BlfKey | Line] = keys if node.category is Category.BLF else values.lines()
        if not entries:
            return
        template = table.where.template if table is not None else self._template(node)
        before = values.blf_key, values.line
        if table is None and before == (None, None):
            table = self._table(template)
        self.files[template.name] = None
        divider = divider_of(template, node)
        out.append(node.indent)
        if not keys or table is None or not self._copied(table, keys, divider, out):
            for position, entry in enumerate(entries):
                if position:
                    out.append(divider)
                values.enter(entry)
                self._entry(template, table, entry, out)
        values.blf_key, values.line = before
        out.append(node.ending)
        self._meter.grow(len(node.indent) + len(node.ending) + len(divider) * (len(entries) - 1))
        self._origin = template.name

    def _entry(self, template: Template, table: Table | None, entry: BlfKey | Line, out: list[str]) -> None:
        plan = table.plan(self._scope, entry) if table is not None and self._follows else None
        if plan is not None:
            self._take(plan, out)
            return
        place = self._place
        self._splice(template, template.body, out, whole=False)
        if self._follows and self._place is not place:
            raise Varies

    def _copied(self, table: Table, keys: Sequence[BlfKey], divider: str, out: list[str]) -> bool:
        """Fill in keys in one go where their plans only copy: most lists are so.

        False, and nothing has happened, where it takes more than that, or something is wrong.
        """
        form = table.form(self._scope, keys, divider)
        if form is None:
            return False
        values: list[str] = []
        try:
            for key, copied in zip(keys, form.rows, strict=True):
                values += copied(key.names)
            together = "".join(values)
        except (KeyError, TypeError):  # one has no such name, or no text there
            return False
        if self._place not in _ALIKE or self._safe(together) != together:
            values = list(map(self._safe, values))
            together = "".join(values)
        if not self._meter.takes(form.expansions, form.size + len(together)):
            return False
        pieces = list(form.pieces)
        pieces[1::2] = values
        out += pieces
        self.files |= form.files
        return True

    def _template(self, node: Placeholder) -> Template:
        stem = "blf" if node.category is Category.BLF else "account"
        template = entry_template(self._scope, stem)
        if template is None:
            raise template_missing(self._scope, stem)
        return template
