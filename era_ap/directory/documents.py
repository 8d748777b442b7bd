"""A directory as documents: what is imported, exported, compared and edited, whatever keeps it.

Owns the shapes of a domain's documents, the comparison of two of them, and the contract of a writer. A
document is what an operator wrote: keys in their order, every scalar text, null as None. Does not own any
back end (``sql_writer``), nor what a field means (``model``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from era_ap.directory.model import AccountKey
from era_ap.errors import Reason, Refused

Document = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Original:
    """A document as its file: ``file`` is the path below the directory's folder, ``text`` all of the content.

    Kept beside a document so that an export gives the operator his own file again, with comments, byte for
    byte. It describes nothing: where it no longer means the document (somebody edited that), it is dropped.
    """

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class DomainDocuments:
    """One domain: its own document (None: it has none, only accounts) and those of its accounts by login.

    ``originals`` by login, "" for the domain's own document, only where the canonical file would differ.
    """

    name: str
    document: Document | None = None
    accounts: Mapping[str, Document] = field(default_factory=dict)
    originals: Mapping[str, Original] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A document with its revision, which an edit names as ``expected`` to overwrite nobody's work."""

    document: Document
    revision: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What putting ``DomainDocuments`` changes or changed: logins, sorted, and the domain's own document."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0
    domain: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.domain)


def check_since(
    wanted: DomainDocuments, since: DomainDocuments, now: Callable[[str], Document | None]
) -> None:
    """Raise ``Refused`` (DIRECTORY_CONFLICT) if an account of ``wanted`` is ``now`` another than it was."""
    for login in wanted.accounts:
        if now(login) != since.accounts.get(login):
            raise Refused(Reason.DIRECTORY_CONFLICT, f"{login}@{wanted.name} has changed meanwhile")


class Writer(Protocol):
    """A directory that can be edited. Every method is one transaction: all of it happens, or nothing.

    All raise ``Refused``: ACCOUNT_INVALID or DOMAIN_INVALID for what would not read back,
    DIRECTORY_CONFLICT where ``expected`` is no longer the revision, DIRECTORY_UNAVAILABLE otherwise.
    ``expected``: the revision that must be in place, "" where nothing must be, None to write regardless.
    """

    async def write_account(self, key: AccountKey, document: Document, *, expected: str | None = None) -> str:
        """Put an account; returns its revision. Writing what is there already changes nothing."""
        ...

    async def write_domain(self, name: str, document: Document, *, expected: str | None = None) -> str:
        """Put ``{settings: {…}}`` of a domain; returns its revision."""
        ...

    async def remove_account(self, key: AccountKey, *, expected: str | None = None) -> bool:
        """Remove an account with its devices; False if there is none."""
        ...

    async def remove_domain(self, name: str, *, expected: str | None = None) -> bool:
        """Remove a domain with all its accounts; False if there is none."""
        ...

    async def put(
        self,
        wanted: DomainDocuments,
        *,
        remove_others: bool = False,
        dry_run: bool = False,
        since: DomainDocuments | None = None,
    ) -> Difference:
        """Put all documents of ``wanted`` in one transaction; only what differs is written.

        ``remove_others``: accounts that ``wanted`` lacks are removed, and the domain's own document where
        ``wanted`` has none. ``dry_run``: only compare. ``since``: what ``wanted`` was made of; an account of
        ``wanted`` that is another by now is a conflict. Originals of ``wanted`` are kept with their
        documents, also with unchanged ones, whose revision stays; any other edit of a document drops its
        original.
        """
        ...

    async def domains(self) -> tuple[str, ...]:
        """The names of all domains, sorted."""
        ...

    async def documents(self, name: str) -> DomainDocuments | None:
        """All documents of a domain as of one moment, accounts by login, sorted; None if there is none."""
        ...

    async def account(self, key: AccountKey) -> Stored | None:
        """One account's document."""
        ...

    async def domain(self, name: str) -> Stored | None:
        """A domain's own document; that of a domain that has only accounts is empty."""
        ...

    async def close(self) -> None:
        """Give back all connections."""
        ...
