"""When to send again, and when to give up: the clockwork that both directions of a transfer share.

Owns the time limits of a transfer and the estimate of the round trip (RFC 6298 in spirit, with Karn's rule
left to the caller, who knows what was sent twice). Reads no clock: time is an argument, in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Timing:
    """Time limits in seconds, counts in packets.

    ``first`` until the first measurement, then the measured round trip within ``floor`` and ``ceiling``.
    ``budget`` is the time without progress after which a peer is given up, ``unanswered_budget`` the same for
    a source that never answered; such a source gets at most ``unanswered_packets``. ``last_repeats`` bounds
    the repeats of the last packet, whose acknowledgement often is simply never sent.
    """

    first: float = 0.25
    floor: float = 0.05
    ceiling: float = 2.0
    budget: float = 30.0
    unanswered_budget: float = 15.0
    unanswered_packets: int = 3
    last_repeats: int = 4


_NEGLIGIBLE: Final = 0.2


class RoundTrip:
    """Retransmission time-out of one peer, in seconds.

    A negotiated ``timeout`` (RFC 2349) binds: it is then the time-out for good, ``fixed``. What does not take
    longer than ``negligible`` need not be measured: it cannot lift the time-out from where it is.
    """

    __slots__ = ("_deviation", "_doubted", "_timing", "fixed", "negligible", "smoothed", "timeout")

    def __init__(self, timing: Timing, negotiated: int | None) -> None:
        self._timing = timing
        self.fixed = negotiated is not None
        self._deviation = 0.0
        self._doubted = False
        self.smoothed: float | None = None
        self.negligible = -math.inf
        self.timeout = timing.first if negotiated is None else float(negotiated)

    def sample(self, seconds: float) -> None:
        """Take a measurement; never of a packet that was sent more than once (Karn)."""
        smoothed = self.smoothed
        self._doubted = False
        if smoothed is None:
            self.smoothed = seconds
            self._deviation = seconds / 2
        else:
            error = seconds - smoothed
            self.smoothed = smoothed + error / 8
            self._deviation += ((error if error > 0 else -error) - self._deviation) / 4
        if self.fixed:
            self.negligible = math.inf
        else:
            self.timeout = self._measured(self.smoothed)
            # With a sample of a fifth of it, neither the mean nor four deviations get beyond the floor.
            at_floor = self.timeout == self._timing.floor
            self.negligible = _NEGLIGIBLE * self.timeout if at_floor else -math.inf

    def unmeasured(self) -> None:
        """Something that was sent twice is acknowledged.

        Once, it was probably lost, and the time-out goes back to what was measured. Twice in a row, the round
        trip may have grown, and only the longer time-out can show it.
        """
        if not self.fixed and not self._doubted and self.smoothed is not None:
            self.timeout = self._measured(self.smoothed)
        self._doubted = True
        self.negligible = -math.inf

    def back_off(self, factor: float = 2.0) -> None:
        """Nothing came back in time: wait longer from now on, until something is measured."""
        if not self.fixed:
            self.timeout = min(self.timeout * factor, self._timing.ceiling)
            self.negligible = -math.inf

    def patience(self, seconds: float) -> float:
        """``seconds``, or as much more as a negotiated ``timeout`` needs for three tries."""
        return max(seconds, 3 * self.timeout) if self.fixed else seconds

    def _measured(self, smoothed: float) -> float:
        timing = self._timing
        timeout = smoothed + 4 * self._deviation
        return timing.floor if timeout < timing.floor else min(timeout, timing.ceiling)
