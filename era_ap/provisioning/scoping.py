"""What a template may refer to: the phone's lines, constants in their order, the bound gate (spec 6).

Owns the order of the constants and the defaults that need no configuration. Does not own their expansion.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.gates import gate_of_phone
from era_ap.provisioning.scope import ConstantSource, Line, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from era_ap.directory.index import DirectoryIndex, Phone
    from era_ap.directory.model import Domain
    from era_ap.provisioning.catalogue import Catalogue
    from era_ap.provisioning.gates import Gate
    from era_ap.provisioning.layout import Layout
    from era_ap.provisioning.resolution import Resolution
    from era_ap.provisioning.timezones import TimeZones

TIMEZONE = "timezone"
NTP = "ntp.server"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the site configuration says about filling in files; ``gates`` are the site's SG addresses.

    ``zones`` computes what follows from the constant ``timezone``; None: nothing does.
    """

    site: str
    master_domain: str
    gates: tuple[Gate, ...] = ()
    missing_is_error: bool = False
    required: tuple[str, ...] = ("sipuser.login", "sipuser.password")
    reuse_seconds: float = 30.0
    zones: TimeZones | None = None


def scope_of(
    found: Resolution,
    rules: Rules,
    catalogue: Catalogue | None,
    directory: DirectoryIndex | None,
    addresses: Callable[[str], tuple[str, ...] | None],
    local: str,
) -> Scope:
    """The scope of a resolution that has a template; ``local`` is our address, "" where unknown.

    Raises ``Refused`` if an account without registration has no gate (spec 12), its domain no settings, or
    the master domain is not known yet.
    """
    assert catalogue is not None
    lines = _numbered(found.phone) if found.phone is not None else ()
    master = directory.domain(rules.master_domain) if directory is not None else None
    domain = directory.domain(lines[0].account.key.domain) if lines and directory is not None else None
    own = lines[0].account.key.domain if lines else rules.master_domain
    _check_settings(rules, own if lines and domain is None else "", master, directory)
    defaults, gate_address = _defaults(found, rules, lines, domain, local)
    sources = _sources(rules, domain, master, catalogue, found.layout, defaults)
    zone, problems = _time_zone(rules.zones, sources)
    defaults["ntp.given"] = "1" if _first(sources, NTP)[0] else ""
    return Scope(
        templates=catalogue.template,
        bases=found.bases,
        type=found.match.mask.type or "" if found.match else "",
        is_corrected=found.match is None or found.match.mask.is_corrected,
        lines=lines,
        constants=(*sources, *zone),
        reserved={"domain": own, "sg.addr": gate_address},
        addresses=addresses,
        missing_is_error=rules.missing_is_error,
        required=rules.required,
        rng=random.SystemRandom(),  # nothing to seed for each file
        new_id=_new_id,
        layout=found.layout,
        problems=(*_unlisted(found, catalogue), *problems),
    )


def _check_settings(
    rules: Rules, unreadable: str, master: Domain | None, directory: DirectoryIndex | None
) -> None:
    """A file without the constants of its domain, or of a master domain not loaded yet, would be wrong."""
    if unreadable:
        raise Refused(Reason.DOMAIN_INVALID, f"the settings of {unreadable} are not readable")
    if master is None and directory is not None and not directory.is_complete:
        detail = f"the constants of {rules.master_domain} are not known yet"
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, detail)


def _first(sources: tuple[ConstantSource, ...], key: str) -> tuple[str, str]:
    """The value of a constant as it is written, and where it stands; empty where it is nowhere."""
    return next(((each.values[key], each.origin) for each in sources if key in each.values), ("", ""))


def _time_zone(
    zones: TimeZones | None, sources: tuple[ConstantSource, ...]
) -> tuple[tuple[ConstantSource, ...], tuple[Problem, ...]]:
    """The constants of the zone that the constant ``timezone`` names, and what is wrong with that name."""
    name, origin = _first(sources, TIMEZONE)
    if zones is None or not name:
        return (), ()
    try:
        computed = zones.constants(name)
    except Refused as refused:
        return (), (Problem(refused.reason, origin, refused.detail, Severity.WARNING),)
    return (ConstantSource(f"the time zone {name}", computed.values, computed.notes),), ()


def _unlisted(found: Resolution, catalogue: Catalogue) -> tuple[Problem, ...]:
    generic = catalogue.models.generic(found.model) if found.model else None
    if generic is None:
        return ()
    what = f"{found.model} stands in no models.yml; the file is made as for {generic}"
    return (Problem(Reason.MODEL_UNLISTED, "templates/models.yml", what, Severity.WARNING),)


def _numbered(phone: Phone) -> tuple[Line, ...]:
    """The lines of a phone; one whose number is taken by an earlier one gets the next free number."""
    taken: set[int] = set()
    lines = []
    for account, device in phone.lines:
        number = device.line
        while number in taken:
            number += 1
        taken.add(number)
        lines.append(Line(account, device, number))
    return tuple(lines)


def _sources(
    rules: Rules,
    domain: Domain | None,
    master: Domain | None,
    catalogue: Catalogue,
    layout: Layout | None,
    defaults: Mapping[str, str],
) -> tuple[ConstantSource, ...]:
    """Where ``[constants.KEY]`` is looked for, in the order of spec 6."""
    found = [ConstantSource(f"domain {domain.name}", domain.constants)] if domain is not None else []
    if master is not None and master is not domain:
        found.append(ConstantSource(f"master domain {master.name}", master.constants))
    found.append(ConstantSource(f"site {rules.site}", catalogue.constants))
    if layout is not None and layout.constants:
        found.append(ConstantSource("models.yml", layout.constants))
    found.append(ConstantSource("the daemon", defaults))
    return tuple(found)


def _new_id() -> str:
    return str(uuid.uuid4())


def _defaults(
    found: Resolution, rules: Rules, lines: tuple[Line, ...], domain: Domain | None, local: str
) -> tuple[dict[str, str], str | Refused]:
    """Constants of the lowest priority, and the address of the gate or why there is none."""
    account = lines[0].account if lines else None
    registers = account.registers if account is not None else True
    defaults = {"site": rules.site, "server.addr": local, "sg.register": "on" if registers else "off"}
    if found.mac:
        defaults |= {
            "phone.mac": found.mac,
            "phone.mac_upper": found.mac.upper(),
            "phone.model": found.model,
        }
    try:
        bound = gate_of_phone(
            account.fields if account is not None else {},
            registers=registers,
            settings=domain.settings if domain is not None else {},
            gates=rules.gates,
            mac=found.mac,
        )
    except Refused as refusal:
        if not registers:
            raise
        return defaults, refusal  # told only to a template that asks for the proxy
    return defaults | {"sg.port": str(bound.port), "sg.proto": bound.proto.value}, bound.address
