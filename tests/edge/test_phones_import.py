"""A table of phones taken into a folder: transactions, findings by line, nothing done in a dry run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from era_ap.directory.comparison import Edit
from era_ap.directory.documents import Difference, DomainDocuments
from era_ap.directory.exchange import Totals
from era_ap.directory.folder_writer import FolderWriter
from era_ap.directory.model import AccountKey
from era_ap.directory.phones_csv import PhoneRow, Table
from era_ap.directory.phones_import import ImportPlan, PhonesImport
from era_ap.directory.phones_merge import Policy
from era_ap.directory.row_store import RowStore
from era_ap.errors import Problem, Reason, Refused, Severity

A, B = "a.example.com", "b.example.com"


@dataclass
class Notes:
    problems: list[Problem] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    progressed: list[tuple[int, int, int]] = field(default_factory=list)

    def problem(self, problem: Problem) -> None:
        self.problems.append(problem)

    def edit(self, edit: Edit) -> None:
        self.edits.append(edit)

    def progress(self, domains: int, of: int, accounts: int) -> None:
        self.progressed.append((domains, of, accounts))


@pytest.fixture
def writer(tmp_path: Path) -> FolderWriter:
    writer = FolderWriter(tmp_path / "directory")
    for name in (A, B):
        asyncio.run(writer.put(DomainDocuments(name, {"settings": {}}, {"101": {"name": "Anna"}})))
    return writer


def accounts(writer: FolderWriter, name: str) -> dict[str, Any]:
    documents = asyncio.run(writer.documents(name))
    return {} if documents is None else dict(documents.accounts)


def take(
    writer: FolderWriter, *rows: str, header: str = "mac,model,login,domain,password", **plan: bool
) -> tuple[Totals, Notes]:
    policy = Policy(plan.pop("replace", False), plan.pop("move", False))
    notes = Notes()
    importing = PhonesImport("t.csv", writer, notes, ImportPlan(policy, **plan))
    importing.read(Table([f"{line}\n" for line in (header, *rows)]), lambda _: None)
    return asyncio.run(importing.run()), notes


def found(notes: Notes) -> list[str]:
    return [f"{each.where} {each.detail}" for each in notes.problems]


def test_phones_and_accounts_are_taken_over_domain_by_domain(writer: FolderWriter) -> None:
    totals, notes = take(
        writer,
        f"001565000001,T46S,101,{A},",
        f"001565000002,T46S,101,{B},",
        f"001565000003,T46S,102,{A},p",
    )
    assert totals == Totals(added=1, changed=2)
    assert [str(edit) for edit in notes.edits] == [f"101@{A}", f"102@{A}", f"101@{B}"]
    assert notes.progressed == [(1, 2, 2), (2, 2, 3)]
    assert set(accounts(writer, A)) == {"101", "102"}


def test_taken_in_again_nothing_changes(writer: FolderWriter) -> None:
    rows = (f"001565000001,T46S,101,{A},", f"001565000003,T46S,102,{A},p")
    take(writer, *rows)
    totals, notes = take(writer, *rows)
    assert totals == Totals(unchanged=2)
    assert notes.edits == []


def test_a_dry_run_tells_the_same_and_changes_nothing(writer: FolderWriter) -> None:
    rows = (f"001565000001,T46S,101,{A},", f"bad,T46S,102,{A},p", f"001565000003,T46S,103,{A},p")
    before = accounts(writer, A)
    dry = take(writer, *rows, dry_run=True)
    assert accounts(writer, A) == before
    assert take(writer, *rows) == dry


@pytest.mark.parametrize("times", [1, 100])
def test_what_somebody_edits_meanwhile_is_not_undone(
    writer: FolderWriter, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    put, edits = FolderWriter.put, count(1)

    async def put_late(self: FolderWriter, wanted: DomainDocuments, **how: Any) -> Difference:
        number = next(edits)
        if number <= times:
            await self.write_account(AccountKey(A, "101"), {"password": f"new {number}"})
        return await put(self, wanted, **how)

    monkeypatch.setattr(FolderWriter, "put", put_late)
    totals, notes = take(writer, f"001565000001,T46S,101,{A},")
    account = accounts(writer, A)["101"]
    if times == 1:
        assert (totals, account["password"]) == (Totals(changed=1), "new 1")
        assert "001565000001" in str(account["opts"]).replace(":", "")
    else:
        assert (totals.failed, "opts" in account) == (1, False)
        assert found(notes) == [f"{A} 101@{A} has changed meanwhile"]


def test_rows_that_cannot_be_taken_over_do_not_stop_the_others(writer: FolderWriter) -> None:
    totals, notes = take(
        writer,
        f"bad,T46S,101,{A},",
        f"001565000001,T46S,999,{A},",
        f"001565000002,T46S,101,{A},",
        "001565000003,T46S,101,c.example.com,p",
    )
    assert totals == Totals(changed=1, failed=3)
    assert [each.partition(": ")[0] for each in found(notes)] == [
        "t.csv:2 mac",
        "t.csv:3 login",
        "t.csv:5 domain",
    ]


def test_domains_are_made_only_when_asked(writer: FolderWriter) -> None:
    totals, _ = take(writer, "001565000003,T46S,101,c.example.com,p", create_domains=True)
    assert totals == Totals(added=1)
    assert set(accounts(writer, "c.example.com")) == {"101"}


def test_a_mac_has_one_domain(writer: FolderWriter) -> None:
    totals, notes = take(
        writer, f"001565000001,T,101,{B},", f"001565000001,T,101,{A},", f"00:15:65:00:00:01,T,102,{B},p"
    )
    assert totals.failed == 2
    assert found(notes)[0] == f"t.csv:3 mac: belongs to {B} in line 2; a phone has one domain"


def test_replace_is_off_while_a_row_of_the_table_is_bad(writer: FolderWriter) -> None:
    take(writer, f"001565000001,T,101,{A},", f"001565000002,T,101,{A},")
    totals, _ = take(writer, f"001565000001,T,101,{A},", "bad,T,101,", replace=True)
    assert totals == Totals(unchanged=1, failed=1)
    totals, _ = take(writer, f"001565000001,T,101,{A},", replace=True)
    assert totals == Totals(changed=1)


def test_a_phone_moves(writer: FolderWriter) -> None:
    take(writer, f"001565000001,T,101,{A},")
    totals, notes = take(writer, f"001565000001,T,102,{A},p", move=True)
    assert (totals.added, totals.changed) == (1, 1)
    assert notes.problems == []


def test_columns_that_are_not_read_are_warnings(writer: FolderWriter) -> None:
    totals, notes = take(writer, f"001565000001,T,101,{A},x", header="mac,model,login,domain,Notes")
    assert totals.failed == 0
    (problem,) = notes.problems
    assert (problem.severity, problem.detail) == (
        Severity.WARNING,
        "Notes: is no column of phones; it is not read",
    )


def test_a_domain_that_cannot_be_edited_is_told(writer: FolderWriter, tmp_path: Path) -> None:
    (tmp_path / "directory" / A / "sipusers" / "bad.yml").write_text("a: [")
    totals, notes = take(writer, f"001565000001,T,101,{A},", f"001565000002,T,101,{B},")
    assert (totals.failed, totals.changed) == (1, 1)
    assert "bad.yml" in found(notes)[0]


def test_a_directory_that_goes_away_ends_it(writer: FolderWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: object, **__: object) -> None:
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, "gone")

    monkeypatch.setattr(writer, "put", gone)
    with pytest.raises(Refused, match="gone"):
        take(writer, f"001565000001,T,101,{A},")


def test_rows_come_back_domain_by_domain_in_their_order() -> None:
    store = RowStore()
    rows = [
        PhoneRow(
            line,
            f"{line:012x}",
            (A, B)[line % 2],
            str(-line),
            line % 3 or None,
            {"name": "é\n"} if line % 5 else {},
        )
        for line in range(2, 20_002)
    ]
    for row in rows:
        store.add(row)
    store.finish()
    assert list(store.claimed_twice()) == []
    assert store.domains() == [(A, 10_000), (B, 10_000)]
    assert [*store.rows(A), *store.rows(B)] == [*rows[::2], *rows[1::2]]
    store.close()
