"""What the tests of plans and sheets share: that phones which share them get what each gets by itself."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from era_ap.errors import Refused
from era_ap.provisioning.language import Template
from era_ap.provisioning.planner import Plans
from era_ap.provisioning.render import Budget, NamesNeeded, Scope, render

Outcome = tuple[object, ...]

MODEL = """
model:
  accounts: {count: 3, fields: {base: {start: 40, step: 2}}}
  keys:
    line: {count: 4, fields: {key: "line.{position}", also: fixed}}
    module: {count: 3, modules: 2, fill: gaps, fields: {key: "module.{module}.{position}"}}
  types: {none: 0, blf: 16, speeddial: {code: 13, also: "{number}"}, url: {code: 17, value: "get:{value}"}}
  dialect: {label_length: 5}
"""


class Steady(random.Random):
    """Whoever asks gets the same, however many asked before: a plan that is given up may have asked, too."""

    def getrandbits(self, k: int) -> int:
        return 0


def outcome(template: Template, phone: Scope, plans: Plans | None, budget: Budget | None = None) -> Outcome:
    """All that a rendering tells; its random numbers are the least there are."""
    phone = replace(phone, plans=plans, rng=Steady())
    try:
        found = render(template, phone, budget or Budget(lambda: 0.0))
    except Refused as refused:
        return refused.reason, refused.detail, refused.chain
    except NamesNeeded as needed:
        return (needed.names,)
    return found.data, found.kind, found.warnings, found.files[0], frozenset(found.files)


def agree(template: Template, phones: Iterable[Scope]) -> None:
    """Assert that phones which share plans get what each of them gets without."""
    plans = Plans(Plans())
    phones = tuple(phones)
    for phone in (*phones, *phones, *phones):
        assert outcome(template, phone, plans) == outcome(template, phone, None)
