"""A template flattened for many phones: its text with what they have in common, and what is left to do.

Owns the shapes only: what the steps are, and the rows that need nothing but copying. Does not own the
flattening (``planner``) nor the filling (``expand``). Steps are in the order of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from era_ap.provisioning.language import Category

if TYPE_CHECKING:
    from era_ap.errors import Problem
    from era_ap.provisioning.escape import Place
    from era_ap.provisioning.language import Placeholder, Template
    from era_ap.provisioning.planner import Table


class Varies(Exception):  # noqa: N818 - no error: the walk has to do it
    """What comes here is another template, or at another place, for each phone: no plan can say it."""


class Where(NamedTuple):
    """What a template is flattened for: where its text lands, in which files, at most so many levels deep."""

    template: Template
    place: Place
    encoding: str
    depth: int
    stack: tuple[str, ...] = ()


class Slot(NamedTuple):
    """A placeholder whose value each phone or entry has its own of; it stands in ``file`` at ``place``."""

    node: Placeholder
    key: str
    place: Place
    file: str


class Repeat(NamedTuple):
    """A list and the plans of its entries, None where they have no template; ``stack``: the files around."""

    node: Placeholder
    table: Table | None
    place: Place
    stack: tuple[str, ...]


class Remark(NamedTuple):
    """Warnings that come up here for every phone."""

    warnings: tuple[Problem, ...]


Step = str | Slot | Repeat | Remark


Taking = Callable[[Any], tuple[str, ...]]
"""Values of a mapping or sequence, in an order; a missing one is a KeyError."""


class Row(NamedTuple):
    """Steps that only copy: ``pieces`` of text, the odd ones to be replaced by ``values``."""

    pieces: tuple[str, ...]
    values: Taking


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left of a template and what it includes; ``expansions`` and ``size`` were counted for the rest.

    ``files`` are the templates that went into it. ``is_common``: no constant did. ``row`` is there where the
    keys of a list are only to be copied.
    """

    steps: tuple[Step, ...]
    expansions: int
    size: int
    files: Mapping[str, None]
    is_common: bool
    row: Row | None


@dataclass(frozen=True, slots=True)
class Form:
    """A list of rows: ``pieces`` of text, the odd ones to be replaced by what ``rows`` give for each key."""

    pieces: tuple[str, ...]
    rows: tuple[Taking, ...]
    expansions: int
    size: int
    files: Mapping[str, None]


def joined(steps: list[Step]) -> tuple[Step, ...]:
    """The steps with texts side by side made one, without empty ones."""
    found: list[Step] = []
    for is_text, group in groupby(steps, lambda step: isinstance(step, str)):
        if not is_text:
            found += group
        elif text := "".join(map(str, group)):
            found.append(text)
    return tuple(found)


def row_of(steps: tuple[Step, ...], place: Place) -> Row | None:
    """How to copy a key whose values all land at ``place``; None where more has to be done."""
    pieces, names = [""], list[str]()
    for step in steps:
        if isinstance(step, str):
            pieces[-1] = step
        elif isinstance(step, Slot) and step.node.category is Category.BLF_FIELD and step.place is place:
            pieces += ("", "")
            names.append(step.key)
        else:
            return None
    return Row(tuple(pieces), taking(names))


def taking(names: Sequence[Any]) -> Taking:
    """What takes ``names`` from what it is given."""
    if len(names) < 2:  # itemgetter would give no tuple
        return lambda named: tuple([named[name] for name in names])
    return itemgetter(*names)


def divider_of(template: Template, node: Placeholder) -> str:
    """What stands between two entries of a list at ``node``."""
    return template.ending or ((node.ending.lstrip(" \t") or "\n") if node.alone else "")


def form_of(plans: Sequence[Plan | None], divider: str) -> Form | None:
    """The list of those entries; None where one of them takes more than copying."""
    pieces, rows, files = [""], list[Taking](), dict[str, None]()
    for number, plan in enumerate(plans):
        if plan is None or plan.row is None:
            return None
        pieces[-1] += f"{divider if number else ''}{plan.row.pieces[0]}"
        pieces += plan.row.pieces[1:]
        rows.append(plan.row.values)
        files |= plan.files
    expansions, size = (
        sum(plan.expansions for plan in plans if plan),
        sum(plan.size for plan in plans if plan),
    )
    return Form(tuple(pieces), tuple(rows), expansions, size, files)
