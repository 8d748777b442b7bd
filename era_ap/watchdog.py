"""Feeds systemd's watchdog from the event loop, as long as what a new process would do better is alive.

Owns the pace and the question. A storage, database or ZooKeeper that does not answer is no reason to starve
the watchdog: a new process would know less than this one and wait just as long.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from era_ap import systemd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import structlog


class Watchdog:
    """Calls ``tell`` every ``every`` seconds while each of ``alive`` (by name) says that it is."""

    def __init__(
        self,
        every: float,
        alive: Mapping[str, Callable[[], bool]],
        log: structlog.typing.FilteringBoundLogger,
        tell: Callable[[], None] = systemd.alive,
    ) -> None:
        self._every = every
        self._alive = alive
        self._log = log
        self._tell = tell
        self._dead: tuple[str, ...] = ()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Feed from now on."""
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Feed no more; systemd expects nothing once it was told that the process stops."""
        if self._task is not None:
            self._task.cancel()

    def look(self) -> None:
        """Feed once, if all is alive; what is not is logged when it changes."""
        dead = tuple(name for name, is_alive in self._alive.items() if not is_alive())
        if dead and dead != self._dead:
            self._log.error("not alive", what=list(dead), advice="systemd will start this instance anew")
        self._dead = dead
        if not dead:
            self._tell()

    async def _run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(self._every)
