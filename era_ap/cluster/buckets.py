"""One bucket of the MAC cache: which accounts list the MACs that hash to it, and its domains' settings.

Owns the hash, the packed form of a bucket in memory (columns, searched in place) and the check of bytes that
claim to be one: damaged or hostile ones raise ``DamagedError``, never anything else. Does not own the form
in ZooKeeper (``sealing``), which buckets there are (``picture``) nor where rows come from (``rows``).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from era_ap.directory.model import AccountKey

BUCKETS = 1024
MAX_PAYLOAD = 900_000
"""Bytes of a bucket before compression. ZooKeeper takes nodes below 1 MiB, so what does not compress fits."""

DIGEST_BYTES = 8
EMPTY = bytes(DIGEST_BYTES)
"""The digest of a bucket that is not there."""

_SPREAD = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: neighbours and regular steps spread well
_HEADER = struct.Struct(">IHH")  # rows, names, settings
_MAC = 6


class DamagedError(Exception):
    """Bytes that are no bucket or index: damaged, made by a newer version, or made to do harm."""


class TooLargeError(Exception):
    """More rows than a bucket can hold."""


class Row(NamedTuple):
    """An account that lists a MAC. ``line`` is the lowest of its lines there, ``digest`` 32 bits of its
    revision: they differ when the account does.
    """

    mac: int
    domain: str
    login: str
    line: int
    digest: int

    @property
    def key(self) -> AccountKey:
        """The account."""
        return AccountKey(self.domain, self.login)


def bucket_of_mac(mac: int) -> int:
    """The bucket that holds a MAC, given as a number."""
    return (mac * _SPREAD & 0xFFFFFFFFFFFFFFFF) >> 54


def bucket_of_domain(name: str) -> int:
    """The bucket that holds the settings of a domain."""
    return zlib.crc32(name.encode()) & (BUCKETS - 1)


def revision_digest(revision: str) -> int:
    """32 bits that differ when the revision of an account or a domain does."""
    return zlib.crc32(revision.encode())


@dataclass(frozen=True, slots=True)
class _Layout:
    """How many rows, domain names and settings a bucket has, and where its columns begin."""

    rows: int
    names: int
    settings: int
    owners: int  # of each row: the number of its domain's name
    lines: int
    digests: int
    lengths: int  # of each row: bytes of its login
    setting_owners: int
    setting_digests: int
    name_lengths: int
    texts: int  # names, then logins

    @classmethod
    def of(cls, rows: int, names: int, settings: int) -> _Layout:
        widths = (_MAC * rows, 2 * rows, 4 * rows, 4 * rows, 2 * rows, 2 * settings, 4 * settings, names)
        _, *starts = accumulate(widths, initial=_HEADER.size)
        return cls(rows, names, settings, *starts)


class Bucket:
    """Rows sorted by MAC, domain and login, and the settings' digests of domains, by name. Immutable.

    Equal content gives equal bytes (``payload``), hence an equal ``digest``, on every instance.
    """

    __slots__ = ("_layout", "_logins", "digest", "macs", "payload")

    def __init__(self, payload: bytes, layout: _Layout) -> None:
        self.payload = payload
        self.digest = hashlib.blake2b(payload, digest_size=DIGEST_BYTES).digest()
        self._layout = layout
        self._logins = layout.texts + sum(self._name_lengths())
        self.macs = len({self._mac(place) for place in range(layout.rows)})

    @property
    def count(self) -> int:
        """The number of rows."""
        return self._layout.rows

    def owners(self, mac: int) -> tuple[Row, ...]:
        """The rows of one MAC, sorted; empty if it is not here."""
        wanted, count = mac.to_bytes(_MAC, "big"), self._layout.rows
        first = bisect_left(range(count), wanted, key=self._mac)
        found = []
        while first < count and self._mac(first) == wanted:
            found.append(self._row(first))
            first += 1
        return tuple(found)

    def rows(self) -> Iterator[Row]:
        """All rows, in order."""
        payload, layout, count = self.payload, self._layout, self._layout.rows
        names = self.domains()
        macs = (int.from_bytes(self._mac(place), "big") for place in range(count))
        owners = struct.unpack_from(f">{count}H", payload, layout.owners)
        lines = struct.unpack_from(f">{count}I", payload, layout.lines)
        digests = struct.unpack_from(f">{count}I", payload, layout.digests)
        ends = accumulate(self._login_lengths(count), initial=self._logins)
        logins = (payload[begin:end].decode() for begin, end in pairwise(ends))
        return map(Row, macs, map(names.__getitem__, owners), logins, lines, digests)

    def settings(self) -> dict[str, int]:
        """The digest of each domain's settings."""
        layout, count = self._layout, self._layout.settings
        owners = struct.unpack_from(f">{count}H", self.payload, layout.setting_owners)
        digests = struct.unpack_from(f">{count}I", self.payload, layout.setting_digests)
        return dict(zip(map(self.domains().__getitem__, owners), digests, strict=True))

    def _mac(self, place: int) -> bytes:
        at = _HEADER.size + place * _MAC
        return self.payload[at : at + _MAC]

    def _row(self, place: int) -> Row:
        payload, layout = self.payload, self._layout
        (owner,) = struct.unpack_from(">H", payload, layout.owners + 2 * place)
        (line,) = struct.unpack_from(">I", payload, layout.lines + 4 * place)
        (digest,) = struct.unpack_from(">I", payload, layout.digests + 4 * place)
        *before, length = self._login_lengths(place + 1)
        begin = self._logins + sum(before)
        login = payload[begin : begin + length].decode()
        lengths = self._name_lengths()
        begin = layout.texts + sum(lengths[:owner])
        name = payload[begin : begin + lengths[owner]].decode()
        return Row(int.from_bytes(self._mac(place), "big"), name, login, line, digest)

    def _login_lengths(self, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f">{count}H", self.payload, self._layout.lengths)

    def _name_lengths(self) -> bytes:
        return self.payload[self._layout.name_lengths : self._layout.texts]

    def domains(self) -> list[str]:
        """All domains that rows or settings are of, sorted."""
        ends = accumulate(self._name_lengths(), initial=self._layout.texts)
        return [self.payload[begin:end].decode() for begin, end in pairwise(ends)]


