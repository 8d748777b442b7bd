"""Shapes of the roles of a site: what keys a role may have, by roletype (spec 3).

Owns types, ranges and the merging of an ``ext`` that is a list. Does not own what roles must agree on among
each other (``checks``).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from era_ap.config.ext import Ext
from era_ap.config.fields import Alias, DomainField, Flag, Int, RoleName, Shape, as_text, distinct, one_of
from era_ap.config.problems import Location

Group = Annotated[Int, Field(ge=1, le=9_999_999)]
Domains = Annotated[tuple[DomainField, ...], AfterValidator(distinct)]


class PnpUrlProto(enum.StrEnum):
    """Form of the URL that PnP hands out (E31)."""

    TFTP = "tftp"
    HTTP = "http"


class RoleShape(Shape):
    """What every role has; of other roletypes nothing else is looked at."""

    model_config = ConfigDict(extra="ignore")

    name: RoleName = Field(description="Latin letters and digits, first a letter; unique")
    roletype: Annotated[str, BeforeValidator(as_text)] = Field(
        description="ap: this daemon; sg: read for gate addresses; any other is ignored"
    )
    enabled: Flag = True


class ApShape(RoleShape):
    """A role of this daemon."""

    model_config = ConfigDict(extra="forbid")

    iface: Alias = Field(description="alias of the interface for traffic between instances")
    group: Group = Field(description="number of the group, 1 to 9999999; its roles stand in for each other")
    order: Int = Field(description="position in the failover order of the group, lower first")
    enabled: Flag = Field(default=True, description="false: not validated, not started")
    tftp_port: Int = Field(default=69, ge=0, le=65535, description="port of TFTP; 0: the kernel chooses")
    pnp_url_proto: Annotated[PnpUrlProto, BeforeValidator(one_of(PnpUrlProto))] = Field(
        default=PnpUrlProto.TFTP, description="form of the URL handed out by PnP: tftp or http"
    )
    include_domains: Domains = Field(default=(), description="domains of the group, with their subtrees")
    ext: Ext = Field(
        default=Ext(), description="all else of this daemon; an object, or a list of objects merged in order"
    )


class SgExt(Shape):
    """What a gate's address needs; the other keys of an sg role belong to another daemon."""

    model_config = ConfigDict(extra="ignore")

    srvidx: Int = Field(ge=0, le=9_999_999, description="server index, unique; accounts name gates by it")
    sip_port: Int = Field(default=5060, ge=1, le=65535, description="SIP port of the gate")


class SgShape(RoleShape):
    """An SG role, read for the address of its gate."""

    iface: Alias = Field(description="alias of the interface that phones reach")
    ext: SgExt = Field(description="server index and port")


@dataclass(frozen=True, slots=True)
class MergedExt:
    """An ``ext`` as one object; ``sources`` says which element of the list gave a key."""

    value: object
    sources: dict[Location, int]

    def place(self, at: Location) -> Location:
        """The location within ``ext`` as written: with the element's index where ``ext`` was a list."""
        index = next((self.sources[at[:n]] for n in range(len(at), 0, -1) if at[:n] in self.sources), None)
        return at if index is None else (index, *at)


def merge_ext(value: object) -> MergedExt:
    """A list of objects merged in order: later keys win, objects are merged key by key, lists replaced.

    Raises ValueError with the index of an element that is no object.
    """
    if not isinstance(value, list):
        return MergedExt(value, {})
    merged: dict[str, object] = {}
    sources: dict[Location, int] = {}
    for index, element in enumerate(value):
        if not isinstance(element, dict):
            raise ValueError(index)
        _merge(merged, element, (), index, sources)
    return MergedExt(merged, sources)


def _merge(
    target: dict[str, object],
    source: dict[str, object],
    at: Location,
    index: int,
    sources: dict[Location, int],
) -> None:
    for key, value in source.items():
        sources[(*at, key)] = index
        if isinstance(value, dict):
            present = target.get(key)
            inner: dict[str, object] = dict(present) if isinstance(present, dict) else {}
            _merge(inner, value, (*at, key), index, sources)
            target[key] = inner
        else:
            target[key] = value
