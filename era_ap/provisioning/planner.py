"""Flattening templates: what all phones of one kind have in common is filled in once, and kept.

Owns what is alike for them (includes, constants, the numbers of lines and keys) and what is not (data of
accounts and keys, addresses, random numbers, constants of the phone itself), and the bounds of what is kept.
A flattening takes the same steps as a filling; only what differs is left for later. Does not own the filling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from era_ap.errors import Refused
from era_ap.provisioning.blf import BlfKey, entry_template
from era_ap.provisioning.escape import Place
from era_ap.provisioning.expand import Expansion
from era_ap.provisioning.language import Category, Kind
from era_ap.provisioning.meter import Meter
from era_ap.provisioning.plan import Plan, Remark, Repeat, Slot, Varies, form_of, joined, row_of
from era_ap.provisioning.scope import Budget
from era_ap.provisioning.sheet import Sheets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from era_ap.provisioning.language import Placeholder
    from era_ap.provisioning.plan import Form, Step, Where
    from era_ap.provisioning.scope import Line, Scope
    from era_ap.provisioning.spots import Known
    from era_ap.provisioning.walk import Handler

    Mark = Known | int | None
    """For what a plan is: a key of the phone, a line by its number, anything."""

MOST: Final = 4096
"""Plans of one template, and places of templates, that are kept."""

FORMS: Final = 64
"""Forms of one template that are kept; they are longer, and made in a moment."""


class Plans:
    """The plans of phones that differ only in lines, reserved and own constants; ``common`` are shared with
    others, and know no constants. ``sheets`` are whole files of such phones.

    What is asked for once may never be asked for again: a plan is made at the second time.
    """

    def __init__(self, common: Plans | None = None) -> None:
        self.sheets = Sheets()
        self._common = common
        self._tables: dict[Where, Table] = {}

    def at(self, where: Where) -> Table:
        """The plans of one template at one place."""
        table = self._tables.get(where)
        if table is None:
            table = Table(self, where, self._common.at(where) if self._common is not None else None)
            if len(self._tables) < MOST:
                self._tables[where] = table
        return table


class Table:
    """The plans of one template at one place, by the key or line of the phone that they are for."""

    def __init__(self, plans: Plans, where: Where, common: Table | None) -> None:
        self.where = where
        self._all = plans
        self._common = common
        self._plans: dict[Mark, Plan | None] = {}
        self._forms: dict[tuple[str, tuple[Mark, ...]], Form] = {}
        self._asked: set[Mark] = set()

    def plan(self, scope: Scope, entry: BlfKey | Line | None) -> Plan | None:
        """The plan for an entry of a list, or of the root; None where there is none, or not yet."""
        mark = entry.known if isinstance(entry, BlfKey) else entry.number if entry is not None else None
        if mark in self._plans:
            return self._plans[mark]
        plan = self._common._plans.get(mark) if self._common is not None else None
        if plan is None and mark not in self._asked:
            if len(self._asked) < MOST:
                self._asked.add(mark)
            return None
        plan = plan or Planner(self._all, scope, self.where).flattened(entry)
        self._plans[mark] = plan
        if plan is not None and plan.is_common and self._common is not None:
            self._common._plans.setdefault(mark, plan)
        return plan

    def form(self, scope: Scope, keys: Sequence[BlfKey], divider: str) -> Form | None:
        """The form of a whole list; None where a key takes more than copying, or is not planned yet."""
        mark = (divider, tuple([key.known for key in keys]))
        form = self._forms.get(mark)
        if form is None and self._common is not None:
            form = self._common._forms.get(mark)
        if form is None:
            plans = [self.plan(scope, key) for key in keys]
            form = form_of(plans, divider)
            is_common = self._common is not None and all(
                plan is not None and plan.is_common for plan in plans
            )
            home = self._common if self._common is not None and is_common else self
            if form is not None and len(home._forms) < FORMS:
                home._forms[mark] = form
        return form


def _remarked(handler: Handler) -> Handler:
    """The warnings that ``handler`` leads to, in their place among the steps."""

    def handle(planner: Planner, node: Placeholder, key: str, out: list[str]) -> None:
        if planner._place is not Place.KEY:
            planner._remark(out)
        handler(planner, node, key, out)
        if planner._place is not Place.KEY:
            planner._remark(out)

    return handle


class Planner(Expansion):
    """An ``Expansion`` that leaves for later what differs from phone to phone, whatever phone is at hand."""

    def __init__(self, plans: Plans, scope: Scope, where: Where) -> None:
        super().__init__(scope, Kind.TEXT, Meter(Budget(_no_time)), where.encoding, where.depth)
        self._plans = plans
        self._where = where
        self._stack = list(where.stack)
        self._depth = len(where.stack) - 1
        self._move(where.place)
        self._is_common = True
        self._told = 0

    def flattened(self, entry: BlfKey | Line | None) -> Plan | None:
        """The plan of the template for one entry, or of the root; None where it differs too much."""
        template, place = self._where.template, self._where.place
        if entry is not None:
            self._values.enter(entry)
        steps: list[Step] = []
        out: list[str] = steps  # type: ignore[assignment]  # to those who put only text into it
        try:
            self._splice(
                template, template.nodes if entry is None else template.body, out, whole=entry is None
            )
        except (Refused, Varies):
            return None
        if self._place is not place and entry is not None:
            return None  # the next entry begins at another place
        self._remark(out)
        flat = joined(steps)
        copied = isinstance(entry, BlfKey) and (entry.known is not None or self._dialect is None)
        return Plan(
            steps=flat,
            expansions=self._meter.expansions,
            size=self._meter.size,
            files=self.files,
            is_common=self._is_common and isinstance(entry, BlfKey) and entry.known is not None,
            row=row_of(flat, place) if copied else None,
        )

    # --- what differs

    def _leave(self, node: Placeholder, key: str, out: list[str]) -> None:
        if self._place is Place.KEY:
            raise Varies
        out.append(Slot(node, key, self._place, self._file))  # type: ignore[arg-type]  # see ``flattened``

    def _of_line(self, node: Placeholder, key: str, out: list[str]) -> None:
        layout = self._scope.layout
        computed = layout.line_fields if layout is not None else ()
        if self._values.line is not None and key not in ("line", "line0") and key not in computed:
            self._leave(node, key, out)
        else:
            self._data(node, key, out)

    def _of_key(self, node: Placeholder, key: str, out: list[str]) -> None:
        entry = self._values.blf_key
        if entry is not None and (entry.known is None or key not in entry.known.fixed):
            self._leave(node, key, out)
        else:
            self._data(node, key, out)

    def _of_site(self, node: Placeholder, key: str, out: list[str]) -> None:
        self._is_common = False
        scope = self._scope
        given = any(key in source.values for source in scope.constants)
        if key == "newid" or key in scope.reserved or (key in scope.own and not given):
            self._leave(node, key, out)
        else:
            self._constant(node, key, out)

    def _later(self, node: Placeholder, _key: str, out: list[str]) -> None:
        if self._values.blf_key is not None or self._values.line is not None:
            raise Varies
        template = entry_template(self._scope, "blf" if node.category is Category.BLF else "account")
        table = self._table(template) if template is not None else None
        out.append(Repeat(node, table, self._place, tuple(self._stack)))  # type: ignore[arg-type]

    # --- what is to be said

    def _remark(self, out: list[str]) -> None:
        fresh = tuple(self.warnings)[self._told :]
        if fresh:
            self._told = len(self.warnings)
            out.append(Remark(fresh))  # type: ignore[arg-type]

    _handlers = (
        *(_leave, _remarked(_of_line), _remarked(_of_key), _leave, _leave),
        *(_remarked(_of_site), _remarked(Expansion._include), _later, _later),
    )


def _no_time() -> float:
    return 0.0
