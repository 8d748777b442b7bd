"""Moves documents between two directories, domain by domain: import, export, apply and the preview of each.

Owns the order, that one domain is one transaction, that what could not be read is never removed, and the
guard against emptying a directory by mistake. Memory is that of the largest domain. Does not own where
documents come from (``tree``, writers), what a record's edit looks like (``comparison``) nor any output.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from era_ap.directory.comparison import Edit, Kind, Reading, compare, merge
from era_ap.directory.documents import Difference, DomainDocuments, Writer
from era_ap.errors import Problem, Reason, Refused

SHARE = 0.1
"""Part of all accounts, and of all domains, that may go without being allowed to."""

FEW = 10
"""So many accounts may always go, and one domain."""


class Reader(Protocol):
    """Where documents come from."""

    async def domains(self) -> Sequence[str]:
        """The names of all domains, sorted. Raises ``Refused``."""
        ...

    async def read(self, name: str) -> tuple[Reading, Sequence[Problem]]:
        """One domain and the findings about it. Raises ``Refused``."""
        ...

    async def names(self, name: str) -> frozenset[str] | None:
        """The logins of a domain, those that cannot be read too; None: nothing is known of it."""
        ...


class Observer(Protocol):
    """Who is told what happens."""

    def problem(self, problem: Problem) -> None:
        """A finding; an error is a record, or a domain, that was not taken over."""
        ...

    def edit(self, edit: Edit) -> None:
        """A record that was written or removed, or would be."""
        ...

    def progress(self, domains: int, of: int, accounts: int) -> None:
        """So much has been gone through."""
        ...


@dataclass(slots=True)
class Totals:
    """What was done, or would be. Accounts, but ``domains``: documents of domains, ``failed``: either."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    domains: int = 0
    domains_removed: int = 0
    failed: int = 0

    @property
    def differs(self) -> bool:
        """Whether anything changes."""
        return bool(self.added or self.changed or self.removed or self.domains or self.domains_removed)

    @property
    def accounts(self) -> int:
        """All accounts gone through."""
        return self.added + self.changed + self.removed + self.unchanged


def _many(gone: int, of: int, few: int) -> bool:
    return gone * 2 > of or gone > max(few, SHARE * of)


class Exchange:
    """One way from ``reader`` to ``writer``. ``mirror``: what the reader does not have is removed."""

    def __init__(self, reader: Reader, writer: Writer, observer: Observer, *, mirror: bool = False) -> None:
        self._reader = reader
        self._writer = writer
        self._observer = observer
        self._mirror = mirror
        self.totals = Totals()

    async def preview(self) -> Totals:
        """Tell every edit and make none. Raises ``Refused`` (DIRECTORY_UNAVAILABLE)."""
        names = await self._names()
        for done, name in enumerate(names, 1):
            try:
                await self._preview(name)
            except Refused as refused:
                self._fail(name, refused)
            self._observer.progress(done, len(names), self.totals.accounts)
        return self.totals

    async def run(self) -> Totals:
        """Make every edit, one transaction a domain.

        Raises:
            Refused: DIRECTORY_UNAVAILABLE; the domains before stay done, and doing all of it again is safe.
        """
        names = await self._names()
        for done, name in enumerate(names, 1):
            try:
                await self._exchange(name)
            except Refused as refused:
                self._fail(name, refused)
            self._observer.progress(done, len(names), self.totals.accounts)
        return self.totals

    async def guard(self) -> None:
        """Refuse if many accounts or domains would go.

        Many are more than a half, and more than ``FEW`` that are more than a ``SHARE``.

        Raises:
            Refused: DIRECTORY_GUARD, or DIRECTORY_UNAVAILABLE.
        """
        wanted, present = set(await self._reader.domains()), await self._writer.domains()
        accounts = gone = 0
        for name in present:
            there = await self._logins(name)
            stay = await self._reader.names(name) if name in wanted else frozenset()
            accounts += len(there)
            gone += 0 if stay is None else len(there - stay)
        domains = len([name for name in present if name not in wanted])
        if _many(gone, accounts, FEW) or _many(domains, len(present), 1):
            detail = (
                f"{gone:,} of {accounts:,} accounts and {domains:,} of {len(present):,} domains "
                "would be removed"
            )
            raise Refused(Reason.DIRECTORY_GUARD, detail)

    async def _logins(self, name: str) -> frozenset[str]:
        """The logins of a domain of the target; none where it cannot be read and so will not be edited."""
        try:
            documents = await self._writer.documents(name)
        except Refused as refused:
            if refused.reason is Reason.DIRECTORY_UNAVAILABLE:
                raise
            return frozenset()
        return frozenset(documents.accounts if documents is not None else ())

    async def _names(self) -> list[str]:
        wanted = await self._reader.domains()
        return sorted({*wanted, *await self._writer.domains()}) if self._mirror else sorted(wanted)

    async def _read(self, name: str) -> Reading:
        reading, problems = await self._reader.read(name)
        for problem in problems:
            self._observer.problem(problem)
        self.totals.failed += len(reading.unreadable) + reading.lost
        return reading

    async def _preview(self, name: str) -> None:
        reading = await self._read(name)
        if reading.lost:
            return
        present = await self._writer.documents(name)
        target = merge(reading, present if self._mirror else None)
        gone = self._mirror and target is None and present is not None
        edits = compare(target or DomainDocuments(name), present, remove_others=self._mirror)
        self._count(edits)
        self.totals.domains_removed += gone
        if target is not None:
            self.totals.unchanged += len(target.accounts) - sum(
                edit.login != "" and edit.kind is not Kind.REMOVE for edit in edits
            )

    async def _exchange(self, name: str) -> None:
        reading = await self._read(name)
        if reading.lost:
            return
        keeps = self._mirror and (reading.unreadable or reading.documents is None)
        present = await self._writer.documents(name) if keeps else None
        target = merge(reading, present)
        if target is not None:
            self._note(name, await self._writer.put(target, remove_others=self._mirror))
        elif present is not None and await self._writer.remove_domain(name):
            self._count(compare(DomainDocuments(name), present, remove_others=True))
            self.totals.domains_removed += 1

    def _note(self, name: str, done: Difference) -> None:
        edits = [Edit(Kind.CHANGE, name)] if done.domain else []
        for kind, logins in (
            (Kind.ADD, done.added),
            (Kind.CHANGE, done.changed),
            (Kind.REMOVE, done.removed),
        ):
            edits += [Edit(kind, name, login) for login in logins]
        self._count(edits)
        self.totals.unchanged += done.unchanged

    def _count(self, edits: Iterable[Edit]) -> None:
        for edit in edits:
            self._observer.edit(edit)
            if not edit.login:
                self.totals.domains += 1
            elif edit.kind is Kind.ADD:
                self.totals.added += 1
            elif edit.kind is Kind.CHANGE:
                self.totals.changed += 1
            else:
                self.totals.removed += 1

    def _fail(self, name: str, refused: Refused) -> None:
        """Go on with the next domain, except where there is nobody to talk to."""
        if refused.reason is Reason.DIRECTORY_UNAVAILABLE:
            raise refused
        self.totals.failed += 1
        self._observer.problem(Problem(refused.reason, name, refused.detail))
