"""What would have matched: the nearest file, mask, MAC or template to one that was not found.

For ``explain`` only; it may look at everything the catalogue and the directory hold, once.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from era_ap.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.provisioning.resolution import Resolution

MOST = 3
DIGITS_APART = 2


def nearest(provisioner: Provisioner, found: Resolution) -> tuple[str, ...]:
    """Up to ``MOST`` things that exist and are closest to what ``found`` was refused for."""
    assert found.refusal is not None
    look = _LOOKS.get(found.refusal.reason)
    return look(provisioner, found) if look is not None else ()


def _files_and_masks(provisioner: Provisioner, found: Resolution) -> tuple[str, ...]:
    catalogue = provisioner.catalogue
    files = _close(found.path, catalogue.statics) if catalogue else ()
    masks = _close(found.path, (mask.text for mask in provisioner.mask_table().masks))
    return (*(f"configs/{name}" for name in files), *(f"mask {text}" for text in masks))


def _static_spellings(provisioner: Provisioner, found: Resolution) -> tuple[str, ...]:
    statics = provisioner.catalogue.statics if provisioner.catalogue else ()
    folded = found.path.lower()
    return tuple(f"configs/{name}" for name in statics if name.lower() == folded)


def _macs(provisioner: Provisioner, found: Resolution) -> tuple[str, ...]:
    directory = provisioner.directory
    if directory is None:
        return ()
    ranked = sorted(
        (apart, mac) for mac in directory.macs if (apart := _digits_apart(mac, found.mac)) <= DIGITS_APART
    )
    return tuple(f"{mac} ({', '.join(map(str, directory.owners(mac)))})" for _, mac in ranked[:MOST])


def _digits_apart(one: str, other: str) -> int:
    """Digits to change; two neighbouring digits that were swapped count as one."""
    places = [at for at in range(12) if one[at] != other[at]]
    if (
        len(places) == 2
        and places[1] == places[0] + 1
        and one[places[0]] == other[places[1]]
        and one[places[1]] == other[places[0]]
    ):
        return 1
    return len(places)


def _templates(provisioner: Provisioner, found: Resolution) -> tuple[str, ...]:
    return _named_like(provisioner, found.candidates)


def _includes(provisioner: Provisioner, found: Resolution) -> tuple[str, ...]:
    chain = found.refusal.chain if found.refusal is not None else ()
    return _named_like(provisioner, chain[-1:])


def _named_like(provisioner: Provisioner, candidates: tuple[str, ...]) -> tuple[str, ...]:
    catalogue = provisioner.catalogue
    names = sorted(template.name for template in catalogue.templates.values()) if catalogue else []
    closest = (name for wanted in candidates for name in _close(wanted, names))
    return tuple(f"templates/{name}" for name in list(dict.fromkeys(closest))[:MOST])


def _close(wanted: str, there: Iterable[str]) -> tuple[str, ...]:
    by_folded = {name.lower(): name for name in there}
    matches = difflib.get_close_matches(wanted.lower(), by_folded, n=MOST, cutoff=0.6)
    return tuple(by_folded[match] for match in matches)


_LOOKS: dict[Reason, Callable[[Provisioner, Resolution], tuple[str, ...]]] = {
    Reason.NO_MASK: _files_and_masks,
    Reason.STATIC_AMBIGUOUS: _static_spellings,
    Reason.MAC_UNKNOWN: _macs,
    Reason.TEMPLATE_MISSING: _templates,
    Reason.COMMON_TEMPLATE_MISSING: _templates,
    Reason.INCLUDE_MISSING: _includes,
}
