"""How soon to look again at a domain in which the own directory and the MAC cache differ.

At once, because somebody has just seen it change; then less and less often, because whoever differs for long
is not cured by looking. Asks no clock and looks at nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

FIRST_SECONDS = 0.25
MOST_SECONDS = 10.0


class _Wait(NamedTuple):
    since: float
    next: float
    pause: float


class Pace:
    """Remembers of each domain since when it differs and when it is to be looked at; times in seconds."""

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}

    def due(self, differing: Collection[str], now: float) -> frozenset[str]:
        """Those of ``differing`` to be looked at now. All others do not differ any more."""
        self._waits = {name: self._waits[name] for name in differing if name in self._waits}
        due = set()
        for name in differing:
            wait = self._waits.get(name)
            if wait is None:
                self._waits[name] = _Wait(now, now + FIRST_SECONDS, 2 * FIRST_SECONDS)
                due.add(name)
            elif wait.next <= now:
                pause = min(wait.pause, MOST_SECONDS)
                self._waits[name] = _Wait(wait.since, now + pause, 2 * pause)
                due.add(name)
        return frozenset(due)

    def hurry(self, names: Iterable[str], now: float) -> None:
        """Somebody has seen these change again: do not wait long."""
        for name in names:
            wait = self._waits.get(name)
            if wait is not None:
                soon = min(wait.next, now + FIRST_SECONDS)
                self._waits[name] = _Wait(wait.since, soon, 2 * FIRST_SECONDS)

    def pause(self, now: float) -> float | None:
        """Seconds until the next domain is due, None if none differs."""
        return max(0.0, min(wait.next for wait in self._waits.values()) - now) if self._waits else None

    def behind(self, seconds: float, now: float) -> frozenset[str]:
        """The domains that have differed for longer than ``seconds``."""
        return frozenset(name for name, wait in self._waits.items() if now - wait.since > seconds)
