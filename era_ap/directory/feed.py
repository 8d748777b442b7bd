"""Keeps the directory's index supplied from all sources: what a look hands over comes into service.

Owns the order of things: a whole look is built aside and swapped, other news are applied piece by piece; each
source at its own pace, sooner where somebody knows of news. Does not own what a source is (``source``), nor
the pace of a single one (``poller``). Serving never waits for any of it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.directory.index import DirectoryIndex
from era_ap.directory.part import Part
from era_ap.errors import Reason, Refused
from era_ap.poller import Poller, Teller

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import structlog

    from era_ap.directory.model import AccountKey
    from era_ap.directory.source import Change, Source
    from era_ap.errors import Problem
    from era_ap.health import Looks

SLOW_SECONDS = 10.0
"""Pause between two looks where somebody else looks often and tells what changed."""

SLICE_SECONDS = 0.005


@dataclass(slots=True)
class _News:
    """What one look brought, counted."""

    changed: int = 0
    removed: int = 0
    domains: int = 0

    def count(self, change: Change) -> None:
        self.changed += len(change.accounts)
        self.removed += len(change.removed)
        self.domains += len(change.domains) + len(change.removed_domains)


class _Follower:
    """One source and what is done with its looks."""

    def __init__(
        self, source: Source, feed: DirectoryFeed, name: str, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self.source = source
        self.poller = Poller(name, self._look, interval=1.0, log=log)
        self._feed = feed
        self._nudged: set[str] = set()
        self._full_at: float | None = None
        source.on_news(self.poller.wake)

    def nudge(self, domains: Collection[str]) -> None:
        """Look at these domains now."""
        self._nudged.update(domains)
        self.poller.wake()

    async def _look(self) -> None:
        nudged, self._nudged = self._nudged, set()
        news, aside = _News(), Part()
        unknown: dict[AccountKey | str, None] = {}
        lost: dict[str, None] = {}
        taken = False

        def take(change: Change) -> None:
            nonlocal taken
            taken = True
            self.poller.is_lively()
            news.count(change)
            if self.source.whole:
                aside.apply(change)
                unknown.update(dict.fromkeys(change.unknown))
                lost.update(dict.fromkeys(change.lost))
            else:
                self._feed.apply(change, self.source.name)

        begin = time.monotonic()
        first = self._full_at is None
        full = self._full_at is None or not nudged or begin - self._full_at >= self.poller.interval
        try:
            await self.source.look(take, domains=None if full else nudged)
            if self.source.whole and (taken or first):
                before = self._feed.index.parts[self.source.name]
                await _in_slices(aside.keep(before, unknown, lost))
                await self._feed.replace(aside, self.source)
        except BaseException:
            self._nudged |= nudged
            raise
        self._full_at = begin if full else self._full_at
        self._feed.told(self.source, news if taken else None)


class DirectoryFeed:
    """All sources of one site. ``index`` is what they feed; ``on_news`` is called when it has changed.

    ``apply`` and ``on_replaced`` are where others take part: every change of the index goes through
    ``apply``, and ``on_replaced`` is called after a part of it was put into service whole.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        on_news: Callable[[], None],
        problems: Callable[[], Iterable[Problem]],
        *,
        interval: float,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.index = DirectoryIndex([source.name for source in sources])
        self.apply: Callable[[Change, str], None] = self.index.apply
        self.on_replaced: Callable[[], None] = lambda: None
        self._on_news = on_news
        self._problems = problems
        self._log = log
        self._teller = Teller("directory", log)
        self._told: tuple[tuple[Problem, ...], tuple[Problem, ...]] = ((), ())
        self._interval = interval
        self._is_fast = True
        self._several = len(sources) > 1
        self._followers = [_Follower(each, self, self._title(each), log) for each in sources]
        self._pace()

    @property
    def pollers(self) -> list[Poller]:
        """One for each source, to be run."""
        return [each.poller for each in self._followers]

    @property
    def looks(self) -> Mapping[str, Looks]:
        """How each source is, for readiness."""
        return {poller.name: poller.looks for poller in self.pollers}

    @property
    def sources(self) -> list[Source]:
        """The sources, in the order of the configuration."""
        return [each.source for each in self._followers]

    def restored(self, source: Source, part: Part, at: float, *, complete: bool) -> None:
        """Serve what an earlier process knew of ``source`` at ``at`` (monotonic), before the first look."""
        self.index.replace(part, source.name, complete=complete)
        for follower in self._followers:
            if follower.source is source:
                follower.poller.restored_at = at
        self.on_replaced()
        self._on_news()

    def nudge(self, domains: Collection[str]) -> None:
        """Somebody knows that these domains have changed: look at them now."""
        for follower in self._followers:
            part = self.index.parts[follower.source.name]
            known_elsewhere = {name for name in domains if self.index.parts.having(name) not in (None, part)}
            own = set(domains) - known_elsewhere
            if own:
                follower.nudge(own)

    def set_pace(self, *, fast: bool) -> None:
        """Slow where another instance looks often and tells us (``nudge``); as configured otherwise."""
        if fast != self._is_fast:
            self._is_fast = fast
            self._pace()

    def set_interval(self, seconds: float) -> None:
        """Another pause between two looks, for sources that have none of their own."""
        self._interval = seconds
        self._pace()

    def told(self, source: Source, news: _News | None) -> None:
        """A look at ``source`` has ended well."""
        if news is not None:
            self._on_news()
            named = {"source": source.name} if self._several else {}
            self._log.info(
                "directory in service",
                revision=self.index.revision,
                changed=news.changed,
                removed=news.removed,
                domains=news.domains,
                phones=len(self.index.macs),
                **named,
            )
        problems = (self.index.problems, tuple(self._problems()))
        if problems[0] is not self._told[0] or problems[1] != self._told[1]:
            self._told = problems
            self._teller.tell((*problems[0], *problems[1]))

    async def replace(self, part: Part, source: Source) -> None:
        """Put what a whole look handed over into service.

        Raises ``Refused`` where it would take everything away: that is a wrong or an emptied database.
        """
        before = self.index.parts[source.name]
        if before.names and not part.names:
            detail = f"{source.name} hands over nothing; what was known of it stays in service"
            raise Refused(Reason.DIRECTORY_UNAVAILABLE, detail)
        self.index.replace(part, source.name)
        self.on_replaced()
        await _in_slices(self.index.macs.crosscheck(source.name))
        await _in_slices(before.dissolve())

    def _title(self, source: Source) -> str:
        return f"directory {source.name}" if self._several else "directory"

    def _pace(self) -> None:
        for follower in self._followers:
            own = follower.source.poll_seconds or self._interval
            follower.poller.interval = own if self._is_fast else max(own, SLOW_SECONDS)
            follower.poller.wake()


async def _in_slices(work: Iterator[None]) -> None:
    """Do ``work`` to its end, a few milliseconds at a time."""
    until = time.monotonic() + SLICE_SECONDS
    for _ in work:
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + SLICE_SECONDS
