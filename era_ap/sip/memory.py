"""A bounded memory with an end of life for each entry: what was answered, recorded or heard of late.

Owns forgetting: too old or too many. Time is an argument, in seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """Values noted within the last ``seconds``; beyond ``limit`` the oldest are forgotten."""

    def __init__(self, seconds: float, limit: int) -> None:
        self._seconds = seconds
        self._limit = limit
        self._noted: OrderedDict[Hashable, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._noted)

    def get(self, key: Hashable, now: float) -> Value | None:
        """What was noted under ``key`` and is not too old."""
        found = self._noted.get(key)
        return found[1] if found is not None and now < found[0] else None

    def has(self, key: Hashable, now: float) -> bool:
        """Whether anything was noted under ``key`` and is not too old."""
        found = self._noted.get(key)
        return found is not None and now < found[0]

    def forget(self, key: Hashable) -> None:
        """Remember it no more, if it was."""
        self._noted.pop(key, None)

    def note(self, key: Hashable, value: Value, now: float) -> None:
        """Remember ``value``, in place of what was noted under ``key`` before."""
        noted = self._noted
        noted.pop(key, None)
        noted[key] = (now + self._seconds, value)
        while len(noted) > self._limit or next(iter(noted.values()))[0] <= now:
            noted.popitem(last=False)

    def take_all(self, now: float) -> list[Value]:
        """All that is not too old, oldest first; nothing is remembered any more."""
        taken = [value for until, value in self._noted.values() if now < until]
        self._noted.clear()
        return taken
