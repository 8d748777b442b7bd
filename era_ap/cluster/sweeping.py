"""Removes from ZooKeeper what groups have left behind that the configuration does not have any more.

Owns the care that nobody who still works by an older configuration is robbed: only a group without a leader
is removed, in transactions that begin with a check of its epoch. One instance sweeps: the leader of the
group with the lowest number.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from era_ap.cluster.contract import Check, Delete, RefusedWriteError, UnavailableError
from era_ap.cluster.publisher import BATCH_NODES, CACHE, bucket_path, buckets_path, index_path
from era_ap.cluster.view import epoch_path, leader_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.cluster.contract import Ensemble, Operation

SWEEP_SECONDS = 600.0


async def keep_swept(
    ensemble: Ensemble, groups: Callable[[], frozenset[int]], leads: Callable[[], int | None]
) -> None:
    """Sweep now and then, for ever, while we are the one to do it."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        if leads() == min(groups(), default=None):
            with suppress(UnavailableError, RefusedWriteError):
                await sweep(ensemble, groups())


async def sweep(ensemble: Ensemble, groups: frozenset[int]) -> None:
    """Remove the parts of groups that are none of ``groups`` and have no leader.

    Raises ``UnavailableError``, ``RefusedWriteError``: the rest is left for another time.
    """
    for name in await ensemble.children(CACHE):
        if not name.isdecimal() or int(name) in groups:
            continue
        if await ensemble.read(leader_path(int(name))) is None:
            await _remove(ensemble, int(name))


async def _remove(ensemble: Ensemble, group: int) -> None:
    epoch = await ensemble.read(epoch_path(group))
    check = (Check(epoch_path(group), epoch.version),) if epoch is not None else ()
    names = await ensemble.children(buckets_path(group))
    doomed: list[Operation] = [Delete(bucket_path(group, int(name))) for name in names if name.isdecimal()]
    if await ensemble.read(index_path(group)) is not None:
        doomed.insert(0, Delete(index_path(group)))
    if await ensemble.read(buckets_path(group)) is not None:
        doomed.append(Delete(buckets_path(group)))
    doomed.append(Delete(f"{CACHE}/{group}"))
    for begin in range(0, len(doomed), BATCH_NODES):
        await ensemble.commit(*check, *doomed[begin : begin + BATCH_NODES])
