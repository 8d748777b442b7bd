"""How SUBSCRIBEs ended, for the journal: one outcome each, with a reason code.

Owns the shape and what a NOTIFY's end means. Holds no URL: it may contain a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap.errors import Reason

if TYPE_CHECKING:
    from era_ap.sip.message import Request
    from era_ap.sip.path import Arrival
    from era_ap.sip.pnp import Identity
    from era_ap.sip.transaction import Finished


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one SUBSCRIBE ended.

    ``phone`` is None where it was not even read; ``file`` is the name in the URL ("/" for a folder),
    ``seconds`` from the SUBSCRIBE to the end of the NOTIFY, ``sent`` how often that went out; ``at`` is
    seconds since the epoch.
    """

    reason: Reason
    phone: Identity | None
    peer: str
    interface: str
    at: float
    account: str = ""
    file: str = ""
    detail: str = ""
    seconds: float = 0.0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A SUBSCRIBE of ``phone``, read; ``since`` is when the kernel took it, on the steady clock."""

    request: Request
    arrival: Arrival
    phone: Identity
    since: float


@dataclass(frozen=True, slots=True)
class Told:
    """A NOTIFY under way: to whom (``key`` is the SUBSCRIBE's), whose phone that is, which file it names."""

    asked: Asked
    key: bytes
    account: str
    file: str


def unanswered(
    reason: Reason, arrival: Arrival, phone: Identity | None = None, *, account: str = "", detail: str = ""
) -> Outcome:
    """A SUBSCRIBE that is met with silence."""
    return Outcome(
        reason, phone, arrival.peer[0], arrival.local.name, arrival.at, account=account, detail=detail
    )


def notified(ended: Finished, now: float, detail: str = "") -> Outcome:
    """A SUBSCRIBE whose NOTIFY has ended; ``ended.context`` is a ``Told``."""
    told, final = ended.context, ended.final
    assert isinstance(told, Told)
    if final is None:
        reason = Reason.PNP_UNCONFIRMED
    elif final.status < 300:
        reason = Reason.PNP_ACCEPTED
    else:
        reason, detail = Reason.PNP_DECLINED, f"the phone answered {final.status}"
    arrival = told.asked.arrival
    return Outcome(
        reason,
        told.asked.phone,
        arrival.peer[0],
        arrival.local.name,
        arrival.at,
        told.account,
        told.file,
        detail,
        now - told.asked.since,
        ended.sent,
    )
