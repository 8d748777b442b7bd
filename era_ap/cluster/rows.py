"""The own directory as rows of the MAC cache, by group and bucket, kept up to date change by change.

Owns what a leader publishes: exactly the MACs and domains that its group owns. A changed account costs its
own rows only: they are appended to the log of their buckets and folded in when a bucket is asked for.
Does not own the directory (``directory.index``) nor the groups (``responsibility``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from era_ap.cluster.buckets import (
    Bucket,
    Row,
    TooLargeError,
    bucket_of_domain,
    bucket_of_mac,
    pack,
    revision_digest,
)

if TYPE_CHECKING:
    from era_ap.directory.model import Account, AccountKey, Domain
    from era_ap.directory.packed import Entry
    from era_ap.directory.parts import Parts
    from era_ap.directory.source import Change

GroupOf = Callable[[str], int | None]
Place = tuple[int, int]
"""A group and the number of one of its buckets."""

NOBODY = 0
"""Stands for the group of domains that no group covers."""

FILLED = 200
"""Accounts that ``fill`` takes in a step: about a millisecond's worth."""

_RECORD = struct.Struct(">B6sIIIH")  # what, MAC, number of the domain, line, digest, length of the login
_PUT_ROW, _DROP_ROW, _PUT_SETTING, _DROP_SETTING = range(4)
_RESTARTS = 3


class Known(Protocol):
    """The directory as it is before a change."""

    def account(self, key: AccountKey) -> Account | None: ...

    def domain(self, name: str) -> Domain | None: ...


class RowTable:
    """All rows of one directory. ``group_of`` says which group owns a domain, None if none does; it is asked
    once for each.

    Those of domains without a group are under ``NOBODY``. ``left_out`` counts rows that found no place,
    because their bucket was full.
    """

    def __init__(self, group_of: GroupOf) -> None:
        self._group_of = group_of
        self._groups: dict[str, int] = {}
        self._slots: dict[Place, _Slot] = {}
        self._names = _Names()
        self.left_out = 0

    def regroup(self, group_of: GroupOf) -> None:
        """Ask ``group_of`` from now on; of all domains that there are it must say the same."""
        self._group_of = group_of
        self._groups.clear()

    def take(self, change: Change, known: Known) -> frozenset[Place]:
        """Take over ``change`` before it is applied to ``known``; says which buckets changed."""
        touched: set[Place] = set()
        for account in change.accounts:
            before = known.account(account.key)
            if before is None or before.revision != account.revision:
                rows = _rows_of(account)
                touched.update(self._drop_rows(account.key, before, rows))
                touched.update(map(self.put, rows.values()))
        for key in change.removed:
            touched.update(self._drop_rows(key, known.account(key), {}))
        for domain in change.domains:
            old = known.domain(domain.name)
            if old is None or old.revision != domain.revision:
                touched.add(self.put_setting(domain.name, revision_digest(domain.revision)))
        touched.update(map(self._drop_setting, change.removed_domains))
        return frozenset(touched)

    def put(self, row: Row) -> Place:
        """Note a row, also in place of an older one of that MAC and account; says where it belongs."""
        return self._append(_PUT_ROW, bucket_of_mac(row.mac), row)

    def put_setting(self, name: str, digest: int) -> Place:
        """Note the digest of a domain's settings; says where it belongs."""
        return self._append(_PUT_SETTING, bucket_of_domain(name), Row(0, name, "", 0, digest))

    def bucket(self, group: int, number: int) -> Bucket | None:
        """One bucket as it is now; None if it is empty."""
        slot = self._slots.get((group, number))
        if slot is None:
            return None
        if slot.log:
            self.left_out += slot.fold(self._names)
        return slot.bucket

    def _drop_rows(self, key: AccountKey, before: Account | None, rows: Mapping[int, Row]) -> Iterator[Place]:
        """Forget the MACs that an account had ``before`` and has no more."""
        for mac in _rows_of(before).keys() - rows.keys() if before is not None else ():
            yield self._append(_DROP_ROW, bucket_of_mac(mac), Row(mac, *key, 0, 0))

    def _drop_setting(self, name: str) -> Place:
        return self._append(_DROP_SETTING, bucket_of_domain(name), Row(0, name, "", 0, 0))

    def _append(self, what: int, number: int, row: Row) -> Place:
        group = self._groups.get(row.domain)
        if group is None:
            group = self._groups[row.domain] = self._group_of(row.domain) or NOBODY
        place = (group, number)
        slot = self._slots.get(place)
        if slot is None:
            slot = self._slots[place] = _Slot()
        slot.append(what, row, self._names)
        return place


