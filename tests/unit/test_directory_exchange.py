"""Moving documents from one directory to another: what is done, told, kept and refused."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from era_ap.directory.comparison import Edit, Kind, Reading
from era_ap.directory.documents import Difference, Document, DomainDocuments, Stored
from era_ap.directory.exchange import Exchange
from era_ap.directory.model import AccountKey
from era_ap.errors import Problem, Reason, Refused

A, B = "a.example.com", "b.example.com"


@dataclass
class Memory:
    """A directory in memory: a reader and a writer. ``broken`` domains raise what they hold."""

    held: dict[str, DomainDocuments] = field(default_factory=dict)
    unreadable: dict[str, frozenset[str]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    broken: dict[str, Refused] = field(default_factory=dict)
    transactions: list[str] = field(default_factory=list)

    async def domains(self) -> tuple[str, ...]:
        return tuple(sorted(self.held))

    async def read(self, name: str) -> tuple[Reading, Sequence[Problem]]:
        hidden = self.unreadable.get(name, frozenset())
        problems = [Problem(Reason.ACCOUNT_INVALID, f"{name}/{login}", "bad") for login in sorted(hidden)]
        return Reading(self.held.get(name), hidden, name in self.lost), problems

    async def names(self, name: str) -> frozenset[str] | None:
        if name in self.lost:
            return None
        return frozenset(self.held[name].accounts) | self.unreadable.get(name, frozenset())

    async def documents(self, name: str) -> DomainDocuments | None:
        if name in self.broken:
            raise self.broken[name]
        return self.held.get(name)

    async def put(
        self, wanted: DomainDocuments, *, remove_others: bool = False, dry_run: bool = False
    ) -> Difference:
        assert not dry_run
        if wanted.name in self.broken:
            raise self.broken[wanted.name]
        before = self.held.get(wanted.name, DomainDocuments(wanted.name))
        accounts = dict(wanted.accounts) if remove_others else {**before.accounts, **wanted.accounts}
        own = wanted.document if remove_others or wanted.document is not None else before.document
        self.held[wanted.name] = DomainDocuments(wanted.name, own, accounts)
        self.transactions.append(wanted.name)
        same = [login for login, each in wanted.accounts.items() if before.accounts.get(login) == each]
        return Difference(
            added=tuple(sorted(wanted.accounts.keys() - before.accounts.keys())),
            changed=tuple(sorted(wanted.accounts.keys() & before.accounts.keys() - set(same))),
            removed=tuple(sorted(before.accounts.keys() - accounts.keys())),
            unchanged=len(same),
            domain=own != before.document,
        )

    async def remove_domain(self, name: str, *, expected: str | None = None) -> bool:
        self.transactions.append(name)
        return self.held.pop(name, None) is not None

    async def write_account(self, key: AccountKey, document: Document, *, expected: str | None = None) -> str:
        raise NotImplementedError

    async def write_domain(self, name: str, document: Document, *, expected: str | None = None) -> str:
        raise NotImplementedError

    async def remove_account(self, key: AccountKey, *, expected: str | None = None) -> bool:
        raise NotImplementedError

    async def account(self, key: AccountKey) -> Stored | None:
        raise NotImplementedError

    async def domain(self, name: str) -> Stored | None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


@dataclass
class Notes:
    """An observer that remembers."""

    problems: list[Problem] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    progressed: list[tuple[int, int, int]] = field(default_factory=list)

    def problem(self, problem: Problem) -> None:
        self.problems.append(problem)

    def edit(self, edit: Edit) -> None:
        self.edits.append(edit)

    def progress(self, domains: int, of: int, accounts: int) -> None:
        self.progressed.append((domains, of, accounts))


def domain(of: str, *logins: str, own: bool = False, **fields: str) -> DomainDocuments:
    return DomainDocuments(of, {"settings": {}} if own else None, dict.fromkeys(logins, fields))


def memory(*domains: DomainDocuments) -> Memory:
    return Memory({each.name: each for each in domains})


def told(notes: Notes) -> list[tuple[str, str]]:
    return [(edit.kind.value, str(edit)) for edit in notes.edits]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_an_import_adds_and_updates_and_removes_nothing() -> None:
    target = memory(domain(A, "1", "3", name="old"), domain(B, "7"))
    exchange = Exchange(memory(domain(A, "1", "2", name="new")), target, notes := Notes())
    totals = run(exchange.run())
    assert (totals.added, totals.changed, totals.removed) == (1, 1, 0)
    assert told(notes) == [("add", f"2@{A}"), ("change", f"1@{A}")]
    assert set(target.held[A].accounts) == {"1", "2", "3"}
    assert B in target.held
    assert target.transactions == [A]


def test_importing_again_changes_nothing() -> None:
    source, target = memory(domain(A, "1", "2", own=True)), memory()
    run(Exchange(source, target, Notes()).run())
    totals = run(Exchange(source, target, notes := Notes()).run())
    assert not totals.differs
    assert totals.unchanged == 2
    assert notes.edits == []


def test_a_mirror_makes_the_target_equal() -> None:
    source, target = (
        memory(domain(A, "1")),
        memory(domain(A, "1", "2", own=True), domain(B, "7", "8", own=True)),
    )
    totals = run(Exchange(source, target, notes := Notes(), mirror=True).run())
    assert target.held == source.held
    assert (totals.removed, totals.domains_removed, totals.unchanged) == (3, 1, 1)
    assert ("remove", f"7@{B}") in told(notes)
    assert ("remove", B) in told(notes)


@pytest.mark.parametrize("mirror", [False, True])
def test_a_preview_tells_what_a_run_does(mirror: bool) -> None:
    def sides() -> tuple[Memory, Memory]:
        source = memory(domain(A, "1", "2", "4", own=True), domain("c.example.com", "9"))
        source.unreadable[A] = frozenset({"3"})
        return source, memory(domain(A, "1", "3", name="x"), domain(B, "7", "8"))

    source, target = sides()
    before = dict(target.held)
    previewed = run(Exchange(source, target, first := Notes(), mirror=mirror).preview())
    assert target.held == before
    assert target.transactions == []
    done = run(Exchange(*sides(), second := Notes(), mirror=mirror).run())
    assert previewed == done
    assert sorted(told(first)) == sorted(
        (("add", A) if each == ("change", A) else each) for each in told(second)
    )


def test_what_cannot_be_read_is_neither_written_nor_removed() -> None:
    source, target = memory(domain(A, "1"), domain(B)), memory(domain(A, "1", "2", "3"), domain(B, "7"))
    source.unreadable[A] = frozenset({"2"})
    source.lost.add(B)
    totals = run(Exchange(source, target, notes := Notes(), mirror=True).run())
    assert set(target.held[A].accounts) == {"1", "2"}
    assert set(target.held[B].accounts) == {"7"}
    assert totals.failed == 2
    assert [problem.where for problem in notes.problems] == [f"{A}/2"]


def test_a_domain_that_is_refused_does_not_stop_the_others() -> None:
    source, target = memory(domain(A, "1"), domain(B, "2")), memory()
    target.broken[A] = Refused(Reason.ACCOUNT_INVALID, "1@a: too odd")
    totals = run(Exchange(source, target, notes := Notes()).run())
    assert (totals.failed, totals.added) == (1, 1)
    assert [(problem.where, problem.detail) for problem in notes.problems] == [(A, "1@a: too odd")]


def test_a_target_that_goes_away_ends_it() -> None:
    target = memory()
    target.broken[B] = Refused(Reason.DIRECTORY_UNAVAILABLE, "gone")
    with pytest.raises(Refused, match="gone"):
        run(Exchange(memory(domain(A, "1"), domain(B, "2")), target, Notes()).run())
    assert set(target.held) == {A}


@pytest.mark.parametrize(
    ("wanted", "there", "allowed"),
    [
        (95, 100, True),
        (89, 100, False),
        (490, 500, True),
        (0, 1, False),
        (1, 2, True),
        (1, 3, False),
    ],
)
def test_the_guard_counts_accounts(wanted: int, there: int, allowed: bool) -> None:
    source, target = memory(domain(A, *map(str, range(wanted)))), memory(domain(A, *map(str, range(there))))
    check = Exchange(source, target, Notes(), mirror=True).guard()
    if allowed:
        run(check)
    else:
        with pytest.raises(Refused, match=f"{there - wanted:,} of {there:,} accounts"):
            run(check)


def test_the_guard_counts_domains() -> None:
    names = [f"d{number}.example.com" for number in range(30)]
    source, target = memory(*map(domain, names[:25])), memory(*map(domain, names))
    with pytest.raises(Refused, match="5 of 30 domains") as refused:
        run(Exchange(source, target, Notes(), mirror=True).guard())
    assert refused.value.reason is Reason.DIRECTORY_GUARD
    run(Exchange(memory(*map(domain, names[:28])), target, Notes(), mirror=True).guard())


def test_the_guard_takes_nothing_unreadable_for_gone() -> None:
    source = memory(domain(A))
    source.unreadable[A] = frozenset("123")
    run(Exchange(source, memory(domain(A, "1", "2", "3")), Notes(), mirror=True).guard())


@pytest.mark.parametrize("mirror", [False, True])
def test_a_folder_without_files_is_no_domain(mirror: bool) -> None:
    class Empty(Memory):
        async def read(self, name: str) -> tuple[Reading, Sequence[Problem]]:
            return Reading(None), ()

    source, target = Empty({A: domain(A), B: domain(B)}), memory(domain(A, "1"))
    previewed = run(Exchange(source, target, Notes(), mirror=mirror).preview())
    assert run(Exchange(source, target, Notes(), mirror=mirror).run()) == previewed
    assert previewed.domains_removed == mirror
    assert set(target.held) == (set() if mirror else {A})


def test_progress_is_told_domain_by_domain() -> None:
    run(Exchange(memory(domain(A, "1"), domain(B, "2", "3")), memory(), notes := Notes()).run())
    assert notes.progressed == [(1, 2, 1), (2, 2, 3)]


def test_kinds_are_words_for_programs() -> None:
    assert [kind.value for kind in Kind] == ["add", "change", "remove"]
