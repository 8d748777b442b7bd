"""How late the event loop is: whoever is held up cannot say so, but says afterwards that it was.

Owns the measuring, ten times a second, and the memory of the worst of the last seconds. Knows no remedy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_SECONDS: Final = 0.1
REMEMBERED_SECONDS: Final = 10.0


class LoopLag:
    """``observe`` gets each measurement in seconds."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._worst: deque[tuple[float, float]] = deque()
        self._due = 0.0
        self._call: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure from now on."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + EVERY_SECONDS
        self._call = loop.call_at(self._due, self._measure, loop)

    def stop(self) -> None:
        """Measure no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def worst(self, now: float) -> float:
        """The longest delay of the last ``REMEMBERED_SECONDS`` before ``now`` (monotonic), in seconds."""
        while self._worst and self._worst[0][0] < now - REMEMBERED_SECONDS:
            self._worst.popleft()
        return self._worst[0][1] if self._worst else 0.0

    def _measure(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        lag = max(0.0, now - self._due)
        self._observe(lag)
        self.note(lag, now)
        self._due = now + EVERY_SECONDS
        self._call = loop.call_at(self._due, self._measure, loop)

    def note(self, lag: float, now: float) -> None:
        """Remember a delay found at ``now``; of those that follow each other only what may be the worst."""
        self.worst(now)
        while self._worst and self._worst[-1][1] <= lag:
            self._worst.pop()
        self._worst.append((now, lag))
