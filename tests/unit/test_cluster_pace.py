"""How soon a domain is looked at again: at once, then ever more seldom, and soon when it changes again."""

from __future__ import annotations

from itertools import pairwise

from era_ap.cluster.pace import MOST_SECONDS, Pace

A, B = frozenset({"a"}), frozenset({"b"})


def looks(pace: Pace, until: float, begin: float = 0.0) -> list[float]:
    """When ``a``, which differs all the time, is looked at."""
    found, now = [], begin
    while now <= until:
        if pace.due({"a"}, now):
            found.append(now)
        pause = pace.pause(now)
        assert pause is not None
        now += max(pause, 0.001)
    return found


def test_a_domain_is_looked_at_at_once_and_then_more_and_more_seldom() -> None:
    at = looks(Pace(), 60)
    assert at[0] == 0
    pauses = [round(later - sooner, 2) for sooner, later in pairwise(at)]
    assert pauses[:6] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert set(pauses[6:]) == {MOST_SECONDS}


def test_each_domain_has_its_own_pace() -> None:
    pace = Pace()
    assert pace.due({"a"}, 0) == A
    assert pace.due({"a", "b"}, 0.1) == B
    assert pace.due({"a", "b"}, 0.3) == A


def test_what_does_not_differ_any_more_begins_anew() -> None:
    pace = Pace()
    looks(pace, 30)
    assert pace.due(set(), 31) == frozenset()
    assert pace.pause(31) is None
    assert pace.due({"a"}, 31.1) == A


def test_a_change_that_somebody_saw_shortens_the_wait() -> None:
    pace = Pace()
    last = looks(pace, 30)[-1]
    pace.hurry({"a", "unheard-of"}, last + 1)
    assert pace.pause(last + 1) == 0.25
    assert pace.due({"a"}, last + 1.25) == A
    pace.hurry({"a"}, last + 1.3)
    pace.hurry({"a"}, last + 1.4)  # whatever comes, four times a second is enough
    assert pace.pause(last + 1.4) is not None
    assert pace.due({"a"}, last + 1.4) == frozenset()
    assert pace.due({"a"}, last + 1.56) == A


def test_who_differs_for_long_is_named() -> None:
    pace = Pace()
    looks(pace, 20)
    pace.due({"a", "b"}, 21)
    assert pace.behind(15, 22) == A
    assert pace.behind(0, 22) == A | B
