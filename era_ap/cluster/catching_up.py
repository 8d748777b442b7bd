"""Finds out where the own directory is behind what the groups' leaders have published, until it is not.

Owns the comparison, bucket by bucket, and the nudge: which domains to look at now. Does not look itself
(``feeds``), and nothing that a phone asks for can make it nudge.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from era_ap.cluster.buckets import BUCKETS
from era_ap.cluster.pace import Pace
from era_ap.cluster.picture import difference, digest_of
from era_ap.directory.notation import parse_domain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import structlog

    from era_ap.cluster.heeding import Heeding
    from era_ap.cluster.own_rows import OwnRows
    from era_ap.cluster.picture import Picture
    from era_ap.cluster.rows import Place

SLICE_SECONDS = 0.005
TICK_SECONDS = 1.0
BEHIND_SECONDS = 30.0
"""Whoever differs for longer is not just late."""


class CatchingUp:
    """Compares ``own`` with ``pictures`` (by group) and tells ``on_change`` the domains that differ, and
    ``on_turn`` when other words count than before.

    Only groups that ``heeding`` follows are compared: another instance leads them and sees its directory.
    """

    def __init__(
        self,
        own: OwnRows,
        pictures: Mapping[int, Picture],
        heeding: Heeding,
        on_change: Callable[[frozenset[str]], None],
        on_turn: Callable[[], None],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._own = own
        self._pictures = pictures
        self._heeding = heeding
        self._on_change = on_change
        self._on_turn = on_turn
        self._log = log
        self._pace = Pace()
        self._open: set[Place] = set()
        self._differing: dict[Place, tuple[bytes, bytes, frozenset[str]]] = {}
        self._woken = asyncio.Event()

    def compare(self, places: Iterable[Place] | None, changed: Iterable[str] = ()) -> None:
        """These buckets (None: all) may differ; a leader has just published a change of ``changed``."""
        if places is None:
            places = {(group, number) for group in self._pictures for number in range(BUCKETS)}
            self._open &= places  # groups that are no more
        self._open.update(places)
        self._pace.hurry(changed, asyncio.get_running_loop().time())
        self._woken.set()

    def wake(self) -> None:
        """The own directory, or who leads, has changed: what differed may not do so any more."""
        self._woken.set()

    def behind(self) -> frozenset[str]:
        """The domains that have differed for long, whatever was done."""
        return self._pace.behind(BEHIND_SECONDS, asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Compare and nudge for ever. ``pictures`` may change meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            try:
                await self._turn()
            except Exception:
                self._log.exception("defect while comparing with the MAC cache")
            with suppress(TimeoutError):
                pause = self._pace.pause(loop.time())
                await asyncio.wait_for(self._woken.wait(), TICK_SECONDS if pause is None else pause)

    async def _turn(self) -> None:
        if self._heeding.note():
            self.compare(None)
            self._on_turn()
        differing = await self._differing_domains() if self._own.is_ready else frozenset()
        due = self._pace.due(differing, asyncio.get_running_loop().time())
        if due:
            self._on_change(due)

    async def _differing_domains(self) -> frozenset[str]:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        found: set[str] = set()
        shown = {group for group in self._pictures if self._heeding.is_followed(group)}
        for place in sorted(place for place in self._open if place[0] in shown):
            picture = self._pictures.get(place[0])
            domains = self._differ(place, picture) if picture is not None else None
            if not domains:
                self._open.discard(place)
            found.update(domains or ())
            if loop.time() - begin > SLICE_SECONDS:
                await asyncio.sleep(0)
                begin = loop.time()
        return frozenset(name for name in found if parse_domain(name) == name)

    def _differ(self, place: Place, picture: Picture) -> frozenset[str]:
        """The domains that differ in one bucket; equal buckets are held once."""
        group, number = place
        own, published = self._own.bucket(group, number), picture.buckets[number]
        digests = digest_of(own), digest_of(published)
        if digests[0] == digests[1]:
            self._differing.pop(place, None)
            picture.buckets[number] = own
            return frozenset()
        known = self._differing.get(place)
        if known is None or known[:2] != digests:
            known = self._differing[place] = (*digests, difference(own, published).domains)
        return known[2]