def fill(table: RowTable, parts: Parts) -> Iterator[None]:
    """Note everything that is in a directory, ``FILLED`` accounts with each step.

    Changes may come between the steps, if ``table`` takes them too; no part may be replaced.
    """
    for part in parts:
        for name in sorted(part.names):
            if parts.having(name) is not part:
                continue
            domain = part.domains.get(name)
            if domain is not None:
                table.put_setting(name, revision_digest(domain.revision))
            for restart in range(_RESTARTS + 1):
                if (yield from _fill(table, name, part.accounts.entries(name), parts, restart == _RESTARTS)):
                    break
            yield


def _fill(
    table: RowTable, name: str, entries: Iterable[Entry], parts: Parts, at_once: bool
) -> Generator[None, None, bool]:
    """Note the accounts of one domain; False if something changed meanwhile: it must be done again."""
    begun = parts.changes
    for count, (login, revision, lines) in enumerate(entries, 1):
        digest = revision_digest(revision)
        lowest: dict[str, int] = {}
        for mac, line in lines:
            lowest[mac] = min(line, lowest.get(mac, line))
        for mac, line in lowest.items():
            table.put(Row(int(mac, 16), name, login, line, digest))
        if count % FILLED == 0 and not at_once:
            yield
            if parts.changes != begun:
                return False
    return True


class _Names:
    """Numbers for names, as long as the table lives."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
        return number

    def name(self, number: int) -> str:
        return self._names[number]


class _Slot:
    """One bucket of one group and what has changed since it was packed."""

    __slots__ = ("bucket", "log")

    def __init__(self) -> None:
        self.bucket: Bucket | None = None
        self.log = bytearray()

    def append(self, what: int, row: Row, names: _Names) -> None:
        login = row.login.encode()
        number = names.number(row.domain)
        self.log += _RECORD.pack(what, row.mac.to_bytes(6, "big"), number, row.line, row.digest, len(login))
        self.log += login

    def fold(self, names: _Names) -> int:
        """Pack the bucket anew; returns how many rows find no place in it."""
        rows, settings = {}, {}
        if self.bucket is not None:
            rows = {row[:3]: row for row in self.bucket.rows()}
            settings = self.bucket.settings()
        for what, row in _records(self.log, names):
            if what == _PUT_ROW:
                rows[row[:3]] = row
            elif what == _DROP_ROW:
                rows.pop(row[:3], None)
            elif what == _PUT_SETTING:
                settings[row.domain] = row.digest
            else:
                settings.pop(row.domain, None)
        self.log = bytearray()
        self.bucket, left_out = _fitting(sorted(rows.values()), settings)
        return left_out


def _records(log: bytearray, names: _Names) -> Iterator[tuple[int, Row]]:
    at = 0
    while at < len(log):
        what, mac, name, line, digest, length = _RECORD.unpack_from(log, at)
        at += _RECORD.size + length
        login = log[at - length : at].decode()
        yield what, Row(int.from_bytes(mac, "big"), names.name(name), login, line, digest)


def _rows_of(account: Account) -> dict[int, Row]:
    """The rows of one account, by MAC."""
    digest = revision_digest(account.revision)
    rows: dict[int, Row] = {}
    for device in account.devices:
        mac = int(device.mac, 16)
        if mac not in rows or device.line < rows[mac].line:
            rows[mac] = Row(mac, *account.key, device.line, digest)
    return rows


def _fitting(rows: list[Row], settings: Mapping[str, int]) -> tuple[Bucket | None, int]:
    """The bucket of as many rows as it can hold, and how many it cannot; None if there is nothing."""
    held = len(rows)
    while held or settings:
        try:
            return pack(rows[:held], settings), len(rows) - held
        except TooLargeError:
            if not held:
                break
            held = held * 9 // 10
    return None, len(rows)
