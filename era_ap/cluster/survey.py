"""What ZooKeeper holds of a site, read once for an operator; the repair of what a lost member left behind.

Owns the reading and the striking of names. Does not own what is wrong with what was read (``overview``).
Nothing here takes part in the cluster.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from era_ap.cluster.buckets import DamagedError
from era_ap.cluster.contract import Create, Delete, Put
from era_ap.cluster.overview import GroupSurvey, Survey
from era_ap.cluster.publisher import index_path
from era_ap.cluster.sealing import open_index
from era_ap.cluster.view import (
    GROUPS,
    MEMBERS,
    Claim,
    Group,
    epoch_path,
    failsafe_path,
    leader_path,
    member_path,
    read_claim,
    read_epoch,
    read_holder,
    read_member,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from era_ap.cluster.contract import Ensemble, Operation


async def survey(ensemble: Ensemble, configured: Collection[int]) -> Survey:
    """Read everything; groups are the ``configured`` ones and those that have nodes. Raises
    ``UnavailableError``.
    """
    names, groups = await asyncio.gather(ensemble.children(MEMBERS), ensemble.children(GROUPS))
    numbers = sorted({*configured, *(int(name) for name in groups if name.isdecimal())})
    nodes = await asyncio.gather(*(ensemble.read(member_path(name)) for name in names))
    known = {
        name: read_member(node.data, node.owner)
        for name, node in zip(names, nodes, strict=True)
        if node is not None
    }
    members = [member for member in known.values() if member is not None]
    return Survey(
        tuple(sorted(members, key=lambda member: (member.group, member.order))),
        tuple(await asyncio.gather(*(_group(ensemble, number) for number in numbers))),
        tuple(name for name, member in known.items() if member is None),
    )


async def forget(ensemble: Ensemble, found: Survey, name: str, *, force: bool = False) -> tuple[str, ...]:
    """Strike ``name`` from what keeps others from taking over; one sentence for each thing that was done.

    A group that has a leader is left alone: that strikes who stays away by itself. With ``force`` the nodes
    of ``name`` itself are removed, too, which a living instance makes again, and groups whose nodes are lost
    are free for everybody. Raises ``RefusedWriteError`` if something has changed since ``found`` was read.
    """
    done: list[str] = []
    operations: list[Operation] = []
    if force and found.member(name) is not None:
        operations.append(Delete(member_path(name)))
        done.append(f"removed the member node of {name}")
    for group in found.groups:
        number, nodes = group.number, group.nodes
        if force and nodes.holder is not None and nodes.holder.name == name:
            operations.append(Delete(leader_path(number)))
            done.append(f"removed the leader node of group {number}")
        elif nodes.holder is not None:
            continue
        if nodes.claim is not None and nodes.claim.names(name):
            struck = _struck(nodes.claim, name)
            operations.append(Put(failsafe_path(number), struck.to_json(), nodes.claim.version))
            done.append(f"struck {name} from those whom group {number} waits for")
        elif force and nodes.claim is None and nodes.epoch is None:
            # Members that remember a claim which ZooKeeper lost go by their memory until told otherwise.
            await ensemble.make(f"{GROUPS}/{number}")
            operations.append(Create(failsafe_path(number), Claim().to_json()))
            done.append(f"let anybody take over group {number}, of which ZooKeeper knows nothing")
    if operations:
        await ensemble.commit(*operations)
    return tuple(done)


def _struck(claim: Claim, name: str) -> Claim:
    relies = frozenset(key for key in claim.relies if _name(key) != name)
    return Claim("" if _name(claim.leader) == name else claim.leader, relies)


def _name(key: str) -> str:
    return key.rpartition("/")[0]


async def _group(ensemble: Ensemble, number: int) -> GroupSurvey:
    holder, epoch, claim, index = await asyncio.gather(
        ensemble.read(leader_path(number)),
        ensemble.read(epoch_path(number)),
        ensemble.read(failsafe_path(number)),
        ensemble.read(index_path(number)),
    )
    nodes = Group(
        None if holder is None else read_holder(holder.data, holder.owner),
        None if epoch is None else read_epoch(epoch.data, epoch.version, epoch.mzxid),
        None if claim is None else read_claim(claim.data, claim.version),
    )
    try:
        cache = None if index is None else open_index(index.data)
    except DamagedError:
        cache = None
    return GroupSurvey(number, nodes, cache)
