"""The counters: what is added up, and how distributions are told."""

from __future__ import annotations

import timeit

import pytest

from era_ap.errors import Reason
from era_ap.metrics import TRANSPORTS, Counts, Distribution, Traffic


def test_a_distribution_is_cumulative_and_has_everything_in_the_end() -> None:
    seconds = Distribution((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        seconds.observe(value)
    assert seconds.buckets == [("0.1", 2.0), ("1.0", 4.0), ("+Inf", 5.0)]
    assert seconds.total == pytest.approx(8.65)


def test_a_request_is_counted_by_its_reason() -> None:
    traffic = Traffic()
    traffic.note("rendered", 0.02, sent=100, retransmits=2)
    traffic.note("rendered", 0.02, sent=50)
    traffic.note("uploaded", 0.5, received=7)
    counted = {code: count for code, count in traffic.requests.items() if count}
    assert counted == {"rendered": 2, "uploaded": 1}
    assert (traffic.sent, traffic.received, traffic.retransmits) == (150, 7, 2)
    assert traffic.seconds.buckets[-1] == ("+Inf", 3.0)


def test_every_reason_begins_with_nought() -> None:
    counts = Counts()
    assert tuple(counts.traffic) == TRANSPORTS
    for traffic in counts.traffic.values():
        assert traffic.requests == {reason.code: 0 for reason in Reason}


def test_counting_costs_little() -> None:
    traffic = Traffic()
    best = min(timeit.repeat(lambda: traffic.note("rendered", 0.02, sent=100), number=10_000, repeat=5))
    assert best / 10_000 < 20e-6  # 0.6 us on an idle machine; the figure here allows for a busy one
