"""The directory in local state: blocks of accounts as they are in memory, domains, and where each source was.

Owns the form of these rows, what of them has changed, and making a part of them again. Does not own the file
(``state_file``) nor when it is written (``state``).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.directory.model import read_domain
from era_ap.directory.part import Part
from era_ap.state_file import Batch, Data, Key, Loaded, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.directory.feed import DirectoryFeed
    from era_ap.directory.model import Domain
    from era_ap.directory.source import Source

BLOCK, DOMAIN, SOURCE = "block", "domain", "source"
AGE_SECONDS = 60.0
"""How often it is noted that a source has been seen unchanged."""


@dataclass(frozen=True, slots=True)
class SavedSource:
    """What an earlier process knew of a source at ``at`` (seconds since 1970); ``complete``: without gaps."""

    part: Part
    at: float
    cursor: str | None
    complete: bool


def restore(loaded: Loaded, source: str) -> SavedSource | None:
    """What is saved of ``source``, None if nothing; takes its rows. Computes for long; for a thread."""
    shelves = [Shelf(kind, source) for kind in (SOURCE, DOMAIN, BLOCK)]
    rows, domains, blocks = (loaded.rows.pop(shelf, {}) for shelf in shelves)
    part, complete = Part(), not loaded.damaged.intersection(shelves)
    try:
        at, cursor, was_complete = json.loads(rows[""])
        at = float(at)
        for name in sorted(domains):
            part.domains[name] = _read_domain(name, domains.pop(name))
        for name in sorted(blocks, key=_place):
            part.adopt(_place(name), blocks.pop(name))
    except (ValueError, KeyError, TypeError):
        return None
    complete = complete and was_complete is True
    return SavedSource(part, at, cursor if complete else None, complete)


class DirectoryKeeper:
    """Tells local state what has changed in the index of ``feed``; ``wall`` gives seconds since 1970."""

    def __init__(self, feed: DirectoryFeed, wall: Callable[[], float] = time.time) -> None:
        self._feed = feed
        self._wall = wall
        self._kept: dict[str, Part] = {}
        self._noted: dict[str, tuple[str | None, bool, float]] = {}
        self._strangers: set[Shelf] = set()

    def restored(self, source: Source, saved: SavedSource) -> None:
        """``saved`` is what local state has of ``source``, and what is in service now."""
        self._kept[source.name] = saved.part

    def forget(self, loaded: Loaded) -> None:
        """What is left of ``loaded`` is of sources that there are no more."""
        self._strangers = {shelf for shelf in loaded.rows if shelf.kind in (BLOCK, DOMAIN, SOURCE)}

    def __call__(self, everything: bool) -> Batch:
        batch = Batch(whole=self._strangers)
        self._strangers = set()
        looks = self._feed.looks
        for source, look in zip(self._feed.sources, looks.values(), strict=True):
            part = self._feed.index.parts[source.name]
            seen = look.good_at if look.good_at is not None else look.restored_at
            if seen is None:
                continue
            self._add_part(batch, source.name, part, everything)
            at = self._wall() - (time.monotonic() - seen)
            self._add_source(batch, source, at, everything)
        return batch

    def _add_part(self, batch: Batch, name: str, part: Part, everything: bool) -> None:
        whole = everything or self._kept.get(name) is not part
        blocks = part.accounts.touched(everything=whole)
        domains = set(part.domains) if whole else part.touched_domains
        part.touched_domains = set()
        for (domain, first), image in blocks.items():
            batch.rows[Key(BLOCK, name, f"{domain}/{first.hex()}")] = (
                image.data if image is not None else None
            )
        for each in domains:
            known = part.domains.get(each)
            batch.rows[Key(DOMAIN, name, each)] = _domain_data(known) if known is not None else None
        if whole:
            batch.whole |= {Shelf(BLOCK, name), Shelf(DOMAIN, name)}
        self._kept[name] = part

    def _add_source(self, batch: Batch, source: Source, at: float, everything: bool) -> None:
        complete = self._feed.index.parts.is_loaded(source.name)
        cursor, was_complete, noted = self._noted.get(source.name, (None, False, 0.0))
        if everything or (cursor, was_complete) != (source.cursor, complete) or at - noted >= AGE_SECONDS:
            self._noted[source.name] = (source.cursor, complete, at)
            row = json.dumps([round(at, 3), source.cursor, complete])
            batch.rows[Key(SOURCE, source.name, "")] = row.encode()


def _place(name: str) -> tuple[str, bytes]:
    domain, _, first = name.partition("/")
    return domain, bytes.fromhex(first)


def _domain_data(domain: Domain) -> Data:
    return lambda: json.dumps([domain.revision, domain.origin, domain.settings]).encode()


def _read_domain(name: str, data: bytes) -> Domain:
    revision, origin, settings = json.loads(data)
    domain, _ = read_domain(name, {"settings": settings}, origin=origin, revision=revision)
    if domain is None:
        raise ValueError(f"no domain: {name}")
    return domain
