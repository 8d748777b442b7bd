"""Phones that asked by PnP and that nobody here owns, remembered for whoever wants to take them in.

Owns a bounded memory: of too many, those not heard of for longest are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from era_ap.errors import Reason
    from era_ap.sip.pnp import Identity

MEMORY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Discovered:
    """A phone heard of: who it says it is, where, since when, how often, and why it got no answer.

    Times are seconds since the epoch; ``identity.mac`` is never empty.
    """

    identity: Identity
    address: str
    interface: str
    reason: Reason
    first_seen: float
    last_seen: float
    count: int = 1


class Sightings:
    """What was heard of phones without an answer; iterates from the newest to the oldest."""

    def __init__(self, limit: int = MEMORY) -> None:
        self._limit = limit
        self._phones: OrderedDict[str, Discovered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._phones)

    def __iter__(self) -> Iterator[Discovered]:
        return iter(list(reversed(self._phones.values())))

    def get(self, mac: str) -> Discovered | None:
        """The phone with that MAC."""
        return self._phones.get(mac)

    def note(self, seen: Discovered) -> None:
        """It was heard (again): the newest particulars count, the first time and the count are kept."""
        known = self._phones.pop(seen.identity.mac, None)
        if known is not None:
            seen = replace(seen, first_seen=known.first_seen, count=known.count + 1)
        self._phones[seen.identity.mac] = seen
        if len(self._phones) > self._limit:
            self._phones.popitem(last=False)

    def forget(self, mac: str) -> None:
        """It is owned by now."""
        self._phones.pop(mac, None)
