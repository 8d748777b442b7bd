"""Keeps provisioning supplied: storage, directory and host names, looked at again and again.

Owns what happens with news: a new catalogue or a changed directory is put into service whole, and what an
operator should know is logged; and what is served until there are any (local state). Serving never waits for
any of it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

from era_ap.directory.feed import DirectoryFeed
from era_ap.directory.saved import DirectoryKeeper, restore
from era_ap.poller import InThread, Poller, Teller
from era_ap.provisioning.audit import mask_problems
from era_ap.settings import sources_of
from era_ap.storage_saved import StorageKeeper
from era_ap.store import Store

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    import structlog

    from era_ap.config import ApRole, Site
    from era_ap.errors import Problem
    from era_ap.health import Looks
    from era_ap.provisioning.addresses import AddressBook
    from era_ap.provisioning.catalogue import Catalogue
    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.resolver import Resolver
    from era_ap.state import State
    from era_ap.static_files import StaticFiles

FIRST_LOOK_SECONDS = 60.0
NAMES_SECONDS = 1.0
RESTORED_SECONDS = 2.0
"""How long what is new is waited for where there is local state to serve meanwhile."""


class Feeds:
    """Everything that ``provisioner`` answers from, kept up to date by tasks of the event loop.

    With a ``state`` what an earlier process knew is served until a look at the real thing has succeeded.
    ``is_alive`` until a task ends by itself, which is a defect.
    """

    def __init__(
        self,
        site: Site,
        role: ApRole,
        provisioner: Provisioner,
        book: AddressBook,
        resolver: Resolver,
        log: structlog.typing.FilteringBoundLogger,
        *,
        statics: StaticFiles,
        state: State | None = None,
    ) -> None:
        self._provisioner = provisioner
        self._book = book
        self._resolver = resolver
        self._log = log
        self._state = state
        self._mask_problems: tuple[Problem, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_alive = True
        interval = role.ext.poll_seconds
        store = Store(site.storage, site.site)
        self._scan = InThread("storage", store.scan, self._take_catalogue)
        self._storage = Poller("storage", self._look_at_storage, interval=interval, log=log)
        self._storage_teller = Teller("storage", log)
        self._holding = StorageKeeper(store, statics, lambda: self._storage.looks)
        self.directory = DirectoryFeed(
            sources_of(site), self._take_directory, lambda: self._mask_problems, interval=interval, log=log
        )

    async def start(self) -> None:
        """Load everything once, but wait no longer than ``FIRST_LOOK_SECONDS``; then keep looking."""
        restored = self._state is not None and await self._restore(self._state)
        pollers = (self._storage, *self.directory.pollers)
        for poller in pollers:
            self._spawn(poller.run())
        looks = [asyncio.ensure_future(poller.looked.wait()) for poller in pollers]
        _, late = await asyncio.wait(looks, timeout=RESTORED_SECONDS if restored else FIRST_LOOK_SECONDS)
        for look in late:
            look.cancel()
        if late and not restored:
            self._log.error("starting without everything", advice="what is missing is refused for the moment")
        self._spawn(self._holding.run())
        await self._resolver.refresh()
        self._spawn(self._keep_names_fresh())
        # What is loaded by now stays for long: the collector need not go through all of it again and again.
        gc.collect()
        gc.freeze()

    @property
    def looks(self) -> Mapping[str, Looks]:
        """How each source is, for readiness: the storage, and the directory or each of its sources."""
        return {"storage": self._storage.looks, **self.directory.looks}

    def set_interval(self, seconds: float) -> None:
        """Another pause between two looks."""
        self._storage.interval = seconds
        self.directory.set_interval(seconds)

    async def stop(self) -> None:
        """Look no more; give connections back and local state its last word."""
        self.close()
        await asyncio.gather(*(source.close() for source in self.directory.sources))

    def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        self._resolver.close()
        self._scan.close()
        self._holding.close()

    async def _look_at_storage(self) -> None:
        await self._scan()
        self._storage_teller.tell(self._provisioner.catalogue.problems if self._provisioner.catalogue else ())

    def _take_catalogue(self, catalogue: Catalogue) -> None:
        self._provisioner.catalogue = catalogue
        self._book.want(catalogue.hostnames, time.monotonic())
        self._holding.taken()
        self._log.info("storage in service", revision=catalogue.revision, templates=len(catalogue.templates))

    def _take_directory(self) -> None:
        index = self.directory.index
        self._provisioner.directory = index
        self._mask_problems = tuple(mask_problems(index.domain(self._provisioner.rules.master_domain)))

    async def _restore(self, state: State) -> bool:
        """Serve what an earlier process knew; whether that is something of everything."""
        loaded = await state.load()
        storage = await asyncio.to_thread(self._holding.restore, loaded)
        if storage is not None:
            catalogue, at = storage
            self._storage.restored_at = _monotonic(at)
            self._take_catalogue(catalogue)
            _tell_restored(self._log, "storage", at)
        keeper = DirectoryKeeper(self.directory)
        complete = storage is not None
        for source in self.directory.sources:
            saved = await asyncio.to_thread(restore, loaded, source.name)
            complete = complete and saved is not None
            if saved is not None:
                keeper.restored(source, saved)
                self.directory.restored(source, saved.part, _monotonic(saved.at), complete=saved.complete)
                _tell_restored(self._log, source.name, saved.at)
                if saved.cursor is not None:
                    source.restore(saved.cursor)
        keeper.forget(loaded)
        state.keepers += [self._holding, keeper]
        state.start()
        return complete

    async def _keep_names_fresh(self) -> None:
        while True:
            await asyncio.sleep(NAMES_SECONDS)
            await self._resolver.refresh()
            for name in self._book.news():
                self._log.warning("no address", name=name, advice="[nslookup] of it is empty")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled():
                self.is_alive = False
                self._log.error("a feed has ended", exc_info=task.exception())

        task.add_done_callback(ended)


def _monotonic(wall: float) -> float:
    """A time since 1970 on the steady clock, never later than now: the wall clock may have been set back."""
    return time.monotonic() - max(0.0, time.time() - wall)


def _tell_restored(log: structlog.typing.FilteringBoundLogger, what: str, at: float) -> None:
    age = round(max(0.0, time.time() - at), 1)
    log.info("last known state in service", what=what, age_seconds=age)
