"""The sockets of PnP on this host's interfaces: binding, membership of the group, looking again (spec 11).

Owns which interfaces are listened on and what is in the way; a datagram's place on them. Knows no messages
(``responder``) and no timers (``server``). IPv4 only: the group is 224.0.1.75, and phones ask nowhere else.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from era_ap.sip.interfaces import Interface, choose, look
from era_ap.sip.path import Departure, Local
from era_ap.sip.sockets import GROUP, PnpSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from era_ap.sip.sockets import Received

NO_ADDRESS: Final = "0.0.0.0"  # nosec B104 # noqa: S104 - none was found


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


class Wire:
    """The group's socket and the one that answers leave from; ``added`` gets each when it is bound."""

    def __init__(
        self,
        place: Place,
        added: Callable[[PnpSocket, bool], None],
        open_socket: Callable[..., PnpSocket] = PnpSocket,
        look_around: Callable[[], Mapping[int, Interface]] = look,
    ) -> None:
        self.place = place
        self._added = added
        self._open_socket = open_socket
        self._look_around = look_around
        self._group: PnpSocket | None = None
        self._answers: PnpSocket | None = None
        self._there: Mapping[int, Interface] = {}
        self._joined: dict[int, Interface] = {}

    def look(self) -> Status:
        """Bind what is not bound and join where we are not members yet. Never raises."""
        try:
            self._there = self._look_around()
        except OSError as error:
            problem = f"the interfaces cannot be listed: {_why(error)}"
        else:
            problem = self._bind() or self._join(choose(self.place.interfaces, self._there))
        port = self._answers.port if self._answers is not None else 0
        return Status(tuple(sorted(each.name for each in self._joined.values())), port, problem)

    @property
    def is_bound(self) -> bool:
        """Whether anything can be sent."""
        return self._answers is not None

    def send(self, departure: Departure) -> None:
        """Send from where it is to leave."""
        if self._answers is not None:
            self._answers.send(departure.data, departure.peer, departure.local)

    def local(self, received: Received) -> Local | None:
        """Where the datagram came to; None if it cannot be answered (no address, port 0)."""
        assert self._answers is not None
        known = self._there.get(received.index)
        address = received.address
        if address == NO_ADDRESS and known is not None:
            address = str(known.addresses[0].ip)
        if address == NO_ADDRESS or not received.peer[1]:
            return None
        joined = self._joined.get(received.index)
        networks = tuple(each.network for each in joined.addresses) if joined is not None else ()
        name = known.name if known is not None else f"#{received.index}"
        return Local(address, self._answers.port, received.index, name, networks)

    def close(self) -> None:
        """Give the sockets back."""
        for sock in (self._group, self._answers):
            if sock is not None:
                sock.close()
        self._group = self._answers = None
        self._joined.clear()

    def _bind(self) -> str:
        place = self.place
        try:
            if self._answers is None:
                self._answers = self._open_socket("", place.answer_port)
                self._added(self._answers, False)
        except OSError as error:
            return f"port {place.answer_port}: {_why(error)}"
        try:
            if self._group is None:
                self._group = self._open_socket(GROUP, place.port, shared=True)
                self._added(self._group, True)
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
            names = ", ".join(self.place.interfaces)
            problem = f"no interface {names} here" if names else "no interface with an IPv4 address here"
        return problem


def _why(error: OSError) -> str:
    if error.errno == errno.ENOBUFS:
        return "too many groups; raise net.ipv4.igmp_max_memberships"
    return os.strerror(error.errno) if error.errno else str(error)
