"""Which SG gate a phone talks to: the site's proxy, or the gate its device is bound to (spec 12).

Owns the reading of ``devices``, ``gates``, ``proto`` and ``licences`` of an account with ``reg: false`` and
the choice among the gates of the site. Does not own whether a gate is alive: a phone keeps its address.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from era_ap.config import Gate
from era_ap.directory.devices import read_devices
from era_ap.directory.notation import Findings, blank, parse_mac, shown
from era_ap.errors import Reason, Refused

__all__ = ["BoundGate", "Gate", "Proto", "gate_of_phone"]

ANY = "*"
SIP_PORT = 5060
_DEFAULT_KEY = "default_sipuser_noreg_gates"

Fields = Mapping[str, object]


class Proto(enum.StrEnum):
    """SIP transport between phone and gate."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class BoundGate:
    """The gate for one phone. ``why`` says in one sentence how it was chosen, for ``explain``."""

    name: str
    address: str
    port: int
    proto: Proto
    why: str


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is asked for: server indexes, addresses or ``*``, and where that is written."""

    gates: tuple[str, ...]
    written: str


def gate_of_phone(
    fields: Fields, *, registers: bool, settings: Fields, gates: Iterable[Gate], mac: str
) -> BoundGate:
    """The gate for the phone ``mac`` of the account ``fields``; ``gates`` are those of the site.

    ``settings`` are those of the account's domain. An account that registers gets the gate of the site with
    the lowest name, and so does ``*``; of several gates asked for, the first that exists.

    Raises:
        Refused: SG_MISSING, NO_GATE, LICENCE_EXCEEDED or NOREG_INVALID.
    """
    known = sorted(gates, key=lambda gate: gate.name)
    if registers:
        return _proxy(known)
    account = f"{fields.get('login', '?')}@{fields.get('domain', '?')}"
    elements = _elements(fields.get("devices"), account)
    _check_licences(fields, elements, account)
    number = _element_of(mac, elements, fields)
    element = {} if number is None else elements[number]
    proto = _proto(element.get("proto"), account)
    wish = _wish(element, number, settings)
    for text in wish.gates:
        gate = _first(text, known)
        if gate is not None and gate.address is not None:
            why = f"{account} does not register; {wish.written} asks for {shown(text)}: gate {gate.name}"
            return BoundGate(gate.name, gate.address, gate.port, proto, why)
    asked = ", ".join(shown(text) for text in wish.gates)
    raise Refused(Reason.NO_GATE, f"{account}: {wish.written} asks for {asked}; {_listed(known)}")


def _proxy(known: Sequence[Gate]) -> BoundGate:
    gate = _first(ANY, known)
    if gate is None or gate.address is None:
        raise Refused(Reason.SG_MISSING, _listed(known))
    return BoundGate(
        gate.name, gate.address, gate.port, Proto.UDP, f"gate {gate.name} is the site's SG proxy"
    )


def _elements(value: object, account: str) -> list[Fields]:
    """``devices``, a list of objects; a single object is a list of one."""
    if blank(value):
        return []
    elements: list[Fields] = []
    for element in value if isinstance(value, list) else [value]:
        if not isinstance(element, Mapping):
            raise Refused(
                Reason.NOREG_INVALID,
                f"{account}: devices has {shown(element)}; it holds {{device, gates, proto}}",
            )
        _check_address(element.get("device"), account)
        elements.append(element)
    return elements


def _check_address(device: object, account: str) -> None:
    """Calls to a phone without registration go to its address, so one that is none must not pass."""
    if blank(device):
        return
    host, port = _split(str(device).strip())
    number = _number(port) if port else SIP_PORT
    if _address(host) is None or number is None or not 0 < number <= 65535:
        raise Refused(Reason.NOREG_INVALID, f"{account}: device is {shown(device)}; it must be ip[:port]")


def _check_licences(fields: Fields, elements: Sequence[Fields], account: str) -> None:
    """No more different device addresses than licences; an account without the field has no limit."""
    value = next((fields[key] for key in ("licences", "licenses") if not blank(fields.get(key))), None)
    if value is None:
        return
    limit = _number(value)
    if limit is None:
        raise Refused(
            Reason.NOREG_INVALID, f"{account}: licences is {shown(value)}; it must be a whole number"
        )
    addresses = {_socket(text) for text in (element.get("device") for element in elements) if not blank(text)}
    if len(addresses) > limit:
        raise Refused(
            Reason.LICENCE_EXCEEDED, f"{account}: {len(addresses)} device addresses, {limit} licences"
        )


def _socket(device: object) -> str:
    """``ip[:port]`` in one notation, so that the same address written twice counts once."""
    text = str(device).strip().lower()
    host, port = _split(text)
    address = _address(host)
    return text if address is None else f"{address} {port or SIP_PORT}"


def _element_of(mac: str, elements: Sequence[Fields], fields: Fields) -> int | None:
    """Which element of ``devices`` is the phone ``mac``; None where there is no element at all.

    A single element is every phone's. Of several, the one whose ``mac`` is the phone's; else, as nothing but
    their order links the two lists, the n-th element without a ``mac`` for the n-th phone of the account that
    no element names; else the first element.
    """
    if not elements:
        return None
    named = [_mac(element) for element in elements]
    if len(elements) == 1:
        return 0
    if mac in named:
        return named.index(mac)
    free = [number for number, name in enumerate(named) if name is None]
    phones = [phone for phone in _phones(fields) if phone not in named]
    place = phones.index(mac) if mac in phones else len(free)
    return free[place] if place < len(free) else 0


def _mac(element: Fields) -> str | None:
    value = element.get("mac")
    return parse_mac(value) if isinstance(value, str) else None


def _phones(fields: Fields) -> list[str]:
    """MACs of the account's phones, each once, in the order written."""
    opts, ext = fields.get("opts"), fields.get("ext")
    devices = read_devices(
        opts if isinstance(opts, Mapping) else {}, ext if isinstance(ext, Mapping) else {}, Findings("", "")
    )
    return list(dict.fromkeys(device.mac for device in devices))


