"""Phones as rows of a table: CSV as spreadsheets write it, read row by row, and written.

Owns the columns, their names, the notation of cells and the sentence about each cell that cannot be used.
Takes lines of text and gives rows, so a file of any length needs no memory. Does not own what a row does to
an account (``phones_merge``) nor files.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from era_ap.directory.notation import MAC_ZERO, parse_domain, parse_login, parse_mac, shown

MAC, MODEL, LOGIN, DOMAIN, LINE = "mac", "model", "login", "domain", "line"
LABEL, NAME, PASSWORD = "label", "name", "password"
COLUMNS = (MAC, MODEL, LOGIN, DOMAIN, LINE, LABEL, NAME)
"""The columns of an export, in order; ``password`` follows where it is asked for."""

_NAMES = {
    MAC: ("mac", "macaddress", "devicemac", "devicemacaddress", "phonemac", "hwaddress"),
    MODEL: ("model", "devicemodel", "phonemodel"),
    LOGIN: ("login", "extension", "user", "username", "userid", "sipuser", "account", "number"),
    DOMAIN: ("domain", "domainname", "tenant", "realm"),
    LINE: ("line", "linenumber"),
    LABEL: ("label", "description"),
    NAME: ("name", "displayname", "fullname", "calleridname"),
    PASSWORD: ("password", "secret", "sippassword"),
}
_COLUMN_OF = {name: column for column, names in _NAMES.items() for name in names}
_PREFIXES = ("device.", "opts.", "ext.")
_SEPARATORS = ",;\t"
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


class TableError(ValueError):
    """The table as a whole cannot be read; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class CellProblem:
    """What is wrong in a row: its first line in the file, from 1, the column ("" the row), and a sentence."""

    line: int
    column: str
    detail: str


