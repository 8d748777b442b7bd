"""A site's cluster as ZooKeeper holds it, and what is wrong with it, in sentences for an operator.

Owns the shape of a ``Survey`` and the judgement over it and the configuration. Does not own the reading
(``survey``) nor the form on a terminal (``cli.cluster``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from era_ap.cluster.sealing import Index
from era_ap.cluster.view import Group, Member


@dataclass(frozen=True, slots=True)
class GroupSurvey:
    """One group: its nodes, and the index of its part of the MAC cache, None if there is none to read."""

    number: int
    nodes: Group
    cache: Index | None


@dataclass(frozen=True, slots=True)
class Survey:
    """Members by group and order; ``unreadable`` are names of member nodes that another version wrote."""

    members: tuple[Member, ...]
    groups: tuple[GroupSurvey, ...]
    unreadable: tuple[str, ...] = ()

    def member(self, name: str) -> Member | None:
        """The registered member of that name."""
        return next((member for member in self.members if member.name == name), None)


@dataclass(frozen=True, slots=True)
class Expected:
    """An enabled ap role of the configuration."""

    name: str
    group: int
    order: int


def findings(found: Survey, expected: Collection[Expected]) -> Iterator[str]:
    """Everything that is not as it should be, one sentence each."""
    yield from _members(found, expected)
    for group in found.groups:
        yield from _leadership(found, group, any(role.group == group.number for role in expected))
        yield from _cache(group)
    yield from _same("version", {member.version for member in found.members})
    yield from _same("revision of the templates", {member.revision for member in found.members})


def _members(found: Survey, expected: Collection[Expected]) -> Iterator[str]:
    roles = {role.name: role for role in expected}
    for name in found.unreadable:
        yield f"the member node of {name} cannot be read: an instance of another version, or damaged"
    for role in roles.values():
        if found.member(role.name) is None and role.name not in found.unreadable:
            yield f"{role.name} is not there: it does not run, or does not reach ZooKeeper"
    for member in found.members:
        if member.name not in roles:
            yield f"{member.name} runs and is no enabled ap role of this configuration"
        elif Expected(member.name, member.group, member.order) not in expected:
            role = roles[member.name]
            yield (
                f"{member.name} runs in group {member.group} at order {member.order}, but this configuration "
                f"says group {role.group}, order {role.order}; restart it"
            )
        if member.why:
            yield f"{member.name} stands back: {member.why}"


def _leadership(found: Survey, group: GroupSurvey, is_ours: bool) -> Iterator[str]:
    nodes, number = group.nodes, group.number
    holder = nodes.holder
    if holder is None:
        if is_ours:
            yield f"group {number} has no leader: no phone of its domains is answered by PnP" + _waits(
                found, group
            )
        return
    if holder.session not in {member.session for member in found.members}:
        yield (
            f"the leader node of group {number} names {holder.name}, whose session nobody claims; if it "
            f"stays, use era-ap cluster forget {holder.name} --force"
        )
    if nodes.epoch is None or nodes.epoch.number != holder.number:
        yield f"the leader of group {number} is of term {holder.number}, which is not the last one"


def _waits(found: Survey, group: GroupSurvey) -> str:
    """Who could take over and is not there, where nobody who is there may."""
    claim = group.nodes.claim
    there = [member for member in found.members if member.group == group.number]
    if claim is None or not there or any(claim.admits(member.key) for member in there):
        return ""
    names = sorted({key.rpartition("/")[0] for key in (claim.leader, *claim.relies) if key})
    return (
        f"; only {', '.join(names)} may take over, who may still act without ZooKeeper: start one of them, "
        "or, if they are gone for good, use era-ap cluster forget for each"
    )


def _cache(group: GroupSurvey) -> Iterator[str]:
    cache, epoch = group.cache, group.nodes.epoch
    if cache is None:
        if group.nodes.holder is not None:
            yield f"group {group.number} has a leader and no MAC cache yet"
        return
    if not cache.sees:
        yield f"the leader of group {group.number} cannot read its directory; the MAC cache may lack news"
    if epoch is not None and group.nodes.holder is not None and cache.term != epoch.number:
        yield f"the MAC cache of group {group.number} is of term {cache.term}, the leader's is {epoch.number}"


def _same(what: str, values: Collection[str]) -> Iterator[str]:
    if len(values) > 1:
        yield f"instances differ in the {what}: {', '.join(sorted(value or 'none' for value in values))}"
