"""The retransmission time-out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.tftp.timing import RoundTrip, Timing


def test_first_then_measured_within_bounds() -> None:
    trip = RoundTrip(Timing(), None)
    assert trip.timeout == 0.25
    trip.sample(0.001)
    assert trip.timeout == 0.05, "the floor"
    for _ in range(50):
        trip.sample(0.4)
    assert 0.4 < trip.timeout < 0.6
    trip.sample(30.0)
    assert trip.timeout == 2.0, "the ceiling"


def test_doubles_up_to_the_ceiling() -> None:
    trip = RoundTrip(Timing(), None)
    seen = []
    for _ in range(5):
        trip.back_off()
        seen.append(trip.timeout)
    assert seen == [0.5, 1.0, 2.0, 2.0, 2.0]


def test_a_negotiated_timeout_binds() -> None:
    trip = RoundTrip(Timing(), 7)
    trip.sample(0.001)
    trip.back_off()
    assert trip.timeout == 7.0
    assert trip.smoothed == pytest.approx(0.001)
    assert trip.patience(5.0) == 21.0


def test_a_lost_packet_goes_back_to_the_measured_time_out_but_not_twice_in_a_row() -> None:
    trip = RoundTrip(Timing(), None)
    trip.sample(0.02)
    measured = trip.timeout
    trip.back_off()
    trip.unmeasured()
    assert trip.timeout == measured
    trip.back_off()
    trip.unmeasured()
    assert trip.timeout == 2 * measured, "the round trip may have grown"
    trip.sample(0.1)
    trip.back_off()
    trip.unmeasured()
    assert trip.timeout < 0.5


def test_nothing_measured_keeps_the_longer_time_out() -> None:
    trip = RoundTrip(Timing(), None)
    trip.back_off()
    trip.unmeasured()
    assert trip.timeout == 0.5


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=20), st.floats(0, 1))
def test_what_is_negligible_leaves_the_time_out_at_its_floor(samples: list[float], part: float) -> None:
    trip, shorter = RoundTrip(Timing(), None), RoundTrip(Timing(), None)
    for seconds in samples:
        trip.sample(seconds)
        shorter.sample(seconds)
    if trip.negligible > 0 and trip.smoothed is not None:
        assert trip.timeout == Timing().floor
        trip.sample(part * trip.negligible)
        grew_by_being_shorter = shorter.smoothed is not None and shorter.smoothed > shorter.negligible
        assert trip.timeout == Timing().floor or grew_by_being_shorter


def test_nothing_is_negligible_while_the_time_out_is_not_at_its_floor() -> None:
    trip = RoundTrip(Timing(), None)
    assert trip.negligible < 0
    trip.sample(0.001)
    assert trip.negligible == pytest.approx(0.01)
    for disturb in (trip.back_off, trip.unmeasured, lambda: trip.sample(1.0)):
        trip.negligible = 0.01
        disturb()
        assert trip.negligible < 0
    fixed = RoundTrip(Timing(), 3)
    fixed.sample(0.001)
    assert fixed.negligible > 1000, "it needs no measuring at all"
