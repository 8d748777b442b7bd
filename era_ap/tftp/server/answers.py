"""One request on its way to an answer, and the refusals.

Owns the ERROR packets (their texts are constants of ``errors.Outcome``) and the one report that every
answered request gets. A miss is cheap on purpose: no socket, no Deferred, no log.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from era_ap.admission import GUESSING
from era_ap.errors import Outcome, Reason, Refused
from era_ap.provisioning.request import Refusal, Subject
from era_ap.tftp.packets import Mode, Opcode, Request, format_error
from era_ap.tftp.server.contract import NO_SUBJECT, Asked, TransferReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from era_ap.admission import Admission
    from era_ap.tftp.machine import Finished
    from era_ap.tftp.server.contract import OnError
    from era_ap.tftp.server.sessions import Session

_ERRORS: Final[Mapping[Outcome, bytes]] = MappingProxyType(
    {outcome: format_error(outcome.tftp_code or 0, outcome.tftp_text) for outcome in Outcome}
)
UNUSABLE: Final = Request(Opcode.RRQ, "", Mode.OCTET)


class Answers:
    """Says no, and reports every end. ``admission`` learns of guesses; it may be set at any time."""

    def __init__(
        self, admission: Admission, on_end: Callable[[TransferReport], None], on_error: OnError
    ) -> None:
        self.admission = admission
        self._on_end = on_end
        self._on_error = on_error

    def refuse(self, asked: Asked, reason: Reason, subject: Subject = NO_SUBJECT) -> None:
        """Answer with the ERROR of ``reason``, from the main port."""
        asked.listener.send(_ERRORS[reason.outcome], asked.sender, asked.receiver)
        self._on_end(TransferReport(asked, reason, subject, asked.sender[1], asked.is_write))

    def refuse_reply(self, asked: Asked, reply: Refusal, now: float) -> None:
        """Provisioning says no; a MAC that nobody owns counts against the source's budget."""
        reason, subject = reply.reason, reply.subject
        if reason in GUESSING and subject.mac:
            self.admission.note_unknown(asked.peer, subject.mac, now)
        self.refuse(asked, reason, subject)

    def refuse_error(self, asked: Asked, error: BaseException) -> None:
        """Something was raised: its Reason if it has one, else an internal error that is reported as such."""
        if isinstance(error, Refused):
            self.refuse(asked, error.reason, Subject(detail=str(error)))
        else:
            self._on_error(error)
            self.refuse(asked, Reason.INTERNAL)

    def ended(self, session: Session, finished: Finished, now: float) -> None:
        """A transfer is over."""
        asked, machine = session.asked, session.machine
        self._on_end(
            TransferReport(
                asked,
                finished.reason,
                session.subject,
                asked.sender[1],
                asked.is_write,
                finished.error,
                machine.octets,
                machine.blocks,
                machine.retransmits,
                now - asked.since,
                session.agreed.acknowledged,
            )
        )
