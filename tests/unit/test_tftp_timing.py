"""The retransmission time-out."""

from __future__ import annotations

import pytest

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
