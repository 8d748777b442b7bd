"""Faults under a stream of phones: one of the scripted run, all of them with ERA_AP_SLOW=1."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster.faults import FAULTS, failures, row, run, table
from tests.cluster.world import World, build_shift, why_not

QUICK = ("rolling",)
BUSY_SECONDS = 1.0
"""What a machine that does much else may add to a figure."""

pytestmark = [
    pytest.mark.functional,
    pytest.mark.netns,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    made = World(folder, shift=build_shift(folder))
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("name", FAULTS if os.environ.get("ERA_AP_SLOW") else QUICK)
def test_phones_hardly_notice(world: World, name: str) -> None:
    if name == "clock" and not world.can_set_clocks:
        pytest.skip("needs a C compiler (apt-get install gcc libc6-dev)")
    found = run(world, name)
    assert failures(name, found, BUSY_SECONDS) == [], f"{table([row(name, found)])}\n{found.losses}"
