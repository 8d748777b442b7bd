"""From a MAC to the accounts that list it, for a million MACs in little memory.

Owns the packed form (about 60 bytes a MAC) and the knowledge which MACs several accounts claim. Does not own
the accounts (``packed``) nor what a claim of two domains means for a phone (``index``).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from era_ap.directory.model import AccountKey

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARDS = 1021
"""Sorted lists that the MACs are spread over; a prime, as vendors hand out MACs in steps."""

_MAC = 6
_DOMAIN = 3
_OWNER = _MAC + _DOMAIN
_LINE = b"\0"  # stands in no login
_PAST = b"\xff" * _DOMAIN  # behind every owner of a MAC


class MacIndex:
    """MAC to account keys, each with the line it is on: MAC, number of the domain and login in one ``bytes``.

    MACs are given and returned as 12 lower-case hex digits. Not for use from several threads.
    """

    def __init__(self) -> None:
        self._shards: list[list[bytes]] = [[] for _ in range(SHARDS)]
        self._macs = 0
        self._disputed: set[bytes] = set()
        self._domains = _Names()

    def __len__(self) -> int:
        return self._macs

    def __iter__(self) -> Iterator[str]:
        for shard in self._shards:
            before = b""
            for entry in tuple(shard):
                mac = entry[:_MAC]
                if mac != before:
                    yield mac.hex()
                before = mac

    def __contains__(self, mac: str) -> bool:
        return bool(self._entries(mac))

    def owners(self, mac: str) -> tuple[AccountKey, ...]:
        """The accounts that list ``mac``, sorted; empty if none does or if it is no MAC."""
        entries = self._entries(mac)
        if len(entries) < 2:
            return (self._key(entries[0]),) if entries else ()
        return tuple(sorted({self._key(entry) for entry in entries}))

    def disputed(self) -> Iterator[str]:
        """The MACs that accounts of several domains list, or several accounts for the same line; sorted."""
        return (mac.hex() for mac in sorted(self._disputed))

    def add(self, mac: str, key: AccountKey, line: int = 1) -> None:
        """Note that account ``key`` lists ``mac`` for ``line``; no effect if noted already."""
        prefix = bytes.fromhex(mac)
        shard = self._shards[int.from_bytes(prefix) % SHARDS]
        entry = _entry(prefix, self._domains.number(key.domain), key.login, line)
        at = bisect_left(shard, entry)
        if at < len(shard) and shard[at] == entry:
            return
        shard.insert(at, entry)
        if (at and shard[at - 1].startswith(prefix)) or (
            at + 1 < len(shard) and shard[at + 1].startswith(prefix)
        ):
            self._judge(prefix)
        else:
            self._macs += 1

    def remove(self, mac: str, key: AccountKey, line: int = 1) -> None:
        """Forget that account ``key`` lists ``mac`` for ``line``; no effect if it did not."""
        prefix = bytes.fromhex(mac)
        shard = self._shards[int.from_bytes(prefix) % SHARDS]
        entry = _entry(prefix, self._domains.number(key.domain), key.login, line)
        at = bisect_left(shard, entry)
        if at == len(shard) or shard[at] != entry:
            return
        del shard[at]
        if not self._judge(prefix):
            self._macs -= 1

    def dissolve(self) -> Iterator[None]:
        """Free everything, a little with each step; not to be used any more."""
        while self._shards:
            self._shards.pop()
            yield

    def _entries(self, mac: str) -> list[bytes]:
        try:
            prefix = bytes.fromhex(mac)
        except ValueError:
            return []
        if len(prefix) != _MAC:
            return []
        shard = self._shards[int.from_bytes(prefix) % SHARDS]
        at = bisect_left(shard, prefix)
        end = bisect_left(shard, prefix + _PAST, at)
        return shard[at:end]

    def _judge(self, prefix: bytes) -> int:
        """Find out whether the owners of a MAC get along; how many entries it has."""
        entries = self._entries(prefix.hex())
        lines = [entry.partition(_LINE)[2] for entry in map(_tail, entries)]
        several = len({entry[_MAC:_OWNER] for entry in entries}) > 1
        if several or len(set(lines)) < len(lines):
            self._disputed.add(prefix)
        else:
            self._disputed.discard(prefix)
        return len(entries)

    def _key(self, entry: bytes) -> AccountKey:
        login = entry[_OWNER:].partition(_LINE)[0].decode()
        return AccountKey(self._domains.name(entry[_MAC:_OWNER]), login)


class _Names:
    """Names of domains as numbers of a fixed width."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, bytes] = {}

    def number(self, name: str) -> bytes:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names).to_bytes(_DOMAIN)
            self._names.append(name)
        return number

    def name(self, number: bytes) -> str:
        return self._names[int.from_bytes(number)]


def _entry(prefix: bytes, number: bytes, login: str, line: int) -> bytes:
    owner = prefix + number + login.encode()
    return owner if line == 1 else owner + _LINE + line.to_bytes(3)


def _tail(entry: bytes) -> bytes:
    return entry[_OWNER:]
