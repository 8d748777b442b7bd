"""Shape of the top level of a site file, with the addresses of directory and ZooKeeper (spec 3, 4, 9).

Owns the top-level keys and their notation. Roles are only known to be a list here; ``reading`` reads each.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from era_ap.config.fields import (
    Alias,
    DomainField,
    InterfaceField,
    PathField,
    Shape,
    as_domain,
    as_text,
    distinct,
    matching,
)
from era_ap.config.problems import DisagreementError

_CHROOT = re.compile(r"(/[^/\s]+)+")
ZOOKEEPER_PORT = 2181


def as_zookeeper(value: object) -> str:
    """``HOST[:PORT],…`` with an optional ``/chroot`` at the end, in the notation of ZooKeeper's clients.

    The result names every port, IPv6 addresses in brackets, and has no blanks.
    """
    text = as_text(value)
    if "@" in text:  # what stands before it may be a password, so it is not shown
        raise DisagreementError("has an '@'; user and password_file belong into ext.zookeeper of the roles")
    hosts, slash, chroot = text.partition("/")
    parts = set(chroot.split("/"))
    if "," in chroot:
        raise ValueError("has a chroot before its last server; a chroot stands once, after the last server")
    if slash and (not _CHROOT.fullmatch(slash + chroot) or parts & {".", ".."}):
        raise ValueError("has a malformed /chroot after its last server")
    if chroot.split("/")[0] == "zookeeper":
        raise ValueError("has the /chroot /zookeeper, which ZooKeeper keeps for itself")
    servers = distinct(tuple(_server(server.strip()) for server in hosts.split(",")))
    return ",".join(servers) + slash + chroot


def _server(text: str) -> str:
    if text.count(":") > 1 and not text.startswith("["):
        raise ValueError("has an IPv6 address without brackets; write it like [fd00::1]:2181")
    host, port = text, str(ZOOKEEPER_PORT)
    if ":" in text and not text.endswith("]"):
        host, _, port = text.rpartition(":")
    if not (re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) <= 65535):
        raise ValueError("must be a list like zk1:2181,zk2:2181; a port is a number from 1 to 65535")
    try:
        in_brackets = host.startswith("[") and host.endswith("]")
        name = f"[{IPv6Address(host[1:-1])}]" if in_brackets else as_domain(host)
    except ValueError:
        raise ValueError("must be a list of servers like zk1:2181,zk2:2181") from None
    return f"{name}:{port}"


_SITE = matching(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "must be up to 64 of A-Z a-z 0-9 _ -, first a letter or digit"
)


class SiteShape(Shape):
    """The top level of a site file."""

    site: Annotated[str, BeforeValidator(_SITE)] = Field(
        description="name of the site, as in constants/<site>.cfg"
    )
    master_domain: DomainField = Field(description="root of the tree of domains")
    storage: PathField = Field(description="folder with templates/, constants/ and configs/")
    directory: Any = Field(
        description="domains and accounts: yaml:PATH, the URL of a database, an object, or a list of these"
    )
    zookeeper: Annotated[str, BeforeValidator(as_zookeeper)] | None = Field(
        default=None,
        description="servers of the ensemble, and a chroot; absent: a single instance that always leads",
    )
    interfaces: dict[Alias, InterfaceField] | None = Field(
        default=None,
        description="alias: address or name of a network interface; absent: iface is such a name itself",
    )
    roles: Annotated[list[Any], Field(min_length=1)] = Field(
        description="every instance of every role of the site"
    )
