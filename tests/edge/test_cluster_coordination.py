"""Taking part in the cluster, with ZooKeeper in memory and without; what both have in common comes first.

Times are virtual. The rules of the election have their own tests; here it is about the way to ZooKeeper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
import structlog

from era_ap.cluster.contract import Check, Put, RefusedWriteError, SessionState
from era_ap.cluster.coordination import Coordination
from era_ap.cluster.coordinator import Coordinator
from era_ap.cluster.failsafe import Answer, Ask
from era_ap.cluster.responsibility import Share, divide
from era_ap.cluster.situation import Policy
from era_ap.cluster.standalone import Standalone
from era_ap.cluster.view import (
    Member,
    Term,
    epoch_path,
    failsafe_path,
    leader_path,
    member_path,
    read_claim,
    read_member,
)
from tests.fake_ensemble import FakeEnsemble, Servers
from tests.virtual_time import run

T = 4.0
DOMAINS = divide([Share(1), Share(2, frozenset({"b.example.com"}))])
LOG = structlog.get_logger()


@dataclass
class Heard:
    """A follower that remembers what it was told."""

    coordinator: Coordinator
    told: list[object] = field(default_factory=list)
    views: int = 0

    def on_lead(self, term: Term) -> None:
        assert self.coordinator.may_send(0.0)
        self.told.append(term)

    def on_stop_leading(self, why: str) -> None:
        assert not self.coordinator.may_send(0.0)
        self.told.append(why)

    def on_view(self) -> None:
        self.views += 1


def member(order: int = 1, group: int = 1) -> Member:
    name = f"ap{order}"
    return Member(name, group, order, f"id{order}", f"process{order}", peer=f"192.0.2.{order}:9069")


@dataclass
class Site:
    """Members with one ZooKeeper, who reach each other."""

    servers: Servers = field(default_factory=Servers)
    parts: dict[str, Coordination] = field(default_factory=dict)
    clients: dict[str, FakeEnsemble] = field(default_factory=dict)
    asked: int = 0

    def join(self, own: Member, *, hold_down: float = 5.0) -> Coordination:
        loop = asyncio.get_running_loop()

        def changed(_state: SessionState, _session: int) -> None:
            if own.instance in self.parts:
                self.parts[own.instance].driver.observe()

        client = self.servers.connect(session_seconds=T, on_change=changed)
        policy = Policy(hold_down_seconds=hold_down, first_number=7)
        part = Coordination(client, own, policy, DOMAINS, {1, 2}, self.ask, LOG, clock=loop.time)
        self.parts[own.instance], self.clients[own.instance] = part, client
        return part

    async def ask(self, other: Member, ask: Ask) -> Answer:
        self.asked += 1
        await asyncio.sleep(0.001)
        return self.parts[other.instance].answer_peer(ask)

    def close(self) -> None:
        for part in self.parts.values():
            part.close()


async def until(what: Callable[[], object], seconds: float = 10.0) -> float:
    """Wait until ``what`` is true; how long that took."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    while not what():
        assert loop.time() - since < seconds, "waited in vain"
        await asyncio.sleep(0.01)
    return loop.time() - since


def with_site(test: Callable[[Site], Awaitable[None]]) -> None:
    async def go() -> None:
        site = Site()
        try:
            await test(site)
        finally:
            site.close()

    run(go())


# --- with ZooKeeper or without


def clustered(site: Site) -> Coordinator:
    return site.join(member())


def alone(_site: Site) -> Coordinator:
    return Standalone(member())


both = pytest.mark.parametrize("make", [clustered, alone])


@both
def test_it_leads_after_its_start_and_not_after_it_left(make: Callable[[Site], Coordinator]) -> None:
    async def test(site: Site) -> None:
        part = make(site)
        heard = Heard(part)
        part.follow(heard)
        assert not part.may_send(0.0)
        assert not part.may_answer("a.example.com")
        await part.start()
        await until(lambda: part.may_send(0.0))
        assert part.may_answer("a.example.com")
        (term,) = heard.told
        assert isinstance(term, Term)
        assert (term.group, term.leader) == (1, "ap1")
        assert part.leaders[1] == term
        assert [each.name for each in part.members] == ["ap1"]
        assert part.status.acts
        assert part.status.leader == "ap1"
        assert part.status.problem == ""
        await part.leave()
        assert heard.told[1:] == ["the instance stops"]
        assert not part.may_answer("a.example.com")
        assert not part.status.acts
        part.close()

    with_site(test)


