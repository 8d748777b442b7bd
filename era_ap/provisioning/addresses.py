"""What is known about host names: last good addresses, and when to ask again. Pure, time is an argument.

Owns the policy of ``[nslookup.NAME]`` (spec 6): a literal name is asked for in the background by its TTL, a
name built by placeholders on first use; the last good answer stays while name servers are away. Does not own
the asking (``era_ap.resolver``).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

TTL_FLOOR = 30.0
TTL_CEILING = 3600.0
RETRY_FIRST = 5.0
RETRY_CEILING = 60.0
NAMES_LIMIT = 1000
IDLE_SECONDS = 3600.0


@dataclass(slots=True)
class _Name:
    addresses: tuple[str, ...] = ()
    asked: bool = False
    due: float = 0.0
    failures: int = 0
    used: float = 0.0


class AddressBook:
    """Host names with their last good addresses; at most ``NAMES_LIMIT``, the longest unused goes first.

    Times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._names: OrderedDict[str, _Name] = OrderedDict()
        self._literal: frozenset[str] = frozenset()
        self._told: frozenset[str] = frozenset()

    def addresses(self, name: str) -> tuple[str, ...] | None:
        """Known addresses of ``name``; () when it was asked for in vain, None when it was never asked for."""
        known = self._names.get(name.lower().rstrip("."))
        return known.addresses if known is not None and known.asked else None

    def want(self, names: Iterable[str], now: float) -> None:
        """The literal names of the templates in service; they are kept fresh."""
        self._literal = frozenset(name.lower().rstrip(".") for name in names)
        for name in self._literal:
            self._entry(name, now)

    def need(self, names: Iterable[str], now: float) -> tuple[str, ...]:
        """Names built by placeholders: note their use and return those that were never asked for."""
        entries = {name.lower().rstrip("."): None for name in names}
        return tuple(name for name in entries if not self._entry(name, now).asked)

    def due(self, now: float) -> tuple[str, ...]:
        """Names to ask for now: literal ones by TTL, built ones while they are in use."""
        idle = [name for name, entry in self._names.items() if now - entry.used > IDLE_SECONDS]
        for name in idle:
            if name not in self._literal:
                del self._names[name]
        return tuple(name for name, entry in self._names.items() if entry.due <= now)

    def learn(self, name: str, addresses: tuple[str, ...], ttl: float, now: float) -> None:
        """An answer came; an empty one counts as a failure, so that the last good answer stays."""
        if not addresses:
            self.fail(name, now)
            return
        entry = self._entry(name, now)
        entry.addresses, entry.asked, entry.failures = addresses, True, 0
        entry.due = now + min(max(ttl, TTL_FLOOR), TTL_CEILING)

    def fail(self, name: str, now: float) -> None:
        """No answer came: ask again soon, less and less often."""
        entry = self._entry(name, now)
        entry.asked = True
        entry.due = now + min(RETRY_FIRST * 2**entry.failures, RETRY_CEILING)
        entry.failures = min(entry.failures + 1, 10)

    def news(self) -> tuple[str, ...]:
        """Literal names found to have no address since the last call; an operator should know."""
        without = frozenset(
            name for name, e in self._names.items() if name in self._literal and e.asked and not e.addresses
        )
        news = without - self._told
        self._told = without
        return tuple(sorted(news))

    def _entry(self, name: str, now: float) -> _Name:
        entry = self._names.get(name)
        if entry is None:
            entry = self._names[name] = _Name(due=now)
            if len(self._names) > NAMES_LIMIT:
                self._evict(name)
        entry.used = now
        self._names.move_to_end(name)
        return entry

    def _evict(self, newest: str) -> None:
        for name in self._names:
            if name != newest and name not in self._literal:
                del self._names[name]
                return
