"""Reading of the roles of a site, one by one: shape by roletype, interface by alias.

Owns the way from a raw role to an ``ApRole`` or a ``Gate``, and what is still known of a role that is at
fault, so that the cross checks (``checks``) can run beside its own problems.
"""

from __future__ import annotations

import difflib
from ipaddress import ip_address
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from era_ap.config import checks
from era_ap.config.fields import Int, as_flag, as_interface
from era_ap.config.problems import Findings, Location, explain, nearest, shown
from era_ap.config.roles import ApShape, Domains, Group, MergedExt, PnpUrlProto, RoleShape, SgShape, merge_ext
from era_ap.config.site import ApRole, Gate, Interface
from era_ap.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Raw = dict[str, object]
S = TypeVar("S", bound=BaseModel)
R = TypeVar("R", bound=RoleShape)

_GROUP: TypeAdapter[int] = TypeAdapter(Group)
_ORDER: TypeAdapter[int] = TypeAdapter(Int)
_DOMAINS: TypeAdapter[tuple[str, ...]] = TypeAdapter(Domains)


def interface(alias: str, text: str) -> Interface:
    """The interface of an alias; without an address where ``text`` is a name."""
    try:
        return Interface(alias, text, str(ip_address(text)))
    except ValueError:
        return Interface(alias, text, None)


def validate(
    shape: type[S],
    value: Raw,
    findings: Findings,
    base: Path,
    *,
    at: Location = (),
    ext: MergedExt | None = None,
) -> tuple[S | None, frozenset[str | int]]:
    """``value`` in its shape, or None and the keys that are at fault."""
    try:
        return shape.model_validate(value, context={"base": base}), frozenset()
    except ValidationError as error:
        found = explain(error)
    for loc, sentence, reason in found:
        hint = f"; {nearest(str(loc[-1]), _known(shape, loc))}" if reason is Reason.CONFIG_UNKNOWN_KEY else ""
        there = ("ext", *ext.place(loc[1:])) if ext and loc[:1] == ("ext",) else loc
        findings.add((*at, *there), sentence + hint, reason)
    return None, frozenset(loc[0] for loc, _, _ in found if loc)


def _known(shape: type[BaseModel], at: Location) -> list[str]:
    """The keys that exist where ``at`` has an unknown one."""
    for part in at[:-1]:
        inner = shape.model_fields[str(part)].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            shape = inner
    return list(shape.model_fields)


class Interfaces:
    """The aliases of a site: given, absent (then an alias is a name of the operating system) or unusable."""

    def __init__(self, findings: Findings, texts: Mapping[str, str | None] | None, absent: bool) -> None:
        self._findings = findings
        self._texts = texts
        self._absent = absent

    @classmethod
    def of(cls, top: Raw, findings: Findings) -> Interfaces:
        """Those of the top level; an address that is not usable by itself does not make its alias unknown."""
        given = top.get("interfaces")
        if isinstance(given, dict):
            return cls(findings, {alias: _text_or_none(text) for alias, text in given.items()}, absent=False)
        return cls(findings, None, absent=given is None)

    def resolve(self, alias: str, at: Location) -> Interface | None:
        """The interface ``alias``; a finding at ``at`` where there is none."""
        if self._absent:
            text = _text_or_none(alias)
            if text is None:
                sentence = "must be the name of a network interface, as the file has no 'interfaces'"
                self._findings.add(at, f"{sentence}, found {shown(alias)}")
            return None if text is None else interface(alias, text)
        if self._texts is None:
            return None
        if alias not in self._texts:
            self._findings.add(
                at, f"no such alias in 'interfaces' ({nearest(alias, self._texts)}), found {shown(alias)}"
            )
        text = self._texts.get(alias)
        return None if text is None else interface(alias, text)


def _text_or_none(value: object) -> str | None:
    try:
        return as_interface(value)
    except ValueError:
        return None


_READ = frozenset({"ap", "sg"})


def _is_off(role: Raw) -> bool:
    try:
        return not as_flag(role.get("enabled", True))
    except ValueError:
        return False


