"""Holds one group's part of the MAC cache in memory, as ZooKeeper has it.

Owns the watch on the index and the fetching of buckets whose digest changed. What cannot be read, or is
damaged, leaves the last good version in place. Does not own the writing (``publisher``) nor what a change
means (``mac_cache``).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from era_ap.cluster.buckets import EMPTY, DamagedError
from era_ap.cluster.contract import UnavailableError
from era_ap.cluster.picture import Picture
from era_ap.cluster.publisher import bucket_path, index_path
from era_ap.cluster.sealing import open_bucket, open_index

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog

    from era_ap.cluster.buckets import Bucket
    from era_ap.cluster.contract import Ensemble, Watch
    from era_ap.cluster.sealing import Index
    from era_ap.cluster.view import Term

    Nearby = Callable[[int, int, bytes], Bucket | None]
    OnChange = Callable[[int, frozenset[int], frozenset[str]], None]

FETCHERS = 8
RETRY_SECONDS = 0.5
LACKING_SECONDS = 2.0
RECHECK_SECONDS = 30.0
"""A watch tells of every change; this look is in case one is ever lost on the way."""

DEFECT_SECONDS = 10.0


class Reader:
    """Follows ``cache/<group>``; ``picture`` is what is held, ``is_whole`` whether that is all there is,
    ``damaged`` what could not be read, with the reason.

    ``nearby`` gives a bucket of that group, number and digest if this instance has an equal one already.
    ``on_change`` is told the group, the numbers of the buckets that changed, and the domains that did.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        group: int,
        *,
        nearby: Nearby,
        on_change: OnChange,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.group = group
        self.picture = Picture()
        self.damaged: dict[str, str] = {}
        self.is_whole = False
        self._ensemble = ensemble
        self._nearby = nearby
        self._on_change = on_change
        self._log = log
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow from now on; no effect if it does already."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._follow())

    def close(self) -> None:
        """Follow no more; what is held stays."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def shows(self, term: Term | None) -> bool:
        """Whether all is held of what the leader of ``term`` has written, and it sees its directory."""
        index = self.picture.index
        if term is None or index is None or not index.is_of(term):
            return False
        return index.sees and index.complete and self.is_whole

    async def _follow(self) -> None:
        changed = None
        while True:
            watch = None
            if changed is None or changed.is_set():
                changed = asyncio.Event()
                watch = changed.set
            try:
                await self._look(watch)
            except UnavailableError:
                changed = None
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                self._log.exception("defect while reading the MAC cache")
                changed = None
                await asyncio.sleep(DEFECT_SECONDS)
            else:
                with suppress(TimeoutError):
                    pause = RECHECK_SECONDS if self.is_whole else LACKING_SECONDS
                    await asyncio.wait_for(changed.wait(), pause)

    async def _look(self, watch: Watch | None) -> None:
        """Read the index and what it says we lack. Without an index, what is held stays."""
        node = await self._ensemble.read(index_path(self.group), watch)
        if node is None:
            self.is_whole = False
            return
        try:
            index = open_index(node.data)
        except DamagedError as error:
            self.is_whole = False
            self._note("index", str(error))
            return
        self._note("index", "")
        self.picture.index = index
        lacking = self.picture.lacking()
        if lacking:
            self.is_whole = False
            await self._fetch_all(index, lacking)
        self.is_whole = not self.damaged and not self.picture.lacking()

    async def _fetch_all(self, index: Index, numbers: tuple[int, ...]) -> None:
        """Fetch these buckets, ``FETCHERS`` at a time; what was fetched counts even if others fail."""
        rest = iter(numbers)
        changed: set[int] = set()
        domains: set[str] = set()

        async def work() -> None:
            for number in rest:
                found = await self._fetch(number, index.digests[number])
                if found:
                    changed.add(number)
                    domains.update(found)
                await asyncio.sleep(0)

        workers = (work() for _ in range(min(FETCHERS, len(numbers))))
        ends = await asyncio.gather(*workers, return_exceptions=True)
        if changed:
            self._on_change(self.group, frozenset(changed), frozenset(domains))
        for end in ends:
            if end is not None:
                raise end

    async def _fetch(self, number: int, digest: bytes) -> frozenset[str]:
        """Take over one bucket; returns the domains in which it differs."""
        if digest == EMPTY:
            return self.picture.put(number, None)
        bucket = self._nearby(self.group, number, digest)
        if bucket is None:
            node = await self._ensemble.read(bucket_path(self.group, number))
            try:
                bucket = open_bucket(node.data) if node is not None else None
            except DamagedError as error:
                self._note(f"bucket {number}", str(error))
                return frozenset()
            if bucket is not None and not self.picture.room(number, bucket):
                self._note(f"bucket {number}", "there is no room for more")
                return frozenset()
        self._note(f"bucket {number}", "")
        return self.picture.put(number, bucket)

    def _note(self, what: str, problem: str) -> None:
        """Remember and tell once what is wrong with a node, or that nothing is."""
        if not problem:
            self.damaged.pop(what, None)
        elif self.damaged.get(what) != problem:
            self.damaged[what] = problem
            advice = "its last good version stays in use"
            self._log.error(
                "MAC cache not readable", group=self.group, what=what, detail=problem, advice=advice
            )
