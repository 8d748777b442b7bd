"""Answers file requests for every transport: at once from memory where it can, else a little later.

Owns what must not happen on the event loop or must wait: reading static files, host names that are not known
yet, a template that computes for long. Decides nothing about content (``provisioning.provisioner``).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from era_ap.errors import Reason, Refused
from era_ap.provisioning.kept import StaticHit
from era_ap.provisioning.provisioner import Filling
from era_ap.provisioning.request import Content, Refusal
from era_ap.provisioning.scope import NamesNeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from era_ap.provisioning.addresses import AddressBook
    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.provisioning.request import FileRequest, Reply
    from era_ap.provisioning.scope import Rendering
    from era_ap.resolver import Resolver
    from era_ap.static_files import StaticFiles, StaticStream

INLINE_SECONDS = 0.02
RENDER_SECONDS = 0.5
NAME_ROUNDS = 3  # a name may be built from the address of another one


def _later(work: Coroutine[Any, Any, Reply]) -> Deferred[Reply]:
    return Deferred.fromFuture(asyncio.ensure_future(work))


class FileService:
    """The one ``Opener`` of a process.

    ``clock`` is monotonic, in seconds; ``on_rendered`` gets the time that each filling of a template took.
    """

    def __init__(
        self,
        provisioner: Provisioner,
        statics: StaticFiles,
        book: AddressBook,
        resolver: Resolver,
        *,
        clock: Callable[[], float],
        on_rendered: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._provisioner = provisioner
        self._statics = statics
        self._book = book
        self._resolver = resolver
        self._clock = clock
        self._on_rendered = on_rendered
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="render")

    def open(self, request: FileRequest) -> Reply | Deferred[Reply]:
        """The answer to ``request``, now or as a Deferred; never fails for what a phone asks."""
        answer = self._provisioner.answer(request, self._clock())
        if isinstance(answer, StaticHit):
            return self._statics.ready(answer.entry) or self._open_static(answer)
        if not isinstance(answer, Filling):
            return answer
        try:
            rendering, seconds = self._render(answer, INLINE_SECONDS)
        except NamesNeeded as needed:
            return _later(self._fill(answer, needed))
        except Refused as refused:
            if refused.reason is Reason.TIME_LIMIT:
                return _later(self._fill(answer, None))
            return self._refuse(answer, refused)
        self._on_rendered(seconds)
        return self._provisioner.fill(answer, rendering, self._clock())

    def close(self) -> None:
        """End the thread for slow templates when it is idle."""
        self._slow.shutdown(wait=False, cancel_futures=True)

    # --- static files

    def _open_static(self, hit: StaticHit) -> Reply | Deferred[Reply]:
        try:
            opened = self._statics.open(hit.entry)
        except Refused as refused:
            return _refusal(hit, refused)
        if isinstance(opened, Future):
            return _later(self._await_static(hit, opened))
        return opened

    async def _await_static(self, hit: StaticHit, opening: Future[Content | StaticStream]) -> Reply:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(opening), self._statics.storage_seconds)
        except TimeoutError:
            return _refusal(hit, Refused(Reason.STORAGE_BUSY, hit.entry.path))
        except Refused as refused:
            return _refusal(hit, refused)

    # --- renderings that have to wait

    async def _fill(self, filling: Filling, needed: NamesNeeded | None) -> Reply:
        loop = asyncio.get_running_loop()
        try:
            for _ in range(NAME_ROUNDS):
                if needed is not None:
                    await self._resolver.ask(self._book.need(needed.names, self._clock()))
                try:
                    rendering, seconds = await loop.run_in_executor(
                        self._slow, self._render, filling, RENDER_SECONDS
                    )
                except NamesNeeded as still_needed:
                    needed = still_needed
                    continue
                self._on_rendered(seconds)
                return self._provisioner.fill(filling, rendering, self._clock())
        except Refused as refused:
            return self._refuse(filling, refused)
        return Refusal(Reason.NAME_UNRESOLVED, filling.subject)

    def _render(self, filling: Filling, limit: float) -> tuple[Rendering, float]:
        """The rendering and how long it took; in any thread."""
        start = self._clock()
        return filling.render(self._clock, limit), self._clock() - start

    def _refuse(self, filling: Filling, refused: Refused) -> Refusal:
        return self._provisioner.refuse(filling.key, refused, filling.subject, self._clock())


def _refusal(hit: StaticHit, refused: Refused) -> Refusal:
    return Refusal(refused.reason, replace(hit.subject, detail=refused.detail))