@dataclass(frozen=True, slots=True)
class PhoneRow:
    """One phone on one line of an account. ``values`` by column, or dotted field; no empty cells.

    ``line`` is the row's first line in the file, ``number`` the phone's line, None if the row gives none.
    """

    line: int
    mac: str
    domain: str
    login: str
    number: int | None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a table: for each position a column or dotted field, None for one that is not read."""

    columns: tuple[str | None, ...]
    unread: tuple[str, ...]


class Table:
    """The rows of a table whose text is ``lines`` (with their line ends).

    Raises:
        TableError: there is no header that can be used.
    """

    def __init__(self, lines: Iterable[str], default_domain: str | None = None) -> None:
        counted = iter(lines)
        first, skipped = _first_line(counted)
        self._reader = csv.reader(_chain(first, counted), delimiter=_separator(first), strict=True)
        self._skipped = skipped
        self._default_domain = default_domain
        try:
            cells = next(self._reader)
        except (csv.Error, StopIteration) as error:
            raise TableError(f"the header cannot be read: {error}") from None
        self.header = _read_header(cells, default_domain)

    def __iter__(self) -> Iterator[PhoneRow | CellProblem]:
        while True:
            line = self._reader.line_num + self._skipped + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield CellProblem(line, "", f"cannot be read ({error}); a quotation mark is not closed")
                continue
            if any(cell.strip() for cell in cells):
                yield self._row(line, cells)

    def _row(self, line: int, cells: list[str]) -> PhoneRow | CellProblem:
        columns = self.header.columns
        if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
            detail = (
                f"has {len(cells)} cells and the header {len(columns)}; a separator in a value needs quotes"
            )
            return CellProblem(line, "", detail)
        values: dict[str, str] = {}
        for column, cell in zip(columns, cells, strict=False):
            text = cell if column == PASSWORD else cell.strip()
            if column is None or not text.strip():
                continue
            if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text):
                return CellProblem(line, column, "is not UTF-8; save the table as 'CSV UTF-8'")
            values[column] = text[1:] if _ESCAPED.match(text) else text
        return _read_row(line, values, self._default_domain)


def _first_line(lines: Iterator[str]) -> tuple[str, int]:
    """The header's line, and the number of lines before it: blank ones and Excel's ``sep=;``."""
    for skipped, line in enumerate(lines):
        text = line.removeprefix("\ufeff")
        if text.strip() and not (skipped == 0 and re.fullmatch(r'"?sep=.\s*"?\s*', text)):
            return text, skipped
    raise TableError(
        "the table is empty; its first line must name the columns, such as mac,model,login,domain"
    )


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _separator(header: str) -> str:
    """What separates the columns: of comma, semicolon and tab the one that the header has most of."""
    outside = re.sub(r'"[^"]*"', "", header)
    return max(_SEPARATORS, key=outside.count)


def _read_header(cells: list[str], default_domain: str | None) -> Header:
    if any(letter < " " and not letter.isspace() for cell in cells for letter in cell):
        raise TableError("the file is no table of text in UTF-8; save it as 'CSV UTF-8'")
    columns = [_column(cell) for cell in cells]
    given = [column for column in columns if column is not None]
    twice = next((column for column in given if given.count(column) > 1), None)
    if twice is not None:
        raise TableError(f"two columns are {twice!r}; keep one")
    missing = [name for name in (MAC, LOGIN) if name not in given]
    if DOMAIN not in given and default_domain is None:
        missing.append(DOMAIN)
    if missing:
        named = ", ".join(cell.strip() for cell in cells if cell.strip())[:200]
        advice = " (or give --domain)" if DOMAIN in missing else ""
        raise TableError(
            f"the header has no column {' and no column '.join(missing)}{advice}; it has: {named}"
        )
    unread = [cell.strip() for cell, column in zip(cells, columns, strict=True) if column is None]
    return Header(tuple(columns), tuple(name for name in unread if name))


def _column(cell: str) -> str | None:
    text = cell.strip().lower()
    if text.startswith(_PREFIXES):
        dotted = cell.strip()
        path = dotted.partition(".")[2]
        usable = all(path.split(".")) and not path.startswith(("ap_devices", "ap_mac_address"))
        return f"{text.partition('.')[0]}.{path}" if usable else None
    return _COLUMN_OF.get(re.sub(r"[\s_-]", "", text))


def _read_row(line: int, values: dict[str, str], default_domain: str | None) -> PhoneRow | CellProblem:
    login, domain = values.pop(LOGIN, ""), values.pop(DOMAIN, "")
    if "@" in login and not domain:
        login, _, domain = login.rpartition("@")
    domain = domain or default_domain or ""
    name = parse_domain(domain.rstrip("."))
    mac_text, number = values.pop(MAC, ""), values.pop(LINE, "")
    mac = parse_mac(mac_text)
    if mac is None or mac == MAC_ZERO:
        return CellProblem(line, MAC, _mac_advice(mac_text))
    if parse_login(login) is None:
        return CellProblem(line, LOGIN, "is empty" if not login else f"{shown(login)} is no login")
    if name is None:
        return CellProblem(line, DOMAIN, "is empty" if not domain else f"{shown(domain)} is no domain name")
    if number and not (number.isascii() and number.isdecimal() and 0 < int(number) < 1_000_000):
        return CellProblem(line, LINE, f"{shown(number)} is no line; write a number from 1")
    return PhoneRow(line, mac, name, login, int(number) if number else None, values)


def _mac_advice(text: str) -> str:
    if not text:
        return "is empty"
    if re.fullmatch(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+", text):
        return f"{shown(text)} was taken for a number by the spreadsheet; format the column as text"
    if text.isascii() and text.isdecimal() and len(text) < 12:
        return f"{shown(text)} has lost its leading zeroes in the spreadsheet; format the column as text"
    return f"{shown(text)} is no MAC; write 12 hexadecimal digits, such as 00:15:65:00:00:01"


class TableWriter:
    """Rows of phones as text. ``excel``: for spreadsheets, with semicolons and formulas made harmless.

    ``text`` of such a table begins with a byte order mark, so that spreadsheets take it for UTF-8.
    """

    def __init__(self, *, excel: bool = False, passwords: bool = False) -> None:
        self._columns = (*COLUMNS, PASSWORD) if passwords else COLUMNS
        self._harmful = _FORMULA if excel else _ESCAPED
        self._excel = excel
        self._buffer = io.StringIO()
        end = "\r\n" if excel else "\n"
        self._writer = csv.writer(self._buffer, delimiter=";" if excel else ",", lineterminator=end)

    def header(self) -> str:
        """The first line."""
        return ("\ufeff" if self._excel else "") + self._line(self._columns)

    def row(self, values: Mapping[str, str]) -> str:
        """The line of one phone."""
        return self._line([self._cell(values.get(column, "")) for column in self._columns])

    def _cell(self, text: str) -> str:
        return f"'{text}" if self._harmful.match(text) else text

    def _line(self, cells: Sequence[str]) -> str:
        self._buffer.seek(0)
        self._buffer.truncate()
        self._writer.writerow(cells)
        return self._buffer.getvalue()
