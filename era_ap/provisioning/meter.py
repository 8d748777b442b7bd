"""What one rendering has used of its budget (spec 6: expansions, output, computing time).

Owns the counting and the three refusals. Reads only the clock it is handed, and only now and then: a call
costs as much as an expansion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from era_ap.provisioning.scope import Budget

_CLOCK_EVERY: Final = 32


class Meter:
    """Counts for one file; the time runs from its making. ``expansions`` and ``size`` are to be read."""

    __slots__ = (
        "_clock",
        "_deadline",
        "_most_expansions",
        "_most_output",
        "_seconds",
        "expansions",
        "size",
    )

    def __init__(self, budget: Budget) -> None:
        self._clock = budget.clock
        self._seconds = budget.seconds
        self._deadline = budget.clock() + budget.seconds
        self._most_expansions = budget.expansions
        self._most_output = budget.output
        self.expansions = 0
        self.size = 0

    def step(self) -> None:
        """Count one expansion. Raises ``Refused`` (EXPANSION_LIMIT, TIME_LIMIT)."""
        self.expansions += 1
        if self.expansions % _CLOCK_EVERY == 0:
            self.check_clock()
        if self.expansions > self._most_expansions:
            raise Refused(Reason.EXPANSION_LIMIT, f"more than {self._most_expansions} expansions")

    def grow(self, characters: int) -> None:
        """Count output, where a character is at least one byte. Raises ``Refused`` (OUTPUT_LIMIT)."""
        self.size += characters
        if self.size > self._most_output:
            raise Refused(Reason.OUTPUT_LIMIT, f"more than {self._most_output} bytes")

    def takes(self, expansions: int, characters: int) -> bool:
        """Count all of them at once; False, and nothing is counted, where not all fit."""
        done, size = self.expansions + expansions, self.size + characters
        if done > self._most_expansions or size > self._most_output or self._clock() > self._deadline:
            return False
        self.expansions, self.size = done, size
        return True

    def check_size(self, size: int) -> None:
        """Refuse a finished file of ``size`` bytes if that is too much."""
        if size > self._most_output:
            raise Refused(Reason.OUTPUT_LIMIT, f"{size} bytes, more than {self._most_output}")

    def check_clock(self) -> None:
        """Raise ``Refused`` (TIME_LIMIT) once the time is used up."""
        if self._clock() > self._deadline:
            raise Refused(Reason.TIME_LIMIT, f"more than {self._seconds:g} s of computing")
