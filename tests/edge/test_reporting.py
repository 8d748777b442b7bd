"""What is written about a finished request: the journal has all of them, the log as many as it may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from era_ap.errors import Reason
from era_ap.journal import REFUSALS_PER_SECOND, Record
from era_ap.provisioning.request import FileRequest, Subject, Transport
from era_ap.reporting import Reporter
from era_ap.sip.outcomes import Outcome
from era_ap.tftp.server import TransferReport
from era_ap.web.exchange import WebReport


class Lines:
    """Stands for the log and for the journal's file."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.events: list[str] = []

    def write(self, record: Record) -> None:
        self.records.append(record)

    def __getattr__(self, _level: str) -> Any:
        return lambda event, **_: self.events.append(event)


def report(reason: Reason) -> TransferReport:
    return TransferReport(FileRequest("x", "192.0.2.7", Transport.TFTP), reason, Subject(), 1024)


def test_the_journal_has_every_refusal_and_the_log_only_some() -> None:
    journal, log = Lines(), Lines()
    reporter = Reporter(log, journal)  # type: ignore[arg-type]
    for _ in range(100):
        reporter.tftp(report(Reason.MAC_UNKNOWN))
    assert [record.reason for record in journal.records] == [Reason.MAC_UNKNOWN] * 100
    assert log.events.count("request") <= 2 * REFUSALS_PER_SECOND  # a second may end meanwhile


def test_a_flood_of_refusals_drowns_no_failure_of_ours() -> None:
    journal, log = Lines(), Lines()
    reporter = Reporter(log, journal)  # type: ignore[arg-type]
    for _ in range(100):
        reporter.tftp(report(Reason.MAC_UNKNOWN))
    before = log.events.count("request")
    reporter.tftp(report(Reason.INCLUDE_MISSING))
    assert log.events.count("request") == before + 1


def test_what_was_served_is_always_in_both() -> None:
    journal, log = Lines(), Lines()
    reporter = Reporter(log, journal)  # type: ignore[arg-type]
    for _ in range(100):
        reporter.tftp(report(Reason.RENDERED))
    assert len(journal.records) == log.events.count("request") == 100


def test_every_outcome_is_counted_even_one_that_nobody_is_told_of() -> None:
    reporter = Reporter(Lines(), None)  # type: ignore[arg-type]
    for _ in range(100):
        reporter.tftp(report(Reason.MAC_UNKNOWN))
    reporter.tftp(replace(report(Reason.RENDERED), octets=700, retransmits=3, seconds=0.2))
    reporter.tftp(replace(report(Reason.UPLOADED), octets=50, write=True))
    tftp = reporter.counts.traffic["tftp"]
    counted = {code: count for code, count in tftp.requests.items() if count}
    assert counted == {"mac-unknown": 100, "rendered": 1, "uploaded": 1}
    assert (tftp.sent, tftp.received, tftp.retransmits) == (700, 50, 3)
    assert tftp.seconds.total == 0.2


def test_transports_are_counted_apart() -> None:
    reporter = Reporter(Lines(), None)  # type: ignore[arg-type]
    for transport, method, reason in (
        (Transport.HTTP, "GET", Reason.REUSED),
        (Transport.HTTPS, "GET", Reason.STATIC),
        (Transport.HTTPS, "PUT", Reason.UPLOADED),
    ):
        reporter.web(WebReport(transport, "192.0.2.7", method, reason, 200, Subject(), 10, 0.5, ""))
    reporter.pnp(Outcome(Reason.PNP_ACCEPTED, None, "192.0.2.7", "eth0", 0.0, seconds=0.1, sent=3))
    traffic = reporter.counts.traffic
    assert (traffic["http"].requests["reused"], traffic["http"].sent) == (1, 10)
    assert (traffic["https"].sent, traffic["https"].received) == (10, 10)
    assert (traffic["pnp"].requests["pnp-accepted"], traffic["pnp"].retransmits) == (1, 2)
    assert sum(traffic["tftp"].requests.values()) == 0
