"""From a template and a scope to the bytes a phone gets: steps 6 and 7 of spec 5.

Owns the order: required fields, filling, overrides, check, encoding. Does not own any of them but the first
and the last. Its shapes live in ``scope`` and are offered here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from era_ap.errors import Reason, Refused
from era_ap.provisioning import override
from era_ap.provisioning.escape import text_safe
from era_ap.provisioning.expand import Expansion
from era_ap.provisioning.language import Category, Kind, Placeholder, declared_encoding
from era_ap.provisioning.meter import Meter
from era_ap.provisioning.plan import Varies
from era_ap.provisioning.safe_xml import parse_xml
from era_ap.provisioning.scope import (
    Budget,
    ConstantSource,
    Effect,
    Line,
    NamesNeeded,
    Rendering,
    Scope,
    TraceEntry,
)
from era_ap.provisioning.sheet import shape_of
from era_ap.provisioning.trace import TracedExpansion
from era_ap.provisioning.values import field

if TYPE_CHECKING:
    from era_ap.errors import Problem
    from era_ap.provisioning.language import Template
    from era_ap.provisioning.limits import Dialect
    from era_ap.provisioning.sheet import Shape

__all__ = [
    "Budget",
    "ConstantSource",
    "Effect",
    "Line",
    "NamesNeeded",
    "Rendering",
    "Scope",
    "TraceEntry",
    "kind_of",
    "render",
]

_PASSWORD = "sipuser.password"  # noqa: S105 - the name of a field


def render(template: Template, scope: Scope, budget: Budget, *, trace: bool = False) -> Rendering:
    """Fill in ``template``, apply the primary line's overrides and check the result.

    Raises:
        Refused: the file cannot be made; the chain begins with the template.
        NamesNeeded: host names built by placeholders are to be resolved first.
    """
    try:
        _check_required(scope)
        filled = _filled(template, scope, budget, trace=trace)
        data = _encoded(filled.text, filled.kind, scope.layout.dialect if scope.layout is not None else None)
        filled.meter.check_size(len(data))
        if filled.kind is Kind.XML:
            parse_xml(data)
        filled.meter.check_clock()
    except Refused as refused:
        raise Refused(refused.reason, refused.detail, refused.chain or (template.name,)) from None
    return Rendering(
        data=data,
        kind=filled.kind,
        warnings=(*scope.problems, *filled.warnings),
        trace=filled.trace,
        files=filled.files,
    )


class _Filled(NamedTuple):
    """A text with what is to be told about it."""

    text: str
    kind: Kind
    meter: Meter
    files: tuple[str, ...]
    warnings: tuple[Problem, ...] = ()
    trace: tuple[TraceEntry, ...] = ()


def _filled(template: Template, scope: Scope, budget: Budget, *, trace: bool) -> _Filled:
    """The text by the sheet for phones like this one; else expanded and corrected."""
    plans = scope.plans if not trace else None
    shape = shape_of(template, scope, budget.depth) if plans is not None else None
    sheet = plans.sheets.get(shape) if plans is not None and shape is not None else None
    if sheet is not None:
        meter = Meter(budget)
        text = sheet.text(scope, meter)
        if text is not None:
            return _Filled(text, sheet.kind, meter, sheet.files)
    kind = kind_of(template, scope)
    expansion, meter, text = _expanded(template, scope, kind, budget, shape, trace=trace)
    changes: tuple[TraceEntry, ...] = ()
    if scope.lines and scope.is_corrected and scope.lines[0].device.override:
        text, changes = override.apply(text, kind, scope.lines[0], expansion, meter)
    expansion.check_known()
    entries = expansion.entries if isinstance(expansion, TracedExpansion) else None
    return _Filled(
        text,
        kind,
        meter,
        files=tuple({template.name: None, **expansion.files}),
        warnings=tuple(expansion.warnings),
        trace=() if entries is None else (*entries, *changes),
    )


def _expanded(
    template: Template, scope: Scope, kind: Kind, budget: Budget, shape: Shape | None, *, trace: bool
) -> tuple[Expansion, Meter, str]:
    """The text by the plan of the template, or by the walk where there is none or something is to be told."""
    maker = TracedExpansion if trace else Expansion
    meter = Meter(budget)
    expansion = maker(scope, kind, meter, template.encoding, budget.depth)
    plan = expansion.plan(template)
    if plan is not None:
        try:
            text = expansion.follow(plan)
        except (Refused, Varies):
            meter = Meter(budget)
            expansion = maker(scope, kind, meter, template.encoding, budget.depth)
        else:
            if shape is not None and scope.plans is not None:
                scope.plans.sheets.learn(shape, kind, plan, scope)
            return expansion, meter, text
    return expansion, meter, expansion.fill(template)


def kind_of(template: Template, scope: Scope) -> Kind:
    """Text or XML; a template that begins with an include is of the kind of the file it includes."""
    seen: set[str] = set()
    while template.kind is Kind.TEXT and template.name not in seen:
        seen.add(template.name)
        first = next((node for node in template.nodes if not isinstance(node, str) or node.strip()), None)
        if not isinstance(first, Placeholder) or first.category is not Category.INCLUDE or first.parts:
            break
        included = scope.templates(first.key)
        if included is None:
            break
        template = included
    return template.kind


def _check_required(scope: Scope) -> None:
    """No phone gets an empty credential: every line has its required fields, or nothing is made."""
    for line in scope.lines:
        for name in scope.required:
            if name == _PASSWORD and not line.account.registers:
                continue
            value = field(line, name.removeprefix("sipuser."))
            if value is None or not text_safe(value).strip():
                detail = f"account {line.account.key}: {name} is {'missing' if value is None else 'empty'}"
                raise Refused(Reason.REQUIRED_MISSING, detail)


def _encoded(text: str, kind: Kind, dialect: Dialect | None) -> bytes:
    """The bytes of the file: in the encoding of the dialect, or as its XML declaration says, with references
    for what that cannot carry. Raises ``Refused`` (LINE_LENGTH, OUTPUT_ENCODING).
    """
    encoding = (
        declared_encoding(text) if kind is Kind.XML else dialect.encoding if dialect else None
    ) or "utf-8"
    if dialect is not None and dialect.line_length:
        for number, written in enumerate(text.splitlines(), 1):
            if len(written) > dialect.line_length:
                detail = f"line {number} has {len(written)} characters, more than {dialect.line_length}"
                raise Refused(Reason.LINE_LENGTH, detail)
    strict = kind is Kind.TEXT or encoding == "utf-8"
    try:
        return text.encode(encoding, "strict" if strict else "xmlcharrefreplace")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        detail = f"line {line}: the character U+{ord(text[error.start]):04X} does not exist in {encoding}"
        raise Refused(Reason.OUTPUT_ENCODING, detail) from None
