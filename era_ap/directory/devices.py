"""The phones of one account: the new and the old field form and their precedence (spec 4).

Owns the reading of ``opts.ap_devices`` and of the flat form beside it. Does not own the account around them
nor what BLF lists and overrides mean: both are kept as written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from era_ap.directory.notation import MAC_ZERO, Findings, blank, parse_mac, shown
from era_ap.errors import Reason


@dataclass(frozen=True, slots=True)
class Device:
    """One phone of an account: ``mac`` as ``parse_mac`` gives it, ``line`` from 1.

    ``blf`` and ``override`` are as written (None: given nowhere); ``fields`` is the whole device element.
    """

    mac: str
    model: str | None
    line: int
    blf: object
    override: object
    fields: Mapping[str, object]


def read_devices(
    opts: Mapping[str, object], ext: Mapping[str, object], found: Findings
) -> tuple[Device, ...]:
    """All devices in the order written; a further one of the flat form last.

    What an element lacks (no such key, or null; ``[]``, ``{}`` and ``""`` are given for BLF and override,
    a blank MAC or model is not) comes from the flat form. The one element without a MAC takes the flat MAC.
    """
    flat = {
        "mac": opts.get("ap_mac_address"),
        "device_model": opts.get("ap_device_model"),
        "blf": ext.get("ap_blf"),
        "override": ext.get("ap_override"),
    }
    flat_mac = _read_mac(flat["mac"], "opts.ap_mac_address", found)
    elements = _elements(opts.get("ap_devices"), found)
    nameless = [element for _, element in elements if blank(element.get("mac"))]
    devices: list[Device] = []
    for place, element in elements:
        takes_flat = flat_mac is not None and len(nameless) == 1 and element is nameless[0]
        mac = flat_mac if takes_flat else _element_mac(element, place, found)
        if mac is not None:
            _add(devices, _device(mac, element, flat, place, found), found)
    if flat_mac is not None and all(each.mac != flat_mac for each in devices):
        own = {name: value for name, value in flat.items() if value is not None}
        devices.append(_device(flat_mac, own, flat, "opts.ap_device_model", found))
    return tuple(devices)


def _elements(value: object, found: Findings) -> list[tuple[str, Mapping[str, object]]]:
    """The device elements, each with the place a message names."""
    if blank(value):
        return []
    if isinstance(value, Mapping):
        return [("opts.ap_devices", value)]
    if not isinstance(value, list):
        found.error(Reason.DEVICE_INVALID, "opts.ap_devices must be an object or a list of objects")
        return []
    elements = []
    for number, element in enumerate(value):
        if isinstance(element, Mapping):
            elements.append((f"opts.ap_devices[{number}]", element))
        else:
            found.error(
                Reason.DEVICE_INVALID, f"opts.ap_devices[{number}] must be an object {{mac, device_model, …}}"
            )
    return elements


def _element_mac(element: Mapping[str, object], place: str, found: Findings) -> str | None:
    if blank(element.get("mac")):
        found.error(Reason.DEVICE_INVALID, f"{place} has no mac")
        return None
    return _read_mac(element["mac"], f"{place}.mac", found)


def _read_mac(value: object, place: str, found: Findings) -> str | None:
    if blank(value):
        return None
    mac = parse_mac(value) if isinstance(value, str) else None
    if mac is None:
        found.error(Reason.DEVICE_INVALID, f"{place} is {shown(value)}; a MAC is 12 hexadecimal digits")
    elif mac == MAC_ZERO:
        found.warning(Reason.DEVICE_INVALID, f"{place} is all zeroes, which is never a device")
        return None
    return mac


def _device(
    mac: str, element: Mapping[str, object], flat: Mapping[str, object], place: str, found: Findings
) -> Device:
    def given(name: str) -> object:
        value = element.get(name)
        return flat[name] if value is None else value

    model = flat["device_model"] if blank(element.get("device_model")) else element["device_model"]
    if not blank(model) and not isinstance(model, str):
        found.error(Reason.DEVICE_INVALID, f"{place}: device_model must be text")
    return Device(
        mac=mac,
        model=model.strip() or None if isinstance(model, str) else None,
        line=_read_line(element.get("line"), place, found),
        blf=given("blf"),
        override=given("override"),
        fields=element,
    )


def _read_line(value: object, place: str, found: Findings) -> int:
    if blank(value):
        return 1
    text = value.strip() if isinstance(value, str) else ""
    if text.isascii() and text.isdecimal() and len(text) <= 6 and int(text) > 0:
        return int(text)
    found.error(
        Reason.DEVICE_INVALID, f"{place}.line is {shown(value)}; it must be 1 or more. It is taken as 1"
    )
    return 1


def _add(devices: list[Device], device: Device, found: Findings) -> None:
    """One MAC may have several lines of an account, but only one device on each: the first written."""
    if any(each.mac == device.mac and each.line == device.line for each in devices):
        found.warning(
            Reason.DEVICE_INVALID, f"{device.mac} is listed twice for line {device.line}; the first is used"
        )
    else:
        devices.append(device)