@both
def test_facts_may_be_told_at_any_time(make: Callable[[Site], Coordinator]) -> None:
    async def test(site: Site) -> None:
        part = make(site)
        part.set_fit("port 5060 is taken")
        part.announce(revision="r1", peer="192.0.2.9:1")
        await part.start()
        await until(lambda: part.may_send(0.0))
        part.set_fit(None)
        part.announce(revision="r2")
        await asyncio.sleep(1)
        assert part.may_send(0.0)
        part.close()
        assert not Standalone(member()).may_send(0.0)

    with_site(test)


@both
def test_a_question_of_another_gets_no_promise_while_it_acts(make: Callable[[Site], Coordinator]) -> None:
    async def test(site: Site) -> None:
        part = make(site)
        await part.start()
        await until(lambda: part.may_send(0.0))
        answer = part.answer_peer(Ask(1, "ap2/id2", 10**9))
        assert (answer.key, answer.promised) == ("ap1/id1", False)
        assert answer.why

    with_site(test)


# --- with ZooKeeper


def test_all_domains_are_the_own_ones_of_who_is_alone() -> None:
    async def test(site: Site) -> None:
        part, lone = site.join(member()), Standalone(member())
        for each in (part, lone):
            await each.start()
        await until(lambda: part.may_send(0.0))
        assert not part.may_answer("x.b.example.com")
        assert lone.may_answer("x.b.example.com")

    with_site(test)


def test_what_stands_in_zookeeper() -> None:
    async def test(site: Site) -> None:
        first, second = site.join(member(1)), site.join(member(2))
        first.announce(revision="r7")
        await first.start()
        await second.start()
        await until(lambda: first.may_send(0.0))
        nodes = site.servers.nodes
        node = nodes[member_path("ap1")]
        found = read_member(node.data, node.owner)
        assert found == replace(member(1), revision="r7", session=site.clients["process1"].session_id)
        assert nodes[leader_path(1)].owner == site.clients["process1"].session_id
        claim = read_claim(nodes[failsafe_path(1)].data, 0)
        assert claim is not None
        assert (claim.leader, claim.relies) == ("ap1/id1", frozenset({"ap2/id2"}))
        term = first.term
        assert term is not None
        assert (term.number, term.version) == (7, nodes[epoch_path(1)].version)
        assert term.zxid == nodes[epoch_path(1)].mzxid == first.epoch
        await until(lambda: second.leaders == {1: term})
        assert second.term is None
        assert [each.name for each in second.members] == ["ap1", "ap2"]
        assert nodes.keys() >= {"members", "groups/1"}

    with_site(test)


def test_heartbeats_renew_the_lease_and_their_absence_ends_it() -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        heard = Heard(part)
        part.follow(heard)
        await part.start()
        await until(lambda: part.may_send(0.0))
        await asyncio.sleep(60)
        assert len(heard.told) == 1
        site.clients["process1"].deaf = True  # nothing is answered, and the client has not noticed
        took = await until(lambda: not part.may_send(0.0))
        assert took <= 2 / 3 * T
        assert heard.told[1:] == ["ZooKeeper does not answer, or this process was held up"]
        assert part.term is None
        site.clients["process1"].deaf = False
        assert await until(lambda: part.may_send(0.0)) < 1
        assert len(heard.told) == 3

    with_site(test)


def test_lost_contact_ends_the_right_at_once_and_found_again_renews_it() -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        heard = Heard(part)
        part.follow(heard)
        await part.start()
        await until(lambda: part.may_send(0.0))
        client = site.clients["process1"]
        client.suspend()
        assert not part.may_send(0.0)
        assert not part.may_answer("a.example.com")
        assert part.term is None
        assert heard.told[1:] == ["no contact with ZooKeeper"]
        assert part.status.session is SessionState.SUSPENDED
        await asyncio.sleep(1.5)
        client.resume()
        await until(lambda: part.may_send(0.0), 1)
        assert heard.told[2] == heard.told[0]  # the same term

    with_site(test)


def test_may_send_does_not_wait_for_the_loop_to_hear_of_lost_contact() -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        await part.start()
        await until(lambda: part.may_send(0.0))
        site.clients["process1"].state = SessionState.SUSPENDED  # nobody was told yet
        assert not part.may_send(0.0)

    with_site(test)


def test_in_a_new_session_everything_is_registered_anew() -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        heard = Heard(part)
        part.follow(heard)
        await part.start()
        await until(lambda: part.may_send(0.0))
        for _ in range(20):
            site.clients["process1"].expire()
            assert not part.may_send(0.0)
            assert await until(lambda: part.may_send(0.0)) <= T + 2
        session = site.clients["process1"].session_id
        assert {site.servers.nodes[path].owner for path in (member_path("ap1"), leader_path(1))} == {session}
        terms = [each for each in heard.told if isinstance(each, Term)]
        assert len(terms) == 21
        assert sorted({each.number for each in terms}) == [each.number for each in terms]

    with_site(test)


