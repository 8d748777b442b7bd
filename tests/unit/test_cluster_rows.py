"""The directory as rows: exactly what a group owns, in the right buckets, however it came to be."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era_ap.cluster import rows as module
from era_ap.cluster.buckets import BUCKETS, Row, bucket_of_domain, bucket_of_mac, revision_digest
from era_ap.cluster.rows import NOBODY, Place, RowTable
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.model import Account, AccountKey, Device, Domain
from era_ap.directory.source import Change

MAC = "001565000001"
OTHER = "001565000002"


class Directory:
    """Accounts and domains as an index keeps them, with a table that is told before each change."""

    def __init__(self, group_of: module.GroupOf = lambda _: 1) -> None:
        self.accounts: dict[AccountKey, Account] = {}
        self.domains: dict[str, Domain] = {}
        self.group_of = group_of
        self.table = RowTable(group_of)

    def account(self, key: AccountKey) -> Account | None:
        return self.accounts.get(key)

    def domain(self, name: str) -> Domain | None:
        return self.domains.get(name)

    def apply(self, change: Change) -> frozenset[Place]:
        touched = self.table.take(change, self)
        self.accounts.update({account.key: account for account in change.accounts})
        for key in change.removed:
            self.accounts.pop(key, None)
        self.domains.update({domain.name: domain for domain in change.domains})
        for name in change.removed_domains:
            self.domains.pop(name, None)
        return touched

    def put(self, key: str, *macs: str, revision: str = "1") -> frozenset[Place]:
        return self.apply(Change(accounts=(account(key, *macs, revision=revision),)))

    def remove(self, key: str) -> frozenset[Place]:
        return self.apply(Change(removed=(account(key).key,)))

    def check(self) -> None:
        """The table holds what the directory does, each row in its group and bucket, and nothing else."""
        wanted: dict[Place, set[Row]] = {}
        for each in self.accounts.values():
            group = self.group_of(each.key.domain)
            for device in each.devices:
                mac = int(device.mac, 16)
                line = min(other.line for other in each.lines_on(device.mac))
                row = Row(mac, *each.key, line, revision_digest(each.revision))
                if group is not None:
                    wanted.setdefault((group, bucket_of_mac(mac)), set()).add(row)
        assert held(self.table) == wanted
        known = {
            name: (self.group_of(name), bucket_of_domain(name), revision_digest(domain.revision))
            for name, domain in self.domains.items()
            if self.group_of(name) is not None
        }
        assert held_settings(self.table) == known


def account(key: str, *macs: str, revision: str = "1", line: int = 1) -> Account:
    login, domain = key.split("@")
    devices = tuple(Device(mac, "T46S", line, None, None, {}) for mac in macs)
    return Account(AccountKey(domain, login), {}, devices, True, revision, key)


def domain(name: str, revision: str = "1") -> Domain:
    return Domain(name, {}, {}, (), revision, name)


def places() -> Iterable[Place]:
    return ((group, number) for group in (1, 2, 3) for number in range(BUCKETS))


def held(table: RowTable) -> dict[Place, set[Row]]:
    found = {place: table.bucket(*place) for place in places()}
    return {
        place: set(bucket.rows()) for place, bucket in found.items() if bucket is not None and bucket.count
    }


def held_settings(table: RowTable) -> dict[str, tuple[int | None, int, int]]:
    return {
        name: (*place, digest)
        for place in places()
        if (bucket := table.bucket(*place)) is not None
        for name, digest in bucket.settings().items()
    }


def number(mac: str) -> int:
    return bucket_of_mac(int(mac, 16))


def test_an_account_touches_the_buckets_of_its_macs_only() -> None:
    directory = Directory()
    assert directory.put("101@a", MAC, OTHER) == {(1, number(MAC)), (1, number(OTHER))}
    assert directory.put("102@a") == frozenset()
    directory.check()


def test_an_unchanged_revision_touches_nothing() -> None:
    directory = Directory()
    directory.put("101@a", MAC)
    assert directory.put("101@a", MAC) == frozenset()
    assert directory.put("101@a", MAC, revision="2") == {(1, number(MAC))}
    directory.check()


def test_a_mac_that_an_account_no_longer_lists_is_dropped() -> None:
    directory = Directory()
    directory.put("101@a", MAC)
    assert directory.put("101@a", OTHER, revision="2") == {(1, number(MAC)), (1, number(OTHER))}
    directory.check()
    assert directory.remove("101@a") == {(1, number(OTHER))}
    directory.check()
    assert all(directory.table.bucket(*place) is None for place in places())


def test_removing_what_is_not_there_touches_nothing() -> None:
    assert Directory().remove("101@a") == frozenset()


def test_the_lowest_line_of_several_counts() -> None:
    directory = Directory()
    devices = tuple(Device(MAC, "T46S", line, None, None, {}) for line in (3, 2, 4))
    directory.apply(Change(accounts=(Account(AccountKey("a", "101"), {}, devices, True, "1", ""),)))
    bucket = directory.table.bucket(1, number(MAC))
    assert bucket is not None
    assert [row.line for row in bucket.owners(int(MAC, 16))] == [2]
    directory.check()


def test_settings_of_domains_are_kept_beside() -> None:
    directory = Directory()
    place = (1, bucket_of_domain("a"))
    assert directory.apply(Change(domains=(domain("a"),))) == {place}
    assert directory.apply(Change(domains=(domain("a"),))) == frozenset()
    assert directory.apply(Change(domains=(domain("a", "2"),))) == {place}
    directory.check()
    assert directory.apply(Change(removed_domains=("a",))) == {place}
    directory.check()


def test_each_group_holds_its_own_domains_and_uncovered_ones_nobody() -> None:
    directory = Directory({"a": 1, "b": 2, "c": None}.get)
    for name in "abc":
        directory.put(f"101@{name}", MAC)
        directory.apply(Change(domains=(domain(name),)))
    directory.check()
    bucket = directory.table.bucket(2, number(MAC))
    assert bucket is not None
    assert [row.domain for row in bucket.owners(int(MAC, 16))] == ["b"]
    assert {group for group, _ in directory.put("101@c", OTHER, revision="2")} == {NOBODY}


def test_the_group_of_a_domain_is_asked_once() -> None:
    asked: list[str] = []
    directory = Directory(lambda name: asked.append(name) or 1)
    for login in range(20):
        directory.put(f"{login}@a", f"{login:012x}")
    assert asked == ["a"]


def test_a_domain_that_comes_back_belongs_to_whom_it_does_by_then() -> None:
    directory = Directory({"a": 1, "b": 1}.get)
    directory.put("101@a", MAC)
    directory.put("101@b", OTHER)
    directory.remove("101@b")
    directory.group_of = {"a": 1, "b": 2}.get
    directory.table.regroup(directory.group_of)
    directory.put("101@b", OTHER)
    directory.check()


def test_what_does_not_fit_into_a_bucket_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("era_ap.cluster.buckets.MAX_PAYLOAD", 1000)
    directory = Directory()
    directory.apply(Change(accounts=tuple(account(f"{login}@a", MAC) for login in range(1000, 1100))))
    bucket = directory.table.bucket(1, number(MAC))
    assert bucket is not None
    assert len(bucket.payload) <= 1000
    assert 0 < bucket.count < 100
    assert directory.table.left_out == 100 - bucket.count


def test_a_bucket_with_no_room_for_its_domains_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("era_ap.cluster.buckets.MAX_PAYLOAD", 10)
    directory = Directory()
    directory.put("101@a", MAC)
    assert directory.table.bucket(1, number(MAC)) is None
    assert directory.table.left_out == 1


# --- a whole directory


def index_of(*accounts: Account, sources: tuple[str, ...] = ("",)) -> DirectoryIndex:
    index = DirectoryIndex(sources)
    index.apply(Change(accounts=accounts, domains=(domain("a"), domain("b"))), sources[0])
    return index


def filled(index: DirectoryIndex, group_of: module.GroupOf = {"a": 1, "b": 2}.get) -> RowTable:
    table = RowTable(group_of)
    assert sum(1 for _ in module.fill(table, index.parts)) > 0
    return table


def test_a_table_filled_from_a_directory_is_the_one_that_followed_its_changes() -> None:
    accounts = [account(f"{1000 + n}@{'ab'[n % 2]}", f"{n + 1:012x}", f"{n + 5000:012x}") for n in range(999)]
    followed = RowTable({"a": 1, "b": 2}.get)
    index = DirectoryIndex()
    change = Change(accounts=tuple(accounts), domains=(domain("a"), domain("b"), domain("c")))
    followed.take(change, index)
    index.apply(change)
    table = filled(index)
    assert held(table) == held(followed)
    assert held_settings(table) == held_settings(followed)


def test_the_lowest_line_counts_in_a_directory_too() -> None:
    devices = tuple(Device(MAC, "T46S", line, None, None, {}) for line in (3, 2, 4))
    index = index_of(Account(AccountKey("a", "101"), {}, devices, True, "1", ""))
    bucket = filled(index).bucket(1, number(MAC))
    assert bucket is not None
    assert [row.line for row in bucket.owners(int(MAC, 16))] == [2]


def test_of_a_domain_in_two_sources_the_first_ones_accounts_count() -> None:
    index = index_of(account("101@a", MAC), sources=("one", "two"))
    index.apply(Change(accounts=(account("102@a", OTHER), account("103@c", OTHER))), "two")
    found = {row.key for rows in held(filled(index)).values() for row in rows}
    assert found == {AccountKey("a", "101")}


@pytest.mark.parametrize("seed", range(5))
def test_changes_between_the_steps_of_the_filling_are_not_lost(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILLED", 7)
    rng = random.Random(seed)
    group_of: module.GroupOf = lambda name: 1 + len(name) % 2  # noqa: E731
    accounts = [account(f"{1000 + n}@{'d' * (1 + n % 10)}", f"{n + 1:012x}") for n in range(300)]
    index = index_of(*accounts)
    table = RowTable(group_of)
    changes = 0
    for _ in module.fill(table, index.parts):
        if rng.random() < 0.3:
            key = rng.choice(accounts).key
            macs = [f"{rng.randrange(1, 400):012x}" for _ in range(rng.randrange(3))]
            change = rng.choice(
                [
                    Change(removed=(key,)),
                    Change(accounts=(account(f"{key.login}@{key.domain}", *macs, revision=f"{changes}"),)),
                    Change(domains=(domain(key.domain, f"{changes}"),)),
                ]
            )
            table.take(change, index)
            index.apply(change)
            changes += 1
    assert changes > 5
    assert held(table) == held(filled(index, group_of))
    assert held_settings(table) == held_settings(filled(index, group_of))


keys = st.sampled_from([f"{login}@{name}" for login in "12" for name in "abc"])
macs = st.lists(st.sampled_from([f"{mac:012x}" for mac in range(1, 6)]), max_size=3, unique=True)
steps = st.one_of(
    st.tuples(st.just("put"), keys, macs, st.sampled_from("12345")),
    st.tuples(st.just("remove"), keys),
    st.tuples(st.just("domain"), st.sampled_from("abc"), st.sampled_from("12")),
    st.tuples(st.just("no domain"), st.sampled_from("abc")),
    st.tuples(st.just("look")),
)


@settings(max_examples=60)
@given(st.lists(steps, max_size=12))
def test_whatever_happens_the_table_is_what_the_directory_is(history: list[tuple]) -> None:  # type: ignore[type-arg]
    directory = Directory({"a": 1, "b": 2, "c": 1}.get)
    for step in history:
        match step:
            case ("put", key, listed, revision):
                # A revision stands for a content: the same one has the same MACs.
                directory.put(key, *listed, revision=f"{revision} {listed}")
            case ("remove", key):
                directory.remove(key)
            case ("domain", name, revision):
                directory.apply(Change(domains=(domain(name, revision),)))
            case ("no domain", name):
                directory.apply(Change(removed_domains=(name,)))
            case ("look",):
                for place in places():
                    directory.table.bucket(*place)
    directory.check()
