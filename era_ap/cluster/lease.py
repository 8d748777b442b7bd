"""The right to act as leader, as a deadline that needs no word from anybody to end.

A leader commits a heartbeat again and again and may act for a while after it *sent* the last one that was
committed. Who follows it knows when it saw that heartbeat, has none come between in the transaction by which
it takes over, and waits until the right has ended: however slow servers are to end a session, or quick.
Owns this arithmetic and the check for gaps in time. Times are of a clock that runs while the host sleeps.
"""

from __future__ import annotations

from typing import Final

BEAT_SHARE: Final = 1 / 6
"""Of the session timeout: the pause between two heartbeats."""

LEASE_SHARE: Final = 2 / 3
"""Of the session timeout: how long the right lasts after a heartbeat was sent."""

SILENT_SHARE: Final = 1 / 2
"""Of the session timeout: after so long without a heartbeat one looks more often for a leader."""

SEIZE_SHARE: Final = 3 / 2
"""Of the session timeout: after so long without a heartbeat the leader node is taken from its holder. The
session of a process that hangs, or a node that the servers forgot to remove, may last for ever.
"""

GAP_SHARE: Final = 1 / 3
"""Of the session timeout: who did not run for so long was frozen, and waits for a new heartbeat."""

WAIT_FACTOR: Final = 1.05
"""How much longer than the right lasts its successor waits: no two clocks run alike."""


class Lease:
    """What heartbeats are worth; times in seconds. Without any there is no right."""

    def __init__(self, now: float) -> None:
        self.until = now
        self._valid_from = now
        self._seen = now
        self._gap = 0.0

    def alive(self, now: float, session_seconds: float) -> None:
        """The process runs; if it did not for too long, heartbeats of before count no more."""
        self._gap = GAP_SHARE * session_seconds
        if now - self._seen > self._gap:
            self.drop(now)
        self._seen = now

    def renew(self, sent_at: float, seconds: float) -> None:
        """A heartbeat sent at ``sent_at`` was committed and is good for ``seconds``."""
        if sent_at >= self._valid_from:
            self.until = max(self.until, sent_at + seconds)

    def drop(self, now: float) -> None:
        """The right ends; only heartbeats sent from now on count."""
        self.until = self._valid_from = now

    def runs(self, now: float) -> bool:
        """Whether the right lasts and the process was not frozen a moment ago."""
        return now < self.until and now - self._seen <= self._gap
