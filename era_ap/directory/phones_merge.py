"""What rows of phones do to the accounts of a domain: devices and accounts added, changed and moved.

Owns the matching of a row to a device of an account, in the new and the older flat form, and that a cell
which says what is so already changes nothing. Does not own tables (``phones_csv``) nor writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from era_ap.directory.devices import Device
from era_ap.directory.documents import Document, DomainDocuments
from era_ap.directory.model import AccountKey, read_account
from era_ap.directory.notation import blank, parse_mac, text_tree
from era_ap.directory.phones_csv import (
    DOMAIN,
    LABEL,
    LINE,
    LOGIN,
    MAC,
    MODEL,
    NAME,
    PASSWORD,
    CellProblem,
    PhoneRow,
)

_ELEMENT_FIELDS = {MODEL: "device_model", LABEL: "label"}
_NOBODY = PhoneRow(0, "", "", "", None)


@dataclass(frozen=True, slots=True)
class Policy:
    """``replace``: accounts of the table have its phones and no others. ``move``: phones of the table leave
    the other accounts of their domain.
    """

    replace: bool = False
    move: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """The accounts that rows change, and what is wrong with rows; ``warnings`` did not keep them out."""

    accounts: Mapping[str, Document]
    problems: tuple[CellProblem, ...]
    warnings: tuple[CellProblem, ...]


class RowError(ValueError):
    """A row cannot be taken over, because of ``column``."""

    def __init__(self, column: str, detail: str) -> None:
        super().__init__(detail)
        self.column = column
        self.detail = detail


def merge_rows(present: DomainDocuments, rows: Iterable[PhoneRow], policy: Policy) -> Merged:
    """What the rows of one domain change. A row that cannot be taken over leaves its account as it is."""
    changed: dict[str, dict[str, object]] = {}
    problems: list[CellProblem] = []
    taken: dict[str, list[PhoneRow]] = {}
    failed: set[str] = set()
    lines: dict[tuple[str, int], PhoneRow] = {}
    for row in rows:
        before = changed.get(row.login) or present.accounts.get(row.login)
        first = lines.setdefault((row.mac, row.number or 1), row)
        try:
            if first is not row:
                raise RowError(LINE, _given_away(first, row))
            changed[row.login] = merge_row(AccountKey(row.domain, row.login), before, row)
        except RowError as error:
            problems.append(CellProblem(row.line, error.column, error.detail))
            failed.add(row.login)
        else:
            taken.setdefault(row.login, []).append(row)
    if policy.replace:
        for login in taken.keys() - failed:
            _replace(AccountKey(present.name, login), changed, {row.mac for row in taken[login]})
    warnings = tuple(_elsewhere(present, changed, taken, move=policy.move))
    edits = {
        login: document
        for login, document in sorted(changed.items())
        if login not in present.accounts or text_tree(present.accounts[login]) != document
    }
    return Merged(edits, tuple(problems), warnings)


def _given_away(first: PhoneRow, row: PhoneRow) -> str:
    if first.login == row.login:
        return f"this phone of {row.login} stands in line {first.line} already; remove one, or give it a line"
    return f"line {row.number or 1} of this phone is {first.login} (line {first.line}); give another line"


def _replace(key: AccountKey, changed: dict[str, dict[str, object]], macs: set[str]) -> None:
    document = changed[key.login]
    changed[key.login] = _without(
        key, document, [each for each in _devices(key, document) if each.mac not in macs]
    )


def _elsewhere(
    present: DomainDocuments,
    changed: dict[str, dict[str, object]],
    taken: Mapping[str, Sequence[PhoneRow]],
    *,
    move: bool,
) -> Iterator[CellProblem]:
    """Take the phones' lines of the table from other accounts of the domain, or warn of those."""
    wanted = {(row.mac, row.number or 1): row for rows in taken.values() for row in rows}
    for login in sorted(present.accounts.keys() | changed.keys()):
        key, document = AccountKey(present.name, login), changed.get(login, present.accounts.get(login, {}))
        devices = _devices(key, document)
        twice = [
            device
            for device in devices
            if wanted.get((device.mac, device.line), _NOBODY).login not in ("", login)
        ]
        if move and twice:
            changed[login] = _without(key, document, twice)
            continue
        for device in twice:
            row = wanted[device.mac, device.line]
            yield CellProblem(
                row.line, MAC, f"is on line {device.line} of {key} too; remove it there, or use --move"
            )


def _devices(key: AccountKey, document: Document) -> tuple[Device, ...]:
    account, _ = read_account(*key, document, origin=str(key), revision="")
    return account.devices if account is not None else ()


def merge_row(key: AccountKey, before: Document | None, row: PhoneRow) -> dict[str, object]:
    """The account's document with the row in it. Raises ``RowError``."""
    document = _copy(before)
    if before is None and PASSWORD not in row.values:
        raise RowError(LOGIN, f"there is no account {key}; give a password to make one, or correct the login")
    for column, value in row.values.items():
        if column in (NAME, PASSWORD):
            _set(document, (column,), value)
        elif column.startswith(("opts.", "ext.")):
            _set(document, tuple(column.split(".")), value)
    _put_device(key, document, row)
    account, problems = read_account(*key, document, origin=str(key), revision="")
    if account is None:
        raise RowError("", f"the account would not be readable: {problems[-1].detail}")
    return document