def test_writes_of_an_earlier_term_are_refused() -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        await part.start()
        await until(lambda: part.may_send(0.0))
        old = part.term
        assert old is not None
        client = site.clients["process1"]
        client.expire()
        await until(lambda: part.may_send(0.0))
        assert part.term is not None
        assert part.term.version > old.version
        fenced = Check(epoch_path(1), old.version), Put(leader_path(1), b"")
        with pytest.raises(RefusedWriteError):
            await client.commit(*fenced)

    with_site(test)


def test_a_leader_that_leaves_is_followed_at_once() -> None:
    async def test(site: Site) -> None:
        first, second = site.join(member(1)), site.join(member(2))
        for part in (first, second):
            await part.start()
        await until(lambda: first.may_send(0.0))
        before = asyncio.get_running_loop().time()
        await first.leave()
        assert member_path("ap1") not in site.servers.nodes
        await until(lambda: second.may_send(0.0))
        assert asyncio.get_running_loop().time() - before <= 0.5
        assert [each.name for each in second.members] == ["ap2"]

    with_site(test)


def test_a_leader_that_hangs_is_followed_though_its_session_lives_on() -> None:
    async def test(site: Site) -> None:
        first, second = site.join(member(1)), site.join(member(2))
        for part in (first, second):
            await part.start()
        await until(lambda: first.may_send(0.0))
        await asyncio.sleep(1)
        first.close()  # nothing of it runs any more, only its client, which the servers hear
        assert await until(lambda: second.may_send(0.0), 20) <= 1.5 * T + 1.5
        assert not first.may_send(0.0)
        assert site.servers.nodes[leader_path(1)].owner == site.clients["process2"].session_id

    with_site(test)


@pytest.mark.parametrize("trouble", ["away", "mute", "never there"])
def test_leaving_ends_in_time_whatever_zookeeper_does(trouble: str) -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        client = site.clients["process1"]
        if trouble == "never there":
            client.suspend()
        await part.start()
        if trouble != "never there":
            await until(lambda: part.may_send(0.0))
        if trouble == "away":
            client.suspend()
        client.deaf = trouble == "mute"
        before = asyncio.get_running_loop().time()
        await part.leave()
        assert asyncio.get_running_loop().time() - before <= 2.0
        assert not part.may_send(0.0)

    with_site(test)


def test_a_better_member_takes_over_when_it_has_settled() -> None:
    async def test(site: Site) -> None:
        second = site.join(member(2))
        await second.start()
        await until(lambda: second.may_send(0.0))
        first = site.join(member(1))
        heard = Heard(second)
        second.follow(heard)
        await first.start()
        took = await until(lambda: first.may_send(0.0), 20)
        assert 5.0 <= took <= 6.5
        assert heard.told == ["ap1 should lead"]
        second.set_fit("x")
        first.set_fit("port 5060 is taken")  # both: nobody is better
        await asyncio.sleep(10)
        assert first.may_send(0.0)
        second.set_fit(None)
        assert await until(lambda: second.may_send(0.0)) < 1

    with_site(test)


def test_the_answer_to_a_transaction_may_be_lost() -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        client = site.clients["process1"]
        await part.start()
        await until(lambda: member_path("ap1") in site.servers.nodes)
        commit = client.commit
        lost = []

        async def losing(*operations: object) -> None:
            await commit(*operations)  # type: ignore[arg-type]
            if any(getattr(each, "path", "") == leader_path(1) for each in operations) and not lost:
                lost.append(operations)
                client.deaf = True
                asyncio.get_running_loop().call_later(1.0, setattr, client, "deaf", False)
                await asyncio.sleep(0.5)
                await client.read("members")

        client.commit = losing  # type: ignore[method-assign]
        await until(lambda: part.may_send(0.0), 20)
        assert lost
        assert part.term is not None
        assert part.term.number == 7  # it was ours all the time

    with_site(test)


def test_without_zookeeper_the_leader_acts_while_the_others_promise() -> None:
    async def test(site: Site) -> None:
        parts = [site.join(member(order)) for order in (1, 2, 3)]
        for part in parts:
            await part.start()
        first = parts[0]
        await until(lambda: first.may_send(0.0))
        await asyncio.sleep(1)
        for client in site.clients.values():
            client.suspend()
        await until(lambda: first.may_send(0.0), 1)
        assert first.status.failsafe
        assert first.term is None  # nothing can be written
        await asyncio.sleep(30)
        assert first.may_send(0.0)
        assert site.asked >= 2 * 30 / 0.4
        answer = parts[1].answer_peer(Ask(1, "ap9/id9", 10**9))
        assert answer.promised
        del site.parts["process3"]  # it answers no more
        assert await until(lambda: not first.may_send(0.0)) <= 1.0
        assert not first.status.failsafe

    with_site(test)


