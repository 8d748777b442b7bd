"""From the end of a request to the counters, the journal and the log: the one place all outcomes pass.

Owns which record is written at which level. The counters and the journal get every one, its file is limited
in size; the log gets so many refusals a second and no more, so that an attack cannot fill a disk with lines.
Failures of ours are counted apart: no attack drowns them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from era_ap.errors import Outcome
from era_ap.journal import Record, RefusalLimit
from era_ap.metrics import Counts
from era_ap.provisioning.request import Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog

    from era_ap.errors import Reason
    from era_ap.logs import JournalFile
    from era_ap.sip.outcomes import Outcome as PnpOutcome
    from era_ap.tftp.server import TransferReport
    from era_ap.web.exchange import WebReport


_FAILURES: Final = frozenset({Outcome.BROKEN, Outcome.UNAVAILABLE})


class Reporter:
    """Counts every finished request and writes its record; ``journal`` is None where there is no file.

    ``served`` logs the record of a request that got its file, better than ``log`` itself can.
    """

    def __init__(
        self,
        log: structlog.typing.FilteringBoundLogger,
        journal: JournalFile | None,
        counts: Counts | None = None,
        served: Callable[[Record], None] | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._log = log
        self._journal = journal
        self._served = served or (lambda record: log.info("request", record=record))
        self._limits = {is_failure: RefusalLimit() for is_failure in (False, True)}

    def tftp(self, report: TransferReport) -> None:
        """A TFTP request has ended."""
        reason, octets, retransmits = report.reason, report.octets, report.retransmits
        sent, received = (0, octets) if report.write else (octets, 0)
        self.counts.traffic["tftp"].note(reason.code, report.seconds, sent, received, retransmits)
        told = reason.is_served or self._admits(reason)
        if not told and self._journal is None:
            return  # a flood of refusals costs as little as can be
        self._write(
            Record(  # by position, which is half the cost
                time.time(),
                "tftp",
                report.request.peer,
                reason,
                report.subject,
                octets,
                retransmits,
                report.seconds,
                report.agreed,
            ),
            told,
        )

    def web(self, report: WebReport) -> None:
        """An HTTP request has ended."""
        transport, octets = report.transport.value, report.octets
        sent, received = (0, octets) if report.method in ("PUT", "POST") else (octets, 0)
        self.counts.traffic[transport].note(report.reason.code, report.seconds, sent=sent, received=received)
        self._write(
            Record(
                at=time.time(),
                transport=transport,
                peer=report.peer,
                reason=report.reason,
                subject=report.subject,
                size=octets,
                seconds=report.seconds,
                method=report.method,
                status=report.status,
                agent=report.agent,
            ),
            report.reason.is_served or self._admits(report.reason),
        )

    def pnp(self, outcome: PnpOutcome) -> None:
        """A phone that looked for its server got an answer, or silence."""
        phone = outcome.phone
        retransmits = max(0, outcome.sent - 1)
        self.counts.traffic["pnp"].note(outcome.reason.code, outcome.seconds, retransmits=retransmits)
        told = (phone.vendor, phone.model, phone.version) if phone is not None else ()
        heard = (" ".join(filter(None, told)), f"on {outcome.interface}", outcome.detail)
        subject = Subject(
            mac=phone.mac if phone is not None else "",
            account=outcome.account,
            file=outcome.file,
            model=phone.model if phone is not None else "",
            detail="; ".join(filter(None, heard)),
        )
        self._write(
            Record(
                at=outcome.at,
                transport="pnp",
                peer=outcome.peer,
                reason=outcome.reason,
                subject=subject,
                retransmits=retransmits,
                seconds=outcome.seconds,
            ),
            outcome.reason.is_served or self._admits(outcome.reason),
        )

    def defect(self, error: BaseException) -> None:
        """Something was raised that nobody meant to raise."""
        self._log.error("defect", exc_info=error)

    def _write(self, record: Record, told: bool) -> None:
        """To the journal, and to the log where it is ``told``."""
        if self._journal is not None:
            self._journal.write(record)
        if not told:
            return
        if record.reason.is_served:
            self._served(record)
        else:
            tell = self._log.error if record.reason.outcome in _FAILURES else self._log.warning
            tell("request", record=record)

    def _admits(self, reason: Reason) -> bool:
        """Whether the log gets a line about a refusal; asked once for each."""
        limit = self._limits[reason.outcome in _FAILURES]
        admitted, left_out = limit.admit(time.monotonic())
        if left_out:
            self._log.warning("refusals left out", count=left_out)
        return admitted
