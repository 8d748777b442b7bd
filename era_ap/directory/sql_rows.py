"""Documents as rows of ``sql_schema`` and back, with nothing lost: keys, their order, null, every character.

Owns which column holds which part. ``password``, ``opts`` and ``ext`` of an account, and ``settings`` of a
domain, have columns of their own; ``fields`` holds all the rest and, as null, the place of those in the
order of keys. A row that another program wrote needs no such places. Does not touch a database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from era_ap.directory.documents import Document
from era_ap.directory.model import Account, AccountKey, Device, Domain, read_account, read_domain
from era_ap.directory.notation import check_characters, parse_domain, parse_login, text_tree
from era_ap.errors import Problem, Reason, Refused

NO_DOCUMENT = "-"
"""The revision of a domain that has no document of its own."""

_MODEL_LENGTH = 255
_MANY_LEVELS = 62
_decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


class AccountRow(NamedTuple):
    """The columns of ``sipusers`` that hold a document; JSON as text."""

    password: str | None
    opts: str | None
    ext: str | None
    fields: str

    @property
    def revision(self) -> str:
        """Changes with the content."""
        return _digest(self)


class DomainRow(NamedTuple):
    """The columns of ``domains`` that hold a document; JSON as text. No ``fields``: there is no document."""

    settings: str | None
    fields: str | None

    @property
    def revision(self) -> str:
        """Changes with the content."""
        return NO_DOCUMENT if self.fields is None else _digest(self)


class DeviceRow(NamedTuple):
    """The columns of ``devices`` beside the account's key."""

    position: int
    mac: str
    model: str | None
    line: int


def account_row(key: AccountKey, document: Document) -> tuple[AccountRow, tuple[DeviceRow, ...]]:
    """An account's document as rows; raises ``Refused`` ACCOUNT_INVALID for what would not read back."""
    if parse_domain(key.domain) != key.domain or parse_login(key.login) is None:
        raise Refused(Reason.ACCOUNT_INVALID, f"{key.login!r} of {key.domain!r} cannot be an account")
    account, problems = read_account(key.domain, key.login, document, origin=str(key), revision="")
    if account is None:
        raise Refused(Reason.ACCOUNT_INVALID, problems[-1].detail)
    fields = _texts(document)
    password = fields.get("password")
    if isinstance(password, str) and storable(password):
        fields["password"] = None
    else:
        password = None
    row = AccountRow(password, _moved(fields, "opts"), _moved(fields, "ext"), _encode(fields))
    _checked(Reason.ACCOUNT_INVALID, key, *row)
    return row, tuple(_device_row(*each) for each in enumerate(account.devices))


def domain_row(name: str, document: Document) -> DomainRow:
    """A domain's document as a row; raises ``Refused`` DOMAIN_INVALID for what would not read back."""
    if parse_domain(name) != name:
        raise Refused(Reason.DOMAIN_INVALID, f"{name!r} is not a domain name in lower case")
    domain, problems = read_domain(name, document, origin=name, revision="")
    if domain is None:
        raise Refused(Reason.DOMAIN_INVALID, problems[-1].detail)
    fields = _texts(document)
    row = DomainRow(_moved(fields, "settings"), _encode(fields))
    _checked(Reason.DOMAIN_INVALID, name, *row)
    return row


def account_document(row: AccountRow) -> dict[str, object]:
    """The document of a row; raises ``ValueError`` where a column is no JSON object."""
    document = _object(row.fields)
    if row.password is not None:
        document["password"] = row.password
    if row.opts is not None:
        document["opts"] = _decode(row.opts)
    if row.ext is not None:
        document["ext"] = _decode(row.ext)
    return document


def domain_document(row: DomainRow) -> dict[str, object] | None:
    """The document of a row, None where the domain has none; raises ``ValueError`` as above."""
    if row.fields is None and row.settings is None:
        return None
    document = _object(row.fields)
    if row.settings is not None:
        document["settings"] = _decode(row.settings)
    return document


def read_account_row(
    key: AccountKey, row: AccountRow, origin: str
) -> tuple[Account | None, tuple[Problem, ...]]:
    """The account of a row, None if it is unusable, and all findings."""
    try:
        document = account_document(row)
    except (ValueError, RecursionError):
        detail = f"{key}: a column is not a JSON object; the last good version, if any, is in service"
        return None, (Problem(Reason.ACCOUNT_INVALID, origin, detail),)
    is_text = not any(column is not None and _may_hold_more(column) for column in row[1:])
    return read_account(
        key.domain, key.login, document, origin=origin, revision=row.revision, is_text=is_text
    )


def read_domain_row(name: str, row: DomainRow, origin: str) -> tuple[Domain | None, tuple[Problem, ...]]:
    """The domain of a row, None if it is unusable, and all findings."""
    try:
        document = domain_document(row) or {}
    except (ValueError, RecursionError):
        detail = f"{name}: a column is not a JSON object; the last good version, if any, is in service"
        return None, (Problem(Reason.DOMAIN_INVALID, origin, detail),)
    return read_domain(name, document, origin=origin, revision=row.revision)


def _texts(document: Document) -> dict[str, object]:
    fields = text_tree(document)
    assert isinstance(fields, dict)
    return fields


def _checked(reason: Reason, subject: object, *texts: str | None) -> None:
    """JSON can say more than text can hold: half of a surrogate pair is no character."""
    for text in texts:
        try:
            (text or "").encode()
        except UnicodeEncodeError:
            raise Refused(reason, f"{subject}: half of a surrogate pair is no character") from None


def _moved(fields: dict[str, object], key: str) -> str | None:
    """The value of ``key`` as JSON for its own column; null stays in its place."""
    value = fields.get(key)
    if not isinstance(value, Mapping):
        return None
    fields[key] = None
    return _encode(value)


def storable(text: str) -> bool:
    """Whether a column of text of every database can hold it: PostgreSQL takes no NUL."""
    return "\0" not in text


def _decode(text: str) -> object:
    """The value of JSON; that without blanks around it, as our writer writes it, is read sooner."""
    value, end = _decoder.raw_decode(text) if text.startswith("{") else (None, -1)
    if end != len(text):
        value = _decoder.decode(text)
    check_characters(text, value)
    return value


def _object(text: str | None) -> dict[str, object]:
    fields = _decode(text) if text is not None else {}
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return fields


def _may_hold_more(text: str) -> bool:
    """Whether decoded JSON may hold other scalars than text, or very many levels: then it is looked through.

    What our writer wrote hardly ever does, and that makes reading a million accounts a third faster.
    """
    return "true" in text or "false" in text or text.count("{") + text.count("[") > _MANY_LEVELS


def _device_row(position: int, device: Device) -> DeviceRow:
    model = device.model
    if model is not None:
        model = model.encode("utf-8", "replace").decode().replace("\0", "")[:_MODEL_LENGTH]
    return DeviceRow(position, device.mac, model, device.line)


def _digest(columns: AccountRow | DomainRow) -> str:
    data = "\0".join("" if column is None else f"={column}" for column in columns)
    return hashlib.blake2b(data.encode(), digest_size=8).hexdigest()
