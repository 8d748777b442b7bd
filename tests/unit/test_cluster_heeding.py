"""Whose word counts: a living leader's that sees its directory, or the last one's until we looked too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from era_ap.cluster.contract import Ensemble, SessionState
from era_ap.cluster.coordinator import Coordinator
from era_ap.cluster.heeding import LATE_SECONDS, SEES_SECONDS, Directory, Heeding
from era_ap.cluster.view import Term
from era_ap.directory.index import DirectoryIndex
from tests.cached_macs import term_of

TERM = term_of(1, 5, 4, 99)


class Part:
    """What is held of group 1: all that the leader of ``term`` wrote."""

    term: Term | None = TERM

    def shows(self, term: Term | None) -> bool:
        return term is not None and term == self.term


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.looked: float | None = 99.0
        self.ensemble = SimpleNamespace(state=SessionState.CONNECTED)
        self.coordinator = SimpleNamespace(leaders={1: TERM})
        self.part = Part()
        self.directory = Directory(DirectoryIndex(), lambda: self.looked, lambda: self.now)
        self.heeding = Heeding(
            cast(Ensemble, self.ensemble), cast(Coordinator, self.coordinator), {1: self.part}, self.directory
        )
        self.heeding.note()


def no_contact(world: World) -> None:
    world.ensemble.state = SessionState.SUSPENDED


def no_leader(world: World) -> None:
    world.coordinator.leaders = {}


def another_leader(world: World) -> None:
    world.coordinator.leaders = {1: term_of(1, 6, 5, 120)}


def not_all_here(world: World) -> None:
    world.part.term = None


LOSSES = [no_contact, no_leader, another_leader, not_all_here]


def test_the_word_of_a_living_leader_counts() -> None:
    world = World()
    assert world.heeding.is_shown(1)
    assert world.heeding.is_followed(1)
    assert world.heeding.is_heeded(1)
    assert world.heeding.age(1) == 0.0


def test_our_own_part_is_shown_but_not_followed() -> None:
    world = World()
    world.heeding.leads = 1
    assert world.heeding.is_shown(1)
    assert not world.heeding.is_followed(1)
    assert world.heeding.is_heeded(1)


def test_a_group_that_is_not_there_is_not_shown() -> None:
    assert not World().heeding.is_shown(2)
    assert World().heeding.age(2) is None


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lost_leaders_word_counts_until_we_looked_ourselves(loss) -> None:  # type: ignore[no-untyped-def]
    world = World()
    loss(world)
    assert not world.heeding.is_shown(1)
    world.now = 200.0
    assert world.heeding.age(1) == 100.0
    assert world.heeding.is_heeded(1)  # nobody has looked since
    world.looked = 100.0 + LATE_SECONDS - 0.1
    assert world.heeding.is_heeded(1)  # that look may have been too early to see what the leader had not
    world.looked = 100.0 + LATE_SECONDS
    assert not world.heeding.is_heeded(1)


def test_a_kept_cache_counts_while_the_directory_was_never_seen() -> None:
    world = World()
    no_contact(world)
    world.looked = None
    world.now = 1e6
    assert world.heeding.is_heeded(1)


def test_a_kept_cache_that_was_never_shown_does_not_count_beside_a_directory() -> None:
    world = World()
    world.coordinator.leaders = {}
    heeding = Heeding(
        cast(Ensemble, world.ensemble), cast(Coordinator, world.coordinator), {1: world.part}, world.directory
    )
    assert not heeding.is_heeded(1)
    assert heeding.age(1) is None


@pytest.mark.parametrize("loss", LOSSES)
def test_turns_are_noted_once(loss) -> None:  # type: ignore[no-untyped-def]
    world = World()
    turns = world.heeding.turns
    assert not world.heeding.note()
    loss(world)
    assert world.heeding.note()
    assert not world.heeding.note()
    assert world.heeding.turns == turns + 1
    world.looked = 150.0
    assert world.heeding.note()  # shown as before, but not heeded any more
    assert world.heeding.turns == turns + 2


def test_a_directory_that_does_not_answer_for_long_is_not_seen() -> None:
    world = World()
    assert world.directory.sees()
    world.now = 99.0 + SEES_SECONDS
    assert world.directory.sees() is False
    world.looked = None
    assert world.directory.sees() is None
