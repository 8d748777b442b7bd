"""What is asked of each part to judge this instance: for /readyz, and whether it is fit to lead (spec 9).

Owns the translation of the parts' own words into sources, and the two answers. Does not own the judgement
over sources (``health``), nor what an unfit instance does (``cluster.election``).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from era_ap.cluster.contract import SessionState
from era_ap.health import Condition, Need, Phase, Source, judge, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from era_ap.cluster.coordinator import Status
    from era_ap.cluster.mac_cache import GroupStatus
    from era_ap.health import Health, Looks
    from era_ap.sip.wire import Status as PnpStatus

STORAGE: Final = "storage"
LAG_SECONDS: Final = 2.0
"""An event loop that was held up for so long does not lead for a while; a busy host holds one up for less."""

FITNESS_SECONDS: Final = 0.5


def read_sources(looks: Mapping[str, Looks], now: float) -> Iterator[Source]:
    """The storage, and the directory or each of its sources."""
    for name, each in looks.items():
        yield source_of(name, each, now, need=Need.ALL if name == STORAGE else Need.SOME)


def zookeeper_source(status: Status) -> Source | None:
    """The session; None where there is no ZooKeeper."""
    if status.session is None:
        return None
    if status.session is SessionState.CONNECTED and status.registered:
        return Source("zookeeper", Condition.FRESH, status.contact_age)
    there = status.session is SessionState.CONNECTED
    why = status.problem or ("our name is not registered; the log says why" if there else "no contact")
    known = Condition.MISSING if status.contact_age is None else Condition.STALE
    return Source("zookeeper", known, status.contact_age, why)


def cache_sources(groups: Iterable[GroupStatus]) -> Iterator[Source]:
    """Each group's part of the MAC cache."""
    for group in groups:
        name = f"mac cache of group {group.group}"
        if group.shown:
            yield Source(name, Condition.FRESH, group.age)
        elif group.age is None:
            yield Source(name, Condition.MISSING, None, "no leader of that group has been seen")
        else:
            yield Source(name, Condition.STALE, group.age, "no leader keeps it, or its directory is away")


def pnp_source(status: PnpStatus) -> Source:
    """Where phones are listened to."""
    if not status.interfaces:
        return Source("pnp", Condition.MISSING, None, status.problem or "not listening yet")
    if status.problem:
        return Source("pnp", Condition.STALE, None, status.problem)
    return Source("pnp", Condition.FRESH)


def unfit(sources: Iterable[Source], pnp: PnpStatus | None, lag: float) -> str | None:
    """What keeps an instance from leading, in one sentence; ``pnp`` None: it is off. None: nothing does."""
    if pnp is None:
        return "PnP is off (ext.pnp.enabled)"
    if not pnp.interfaces:
        return f"PnP hears no phones: {pnp.problem or 'not listening yet'}"
    for source in sources:
        if source.need is not Need.NONE and source.condition is not Condition.FRESH:
            return f"{source.name} is {source.condition.value}: {source.detail}"
    if lag >= LAG_SECONDS:
        return f"the event loop was held up for {lag:.1f} s"
    return None


class Readiness:
    """Both answers for one process; ``phase`` is set by who starts and stops it.

    ``looks`` are those of storage and directory; ``state`` those of local state. ``cluster``, ``groups`` and
    ``pnp`` give the status of these, None where there is no such thing. ``lag`` is the worst of late.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        looks: Callable[[], Mapping[str, Looks]],
        state: Callable[[], Looks | None],
        cluster: Callable[[], Status | None],
        groups: Callable[[], Iterable[GroupStatus]],
        pnp: Callable[[], PnpStatus | None],
        lag: Callable[[float], float],
    ) -> None:
        self.phase = Phase.STARTING
        self._clock = clock
        self._looks = looks
        self._state = state
        self._cluster = cluster
        self._groups = groups
        self._pnp = pnp
        self._lag = lag

    def health(self) -> Health:
        """The verdict as of now."""
        now = self._clock()
        sources = list(read_sources(self._looks(), now))
        cluster, state, pnp = self._cluster(), self._state(), self._pnp()
        session = zookeeper_source(cluster) if cluster is not None else None
        if session is not None:
            sources += [session, *cache_sources(self._groups())]
        if pnp is not None:
            sources.append(pnp_source(pnp))
        if state is not None:
            sources.append(source_of("local state", state, now, need=Need.NONE))
        return judge(self.phase, sources)

    def unfit(self) -> str | None:
        """What keeps us from leading as of now."""
        now = self._clock()
        return unfit(read_sources(self._looks(), now), self._pnp(), self._lag(now))

    async def tell_fitness(self, set_fit: Callable[[str | None], None]) -> None:
        """Tell ``set_fit`` whenever that changes, for ever."""
        told: str | None = ""
        while True:
            why = self.unfit()
            if why != told:
                told = why
                set_fit(why)
            await asyncio.sleep(FITNESS_SECONDS)
