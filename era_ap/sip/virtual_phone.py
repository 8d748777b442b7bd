"""A virtual phone that looks for its server by PnP, for tests and for an operator's look at a LAN.

Owns the sending of a vendor's SUBSCRIBE (``shapes``) to the group, the answers it collects, and what their
lack means. Follows no URL (``phone``, ``cli``). IPv4, as phones do it.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from era_ap.sip import dialog
from era_ap.sip.interfaces import choose, look
from era_ap.sip.message import Request, Response, parse, write
from era_ap.sip.path import Departure, Local
from era_ap.sip.sockets import GROUP
from era_ap.sip.transaction import ClientTransaction, Timing

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from era_ap.sip.interfaces import Interface
    from era_ap.sip.path import Peer
    from era_ap.sip.shapes import Shape

LINGER_SECONDS: Final = 0.5
"""How long the phone goes on listening after it has its URL: a second server on the LAN shows itself."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One datagram: seconds since the start, whether the phone sent it, with whom, and its text."""

    at: float
    sent: bool
    peer: Peer
    text: str


@dataclass(slots=True)
class Search:
    """What came of looking for a server. ``urls`` are those of all NOTIFYs, the first one counts."""

    interface: str
    address: str
    messages: list[Exchanged] = field(default_factory=list)
    urls: list[tuple[str, str]] = field(default_factory=list)
    accepted_by: list[str] = field(default_factory=list)
    other_answers: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The URL that the phone follows; empty without one."""
        return self.urls[0][1] if self.urls else ""

    @property
    def meaning(self) -> str:
        """The result in a sentence for an operator."""
        if not self.urls:
            return self._failure()
        first = self.urls[0][0]
        others = sorted({server for server, _ in self.urls[1:]} - {first})
        if others:
            return f"{first} was first, but {', '.join(others)} answers too; phones take whoever is faster"
        if len(self.urls) > 1:
            return f"{first} sent {len(self.urls)} NOTIFYs for one SUBSCRIBE"
        return f"{first} gave the URL"

    def _failure(self) -> str:
        if self.accepted_by:
            return (
                f"{self.accepted_by[0]} accepted the SUBSCRIBE, but no NOTIFY with a URL came; "
                f"look for a firewall between it and {self.address}"
            )
        if self.other_answers:
            refusals = ", ".join(self.other_answers)
            return f"only refusals came: {refusals}; another SIP server listens to {GROUP}"
        return (
            f"nobody answered on {self.interface} ({self.address}). Either no server is in this network "
            "(multicast does not pass routers or VLANs), or it stays silent: its journal names this phone "
            "and the reason (mac-unknown, pnp-denied, pnp-not-ours); or a switch with IGMP snooping holds "
            "the group back"
        )


def pick_interface(wanted: str) -> Interface:
    """The interface of that name or address; "" is the only one there is. Raises ValueError."""
    found = choose((wanted,) if wanted else (), look())
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{each.name} ({each.addresses[0].ip})" for each in (found or look().values()))
    if wanted:
        raise ValueError(f"no interface {wanted} with an IPv4 address here; there are {there}")
    raise ValueError(f"several interfaces or none; choose one with --interface: {there}")


def search(
    shape: Shape,
    mac: str,
    interface: Interface,
    rng: random.Random,
    *,
    model: str = "",
    seconds: float = 5.0,
    group_port: int = 5060,
    clock: Callable[[], float] = time.monotonic,
) -> Search:
    """Look for a server as the phone ``mac`` (12 hex digits) of that shape does; raises OSError.

    The phone repeats its SUBSCRIBE until somebody answers (RFC 3261 section 17.1.2), for ``seconds`` at most.
    """
    address = str(interface.addresses[0].ip)
    with open_socket(address, shape.port, interface.index) as sock:
        port = sock.getsockname()[1]
        message = shape.compose(mac, address, port, rng, model)
        local = Local(address, port, interface.index, interface.name)
        request = Departure(message, (GROUP, group_port), local)
        return _Dialogue(sock, request, Search(interface.name, address), clock).run(seconds)


class _Dialogue:
    """One search under way."""

    def __init__(
        self, sock: socket.socket, request: Departure, found: Search, clock: Callable[[], float]
    ) -> None:
        self._sock = sock
        self._clock = clock
        self._start = clock()
        self._found = found
        self._transaction = ClientTransaction(request, Timing(), self._start)
        parsed = parse(request.data)
        self._call_id = parsed.get("Call-ID") if parsed is not None else None
        self._local = request.local
        self._seen: set[bytes] = set()

    def run(self, seconds: float) -> Search:
        end = self._start + seconds
        while (now := self._clock()) < end:
            self._transaction.handle_timer(now)
            for departure in self._transaction.datagrams_to_send():
                self._send(departure.data, departure.peer)
            due = self._transaction.next_deadline() or end
            readable, _, _ = select.select([self._sock], [], [], max(0.0, min(due, end) - self._clock()))
            if readable and self._receive() and len(self._found.urls) == 1:
                end = min(end, self._clock() + LINGER_SECONDS)
        return self._found

    def _receive(self) -> bool:
        """Whether a NOTIFY with a URL came."""
        try:
            data, peer = self._sock.recvfrom(65_535)
        except OSError:
            return False
        self._note(False, peer, data)
        message = parse(data)
        if message is None or message.get("Call-ID") != self._call_id:
            return False
        if isinstance(message, Response):
            self._transaction.receive_response(message, self._clock())
            server = f"{peer[0]}:{peer[1]}"
            if 200 <= message.status < 300:
                self._found.accepted_by.append(server)
            else:
                self._found.other_answers.append(f"{message.status} {message.reason} from {server}")
            return False
        return self._receive_notify(message, data, peer)

    def _receive_notify(self, message: Request, data: bytes, peer: Peer) -> bool:
        if message.method != "NOTIFY":
            return False
        self._send(write(dialog.respond(message, 200, peer, "phone")), peer)
        url = message.body.decode("utf-8", "replace").strip()
        if data in self._seen or "://" not in url:
            return False
        self._seen.add(data)
        self._found.urls.append((peer[0], url))
        return True

    def _send(self, data: bytes, peer: Peer) -> None:
        self._note(True, peer, data)
        self._sock.sendto(data, peer)

    def _note(self, sent: bool, peer: Peer, data: bytes) -> None:
        at = self._clock() - self._start
        self._found.messages.append(Exchanged(at, sent, peer, data.decode("utf-8", "replace")))


def open_socket(address: str, port: int, index: int) -> socket.socket:
    """A socket at the phone's usual port, or at any other one where that is taken. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        try:
            sock.bind((address, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            sock.bind((address, 0))
        member = struct.pack("=4s4si", b"\0\0\0\0", socket.inet_aton(address), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, member)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    except OSError:
        sock.close()
        raise
    return sock
