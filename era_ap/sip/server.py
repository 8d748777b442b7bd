"""PnP on the wire (spec 11): the group's socket on every interface, answers from where the phone was heard.

Owns sockets, membership, timers and the last look before sending; decides nothing (``responder``). IPv4 only:
the group is 224.0.1.75, and phones ask nowhere else. Interfaces are looked at again every two seconds.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from era_ap.sip.interfaces import Interface, choose, look
from era_ap.sip.path import Arrival, Local
from era_ap.sip.sockets import GROUP, PnpSocket
from era_ap.udp import Hub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from era_ap.sip.outcomes import Outcome
    from era_ap.sip.responder import Responder
    from era_ap.sip.sockets import Received

LOOK_SECONDS: Final = 2.0
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen: names or addresses of interfaces (none: all but loopback), the group's port, and the
    port that answers leave from (0: the kernel chooses).
    """

    interfaces: tuple[str, ...] = ()
    port: int = 5060
    answer_port: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """What PnP is doing: interfaces it listens on, and what keeps it from others (empty: nothing)."""

    interfaces: tuple[str, ...]
    answer_port: int
    problem: str


class PnpServer:
    """Lets ``responder`` answer phones.

    ``on_outcome`` gets one outcome for each SUBSCRIBE, ``on_status`` the status whenever it changes;
    ``may_send`` is asked immediately before each answer that only the leader may give. ``clock`` is
    monotonic, ``wall_clock`` that of the kernel's time stamps. All runs in the reactor's thread.
    """

    def __init__(
        self,
        reactor: Any,
        responder: Responder,
        place: Place,
        on_outcome: Callable[[Outcome], None],
        on_status: Callable[[Status], None],
        *,
        on_error: Callable[[BaseException], None],
        may_send: Callable[[float], bool] = lambda _now: True,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        open_socket: Callable[..., PnpSocket] = PnpSocket,
        look_around: Callable[[], Mapping[int, Interface]] = look,
    ) -> None:
        self._reactor = reactor
        self._responder = responder
        self._place = place
        self._on_outcome = on_outcome
        self._on_status = on_status
        self._may_send = may_send
        self._clock = clock
        self._wall_clock = wall_clock
        self._open_socket = open_socket
        self._look_around = look_around
        self._hub = Hub(clock, on_error)
        self._group: PnpSocket | None = None
        self._answers: PnpSocket | None = None
        self._there: Mapping[int, Interface] = {}
        self._joined: dict[int, Interface] = {}
        self._timer: Any = None
        self._timer_at = 0.0
        self._looking: Any = None
        self.status = Status((), 0, "")

    def start(self) -> None:
        """Listen; what is not possible now is tried again at every look. Never raises."""
        self._reactor.addReader(self._hub)
        self._look()

    def stop(self) -> None:
        """Listen no more and send nothing more."""
        for call in (self._timer, self._looking):
            if call is not None:
                call.cancel()
        self._timer = self._looking = None
        self._reactor.removeReader(self._hub)
        for sock in (self._group, self._answers):
            if sock is not None:
                self._hub.remove(sock.fileno())
                sock.close()
        self._group = self._answers = None
        self._joined.clear()
        self._hub.close()

    def replace(self, place: Place) -> None:
        """Listen on other interfaces from now on; ports stay."""
        self._place = Place(place.interfaces, self._place.port, self._place.answer_port)
        if self._looking is not None:
            self._looking.cancel()
            self._look()

    def take_over(self, since: float) -> int:
        """We may answer from now on (see ``Responder.take_over``)."""
        answered = self._responder.take_over(since, self._clock())
        self._flush()
        return answered

    # --- sockets and interfaces

    def _look(self) -> None:
        try:
            self._there = self._look_around()
        except OSError as error:
            problem = f"the interfaces cannot be listed: {_why(error)}"
        else:
            problem = self._bind() or self._join(choose(self._place.interfaces, self._there))
        port = self._answers.port if self._answers is not None else 0
        status = Status(tuple(sorted(each.name for each in self._joined.values())), port, problem)
        if status != self.status:
            self.status = status
            self._on_status(status)
        self._looking = self._reactor.callLater(LOOK_SECONDS, self._look)

    def _bind(self) -> str:
        place = self._place
        try:
            if self._answers is None:
                self._answers = self._open_socket("", place.answer_port)
                self._hub.add(self._answers.fileno(), partial(self._receive, self._answers, False))
        except OSError as error:
            return f"port {place.answer_port}: {_why(error)}"
        try:
            if self._group is None:
                self._group = self._open_socket(GROUP, place.port, shared=True)
                self._hub.add(self._group.fileno(), partial(self._receive, self._group, True))
        except OSError as error:
            return f"{GROUP}:{place.port}: {_why(error)}"
        return ""

    def _join(self, wanted: tuple[Interface, ...]) -> str:
        """Be a member on the ``wanted`` interfaces and nowhere else; what went wrong, if anything did."""
        group, problem = self._group, ""
        assert group is not None
        for index in self._joined.keys() - {each.index for each in wanted}:
            group.leave(index)
            del self._joined[index]
        for each in wanted:
            known = self._joined.get(each.index)
            if known == each:
                continue
            if known is not None:  # a new address, or the cable was out: let the switch hear of us again
                group.leave(each.index)
            try:
                group.join(each.index)
            except OSError as error:
                self._joined.pop(each.index, None)
                problem = f"interface {each.name}: {_why(error)}"
            else:
                self._joined[each.index] = each
        if not wanted:
            names = ", ".join(self._place.interfaces)
            problem = f"no interface {names} here" if names else "no interface with an IPv4 address here"
        return problem

    # --- datagrams

    def _receive(self, sock: PnpSocket, multicast: bool, now: float) -> None:
        for _ in range(_BATCH):
            received = sock.receive()
            if received is None:
                break
            local = self._local(received)
            if local is not None:
                at = received.at or self._wall_clock()
                age = self._wall_clock() - at
                arrival = Arrival(received.data, received.peer, local, multicast, at, age)
                self._responder.receive_datagram(arrival, now)
            self._flush()

    def _local(self, received: Received) -> Local | None:
        """Where the datagram came to; None if it cannot be answered (no address, port 0)."""
        assert self._answers is not None
        known = self._there.get(received.index)
        address = received.address
        if address == "0.0.0.0" and known is not None:  # noqa: S104 - none was found
            address = str(known.addresses[0].ip)
        if address == "0.0.0.0" or not received.peer[1]:  # noqa: S104
            return None
        joined = self._joined.get(received.index)
        networks = tuple(each.network for each in joined.addresses) if joined is not None else ()
        name = known.name if known is not None else f"#{received.index}"
        return Local(address, self._answers.port, received.index, name, networks)

    def _flush(self) -> None:
        """Send what is due, hand on what has ended, and wake up for what is next."""
        for departure in self._responder.datagrams_to_send():
            if self._answers is not None and (not departure.guarded or self._may_send(self._clock())):
                self._answers.send(departure.data, departure.peer, departure.local)
        for outcome in self._responder.events():
            self._on_outcome(outcome)
        deadline = self._responder.next_deadline()
        if deadline is None or self._answers is None:
            return
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._reactor.callLater(max(0.0, deadline - self._clock()), self._handle_timer)

    def _handle_timer(self) -> None:
        self._timer = None
        self._responder.handle_timer(self._clock())
        self._flush()


def _why(error: OSError) -> str:
    if error.errno == errno.ENOBUFS:
        return "too many groups; raise net.ipv4.igmp_max_memberships"
    return os.strerror(error.errno) if error.errno else str(error)
