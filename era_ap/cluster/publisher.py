"""Writes a group's part of the MAC cache to ZooKeeper, while this instance leads the group.

Owns the transactions: each begins with a check of the term, so that a deposed leader's late write is
refused; only changed buckets are written, and the index tells at every moment what the buckets hold. Does
not own what they should hold (``rows``) nor who leads (``coordination``).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from era_ap.cluster.buckets import BUCKETS, EMPTY, DamagedError
from era_ap.cluster.contract import Check, Create, Delete, Put, RefusedWriteError, UnavailableError
from era_ap.cluster.picture import digest_of
from era_ap.cluster.sealing import IN_FLUX, NOTHING, Index, open_index, seal_bucket, seal_index
from era_ap.cluster.view import epoch_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    import structlog

    from era_ap.cluster.buckets import Bucket
    from era_ap.cluster.contract import Ensemble, Operation
    from era_ap.cluster.view import Term

BATCH_BYTES = 256 * 1024
"""Data of one transaction. A server takes 1 MiB; less keeps the waiting of everything else short."""

LEAST_BYTES = 16 * 1024
"""Where servers are slow, transactions shrink down to this before they are given up in time."""

BATCH_NODES = 256
SLICE_SECONDS = 0.005
PAUSE_SECONDS = 0.05
NODE_SECONDS = 0.004
"""After each step as many times this long as buckets were written: each costs all instances time to read."""

LONGEST_PAUSE_SECONDS = 1.0
"""Of a pause after a large step: what changes meanwhile is to be known everywhere within 2 s all the same."""

RETRY_SECONDS = 0.5
DEFECT_SECONDS = 10.0
LOOK_SECONDS = 1.0
VERIFY_SECONDS = 60.0
"""After this time the leader looks at what ZooKeeper holds, in case somebody has removed nodes by hand."""


CACHE: Final = "cache"


def index_path(group: int) -> str:
    """Persistent: the ``Index``."""
    return f"{CACHE}/{group}/index"


def bucket_path(group: int, number: int) -> str:
    """Persistent: a ``Bucket``; missing if it is empty."""
    return f"{buckets_path(group)}/{number}"


def buckets_path(group: int) -> str:
    """Persistent: the parent of all buckets of a group."""
    return f"{CACHE}/{group}/b"


@dataclass(slots=True)
class _Held:
    """What ZooKeeper holds, as of our last write: the index, what each bucket has, and which are there."""

    index: Index | None
    has_index: bool
    digests: list[bytes]
    there: set[int]
    counts: dict[int, tuple[int, int, int]] = field(default_factory=dict)


class Publisher:
    """Keeps ``cache/<group>`` equal to what ``bucket`` gives by number, from ``lead`` to ``stand_back``.

    ``published`` is what was written last in this term, ``problem`` why nothing could be written since.
    ``sees`` says whether the own directory answers, None while it was never loaded: nothing is written then.
    ``wall`` is seconds since 1970. All runs on the event loop, in slices of a few milliseconds.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        group: int,
        bucket: Callable[[int], Bucket | None],
        *,
        sees: Callable[[], bool | None],
        wall: Callable[[], float],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.group = group
        self.published: Index | None = None
        self.problem = ""
        self._ensemble = ensemble
        self._bucket = bucket
        self._sees = sees
        self._wall = wall
        self._log = log
        self._batch_bytes = BATCH_BYTES
        self._dirty: set[int] = set()
        self._woken = asyncio.Event()
        self._leading: asyncio.Task[None] | None = None

    def lead(self, term: Term) -> None:
        """Publish in this term from now on."""
        self.stand_back()
        self._batch_bytes = BATCH_BYTES
        self._leading = asyncio.ensure_future(self._lead(term))

    def stand_back(self) -> None:
        """Write no more. A write that is under way is refused if another leader begins before it arrives."""
        if self._leading is not None:
            self._leading.cancel()
        self._leading = self.published = None

    def poke(self, numbers: Iterable[int] = ()) -> None:
        """These buckets, or what ``sees`` says, may have changed."""
        self._dirty.update(numbers)
        self._woken.set()

    async def _lead(self, term: Term) -> None:
        while True:
            try:
                held = await self._look(term)
                if held is None:
                    self._log.info("the term is over; another leader keeps the MAC cache", group=self.group)
                    return
                await self._keep_published(term, held)
            except (RefusedWriteError, UnavailableError) as error:
                if not self.problem:
                    self._log.warning("MAC cache not written; it is tried again", detail=str(error))
                self.problem = str(error)
                self._batch_bytes = max(LEAST_BYTES, self._batch_bytes // 2)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                self._log.exception("defect while writing the MAC cache")
                await asyncio.sleep(DEFECT_SECONDS)

    async def _look(self, term: Term) -> _Held | None:
        """What is there; None if the term is over."""
        epoch = await self._ensemble.read(epoch_path(self.group))
        if epoch is None or epoch.version != term.version:
            return None
        await self._ensemble.make(buckets_path(self.group))
        node = await self._ensemble.read(index_path(self.group))
        names = await self._ensemble.children(buckets_path(self.group))
        there = {int(name) for name in names if name.isdecimal() and int(name) < BUCKETS}
        index = None
        with suppress(DamagedError):
            index = open_index(node.data) if node is not None else None
        said = index.digests if index is not None else NOTHING
        # Of a bucket that is there and that the index does not tell, nothing is known.
        digests = [
            (IN_FLUX if said[number] == EMPTY else said[number]) if number in there else EMPTY
            for number in range(BUCKETS)
        ]
        return _Held(index, node is not None, digests, there)

    async def _keep_published(self, term: Term, held: _Held) -> None:
        """Write what changed, again and again, at most half of the time; until it is time to look anew."""
        loop = asyncio.get_running_loop()
        until = loop.time() + VERIFY_SECONDS
        self._dirty = set(range(BUCKETS))
        while loop.time() < until:
            self._woken.clear()
            sees = self._sees()
            if sees is not None:
                begin = loop.time()
                changed = await self._changes(held)
                is_new = bool(changed) or not _tells(held.index, term, sees)
                if is_new:
                    await self._publish(term, held, changed, sees)
                self.published, self.problem = held.index, ""
                if is_new:
                    await asyncio.sleep(_pause(loop.time() - begin, len(changed)))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS)

    async def _changes(self, held: _Held) -> dict[int, Bucket | None]:
        """The buckets that are not as ZooKeeper has them."""
        numbers, self._dirty = self._dirty, set()
        changed = {}
        async for number in _in_slices(sorted(numbers)):
            bucket = self._bucket(number)
            held.counts[number] = _counts(bucket)
            if digest_of(bucket) != held.digests[number]:
                changed[number] = bucket
        return changed

    async def _publish(
        self, term: Term, held: _Held, changed: Mapping[int, Bucket | None], sees: bool
    ) -> None:
        """Write ``changed`` and the index: all in one transaction, or, if it is too much, in several.

        Then the index says first which buckets are about to change, and last what they have become.
        """
        check = Check(epoch_path(self.group), term.version)
        after = list(held.digests)
        for number, bucket in changed.items():
            after[number] = digest_of(bucket)
        index = self._index(term, held, after, sees)
        batch: list[Operation] = []
        size = 0
        in_flux = False
        async for number in _in_slices(changed):
            operation = self._operation(held, number, changed[number])
            weight = len(operation.data) if isinstance(operation, Create | Put) else 0
            if batch and (size + weight > self._batch_bytes or len(batch) == BATCH_NODES):
                if not in_flux:
                    during = [
                        IN_FLUX if place in changed else each for place, each in enumerate(held.digests)
                    ]
                    await self._write_index(held, check, replace(index, digests=tuple(during)))
                    in_flux = True
                await self._ensemble.commit(check, *batch)
                batch, size = [], 0
            batch.append(operation)
            size += weight
        await self._write_index(held, check, index, *batch)
        held.index, held.digests = index, after
        held.there = {number for number, digest in enumerate(after) if digest != EMPTY}
        self._log.debug("MAC cache written", group=self.group, buckets=len(changed), macs=index.macs)

    def _operation(self, held: _Held, number: int, bucket: Bucket | None) -> Operation:
        path = bucket_path(self.group, number)
        if bucket is None:
            return Delete(path)
        data = seal_bucket(bucket)
        return Put(path, data) if number in held.there else Create(path, data)

    async def _write_index(self, held: _Held, check: Check, index: Index, *before: Operation) -> None:
        write = Put if held.has_index else Create
        await self._ensemble.commit(check, *before, write(index_path(self.group), seal_index(index)))
        held.has_index = True

    def _index(self, term: Term, held: _Held, digests: list[bytes], sees: bool) -> Index:
        macs, rows, domains = (sum(each) for each in zip(*held.counts.values(), strict=True))
        now = int(self._wall() * 1000)
        return Index(term.number, term.zxid, now, sees, macs, rows, domains, tuple(digests))


def _pause(took: float, nodes: int) -> float:
    return min(LONGEST_PAUSE_SECONDS, max(PAUSE_SECONDS, took, nodes * NODE_SECONDS))


def _tells(index: Index | None, term: Term, sees: bool) -> bool:
    """Whether the index is of this term and says whether we see."""
    return index is not None and index.is_of(term) and index.sees == sees and index.complete


def _counts(bucket: Bucket | None) -> tuple[int, int, int]:
    return (bucket.macs, bucket.count, len(bucket.settings())) if bucket is not None else (0, 0, 0)


async def _in_slices(numbers: Iterable[int]) -> AsyncIterator[int]:
    """The numbers, with the loop let go every few milliseconds."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number in numbers:
        yield number
        if loop.time() - begin > SLICE_SECONDS:
            await asyncio.sleep(0)
            begin = loop.time()
