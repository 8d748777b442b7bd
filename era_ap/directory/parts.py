"""The parts of all sources side by side: whose a domain is, and which MACs are in more than one.

Owns the order of the sources (of a domain that several have, the first one's counts), whether each of them
has been loaded, and what is there twice. Does not own what a MAC's owners mean for a phone (``index``).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from era_ap.directory.part import Part
from era_ap.errors import Problem, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from era_ap.directory.model import AccountKey, Domain
    from era_ap.directory.source import Change

_NOTHING: frozenset[str] = frozenset()
_BATCH = 1000


@dataclass(slots=True, eq=False)
class _Slot:
    """The place of one source: its part in service, and the domains of it that an earlier source has too."""

    part: Part
    loaded: bool = False
    hidden: frozenset[str] = _NOTHING


class Parts:
    """The part of each source in service, by the source's name, in the order of the configuration.

    ``changes`` counts whatever may have changed what is told here.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self._slots = {name: _Slot(Part()) for name in sources}
        self._ordered = tuple(self._slots.values())
        self._domains: dict[str, Domain] = {}
        self.changes = 0

    def __iter__(self) -> Iterator[Part]:
        return (slot.part for slot in self._ordered)

    def __getitem__(self, source: str) -> Part:
        return self._slots[source].part

    @property
    def are_loaded(self) -> bool:
        """Whether every source has been loaded."""
        return all(slot.loaded for slot in self._ordered)

    def is_loaded(self, source: str) -> bool:
        """Whether a source has been loaded, without gaps."""
        return self._slots[source].loaded

    def having(self, domain: str) -> Part | None:
        """The part that a domain belongs to."""
        for slot in self._ordered:
            if domain in slot.part:
                return slot.part
        return None

    def domain(self, name: str) -> Domain | None:
        """The domain of that name; those in use are at hand, as every phone asks for its own."""
        domain = self._domains.get(name)
        if domain is None:
            part = self.having(name)
            domain = part.domains.get(name) if part is not None else None
            if domain is not None:
                self._domains[name] = domain
        return domain

    def owners(self, mac: str) -> tuple[AccountKey, ...]:
        """The accounts that list ``mac``, sorted; those of hidden domains do not count."""
        found: tuple[AccountKey, ...] = ()
        for slot in self._ordered:
            keys = slot.part.macs.owners(mac)
            if keys and slot.hidden:
                keys = tuple(key for key in keys if key.domain not in slot.hidden)
            found = tuple(sorted((*found, *keys))) if found and keys else found or keys
        return found

    def apply(self, change: Change, source: str) -> bool:
        """Take over a change; whether it had an effect."""
        slot = self._slots[source]
        names = slot.part.names if len(self._ordered) > 1 else None
        effective = slot.part.apply(change)
        slot.loaded = True
        self._domains.clear()
        self.changes += 1
        if names is not None and names != slot.part.names:
            self._hide()
        return bool(effective)

    def replace(self, part: Part, source: str, *, complete: bool) -> Part:
        """Put another part in the place of the one in service, which is returned."""
        slot = self._slots[source]
        before, slot.part = slot.part, part
        slot.loaded = complete
        self._domains.clear()
        self.changes += 1
        self._hide()
        return before

    def hidden(self) -> Iterator[Problem]:
        """The domains that several sources have."""
        for source, slot in self._slots.items():
            for name in sorted(slot.hidden):
                first = next(other for other, each in self._slots.items() if name in each.part)
                domain = slot.part.domains.get(name)
                detail = f"the domain {name} of {source} is in {first} too, which is the one that counts"
                yield Problem(Reason.DOMAIN_TWICE, domain.origin if domain else source, detail)

    def _hide(self) -> None:
        """Find out which domains of which source an earlier one has too."""
        earlier: set[str] = set()
        for slot in self._ordered:
            names = slot.part.names
            slot.hidden = frozenset(names & earlier)
            earlier |= names


class Macs:
    """All MACs of all parts, each once, in no order; and which of them may be claimed twice."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._crossing: set[str] = set()

    def __len__(self) -> int:
        again = sum(max(0, sum(mac in part.macs for part in self._parts) - 1) for mac in self._crossing)
        return sum(len(part.macs) for part in self._parts) - again

    def __iter__(self) -> Iterator[str]:
        for number, part in enumerate(self._parts):
            earlier = [each.macs for each in islice(self._parts, number)]
            for mac in part.macs:
                if not earlier or not any(mac in each for each in earlier):
                    yield mac

    def disputed(self) -> list[str]:
        """The MACs that several accounts may claim in a way that an operator should know of, sorted."""
        return sorted({mac for part in self._parts for mac in part.macs.disputed()} | self._crossing)

    def note(self, change: Change, source: str) -> None:
        """Note which MACs of a change other sources have too."""
        others = self._others(source)
        if others:
            self._note({device.mac for account in change.accounts for device in account.devices}, others)

    def crosscheck(self, source: str) -> Iterator[None]:
        """Note which MACs of a whole source others have too, about a millisecond's worth a step.

        To be run to its end once the source's part was replaced; other changes may come between the steps.
        """
        others = self._others(source)
        rest = iter(self._parts[source].macs if others else ())
        while macs := list(islice(rest, _BATCH)):
            self._note(macs, others)
            self._parts.changes += 1
            yield

    def _others(self, source: str) -> list[Part]:
        own = self._parts[source]
        return [part for part in self._parts if part is not own]

    def _note(self, macs: Iterable[str], others: list[Part]) -> None:
        self._crossing.update(mac for mac in macs if any(mac in part.macs for part in others))