def _copy(document: Document | None) -> dict[str, object]:
    copied = text_tree(document or {})
    assert isinstance(copied, dict)
    return copied


def _set(target: dict[str, object], path: tuple[str, ...], value: str) -> None:
    """Set a field below ``target``; one that says the same but for blanks around it stays as it is."""
    for step in path[:-1]:
        inner = target.get(step)
        if inner is None:
            inner = target[step] = {}
        if not isinstance(inner, dict):
            raise RowError(".".join(path), f"the account's {step} is no object; correct the account")
        target = inner
    there = target.get(path[-1])
    if not (
        isinstance(there, str) and there.strip() == value.strip() and (there == value or path != (PASSWORD,))
    ):
        target[path[-1]] = value


def _put_device(key: AccountKey, document: dict[str, object], row: PhoneRow) -> None:
    known = _known(_devices(key, document), row)
    wanted = {_ELEMENT_FIELDS[name]: row.values[name] for name in (MODEL, LABEL) if name in row.values}
    wanted |= {
        column.partition(".")[2]: value
        for column, value in row.values.items()
        if column.startswith("device.")
    }
    if known is not None:
        wanted = {name: value for name, value in wanted.items() if not _says(known, name, value)}
        if not wanted:
            return
    elif MODEL not in row.values and not _flat_model(document):
        raise RowError(MODEL, "is empty; a new phone needs its model")
    element = _element(document, row, known)
    for name, value in wanted.items():
        _set(element, tuple(name.split(".")), value)


def _known(devices: Iterable[Device], row: PhoneRow) -> Device | None:
    """The device that the row is about; None for a new one."""
    same = [device for device in devices if device.mac == row.mac]
    if row.number is None and len(same) > 1:
        raise RowError(LINE, "is empty, and the account has this phone on several lines; give the line")
    return next((device for device in same if row.number is None or device.line == row.number), None)


def _says(device: Device, name: str, value: str) -> bool:
    there = device.model if name == "device_model" else _field(device.fields, name)
    return isinstance(there, str) and there.strip() == value


def _field(fields: Mapping[str, object], name: str) -> object:
    value: object = fields
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _flat_model(document: Mapping[str, object]) -> bool:
    opts = document.get("opts")
    return isinstance(opts, Mapping) and not blank(opts.get("ap_device_model"))


def _element(document: dict[str, object], row: PhoneRow, known: Device | None) -> dict[str, object]:
    """The element of ``opts.ap_devices`` for the row; a new one at the end where there is none."""
    opts = document.setdefault("opts", {})
    if opts is None:
        opts = document["opts"] = {}
    if not isinstance(opts, dict):
        raise RowError("", "the account's opts is no object; correct the account")
    listed = opts.get("ap_devices")
    elements = listed if isinstance(listed, list) else [] if blank(listed) else [listed]
    opts["ap_devices"] = elements
    if known is not None:
        for element in elements:
            if isinstance(element, dict) and element == known.fields:
                return element
    element = {"mac": colons(row.mac)}
    if row.number is not None:
        element["line"] = str(row.number)
    elements.append(element)
    return element


def _without(key: AccountKey, document: Document, gone: Sequence[Device]) -> dict[str, object]:
    """The document without the devices ``gone``."""
    copied = _copy(document)
    opts = copied.get("opts")
    if not gone or not isinstance(opts, dict):
        return copied
    listed = opts.get("ap_devices")
    elements = listed if isinstance(listed, list) else [] if blank(listed) else [listed]
    left = [element for element in elements if all(element != device.fields for device in gone)]
    if len(left) != len(elements):
        opts["ap_devices"] = left
    flat = opts.get("ap_mac_address")
    mac = parse_mac(flat) if isinstance(flat, str) else None
    if any(device.mac == mac for device in gone) and any(each in gone for each in _devices(key, copied)):
        del opts["ap_mac_address"]
    return copied


def phone_rows(documents: DomainDocuments) -> Iterator[dict[str, str]]:
    """The phones of a domain as rows of an export: by login, then as the account lists them."""
    for login, document in sorted(documents.accounts.items()):
        for device in _devices(AccountKey(documents.name, login), document):
            label = device.fields.get("label")
            yield {
                MAC: colons(device.mac),
                MODEL: device.model or "",
                LOGIN: login,
                DOMAIN: documents.name,
                LINE: str(device.line),
                LABEL: label.strip() if isinstance(label, str) else "",
                NAME: _text(document.get("name")),
                PASSWORD: _text(document.get("password")),
            }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def colons(mac: str) -> str:
    """A MAC in a notation that no spreadsheet takes for a number."""
    return ":".join(mac[at : at + 2] for at in range(0, 12, 2))
