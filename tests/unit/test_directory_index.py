"""From a MAC to its accounts: lines, conflicts, incremental changes."""

from __future__ import annotations

import random

import pytest

from era_ap.directory.index import DISPUTES_TOLD, Change, Conflict, DirectoryIndex, Phone
from era_ap.directory.model import Account, AccountKey, Domain, read_account, read_domain
from era_ap.directory.part import Part
from era_ap.errors import Problem, Reason, Severity

A, B = "001565000001", "001565000002"


def account(domain: str, login: str, *devices: tuple[str, int], revision: str = "r1") -> Account:
    document = {
        "opts": {"ap_devices": [{"mac": mac, "line": line, "device_model": "M"} for mac, line in devices]}
    }
    read, _ = read_account(domain, login, document, origin=f"{domain}/{login}.yml", revision=revision)
    assert read is not None
    return read


def domain(name: str, revision: str = "r1") -> Domain:
    read, _ = read_domain(name, {}, origin=name, revision=revision)
    assert read is not None
    return read


def index_of(*accounts: Account) -> DirectoryIndex:
    index = DirectoryIndex()
    index.apply(Change(accounts=accounts))
    return index


def logins(phone: Phone | Conflict | None) -> list[str]:
    assert isinstance(phone, Phone)
    return [each.key.login for each, _ in phone.lines]


def test_an_unknown_mac_is_nobodys() -> None:
    index = index_of(account("a.com", "1", (A, 1)))
    assert index.owners(B) == ()
    assert index.phone_of(B) is None
    assert index.owners("not a mac") == ()


def test_one_account() -> None:
    index = index_of(account("a.com", "1", (A, 1)))
    assert index.owners(A) == (AccountKey("a.com", "1"),)
    assert logins(index.phone_of(A)) == ["1"]
    assert index.problems == ()


@pytest.mark.parametrize("seed", range(5))
def test_lines_come_by_line_then_login_whatever_the_order_of_arrival(seed: int) -> None:
    accounts = [
        account("a.com", "30", (A, 1)),
        account("a.com", "10", (A, 3)),
        account("a.com", "20", (A, 2)),
        account("a.com", "11", (A, 3)),
    ]
    random.Random(seed).shuffle(accounts)
    index = index_of(*accounts)
    assert logins(index.phone_of(A)) == ["30", "20", "10", "11"]
    assert [key.login for key in index.owners(A)] == ["10", "11", "20", "30"]
    (problem,) = index.problems
    assert problem.severity is Severity.WARNING
    assert problem.where == "a.com/11.yml"
    assert "10@a.com" in problem.detail
    assert "line 3" in problem.detail


def test_one_account_may_hold_several_lines_of_a_phone() -> None:
    index = index_of(account("a.com", "1", (A, 2), (A, 1)), account("a.com", "0", (A, 3)))
    phone = index.phone_of(A)
    assert isinstance(phone, Phone)
    assert [(each.key.login, device.line) for each, device in phone.lines] == [("1", 1), ("1", 2), ("0", 3)]


def test_accounts_of_different_domains_conflict_and_both_are_named() -> None:
    index = index_of(
        account("b.com", "2", (A, 1)), account("a.com", "1", (A, 1)), account("a.com", "7", (B, 1))
    )
    assert index.phone_of(A) == Conflict(A, (AccountKey("a.com", "1"), AccountKey("b.com", "2")))
    assert logins(index.phone_of(B)) == ["7"]
    (problem,) = index.problems
    assert (problem.reason, problem.severity) == (Reason.MAC_CONFLICT, Severity.ERROR)
    for named in (A, "1@a.com", "2@b.com", "a.com/1.yml", "b.com/2.yml"):
        assert named in problem.detail


def test_a_conflict_ends_when_one_account_lets_go() -> None:
    index = index_of(account("a.com", "1", (A, 1)), account("b.com", "2", (A, 1)))
    index.apply(Change(accounts=(account("b.com", "2", (B, 1), revision="r2"),)))
    assert logins(index.phone_of(A)) == ["1"]
    assert logins(index.phone_of(B)) == ["2"]
    assert index.problems == ()


def test_a_removed_account_takes_its_macs_along() -> None:
    index = index_of(account("a.com", "1", (A, 1), (B, 1)), account("a.com", "2", (A, 2)))
    index.apply(Change(removed=(AccountKey("a.com", "1"),)))
    assert (index.owners(A), index.owners(B)) == ((AccountKey("a.com", "2"),), ())
    assert index.account(AccountKey("a.com", "1")) is None
    assert (len(index), list(index.macs)) == (1, [A])


def test_the_revision_counts_effective_changes_only() -> None:
    index = index_of(account("a.com", "1", (A, 1)))
    assert index.revision == 1
    index.apply(
        Change(
            accounts=(account("a.com", "1", (A, 1)),), removed=(AccountKey("x", "y"),), removed_domains=("z",)
        )
    )
    assert index.revision == 1
    index.apply(Change(accounts=(account("a.com", "1", (A, 1), revision="r2"),)))
    index.apply(Change(domains=(domain("a.com"),)))
    index.apply(Change(domains=(domain("a.com"),)))
    index.apply(Change(domains=(domain("a.com", "r2"),)))
    assert index.revision == 4
    index.apply(Change(removed_domains=("a.com",)))
    assert (index.revision, index.domain("a.com"), index.domains) == (5, None, ())


def test_reported_problems_are_replaced_not_added() -> None:
    index = DirectoryIndex()
    first, second = (Problem(Reason.ACCOUNT_INVALID, name, "broken") for name in ("x.yml", "y.yml"))
    index.apply(Change(problems=(first,)))
    index.apply(Change(problems=(second,)))
    assert index.problems == (second,)
    assert index.revision == 0


