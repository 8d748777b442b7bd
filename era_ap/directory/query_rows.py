"""The rows of a foreign database as documents of accounts and domains: the contract of ``queries``.

Owns what each column of the operator's queries means. Does not own running them (``sql_queries``). A query
is any one SELECT; ``:NAME`` in it stands for a value of ``parameters``. NULL is "not given". Upper case in
names of domains is lowered; a key is spelt as the column is. A column whose name, or its last part, is
``opts``, ``ext``, ``settings``, ``fields``, ``blf``, ``override``, ``ap_blf``, ``ap_override`` or
``ap_devices`` may hold a JSON object or list, as JSON or as text.

accounts (required), one row an account:
    domain, login         identity; a second row of the same identity is a problem and is not used
    opts, ext, fields     JSON objects; the keys of ``fields`` stand beside ``login``
    opts.PATH, ext.PATH   one value below opts or ext, like "ext.timezone"
    anything else         a field of that name, like password, reg, name; dots make objects
devices, one row for each line of each phone:
    domain, login         the account that the line belongs to
    mac                   any notation; a row without one is left out
    line                  number of the line, from 1; rows are taken by it, then in the order given
    anything else         a field of the element of opts.ap_devices, like device_model, blf, override; dots
                          make objects
keys, one row for each BLF or function key, in order:
    domain, login         the account
    mac                   the phone that the key is on; NULL or no such column: ext.ap_blf, all its phones
    anything else         a field of the entry, like type, number, label; dots make objects
domains, one row a domain, or several that are merged:
    domain                its name; domains that only accounts name need no row
    settings              JSON object
    settings.PATH         one value below settings
    constants.KEY         one constant: settings.ap_constants.KEY
    constant, value       one constant a row, for tables of name and value
changed, one row:
    any columns           a fingerprint; while it stays the same nothing else is read
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from era_ap.directory.model import AccountKey
from era_ap.directory.notation import parse_mac
from era_ap.directory.query_columns import Columns, Row, RowFindings, put
from era_ap.errors import Severity

_LATE = 1 << 30

REQUIRED = {
    "accounts": ("domain", "login"),
    "devices": ("domain", "login", "mac"),
    "keys": ("domain", "login"),
    "domains": ("domain",),
}
_OPTIONAL = {"keys": ("mac",), "domains": ("constant", "value"), "devices": (), "accounts": ()}


def columns_of(query: str, names: Sequence[str]) -> Columns:
    """The columns of a query; raises ``Refused`` DIRECTORY_UNAVAILABLE where a required one lacks."""
    return Columns.of(query, names, REQUIRED[query], _OPTIONAL[query])


class ForeignRows:
    """Puts the rows of one look together: devices, keys and domains first, then the accounts they belong to.

    ``domains`` are documents by name, of domains that accounts name too; ``findings`` is what was wrong.
    """

    def __init__(self, origin: str) -> None:
        self.findings = RowFindings(origin)
        self.domains: dict[str, dict[str, Any]] = {}
        self._devices: dict[AccountKey, list[dict[str, Any]]] = {}
        self._keys: dict[AccountKey, list[tuple[str | None, dict[str, Any]]]] = {}
        self._seen: set[AccountKey] = set()

    def add_devices(self, columns: Columns, rows: Iterable[Row]) -> None:
        """Rows of the query ``devices``."""
        for row in rows:
            mac = columns.text(row, "mac")
            key = columns.key(row, self.findings) if mac and mac.strip() else None
            if key is not None:
                element: dict[str, Any] = {"mac": mac}
                columns.fill(row, element, self.findings)
                self._devices.setdefault(key, []).append(element)

    def add_keys(self, columns: Columns, rows: Iterable[Row]) -> None:
        """Rows of the query ``keys``."""
        for row in rows:
            key = columns.key(row, self.findings)
            if key is not None:
                entry: dict[str, Any] = {}
                columns.fill(row, entry, self.findings)
                self._keys.setdefault(key, []).append((columns.text(row, "mac"), entry))

    def add_domains(self, columns: Columns, rows: Iterable[Row]) -> None:
        """Rows of the query ``domains``."""
        for row in rows:
            name = columns.domain(row, self.findings)
            if name is None:
                continue
            settings = self.domains.setdefault(name, {"settings": {}})["settings"]
            given: dict[str, Any] = {}
            columns.fill(row, given, self.findings)
            constants = {".".join(path): value for path, value in _leaves(given.pop("constants", {}))}
            constant, value = columns.text(row, "constant"), columns.text(row, "value")
            if constant and value is not None:
                constants[constant] = value
            for key, each in given.pop("settings", {}).items():
                put(settings, (key,), each)
            if constants:
                put(settings, ("ap_constants",), constants)

    def documents(self, columns: Columns, rows: Iterable[Row]) -> list[tuple[AccountKey, dict[str, Any]]]:
        """The accounts of rows of the query ``accounts``, with their devices and keys."""
        found = []
        for row in rows:
            key = columns.key(row, self.findings)
            if key is None:
                continue
            if key in self._seen:
                self.findings.add(f"query accounts: {key} is there twice; the second row is not used")
                continue
            self._seen.add(key)
            document: dict[str, Any] = {}
            columns.fill(row, document, self.findings)
            document |= document.pop("fields", {})
            document |= {"login": key.login, "domain": key.domain}
            self._attach(key, document)
            self.domains.setdefault(key.domain, {})
            found.append((key, document))
        return found

    def finish(self) -> None:
        """All accounts were there: tell which rows belong to none."""
        for query, rest in (("devices", self._devices), ("keys", self._keys)):
            for key in rest:
                detail = f"query {query}: rows of {key}, which the query accounts does not give, are not used"
                self.findings.add(detail, Severity.WARNING)

    def _attach(self, key: AccountKey, document: dict[str, Any]) -> None:
        elements = sorted(self._devices.pop(key, ()), key=_line)
        for mac, entry in self._keys.pop(key, ()):
            if mac is None or not mac.strip():
                put(document, ("ext", "ap_blf"), [*_listed(document, "ext", "ap_blf"), entry])
                continue
            on = [element for element in elements if parse_mac(element["mac"]) == parse_mac(mac)]
            if not on:
                self.findings.add(f"query keys: {key} has no phone {mac:.20}", Severity.WARNING)
            for element in on[:1]:
                blf = element.get("blf")
                element["blf"] = [*(blf if isinstance(blf, list) else []), entry]
        if elements:
            put(document, ("opts", "ap_devices"), [*_listed(document, "opts", "ap_devices"), *elements])


def _line(element: dict[str, Any]) -> int:
    text = str(element.get("line", "1")).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else _LATE


def _listed(document: dict[str, Any], section: str, name: str) -> list[Any]:
    """What a column gave already, as a list."""
    inner = document.get(section)
    value = inner.get(name) if isinstance(inner, dict) else None
    return value if isinstance(value, list) else [] if value is None else [value]


def _leaves(value: object, path: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    else:
        yield path, value
