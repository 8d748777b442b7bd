"""The folder of YAML files as a ``Source``: looked at in a thread of its own, handed over on the event loop.

Owns that thread, and a second look at what did not rest during the first. Does not own what a look finds
(``yaml_files``). A look that hangs on a dead mount keeps its one thread and nothing else.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from era_ap.directory.yaml_files import YamlFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from era_ap.directory.source import Change

PATIENCE = 0.02
"""Seconds past the time to settle: timers may be early."""


class YamlSource:
    """The source ``yaml:<root>``. ``files`` are those of ``root`` unless given."""

    def __init__(self, root: Path, files: YamlFiles | None = None) -> None:
        self.name = f"yaml:{root}"
        self.poll_seconds: float | None = None
        self.whole = True
        self.cursor: str | None = None
        self._files = files or YamlFiles(root)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="directory")

    def restore(self, cursor: str) -> None:
        """There are no cursors of this source; the first look reads everything."""

    def on_news(self, wake: Callable[[], None]) -> None:
        """Files tell nothing by themselves."""

    async def look(self, take: Callable[[Change], None], *, domains: Collection[str] | None = None) -> None:
        """See ``Source.look``; somebody who names domains has seen their files rest already."""
        files = self._files
        await self._follow(lambda: files.look(domains, hurry=domains is not None), take)
        pending = files.pending
        if pending and domains is None:
            await asyncio.sleep(files.settle + PATIENCE)
            await self._follow(lambda: files.look(pending), take)

    async def close(self) -> None:
        """Start no further look. One that hangs is left behind; only the end of the process frees it."""
        self._thread.shutdown(wait=False, cancel_futures=True)

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
            self._thread.submit(give_up)
            raise
