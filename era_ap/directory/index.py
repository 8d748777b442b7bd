"""The directory in memory: from a MAC to the phone it is, over all sources of the site.

Owns the decision which accounts make up a phone, when they conflict (spec 4), which source a domain belongs
to, and whether everything is known. Fed by changes, never asks a back end; what it keeps is packed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.directory.parts import Macs, Parts
from era_ap.directory.source import Change
from era_ap.errors import Problem, Reason, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from era_ap.directory.model import Account, AccountKey, Device, Domain
    from era_ap.directory.part import Part

__all__ = ["Change", "Conflict", "DirectoryIndex", "Phone"]

DISPUTES_TOLD = 500
PHONES_KEPT = 8192


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


class DirectoryIndex:
    """All accounts and domains in service. ``revision`` grows with each change that had an effect.

    ``sources`` names all sources in the order of the configuration: of a domain that several have, the first
    one's counts.
    """

    def __init__(self, sources: Sequence[str] = ("",)) -> None:
        self.parts = Parts(sources)
        self.macs = Macs(self.parts)
        self.revision = 0
        self._problems: tuple[Problem, ...] = ()
        self._problems_at = -1
        self._phones: dict[str, Phone | Conflict] = {}
        self._phones_at = 0

    def __len__(self) -> int:
        return sum(len(part.accounts) for part in self.parts)

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of all domains whose settings are known, sorted."""
        return tuple(sorted({name for part in self.parts for name in part.domains}))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The findings of all sources, and those about MACs and domains that are there twice."""
        if self._problems_at != self.parts.changes:
            self._problems_at = self.parts.changes
            reported = [problem for part in self.parts for problem in part.problems]
            disputes = _disputes(self, self.macs.disputed())
            self._problems = (*reported, *self.parts.hidden(), *disputes)
        return self._problems

    def owners(self, mac: str) -> tuple[AccountKey, ...]:
        """The accounts that list ``mac`` (as ``parse_mac`` gives it), sorted."""
        return self.parts.owners(mac)

    def account(self, key: AccountKey) -> Account | None:
        """The account of that key."""
        part = self.parts.having(key.domain)
        return part.accounts.get(key) if part is not None else None

    def domain(self, name: str) -> Domain | None:
        """The domain of that lower-case name; None too while its settings have never been readable."""
        return self.parts.domain(name)

    def phone_of(self, mac: str) -> Phone | Conflict | None:
        """The phone with that MAC: its lines in order, a conflict between domains, or None if unknown."""
        if self._phones_at != self.parts.changes or len(self._phones) > PHONES_KEPT:
            self._phones.clear()
            self._phones_at = self.parts.changes
        phone = self._phones.get(mac)
        if phone is None:
            phone = _phone_of(self, mac)
            if phone is not None:
                self._phones[mac] = phone
        return phone

    @property
    def is_complete(self) -> bool:
        """Whether every source has been loaded, so that a MAC or domain that is not here is nowhere."""
        return self.parts.are_loaded

    @property
    def why_unknown(self) -> Reason:
        """Why ``phone_of`` knows nothing of a MAC: nobody has it, or it may be where nobody could look."""
        return Reason.MAC_UNKNOWN if self.is_complete else Reason.DIRECTORY_UNAVAILABLE

    def apply(self, change: Change, source: str = "") -> None:
        """Take over a change in time proportional to it. Unchanged revisions have no effect."""
        self.revision += self.parts.apply(change, source)
        self.macs.note(change, source)

    def replace(self, part: Part, source: str = "", *, complete: bool = True) -> Part:
        """Put a part that was built aside into service whole; returns the one it replaces.

        ``macs.crosscheck`` should follow. Not ``complete``: what is in it is served, but other MACs may be
        the source's too.
        """
        self.revision += 1
        return self.parts.replace(part, source, complete=complete)


def _phone_of(index: DirectoryIndex, mac: str) -> Phone | Conflict | None:
    keys = index.owners(mac)
    if not keys:
        return None
    if keys[0].domain != keys[-1].domain:
        return Conflict(mac, keys)
    accounts = [account for key in keys if (account := index.account(key)) is not None]
    lines = [(account, device) for account in accounts for device in account.lines_on(mac)]
    if len(lines) > 1:
        lines.sort(key=lambda line: (line[1].line, line[0].key.login))
    return Phone(mac, tuple(lines)) if lines else None


def _disputes(index: DirectoryIndex, macs: list[str]) -> Iterator[Problem]:
    """What is wrong with each of ``macs``; past ``DISPUTES_TOLD`` only how many there are."""
    for mac in macs[:DISPUTES_TOLD]:
        phone = index.phone_of(mac)
        if isinstance(phone, Conflict):
            yield _conflict_problem(phone, [account for key in phone.keys if (account := index.account(key))])
        elif phone is not None:
            yield from _duplicate_lines(phone)
    if len(macs) > DISPUTES_TOLD:
        more = len(macs) - DISPUTES_TOLD
        detail = f"{more} more MACs are claimed by several accounts; era-ap explain tells whose each is"
        yield Problem(Reason.MAC_CONFLICT, "the directory", detail)


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
