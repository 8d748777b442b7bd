"""All running transfers: found by peer, limited in total and per address, swept for deadlines.

Owns who gives way when there is no room: first the oldest that never answered, then the most idle one. A
scan for the latter is made at most once a sweep, so that a flood cannot make it the main occupation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from era_ap.tftp.server.contract import Policy
    from era_ap.tftp.server.sessions import Session
    from era_ap.udp import Peer

_IDLE_UNANSWERED: Final = 0.25
_IDLE_ANSWERED: Final = 2.0


class Table:
    """Sessions by the peer's socket address; ``get`` gives that of a peer."""

    def __init__(self) -> None:
        self._by_peer: dict[Peer, Session] = {}
        self.get: Callable[[Peer], Session | None] = self._by_peer.get  # of each datagram at a main port
        self._counts: dict[str, int] = {}  # of sessions by address
        self._unanswered: dict[Session, None] = {}  # oldest first; those that answered are dropped on the way
        self._idle: list[Session] = []  # most idle last
        self._idle_known = False

    def __len__(self) -> int:
        return len(self._by_peer)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_peer.values())

    def add(self, session: Session) -> None:
        """Enter a session; its peer must have none."""
        peer = session.asked.sender
        self._by_peer[peer] = session
        self._counts[peer[0]] = self._counts.get(peer[0], 0) + 1
        self._unanswered[session] = None

    def remove(self, session: Session) -> None:
        """Forget a session; nothing happens if it is not here."""
        peer = session.asked.sender
        if self._by_peer.get(peer) is not session:
            return
        del self._by_peer[peer]
        self._unanswered.pop(session, None)
        left = self._counts[peer[0]] - 1
        if left:
            self._counts[peer[0]] = left
        else:
            del self._counts[peer[0]]

    def make_room(self, address: str, policy: Policy, now: float) -> bool:
        """Whether one more transfer of ``address`` may run; evicts one that is idle where that helps."""
        if self._counts.get(address, 0) >= policy.transfers_per_address:
            # A whole site behind one address: the last ACKs of some may wait in their own sockets still.
            for session in self._of(address):
                session.readable(now)
            if self._counts.get(address, 0) >= policy.transfers_per_address:
                oldest = min(self._of(address), key=lambda session: session.machine.idle_since)
                if not _is_idle(oldest, now):
                    return False
                evict(oldest, now)
        return len(self._by_peer) < policy.transfers or self.evict_one(now)

    def evict_one(self, now: float) -> bool:
        """Let the one go that is missed least; False where all are busy."""
        while self._unanswered:
            session = next(iter(self._unanswered))
            if not session.machine.answered:
                if not _is_idle(session, now):
                    break
                evict(session, now)
                return True
            del self._unanswered[session]
        if not self._idle_known:
            self._idle_known = True
            idle = (session for session in self._by_peer.values() if _is_idle(session, now))
            self._idle = sorted(idle, key=lambda session: session.machine.idle_since, reverse=True)
        while self._idle:
            session = self._idle.pop()
            if self._by_peer.get(session.asked.sender) is session and _is_idle(session, now):
                evict(session, now)
                return True
        return False

    def _of(self, address: str) -> list[Session]:
        return [session for session in self._by_peer.values() if session.asked.peer == address]

    def sweep(self, now: float) -> None:
        """Wake every machine whose deadline has passed."""
        self._idle_known = False
        for session in [s for s in self._by_peer.values() if s.machine.next_deadline() <= now]:
            session.tick(now)

    def end_all(self, reason: Reason, now: float) -> None:
        """End every transfer; the peers are told."""
        for session in list(self._by_peer.values()):
            session.machine.fail(reason)
            session.flush(now)


def evict(session: Session, now: float) -> None:
    """End a transfer for the sake of another; its peer is told."""
    session.machine.fail(Reason.EVICTED)
    session.flush(now)


def _is_idle(session: Session, now: float) -> bool:
    machine = session.machine
    return now - machine.idle_since >= (_IDLE_ANSWERED if machine.answered else _IDLE_UNANSWERED)
