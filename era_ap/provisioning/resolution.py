"""Which file, phone and template a requested name means (spec 5, steps 1 to 5).

Owns the order of the decisions and keeps what each of them found, so that a refusal can be explained as
well as an answer. Does not fill in anything (``render``) and reads no
files: catalogue and directory are in memory.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.directory.index import Conflict, Phone
from era_ap.errors import Reason, Refused
from era_ap.provisioning.choices import Asked, Choice
from era_ap.provisioning.names import normalise
from era_ap.provisioning.ownership import Alone, owner_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.directory.index import DirectoryIndex
    from era_ap.provisioning.catalogue import Catalogue, StaticFile
    from era_ap.provisioning.language import Template
    from era_ap.provisioning.layout import Layout
    from era_ap.provisioning.names import MaskTable, NameMatch
    from era_ap.provisioning.ownership import Elsewhere


_BARE_MAC = re.compile(
    r"(?<![0-9a-f])(?!0{12}|00(?:[:.-]00){5})([0-9a-f]{12}|[0-9a-f]{2}(?:[:.-][0-9a-f]{2}){5})(?![0-9a-f])",
    re.IGNORECASE,
)

_ALONE = Alone()
_SCRIPTS = frozenset({"php", "cgi", "asp", "aspx", "jsp"})
_MAIN = ("", "cfg", "xml", "htm", "txt")
_CONFIGURATIONS = frozenset({*_MAIN, "html"})


@dataclass(slots=True)
class Resolution:
    """What is known about one requested name; filled in step by step until done or refused.

    ``mac_beside``: the MAC is not from the name, but from the query or a hint.
    """

    name: str
    path: str = ""
    static: StaticFile | None = None
    match: NameMatch | None = None
    mac: str = ""
    mac_beside: bool = False
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
    name: str,
    catalogue: Catalogue | None,
    directory: DirectoryIndex | None,
    masks: MaskTable,
    *,
    query: str = "",
    mac_hint: str = "",
    elsewhere: Elsewhere = _ALONE,
    admit: Callable[[Resolution], None] = lambda _: None,
) -> Resolution:
    """Follow spec 5 from a name to a static file or a template; a refusal is in the result, never raised.

    ``query`` counts only where the name has no MAC, ``mac_hint`` only where no mask fits it. ``elsewhere``
    is what other instances have seen of the directory. ``admit`` is called as soon as it is known whose file
    is wanted, before anything is looked up; it may raise ``Refused``.
    """
    found = Resolution(name)
    try:
        _find(found, catalogue, directory, masks, query, mac_hint, elsewhere, admit)
    except Refused as refusal:
        found.refusal = refusal
    return found


def _find(
    found: Resolution,
    catalogue: Catalogue | None,
    directory: DirectoryIndex | None,
    masks: MaskTable,
    query: str,
    mac_hint: str,
    elsewhere: Elsewhere,
    admit: Callable[[Resolution], None],
) -> None:
    if found.name.strip(" /\\") or not (query or mac_hint):
        found.path = normalise(found.name)
    no_mask = _match_name(found, masks)
    admit(found)
    if catalogue is None:
        raise Refused(Reason.STORAGE_UNAVAILABLE, "no scan of the storage has succeeded yet")
    found.static = catalogue.static(found.path) if found.path else None
    if found.static is not None:
        return
    if not found.mac and (no_mask is None or no_mask.reason is Reason.NO_MASK):
        found.mac_beside = _take_query(found, masks, query) or (
            no_mask is not None and _take_hint(found, mac_hint)
        )
    if found.mac_beside:
        admit(found)
    elif no_mask is not None:
        raise no_mask
    if found.mac:
        _find_phone(found, directory, elsewhere)
    mask = found.match.mask if found.match is not None else None
    if mask is not None and mask.template is not None:
        found.candidates = (mask.template,)
        found.template = _first_template(found, catalogue, Reason.COMMON_TEMPLATE_MISSING)
        return
    _find_model_template(found, catalogue)


def _match_name(found: Resolution, masks: MaskTable) -> Refused | None:
    """Whose file the name says it is; returns why it leads to no template, if it does not.

    A name that merely contains a MAC is that phone's too: a ready-made file of it may hold its secrets.
    """
    try:
        found.match = masks.match(found.path)
    except Refused as refused:
        bare = _BARE_MAC.search(found.path)
        found.mac = re.sub("[:.-]", "", bare[1]).lower() if bare is not None else ""
        return refused
    found.mac = found.match.mac or ""
    return None


def _take_query(found: Resolution, masks: MaskTable, query: str) -> bool:
    """Whether the query says whose file it is, for a name without a MAC: unknown, or a common one."""
    if query:
        with contextlib.suppress(Refused):
            match = masks.match(f"{found.path}?{query}")
            if match.mac is not None:
                found.match, found.mac = match, match.mac
    return bool(found.mac)


def _take_hint(found: Resolution, mac_hint: str) -> bool:
    """Whether a hint says whose file it is, for a name that says nothing at all."""
    found.mac = mac_hint
    return bool(mac_hint)


def _find_phone(found: Resolution, directory: DirectoryIndex | None, elsewhere: Elsewhere) -> None:
    found.owner = owner_of(found.mac, directory, elsewhere)
    if isinstance(found.owner, Conflict):
        claimants = ", ".join(str(key) for key in found.owner.keys)
        raise Refused(Reason.MAC_CONFLICT, f"{found.mac} is claimed by {claimants}")


def _find_model_template(found: Resolution, catalogue: Catalogue) -> None:
    phone = found.phone
    assert phone is not None
    match = found.match
    account, device = phone.lines[0]
    found.model = device.model or (match.model if match is not None else None) or ""
    if not found.model:
        raise Refused(Reason.MODEL_MISSING, f"account {account.key} has no device_model for {found.mac}")
    firmware = device.fields.get("firmware")
    found.firmware = str(firmware) if firmware else None
    asked = None
    if match is not None and not found.mac_beside:
        asked = Asked(found.model, found.firmware, match.mask.type, match.extension)
    choice = catalogue.choices.get(asked) if asked is not None else None
    if choice is None:
        choice = _choose(found, catalogue)
        if asked is not None:
            catalogue.choices.put(asked, choice)
    found.bases, found.layout, found.candidates, found.template = choice


def _choose(found: Resolution, catalogue: Catalogue) -> Choice:
    """What the phone gets, and every other one of its model that asks for a name of that kind."""
    match = found.match
    found.bases = catalogue.models.bases(found.model, found.firmware)
    found.layout = catalogue.models.layout(found.model, found.firmware)
    if match is not None and match.mask.type:
        found.candidates = tuple(f"{base}.{match.mask.type}" for base in found.bases)
    elif match is None or found.mac_beside:
        found.candidates = _candidates_beside(found)
    else:
        found.candidates = _main_candidates(found.bases, match.extension)
    template = _first_template(found, catalogue, Reason.TEMPLATE_MISSING)
    return Choice(found.bases, found.layout, found.candidates, template)


def _main_candidates(bases: tuple[str, ...], extension: str) -> tuple[str, ...]:
    return tuple(name for base in bases for name in ((base, f"{base}.{extension}") if extension else (base,)))


def _candidates_beside(found: Resolution) -> tuple[str, ...]:
    """Templates for a name without a MAC: ``<model>.<name>``, and the main one where the name means that.

    Beside a MAC in the query it does with any extension of a configuration: whoever wrote the URL meant it.
    So a phone that asks for firmware or a picture under its own User-Agent never gets a configuration.
    """
    name = found.path.rpartition("/")[2]
    stem, _, extension = name.rpartition(".") if "." in name else (name, "", "")
    own = tuple(f"{base}.{name}" for base in found.bases) if name else ()
    means_it = found.match is not None or stem.lower() in {base.lower() for base in found.bases}
    is_main = not name or extension.lower() in _SCRIPTS or (means_it and extension.lower() in _CONFIGURATIONS)
    if not is_main:
        return own
    kinds = dict.fromkeys((extension.lower(), *_MAIN))
    return (*own, *(f"{base}.{kind}" if kind else base for base in found.bases for kind in kinds))


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
