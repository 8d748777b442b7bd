"""Tables of phones as spreadsheets and tools write them, row by row."""

from __future__ import annotations

import csv
import io

import pytest

from era_ap.directory.phones_csv import CellProblem, PhoneRow, Table, TableError, TableWriter

HEADER = "mac,model,login,domain,line,label,name,password\n"
ROW = PhoneRow(2, "001565000001", "a.example.com", "101", None, {"model": "T46S"})


def read(text: str, domain: str | None = None) -> list[PhoneRow | CellProblem]:
    return list(Table(text.splitlines(keepends=True), domain))


def problem(cells: str) -> tuple[str, str]:
    (found,) = read(HEADER + cells + "\n")
    assert isinstance(found, CellProblem)
    assert found.line == 2
    return found.column, found.detail


@pytest.mark.parametrize(
    "text",
    [
        "mac,model,login,domain\n00:15:65:00:00:01,T46S,101,a.example.com\n",
        "mac;model;login;domain\r\n00-15-65-00-00-01;T46S;101;A.Example.com\r\n",
        "\ufeffMAC\tModel\tLogin\tDomain\n0015.6500.0001\tT46S\t101\ta.example.com.\n",
        '"MAC Address","Phone-Model","Extension",Domain_Name\n"001565000001","T46S","101",a.example.com\n',
        "domain,login,mac,model\n a.example.com , 101 ,001565000001, T46S \n",
        "mac,model,login\n001565000001,T46S,101@a.example.com\n".replace("login", "login,domain"),
        "mac,model,login,domain,line,label\n001565000001,T46S,101,a.example.com\n",
        "mac,model,login,domain\n001565000001,T46S,101,a.example.com,,\n",
    ],
)
def test_the_same_row_in_many_notations(text: str) -> None:
    assert read(text) == [ROW]


@pytest.mark.parametrize("before", ["sep=;\r\n", '"sep=;"\n'])
def test_the_hint_of_excel_is_passed_over_and_counted(before: str) -> None:
    (row,) = read(f"{before}mac;login;domain\n001565000001;101;a.example.com\n")
    assert isinstance(row, PhoneRow)
    assert row.line == 3


def test_lines_are_counted_through_blank_ones_and_values_of_several_lines() -> None:
    rows = read(f'{HEADER}\n001565000001,T,101,a.de,,,"Anna\nB"\n,,,,\n001565000002,T,102,a.de\n')
    assert [(row.line, row.login) for row in rows if isinstance(row, PhoneRow)] == [(3, "101"), (6, "102")]
    assert isinstance(rows[0], PhoneRow)
    assert rows[0].values["name"] == "Anna\nB"


def test_all_columns_and_fields_of_ones_own() -> None:
    header = HEADER.strip() + ",device.firmware,ext.Room.no,opts.x\n"
    (row,) = read(header + "001565000001,T46S,101,a.de,2,Desk,Anna, pass ,28.80,7,y\n")
    assert row == PhoneRow(
        2,
        "001565000001",
        "a.de",
        "101",
        2,
        {
            "model": "T46S",
            "label": "Desk",
            "name": "Anna",
            "password": " pass ",
            "device.firmware": "28.80",
            "ext.Room.no": "7",
            "opts.x": "y",
        },
    )


def test_a_default_domain_stands_in_for_the_column_and_for_empty_cells() -> None:
    (row,) = read("mac,login\n001565000001,101\n", "a.example.com")
    assert isinstance(row, PhoneRow)
    assert row.domain == "a.example.com"
    (row,) = read("mac,login,domain\n001565000001,101,\n", "a.example.com")
    assert isinstance(row, PhoneRow)
    assert row.domain == "a.example.com"


@pytest.mark.parametrize(
    ("cells", "column", "sentence"),
    [
        (",T,101,a.de", "mac", "is empty"),
        ("1565000001,T,101,a.de", "mac", "lost its leading zeroes"),
        ("1.565E+09,T,101,a.de", "mac", "taken for a number"),
        ("00:15:65:00:00,T,101,a.de", "mac", "is no MAC"),
        ("000000000000,T,101,a.de", "mac", "is no MAC"),
        ("001565000001,T,,a.de", "login", "is empty"),
        ("001565000001,T,101,", "domain", "is empty"),
        ("001565000001,T,101,a b", "domain", "is no domain name"),
        ("001565000001,T,101,a.de,first", "line", "is no line"),
        ("001565000001,T,101,a.de,0", "line", "is no line"),
        ("001565000001,T,101,a.de,1,x,y,z,too,many", "", "10 cells and the header 8"),
        ("001565000001,T\udce9,101,a.de", "model", "CSV UTF-8"),
        ('"001565000001"x,T,101,a.de', "", "quotation mark"),
    ],
)
def test_a_cell_that_cannot_be_used_is_told(cells: str, column: str, sentence: str) -> None:
    found, detail = problem(cells)
    assert found == column
    assert sentence in detail


def test_a_broken_row_does_not_take_the_next_one_with_it() -> None:
    rows = read(HEADER + '"001565000001"x,T,101,a.de\n001565000002,T,102,a.de\n')
    assert [type(row) for row in rows] == [CellProblem, PhoneRow]
    assert rows[1].line == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("model,login,domain\n", "no column mac"),
        ("mac,login\n", "no column domain (or give --domain)"),
        ("mac,login,domain,MAC Address\n", "two columns are 'mac'"),
        ("001565000001,T46S,101,a.de\n", "no column mac and no column login"),
        ("PK\x03\x04\x14\n", "no table of text"),
        ("m\0a\0c\0,\0l\0o\0g\0i\0n\0\n", "no table of text"),
    ],
)
def test_a_header_that_cannot_be_used(text: str, sentence: str) -> None:
    with pytest.raises(TableError) as error:
        read(text)
    assert sentence in str(error.value)


def test_columns_that_are_not_read_are_named() -> None:
    header = "mac,login,domain,Notes,opts.ap_devices,,device.\n"
    assert Table([header]).header.unread == ("Notes", "opts.ap_devices", "device.")


@pytest.mark.parametrize("excel", [False, True])
def test_what_is_written_reads_back(excel: bool) -> None:
    hostile = ["=1+1", "+79991234567", "-x", "@x", "'=x", "''+", 'a"b', "a;b,c", "a\nb", "'plain", "Тест 😀"]
    writer = TableWriter(excel=excel, passwords=True)
    text = writer.header()
    for name in hostile:
        values = {
            "mac": "00:15:65:00:00:01",
            "login": "101",
            "domain": "a.de",
            "name": name,
            "password": name,
        }
        text += writer.row(values)
    rows = list(Table(io.StringIO(text, newline="")))
    assert [row.values["name"] for row in rows if isinstance(row, PhoneRow)] == hostile
    assert [row.values["password"] for row in rows if isinstance(row, PhoneRow)] == hostile


def test_a_table_for_spreadsheets_starts_no_formula() -> None:
    writer = TableWriter(excel=True)
    assert writer.header() == "\ufeffmac;model;login;domain;line;label;name\r\n"
    for name in ("=1+1", "+1", "-1", "@x", "\t=1"):
        (cells,) = csv.reader([writer.row({"name": name})], delimiter=";")
        assert cells[-1].startswith("'")


def test_passwords_are_exported_only_when_asked() -> None:
    assert "password" not in TableWriter().header()
    assert "s3cret" not in TableWriter().row({"password": "s3cret"})
