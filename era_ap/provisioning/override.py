"""Corrections of one phone: reading the three written forms and applying them to the filled file (spec 8).

Owns the forms (object, list of {path, value}, string), the expansion of what they bring in, the order and the
reporting. Does not own how a line or an element is changed (``override_text``, ``override_xml``).
Values are operators' text: scanned for placeholders, whose data is inserted as data. Paths are not scanned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.masking import is_secret, mask
from era_ap.provisioning.escape import Place, legal, text_safe
from era_ap.provisioning.fields import as_text
from era_ap.provisioning.language import Kind, parse
from era_ap.provisioning.override_text import TextEditor
from era_ap.provisioning.override_xml import XmlEditor
from era_ap.provisioning.scope import TraceEntry

if TYPE_CHECKING:
    from era_ap.provisioning.expand import Expansion
    from era_ap.provisioning.meter import Meter
    from era_ap.provisioning.scope import Change, Line


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction; ``value`` None removes.

    ``use`` counts the uses of this path in a list from 0, None in an object; ``repeated``: the list has it
    again.
    """

    path: str
    value: str | None
    use: int | None = None
    repeated: bool = False


class Editor(Protocol):
    """A filled file that is being corrected."""

    def change(self, path: str, value: str | None, use: int | None) -> Change:
        """Give ``path`` the value; ``use`` is the one occurrence meant (from 0), None: all that there are."""

    def merge(self, body: str) -> list[Change]:
        """Apply a correction written as a piece of such a file."""

    def text(self) -> str:
        """The file as it is now."""


def read(override: object) -> str | tuple[Correction, ...]:
    """The corrections of one of the three forms. Raises ``Refused`` (OVERRIDE_FORM)."""
    if override is None or isinstance(override, str):
        return override or ()
    if isinstance(override, Mapping):
        return tuple(Correction(str(path), _value(path, value)) for path, value in override.items())
    if not isinstance(override, list | tuple):
        raise Refused(Reason.OVERRIDE_FORM, "it is neither an object, nor a list, nor text")
    pairs = [_pair(item, number) for number, item in enumerate(override, 1)]
    total, seen = Counter(path for path, _ in pairs), Counter[str]()
    corrections = []
    for path, value in pairs:
        corrections.append(Correction(path, value, seen[path], total[path] > 1))
        seen[path] += 1
    return tuple(corrections)


def apply(
    text: str, kind: Kind, line: Line, expansion: Expansion, meter: Meter
) -> tuple[str, tuple[TraceEntry, ...]]:
    """The filled file with the overrides of the line's device, and what each did; secrets are masked.

    Raises:
        Refused: OVERRIDE_* with the account in its detail, or what the expansion of a value raises.
    """
    where = f"override of {line.account.key}"
    try:
        corrections = read(line.device.override)
        if not corrections:
            return text, ()
        if isinstance(corrections, str):
            return _merged(text, kind, corrections, expansion, meter, where)
        editor = _editor(text, kind, meter)
        changes = []
        for each in corrections:
            value = None if each.value is None else _expanded(each.value, kind, expansion, where)
            use = each.use if kind is Kind.TEXT or each.repeated else None
            changes.append(editor.change(each.path, value, use))
    except Refused as refused:
        if refused.detail.startswith(where):
            raise
        raise Refused(refused.reason, f"{where}: {refused.detail}", refused.chain) from None
    return editor.text(), _reported(changes, expansion, where)


def _merged(
    text: str, kind: Kind, body: str, expansion: Expansion, meter: Meter, where: str
) -> tuple[str, tuple[TraceEntry, ...]]:
    place = Place.MARKUP if kind is Kind.XML else Place.TEXT
    filled = expansion.fill(parse(where, body), place)
    editor = _editor(text, kind, meter)
    changes = editor.merge(filled)
    return editor.text(), _reported(changes, expansion, where)


def _editor(text: str, kind: Kind, meter: Meter) -> Editor:
    return (XmlEditor if kind is Kind.XML else TextEditor)(text, meter.check_clock)


def _expanded(value: str, kind: Kind, expansion: Expansion, where: str) -> str:
    if kind is Kind.XML:
        return legal(expansion.fill(parse(where, value), Place.KEY) if "[" in value else value)
    return text_safe(expansion.fill(parse(where, value), Place.TEXT) if "[" in value else value)


def _reported(changes: list[Change], expansion: Expansion, where: str) -> tuple[TraceEntry, ...]:
    for change in changes:
        if change.detail:
            problem = Problem(
                Reason.OVERRIDE_XPATH, where, f"{change.path}: {change.detail}", Severity.WARNING
            )
            expansion.warnings[problem] = None
    return tuple(
        TraceEntry(
            placeholder=change.path,
            where=where,
            value=_hidden(change.path, change.after, expansion),
            origin=where,
            depth=0,
            before=_hidden(change.path, change.before, expansion),
            effect=change.effect,
        )
        for change in changes
    )


def _hidden(path: str, value: str, expansion: Expansion) -> str:
    """The value, masked if its path names a secret or a secret went into it."""
    return mask(value) if is_secret(path) or any(secret in value for secret in expansion.secrets) else value


def _pair(item: object, number: int) -> tuple[str, str | None]:
    if not isinstance(item, Mapping) or set(item) != {"path", "value"}:
        raise Refused(Reason.OVERRIDE_FORM, f"entry {number} of the list is not {{path, value}}")
    path = as_text(item["path"])
    if path is None:
        raise Refused(Reason.OVERRIDE_FORM, f"the path of entry {number} of the list is not text")
    return path, _value(path, item["value"])


def _value(path: object, value: object) -> str | None:
    if value is None:
        return None
    text = as_text(value)
    if text is None:
        raise Refused(Reason.OVERRIDE_FORM, f"the value of {str(path)[:120]!r} is an object or a list")
    return text
