"""The folder of YAML files as a ``Source``: looked at in a thread of its own, handed over on the event loop.

Owns that thread, a second look at what did not rest during the first, and how far a look must go: where every
change is heard of (``folder_watch``), only to the domains that somebody has touched. Does not own what a look
finds (``yaml_files``). A look that hangs on a dead mount keeps its one thread and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from era_ap.directory.folder_watch import FolderWatch
from era_ap.directory.yaml_files import YamlFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from era_ap.directory.source import Change

PATIENCE = 0.02
"""Seconds past the time to settle: timers may be early."""

WATCHED_SECONDS = 60.0
"""Pause between two looks at everything where every change is heard of."""


class YamlSource:
    """The source ``yaml:<root>``. ``files`` are those of ``root`` unless given."""

    def __init__(self, root: Path, files: YamlFiles | None = None) -> None:
        self.name = f"yaml:{root}"
        self.poll_seconds: float | None = None
        self.whole = True
        self.cursor: str | None = None
        self._files = files or YamlFiles(root)
        self._watch = FolderWatch(root)
        self._whole_at = float("-inf")
        self._wake: Callable[[], None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="directory")

    def restore(self, cursor: str) -> None:
        """There are no cursors of this source; the first look reads everything."""

    def on_news(self, wake: Callable[[], None]) -> None:
        """The kernel tells what is done to files on this host, from the first look on."""
        self._wake = wake

    async def look(self, take: Callable[[Change], None], *, domains: Collection[str] | None = None) -> None:
        """See ``Source.look``; somebody who names domains has seen their files rest already."""
        files = self._files
        if self._wake is not None:
            self._watch.start(self._wake)
            self._wake = None
        if domains is not None and not files.is_whole:
            await self._follow(lambda: files.look(domains, hurry=True), take)
            return
        began, before = time.monotonic(), self._whole_at
        touched = await asyncio.get_running_loop().run_in_executor(self._thread, self._touched)
        self._whole_at = float("-inf")  # unless all goes well
        if touched is None or touched:
            await self._follow(lambda: files.look(touched), take)
        pending = files.pending
        if pending:
            await asyncio.sleep(files.settle + PATIENCE)
            await self._follow(lambda: files.look(pending), take)
        self._whole_at = began if touched is None else before

    async def close(self) -> None:
        """Start no further look. One that hangs is left behind; only the end of the process frees it."""
        self._watch.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _touched(self) -> frozenset[str] | None:
        """The domains to look at, None: all. From now on is heard what is done to them."""
        watch = self._watch
        touched = watch.take()
        is_early = time.monotonic() - self._whole_at < WATCHED_SECONDS
        if touched is None or not (is_early and watch.is_trusted and watch.is_there()):
            watch.arm()
            return None
        if touched:
            watch.arm(touched)
        return touched | self._files.pending

    async def _follow(self, look: Callable[[], Iterator[Change]], take: Callable[[Change], None]) -> None:
        loop = asyncio.get_running_loop()
        pieces: list[Iterator[Change]] = []

        def begin() -> tuple[bool, Change | None]:
            pieces.append(look())
            whole = self._files.is_whole
            return whole, next(pieces[0], None)

        def go_on() -> Change | None:
            return next(pieces[0], None)

        def give_up() -> None:
            for each in pieces:
                each.close()  # type: ignore[attr-defined]

        try:
            self.whole, piece = await loop.run_in_executor(self._thread, begin)
            while piece is not None:
                take(piece)
                piece = await loop.run_in_executor(self._thread, go_on)
        except BaseException:
            with suppress(RuntimeError):  # the source is closed
                self._thread.submit(give_up)
            raise