def test_a_phone_of_a_moment_ago_is_not_told_after_a_change() -> None:
    index = index_of(account("a.com", "1", (A, 1)))
    assert index.phone_of(A) is index.phone_of(A)
    index.apply(Change(accounts=(account("a.com", "2", (A, 2)),)))
    assert logins(index.phone_of(A)) == ["1", "2"]
    index.apply(Change(removed=(AccountKey("a.com", "1"), AccountKey("a.com", "2"))))
    assert index.phone_of(A) is None


def test_a_domain_of_a_moment_ago_is_not_told_after_a_change() -> None:
    index = DirectoryIndex()
    assert index.domain("a.com") is None
    for revision in ("r1", "r2"):
        index.apply(Change(domains=(domain("a.com", revision),)))
        found = index.domain("a.com")
        assert found is not None and found.revision == revision
    index.apply(Change(removed_domains=("a.com",)))
    assert index.domain("a.com") is None
    index.apply(Change(domains=(domain("a.com"),)))
    assert index.domain("a.com") is not None
    index.replace(Part())
    assert index.domain("a.com") is None


def test_many_disputes_are_counted_rather_than_told() -> None:
    macs = [f"{number:012x}" for number in range(1, DISPUTES_TOLD + 31)]
    index = index_of(
        account("a.com", "1", *((mac, line) for line, mac in enumerate(macs, 1))),
        account("b.com", "2", *((mac, line) for line, mac in enumerate(macs, 1))),
    )
    *told, counted = index.problems
    assert len(told) == DISPUTES_TOLD
    assert counted.detail.startswith("30 more MACs")


# --- several sources


def two_sources() -> DirectoryIndex:
    index = DirectoryIndex(("yaml:one", "sql:two"))
    index.apply(Change((account("a.com", "1", (A, 1)),), domains=(domain("a.com"),)), "yaml:one")
    return index


def test_while_a_source_was_never_loaded_nobody_is_unknown_for_sure() -> None:
    index = two_sources()
    assert not index.is_complete
    assert logins(index.phone_of(A)) == ["1"]
    assert index.phone_of(B) is None
    assert index.why_unknown is Reason.DIRECTORY_UNAVAILABLE
    index.apply(Change((account("b.com", "2", (B, 1)),), domains=(domain("b.com"),)), "sql:two")
    assert index.is_complete
    assert logins(index.phone_of(B)) == ["2"]
    assert index.why_unknown is Reason.MAC_UNKNOWN


def test_a_domain_of_two_sources_is_that_of_the_first() -> None:
    index = two_sources()
    index.apply(
        Change(
            (account("a.com", "9", (B, 1), revision="sql"), account("c.com", "3", (B, 2))),
            domains=(domain("a.com", "sql"), domain("c.com")),
        ),
        "sql:two",
    )
    own = index.domain("a.com")
    assert own is not None
    assert own.revision == "r1"
    assert index.account(AccountKey("a.com", "9")) is None
    assert index.owners(B) == (AccountKey("c.com", "3"),)
    (problem,) = index.problems
    assert problem.reason is Reason.DOMAIN_TWICE
    assert ("yaml:one" in problem.detail, "sql:two" in problem.detail) == (True, True)
    index.apply(Change(removed=(AccountKey("a.com", "1"),), removed_domains=("a.com",)), "yaml:one")
    own = index.domain("a.com")
    assert own is not None
    assert own.revision == "sql"
    assert index.owners(B) == (AccountKey("a.com", "9"), AccountKey("c.com", "3"))
    assert isinstance(index.phone_of(B), Conflict)


def test_a_mac_of_two_sources_is_a_conflict_that_is_told() -> None:
    index = two_sources()
    index.apply(Change((account("b.com", "2", (A, 1)),), domains=(domain("b.com"),)), "sql:two")
    assert index.phone_of(A) == Conflict(A, (AccountKey("a.com", "1"), AccountKey("b.com", "2")))
    (problem,) = index.problems
    assert problem.reason is Reason.MAC_CONFLICT
    assert (len(index.macs), list(index.macs)) == (1, [A])
    index.apply(Change(removed=(AccountKey("b.com", "2"),)), "sql:two")
    assert index.problems == ()
    assert logins(index.phone_of(A)) == ["1"]


def test_a_part_is_put_into_service_whole() -> None:
    index = two_sources()
    part = Part()
    part.apply(Change((account("b.com", "2", (A, 1)), account("b.com", "3", (B, 1)))))
    assert index.phone_of(B) is None
    revision = index.revision
    before = index.replace(part, "sql:two")
    assert (len(before.accounts), index.revision) == (0, revision + 1)
    assert logins(index.phone_of(B)) == ["3"]
    assert index.is_complete
    for _ in index.macs.crosscheck("sql:two"):
        pass
    assert [problem.reason for problem in index.problems] == [Reason.MAC_CONFLICT]


def test_a_part_with_gaps_serves_and_leaves_others_open() -> None:
    index = DirectoryIndex()
    part = Part()
    part.apply(Change((account("a.com", "1", (A, 1)),)))
    index.replace(part, complete=False)
    assert logins(index.phone_of(A)) == ["1"]
    assert index.why_unknown is Reason.DIRECTORY_UNAVAILABLE


def test_problems_of_all_sources_are_told() -> None:
    index = two_sources()
    for source in ("yaml:one", "sql:two"):
        index.apply(Change(problems=(Problem(Reason.ACCOUNT_INVALID, source, "broken"),)), source)
    assert [problem.where for problem in index.problems] == ["yaml:one", "sql:two"]
