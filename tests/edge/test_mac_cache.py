"""The MAC cache of several instances: a change that one of them sees is soon looked at by all others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from era_ap.cluster.mac_cache import (
    KEPT_AS,
    Directory,
    MacCache,
    Sharing,
    keeper_of,
    looked_at,
    status_of,
    take_up,
)
from era_ap.cluster.rows import GroupOf
from era_ap.cluster.view import Term
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.model import Account, AccountKey, Device, Domain
from era_ap.directory.part import Part
from era_ap.directory.source import Change
from era_ap.health import Looks
from era_ap.state_file import StateFile
from tests.cached_macs import begin_term, published
from tests.fake_ensemble import Servers
from tests.virtual_time import run

MAC = "001565000001"
POLL = 0.5


def account(login: str, domain: str, *macs: str, revision: str = "1") -> Account:
    devices = tuple(Device(mac, "T46S", 1, None, None, {}) for mac in macs)
    return Account(AccountKey(domain, login), {}, devices, True, revision, "")


def settings(name: str, revision: str = "1") -> Domain:
    return Domain(name, {}, {}, (), revision, "")


@dataclass
class Truth:
    """The directory that all instances share; each sees of it what it has looked at."""

    accounts: dict[AccountKey, Account] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)

    def put(self, *accounts: Account) -> None:
        self.accounts.update({each.key: each for each in accounts})
        for each in accounts:
            self.domains.setdefault(each.key.domain, settings(each.key.domain))

    def fill(self, count: int, domains: int = 10) -> None:
        names = [f"d{number}.example.com" for number in range(domains)]
        for number in range(count):
            self.put(account(str(1000 + number), names[number % domains], f"{number + 1:012x}"))


class Site:
    """ZooKeeper, the directory, and the instances by name; ``group_of`` is the division of the domains."""

    def __init__(self, group_of: GroupOf = lambda _: 1, groups: frozenset[int] = frozenset({1})) -> None:
        self.servers = Servers()
        self.truth = Truth()
        self.sharing = (groups, group_of)
        self.leaders: dict[int, Term] = {}
        self.instances: list[Instance] = []

    def instance(self, group: int = 1, *, polls: bool = False) -> Instance:
        made = Instance(self, group, polls)
        self.instances.append(made)
        return made

    def lead(self, instance: Instance) -> Term:
        """``instance`` leads its group from now on; everybody learns it."""
        before = self.leaders.get(instance.group)
        for each in self.instances:
            if each.leads and each.group == instance.group:
                each.leads = False
                each.cache.on_stop_leading("another one does")
        number = before.number + 1 if before is not None else 1
        client = instance.client.session_id
        term = self.leaders[instance.group] = begin_term(self.servers, client, instance.group, number)
        instance.leads = True
        instance.cache.on_lead(term)
        for each in self.instances:
            each.cache.on_view()
        return term


class Instance:
    """One instance: it looks at the directory when it is nudged, and now and then if it ``polls``."""

    def __init__(self, site: Site, group: int, polls: bool) -> None:
        self.site = site
        self.group = group
        self.client = site.servers.connect()
        self.index = DirectoryIndex()
        self.is_away = False
        self.leads = False
        self.looked: float | None = None
        self.looks: list[tuple[float, frozenset[str] | None]] = []
        self.paces: list[bool] = []
        loop = asyncio.get_running_loop()
        groups, group_of = site.sharing
        self.cache = MacCache(
            self.client,
            SimpleNamespace(leaders=site.leaders),  # type: ignore[arg-type]
            Directory(self.index, lambda: self.looked, loop.time),
            Sharing(group, groups, group_of),
            on_change=self.look,
            on_fresh=self.paces.append,
            wall=lambda: 1e9,
            log=structlog.get_logger(),
        )
        self.cache.start()
        self._polling = asyncio.ensure_future(self._poll()) if polls else None

    def look(self, domains: frozenset[str] | None = None) -> None:
        """See what the directory says now, of some domains or all."""
        now = asyncio.get_running_loop().time()
        self.looks.append((now, domains))
        if self.is_away:
            return
        truth, index = self.site.truth, self.index

        def concerned(name: str) -> bool:
            return domains is None or name in domains

        mine = {key for part in index.parts for key in keys_of(part) if concerned(key.domain)}
        self.cache.own.apply(
            Change(
                accounts=tuple(each for each in truth.accounts.values() if concerned(each.key.domain)),
                removed=tuple(mine - truth.accounts.keys()),
                domains=tuple(each for each in truth.domains.values() if concerned(each.name)),
                removed_domains=tuple(name for name in index.domains if name not in truth.domains),
            )
        )
        if domains is None:
            self.looked = now

    async def _poll(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(POLL)

    def nudges(self) -> list[frozenset[str]]:
        return [domains for _, domains in self.looks if domains is not None]

    def knows(self, login: str, revision: str) -> bool:
        known = [self.index.account(key) for key in self.site.truth.accounts if key.login == login]
        return any(each is not None and each.revision == revision for each in known)


def keys_of(part: Part) -> list[AccountKey]:
    return [AccountKey(name, entry.login) for name in part.names for entry in part.accounts.entries(name)]


async def three(site: Site, count: int = 100) -> list[Instance]:
    """Three instances that know all, of which the first leads and polls."""
    site.truth.fill(count)
    instances = [site.instance(polls=True), site.instance(), site.instance()]
    for each in instances:
        each.look()
    site.lead(instances[0])
    await asyncio.sleep(5)
    for each in instances:
        each.looks.clear()
    return instances


def edited(site: Site, login: str, revision: str, domain: str = "d3.example.com") -> None:
    known = site.truth.accounts[AccountKey(domain, login)]
    site.truth.put(account(login, domain, *(each.mac for each in known.devices), revision=revision))


# --- a change reaches everybody


def test_a_changed_account_is_soon_looked_at_by_all_and_nothing_else_is() -> None:
    async def test() -> None:
        site = Site()
        _, two, other = await three(site)
        for number in range(10):
            edited(site, "1003", f"edit {number}")
            await asyncio.sleep(POLL + 0.2)
            assert two.knows("1003", f"edit {number}")
            assert other.knows("1003", f"edit {number}")
        assert set(two.nudges()) == {frozenset({"d3.example.com"})}
        assert len(two.nudges()) == 10

    run(test())


def test_what_comes_goes_and_moves_reaches_all() -> None:
    async def test() -> None:
        site = Site()
        _, two, other = await three(site)
        key = AccountKey("d3.example.com", "1003")
        mac = site.truth.accounts[key].devices[0].mac
        del site.truth.accounts[key]
        site.truth.put(
            account("9", "new.example.com", MAC), account("1004", "d4.example.com", mac, revision="2")
        )
        await asyncio.sleep(POLL + 0.2)
        for each in (two, other):
            assert each.index.account(key) is None
            assert each.index.owners(MAC) == (AccountKey("new.example.com", "9"),)
            assert each.index.owners(mac) == (AccountKey("d4.example.com", "1004"),)

    run(test())


def test_the_settings_of_a_domain_reach_all() -> None:
    async def test() -> None:
        site = Site()
        _, two, _ = await three(site)
        site.truth.domains["d5.example.com"] = settings("d5.example.com", "2")
        await asyncio.sleep(POLL + 0.2)
        assert two.nudges() == [frozenset({"d5.example.com"})]
        known = two.index.domain("d5.example.com")
        assert known is not None
        assert known.revision == "2"

    run(test())


def test_a_look_that_came_too_early_is_repeated_until_the_change_is_seen() -> None:
    async def test() -> None:
        site = Site()
        _, two, _ = await three(site)
        two.is_away = True  # its view of the directory is stale, like a cache of attributes
        edited(site, "1003", "2")
        await asyncio.sleep(3)
        assert len(two.nudges()) >= 4
        two.is_away = False
        await asyncio.sleep(3)
        assert two.knows("1003", "2")
        count = len(two.nudges())
        await asyncio.sleep(60)
        assert len(two.nudges()) == count

    run(test())


def test_who_never_sees_the_change_looks_ever_more_seldom_and_is_named() -> None:
    async def test() -> None:
        site = Site()
        _, two, _ = await three(site)
        two.is_away = True
        edited(site, "1003", "2")
        await asyncio.sleep(100)
        assert len(two.nudges()) < 20
        assert two.cache.catching_up.behind() == {"d3.example.com"}

    run(test())


def test_an_instance_that_joins_late_learns_what_its_own_look_missed() -> None:
    async def test() -> None:
        site = Site()
        await three(site)
        late = site.instance()
        late.look()
        edited(site, "1003", "2")  # before it has heard of any leader
        await asyncio.sleep(POLL + 0.5)
        assert late.knows("1003", "2")

    run(test())


def test_a_change_during_a_loss_of_contact_is_looked_at_after_it() -> None:
    async def test() -> None:
        site = Site()
        _, two, _ = await three(site)
        two.client.suspend()
        edited(site, "1003", "2")
        await asyncio.sleep(5)
        assert not two.knows("1003", "2")
        two.client.resume()
        await asyncio.sleep(1)
        assert two.knows("1003", "2")

    run(test())


def test_a_new_leader_goes_on_where_the_old_one_ended() -> None:
    async def test() -> None:
        site = Site()
        one, two, other = await three(site)
        before = site.servers.commits
        site.lead(two)
        await asyncio.sleep(1)
        assert (
            site.servers.commits - before == 2
        )  # the term, and an index that says so: no bucket has changed
        two.look()
        edited(site, "1003", "2")
        two.look()
        await asyncio.sleep(0.3)
        assert one.knows("1003", "2")
        assert other.knows("1003", "2")
        index, _ = published(site.servers, 1)
        assert index is not None
        assert index.is_of(site.leaders[1])

    run(test())


def test_a_leader_whose_directory_is_older_does_not_take_a_change_back() -> None:
    async def test() -> None:
        site = Site()
        one, two, other = await three(site)
        two.is_away = True
        edited(site, "1003", "2")
        await asyncio.sleep(1)
        site.lead(two)
        await asyncio.sleep(5)
        for each in (one, other):
            assert each.knows("1003", "2")
        two.is_away = False
        two.look()
        await asyncio.sleep(1)
        assert published(site.servers, 1)[1] == {
            row
            for number in range(1024)
            if (bucket := one.cache.own.bucket(1, number)) is not None
            for row in bucket.rows()
        }

    run(test())


# --- what counts for a request


def test_a_mac_that_only_the_leader_has_seen_is_known_to_be_known() -> None:
    async def test() -> None:
        site = Site()
        _, two, _ = await three(site)
        two.is_away = True
        site.truth.put(account("9", "d9.example.com", MAC))
        await asyncio.sleep(1)
        assert two.index.owners(MAC) == ()
        assert two.cache.owners(MAC) == (AccountKey("d9.example.com", "9"),)
        assert two.cache.owners("00156500ffff") == ()

    run(test())


def test_unknown_macs_make_nobody_look() -> None:
    async def test() -> None:
        site = Site()
        instances = await three(site)
        looks = [len(each.nudges()) for each in instances]
        reads = site.servers.commits
        for number in range(5000):
            for each in instances:
                each.cache.owners(f"fe{number:010x}")
        await asyncio.sleep(5)
        assert [len(each.nudges()) for each in instances] == looks
        assert site.servers.commits == reads

    run(test())


def test_the_revision_grows_with_what_is_told_and_not_by_itself() -> None:
    async def test() -> None:
        site = Site()
        _, two, _ = await three(site)
        await asyncio.sleep(10)
        revision = two.cache.revision
        await asyncio.sleep(10)
        assert two.cache.revision == revision
        edited(site, "1003", "2")
        await asyncio.sleep(1)
        assert two.cache.revision > revision
        revision = two.cache.revision
        two.client.suspend()
        await asyncio.sleep(20)
        assert two.cache.revision > revision

    run(test())


def test_others_watch_for_us_while_a_leader_that_sees_does() -> None:
    async def test() -> None:
        site = Site()
        one, two, _ = await three(site)
        assert two.cache.is_fresh()
        assert not one.cache.is_fresh()  # the leader must look itself
        assert one._polling is not None
        one._polling.cancel()
        await asyncio.sleep(30)
        assert not two.cache.is_fresh()  # nothing is known of the leader's directory any more
        assert two.paces[-2:] == [True, False]
        one.look()
        await asyncio.sleep(2)
        assert two.cache.is_fresh()
        two.client.suspend()
        assert not two.cache.is_fresh()
        await asyncio.sleep(2)
        assert two.paces[-3:] == [False, True, False]
        assert not any(one.paces)

    run(test())


# --- several groups


def by_number(name: str) -> int | None:
    """Domains dN: group 1 has the even ones, group 2 the odd ones, and d9 nobody."""
    return None if name.startswith("d9") else 1 + int(name[1]) % 2


def test_each_leader_publishes_exactly_what_its_group_owns() -> None:
    async def test() -> None:
        site = Site(by_number, frozenset({1, 2}))
        site.truth.fill(200)
        one, two = site.instance(1, polls=True), site.instance(2, polls=True)
        one.look()
        two.look()
        site.lead(one)
        site.lead(two)
        await asyncio.sleep(3)
        for group in (1, 2):
            owned = {key for key in site.truth.accounts if by_number(key.domain) == group}
            assert {row.key for row in published(site.servers, group)[1]} == owned
        shown = [(each.group, each.shown, each.macs, each.domains) for each in status_of(one.cache)]
        assert shown == [(1, True, 100, 5), (2, True, 80, 4)]

    run(test())


def test_a_mac_of_two_groups_is_known_with_both_its_owners() -> None:
    async def test() -> None:
        site = Site(by_number, frozenset({1, 2}))
        site.truth.fill(50)
        one, two, other = site.instance(1, polls=True), site.instance(2, polls=True), site.instance(1)
        for each in (one, two, other):
            each.look()
        site.lead(one)
        site.lead(two)
        await asyncio.sleep(3)
        other.is_away = True
        site.truth.put(account("8", "d2.example.com", MAC), account("9", "d3.example.com", MAC))
        await asyncio.sleep(1)
        assert other.cache.owners(MAC) == (
            AccountKey("d2.example.com", "8"),
            AccountKey("d3.example.com", "9"),
        )

    run(test())


def test_domains_that_move_to_another_group_leave_nothing_behind() -> None:
    async def test() -> None:
        site = Site(by_number, frozenset({1, 2}))
        site.truth.fill(200)
        one, two = site.instance(1, polls=True), site.instance(2, polls=True)
        one.look()
        two.look()
        site.lead(one)
        site.lead(two)
        await asyncio.sleep(3)
        turned: GroupOf = lambda name: 2 if name.startswith("d9") else 3 - (by_number(name) or 0)  # noqa: E731
        for each in (one, two):
            each.cache.share(Sharing(each.group, frozenset({1, 2}), turned))
        await asyncio.sleep(3)
        for group in (1, 2):
            owned = {key for key in site.truth.accounts if turned(key.domain) == group}
            assert {row.key for row in published(site.servers, group)[1]} == owned

    run(test())


def test_a_configuration_that_divides_as_before_makes_nothing_anew() -> None:
    async def test() -> None:
        site = Site(by_number, frozenset({1, 2}))
        site.truth.fill(50)
        one = site.instance(1, polls=True)
        one.look()
        site.lead(one)
        await asyncio.sleep(3)
        before = [one.cache.own.bucket(1, number) for number in range(1024)]
        assert any(before)
        one.cache.share(Sharing(1, frozenset({1, 2}), by_number))
        await asyncio.sleep(3)
        assert all(one.cache.own.bucket(1, number) is before[number] for number in range(1024))
        # A domain that comes later is divided by the new rule.
        one.cache.share(Sharing(1, frozenset({1, 2}), lambda name: 1 if name == "new" else by_number(name)))
        site.truth.put(account("9", "new", MAC))
        await asyncio.sleep(1)
        assert AccountKey("new", "9") in {row.key for row in published(site.servers, 1)[1]}

    run(test())


def test_all_sources_must_have_been_looked_at() -> None:
    assert looked_at({}) is None
    assert looked_at({"one": Looks(5.0), "two": Looks(None)}) is None
    assert looked_at({"one": Looks(5.0), "two": Looks(3.0)}) == 3.0


def test_a_group_without_a_leader_leaves_the_looking_to_us() -> None:
    async def test() -> None:
        site = Site(by_number, frozenset({1, 2}))
        site.truth.fill(50)
        one, other = site.instance(1, polls=True), site.instance(1)
        one.look()
        other.look()
        site.lead(one)
        await asyncio.sleep(3)
        assert not other.cache.is_fresh()
        other.cache.share(Sharing(1, frozenset({1}), lambda _: 1))
        one.cache.share(Sharing(1, frozenset({1}), lambda _: 1))
        await asyncio.sleep(3)
        assert other.cache.is_fresh()
        assert [each.group for each in status_of(other.cache)] == [1]

    run(test())


# --- the whole part of a source replaced


def whole(site: Site, *left_out: str) -> Part:
    part = Part()
    accounts = [each for each in site.truth.accounts.values() if each.key.login not in left_out]
    part.apply(Change(accounts=tuple(accounts), domains=tuple(site.truth.domains.values())))
    return part


def test_a_part_that_was_replaced_whole_is_published_as_it_is() -> None:
    async def test() -> None:
        site = Site()
        site.truth.fill(300)
        one, two = site.instance(), site.instance()
        one.index.replace(whole(site))
        one.cache.own.replaced()
        one.looked = asyncio.get_running_loop().time()
        site.lead(one)
        await asyncio.sleep(2)
        assert {row.key for row in published(site.servers, 1)[1]} == set(site.truth.accounts)
        two.index.replace(whole(site, "1007"))
        two.cache.own.replaced()
        await asyncio.sleep(1)
        assert two.nudges() == [frozenset({"d7.example.com"})]
        assert two.knows("1007", "1")

    run(test())


@pytest.mark.parametrize("complete", [True, False])
def test_what_was_never_loaded_whole_is_not_published(complete: bool) -> None:
    async def test() -> None:
        site = Site()
        site.truth.fill(300)
        one, two = site.instance(), site.instance()
        one.look()
        site.lead(one)
        await asyncio.sleep(2)
        two.index.replace(Part(), complete=complete)
        two.cache.own.replaced()
        if not complete:
            two.looked = asyncio.get_running_loop().time()
        site.lead(two)
        await asyncio.sleep(2)
        assert len(published(site.servers, 1)[1]) == 300

    run(test())


def test_changes_while_the_rows_are_made_anew_are_not_lost() -> None:
    async def test() -> None:
        site = Site()
        site.truth.fill(300)
        one = site.instance()
        one.look()
        site.lead(one)
        await asyncio.sleep(2)
        one.index.replace(whole(site))
        one.cache.own.replaced()
        edited(site, "1003", "2")
        one.look()
        await asyncio.sleep(2)
        rows = published(site.servers, 1)[1]
        assert len(rows) == 300
        assert {row.key for row in rows if row.digest != 0x83DCEFB7} == {AccountKey("d3.example.com", "1003")}

    run(test())


def test_of_a_domain_in_two_sources_only_the_first_is_published() -> None:
    async def test() -> None:
        site = Site()
        one = site.instance()
        one.index.__init__(("one", "two"))  # type: ignore[misc]
        one.index.replace(Part(), "one")
        one.cache.own.apply(Change(accounts=(account("1", "a.example.com", MAC),)), "two")
        one.looked = asyncio.get_running_loop().time()
        site.lead(one)

        async def found() -> set[str]:
            await asyncio.sleep(2)
            return {row.login for row in published(site.servers, 1)[1]}

        assert await found() == {"1"}
        one.cache.own.apply(Change(accounts=(account("2", "a.example.com", MAC),)), "one")
        assert await found() == {"2"}
        one.cache.own.apply(Change(accounts=(account("3", "a.example.com", MAC),)), "two")
        assert await found() == {"2"}
        one.cache.own.apply(Change(removed=(AccountKey("a.example.com", "2"),)), "one")
        assert await found() == {"1", "3"}

    run(test())


# --- life


def test_a_closed_cache_does_nothing_more_and_answers_still() -> None:
    async def test() -> None:
        site = Site()
        _, two, _ = await three(site)
        two.cache.close()
        edited(site, "1003", "2")
        await asyncio.sleep(3)
        assert two.nudges() == []
        assert two.cache.owners("000000000001") == (AccountKey("d0.example.com", "1000"),)

    run(test())


def test_what_was_kept_is_taken_up_before_zookeeper_is_there(tmp_path: Path) -> None:
    async def test() -> None:
        site = Site()
        _, two, _ = await three(site)
        batch = keeper_of(two.cache)(False)
        assert {key.owner for key in batch.rows} == {KEPT_AS}
        assert len(batch.rows) == 1 + len([each for each in two.cache.holding.pictures[1].buckets if each])
        assert not keeper_of(two.cache)(False)
        file = StateFile(tmp_path / "two.state", "two of lab")
        file.write(batch)
        (rows,) = file.load().rows.values()
        fresh = site.instance()
        fresh.client.suspend()
        await take_up(fresh.cache, rows)
        assert fresh.cache.owners("000000000001") == (AccountKey("d0.example.com", "1000"),)
        assert not fresh.cache.is_fresh()
        assert [each.macs for each in status_of(fresh.cache)] == [100]
        assert not keeper_of(fresh.cache)(False)
        file.close()

    run(test())
