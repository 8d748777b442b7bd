"""Wires the PnP responder to one instance: directory, trust, addresses and the journal around it.

Owns where a phone is sent (the URL) and whose it is. Decides nothing about messages (``sip.responder``) and
touches no socket (``sip.server``).
"""

from __future__ import annotations

import random
import time
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from era_ap.config.roles import PnpUrlProto
from era_ap.directory.index import Conflict
from era_ap.errors import Reason, Refused
from era_ap.provisioning.ownership import owner_of
from era_ap.sip.decision import Owner, PhoneList, Policy
from era_ap.sip.neighbours import mac_of
from era_ap.sip.responder import Responder, Surroundings
from era_ap.sip.server import PnpServer
from era_ap.sip.vendors import builtin_vendors
from era_ap.sip.wire import Place, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import structlog

    from era_ap.admission import Admission
    from era_ap.config import ApRole
    from era_ap.config.pnp import Phones
    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.reporting import Reporter
    from era_ap.sip.sightings import Sightings

TFTP_PORT = 69


class Discovery:
    """PnP of one role.

    ``http_url(mac, name, source, local)`` gives a temporary address, None where HTTP is not served;
    ``tftp_port`` is the port that TFTP is really on. ``may_answer(domain)`` and ``may_send(now)`` are the
    cluster's word; alone we always may. ``announce`` tells the other instances which SUBSCRIBEs we answer.
    """

    def __init__(
        self,
        reactor: Any,
        role: ApRole,
        provisioner: Provisioner,
        admission: Admission,
        reporter: Reporter,
        log: structlog.typing.FilteringBoundLogger,
        *,
        http_url: Callable[[str, str, str, str], str | None] = lambda *_: None,
        may_answer: Callable[[str], bool] = lambda _domain: True,
        may_send: Callable[[float], bool] = lambda _now: True,
        announce: Callable[[Sequence[bytes]], None] = lambda _keys: None,
    ) -> None:
        self.tftp_port = role.tftp_port
        self._role = role
        self._log = log
        self._http_url = http_url
        around = Surroundings(partial(_owner_of, provisioner), may_answer, self._url_for, mac_of)
        self._responder = Responder(
            around, policy_of(role), admission, builtin_vendors(), random.SystemRandom()
        )
        self._server = PnpServer(
            reactor,
            self._responder,
            place_of(role),
            reporter.pnp,
            self._tell_status,
            on_error=reporter.defect,
            may_send=may_send,
            announce=announce,
        )
        self._runs = False

    def start(self) -> None:
        """Answer phones from now on, if the role does; what is in the way is logged, not raised."""
        if self._role.ext.pnp.enabled and not self._runs:
            self._runs = True
            self._server.start()

    def stop(self) -> None:
        """Answer no more."""
        if self._runs:
            self._runs = False
            self._server.stop()

    def replace(self, role: ApRole) -> None:
        """Take other lists, interfaces and form of URL, and end if told to; all else waits for a restart."""
        before, after = self._role.ext.pnp, role.ext.pnp
        waiting = [key for key in ("port", "answer_port") if getattr(before, key) != getattr(after, key)]
        if not after.enabled:
            self.stop()
        elif not self._runs:
            waiting.append("enabled")
        if waiting:
            self._log.warning("some changes need a restart", keys=[f"ext.pnp.{key}" for key in waiting])
        self._role = role
        self._responder.policy = policy_of(role)
        self._server.replace(place_of(role))

    def take_over(self, since: float) -> int:
        """We lead from now on, and nobody answered after ``since`` (monotonic): answer who still waits."""
        return self._server.take_over(since)

    def stand_down(self) -> None:
        """We do not lead any more: nothing goes out again."""
        self._server.stand_down()

    def note_elsewhere(self, keys: Iterable[bytes]) -> None:
        """Another instance answers these SUBSCRIBEs."""
        self._responder.ledger.note_elsewhere(keys, time.monotonic())

    def behind(self) -> float | None:
        """How old is what phones have sent and we have not read, in seconds; None: we do not listen."""
        return self._server.behind()

    @property
    def status(self) -> Status:
        """Interfaces listened on and what is in the way."""
        return self._server.status

    @property
    def discovered(self) -> Sightings:
        """Phones that asked and that no account owns, newest first."""
        return self._responder.sightings

    def _url_for(self, mac: str, _vendor: str, name: str, source: str, local: str) -> str:
        if self._role.pnp_url_proto is PnpUrlProto.HTTP:
            url = self._http_url(mac, name, source, local)
            if url is None:
                raise Refused(Reason.PNP_NO_URL, "ext.http_port is not set")
            return url
        address = _served(local, self._role.ext.listen)
        port = "" if self.tftp_port == TFTP_PORT else f":{self.tftp_port}"
        return f"tftp://{address}{port}/{name}"

    def _tell_status(self, status: Status) -> None:
        if status.problem:
            advice = "phones elsewhere still find us by DHCP; it is tried again every two seconds"
            self._log.error("PnP is hindered", detail=status.problem, advice=advice)
        if status.interfaces:
            self._log.info(
                "serving", transport="pnp", interfaces=list(status.interfaces), answer_port=status.answer_port
            )


def _owner_of(provisioner: Provisioner, mac: str) -> Owner | Reason:
    try:
        phone = owner_of(mac, provisioner.directory, provisioner.elsewhere)
    except Refused as refused:
        return refused.reason
    if isinstance(phone, Conflict):
        return Reason.MAC_CONFLICT
    account, device = phone.lines[0]
    return Owner(account.key.domain, str(account.key), device.model or "")


def policy_of(role: ApRole) -> Policy:
    """Allow and deny lists of ``ext.pnp``."""
    return Policy(_phones(role.ext.pnp.allow), _phones(role.ext.pnp.deny))


def place_of(role: ApRole) -> Place:
    """Interfaces and ports of ``ext.pnp``."""
    pnp = role.ext.pnp
    return Place(pnp.interfaces, pnp.port, pnp.answer_port)


def _phones(phones: Phones) -> PhoneList:
    return PhoneList(phones.macs, phones.networks, frozenset(phones.vendors))


def _served(local: str, listen: tuple[str, ...]) -> str:
    """The address that heard the phone if files are served there, else one where they are."""
    if "0.0.0.0" in listen or local in listen:  # nosec B104 # noqa: S104 - what the operator wrote
        return local
    for address in listen:
        if ip_address(address).version == 4:
            return address
    raise Refused(Reason.PNP_NO_URL, "ext.listen has no IPv4 address")