def pack(rows: Iterable[Row], settings: Mapping[str, int]) -> Bucket:
    """The bucket of these rows, in any order, and these domains' settings; raises ``TooLargeError``."""
    ordered = sorted(rows)
    names = sorted({row.domain for row in ordered} | settings.keys())
    if len(names) > 0xFFFF:
        raise TooLargeError(f"{len(names)} domains")
    number = {name: place for place, name in enumerate(names)}
    known = sorted(settings)
    count = len(ordered)
    named, logins = [name.encode() for name in names], [row.login.encode() for row in ordered]
    payload = b"".join((
        _HEADER.pack(count, len(names), len(known)),
        b"".join(row.mac.to_bytes(_MAC, "big") for row in ordered),
        struct.pack(f">{count}H", *(number[row.domain] for row in ordered)),
        struct.pack(f">{count}I", *(row.line for row in ordered)),
        struct.pack(f">{count}I", *(row.digest for row in ordered)),
        struct.pack(f">{count}H", *map(len, logins)),
        struct.pack(f">{len(known)}H", *(number[name] for name in known)),
        struct.pack(f">{len(known)}I", *(settings[name] for name in known)),
        bytes(map(len, named)),
        *named,
        *logins,
    ))  # fmt: skip
    if len(payload) > MAX_PAYLOAD:
        raise TooLargeError(f"{count} rows, {len(payload)} bytes")
    return Bucket(payload, _Layout.of(count, len(names), len(known)))


def unpack(payload: bytes) -> Bucket:
    """The bucket that ``payload`` is; raises ``DamagedError``.

    Every number is checked here, so that no later look-up can fail, whoever wrote the bytes.
    """
    try:
        layout = _Layout.of(*_HEADER.unpack_from(payload))
        if len(payload) > MAX_PAYLOAD or len(payload) < layout.texts:
            raise DamagedError("not as long as it says")
        bucket = Bucket(payload, layout)
        _check(bucket, layout)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise DamagedError(str(error)) from None
    return bucket


def _check(bucket: Bucket, layout: _Layout) -> None:
    rows = list(bucket.rows())
    settings = bucket.settings()
    names = bucket.domains()
    ends = bucket._logins + sum(bucket._login_lengths(layout.rows))
    if ends != len(bucket.payload):
        raise DamagedError("not as long as it says")
    if rows != sorted(rows) or names != sorted(set(names)) or len(settings) != layout.settings:
        raise DamagedError("not in order")
