"""The directory in memory: accounts, domains, and from a MAC to the accounts that own it.

Owns the decision which accounts make up a phone and when they conflict (spec 4). Fed by changes, never asks
a back end. One million MACs is the design size, so ``MacIndex`` keeps packed owners, not objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from era_ap.directory.model import Account, AccountKey, Device, Domain
from era_ap.directory.source import Change
from era_ap.errors import Problem, Reason, Severity

__all__ = ["Change", "Conflict", "DirectoryIndex", "MacIndex", "Phone"]


@dataclass(frozen=True, slots=True)
class Phone:
    """A known phone and its lines in order: lowest line first, then lowest login; the first is primary."""

    mac: str
    lines: tuple[tuple[Account, Device], ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A MAC claimed by accounts of different domains: nothing is served. ``keys`` are sorted."""

    mac: str
    keys: tuple[AccountKey, ...]


class MacIndex:
    """MAC to account keys, about 120 bytes a MAC: the MAC as int, each owner as domain number and login.

    MACs are given and returned as 12 lower-case hex digits. Not for use from several threads.
    """

    def __init__(self) -> None:
        self._owners: dict[int, bytes | tuple[bytes, ...]] = {}
        self._shared: set[int] = set()
        self._domains: list[str] = []
        self._domain_numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __iter__(self) -> Iterator[str]:
        return (f"{mac:012x}" for mac in self._owners)

    def owners(self, mac: str) -> tuple[AccountKey, ...]:
        """The accounts that list ``mac``, sorted; empty if none does or if it is no MAC."""
        try:
            packed = self._owners.get(int(mac, 16))
        except ValueError:
            return ()
        if packed is None:
            return ()
        if isinstance(packed, bytes):
            return (self._unpack(packed),)
        return tuple(sorted(self._unpack(each) for each in packed))

    def shared(self) -> Iterator[str]:
        """The MACs that several accounts list, sorted."""
        return (f"{mac:012x}" for mac in sorted(self._shared))

    def add(self, mac: str, key: AccountKey) -> None:
        """Note that account ``key`` lists ``mac``; no effect if noted already."""
        number = int(mac, 16)
        owner = self._pack(key)
        known = self._owners.get(number)
        if known is None:
            self._owners[number] = owner
        elif isinstance(known, bytes):
            if known != owner:
                self._owners[number] = (known, owner)
                self._shared.add(number)
        elif owner not in known:
            self._owners[number] = (*known, owner)

    def remove(self, mac: str, key: AccountKey) -> None:
        """Forget that account ``key`` lists ``mac``; no effect if it did not."""
        number = int(mac, 16)
        known = self._owners.get(number)
        if known is None:
            return
        owner = self._pack(key)
        rest = tuple(each for each in (known if isinstance(known, tuple) else (known,)) if each != owner)
        if len(rest) > 1:
            self._owners[number] = rest
            return
        self._shared.discard(number)
        if rest:
            self._owners[number] = rest[0]
        else:
            del self._owners[number]

    def _pack(self, key: AccountKey) -> bytes:
        number = self._domain_numbers.get(key.domain)
        if number is None:
            number = self._domain_numbers[key.domain] = len(self._domains)
            self._domains.append(key.domain)
        return number.to_bytes(3, "big") + key.login.encode()

    def _unpack(self, packed: bytes) -> AccountKey:
        return AccountKey(self._domains[int.from_bytes(packed[:3], "big")], packed[3:].decode())


class DirectoryIndex:
    """All accounts and domains in service. ``revision`` grows with each change that had an effect."""

    def __init__(self) -> None:
        self._accounts: dict[AccountKey, Account] = {}
        self._domains: dict[str, Domain] = {}
        self._macs = MacIndex()
        self._reported: tuple[Problem, ...] = ()
        self._problems: tuple[Problem, ...] | None = None
        self.revision = 0

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def macs(self) -> MacIndex:
        """All MACs with their owners; to read, not to change."""
        return self._macs

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of all domains, sorted."""
        return tuple(sorted(self._domains))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The back end's findings and those of accounts that share a MAC; computed once a change."""
        if self._problems is None:
            self._problems = (*self._reported, *_shared_problems(self))
        return self._problems

    def owners(self, mac: str) -> tuple[AccountKey, ...]:
        """The accounts that list ``mac`` (as ``parse_mac`` gives it), sorted."""
        return self._macs.owners(mac)

    def account(self, key: AccountKey) -> Account | None:
        """The account of that key."""
        return self._accounts.get(key)

    def domain(self, name: str) -> Domain | None:
        """The domain of that lower-case name; None too while its settings have never been readable."""
        return self._domains.get(name)

    def apply(self, change: Change) -> None:
        """Take over a change in time proportional to it. Unchanged revisions have no effect."""
        effective = [self._put(account) for account in change.accounts]
        effective += [self._drop(key) for key in change.removed]
        for domain in change.domains:
            known = self._domains.get(domain.name)
            effective.append(known is None or known.revision != domain.revision)
            self._domains[domain.name] = domain
        effective += [self._domains.pop(name, None) is not None for name in change.removed_domains]
        self.revision += any(effective)
        self._reported = change.problems
        self._problems = None

    def phone_of(self, mac: str) -> Phone | Conflict | None:
        """The phone with that MAC: its lines in order, a conflict between domains, or None if unknown."""
        keys = self._macs.owners(mac)
        if not keys:
            return None
        if keys[0].domain != keys[-1].domain:
            return Conflict(mac, keys)
        lines = [
            (account, device)
            for account in map(self._accounts.__getitem__, keys)
            for device in account.lines_on(mac)
        ]
        lines.sort(key=lambda line: (line[1].line, line[0].key.login))
        return Phone(mac, tuple(lines))

    def _put(self, account: Account) -> bool:
        known = self._accounts.get(account.key)
        if known is not None and known.revision == account.revision:
            return False
        macs = [device.mac for device in account.devices]
        before = [] if known is None else [device.mac for device in known.devices]
        if macs != before:
            for mac in set(before).difference(macs):
                self._macs.remove(mac, account.key)
            for mac in set(macs).difference(before):
                self._macs.add(mac, account.key)
        self._accounts[account.key] = account
        return True

    def _drop(self, key: AccountKey) -> bool:
        account = self._accounts.pop(key, None)
        if account is None:
            return False
        for mac in {device.mac for device in account.devices}:
            self._macs.remove(mac, key)
        return True


def _shared_problems(index: DirectoryIndex) -> Iterator[Problem]:
    for mac in index.macs.shared():
        phone = index.phone_of(mac)
        if isinstance(phone, Conflict):
            yield _conflict_problem(phone, [account for key in phone.keys if (account := index.account(key))])
        elif phone is not None:
            yield from _duplicate_lines(phone)


def _conflict_problem(conflict: Conflict, accounts: list[Account]) -> Problem:
    named = ", ".join(f"{account.key} ({account.origin})" for account in accounts)
    detail = f"MAC {conflict.mac} belongs to accounts of different domains: {named}; no file is issued"
    return Problem(Reason.MAC_CONFLICT, accounts[0].origin, detail)


def _duplicate_lines(phone: Phone) -> Iterator[Problem]:
    for (first, device), (second, other) in zip(phone.lines, phone.lines[1:], strict=False):
        if device.line == other.line:
            detail = (
                f"phone {phone.mac}: {first.key} and {second.key} are both on line {device.line}; "
                f"the lower login comes first. Set opts.ap_devices.line"
            )
            yield Problem(Reason.DEVICE_INVALID, second.origin, detail, Severity.WARNING)
