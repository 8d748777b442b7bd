"""What the TFTP server is told and what it tells: its policy, what it is asked, its reports.

Owns the shapes only. A report is made for every request that was answered, good or bad, exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from era_ap.provisioning.request import FileRequest, Subject, Transport
from era_ap.tftp.options import OptionPolicy
from era_ap.tftp.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.errors import Reason
    from era_ap.tftp.packets import Error, Request
    from era_ap.tftp.server.uploads import UploadPolicy
    from era_ap.udp import Listener, Local, Peer

    OnError = Callable[[BaseException], None]

_WRQ: Final = b"\x00\x02"
_TFTP: Final = Transport.TFTP  # looking a member up in its class is a call


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of the server; a new one may be set at any time, running transfers keep theirs.

    ``transfers`` in all and ``transfers_per_address`` at once; ``opens`` files being looked up at once, each
    for ``open_seconds`` at most. ``single_port``: answer from the port of the request, for NAT and
    containers. ``tid_ports``: take transfer ports from there only. ``uploads`` None: WRQs are refused.
    """

    options: OptionPolicy = field(default_factory=OptionPolicy)
    timing: Timing = field(default_factory=Timing)
    transfers: int = 10_000
    transfers_per_address: int = 500
    opens: int = 2_000
    open_seconds: float = 10.0
    single_port: bool = False
    tid_ports: range | None = None
    uploads: UploadPolicy | None = None


class Asked(FileRequest):
    """The request for a file in ``packet``, and all that it takes to answer it: one object for each.

    ``raw`` as it came, ``since`` when; ``sender`` and ``receiver`` are the socket addresses behind the texts
    ``peer`` and ``local``. ``is_write``: this is a WRQ.
    """

    __slots__ = ("is_write", "listener", "packet", "raw", "receiver", "sender", "since")

    def __init__(
        self,
        packet: Request,
        raw: bytes,
        sender: Peer,
        receiver: Local,
        listener: Listener,
        since: float,
    ) -> None:
        super().__init__(packet.name, sender[0], _TFTP, receiver.address)
        self.packet = packet
        self.raw = raw
        self.sender = sender
        self.receiver = receiver
        self.listener = listener
        self.since = since
        self.is_write = raw[:2] == _WRQ


NO_SUBJECT: Final = Subject()


@dataclass(slots=True)
class TransferReport:
    """The end of one request; ``port`` is the peer's, ``write`` means upload, ``error`` the peer's ERROR.

    What went over the wire: ``octets`` as acknowledged by the receiver, ``seconds`` from the request to the
    end; ``agreed`` are the options of the OACK as text.
    """

    request: FileRequest
    reason: Reason
    subject: Subject
    port: int
    write: bool = False
    error: Error | None = None
    octets: int = 0
    blocks: int = 0
    retransmits: int = 0
    seconds: float = 0.0
    agreed: tuple[tuple[str, str], ...] = ()
