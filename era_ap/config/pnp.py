"""``ext.pnp`` of an ap role: answering phones that look for a server by multicast (spec 11).

Owns the keys and their notation. Does not own what an entry of a list means to a phone.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from era_ap.config.fields import Flag, Int, InterfaceField, NetworkField, Shape, as_text, distinct


def as_mac_prefix(value: object) -> str:
    """One to six octets of a MAC, as lower-case hex digits without separators."""
    digits = re.sub("[:.-]", "", as_text(value)).lower()
    if not re.fullmatch("([0-9a-f]{2}){1,6}", digits):
        raise ValueError("must be a MAC or its first octets, like 001565 or 00:15:65:a0")
    return digits


def as_vendor(value: object) -> str:
    """A vendor in lower case."""
    return as_text(value).lower()


class Phones(Shape):
    """Phones by MAC prefix, network and vendor."""

    macs: Annotated[tuple[Annotated[str, BeforeValidator(as_mac_prefix)], ...], AfterValidator(distinct)] = (
        Field(default=(), description="MACs or their first octets, like 001565")
    )
    networks: Annotated[tuple[NetworkField, ...], AfterValidator(distinct)] = Field(
        default=(), description="networks of the phones' addresses"
    )
    vendors: Annotated[tuple[Annotated[str, BeforeValidator(as_vendor)], ...], AfterValidator(distinct)] = (
        Field(default=(), description="vendors, like yealink")
    )


class Pnp(Shape):
    """How phones are answered that ask 224.0.1.75 where their server is."""

    enabled: Flag = Field(default=True, description="false: phones that ask by multicast get no answer")
    interfaces: Annotated[tuple[InterfaceField, ...], AfterValidator(distinct)] = Field(
        default=(),
        description="names or addresses of the interfaces to listen on; empty: all but loopback",
    )
    port: Int = Field(default=5060, ge=1, le=65535, description="port of the group 224.0.1.75")
    answer_port: Int = Field(
        default=0, ge=0, le=65535, description="port that answers leave from; 0: the kernel chooses"
    )
    allow: Phones = Field(
        default=Phones(), description="phones that are answered: each list that is not empty must name them"
    )
    deny: Phones = Field(default=Phones(), description="phones that are not answered: any list may name them")