def _proto(value: object, account: str) -> Proto:
    if blank(value):
        return Proto.UDP
    try:
        return Proto(str(value).strip().lower())
    except ValueError:
        raise Refused(
            Reason.NOREG_INVALID, f"{account}: proto is {shown(value)}; it must be udp, tcp or tls"
        ) from None


def _wish(element: Fields, number: int | None, settings: Fields) -> _Wish:
    """The element's own ``gates``, else the domain's default, else any gate."""
    own = tuple(_texts(element.get("gates")))
    if own:
        return _Wish(own, f"devices[{number}].gates")
    ext = settings.get("ext")
    default = tuple(_texts(ext.get(_DEFAULT_KEY))) if isinstance(ext, Mapping) else ()
    if default:
        return _Wish(default, f"settings.ext.{_DEFAULT_KEY} of the domain")
    return _Wish((ANY,), "nothing but the rule for empty gates")


def _texts(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list | tuple) else (value,):
        if not blank(item):
            yield str(item).strip() if isinstance(item, str | int) else "an object"


def _first(text: str, known: Sequence[Gate]) -> Gate | None:
    """The gate that ``*``, a server index or ``ip[:port]`` means; one without an address is never meant."""
    usable = [gate for gate in known if gate.address is not None]
    if text == ANY:
        return next(iter(usable), None)
    index = _number(text)
    if index is not None:
        return next((gate for gate in usable if gate.srvidx == index), None)
    address = _address(_split(text)[0])
    if address is None:
        return None
    return next((gate for gate in usable if _address(gate.address or "") == address), None)


def _number(value: object) -> int | None:
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _split(text: str) -> tuple[str, str]:
    """Host and port of ``ip[:port]`` or ``[ip]:port``; the port is "" where there is none."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, ""


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _listed(known: Sequence[Gate]) -> str:
    gates = [f"{gate.name} (index {gate.srvidx}, {gate.address or 'address not known'})" for gate in known]
    return f"gates of this site: {', '.join(gates)}" if gates else "this site has no enabled sg role"
