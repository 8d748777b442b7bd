"""Leadership under random faults: never two who act, soon one again after them, in the end the preferred one.

CLUSTER_SCHEDULES=10000 tries that many seeds instead of 120. The proof that this can fail: with a rule of the
election broken it does.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import tests.faults.cluster_world
from era_ap.cluster import choosing, election, noting
from era_ap.cluster.contract import SessionState
from era_ap.cluster.failsafe import FRESH_SECONDS, Backing
from era_ap.cluster.lease import Lease
from era_ap.cluster.moves import Beat, Result, Write
from era_ap.cluster.situation import Situation
from era_ap.cluster.view import Claim, leader_path
from tests.faults.cluster_faults import Faults
from tests.faults.cluster_world import GROUP, Machine, World

T = 4.0
SCHEDULES = int(os.environ.get("CLUSTER_SCHEDULES", "120"))
BLOCK = 20
SEARCHED = 200
"""Seeds among which a broken rule must show."""


def world_of(seed: int, favour: tuple[str, ...] = ()) -> tuple[World, Faults]:
    """A site of one to five members and what is going to happen to it."""
    rng = random.Random(seed)
    world = World(seed, rng.choice((1, 2, 3, 3, 4, 5)), failsafe=rng.random() < 0.8, odd_share=0.03)
    return world, Faults(world, rng.choice((0.5, 1, 2, 4)), favour)


def play(seed: int) -> World:
    """80 s of faults, then what must follow."""
    world, faults = world_of(seed)
    world.run_until(6.0)
    faults.until(80.0)
    # T + 1 s, the tick of the servers, and a message or two that is slow
    since = world.now
    world.wait_for(lambda: world.leader is not None or world.now - since > T + 2.5, T + 3)
    if world.leader is None:  # the only ones who might take over have lost their local state
        assert world.is_stuck
        world.forget()
        world.wait_for(lambda: world.leader is not None, T + 2.5)
    # Whom ap1 did not follow while something was wrong with it gives it more time now.
    world.wait_for(lambda: world.leader == "ap1", 10 * world.hold_down_seconds)
    return world


@pytest.mark.parametrize("block", range(0, SCHEDULES, BLOCK))
def test_never_two_act_and_one_does_soon_after(block: int) -> None:
    for seed in range(block, min(SCHEDULES, block + BLOCK)):
        try:
            world = play(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        assert world.broken == [], f"seed {seed}"


# --- the proof that it can fail: one rule broken at a time


Patch = pytest.MonkeyPatch


def longer_lease(patch: Patch) -> None:
    """The leader acts longer than its successor thinks."""
    renew = Lease.renew
    patch.setattr(Lease, "renew", lambda self, at, seconds: renew(self, at, 1.3 * seconds))


def impatient_successor(patch: Patch) -> None:
    """Nobody waits for the lease of the last leader to end, but for its session only."""
    patch.setattr(choosing, "WAIT_FACTOR", 0.0)


def heartbeat_by_reading(patch: Patch) -> None:
    """The heartbeat only reads the leader node."""
    commit = Machine.commit

    def read(self: Machine, write: Write | Beat) -> None:
        if isinstance(write, Write):
            commit(self, write)
            return
        client, sent_at = self.client, self.clock()

        def arrive() -> None:
            node = self.world.ensemble.at(self.stale_since or self.world.now).get(leader_path(GROUP))
            result = Result.DONE if node is not None and node.owner == write.session else Result.REFUSED
            self.reply(client, lambda: self.election.committed(write, result, sent_at, self.clock()))

        self.request(arrive, read=True)

    patch.setattr(tests.faults.cluster_world.Machine, "commit", read)


def acting_while_handing_over(patch: Patch) -> None:
    """The old leader goes on until the leader node is gone."""
    standing = Situation.standing

    def wrong(self: Situation, now: float) -> object:
        kept, self.releasing = self.releasing, ""
        try:
            return standing(self, now)
        finally:
            self.releasing = kept

    patch.setattr(Situation, "standing", wrong)


def anybody_takes_over(patch: Patch) -> None:
    """Also who is not relied on."""
    patch.setattr(Claim, "admits", lambda _self, _key: True)


def forgetful_promise(patch: Patch) -> None:
    """Who promised may take over at once, and may promise while in contact."""
    keep = noting.promise

    def wrong(situation: Situation, ask: object, now: float) -> object:
        until, state = situation.promised_until, situation.state
        if situation.term is None:
            situation.state = SessionState.SUSPENDED
        try:
            return keep(situation, ask, now)  # type: ignore[arg-type]
        finally:
            situation.promised_until, situation.state = until, state

    patch.setattr(election, "promise", wrong)


def majority_is_enough(patch: Patch) -> None:
    """The failsafe does not ask for all promises."""

    def wrong(self: Backing, now: float) -> bool:
        needed = self.needed
        fresh = sum(now - self._promised.get(key, -1e9) < FRESH_SECONDS for key in needed)
        return bool(needed) and 2 * fresh >= len(needed)

    patch.setattr(Backing, "complete", wrong)


def leader_by_name(patch: Patch) -> None:
    """The leader node is ours if it has our name, whatever session made it."""

    def wrong(self: Situation) -> bool:
        return self.group.holder is not None and self.group.holder.name == self.own.name

    patch.setattr(Situation, "holds", property(wrong))


def trust_in_an_empty_zookeeper(patch: Patch) -> None:
    """Where ZooKeeper knows of no term, there was none."""
    note = noting.note_view

    def wrong(situation: Situation, view: object, now: float) -> None:
        note(situation, view, now)  # type: ignore[arg-type]
        situation.forgotten_at = None

    patch.setattr(election, "note_view", wrong)


@contextmanager
def broken(rule: Callable[[Patch], None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        rule(patch)
        yield


@pytest.mark.parametrize(
    ("rule", "favour", "first"),
    [
        (longer_lease, ("expire", "cut"), 24),
        (impatient_successor, ("expire", "cut"), 1),
        (heartbeat_by_reading, ("stale",), 0),
        (acting_while_handing_over, ("unfit", "stale"), 92),
        (anybody_takes_over, ("isolate", "cut", "twin"), 22),
        (forgetful_promise, ("isolate",), 0),
        (majority_is_enough, ("isolate", "cut"), 109),
        (leader_by_name, ("twin",), 1),
        (trust_in_an_empty_zookeeper, ("wipe",), 15),
    ],
)
def test_with_a_rule_broken_two_act_at_one_time(
    rule: Callable[[Patch], None], favour: tuple[str, ...], first: int
) -> None:
    """The search begins at the schedule that showed it when this was written."""
    with broken(rule):
        for number in range(SEARCHED):
            world, faults = world_of((first + number) % SEARCHED, favour)
            world.run_until(6.0)
            faults.until(80.0)
            if world.broken:
                return
    raise AssertionError(f"not found in {SEARCHED} schedules")
