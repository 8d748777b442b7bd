"""An event loop whose clock jumps to the next timer when nothing else is to do: hours pass in no time.

Only for coroutines that wait for each other and for timers, not for sockets or threads.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Selector(selectors.SelectSelector):
    """Waits for nothing, but says for how long it would have."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if timeout is None and not events:
            raise AssertionError("everybody waits for ever")
        if not events:
            self.waited += timeout or 0.0
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time`` begins at 1000 and passes only while everybody sleeps."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return 1000.0 + self._virtual.waited


def run(work: Coroutine[Any, Any, Result], limit: float = 3600.0) -> Result:
    """Run ``work`` to its end; fails if it takes more than ``limit`` virtual seconds."""

    async def limited() -> Result:
        async with asyncio.timeout(limit):
            return await work

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(limited())
