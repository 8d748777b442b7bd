"""How a bucket and the index of the MAC cache are written to a node of ZooKeeper, and read back.

Owns the envelope: one byte of format, one of kind, then zlib. A reader that does not know the format says
so and keeps what it has, so that instances of two releases can live side by side. What is read is bounded
before it is inflated and raises ``DamagedError`` only. Does not own what is inside (``buckets``).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.cluster.buckets import (
    BUCKETS,
    DIGEST_BYTES,
    EMPTY,
    MAX_PAYLOAD,
    Bucket,
    DamagedError,
    unpack,
)

if TYPE_CHECKING:
    from era_ap.cluster.view import Term

FORMAT = 1
IN_FLUX = b"\xff" * DIGEST_BYTES
"""Stands for the digest of a bucket that is just being written, in a step too large for one transaction."""

_BUCKET, _INDEX = b"B"[0], b"I"[0]
_INDEX_HEAD = struct.Struct(">QQQBIII")
_SEES = 1
MAX_NODE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Index:
    """What a group's part of the cache is, as of one moment: who wrote it, and the digest of each bucket.

    ``term`` and ``epoch`` are the number and the zxid of the leader's term, ``written`` is the wall clock (ms
    since 1970). ``sees``: the leader's own directory answers, so that what is not here is not there either.
    """

    term: int
    epoch: int
    written: int
    sees: bool
    macs: int
    rows: int
    domains: int
    digests: tuple[bytes, ...]

    def is_of(self, term: Term) -> bool:
        """Whether the leader of ``term`` wrote it."""
        return (self.term, self.epoch) == (term.number, term.zxid)

    @property
    def complete(self) -> bool:
        """No bucket is just being written."""
        return IN_FLUX not in self.digests


NOTHING = (EMPTY,) * BUCKETS
"""The digests of a cache without any bucket."""


def seal_bucket(bucket: Bucket, level: int = 6) -> bytes:
    """The bucket as the data of a node; ``level`` is zlib's, 0 to 9."""
    return bytes((FORMAT, _BUCKET)) + zlib.compress(bucket.payload, level)


def open_bucket(data: bytes) -> Bucket:
    """The bucket that a node holds; raises ``DamagedError``."""
    return unpack(_open(data, _BUCKET, MAX_PAYLOAD))


def seal_index(index: Index) -> bytes:
    """The index as the data of a node."""
    counts = (index.macs, index.rows, index.domains)
    head = _INDEX_HEAD.pack(index.term, index.epoch, index.written, _SEES * index.sees, *counts)
    return bytes((FORMAT, _INDEX)) + zlib.compress(head + b"".join(index.digests))


def open_index(data: bytes) -> Index:
    """The index that a node holds; raises ``DamagedError``."""
    size = _INDEX_HEAD.size + BUCKETS * DIGEST_BYTES
    payload = _open(data, _INDEX, size)
    if len(payload) != size:
        raise DamagedError("not as long as it must be")
    term, epoch, written, flags, macs, rows, domains = _INDEX_HEAD.unpack_from(payload)
    digests = tuple(payload[at : at + DIGEST_BYTES] for at in range(_INDEX_HEAD.size, size, DIGEST_BYTES))
    return Index(term, epoch, written, bool(flags & _SEES), macs, rows, domains, digests)


def _open(data: bytes, kind: int, limit: int) -> bytes:
    """What is sealed in ``data``, never more than ``limit`` bytes of it."""
    if len(data) < 2 or len(data) > MAX_NODE:
        raise DamagedError(f"{len(data)} bytes")
    if data[0] != FORMAT:
        raise DamagedError(f"format {data[0]} is not known here")
    if data[1] != kind:
        raise DamagedError("another kind of node")
    inflating = zlib.decompressobj()
    try:
        payload = inflating.decompress(data[2:], limit + 1)
    except zlib.error as error:
        raise DamagedError(str(error)) from None
    if len(payload) > limit:
        raise DamagedError(f"more than {limit} bytes")
    if not inflating.eof or inflating.unused_data:
        raise DamagedError("cut short, or something follows")
    return payload
