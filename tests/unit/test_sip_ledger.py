"""Who was answered, by whom, and who waits: what keeps two instances from answering one SUBSCRIBE."""

from __future__ import annotations

from dataclasses import replace

import pytest

from era_ap.sip.ledger import HOLD_SECONDS, KEY_BYTES, Ledger, key_of
from era_ap.sip.path import Local
from tests.unit.sip_site import LAN, asked, subscribe

ONE, TWO = b"1" * KEY_BYTES, b"2" * KEY_BYTES


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(32.0)


def test_an_answer_is_unsent_until_it_goes_out_and_remembered(ledger: Ledger) -> None:
    ledger.note_answer(ONE, "tag1", 0.0)
    ledger.note_answer(TWO, "tag2", 0.0)
    assert ledger.unsent == (ONE, TWO)
    ledger.note_sent()
    assert ledger.unsent == ()
    assert (ledger.tag(ONE, 31.0), ledger.tag(ONE, 32.0)) == ("tag1", None)


def test_who_waits_is_answered_by_whoever_begins(ledger: Ledger) -> None:
    ledger.hold(ONE, asked(subscribe(), 1.0), 1.0)
    ledger.hold(TWO, asked(subscribe(), 2.0), 2.0)
    assert [each.since for each in ledger.begin(1.5, 3.0)] == [2.0]
    assert ledger.begin(0.0, 3.0) == []


def test_nobody_waits_for_ever(ledger: Ledger) -> None:
    ledger.hold(ONE, asked(subscribe(), 0.0), 0.0)
    assert ledger.begin(-1.0, HOLD_SECONDS) == []


def test_what_others_answer_does_not_wait_before_or_after(ledger: Ledger) -> None:
    ledger.hold(ONE, asked(subscribe(), 0.0), 0.0)
    ledger.note_elsewhere([ONE, TWO], 0.1)
    ledger.hold(TWO, asked(subscribe(), 0.2), 0.2)
    assert ledger.begin(-1.0, 1.0) == []
    assert ledger.is_anothers(asked(subscribe(), 1.5), TWO, 1.5)
    assert not ledger.is_anothers(asked(subscribe(), 33.0), TWO, 33.0)


def test_what_came_before_our_term_is_anothers(ledger: Ledger) -> None:
    assert not ledger.is_anothers(asked(subscribe(), -1e9), ONE, 0.0)
    ledger.begin(5.0, 6.0)
    assert ledger.is_anothers(asked(subscribe(), 4.9), ONE, 6.0)
    assert not ledger.is_anothers(asked(subscribe(), 5.0), ONE, 6.0)


def test_an_answer_that_is_taken_back_was_never_given(ledger: Ledger) -> None:
    ledger.note_answer(ONE, "tag", 0.0)
    ledger.take_back(ONE, asked(subscribe(), 0.0), 0.1)
    assert ledger.tag(ONE, 0.1) is None
    assert len(ledger.begin(0.0, 1.0)) == 1


def test_the_key_is_of_the_question_and_not_of_its_way() -> None:
    first = asked(subscribe())
    other_way = Local("198.51.100.7", 5060, 9, "eth9")
    again = asked(subscribe(Via="SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK99"), 7.0)
    assert key_of(first) == key_of(replace(again, arrival=replace(again.arrival, local=other_way)))
    assert len(key_of(first)) == KEY_BYTES


@pytest.mark.parametrize(
    "other",
    [
        subscribe("001565a1b2c4"),
        subscribe(Call_ID="8@192.0.2.50"),
        subscribe(CSeq="2 SUBSCRIBE"),
        subscribe(From="<sip:MAC%3a001565a1b2c3@224.0.1.75>;tag=78"),
    ],
    ids=["mac", "call", "number", "tag"],
)
def test_another_question_has_another_key(other: bytes) -> None:
    assert key_of(asked(subscribe())) != key_of(asked(other))


def test_another_phone_has_another_key() -> None:
    first = asked(subscribe())
    assert key_of(first) != key_of(replace(first, arrival=replace(first.arrival, peer=("192.0.2.51", 5060))))
    assert first.arrival.local is LAN
