"""Notices between instances: authenticated, taken once, and what a new leader concludes from them."""

from __future__ import annotations

import random

import pytest

from era_ap.cluster.notices import (
    BEAT_SECONDS,
    GRACE_SECONDS,
    MAX_KEYS,
    SLACK_SECONDS,
    Heard,
    Listener,
    Speaker,
    Succession,
)

SECRET = b"s" * 32
A, B = b"a" * 16, b"b" * 16


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def speaker() -> Speaker:
    return Speaker(SECRET, "leader-1", 11360)


@pytest.fixture
def listener() -> Listener:
    return Listener(SECRET, "standby-1", 11360)


def test_a_claim_names_what_is_answered(speaker: Speaker, listener: Listener) -> None:
    (datagram,) = speaker.claim(7, [A, B], ["standby-1"], 100.0)
    assert len(datagram) < 120
    assert listener.receive(datagram, 5.0) == Heard(7, (A, B), None)


def test_a_beat_says_until_when_all_was_answered(speaker: Speaker, listener: Listener) -> None:
    (beat,) = speaker.beat(7, 0.0, ["standby-1"], 100.0)
    assert listener.receive(beat, 5.0) == Heard(7, (), 5.0)
    (beat,) = speaker.beat(7, 0.2, ["standby-1"], 100.25)
    assert listener.receive(beat, 5.25) == Heard(7, (), pytest.approx(5.05))


def test_what_was_just_said_is_said_again(speaker: Speaker, listener: Listener) -> None:
    for number in range(20):
        speaker.claim(7, [key(number)], ["standby-1"], 100.0 + number / 100)
    (claim,) = speaker.claim(7, [A], ["standby-1"], 100.2)
    heard = listener.receive(claim, 5.0)
    assert heard is not None
    assert heard.keys == (*(key(number) for number in range(13, 20)), A)
    heard = listener.receive(speaker.beat(7, 0.0, ["standby-1"], 100.2 + BEAT_SECONDS)[0], 5.25)
    assert heard is not None
    assert heard.keys == (*(key(number) for number in range(20)), A)
    heard = listener.receive(speaker.beat(7, 0.0, ["standby-1"], 101.0)[0], 6.0)
    assert heard is not None
    assert heard.keys == ()


def test_many_keys_take_several_small_datagrams(speaker: Speaker, listener: Listener) -> None:
    keys = [key(number) for number in range(150)]
    datagrams = speaker.claim(7, keys, ["standby-1"], 100.0)
    assert max(map(len, datagrams)) < 1200
    heard = [listener.receive(datagram, 5.0) for datagram in datagrams]
    assert {key for each in heard if each is not None for key in each.keys} == set(keys)
    assert len(heard) == 3
    assert MAX_KEYS == 64


def test_each_instance_gets_its_own(speaker: Speaker, listener: Listener) -> None:
    first, second = speaker.claim(7, [A], ["standby-1", "standby-2"], 100.0)
    assert listener.receive(second, 5.0) is None
    assert listener.receive(first, 5.0) is not None
    assert Listener(SECRET, "standby-2", 11360).receive(second, 5.0) is not None


def test_nothing_is_taken_twice_or_out_of_order(speaker: Speaker, listener: Listener) -> None:
    (first,), (second,) = (speaker.claim(7, [each], ["standby-1"], 100.0) for each in (A, B))
    assert listener.receive(second, 5.0) is not None
    assert listener.receive(second, 5.1) is None
    assert listener.receive(first, 5.2) is None


def test_nothing_for_an_earlier_process_is_taken(speaker: Speaker) -> None:
    (beat,) = speaker.beat(7, 0.0, ["standby-1"], 100.0)
    assert Listener(SECRET, "standby-1-again", 11360).receive(beat, 5.0) is None


def test_a_beat_that_was_held_back_proves_no_life_now(speaker: Speaker, listener: Listener) -> None:
    first, second = (speaker.beat(7, 0.0, ["standby-1"], at)[0] for at in (100.0, 101.0))
    assert listener.receive(first, 5.0) is not None
    assert listener.receive(second, 16.0) == Heard(7, (), pytest.approx(6.0))


@pytest.mark.parametrize(("secret", "group"), [(b"t" * 32, 11360), (SECRET, 2)], ids=["secret", "group"])
def test_strangers_are_not_heard(speaker: Speaker, secret: bytes, group: int) -> None:
    (beat,) = speaker.beat(7, 0.0, ["standby-1"], 100.0)
    assert Listener(secret, "standby-1", group).receive(beat, 5.0) is None


def test_no_octet_can_be_changed_and_nothing_raises(speaker: Speaker, listener: Listener) -> None:
    (claim,) = speaker.claim(7, [A], ["standby-1"], 100.0)
    for place in range(len(claim)):
        assert listener.receive(claim[:place] + bytes((claim[place] ^ 1,)) + claim[place + 1 :], 5.0) is None
        assert listener.receive(claim[:place], 5.0) is None
    rng = random.Random(1)
    for size in range(200):
        assert listener.receive(rng.randbytes(size), 5.0) is None
        assert listener.receive(b"eaN1" + rng.randbytes(size), 5.0) is None
    assert listener.receive(claim + b"x", 5.0) is None
    assert listener.receive(claim, 5.0) is not None


# --- since when nobody has answered


def test_the_first_leader_of_all_answers_whoever_waits() -> None:
    assert Succession(4.0).since(100.0) == float("-inf")


def test_a_dead_leader_answered_until_its_last_beat() -> None:
    succession = Succession(4.0)
    succession.note_leader(there=True, now=50.0)
    for at in (99.5, 99.75, 99.6):
        succession.note_answered(at)
    assert succession.since(104.0) == 99.75 - GRACE_SECONDS


def test_a_leader_that_left_in_order_did_so_too() -> None:
    succession = Succession(4.0)
    succession.note_leader(there=True, now=50.0)
    succession.note_answered(99.9)
    succession.note_leader(there=False, now=100.0)
    assert succession.since(100.01) == 99.9 - GRACE_SECONDS


def test_a_leader_that_could_not_reach_us_answered_until_it_was_gone() -> None:
    succession = Succession(4.0)
    succession.note_leader(there=True, now=50.0)
    succession.note_answered(60.0)
    succession.note_leader(there=False, now=100.0)
    assert succession.since(100.5) == 100.0
    silent = Succession(4.0)
    silent.note_leader(there=True, now=50.0)
    assert silent.since(100.0) == 100.0
    assert 60.0 + 4.0 + SLACK_SECONDS < 100.0


def test_what_we_answered_ourselves_counts_as_well() -> None:
    succession = Succession(4.0)
    succession.note_answered(200.0)
    assert succession.since(260.0) == 200.0 - GRACE_SECONDS
