"""Whether a group's part of the MAC cache counts at this moment, beside what the own directory says.

Owns the rules: a part is *shown* while a living leader keeps it and sees its directory; it is *heeded* while
it is shown, and after that until the own directory was looked at again, which then knows better. So with
ZooKeeper away the last known cache counts exactly as long as there is nothing newer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from era_ap.cluster.contract import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from era_ap.cluster.contract import Ensemble
    from era_ap.cluster.coordinator import Coordinator
    from era_ap.cluster.view import Term
    from era_ap.directory.index import DirectoryIndex

LATE_SECONDS = 2.0
"""By then a change of the directory is published: what a look later than that does not find is not there."""

SEES_SECONDS = 15.0
"""A leader whose directory has not answered for so long says so; the others then look for themselves."""


@dataclass(frozen=True, slots=True)
class Directory:
    """What the cache needs of the own directory: ``index``, and when all sources ``looked`` last with success
    (seconds of ``clock``; None: never since the start).
    """

    index: DirectoryIndex
    looked: Callable[[], float | None]
    clock: Callable[[], float]

    def sees(self) -> bool | None:
        """Whether the directory answers; None if it never did."""
        looked = self.looked()
        return None if looked is None else self.clock() - looked < SEES_SECONDS


class Shows(Protocol):
    """A group's part as it is held."""

    def shows(self, term: Term | None) -> bool: ...


class Heeding:
    """Judges the ``parts`` of all groups; ``note`` is to be called now and then, and after changes.

    ``leads`` is the group that this instance leads, None if none. ``turns`` counts the changes noted.
    """

    def __init__(
        self, ensemble: Ensemble, coordinator: Coordinator, parts: Mapping[int, Shows], directory: Directory
    ) -> None:
        self.leads: int | None = None
        self.turns = 0
        self._ensemble = ensemble
        self._coordinator = coordinator
        self._parts = parts
        self._directory = directory
        self._shown_at: dict[int, float] = {}
        self._before: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())

    def is_shown(self, group: int) -> bool:
        """Whether a living leader keeps this part and sees its directory, and all of it is here."""
        part = self._parts.get(group)
        if part is None or self._ensemble.state is not SessionState.CONNECTED:
            return False
        return part.shows(self._coordinator.leaders.get(group))

    def is_followed(self, group: int) -> bool:
        """Whether another instance keeps this part, so that we may learn from it."""
        return group != self.leads and self.is_shown(group)

    def follows_all(self) -> bool:
        """Whether other instances keep all parts, so that they tell us of every change."""
        return bool(self._parts) and all(map(self.is_followed, self._parts))

    def is_heeded(self, group: int) -> bool:
        """Whether what this part says of a MAC counts."""
        looked = self._directory.looked()
        if looked is None or self.is_shown(group):
            return True
        return looked < self._shown_at.get(group, float("-inf")) + LATE_SECONDS

    def note(self) -> bool:
        """Remember which parts are followed and heeded now; whether these are others than before."""
        shown = [group for group in self._parts if self.is_shown(group)]
        self._shown_at.update(dict.fromkeys(shown, self._directory.clock()))
        now = frozenset(filter(self.is_followed, shown)), frozenset(filter(self.is_heeded, self._parts))
        before, self._before = self._before, now
        self.turns += before != now
        return before != now

    def age(self, group: int) -> float | None:
        """Seconds since the part was shown last, None if that was never."""
        if self.is_shown(group):
            return 0.0
        at = self._shown_at.get(group)
        return None if at is None else self._directory.clock() - at
