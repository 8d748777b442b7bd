"""Keeps provisioning supplied: storage, directory and host names, looked at again and again.

Owns what happens with news: a new catalogue or a changed directory is put into service whole, and what an
operator should know is logged. Serving never waits for any of it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

from era_ap.directory.index import DirectoryIndex
from era_ap.poller import Poller
from era_ap.provisioning.audit import mask_problems
from era_ap.settings import directory_of
from era_ap.store import Store

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import structlog

    from era_ap.config import ApRole, Site
    from era_ap.directory.index import Change
    from era_ap.errors import Problem
    from era_ap.provisioning.addresses import AddressBook
    from era_ap.provisioning.catalogue import Catalogue
    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.resolver import Resolver

FIRST_LOOK_SECONDS = 60.0
NAMES_SECONDS = 1.0


class Feeds:
    """Everything that ``provisioner`` answers from, kept up to date by tasks of the event loop."""

    def __init__(
        self,
        site: Site,
        role: ApRole,
        provisioner: Provisioner,
        book: AddressBook,
        resolver: Resolver,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._provisioner = provisioner
        self._book = book
        self._resolver = resolver
        self._log = log
        self._index = DirectoryIndex()
        self._mask_problems: tuple[Problem, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self._storage = Poller(
            "storage",
            Store(site.storage, site.site).scan,
            self._take_catalogue,
            lambda: provisioner.catalogue.problems if provisioner.catalogue else (),
            interval=role.ext.poll_seconds,
            log=log,
        )
        self._directory = Poller(
            "directory",
            directory_of(site).scan,
            self._take_directory,
            self._directory_problems,
            interval=role.ext.poll_seconds,
            log=log,
        )

    async def start(self) -> None:
        """Load everything once, but wait no longer than ``FIRST_LOOK_SECONDS``; then keep looking."""
        pollers = (self._storage, self._directory)
        for poller in pollers:
            self._spawn(poller.run())
        looks = [asyncio.ensure_future(poller.looked.wait()) for poller in pollers]
        _, late = await asyncio.wait(looks, timeout=FIRST_LOOK_SECONDS)
        for look in late:
            look.cancel()
        if late:
            self._log.error("starting without everything", advice="what is missing is refused for the moment")
        await self._resolver.refresh()
        self._spawn(self._keep_names_fresh())
        # What is loaded by now stays for long: the collector need not go through all of it again and again.
        gc.collect()
        gc.freeze()

    def set_interval(self, seconds: float) -> None:
        """Another pause between two looks."""
        self._storage.interval = self._directory.interval = seconds

    def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        self._resolver.close()
        self._storage.close()
        self._directory.close()

    def _take_catalogue(self, catalogue: Catalogue) -> None:
        self._provisioner.catalogue = catalogue
        self._book.want(catalogue.hostnames, time.monotonic())
        self._log.info("storage in service", revision=catalogue.revision, templates=len(catalogue.templates))

    def _take_directory(self, change: Change) -> None:
        self._index.apply(change)
        self._provisioner.directory = self._index
        self._mask_problems = tuple(mask_problems(self._index.domain(self._provisioner.rules.master_domain)))
        self._log.info(
            "directory in service",
            revision=self._index.revision,
            changed=len(change.accounts),
            removed=len(change.removed),
            domains=len(change.domains) + len(change.removed_domains),
            phones=len(self._index.macs),
        )

    def _directory_problems(self) -> tuple[Problem, ...]:
        return (*self._index.problems, *self._mask_problems)

    async def _keep_names_fresh(self) -> None:
        while True:
            await asyncio.sleep(NAMES_SECONDS)
            await self._resolver.refresh()
            for name in self._book.news():
                self._log.warning("no address", name=name, advice="[nslookup] of it is empty")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
