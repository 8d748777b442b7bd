"""Looking up a dotted path in an account, a device or a BLF key.

Owns the meaning of a path (spec 6): at every level the rest of the path as one flat key goes first, then its
first segment; a list takes an index from 0 or, without one, gives the element of the phone being served. Does
not own what a missing value means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from era_ap.directory.model import parse_mac

if TYPE_CHECKING:
    from era_ap.directory.model import Device


def find(value: object, path: tuple[str, ...], device: Device | None) -> object:
    """What ``path`` leads to in ``value``; None where it leads nowhere."""
    for position, segment in enumerate(path):
        if isinstance(value, Mapping):
            flat = ".".join(path[position:])
            if flat in value:
                return value[flat]
            value = value.get(segment)
        elif isinstance(value, list | tuple):
            if segment.isascii() and segment.isdigit() and len(segment) < 10:
                index = int(segment)
                value = value[index] if index < len(value) else None
            else:
                return find(_own_element(value, device), path[position:], device)
        else:
            return None
    return value


def as_text(value: object) -> str | None:
    """A scalar as text, ``true`` and ``false`` for booleans; None for what is no scalar."""
    if type(value) is str or value is None:  # of a directory, always
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _own_element(elements: list[object] | tuple[object, ...], device: Device | None) -> object:
    """The element of the list that describes the phone being served: itself, else the one with its MAC."""
    if device is None:
        return None
    mappings = [element for element in elements if isinstance(element, Mapping)]
    itself = [element for element in mappings if element is device.fields]
    if itself:
        return itself[0]
    return next((each for each in mappings if parse_mac(str(each.get("mac", ""))) == device.mac), None)
