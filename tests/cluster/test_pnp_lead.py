"""The lead of PnP under a stream of phones: stopped, killed, frozen; what the old leader sends (A1, A2, A3).

Twenty repetitions of the frozen leader with ERA_AP_SLOW=1, two otherwise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.verdict import Verdict, judge
from tests.cluster.world import INSTANCES, SESSION_SECONDS, World, why_not

pytestmark = [
    pytest.mark.functional,
    pytest.mark.netns,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]

REPETITIONS = 20 if os.environ.get("ERA_AP_SLOW") else 1
STANDBYS = INSTANCES[1:]
BUSY_SECONDS = 1.0
"""What a machine that does much else may add to a figure."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"), hold_down=8.0)
    try:
        made.start()
        yield made
    finally:
        made.close()


def sent_by(world: World, name: str, since: float, until: float) -> list[dict[str, Any]]:
    """What phones got from an instance between two moments."""
    address = world.addresses[name]
    return [
        event
        for event in world.events()
        if event["kind"] in ("accepted", "notify")
        and event["server"] == address
        and since < event["t"] < until
    ]


def verdict(world: World, began: float) -> Verdict:
    """The figures since then, once phones had time to be answered."""
    world.let_pass(7.0)
    by_address = {address: name for name, address in world.addresses.items()}
    return judge(world.events(), began, time.monotonic(), by_address)


def test_a_stopped_leader_leaves_no_gap_and_sends_nothing_more(world: World) -> None:
    """At most 0.5 s without an answer, nothing after the release (A2)."""
    world.wait_leader("ap1")
    began = time.monotonic()
    assert world.stop("ap1") == 0
    ended = time.monotonic()
    world.wait_leader(*STANDBYS)
    found = verdict(world, began)
    assert sent_by(world, "ap1", ended, time.monotonic()) == []
    assert (found.notifies, found.leaders, found.unanswered, found.lost) == (1, 1, 0, 0)
    assert found.gap < 0.5 + BUSY_SECONDS
    world.begin("ap1").wait_ready()
    world.wait_leader("ap1")


def test_a_killed_leader_is_replaced_in_time(world: World) -> None:
    """The next answer within T + 1 s, none twice, no file lost (A1)."""
    world.wait_leader("ap1")
    began = time.monotonic()
    world.kill("ap1")
    world.wait_leader(*STANDBYS)
    found = verdict(world, began)
    assert (found.notifies, found.leaders, found.unanswered, found.lost) == (1, 1, 0, 0)
    assert found.gap < SESSION_SECONDS + 1.0 + BUSY_SECONDS
    world.begin("ap1").wait_ready()
    world.wait_leader("ap1")


@pytest.mark.parametrize("number", range(REPETITIONS))
def test_a_frozen_leader_sends_nothing_when_it_wakes_up(world: World, number: int) -> None:
    """Frozen for 3 T under 20 SUBSCRIBEs a second: no packet when it wakes up (A3)."""
    world.wait_leader("ap1")
    world.let_pass(number * 0.05)  # another moment between two beats each time
    began = time.monotonic()
    world.freeze("ap1")
    world.wait_leader(*STANDBYS)
    world.let_pass(3 * SESSION_SECONDS - (time.monotonic() - began))
    woken = time.monotonic()
    world.thaw("ap1")
    world.let_pass(3.0)
    asked = [e for e in world.events() if e["kind"] == "subscribe" and began < e["t"] < woken]
    assert len(asked) > 100
    assert sent_by(world, "ap1", woken, woken + 3.0) == []
    found = verdict(world, began)
    assert (found.notifies, found.leaders, found.unanswered, found.lost) == (1, 1, 0, 0)
    assert found.gap < SESSION_SECONDS + 1.0 + BUSY_SECONDS
