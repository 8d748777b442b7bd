"""What a heartbeat is worth: from its sending on, and nothing after a gap."""

from __future__ import annotations

from era_ap.cluster.lease import BEAT_SHARE, GAP_SHARE, LEASE_SHARE, WAIT_FACTOR, Lease

T = 6.0


def lease_alive_at(now: float) -> Lease:
    lease = Lease(0.0)
    for tick in range(int(now) + 1):
        lease.alive(float(tick), T)
    lease.alive(now, T)
    return lease


def test_without_a_heartbeat_there_is_no_right() -> None:
    assert not lease_alive_at(0.0).runs(0.0)


def test_it_lasts_from_the_sending_of_the_last_heartbeat_that_was_answered() -> None:
    lease = lease_alive_at(3.0)
    lease.renew(1.0, 4.0)
    lease.renew(0.5, 4.0)  # an older one, answered later
    assert lease.until == 5.0
    lease.alive(4.9, T)
    assert lease.runs(4.9)
    assert not lease.runs(5.0)


def test_a_process_that_was_held_up_waits_for_a_new_heartbeat() -> None:
    lease = lease_alive_at(1.0)
    lease.renew(1.0, 4.0)
    assert lease.runs(1.0 + T * GAP_SHARE)
    assert not lease.runs(1.1 + T * GAP_SHARE)  # before it has noticed anything
    lease.alive(1.1 + T * GAP_SHARE, T)
    assert not lease.runs(1.1 + T * GAP_SHARE)
    lease.renew(2.9, 4.0)  # sent before the gap was noticed
    assert not lease.runs(3.2)
    lease.renew(3.1 + 0.1, 4.0)
    assert lease.runs(3.3)


def test_dropped_it_is_over_until_a_heartbeat_of_after_that() -> None:
    lease = lease_alive_at(2.0)
    lease.renew(2.0, 4.0)
    lease.drop(2.5)
    lease.renew(2.4, 4.0)
    assert not lease.runs(2.5)
    lease.renew(2.5, 4.0)
    assert lease.runs(2.6)


def test_the_shares_leave_room_for_lost_heartbeats_and_end_before_the_session() -> None:
    assert 4 * BEAT_SHARE <= LEASE_SHARE
    assert LEASE_SHARE * WAIT_FACTOR + BEAT_SHARE < 1
