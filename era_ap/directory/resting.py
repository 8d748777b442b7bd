"""Which files of the directory are due to be read: those that changed and have come to rest since.

Owns what is remembered of each place between two looks (about 300 bytes) and the patience with files that are
being edited. Does not read files (``yaml_files``), and time is an argument, in monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from era_ap.directory.folder import MISSING, Listing, Place, Signature
from era_ap.directory.model import AccountKey
from era_ap.errors import Problem

RESTLESS = 10.0
"""Seconds after which a file that never rests is a problem."""


@dataclass(slots=True)
class Kept:
    """What is known of one place. ``content`` stands for what was read; ``in_service``: some version is."""

    loaded: Signature | None = None
    pending: Signature | None = None
    since: float = 0.0
    restless_since: float | None = None
    content: bytes = b""
    in_service: bool = False

    def rests(self, signature: Signature, now: float, settle: float) -> bool:
        """Whether the file differs from what was loaded and has looked like this for ``settle`` seconds."""
        if signature == self.loaded:
            self.pending = self.restless_since = None
            return False
        if signature != self.pending:
            self.pending, self.since = signature, now
        if self.restless_since is None:
            self.restless_since = now
        return now - self.since >= settle

    def settled(self, signature: Signature | None) -> None:
        """This is what was loaded; None: what is there could not be read."""
        self.loaded = signature
        self.pending = self.restless_since = None


@dataclass(slots=True)
class Due:
    """What one look found: files to read, places to forget, domains in which something does not rest yet."""

    files: list[tuple[Place, Signature]] = field(default_factory=list)
    gone: list[Place] = field(default_factory=list)
    pending: set[str] = field(default_factory=set)


class Resting:
    """Everything that was ever found in the folder, by place."""

    def __init__(self) -> None:
        self._kept: dict[Place, Kept] = {}
        self._problems: dict[Place, tuple[Problem, ...]] = {}
        self._restless: dict[Place, Signature] = {}

    def __getitem__(self, place: Place) -> Kept:
        return self._kept[place]

    def expect(self, listing: Listing) -> None:
        """Take everything in ``listing`` for resting, unless it looks different at the next look."""
        for place, signature in listing.found.items():
            self._kept[place] = Kept(pending=signature, since=float("-inf"))

    def look(self, listing: Listing, now: float, settle: float, domains: Collection[str] | None) -> Due:
        """Compare with what is there now; of other domains than ``domains`` nothing is known."""
        due = Due()
        for place, signature in listing.found.items():
            kept = self._kept.get(place)
            if kept is None:
                kept = self._kept[place] = Kept()
            if kept.rests(signature, now, settle):
                due.files.append((place, signature))
                self._restless.pop(place, None)
            elif kept.restless_since is not None:
                due.pending.add(domain_of(place))
                if now - kept.restless_since > RESTLESS:
                    self._restless[place] = signature
            elif self._restless:
                self._restless.pop(place, None)
        for place in self._missing(listing, domains):
            kept = self._kept[place]
            if kept.rests(MISSING, now, settle):
                due.gone.append(place)
            else:
                due.pending.add(domain_of(place))
        return due

    def forget(self, place: Place) -> bool:
        """Forget a place that is gone; whether a version of it was in service."""
        self._problems.pop(place, None)
        self._restless.pop(place, None)
        return self._kept.pop(place).in_service

    def complain(self, place: Place, problems: tuple[Problem, ...]) -> None:
        """Note the findings about a place, in place of older ones."""
        if problems:
            self._problems[place] = problems
        else:
            self._problems.pop(place, None)

    @property
    def problems(self) -> Iterator[Problem]:
        """All findings about files."""
        return (problem for problems in self._problems.values() for problem in problems)

    @property
    def restless(self) -> Iterable[Signature]:
        """The files that have not come to rest for long."""
        return self._restless.values()

    def _missing(self, listing: Listing, domains: Collection[str] | None) -> list[Place]:
        known = self._kept if domains is None else [each for each in self._kept if domain_of(each) in domains]
        if len(listing.found) == len(self._kept):
            return []  # what was found is all known by now
        return [place for place in known if place not in listing.found and listing.knows(place)]


def domain_of(place: Place) -> str:
    """The domain that a place belongs to."""
    return place.domain if isinstance(place, AccountKey) else place
