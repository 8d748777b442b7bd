"""What a template may refer to: the phone's lines, constants in their order, the bound gate (spec 6).

Owns the order of the constants, the defaults that need no configuration, and what phones have in common of
all that. Does not own their expansion.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.gates import BoundGate, gate_of_phone
from era_ap.provisioning.planner import Plans
from era_ap.provisioning.scope import DAEMON, ConstantSource, Line, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.directory.index import DirectoryIndex, Phone
    from era_ap.directory.model import Account, Domain
    from era_ap.provisioning.catalogue import Catalogue
    from era_ap.provisioning.gates import Gate
    from era_ap.provisioning.layout import Layout
    from era_ap.provisioning.resolution import Resolution
    from era_ap.provisioning.timezones import TimeZones

TIMEZONE = "timezone"
NTP = "ntp.server"
GROUNDS = 256

_RNG = random.SystemRandom()
_NOTHING: Mapping[str, str] = MappingProxyType({})


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


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all phones have in common that differ only in lines, reserved and own constants."""

    constants: tuple[ConstantSource, ...]
    problems: tuple[Problem, ...]
    plans: Plans


class Scoping:
    """Makes the scopes of phones; what many of them have in common is made once.

    That is kept for ``GROUNDS`` kinds of phones, and as long as rules and catalogue are the same.
    """

    def __init__(self) -> None:
        self._rules: Rules | None = None
        self._catalogue: Catalogue | None = None
        self._grounds: dict[tuple[object, ...], _Ground] = {}
        self._plans = Plans()
        self._proxy: BoundGate | Refused | None = None

    def scope(
        self,
        found: Resolution,
        rules: Rules,
        catalogue: Catalogue,
        directory: DirectoryIndex | None,
        addresses: Callable[[str], tuple[str, ...] | None],
        local: str,
    ) -> Scope:
        """The scope of a resolution that has a template; ``local`` is our address, "" where unknown.

        Raises ``Refused`` if an account without registration has no gate (spec 12), its domain no settings,
        or the master domain is not known yet.
        """
        if rules is not self._rules or catalogue is not self._catalogue:
            self._begin(rules, catalogue)
        lines = _numbered(found.phone)
        own = lines[0].account.key.domain if lines else rules.master_domain
        domain, master = _domains(rules.master_domain, own if lines else "", directory)
        gate = self._gate(found.mac, lines[0].account if lines else None, domain)
        ground = self._ground(found, lines, domain, master, gate, local)
        mask = found.match.mask if found.match is not None else None
        return Scope(
            templates=catalogue.template,
            bases=found.bases,
            type=(mask.type or "") if mask is not None else "",
            is_corrected=mask is None or mask.is_corrected,
            lines=lines,
            reserved={"domain": own, "sg.addr": gate.address if isinstance(gate, BoundGate) else gate},
            constants=ground.constants,
            own={"phone.mac": found.mac, "phone.mac_upper": found.mac.upper()} if found.mac else _NOTHING,
            addresses=addresses,
            rng=_RNG,
            new_id=_new_id,
            missing_is_error=rules.missing_is_error,
            required=rules.required,
            layout=found.layout,
            problems=ground.problems,
            plans=ground.plans,
        )

    def _begin(self, rules: Rules, catalogue: Catalogue) -> None:
        self._rules, self._catalogue = rules, catalogue
        self._grounds = {}
        self._plans = Plans()
        self._proxy = None

    def _gate(self, mac: str, account: Account | None, domain: Domain | None) -> BoundGate | Refused:
        """The gate, or why there is none, which is told only to a template that asks for the proxy."""
        assert self._rules is not None
        gates = self._rules.gates
        if account is not None and not account.registers:
            settings = domain.settings if domain is not None else {}
            return gate_of_phone(account.fields, registers=False, settings=settings, gates=gates, mac=mac)
        if self._proxy is None:
            try:
                self._proxy = gate_of_phone({}, registers=True, settings={}, gates=gates, mac=mac)
            except Refused as refusal:
                self._proxy = refusal.with_traceback(None)  # it would keep the first request that met it
        return self._proxy

    def _ground(
        self,
        found: Resolution,
        lines: tuple[Line, ...],
        domain: Domain | None,
        master: Domain | None,
        gate: BoundGate | Refused,
        local: str,
    ) -> _Ground:
        rules, catalogue = self._rules, self._catalogue
        assert rules is not None and catalogue is not None
        registers = not lines or lines[0].account.registers
        bound = gate if isinstance(gate, BoundGate) else None
        kind = (
            *(found.template, found.model, found.firmware, found.mac != "", local),
            found.match.mask.type if found.match is not None else None,
            None if registers or bound is None else (bound.port, bound.proto.value),
            domain if domain is not None and domain.constants else None,
            master,
            rules.zones.today() if rules.zones is not None else None,
        )
        ground = self._grounds.get(kind)
        if ground is None:
            defaults = _defaults(found, rules, bound, local, registers=registers)
            sources = _sources(rules, domain, master, catalogue, found.layout, defaults)
            zone, problems = _time_zone(rules.zones, sources)
            defaults["ntp.given"] = "1" if _first(sources, NTP)[0] else ""
            problems = (*_unlisted(found, catalogue), *problems)
            ground = _Ground((*sources, *zone), problems, Plans(self._plans))
            if len(self._grounds) >= GROUNDS:
                del self._grounds[next(iter(self._grounds))]
            self._grounds[kind] = ground
        return ground


def _domains(
    master_name: str, own: str, directory: DirectoryIndex | None
) -> tuple[Domain | None, Domain | None]:
    """The phone's ``own`` domain, if it has one, and the master domain.

    A file without the constants of its domain, or of a master domain not loaded yet, would be wrong.
    """
    if directory is None:
        return None, None
    domain = directory.domain(own) if own else None
    if own and domain is None:
        raise Refused(Reason.DOMAIN_INVALID, f"the settings of {own} are not readable")
    master = domain if own == master_name else directory.domain(master_name)
    if master is None and not directory.is_complete:
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, f"the constants of {master_name} are not known yet")
    return domain, master


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


def _numbered(phone: Phone | None) -> tuple[Line, ...]:
    """The lines of a phone; one whose number is taken by an earlier one gets the next free number."""
    if phone is None:
        return ()
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
    found = []
    if domain is not None and domain.constants:
        found.append(ConstantSource(f"domain {domain.name}", domain.constants))
    if master is not None and master is not domain:
        found.append(ConstantSource(f"master domain {master.name}", master.constants))
    found.append(ConstantSource(f"site {rules.site}", catalogue.constants))
    if layout is not None and layout.constants:
        found.append(ConstantSource("models.yml", layout.constants))
    found.append(ConstantSource(DAEMON, defaults))
    return tuple(found)


def _new_id() -> str:
    return str(uuid.uuid4())


def _defaults(
    found: Resolution, rules: Rules, bound: BoundGate | None, local: str, *, registers: bool
) -> dict[str, str]:
    """Constants of the lowest priority."""
    defaults = {"site": rules.site, "server.addr": local, "sg.register": "on" if registers else "off"}
    if found.mac:
        defaults["phone.model"] = found.model
    if bound is not None:
        defaults |= {"sg.port": str(bound.port), "sg.proto": bound.proto.value}
    return defaults
