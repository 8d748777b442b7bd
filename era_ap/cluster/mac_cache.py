"""The MAC cache of the site as one instance sees it: who owns a MAC, by the word of all groups' leaders.

Wires its parts: ``own_rows`` (our directory), ``publisher`` (while we lead), ``holding`` (each group's part),
``catching_up`` (what others have seen and we have not) and ``heeding`` (whose word counts). A request is
answered from memory, and nothing that a phone asks for makes anybody look anywhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from era_ap.cluster.buckets import BUCKETS
from era_ap.cluster.catching_up import CatchingUp
from era_ap.cluster.heeding import Directory, Heeding
from era_ap.cluster.holding import Holding
from era_ap.cluster.keeping import Keeping
from era_ap.cluster.own_rows import OwnRows
from era_ap.cluster.publisher import Publisher
from era_ap.cluster.sweeping import keep_swept
from era_ap.state import NAMED
from era_ap.state_file import Batch, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import structlog

    from era_ap.cluster.contract import Ensemble
    from era_ap.cluster.coordinator import Coordinator
    from era_ap.cluster.rows import GroupOf, Place
    from era_ap.cluster.view import Term
    from era_ap.directory.model import AccountKey
    from era_ap.health import Looks
    from era_ap.state import Keeper

__all__ = [
    "Directory",
    "GroupStatus",
    "MacCache",
    "Sharing",
    "keeper_of",
    "looked_at",
    "status_of",
    "take_up",
]

KEPT_AS = "mac-cache"
"""The owner of our rows in local state."""

SLICE_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One group's part of the cache. ``age``: seconds since it was last known to be what its leader sees,
    None if never. ``term``, ``epoch`` and ``written`` (ms since 1970) tell who wrote it last, and when.
    """

    group: int
    shown: bool
    age: float | None
    term: int
    epoch: int
    written: int
    macs: int
    domains: int
    bytes: int
    damaged: int


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who keeps what: our ``group``, all ``groups`` of the site, and which of them owns a domain."""

    group: int
    groups: frozenset[int]
    group_of: GroupOf


class MacCache:
    """The cache of all groups; a ``Follower`` of the coordinator.

    ``own.apply`` is for every change of the directory, ``own.replaced`` for a part of the index that was.
    ``on_change`` is told domains that others have seen change and we have not; it may be told one again.
    ``on_fresh`` is told whether others watch the directory for us, so that we need not look often.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        coordinator: Coordinator,
        directory: Directory,
        sharing: Sharing,
        *,
        on_change: Callable[[frozenset[str]], None],
        on_fresh: Callable[[bool], None] = lambda _: None,
        wall: Callable[[], float],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._ensemble = ensemble
        self._sharing = sharing
        self._log = log
        self.own = own = OwnRows(directory.index, sharing.group_of, self._on_own, log)
        self.holding = Holding(ensemble, own, self._on_published, log)
        self.holding.hold(sharing.groups)
        self.keeping = Keeping(self.holding.pictures)
        self.heeding = Heeding(ensemble, coordinator, self.holding.readers, directory)
        self.catching_up = CatchingUp(
            own,
            self.holding.pictures,
            self.heeding,
            on_change,
            lambda: on_fresh(self.heeding.follows_all()),
            log,
        )
        self.publisher = Publisher(
            ensemble,
            sharing.group,
            partial(own.bucket, sharing.group),
            sees=lambda: directory.sees() if own.is_ready else None,
            wall=wall,
            log=log,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Follow all groups from now on."""
        sweeping = keep_swept(self._ensemble, lambda: self._sharing.groups, lambda: self.heeding.leads)
        self._tasks = [asyncio.ensure_future(work) for work in (self.catching_up.run(), sweeping)]
        self.holding.follow()

    def close(self) -> None:
        """Publish and follow no more; what is held stays."""
        self.publisher.stand_back()
        self.own.close()
        self.holding.close()
        for task in self._tasks:
            task.cancel()

    def share(self, sharing: Sharing) -> None:
        """Groups, or what they own, may be others now; our own group is the same."""
        self._sharing = sharing
        self.holding.hold(sharing.groups)
        self.holding.follow()
        self.own.regroup(sharing.group_of)

    # --- what the coordinator tells

    def on_lead(self, term: Term) -> None:
        """Publish what our group owns."""
        self.heeding.leads = term.group
        self.publisher.lead(term)

    def on_stop_leading(self, why: str) -> None:
        """Publish no more; from now on somebody else's word counts."""
        self.heeding.leads = None
        self.publisher.stand_back()
        self.catching_up.compare(None)

    def on_view(self) -> None:
        """Other leaders, so other words may count."""
        self.catching_up.wake()

    # --- what others ask

    @property
    def revision(self) -> int:
        """Grows when ``owners`` may give something else."""
        return self.heeding.turns + self.holding.revision()

    def owners(self, mac: str) -> tuple[AccountKey, ...]:
        """The accounts that list ``mac`` (12 hex digits) by the word of those that count, sorted."""
        rows = self.holding.rows(int(mac, 16))
        return tuple(sorted(row.key for group, row in rows if self.heeding.is_heeded(group)))

    def is_fresh(self) -> bool:
        """Whether other instances watch the directory for us, so that we need not look often."""
        return self.heeding.follows_all()

    # --- what happens

    def _on_own(self, touched: frozenset[Place] | None) -> None:
        if touched is None:
            self.publisher.poke(range(BUCKETS))
            self.catching_up.compare(None)
            return
        self.publisher.poke(number for group, number in touched if group == self._sharing.group)
        self.catching_up.wake()

    def _on_published(self, group: int, numbers: frozenset[int], domains: frozenset[str]) -> None:
        self.catching_up.compare({(group, number) for number in numbers}, domains)


def keeper_of(cache: MacCache) -> Keeper:
    """Gives local state what changed; ``take_up`` gets it back."""

    def keep(everything: bool) -> Batch:
        touched = cache.keeping.touched(everything=everything)
        return Batch({Key(NAMED, KEPT_AS, name): data for name, data in touched.items()})

    return keep


async def take_up(cache: MacCache, saved: Mapping[str, bytes]) -> None:
    """Hold what an earlier process did, before ``start``; the loop is let go every few milliseconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SLICE_SECONDS
    for _ in cache.keeping.load(saved):
        if loop.time() > until:
            await asyncio.sleep(0)
            until = loop.time() + SLICE_SECONDS


def looked_at(looks: Mapping[str, Looks]) -> float | None:
    """When all sources of a directory were read last (see ``Directory``), None while one never was."""
    at = [each.good_at for each in looks.values() if each.good_at is not None]
    return min(at) if at and len(at) == len(looks) else None


def status_of(cache: MacCache) -> tuple[GroupStatus, ...]:
    """What is held of each group."""
    found = []
    for group, reader in sorted(cache.holding.readers.items()):
        index = reader.picture.index
        told = (index.term, index.epoch, index.written, index.macs, index.domains) if index else (0,) * 5
        shown, age = cache.heeding.is_shown(group), cache.heeding.age(group)
        found.append(GroupStatus(group, shown, age, *told, reader.picture.bytes, len(reader.damaged)))
    return tuple(found)
