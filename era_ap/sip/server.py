"""PnP on the wire (spec 11): the responder between the sockets, the clock and the cluster.

Owns timers and the order before each answer: the right to send is asked, the other instances are told, the
right is asked again, the datagram leaves. Decides nothing (``responder``); interfaces are looked at again
every two seconds (``wire``).
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from era_ap.hub import Hub
from era_ap.sip.interfaces import look
from era_ap.sip.path import Arrival
from era_ap.sip.sockets import PnpSocket
from era_ap.sip.wire import Place, Status, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from era_ap.sip.interfaces import Interface
    from era_ap.sip.outcomes import Outcome
    from era_ap.sip.responder import Responder

LOOK_SECONDS: Final = 2.0
_BATCH: Final = 64


class PnpServer:
    """Lets ``responder`` answer phones.

    ``on_outcome`` gets one outcome for each SUBSCRIBE, ``on_status`` the status whenever it changes;
    ``may_send`` is asked immediately before each answer that only the leader may give, and ``announce`` gets
    the keys of the SUBSCRIBEs that it answers, before it does. ``clock`` is monotonic, ``wall_clock`` that of
    the kernel's time stamps. All runs in the reactor's thread.
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
        announce: Callable[[Sequence[bytes]], None] = lambda _keys: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        open_socket: Callable[..., PnpSocket] = PnpSocket,
        look_around: Callable[[], Mapping[int, Interface]] = look,
    ) -> None:
        self._reactor = reactor
        self._responder = responder
        self._on_outcome = on_outcome
        self._on_status = on_status
        self._may_send = may_send
        self._announce = announce
        self._clock = clock
        self._wall_clock = wall_clock
        self._hub = Hub(clock, on_error)
        self._wire = Wire(place, self._add, open_socket, look_around)
        self._behind = 0.0
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
        self._hub.close()
        self._wire.close()
        self.status = Status((), 0, "")

    def replace(self, place: Place) -> None:
        """Listen on other interfaces from now on; ports stay."""
        here = self._wire.place
        self._wire.place = Place(place.interfaces, here.port, here.answer_port)
        if self._looking is not None:
            self._looking.cancel()
            self._look()

    def take_over(self, since: float) -> int:
        """We may answer from now on (see ``Responder.take_over``)."""
        answered = self._responder.take_over(since, self._clock())
        self._flush()
        return answered

    def stand_down(self) -> None:
        """We may not answer any more: nothing goes out again."""
        self._responder.stand_down(self._clock())
        self._flush()

    def behind(self) -> float | None:
        """Read what is there; the age in seconds of what is still not read. None: nothing is listened to."""
        if not self.status.interfaces:
            return None
        self._hub.doRead()
        return self._behind

    # --- sockets

    def _look(self) -> None:
        status = self._wire.look()
        if status != self.status:
            self.status = status
            self._on_status(status)
        self._looking = self._reactor.callLater(LOOK_SECONDS, self._look)

    def _add(self, sock: PnpSocket, multicast: bool) -> None:
        self._hub.add(sock.fileno(), partial(self._receive, sock, multicast))

    def _receive(self, sock: PnpSocket, multicast: bool, now: float) -> None:
        behind = 0.0
        for _ in range(_BATCH):
            received = sock.receive()
            if received is None:
                behind = 0.0
                break
            local = self._wire.local(received)
            if local is not None:
                at = received.at or self._wall_clock()
                behind = self._wall_clock() - at
                arrival = Arrival(received.data, received.peer, local, multicast, at, behind)
                self._responder.receive_datagram(arrival, now)
            self._flush()
        if multicast:
            self._behind = max(0.0, behind)

    def _flush(self) -> None:
        """Send what is due, hand on what has ended, and wake up for what is next."""
        responder, clock = self._responder, self._clock
        if responder.wants_right and not self._may_send(clock()):
            responder.stand_down(clock())
        if (keys := responder.ledger.unsent) and self._wire.is_bound:
            self._announce(keys)
        for departure in responder.datagrams_to_send():
            if not departure.guarded or self._may_send(clock()):
                self._wire.send(departure)
        for outcome in responder.events():
            self._on_outcome(outcome)
        deadline = responder.next_deadline()
        if deadline is None or not self._wire.is_bound:
            return
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._reactor.callLater(max(0.0, deadline - clock()), self._handle_timer)

    def _handle_timer(self) -> None:
        self._timer = None
        self._responder.handle_timer(self._clock())
        self._flush()
