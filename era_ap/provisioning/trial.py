"""Fills in every file of every phone, so that ``era-ap check`` finds what a phone would find.

Owns which files are tried: for each phone the templates of its model, and the common files. Whatever a file
needs is resolved and filled as for a request; host names are not asked for. What goes wrong alike for many
phones is one finding. Does not judge what shows without filling (``audit``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from era_ap.directory.index import Phone
from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.names import Mask, MaskTable
from era_ap.provisioning.resolution import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from era_ap.provisioning.language import Template
    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.provisioning.resolution import Resolution

    Progress = Callable[[str, int, int], None]

RENDER_SECONDS = 0.5
_ORIGIN = "check"
_PARTS = ("blf", "account")
_ANY_ADDRESS = ("192.0.2.1",)  # RFC 5737: stands for the answer of a name server
_ELSEWHERE = frozenset({Reason.REQUIRED_MISSING, Reason.MODEL_MISSING, Reason.TEMPLATE_MISSING})


def trial(
    provisioner: Provisioner, clock: Callable[[], float], progress: Progress = lambda *_: None
) -> tuple[Problem, ...]:
    """What goes wrong when every phone asks for all its files; ``clock`` is monotonic, in seconds."""
    if provisioner.directory is None or provisioner.catalogue is None:
        return ()
    found = [*_common_files(provisioner, clock), *_phones(provisioner, clock, progress)]
    return _told_once(found)


def _phones(
    provisioner: Provisioner, clock: Callable[[], float], progress: Progress
) -> Iterator[tuple[str, Problem]]:
    directory, catalogue = provisioner.directory, provisioner.catalogue
    assert directory is not None and catalogue is not None
    endings = _endings(catalogue.templates)
    types = {mask.type for mask in provisioner.mask_table().masks if mask.type}
    macs = tuple(directory.macs)
    for number, mac in enumerate(macs, 1):
        progress("phones", number, len(macs))
        phone = directory.phone_of(mac)
        if not isinstance(phone, Phone):
            continue  # a conflict is the directory's own finding
        account, device = phone.lines[0]
        try:
            bases = catalogue.models.bases(
                device.model or "", str(device.fields.get("firmware") or "") or None
            )
        except Refused:
            continue  # ``audit`` tells
        seen: set[str] = set()
        for ending in dict.fromkeys(ending for base in bases for ending in endings.get(base.lower(), ())):
            mask = Mask(f"[mac].{ending or 'cfg'}", ending if ending in types else None, None, _ORIGIN)
            resolved = resolve(f"{mac}.{ending or 'cfg'}", catalogue, directory, MaskTable((mask,)))
            if resolved.template is not None and resolved.template.name not in seen:
                seen.add(resolved.template.name)
                for problem in _fill(provisioner, resolved, clock):
                    yield f"{account.origin} ({mac})", problem


def _endings(templates: Mapping[str, Template]) -> dict[str, list[str]]:
    """By lower-case stem what follows it in the names of files that phones get; "" for nothing."""
    endings: dict[str, list[str]] = {}
    for key in templates:
        endings.setdefault(key, []).append("")
        for place in (at for at, character in enumerate(key) if character == "."):
            ending = key[place + 1 :]
            if ending and ending.partition(".")[0] not in _PARTS:
                endings.setdefault(key[:place], []).append(ending)
    return endings


def _common_files(provisioner: Provisioner, clock: Callable[[], float]) -> Iterator[tuple[str, Problem]]:
    catalogue = provisioner.catalogue
    assert catalogue is not None
    own = f" of {provisioner.rules.master_domain}"
    done: set[str] = set()
    for mask in provisioner.mask_table().masks:
        if mask.template is None or mask.template.lower() in done:
            continue
        done.add(mask.template.lower())
        where = f"mask '{mask.text}' ({mask.origin})"
        resolved = resolve("common", catalogue, None, MaskTable((replace(mask, text="common"),)))
        if resolved.template is not None:
            for problem in _fill(provisioner, resolved, clock):
                yield where, problem
        elif resolved.refusal is not None and mask.origin.endswith(own):
            yield where, Problem(resolved.refusal.reason, where, resolved.refusal.detail)


def _fill(provisioner: Provisioner, resolved: Resolution, clock: Callable[[], float]) -> Iterator[Problem]:
    """What is wrong with one file: why it cannot be made, or which of its overrides do nothing."""
    assert resolved.template is not None
    name = f"templates/{resolved.template.name}"
    try:
        filling = provisioner.filling(resolved, "")
        scope = replace(filling.scope, addresses=lambda _: _ANY_ADDRESS)
        rendering = replace(filling, scope=scope).render(clock, RENDER_SECONDS)
    except Refused as refused:
        if refused.reason not in _ELSEWHERE:
            through = f" (through {' > '.join(refused.chain)})" if len(refused.chain) > 1 else ""
            yield Problem(refused.reason, name, f"{name}: {refused.detail or refused.reason.advice}{through}")
        return
    for warning in rendering.warnings:
        if warning.reason is Reason.OVERRIDE_XPATH:
            detail = f"{name}: {warning.where}: {warning.detail}"
            yield Problem(warning.reason, name, detail, Severity.WARNING)


def _told_once(found: Iterable[tuple[str, Problem]]) -> tuple[Problem, ...]:
    """One finding for all phones that have the same one; it names the first of them."""
    found = tuple(found)
    count = Counter(problem for _, problem in found)
    first: dict[Problem, str] = {}
    for where, problem in found:
        first.setdefault(problem, where)
    told = []
    for problem, where in first.items():
        more = f"; {count[problem] - 1} more alike" if count[problem] > 1 else ""
        told.append(replace(problem, where=where, detail=f"{problem.detail}{more}"))
    return tuple(told)
