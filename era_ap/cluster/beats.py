"""Leader and standbys of a group, as far as PnP is concerned: notices by UDP, and who answers from when on.

Owns the socket, the pace of the beats, and what happens when the lead changes hands: notices are read, then
those who wait are answered; or nothing goes out any more. Does not own the form of a notice (``notices``),
the right to answer (``coordinator``) or answers (``discovery``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final, Protocol

from era_ap import timestamps
from era_ap.cluster.notices import BEAT_SECONDS, Listener, Speaker, Succession
from era_ap.cluster.peers import AskError, read_peer
from era_ap.cluster.questions import derive

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

    import structlog

    from era_ap.cluster.coordinator import Coordinator
    from era_ap.cluster.view import Term

_ROOM: Final = 2048
_A_TURN: Final = 256
_ALL: Final = 65_536


class Answering(Protocol):
    """PnP as the cluster sees it (``Discovery``)."""

    def take_over(self, since: float) -> int: ...

    def stand_down(self) -> None: ...

    def note_elsewhere(self, keys: Iterable[bytes]) -> None: ...

    def behind(self) -> float | None: ...


class Channel:
    """The UDP socket that notices travel by; ``take`` gets each datagram and when the kernel took it.

    ``clock`` is monotonic, ``wall_clock`` that of the kernel's time stamps.
    """

    def __init__(
        self,
        take: Callable[[bytes, float], None],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._take = take
        self._clock = clock
        self._wall_clock = wall_clock
        self._socket: socket.socket | None = None
        self._empty_at = float("-inf")

    def open(self, sock: socket.socket) -> None:
        """Use ``sock``, which is bound; to be called in the loop."""
        sock.setblocking(False)
        timestamps.ask_for_time(sock)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self.read)

    def read(self, most: int = _A_TURN) -> None:
        """Take what is there."""
        if self._socket is None:
            return
        for _ in range(most):
            try:
                data, control, _flags, _peer = self._socket.recvmsg(_ROOM, timestamps.ROOM)
            except BlockingIOError:
                self._empty_at = self._clock()
                return
            except OSError:  # an ICMP error about what we sent
                return
            self._take(data, self._arrived(timestamps.kernel_time(control)))

    def _arrived(self, at: float | None) -> float:
        """When a datagram came, by ``clock``; not before the socket was empty, though the wall clock, which
        somebody may have set meanwhile, says so.
        """
        now = self._clock()
        age = max(0.0, self._wall_clock() - at) if at is not None else 0.0
        return max(now - age, min(now, self._empty_at))

    def send(self, datagram: bytes, address: tuple[str, int]) -> None:
        """Send; what the kernel does not take is lost."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(datagram, address)

    def close(self) -> None:
        """Give the socket back, also where the loop has ended."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None


class Beats:
    """A ``Follower`` of ``coordinator`` for the process ``instance`` of the role ``name``.

    ``pnp`` is to be set before it follows. Nobody is told or heard before there is a socket (``listen``) and
    the site's secret (``trust``). ``clock`` is monotonic, ``wall_clock`` that of the kernel's time stamps.
    """

    pnp: Answering

    def __init__(
        self,
        coordinator: Coordinator,
        name: str,
        instance: str,
        group: int,
        session_seconds: float,
        log: structlog.typing.FilteringBoundLogger,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._coordinator = coordinator
        self._name = name
        self._instance = instance
        self._group = group
        self._log = log
        self._clock = clock
        self._channel = Channel(self._take, clock, wall_clock)
        self._succession = Succession(session_seconds)
        self._speaker: Speaker | None = None
        self._listener: Listener | None = None
        self._number: int | None = None
        self._has_rival = False
        self._beating: asyncio.TimerHandle | None = None

    def listen(self, sock: socket.socket) -> None:
        """Hear and tell others by ``sock``, a UDP socket at our ``Member.peer``; to be called in the loop."""
        self._channel.open(sock)

    def trust(self, secret: bytes) -> None:
        """Believe who knows ``secret``, the site's."""
        key = derive(secret, "notices")
        self._speaker = Speaker(key, self._instance, self._group)
        self._listener = Listener(key, self._instance, self._group)

    def close(self) -> None:
        """Hear and tell nothing more."""
        self._number = None
        if self._beating is not None:
            self._beating.cancel()
        self._channel.close()

    # --- what PnP asks

    def may_send(self, now: float) -> bool:
        """Whether an answer may go out at this moment: we lead, and heard nobody of a later term."""
        return self._number is not None and not self._has_rival and self._coordinator.may_send(now)

    def announce(self, keys: Sequence[bytes]) -> None:
        """We answer these SUBSCRIBEs: tell the others, before the answers leave."""
        if self._speaker is not None and self._number is not None:
            addresses, instances = self._others()
            datagrams = self._speaker.claim(self._number, keys, instances, self._clock())
            for place, datagram in enumerate(datagrams):
                self._channel.send(datagram, addresses[place % len(addresses)])

    # --- what the coordinator tells

    def on_lead(self, term: Term) -> None:
        """We answer phones from now on, at first those who wait and whom nobody has answered."""
        self._channel.read(_ALL)
        self._number, self._has_rival = term.number, False
        waited = self.pnp.take_over(self._succession.since(self._clock()))
        if waited:
            self._log.info("answered who waited for a leader", phones=waited, term=term.number)
        self._beat()

    def on_stop_leading(self, why: str) -> None:
        """We answer nobody any more."""
        self._number = None
        self.pnp.stand_down()
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    def on_view(self) -> None:
        """Members or leaders have changed."""
        leader = self._coordinator.leaders.get(self._group)
        there = leader is not None and leader.leader != self._name
        self._succession.note_leader(there, self._clock())

    # --- notices

    def _others(self) -> tuple[list[tuple[str, int]], list[str]]:
        addresses: list[tuple[str, int]] = []
        instances: list[str] = []
        for member in self._coordinator.members:
            if member.group == self._group and member.instance != self._instance:
                with contextlib.suppress(AskError):
                    addresses.append(read_peer(member.peer))
                    instances.append(member.instance)
        return addresses, instances

    def _beat(self) -> None:
        self._beating = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
        if self._speaker is None or self._number is None:
            return
        behind = self.pnp.behind()
        now = self._clock()
        if behind is not None and self.may_send(now):
            self._succession.note_answered(now - behind)
            addresses, instances = self._others()
            datagrams = self._speaker.beat(self._number, behind, instances, now)
            for datagram, address in zip(datagrams, addresses, strict=True):
                self._channel.send(datagram, address)

    def _take(self, data: bytes, arrived: float) -> None:
        heard = self._listener.receive(data, arrived) if self._listener is not None else None
        if heard is None:
            return
        self.pnp.note_elsewhere(heard.keys)
        if heard.until is not None:
            self._succession.note_answered(heard.until)
        if self._number is not None and heard.number > self._number and not self._has_rival:
            self._has_rival = True
            self._log.error("another instance leads", term=heard.number, ours=self._number)
            self.pnp.stand_down()
