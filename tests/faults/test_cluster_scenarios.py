"""What becomes of leadership in each kind of fault, with figures, on a simulated site with quick messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from era_ap.cluster.contract import SessionState
from era_ap.cluster.duties import Standing
from era_ap.cluster.moves import Led, Stopped
from era_ap.cluster.view import epoch_path, leader_path, member_path
from tests.faults.cluster_world import GROUP, Machine, World

T = 4.0
SERVERS = 0.6
"""What the simulated servers need to notice that a session has ended: a tick, and some more."""

many = pytest.mark.parametrize("seed", range(10))


@pytest.fixture
def worlds() -> Iterator[list[World]]:
    """Of every site that a test has used: never two acted at one time."""
    used: list[World] = []
    yield used
    assert [world.broken for world in used] == [[]] * len(used)


def settled(worlds: list[World], seed: int, members: int = 3) -> World:
    """A site whose members have been there for longer than the hold-down; ap1 leads."""
    world = World(seed, members)
    worlds.append(world)
    world.run_until(20.0 + world.rng.random())
    assert world.leader == "ap1"
    assert all(machine.election.situation.own.settled for machine in world.alive)
    return world


def led(machine: Machine) -> int:
    """How often a machine began to act."""
    return sum(isinstance(event, Led) for _, event in machine.log)


def cut(world: World, *names: str, link: str = "cut") -> None:
    for name in names:
        world.set_link(world.machine(name), link)


# --- leaders that end


@many
def test_the_first_start_ends_with_the_lowest_order_leading(seed: int, worlds: list[World]) -> None:
    world = World(seed, 4)
    worlds.append(world)
    # ZooKeeper is empty: somebody whom it has forgotten might still act for 2/3 T.
    assert 2 / 3 * T < world.wait_for(lambda: world.leader is not None, 10) <= T + 1
    world.run_until(60.0)
    assert [name for _, name in world.acted] == ["ap1"]


@many
def test_a_killed_leader_is_followed_when_its_session_ends(seed: int, worlds: list[World]) -> None:
    """Another one acts as soon as the servers have noticed (A1)."""
    world = settled(worlds, seed)
    world.kill(world.machine("ap1"))
    assert world.wait_for(lambda: world.leader is not None, 10) <= T + SERVERS
    assert world.leader == "ap2"


@many
def test_a_leader_that_stops_in_order_is_followed_at_once(seed: int, worlds: list[World]) -> None:
    """Nobody waits for the end of a session or a lease (A2)."""
    world = settled(worlds, seed)
    first = world.machine("ap1")
    world.leave(first)
    assert not first.acting()
    assert world.wait_for(lambda: world.leader == "ap2", 10) <= 0.15
    world.run_until(world.now + 10)
    assert member_path("ap1") not in world.ensemble.tree
    assert first.log[-1][1] == Stopped("the instance stops")


@many
def test_a_frozen_leader_does_nothing_when_it_wakes(seed: int, worlds: list[World]) -> None:
    """Not even in the first instant (A3)."""
    world = settled(worlds, seed)
    first = world.machine("ap1")
    first.frozen = True
    assert world.wait_for(lambda: world.leader == "ap2", 10) <= T + SERVERS
    world.run_until(world.now + 2 * T)
    first.thaw()  # checks the very first instant too
    world.run_until(world.now + 3)
    assert world.leader == "ap2"
    assert led(first) == 1


@many
def test_the_leader_node_is_taken_from_a_process_that_hangs(seed: int, worlds: list[World]) -> None:
    """Its session lives on, as the client for ZooKeeper has threads of its own."""
    world = settled(worlds, seed)
    first = world.machine("ap1")
    first.hangs = True
    assert world.wait_for(lambda: world.leader == "ap2", 20) <= 1.5 * T + T / 6 + 0.7
    world.run_until(world.now + 40)
    assert world.ensemble.tree[member_path("ap1")].owner == first.session
    assert sum(name == "ap2" for _, name in world.acted) <= 1
    first.thaw()
    world.run_until(world.now + 3)
    assert world.leader == "ap2"
    world.wait_for(lambda: world.leader == "ap1", 60)


def test_a_leader_node_that_the_servers_forgot_is_taken(worlds: list[World]) -> None:
    world = settled(worlds, 2)
    node = world.ensemble.tree[leader_path(GROUP)]
    world.kill(world.machine("ap1"))
    world.run_until(world.now + T / 2)
    world.ensemble.replace({**world.ensemble.tree, leader_path(GROUP): replace(node, owner=99)})
    world.wait_for(lambda: world.leader == "ap2", 2 * T)
    assert world.ensemble.tree[leader_path(GROUP)].owner == world.machine("ap2").session


@pytest.mark.parametrize(("seconds", "acts"), [(0.5, True), (1.0, True), (1.4, False), (2.4, False)])
def test_who_was_frozen_for_long_waits_for_an_answer_though_its_lease_may_last(
    seconds: float, acts: bool, worlds: list[World]
) -> None:
    world = settled(worlds, 1)
    first = world.machine("ap1")
    first.frozen = True
    world.run_until(world.now + seconds)
    first.frozen = False
    assert first.acting() is acts
    first.thaw()
    assert world.wait_for(first.acting, 5) <= 0.1


@pytest.mark.parametrize("link", ["cut", "stale"])
def test_a_leader_without_contact_is_silent_before_another_acts(link: str, worlds: list[World]) -> None:
    """Fifty times at a random phase (A6); also where its server is cut off and goes on answering reads."""
    for seed in range(50):
        world = settled(worlds, seed)
        cut(world, "ap1", link=link)
        silent = world.wait_for(lambda world=world: world.leader is None, 10)
        assert silent <= 2 / 3 * T
        assert silent + world.wait_for(lambda world=world: world.leader == "ap2", 10) <= T + SERVERS


def test_a_session_that_is_ended_by_force_is_made_anew(worlds: list[World]) -> None:
    """Twenty times in a row (A14)."""
    world = settled(worlds, 3)
    for _ in range(20):
        leader = world.leader
        assert leader is not None
        world.ensemble.end(world.machine(leader).session)
        world.wait_for(lambda leader=leader: world.leader != leader, 1)
        assert world.wait_for(lambda: world.leader is not None, 10) <= T
        world.run_until(world.now + 2)
        assert {member_path(machine.own.name) for machine in world.alive} <= world.ensemble.tree.keys()


def test_a_leader_whose_session_was_ended_by_force_acts_no_longer_than_its_lease(worlds: list[World]) -> None:
    for seed in range(20):
        world = settled(worlds, seed)
        cut(world, "ap1")
        world.ensemble.end(world.machine("ap1").session)
        world.wait_for(lambda world=world: world.leader is None, 3)
        assert world.wait_for(lambda world=world: world.leader == "ap2", 10) <= 1.5


# --- preference


@many
def test_a_better_member_takes_over_once_after_the_hold_down(seed: int, worlds: list[World]) -> None:
    """One hand-over, in good order (A15)."""
    world = settled(worlds, seed)
    first = world.machine("ap1")
    world.kill(first)
    world.wait_for(lambda: world.leader == "ap2", 10)
    world.restart(first)
    took = world.wait_for(lambda: world.leader is None, 20)
    assert world.hold_down_seconds <= took <= world.hold_down_seconds + 1
    assert world.wait_for(lambda: world.leader is not None, 10) <= 0.15
    assert world.leader == "ap1"
    world.run_until(world.now + 30)
    assert [name for _, name in world.acted] == ["ap1", "ap2", "ap1"]


@many
def test_a_member_that_comes_and_goes_does_not_move_the_leadership(seed: int, worlds: list[World]) -> None:
    """Restarted every 5 s for 2 min, by kill or in order: at most two moves (A15)."""
    world = World(seed, hold_down_seconds=30.0)
    worlds.append(world)
    world.run_until(40.0)
    assert world.leader == "ap1"
    moves = len(world.acted)
    until = world.now + 120
    while world.now < until:
        first = world.machine("ap1")
        if seed % 2:
            world.leave(first)
            world.run_until(world.now + 0.2)
        world.restart(first)
        world.run_until(world.now + 5)
    assert len(world.acted) - moves <= 2
    world.wait_for(lambda: world.leader == "ap1", 31 + T)
    assert len(world.acted) - moves <= 2


@many
def test_an_unfit_leader_stands_back_and_leads_only_where_nobody_fit_is(
    seed: int, worlds: list[World]
) -> None:
    world = settled(worlds, seed)
    world.set_fit(world.machine("ap1"), "port 5060 is taken")
    assert world.wait_for(lambda: world.leader == "ap2", 10) <= 0.2
    world.set_fit(world.machine("ap2"), "the storage does not answer")
    assert world.wait_for(lambda: world.leader == "ap3", 10) <= 0.2
    world.kill(world.machine("ap3"))
    world.wait_for(lambda: world.leader is not None, T + 2)
    assert world.leader == "ap1"
    world.set_fit(world.machine("ap2"), "")
    assert world.wait_for(lambda: world.leader == "ap2", 60) <= 30


def test_who_should_take_over_and_does_not_is_passed_over(worlds: list[World]) -> None:
    world = settled(worlds, 4)
    world.machine("ap2").frozen = True  # its session lives on for a while
    world.leave(world.machine("ap1"))
    took = world.wait_for(lambda: world.leader is not None, 10)
    assert world.leader == "ap3"
    assert 0.5 <= took <= 1.0


def test_an_unfit_pair_does_not_pass_the_leadership_to_and_fro(worlds: list[World]) -> None:
    world = settled(worlds, 5, 2)
    world.set_fit(world.machine("ap1"), "one")
    world.set_fit(world.machine("ap2"), "two")
    moves = len(world.acted)
    world.run_until(world.now + 60)
    assert len(world.acted) - moves <= 1
    assert world.leader is not None


# --- names


def test_a_second_process_of_a_name_never_leads(worlds: list[World]) -> None:
    """However long it waits while the first one lives (A20)."""
    world = settled(worlds, 6)
    twin = world.start("ap1", 1)
    world.run_until(world.now + T + 1)
    situation = twin.election.situation
    assert situation.taken_at is not None
    assert situation.standing(twin.clock()) is Standing.FOLLOWER
    world.run_until(world.now + 60)
    assert led(twin) == 0
    assert world.leader == "ap1"
    assert world.machine("ap1") is twin  # the last one of this name; the first one acts
    assert not twin.acting()


def test_the_node_of_a_killed_process_is_waited_out(worlds: list[World]) -> None:
    world = settled(worlds, 7, 1)
    again = world.restart(world.machine("ap1"))
    assert world.wait_for(again.acting, 10) <= T + 1
    assert world.ensemble.tree[leader_path(GROUP)].owner == again.session


# --- all of ZooKeeper


@many
def test_zookeeper_comes_after_the_instances(seed: int, worlds: list[World]) -> None:
    """The lead within T + 2 s of it (A12)."""
    world = World(seed)
    worlds.append(world)
    world.ensemble.up = False
    world.run_until(30.0)
    assert world.leader is None
    world.ensemble.rise(empty=True)
    assert world.wait_for(lambda: world.leader == "ap1", 10) <= T + 2


@many
def test_without_quorum_the_leader_acts_on_while_all_others_promise(seed: int, worlds: list[World]) -> None:
    """For a minute, and one leader after it (A10)."""
    world = settled(worlds, seed)
    world.ensemble.up = False
    gap = 0.0
    until = world.now + 60
    while world.now < until:
        since = world.now
        world.run_until(min(until, world.now + 0.05))
        gap += (world.now - since) if world.leader is None else 0.0
    assert world.leader == "ap1"
    assert gap <= T / 2  # from the end of the lease until all have noticed
    world.ensemble.rise(empty=False)
    assert world.wait_for(lambda: world.leader == "ap1", 10) <= 1.0
    world.run_until(world.now + 20)
    assert {name for _, name in world.acted} == {"ap1"}


@many
@pytest.mark.parametrize("fault", ["dead", "parted", "connected", "stranger"])
def test_one_missing_promise_means_silence(seed: int, fault: str, worlds: list[World]) -> None:
    world = settled(worlds, seed)
    if fault == "dead":
        world.kill(world.machine("ap3"))
    elif fault == "parted":
        world.parted.add(frozenset(("ap1", "ap3")))
    elif fault == "stranger":  # without its local state it has no knowledge that it could promise by
        world.ensemble.up = False
        world.restart(world.machine("ap3"), keeps_identity=False)
    if fault == "connected":
        cut(world, "ap1", "ap2")
    else:
        world.ensemble.up = False
    world.run_until(world.now + 2 / 3 * T + 0.1)
    for _ in range(100):
        assert world.machine("ap1").acting() is False
        world.run_until(world.now + 0.1)


def test_failsafe_can_be_switched_off(worlds: list[World]) -> None:
    world = World(8, failsafe=False)
    worlds.append(world)
    world.run_until(20.0)
    assert world.leader == "ap1"
    world.ensemble.up = False
    world.run_until(world.now + 2 / 3 * T)
    moves = len(world.acted)
    world.run_until(world.now + 30)
    assert (world.leader, len(world.acted)) == (None, moves)


def test_a_member_without_others_relies_on_nobody(worlds: list[World]) -> None:
    world = settled(worlds, 9, 1)
    world.ensemble.up = False
    world.run_until(world.now + 10)
    assert world.leader is None


@many
def test_zookeeper_restarted_empty_finds_its_leader_again(seed: int, worlds: list[World]) -> None:
    world = settled(worlds, seed)
    number = world.machine("ap1").election.situation.known
    world.ensemble.up = False
    world.run_until(world.now + world.rng.uniform(0.2, 8))
    world.ensemble.rise(empty=True)
    world.wait_for(lambda: epoch_path(GROUP) in world.ensemble.tree, T + 2)
    world.wait_for(lambda: world.leader == "ap1", 20)
    assert world.machine("ap1").election.situation.known > number


@many
def test_a_leader_cut_off_while_zookeeper_is_emptied_is_waited_for(seed: int, worlds: list[World]) -> None:
    world = settled(worlds, seed)
    cut(world, "ap1")
    world.ensemble.up = False
    world.run_until(world.now + 0.1)
    world.ensemble.rise(empty=True)  # ap2 and ap3 see nothing of the leader, whose lease goes on
    assert world.machine("ap1").acting()
    world.wait_for(lambda: world.leader == "ap2", 12)


@many
def test_members_cut_off_together_with_their_leader_keep_silent_for_it(
    seed: int, worlds: list[World]
) -> None:
    """The failsafe goes on until the first of them is back, who then may not act for a second."""
    world = settled(worlds, seed)
    cut(world, "ap1", "ap2", "ap3")
    world.run_until(world.now + 3 * T)
    assert world.machine("ap1").acting()
    assert world.machine("ap1").state is SessionState.SUSPENDED
    assert world.ensemble.sessions == {}
    cut(world, "ap3", link="ok")
    world.wait_for(lambda: world.leader == "ap3", 10)
    assert not world.machine("ap1").acting()


@many
def test_nobody_but_who_was_relied_on_takes_over(seed: int, worlds: list[World]) -> None:
    """A newcomer could not know whether the last leader acts on, backed by the others."""
    world = settled(worlds, seed)
    for name in ("ap1", "ap2", "ap3"):
        cut(world, name)
    world.run_until(world.now + 2 * T)
    newcomer = world.start("ap4", 4)
    world.run_until(world.now + 10 * T)
    assert world.machine("ap1").acting()
    assert not newcomer.acting()
    for name in ("ap1", "ap2", "ap3"):
        world.kill(world.machine(name))
    world.run_until(world.now + 10 * T)
    assert world.leader is None
    world.forget()  # an operator says that they are gone
    assert world.wait_for(lambda: world.leader == "ap4", 10) <= 1.0


@many
def test_a_member_that_left_in_order_is_not_missed_for_long(seed: int, worlds: list[World]) -> None:
    world = settled(worlds, seed)
    world.leave(world.machine("ap3"))
    world.run_until(world.now + 0.5)
    world.kill(world.machine("ap3"))
    world.run_until(world.now + 40)
    world.ensemble.up = False
    world.run_until(world.now + 10)
    assert world.leader == "ap1"
