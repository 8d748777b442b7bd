"""The own directory as rows of the MAC cache, by group and bucket, kept up to date change by change.

Owns what a leader publishes: exactly the MACs and domains that its group owns. A changed account costs its
own rows only: they are appended to the log of their buckets and folded in when a bucket is asked for.
Does not own the directory (``directory.index``) nor the groups (``responsibility``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from era_ap.cluster.buckets import (
    BUCKETS,
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
    from era_ap.directory.source import Change
GroupOf = Callable[[str], int | None]
Place = tuple[int, int]
"""A group and the number of one of its buckets."""

NOBODY = 0
"""Stands for the group of domains that no group covers: their rows wait for one."""

_RECORD = struct.Struct(">B6sIIIH")  # what, MAC, number of the domain, line, digest, length of the login
_PUT_ROW, _DROP_ROW, _PUT_SETTING, _DROP_SETTING = range(4)


class Known(Protocol):
    """The directory as it is before a change."""

    def account(self, key: AccountKey) -> Account | None: ...

    def domain(self, name: str) -> Domain | None: ...


class _Slot:
    """One bucket of one group and what has changed since it was packed."""

    __slots__ = ("bucket", "log")

    def __init__(self) -> None:
        self.bucket: Bucket | None = None
        self.log = bytearray()


class RowTable:
    """All rows of one directory. ``group_of`` says which group owns a domain, None if none does.

    Those of domains without a group are under ``NOBODY``. ``left_out`` counts rows that found no place,
    because their bucket was full.
    """

    def __init__(self, group_of: GroupOf) -> None:
        self._groups = _Groups(group_of)
        self._slots: dict[Place, _Slot] = {}
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self.left_out = 0

    def take(self, change: Change, known: Known) -> frozenset[Place]:
        """Take over ``change`` before it is applied to ``known``; says which buckets changed."""
        touched: set[Place] = set()
        for account in change.accounts:
            before = known.account(account.key)
            if before is None or before.revision != account.revision:
                touched.update(self._take_account(account.key, before, account))
        for key in change.removed:
            touched.update(self._take_account(key, known.account(key), None))
        for domain in change.domains:
            old = known.domain(domain.name)
            if old is None or old.revision != domain.revision:
                digest = revision_digest(domain.revision)
                touched.update(self._take_setting(_PUT_SETTING, domain.name, digest))
        for name in change.removed_domains:
            touched.update(self._take_setting(_DROP_SETTING, name, 0))
        return frozenset(touched)

    def bucket(self, group: int, number: int) -> Bucket | None:
        """One bucket as it is now; None if it is empty."""
        slot = self._slots.get((group, number))
        if slot is None:
            return None
        if slot.log:
            self._fold(slot)
        return slot.bucket

    def regroup(self, group_of: GroupOf) -> Iterator[frozenset[Place]]:
        """Give all domains to the groups that own them now, a bucket with each step; yields what changed.

        Changes may be taken between the steps. One regrouping must be done before the next begins.
        """
        self._groups.change(group_of)
        for number in range(BUCKETS):
            yield self._regroup(number)
        self._groups.settle()

    def _regroup(self, number: int) -> frozenset[Place]:
        here = [(group, self.bucket(group, number)) for group in self._groups.known()]
        self._groups.changed = number + 1
        touched: set[Place] = set()
        for group, bucket in here:
            if bucket is None:
                continue
            for row in bucket.rows():
                if self._groups.of(row.domain, number) != group:
                    self._append((group, number), _DROP_ROW, row)
                    touched.update(self._put_row(row), [(group, number)])
            for name, digest in bucket.settings().items():
                if self._groups.of(name, number) != group:
                    self._append((group, number), _DROP_SETTING, Row(0, name, "", 0, 0))
                    touched.update(self._take_setting(_PUT_SETTING, name, digest), [(group, number)])
        return frozenset(touched)

    def _take_account(
        self, key: AccountKey, before: Account | None, after: Account | None
    ) -> Iterator[Place]:
        rows = _rows(after) if after is not None else {}
        gone = (_rows(before).keys() if before is not None else set()) - rows.keys()
        for mac in gone:
            place = self._place(key.domain, bucket_of_mac(mac))
            self._append(place, _DROP_ROW, Row(mac, *key, 0, 0))
            yield place
        for row in rows.values():
            yield from self._put_row(row)

    def _put_row(self, row: Row) -> Iterator[Place]:
        place = self._place(row.domain, bucket_of_mac(row.mac))
        self._append(place, _PUT_ROW, row)
        yield place

    def _take_setting(self, what: int, name: str, digest: int) -> Iterator[Place]:
        place = self._place(name, bucket_of_domain(name))
        self._append(place, what, Row(0, name, "", 0, digest))
        yield place

    def _place(self, domain: str, number: int) -> Place:
        return self._groups.of(domain, number), number

    def _append(self, place: Place, what: int, row: Row) -> None:
        slot = self._slots.get(place)
        if slot is None:
            slot = self._slots[place] = _Slot()
        name = self._numbers.get(row.domain)
        if name is None:
            name = self._numbers[row.domain] = len(self._names)
            self._names.append(row.domain)
        login = row.login.encode()
        slot.log += _RECORD.pack(what, row.mac.to_bytes(6, "big"), name, row.line, row.digest, len(login))
        slot.log += login

    def _fold(self, slot: _Slot) -> None:
        rows, settings = {}, {}
        if slot.bucket is not None:
            rows = {row[:3]: row for row in slot.bucket.rows()}
            settings = slot.bucket.settings()
        for what, row in self._records(slot.log):
            if what == _PUT_ROW:
                rows[row[:3]] = row
            elif what == _DROP_ROW:
                rows.pop(row[:3], None)
            elif what == _PUT_SETTING:
                settings[row.domain] = row.digest
            else:
                settings.pop(row.domain, None)
        slot.log = bytearray()
        slot.bucket, left_out = _fitting(sorted(rows.values()), settings)
        self.left_out += left_out

    def _records(self, log: bytearray) -> Iterator[tuple[int, Row]]:
        at = 0
        while at < len(log):
            what, mac, name, line, digest, length = _RECORD.unpack_from(log, at)
            at += _RECORD.size + length
            login = log[at - length : at].decode()
            yield what, Row(int.from_bytes(mac, "big"), self._names[name], login, line, digest)


class _Groups:
    """The group of each domain; while they change, buckets below ``changed`` follow the new assignment."""

    def __init__(self, group_of: GroupOf) -> None:
        self._group_of = group_of
        self._now: dict[str, int] = {}
        self._before = self._now
        self.changed = BUCKETS

    def of(self, domain: str, number: int) -> int:
        """The group whose bucket ``number`` holds what belongs to ``domain``."""
        group = self._now.get(domain)
        if group is None:
            group = self._now[domain] = self._group_of(domain) or NOBODY
        return group if number < self.changed else self._before.get(domain, group)

    def known(self) -> set[int]:
        """All groups that have domains, or had them before."""
        return {*self._now.values(), *self._before.values()}

    def change(self, group_of: GroupOf) -> None:
        """Follow another assignment from the buckets below ``changed`` on, which are none yet."""
        self._before, self._now, self._group_of, self.changed = self._now, {}, group_of, 0

    def settle(self) -> None:
        """The last bucket has changed."""
        self._before = self._now


def _rows(account: Account) -> dict[int, Row]:
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
