"""One source's part of the directory: its accounts, the MACs they list, its domains and its findings.

Owns that these agree after each change. A part is built aside, in any thread, and put into service whole
(``index``); it knows nothing of other sources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era_ap.directory.macs import MacIndex
from era_ap.directory.model import AccountKey
from era_ap.directory.packed import PackedAccounts
from era_ap.directory.source import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from era_ap.directory.blocks import Place
    from era_ap.directory.model import Account, Domain
    from era_ap.errors import Problem

_NO_LINES: tuple[tuple[str, int], ...] = ()


class Part:
    """Accounts and domains of one source. Read ``accounts``, ``macs``, ``domains``; change by ``apply``."""

    def __init__(self) -> None:
        self.accounts = PackedAccounts()
        self.macs = MacIndex()
        self.domains: dict[str, Domain] = {}
        self.problems: tuple[Problem, ...] = ()
        self.touched_domains: set[str] = set()

    def __contains__(self, domain: str) -> bool:
        return domain in self.domains or domain in self.accounts

    @property
    def names(self) -> set[str]:
        """All domains that have settings or accounts here."""
        return {*self.domains, *self.accounts.domains}

    def apply(self, change: Change) -> frozenset[str]:
        """Take over a change in time proportional to it; the domains in which it had an effect."""
        effective = {account.key.domain for account in change.accounts if self._put(account)}
        effective |= {key.domain for key in change.removed if self._remove(key)}
        for domain in change.domains:
            known = self.domains.get(domain.name)
            if known is None or known.revision != domain.revision:
                self.domains[domain.name] = domain
                self.touched_domains.add(domain.name)
                effective.add(domain.name)
        for name in change.removed_domains:
            if self.domains.pop(name, None) is not None:
                self.touched_domains.add(name)
                effective.add(name)
        self.problems = change.problems
        return frozenset(effective)

    def keep(self, before: Part, places: Iterable[AccountKey | str], lost: Iterable[str]) -> Iterator[None]:
        """Take over from another part these accounts, settings of domains and whole domains, step by step."""
        keys = [place for place in places if isinstance(place, AccountKey)]
        names = [*(place for place in places if isinstance(place, str)), *lost]
        for name in lost:
            keys += [AccountKey(name, entry.login) for entry in before.accounts.entries(name)]
        domains = [domain for name in names if (domain := before.domains.get(name)) is not None]
        self.apply(Change(domains=tuple(domains), problems=self.problems))
        for key in keys:
            account = before.accounts.get(key)
            if account is not None:
                self.apply(Change((account,), problems=self.problems))
                yield

    def dissolve(self) -> Iterator[None]:
        """Free what a part that is out of service has held, a little with each step."""
        yield from self.accounts.dissolve()
        yield from self.macs.dissolve()

    def adopt(self, place: Place, packed: bytes) -> None:
        """Take over a block of accounts from local state; see ``PackedAccounts.adopt``."""
        for entry in self.accounts.adopt(place, packed):
            self._list(AccountKey(place[0], entry.login), entry.lines)

    def _put(self, account: Account) -> bool:
        before, changed = self.accounts.put(account)
        if not changed:
            return False
        lines = tuple((device.mac, device.line) for device in account.devices)
        known = before.lines if before is not None else _NO_LINES
        if lines != known:
            for mac, line in set(known).difference(lines):
                self.macs.remove(mac, account.key, line)
            self._list(account.key, lines)
        return True

    def _list(self, key: AccountKey, lines: tuple[tuple[str, int], ...]) -> None:
        for mac, line in lines:
            self.macs.add(mac, key, line)

    def _remove(self, key: AccountKey) -> bool:
        entry = self.accounts.remove(key)
        if entry is None:
            return False
        for mac, line in entry.lines:
            self.macs.remove(mac, key, line)
        return True
