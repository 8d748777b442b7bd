"""The gate: networks, rate, and the budget of guesses."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from era_ap.admission import GUESSING, Admission, AdmissionPolicy, Verdict
from era_ap.errors import Reason

PHONE = "10.1.2.3"


def test_everybody_is_admitted_without_networks() -> None:
    assert Admission(AdmissionPolicy()).admit(PHONE, 0.0) is Verdict.ADMIT


@pytest.mark.parametrize(
    ("ip", "verdict"),
    [
        ("10.1.2.3", Verdict.ADMIT),
        ("::ffff:10.1.2.3", Verdict.ADMIT),
        ("10.2.0.1", Verdict.CLOSED),
        ("2001:db8::5", Verdict.ADMIT),
        ("2001:db8::6", Verdict.CLOSED),
        ("fe80::1%eth0", Verdict.ADMIT),
        ("not an address", Verdict.CLOSED),
    ],
)
def test_networks(ip: str, verdict: Verdict) -> None:
    networks = tuple(map(ip_network, ["10.1.0.0/16", "2001:db8::5/128", "fe80::/10"]))
    admission = Admission(AdmissionPolicy(networks=networks))
    assert admission.admit(ip, 0.0) is verdict
    assert admission.admit(ip, 0.1) is verdict, "and again from memory"


def test_rate_refuses_once_a_second_then_is_silent_and_recovers() -> None:
    admission = Admission(AdmissionPolicy(requests_per_second=10, burst=3))
    verdicts = [admission.admit(PHONE, 0.0) for _ in range(6)]
    assert verdicts == [Verdict.ADMIT] * 3 + [Verdict.RATE] + [Verdict.SILENCE] * 2
    assert admission.admit("10.1.2.4", 0.0) is Verdict.ADMIT, "others are not concerned"
    assert admission.admit(PHONE, 0.1001) is Verdict.ADMIT
    assert admission.admit(PHONE, 0.1002) is Verdict.SILENCE
    assert [admission.admit(PHONE, 60.0) for _ in range(4)].count(Verdict.ADMIT) == 3, (
        "no more than the burst"
    )


def test_ipv6_hosts_of_one_network_share_their_rate() -> None:
    admission = Admission(AdmissionPolicy(requests_per_second=1, burst=1))
    assert admission.admit("2001:db8:0:1::1", 0.0) is Verdict.ADMIT
    assert admission.admit("2001:db8:0:1::2", 0.0) is Verdict.RATE
    assert admission.admit("2001:db8:0:2::1", 0.0) is Verdict.ADMIT


def guess(admission: Admission, count: int, now: float) -> list[bool]:
    return [admission.note_unknown(PHONE, f"{n:012x}", now) for n in range(1, count + 1)]


def test_twenty_distinct_unknown_macs_and_no_more() -> None:
    admission = Admission(AdmissionPolicy())
    assert guess(admission, 19, 0.0) == [False] * 19
    assert admission.admit(PHONE, 0.0) is Verdict.ADMIT
    assert guess(admission, 19, 1.0) == [False] * 19, "the same MACs again count once"
    assert admission.note_unknown(PHONE, "ff", 2.0) is True, "this one used it up"
    assert admission.admit(PHONE, 2.0) is Verdict.THROTTLED
    answers = [admission.admit(PHONE, 2.0 + n / 100) for n in range(1, 500)]
    assert answers.count(Verdict.THROTTLED) == 4, "at most one a second"
    assert set(answers) == {Verdict.THROTTLED, Verdict.SILENCE}
    assert admission.admit("10.1.2.4", 2.0) is Verdict.ADMIT


def test_the_budget_comes_back_with_time() -> None:
    admission = Admission(AdmissionPolicy())
    guess(admission, 20, 0.0)
    assert admission.admit(PHONE, 59.0) is Verdict.THROTTLED
    assert admission.admit(PHONE, 60.5) is Verdict.ADMIT


def test_old_guesses_do_not_count_with_new_ones() -> None:
    admission = Admission(AdmissionPolicy())
    guess(admission, 19, 0.0)
    assert admission.note_unknown(PHONE, "aa", 100.0) is False
    assert admission.admit(PHONE, 100.0) is Verdict.ADMIT


def test_what_counts_as_a_guess() -> None:
    assert {Reason.MAC_UNKNOWN, Reason.MAC_CONFLICT} == GUESSING
    assert {verdict.reason.outcome.tftp_code for verdict in Verdict if verdict.reason} == {2}


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    admission = Admission(AdmissionPolicy(memory=100, burst=1, requests_per_second=0))
    for n in range(1000):
        admission.admit(f"10.0.{n // 256}.{n % 256}", 0.0)
    assert len(admission) == 100
    assert admission.admit("10.0.0.0", 0.0) is Verdict.ADMIT, "forgotten"
    assert admission.admit("10.0.3.231", 0.0) is Verdict.RATE, "remembered"


def test_other_limits_while_running_keep_what_is_known() -> None:
    admission = Admission(AdmissionPolicy())
    guess(admission, 20, 0.0)
    admission.replace(AdmissionPolicy(networks=(ip_network("10.0.0.0/8"),)))
    assert admission.admit(PHONE, 1.0) is Verdict.THROTTLED
    admission.replace(AdmissionPolicy(networks=(ip_network("192.168.0.0/16"),)))
    assert admission.admit(PHONE, 2.0) is Verdict.CLOSED


def test_hosts_of_a_lan_do_not_answer_for_each_other() -> None:
    admission = Admission(AdmissionPolicy(requests_per_second=1, burst=1))
    for lan in ("fe80::", "fd00:1:2:3::"):
        assert admission.admit(f"{lan}1", 0.0) is Verdict.ADMIT
        assert admission.admit(f"{lan}2", 0.0) is Verdict.ADMIT
        assert admission.admit(f"{lan}1", 0.0) is Verdict.RATE


def test_how_many_addresses_are_throttled() -> None:
    gate = Admission(AdmissionPolicy(unknown_macs=2, window=60.0))
    assert gate.throttled(0.0) == 0
    for address, count in (("192.0.2.1", 2), ("192.0.2.2", 1), ("192.0.2.3", 5)):
        for number in range(count):
            gate.note_unknown(address, f"00156500000{number}", 0.0)
    assert gate.throttled(1.0) == 2
    assert gate.throttled(61.0) == 0
