"""Which group answers for a domain (spec 9): a pure function of the configuration and the name.

Owns ``include_domains`` with their subtrees less the branches that another group names, and the sharing
of the rest by rendezvous hash among the groups that name none. Who is alive plays no part in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType

from era_ap.config.site import ApRole
from era_ap.errors import Problem, Reason


@dataclass(frozen=True, slots=True)
class Share:
    """What a group asks for: the domains that it names, none for a part of what is left."""

    group: int
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Responsibility:
    """The division of all domains: ``named`` gives the group of a subtree's root (None: several groups name
    it, so nobody answers), ``sharing`` are the groups that divide the rest.
    """

    named: Mapping[str, int | None]
    sharing: tuple[int, ...]

    def group_of(self, domain: str) -> int | None:
        """The one group that answers for ``domain``, in any letter case; None if no group covers it."""
        name = domain.lower().removesuffix(".")
        root = name
        while root:
            if root in self.named:
                return self.named[root]
            root = root.partition(".")[2]
        return max(self.sharing, key=lambda group: (_weight(group, name), group), default=None)


def divide(shares: Iterable[Share]) -> Responsibility:
    """Divide all domains among groups; a group may occur several times if its shares are equal."""
    owners: dict[str, set[int]] = {}
    naming: set[int] = set()
    groups: set[int] = set()
    for share in shares:
        groups.add(share.group)
        for domain in share.domains:
            naming.add(share.group)
            owners.setdefault(domain.lower().removesuffix("."), set()).add(share.group)
    named = {domain: next(iter(who)) if len(who) == 1 else None for domain, who in owners.items()}
    return Responsibility(MappingProxyType(named), tuple(sorted(groups - naming)))


def responsibility_of(roles: Iterable[ApRole]) -> Responsibility:
    """The division that the enabled ap roles of a site ask for."""
    return divide(Share(role.group, frozenset(role.include_domains)) for role in roles)


def uncovered(responsibility: Responsibility, domains: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    """Findings about domains (name and origin) for which nobody answers."""
    for name, origin in domains:
        if responsibility.group_of(name) is None:
            detail = f"no group covers '{name}': its phones get no answer by PnP and are not in the MAC cache"
            yield Problem(Reason.DOMAIN_UNCOVERED, origin or name, detail)


def _weight(group: int, name: str) -> bytes:
    """Rendezvous hash: if a group comes or goes, only the domains that it wins or held change hands."""
    return blake2b(f"{group}/{name}".encode(), digest_size=16).digest()