def test_who_is_connected_promises_nothing() -> None:
    async def test(site: Site) -> None:
        first, second = site.join(member(1)), site.join(member(2))
        for part in (first, second):
            await part.start()
        await until(lambda: first.may_send(0.0))
        site.clients["process1"].suspend()
        await asyncio.sleep(3)
        assert not first.may_send(0.0)
        answer = second.answer_peer(Ask(1, "ap1/id1", 7))
        assert (answer.promised, answer.connected) == (False, True)

    with_site(test)


def test_the_name_of_another_process_is_told_within_five_seconds() -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        await part.start()
        await until(lambda: part.may_send(0.0))
        twin = site.join(replace(member(), identity="other", instance="twin"))
        await twin.start()
        await until(lambda: twin.status.problem, 5)
        assert "ap1" in twin.status.problem
        await asyncio.sleep(60)
        assert part.may_send(0.0)
        assert not twin.status.registered
        part.close()
        site.clients["process1"].lose()
        await until(lambda: twin.may_send(0.0))
        assert twin.status.problem == ""

    with_site(test)


def test_a_group_without_leader_is_a_problem_that_is_told() -> None:
    async def test(site: Site) -> None:
        first = site.join(member(1))
        await first.start()
        await until(lambda: first.may_send(0.0))
        newcomer, second = site.join(member(3)), site.join(member(2))
        await second.start()
        await until(lambda: "ap2" in str(site.servers.nodes[failsafe_path(1)].data))
        for name, part in (("process1", first), ("process2", second)):
            part.close()
            site.clients[name].lose()
        await newcomer.start()
        await asyncio.sleep(3 * T + 1)
        assert not newcomer.may_send(0.0)
        assert "no leader" in newcomer.status.problem

    with_site(test)


def test_watches_bring_news_and_looks_do_not_pile_up() -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        heard = Heard(part)
        part.follow(heard)
        await part.start()
        await until(lambda: part.may_send(0.0))
        client = site.clients["process1"]
        await asyncio.sleep(600)
        watches = len(client._watches)
        assert watches <= 12
        views = heard.views
        other = site.join(member(2, group=2))
        await other.start()
        await until(lambda: heard.views > views, 0.5)
        assert [each.name for each in part.members] == ["ap1", "ap2"]
        await until(lambda: other.may_send(0.0))
        await until(lambda: set(part.leaders) == {1, 2}, 0.5)

    with_site(test)


def test_a_group_that_a_new_configuration_has_is_seen_and_one_that_it_lacks_is_not() -> None:
    async def test(site: Site) -> None:
        part, other = site.join(member(1)), site.join(member(2, group=3))
        for each in (part, other):
            await each.start()
        await until(lambda: part.may_send(0.0) and other.may_send(0.0))
        assert set(part.leaders) == {1}
        part.driver.looking.cover({1, 2, 3})
        await until(lambda: set(part.leaders) == {1, 3}, 0.5)
        part.driver.looking.cover({1})
        await until(lambda: set(part.leaders) == {1}, 0.5)

    with_site(test)


def test_zookeeper_may_be_emptied() -> None:
    async def test(site: Site) -> None:
        first, second = site.join(member(1)), site.join(member(2))
        for part in (first, second):
            await part.start()
        await until(lambda: first.may_send(0.0))
        number = first.leaders[1].number
        for client in site.clients.values():
            client.suspend()
        site.servers.wipe()
        for client in site.clients.values():
            client.resume()
        assert await until(lambda: first.may_send(0.0) or second.may_send(0.0)) <= T + 1
        assert first.leaders[1].number > number

    with_site(test)


def test_damaged_nodes_do_not_stop_the_cluster() -> None:
    async def test(site: Site) -> None:
        part = site.join(member())
        await part.start()
        await until(lambda: part.may_send(0.0))
        client = site.clients["process1"]
        await client.commit(Put(member_path("ap1"), b"\xff"), Put(failsafe_path(1), b"[]"))
        await asyncio.sleep(1)
        node = site.servers.nodes[member_path("ap1")]
        assert read_member(node.data, node.owner) is not None
        assert read_claim(site.servers.nodes[failsafe_path(1)].data, 0) is not None
        assert part.may_send(0.0)
        await client.commit(Put(epoch_path(1), b"{}"))
        client.expire()
        await until(lambda: part.may_send(0.0), 20)

    with_site(test)