class RoleReader:
    """Reads the roles one by one and keeps what the cross checks need, also of those that are at fault."""

    def __init__(self, findings: Findings, base: Path, interfaces: Interfaces) -> None:
        self.ap: list[ApRole] = []
        self.gates: list[Gate] = []
        self.not_ours: dict[str, str] = {}
        self._findings = findings
        self._base = base
        self._interfaces = interfaces
        self._named: list[checks.Named] = []
        self._members: list[checks.Member] = []
        self._indexed: list[checks.Indexed] = []
        self._handing: list[checks.Handing] = []

    def read(self, at: Location, value: object) -> None:
        """One element of ``roles``."""
        if not isinstance(value, dict):
            self._findings.add(at, f"a role is a mapping of keys to values, found {shown(value)}")
            return
        name, roletype = value.get("name"), value.get("roletype")
        if _is_off(value):
            if isinstance(name, str):
                self.not_ours.setdefault(name, "enabled is false")
            return
        if isinstance(roletype, str) and roletype not in _READ and roletype.lower() in _READ:
            self._findings.add((*at, "roletype"), f"must be '{roletype.lower()}', found {shown(roletype)}")
            roletype = roletype.lower()
        if "roletype" not in value:
            for key in difflib.get_close_matches("roletype", map(str, value), n=1):
                sentence = "unknown key; did you mean 'roletype'?"
                self._findings.add((*at, key), sentence, Reason.CONFIG_UNKNOWN_KEY)
        if roletype == "ap":
            self._read_ap(at, value)
        elif roletype == "sg":
            self._read_sg(at, value)
        else:
            self._read_shape(RoleShape, at, value)
        if isinstance(name, str) and roletype != "ap":
            self.not_ours.setdefault(name, f"its roletype is {shown(roletype)}")

    def agree(self, master: str | None, *, clustered: bool) -> None:
        """Check what roles must agree on; ``master`` is None where the master domain is not usable."""
        found = [
            checks.unique_names(self._named),
            checks.unique_gates(self._indexed),
            checks.unique_orders(self._members),
            checks.same_domains(self._members),
            checks.one_group_per_domain(self._members),
            checks.temporary_addresses(self._handing, clustered=clustered),
        ]
        if master is not None:
            found += [checks.within_tree(self._members, master), checks.covered(self._members, master)]
        for at, sentence in chain.from_iterable(found):
            self._findings.add(at, sentence)

    def _read_shape(
        self, kind: type[R], at: Location, value: Raw, ext: MergedExt | None = None
    ) -> tuple[R | None, frozenset[str | int]]:
        shape, bad = validate(kind, value, self._findings, self._base, at=at, ext=ext)
        if "name" not in bad:
            self._named.append(checks.Named(at, str(value["name"])))
        return shape, bad

    def _merged(self, at: Location, value: Raw) -> tuple[Raw, MergedExt | None]:
        try:
            ext = merge_ext(value.get("ext"))
        except ValueError as error:
            self._findings.add(
                (*at, "ext", error.args[0]), "an element of 'ext' is an object of keys and values"
            )
            return {**value, "ext": None}, None
        return {**value, "ext": ext.value}, ext

    def _interface(self, at: Location, value: Raw, bad: frozenset[str | int]) -> Interface | None:
        return None if "iface" in bad else self._interfaces.resolve(str(value["iface"]), (*at, "iface"))

    def _read_ap(self, at: Location, value: Raw) -> None:
        merged, ext = self._merged(at, value)
        shape, bad = self._read_shape(ApShape, at, merged, ext)
        found = self._interface(at, value, bad)
        self._members.append(
            checks.Member(
                at,
                f"roles[{at[-1]}]" if "name" in bad else str(value["name"]),
                None if "group" in bad else _GROUP.validate_python(value["group"]),
                None if "order" in bad else _ORDER.validate_python(value["order"]),
                None
                if "include_domains" in bad
                else _DOMAINS.validate_python(value.get("include_domains") or ()),
            )
        )
        if shape is None:
            return
        over_http = shape.pnp_url_proto is PnpUrlProto.HTTP
        self._handing.append(
            checks.Handing(at, over_http, shape.ext.http_port is not None, shape.ext.key_file is not None)
        )
        if found is None:
            return
        self.ap.append(
            ApRole(
                name=shape.name,
                interface=found,
                group=shape.group,
                order=shape.order,
                tftp_port=shape.tftp_port,
                pnp_url_proto=shape.pnp_url_proto,
                include_domains=shape.include_domains,
                ext=shape.ext,
            )
        )

    def _read_sg(self, at: Location, value: Raw) -> None:
        merged, ext = self._merged(at, value)
        if merged["ext"] is None:
            merged["ext"] = {}
        shape, bad = self._read_shape(SgShape, at, merged, ext)
        found = self._interface(at, value, bad)
        if shape is None:
            return
        self._indexed.append(checks.Indexed(at, shape.name, shape.ext.srvidx))
        if found is not None:
            gate = Gate(shape.name, shape.ext.srvidx, found.text, found.address, shape.ext.sip_port)
            self.gates.append(gate)
