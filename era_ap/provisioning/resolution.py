"""Which file, phone and template a requested name means (spec 5, steps 1 to 5).

Owns the order of the decisions and keeps what each of them found, so that a refusal can be explained as
well as an answer. Does not fill in anything (``render``) and reads no
files: catalogue and directory are in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.directory.index import Conflict, Phone
from era_ap.errors import Reason, Refused
from era_ap.provisioning.names import normalise

if TYPE_CHECKING:
    from era_ap.directory.index import DirectoryIndex
    from era_ap.provisioning.catalogue import Catalogue, StaticFile
    from era_ap.provisioning.language import Template
    from era_ap.provisioning.layout import Layout
    from era_ap.provisioning.names import MaskTable, NameMatch


@dataclass(slots=True)
class Resolution:
    """What is known about one requested name; filled in step by step until done or refused."""

    name: str
    path: str = ""
    static: StaticFile | None = None
    match: NameMatch | None = None
    mac: str = ""
    owner: Phone | Conflict | None = None
    model: str = ""
    firmware: str | None = None
    bases: tuple[str, ...] = ()
    layout: Layout | None = None
    candidates: tuple[str, ...] = ()
    template: Template | None = None
    refusal: Refused | None = None

    @property
    def phone(self) -> Phone | None:
        """The phone that asks; None for a common or static file and while it is not known."""
        return self.owner if isinstance(self.owner, Phone) else None


def resolve(
    name: str, catalogue: Catalogue | None, directory: DirectoryIndex | None, masks: MaskTable
) -> Resolution:
    """Follow spec 5 from a name to a static file or a template; a refusal is in the result, never raised."""
    found = Resolution(name)
    try:
        _find(found, catalogue, directory, masks)
    except Refused as refusal:
        found.refusal = refusal
    return found


def _find(
    found: Resolution, catalogue: Catalogue | None, directory: DirectoryIndex | None, masks: MaskTable
) -> None:
    found.path = normalise(found.name)
    if catalogue is None:
        raise Refused(Reason.STORAGE_UNAVAILABLE, "no scan of the storage has succeeded yet")
    found.static = catalogue.static(found.path)
    if found.static is not None:
        return
    found.match = masks.match(found.path)
    mask = found.match.mask
    if found.match.mac is not None:
        found.mac = found.match.mac
        _find_phone(found, directory)
    if mask.template is not None:
        found.candidates = (mask.template,)
        found.template = _first_template(found, catalogue, Reason.COMMON_TEMPLATE_MISSING)
        return
    _find_model_template(found, catalogue)


def _find_phone(found: Resolution, directory: DirectoryIndex | None) -> None:
    if directory is None:
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, "no scan of the directory has succeeded yet")
    found.owner = directory.phone_of(found.mac)
    if found.owner is None:
        raise Refused(Reason.MAC_UNKNOWN, f"no account lists the MAC {found.mac}")
    if isinstance(found.owner, Conflict):
        claimants = ", ".join(str(key) for key in found.owner.keys)
        raise Refused(Reason.MAC_CONFLICT, f"{found.mac} is claimed by {claimants}")


def _find_model_template(found: Resolution, catalogue: Catalogue) -> None:
    assert found.phone is not None and found.match is not None
    account, device = found.phone.lines[0]
    found.model = device.model or found.match.model or ""
    if not found.model:
        raise Refused(Reason.MODEL_MISSING, f"account {account.key} has no device_model for {found.mac}")
    firmware = device.fields.get("firmware")
    found.firmware = str(firmware) if firmware else None
    found.bases = catalogue.models.bases(found.model, found.firmware)
    found.layout = catalogue.models.layout(found.model, found.firmware)
    kind = found.match.mask.type
    if kind:
        found.candidates = tuple(f"{base}.{kind}" for base in found.bases)
    else:
        extension = found.match.extension
        found.candidates = tuple(
            name for base in found.bases for name in ((base, f"{base}.{extension}") if extension else (base,))
        )
    found.template = _first_template(found, catalogue, Reason.TEMPLATE_MISSING)


def _first_template(found: Resolution, catalogue: Catalogue, otherwise: Reason) -> Template:
    for name in found.candidates:
        template = catalogue.template(name)
        if template is not None:
            return template
    for name in found.candidates:
        broken = catalogue.refusal_of(name)
        if broken is not None:
            raise broken
    raise Refused(otherwise, f"none of these is in templates/: {', '.join(found.candidates)}")
