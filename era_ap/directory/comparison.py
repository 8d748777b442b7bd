"""What putting documents in place of others would change: record by record, field by field.

Owns the shape of an edit and the reading of two documents against each other. Secrets are masked here, so
that nobody who shows an edit has to think of it. Changes nothing and asks nobody.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from era_ap.directory.documents import Document, DomainDocuments
from era_ap.directory.notation import text_tree
from era_ap.masking import is_secret, mask


class Kind(enum.StrEnum):
    """What happens to a record."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class FieldEdit:
    """A field by its dotted path; None: not given. Values of secrets are masked."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Edit:
    """One record: an account, or with ``login`` "" the domain's own document. ``fields`` only of changes."""

    kind: Kind
    domain: str
    login: str = ""
    fields: tuple[FieldEdit, ...] = ()

    def __str__(self) -> str:
        return f"{self.login}@{self.domain}" if self.login else self.domain


@dataclass(frozen=True, slots=True)
class Reading:
    """One domain as somebody could read it; ``documents`` is None where there is no such domain.

    Of the logins ``unreadable`` ("" for the domain's own document) nothing is known but that they exist;
    with ``lost`` that is so of the whole domain.
    """

    documents: DomainDocuments | None
    unreadable: frozenset[str] = field(default_factory=frozenset)
    lost: bool = False


def merge(wanted: Reading, present: DomainDocuments | None) -> DomainDocuments | None:
    """What is wanted, with what is ``present`` in place of what could not be read; None: no such domain.

    What was never readable is neither known to be gone nor to be different, so it stays as it is. A domain
    of which nothing at all can be read is not made.
    """
    found = wanted.documents
    if present is None and wanted.unreadable and found and found.document is None and not found.accounts:
        return None
    if wanted.documents is None or present is None or not wanted.unreadable:
        return wanted.documents
    kept = {login: each for login, each in present.accounts.items() if login in wanted.unreadable}
    own = present.document if "" in wanted.unreadable else wanted.documents.document
    originals = {login: each for login, each in present.originals.items() if login in wanted.unreadable}
    return DomainDocuments(
        wanted.documents.name,
        own,
        {**wanted.documents.accounts, **kept},
        {**wanted.documents.originals, **originals},
    )


def compare(
    wanted: DomainDocuments, present: DomainDocuments | None, *, remove_others: bool
) -> tuple[Edit, ...]:
    """The edits that make ``present`` what is ``wanted``, the domain's own document first, then by login."""
    name = wanted.name
    before = DomainDocuments(name) if present is None else present
    edits = list(_record(name, "", wanted.document, before.document, remove_others))
    for login in sorted(wanted.accounts.keys() | before.accounts.keys()):
        edits += _record(name, login, wanted.accounts.get(login), before.accounts.get(login), remove_others)
    return tuple(edits)


def _record(
    domain: str, login: str, after: Document | None, before: Document | None, remove: bool
) -> Iterator[Edit]:
    if after is not None and before is not None:
        fields = tuple(field_edits(before, after))
        if fields:
            yield Edit(Kind.CHANGE, domain, login, fields)
    elif after is not None:
        yield Edit(Kind.ADD, domain, login)
    elif before is not None and remove:
        yield Edit(Kind.REMOVE, domain, login)


def field_edits(before: Document, after: Document) -> Iterator[FieldEdit]:
    """The fields in which two documents differ, in the order written."""
    if before == after:
        return
    old, new = dict(_leaves(text_tree(before), "")), dict(_leaves(text_tree(after), ""))
    for path in dict.fromkeys((*old, *new)):
        was, becomes = old.get(path), new.get(path)
        if (path in old) != (path in new) or was != becomes:
            yield FieldEdit(path, _shown(path, was, path in old), _shown(path, becomes, path in new))


def _shown(path: str, value: str | None, given: bool) -> str | None:
    if not given:
        return None
    text = "null" if value is None else value
    return mask(text) if is_secret(path) else text


def _leaves(value: object, path: str) -> Iterator[tuple[str, str | None]]:
    """Every text with its path. Empty objects and lists count as texts ``{}`` and ``[]``."""
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _leaves(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from _leaves(each, f"{path}[{number}]")
    elif value is None or isinstance(value, str):
        yield path, value
    elif path:
        yield path, "{}" if isinstance(value, Mapping) else "[]"
