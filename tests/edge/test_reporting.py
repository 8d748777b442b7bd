"""What is written about a finished request: the journal has all of them, the log as many as it may."""

from __future__ import annotations

from typing import Any

from era_ap.errors import Reason
from era_ap.journal import REFUSALS_PER_SECOND, Record
from era_ap.provisioning.request import FileRequest, Subject, Transport
from era_ap.reporting import Reporter
from era_ap.tftp.server import TransferReport


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


def test_what_was_served_is_always_in_both() -> None:
    journal, log = Lines(), Lines()
    reporter = Reporter(log, journal)  # type: ignore[arg-type]
    for _ in range(100):
        reporter.tftp(report(Reason.RENDERED))
    assert len(journal.records) == log.events.count("request") == 100
