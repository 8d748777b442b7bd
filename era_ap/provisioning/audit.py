"""Tries every phone of the directory against the catalogue and reports what would go wrong.

Owns the findings that only show where configuration, storage and directory meet: a model without a template,
an account without a password, a mask that is no mask. Does not repeat what each of them reports by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era_ap.directory.index import Phone
from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.fields import as_text, find
from era_ap.provisioning.names import compile_mask
from era_ap.provisioning.scoping import TIMEZONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from era_ap.directory.model import Domain
    from era_ap.provisioning.catalogue import Catalogue
    from era_ap.provisioning.provisioner import Provisioner


_MASK = "mask"


def audit(provisioner: Provisioner) -> tuple[Problem, ...]:
    """All findings about the phones of the directory in service, and about the masks."""
    return (
        *_masks(provisioner),
        *_domains(provisioner),
        *_time_zones(provisioner),
        *_phones(provisioner),
    )


def mask_problems(master: Domain | None) -> Iterator[Problem]:
    """Masks of the master domain that cannot be used."""
    for number, spec in enumerate(master.masks if master else ()):
        try:
            compile_mask(spec, _MASK)
        except Refused as refused:
            where = f"{master.origin if master else ''}: settings.ap_options.masks[{number}]"
            yield Problem(Reason.MASK_INVALID, where, refused.detail.removeprefix(f"{_MASK}: "))


def _masks(provisioner: Provisioner) -> Iterator[Problem]:
    directory = provisioner.directory
    if directory is not None:
        yield from mask_problems(directory.domain(provisioner.rules.master_domain))


def _domains(provisioner: Provisioner) -> Iterator[Problem]:
    directory = provisioner.directory
    if directory is None:
        return
    master = provisioner.rules.master_domain
    if directory.domain(master) is None:
        yield Problem(
            Reason.DOMAIN_INVALID,
            master,
            "the master domain is not in the directory; its masks and constants are empty",
            Severity.WARNING,
        )
    for name in directory.domains:
        if name != master and not name.endswith(f".{master}"):
            domain = directory.domain(name)
            yield Problem(
                Reason.DOMAIN_INVALID,
                domain.origin if domain else name,
                f"{name} is not below the master domain {master}; no group covers it",
            )


def _time_zones(provisioner: Provisioner) -> Iterator[Problem]:
    directory, catalogue, rules = provisioner.directory, provisioner.catalogue, provisioner.rules
    places = [(f"constants/{rules.site}.cfg", catalogue.constants)] if catalogue is not None else []
    for name in directory.domains if directory is not None else ():
        domain = directory.domain(name) if directory is not None else None
        if domain is not None:
            places.append((domain.origin, domain.constants))
    for where, constants in places:
        if rules.zones is not None and constants.get(TIMEZONE):
            try:
                rules.zones.constants(constants[TIMEZONE])
            except Refused as refused:
                yield Problem(refused.reason, where, refused.detail)


def _phones(provisioner: Provisioner) -> Iterator[Problem]:
    directory, catalogue = provisioner.directory, provisioner.catalogue
    if directory is None or catalogue is None:
        return
    verdicts: dict[tuple[str, str | None], tuple[Reason, str] | None] = {}
    for mac in directory.macs:
        phone = directory.phone_of(mac)
        if not isinstance(phone, Phone):
            continue  # a conflict is the directory's own finding
        account, device = phone.lines[0]
        where = f"{account.origin} ({mac})"
        firmware = device.fields.get("firmware")
        kind = (device.model or "", str(firmware) if firmware else None)
        if kind not in verdicts:
            verdicts[kind] = without_template(catalogue, *kind)
        verdict = verdicts[kind]
        if verdict is not None:
            yield Problem(verdict[0], where, verdict[1])
        yield from _credentials(provisioner, phone)


def without_template(catalogue: Catalogue, model: str, firmware: str | None) -> tuple[Reason, str] | None:
    """Why a phone of this model gets no file; None if it gets one."""
    if not model:
        return Reason.MODEL_MISSING, "the account names no device_model for this phone"
    try:
        bases = catalogue.models.bases(model, firmware)
    except Refused as refused:
        return refused.reason, refused.detail
    wanted = tuple(base.lower() for base in bases)
    if any(name in wanted or name.rpartition(".")[0] in wanted for name in catalogue.templates):
        return None
    return Reason.TEMPLATE_MISSING, f"no template for model {model} (looked for {', '.join(bases)})"


def _credentials(provisioner: Provisioner, phone: Phone) -> Iterator[Problem]:
    for account, device in phone.lines:
        for path in provisioner.rules.required:
            name = path.removeprefix("sipuser.")
            if name == "password" and not account.registers:
                continue
            text = as_text(find(account.fields, tuple(name.split(".")), device))
            if text is None or not text.strip():
                yield Problem(Reason.REQUIRED_MISSING, account.origin, f"account {account.key} has no {name}")
