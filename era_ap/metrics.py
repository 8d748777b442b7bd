"""Plain counters of what the daemon does, cheap enough for every request: well below a microsecond each.

Owns the numbers and the buckets of distributions. Their names, units and labels for Prometheus are
``monitoring``'s, which reads them when it is asked. No clock, no library, no global state.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

TRANSPORTS: Final = ("tftp", "http", "https", "pnp")
REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
RENDER_SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
LAG_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Distribution:
    """How often values fell below each of ``bounds`` (ascending), and their sum."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """The cumulative counts as Prometheus wants them: upper bound and how many were not above it."""
        names = (*map(str, self._bounds), "+Inf")
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))


class Traffic:
    """The requests of one transport: by the code of their reason, octets of files, retransmissions, time."""

    __slots__ = ("received", "requests", "retransmits", "seconds", "sent")

    def __init__(self) -> None:
        self.requests = {reason.code: 0 for reason in Reason}
        self.sent = 0
        self.received = 0
        self.retransmits = 0
        self.seconds = Distribution(REQUEST_SECONDS)

    def note(self, code: str, seconds: float, sent: int = 0, received: int = 0, retransmits: int = 0) -> None:
        """One request has ended; ``code`` is its reason's."""
        self.requests[code] += 1
        self.sent += sent
        self.received += received
        self.retransmits += retransmits
        self.seconds.observe(seconds)


class Counts:
    """All counters of a process. ``rendered`` takes the time each filling of a template took, in seconds,
    ``lag`` how late the event loop was.
    """

    __slots__ = ("lag", "rendered", "traffic")

    def __init__(self) -> None:
        self.traffic = {transport: Traffic() for transport in TRANSPORTS}
        self.rendered = Distribution(RENDER_SECONDS)
        self.lag = Distribution(LAG_SECONDS)
