"""What the roles of a site must agree on among each other (spec 3 and 9): names, groups, orders, domains.

Owns the cross checks, as pure functions over what is known of each role; a value that is not usable by itself
is None here and never leads to a second problem. Does not own types (``fields``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from era_ap.config.problems import Location

Finding = tuple[Location, str]


@dataclass(frozen=True, slots=True)
class Named:
    """An enabled role of any type."""

    at: Location
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """What is known of an enabled ap role; None where the value is missing or not usable."""

    at: Location
    name: str
    group: int | None
    order: int | None
    domains: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Indexed:
    """An enabled sg role with its server index."""

    at: Location
    name: str
    srvidx: int


@dataclass(frozen=True, slots=True)
class Handing:
    """What an enabled ap role needs to hand out temporary addresses over HTTP."""

    at: Location
    over_http: bool
    has_port: bool
    has_key: bool


def unique_names(roles: Iterable[Named]) -> Iterator[Finding]:
    """No two enabled roles of a site share a name."""
    first: dict[str, Location] = {}
    for role in roles:
        if role.name in first:
            yield (*role.at, "name"), f"'{role.name}' is already the name of roles[{first[role.name][-1]}]"
        first.setdefault(role.name, role.at)


def unique_gates(roles: Iterable[Indexed]) -> Iterator[Finding]:
    """A server index means one gate."""
    first: dict[int, str] = {}
    for role in roles:
        if role.srvidx in first:
            yield (
                (*role.at, "ext", "srvidx"),
                f"{role.srvidx} is already the server index of '{first[role.srvidx]}'",
            )
        first.setdefault(role.srvidx, role.name)


def unique_orders(members: Iterable[Member]) -> Iterator[Finding]:
    """Two roles of a group never share a place in its failover order."""
    first: dict[tuple[int, int], str] = {}
    for member in members:
        if member.group is None or member.order is None:
            continue
        key = member.group, member.order
        if key in first:
            yield (
                (*member.at, "order"),
                f"{member.order} is already the order of '{first[key]}' in group {member.group}",
            )
        first.setdefault(key, member.name)


def same_domains(members: Iterable[Member]) -> Iterator[Finding]:
    """All roles of a group have the same responsibility."""
    first: dict[int, Member] = {}
    for member in members:
        if member.group is None or member.domains is None:
            continue
        leader = first.setdefault(member.group, member)
        if set(leader.domains or ()) != set(member.domains):
            yield (
                (*member.at, "include_domains"),
                f"roles of group {member.group} must list the same domains; "
                f"'{leader.name}' has {_listed(leader.domains)}, "
                f"'{member.name}' has {_listed(member.domains)}",
            )


def one_group_per_domain(members: Iterable[Member]) -> Iterator[Finding]:
    """A domain is named by one group only."""
    owners: dict[str, Member] = {}
    for member in members:
        for index, domain in enumerate(member.domains or ()):
            owner = owners.setdefault(domain, member)
            if None not in (owner.group, member.group) and owner.group != member.group:
                yield (
                    (*member.at, "include_domains", index),
                    f"'{domain}' is already named by group {owner.group} (role '{owner.name}'), "
                    f"here by group {member.group}",
                )


def temporary_addresses(roles: Iterable[Handing], *, clustered: bool) -> Iterator[Finding]:
    """An address that PnP hands out must be served here, and be understood by every instance.

    Without a key of its own a site that is ``clustered`` has the one its instances keep in ZooKeeper.
    """
    known = tuple(roles)
    for role in known:
        if not role.over_http:
            continue
        if not role.has_port:
            yield (*role.at, "pnp_url_proto"), "is http, which needs ext.http_port"
        if not role.has_key and not clustered and len(known) > 1:
            yield (
                (*role.at, "ext"),
                "needs key_file: all instances of the site verify the addresses that PnP hands out by http, "
                "so they must share a key (openssl rand -hex 32) or a ZooKeeper ('zookeeper' of the site)",
            )


def within_tree(members: Iterable[Member], master: str) -> Iterator[Finding]:
    """Only domains of the master domain's tree can be named."""
    for member in members:
        for index, domain in enumerate(member.domains or ()):
            if domain != master and not domain.endswith(f".{master}"):
                yield (*member.at, "include_domains", index), f"'{domain}' does not lie within '{master}'"


def covered(members: Iterable[Member], master: str) -> Iterator[Finding]:
    """The groups together cover the whole tree: by naming its root or by a group that takes what is left."""
    known = tuple(members)
    if not known or any(member.group is None or member.domains is None for member in known):
        return
    named = {domain for member in known for domain in member.domains or ()}
    if all(member.domains for member in known) and master not in named:
        yield (
            ("roles",),
            f"no group covers '{master}' and its domains other than {_listed(sorted(named))}; "
            f"name '{master}' in one group, or have a group without include_domains",
        )


def _listed(domains: Iterable[str] | None) -> str:
    return ", ".join(f"'{domain}'" for domain in domains or ()) or "none"
