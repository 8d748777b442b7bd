"""A group's part of the MAC cache as one instance holds it, and what differs between two versions of it.

Owns the index and the buckets that belong to it, and which of them are still lacking. Does not fetch or
publish anything, and does not know whether the group's leader lives (``reader``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.cluster.buckets import BUCKETS, EMPTY, bucket_of_mac
from era_ap.cluster.sealing import IN_FLUX

if TYPE_CHECKING:
    from era_ap.cluster.buckets import Bucket, Row
    from era_ap.cluster.sealing import Index

MAX_BYTES = 512 * 1024 * 1024
"""Bytes that one picture may take: ten million MACs. What a hostile writer puts beyond is not held."""


@dataclass(frozen=True, slots=True)
class Difference:
    """MACs whose owners differ, and the domains whose accounts or settings do."""

    macs: frozenset[int] = frozenset()
    domains: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.macs or self.domains)


def difference(before: Bucket | None, after: Bucket | None) -> Difference:
    """What differs between two versions of one bucket; None is an empty one."""
    if digest_of(before) == digest_of(after):
        return Difference()
    rows = _rows(before) ^ _rows(after)
    settings = _settings(before) ^ _settings(after)
    domains = {row.domain for row in rows} | {name for name, _ in settings}
    return Difference(frozenset(row.mac for row in rows), frozenset(domains))


def digest_of(bucket: Bucket | None) -> bytes:
    """The digest of a bucket, ``EMPTY`` of none."""
    return bucket.digest if bucket is not None else EMPTY


def _rows(bucket: Bucket | None) -> set[Row]:
    return set(bucket.rows()) if bucket is not None else set()


def _settings(bucket: Bucket | None) -> set[tuple[str, int]]:
    return set(bucket.settings().items()) if bucket is not None else set()


class Picture:
    """The buckets of one group. ``index`` is None until one was read; ``revision`` grows with each change."""

    def __init__(self) -> None:
        self.index: Index | None = None
        self.buckets: list[Bucket | None] = [None] * BUCKETS
        self.bytes = 0
        self.revision = 0

    def owners(self, mac: int) -> tuple[Row, ...]:
        """The rows of one MAC, sorted."""
        bucket = self.buckets[bucket_of_mac(mac)]
        return bucket.owners(mac) if bucket is not None else ()

    def lacking(self) -> tuple[int, ...]:
        """The buckets that are not as the index says; those that are just being written are left out."""
        if self.index is None:
            return ()
        return tuple(
            number
            for number, (digest, bucket) in enumerate(zip(self.index.digests, self.buckets, strict=True))
            if digest not in (digest_of(bucket), IN_FLUX)
        )

    def put(self, number: int, bucket: Bucket | None) -> frozenset[str]:
        """Hold another version of a bucket; returns the domains in which it differs."""
        before = self.buckets[number]
        self.buckets[number] = bucket
        if digest_of(before) == digest_of(bucket):
            return frozenset()
        self.bytes += _size(bucket) - _size(before)
        self.revision += 1
        if before is not None and bucket is not None:
            return difference(before, bucket).domains
        only = before or bucket  # the same, but cheaper: much comes, or goes, at once
        return frozenset(only.domains()) if only is not None else frozenset()

    def room(self, number: int, bucket: Bucket) -> bool:
        """Whether ``bucket`` may be held in place of what is there."""
        return self.bytes - _size(self.buckets[number]) + _size(bucket) <= MAX_BYTES


def _size(bucket: Bucket | None) -> int:
    return len(bucket.payload) if bucket is not None else 0
