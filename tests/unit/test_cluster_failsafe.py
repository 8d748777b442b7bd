"""Promises: all that are needed, fresh, and needed are those who might take over."""

from __future__ import annotations

import pytest

from era_ap.cluster.failsafe import CYCLE_SECONDS, FRESH_SECONDS, PROMISE_SECONDS, Backing


def backing(*lists: str) -> Backing:
    made = Backing()
    made.lists = [frozenset(text.split()) for text in lists]
    return made


def test_all_must_have_promised_a_moment_ago() -> None:
    found = backing("a b")
    found.note("a", 10.0, promised=True)
    assert not found.complete(10.0)
    assert found.until() is None
    found.note("b", 10.3, promised=True)
    assert found.complete(10.3)
    assert found.until() == 10.0 + FRESH_SECONDS
    assert found.complete(10.0 + FRESH_SECONDS - 0.01)
    assert not found.complete(10.0 + FRESH_SECONDS)


def test_it_counts_from_the_question_on_and_an_old_answer_takes_nothing_away() -> None:
    found = backing("a")
    found.note("a", 10.5, promised=True)
    found.note("a", 10.2, promised=True)
    assert found.until() == 10.5 + FRESH_SECONDS


def test_a_refusal_ends_a_promise_and_so_does_contact() -> None:
    found = backing("a")
    found.note("a", 10.0, promised=True)
    found.note("a", 10.1, promised=False)
    assert not found.complete(10.1)
    found.note("a", 10.2, promised=True)
    found.forget()
    assert not found.complete(10.2)


@pytest.mark.parametrize(
    ("lists", "needed"),
    [
        ((), ""),
        (("",), ""),
        (("a b",), "a b"),
        (("a b", "b c"), "a b c"),  # the second may be written or not
        (("a b", ""), ""),  # perhaps nobody is relied on, so anybody may take over
    ],
)
def test_needed_is_who_may_take_over_by_any_claim_that_may_be_written(
    lists: tuple[str, ...], needed: str
) -> None:
    found = backing(*lists)
    assert found.needed == frozenset(needed.split())
    for key in "abc":
        found.note(key, 5.0, promised=True)
    assert found.complete(5.0) is bool(needed)


def test_a_promise_outlasts_the_trust_in_it_and_a_lost_question() -> None:
    assert FRESH_SECONDS < PROMISE_SECONDS
    assert 2 * CYCLE_SECONDS < FRESH_SECONDS
