"""From a datagram at the main port to a running transfer or an ERROR.

Owns the order of judgement (a repeat? admitted? a request? allowed?) and the files being looked up.
Anything but RRQ and WRQ is met with silence, unless it belongs to a transfer on the main port itself.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from era_ap.admission import Verdict
from era_ap.errors import Reason
from era_ap.provisioning.request import Content, Refusal
from era_ap.tftp.packets import MEMORABLE, Request, parse_request
from era_ap.tftp.server.answers import UNUSABLE, Answers
from era_ap.tftp.server.contract import Asked
from era_ap.tftp.server.feeding import cause, promise

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from era_ap.provisioning.request import Opener, Reply
    from era_ap.tftp.server.contract import Policy
    from era_ap.tftp.server.feeding import Runner
    from era_ap.tftp.server.starting import Starter
    from era_ap.tftp.server.table import Table
    from era_ap.tftp.server.uploads import Upload
    from era_ap.udp import Listener, Local, Peer

T = TypeVar("T")
_known: Final = lru_cache(8192)(parse_request)
"""The phones of a large site ask for the same files, again and again."""
_REQUESTS: Final = frozenset({b"\x00\x01", b"\x00\x02"})
_SILENCE: Final = Verdict.SILENCE  # looking a member up in its class is a call
_RESTART: Final = 1.0
"""Seconds without progress after which the same request from the same port is a phone that began anew."""


class Intake:
    """Turns requests into transfers. ``policy`` and ``accepting`` may be set at any time."""

    def __init__(
        self,
        opener: Opener,
        policy: Policy,
        answers: Answers,
        starter: Starter,
        table: Table,
        *,
        run: Runner,
        clock: Callable[[], float],
    ) -> None:
        self.policy = policy
        self.accepting = True
        self.pending: dict[Peer, Asked] = {}
        self._opener = opener
        self._answers = answers
        self._starter = starter
        self._table = table
        self._run = run
        self._clock = clock

    @property
    def is_busy(self) -> bool:
        """Whether any transfer runs or any file is being looked up."""
        return bool(self._table or self.pending)

    def receive(self, data: bytes, peer: Peer, local: Local, listener: Listener, now: float) -> None:
        """A datagram came to a main port."""
        session = self._table.get(peer)
        if data[:2] not in _REQUESTS:
            if session is not None and session.is_shared:
                session.receive(data, now)
            return
        if not self.accepting:
            return
        if (session is not None or peer in self.pending) and self._is_repeat(data, peer, now):
            return
        verdict = self._answers.admission.admit(peer[0], now)
        if verdict is _SILENCE:
            return
        parsed = _known(data) if len(data) <= MEMORABLE else parse_request(data)
        packet = parsed if isinstance(parsed, Request) else UNUSABLE
        asked = Asked(packet, data, peer, local, listener, now)
        if verdict.reason is not None:
            self._answers.refuse(asked, verdict.reason)
        elif packet is not parsed:
            self._answers.refuse(asked, parsed if isinstance(parsed, Reason) else Reason.MALFORMED)
        else:
            try:
                if asked.is_write:
                    self._open_sink(asked)
                else:
                    self._open(asked, now)
            except Exception as error:  # whatever is raised, the phone gets its answer
                self._answers.refuse_error(asked, error)

    def expire(self, now: float) -> None:
        """Give up what has been looked up for too long."""
        limit = now - self.policy.open_seconds
        for asked in [a for a in self.pending.values() if a.since <= limit]:
            del self.pending[asked.sender]
            self._answers.refuse(asked, Reason.STORAGE_BUSY)

    def _is_repeat(self, data: bytes, peer: Peer, now: float) -> bool:
        """Whether this is a retransmission of the request that is being served already."""
        asked = self.pending.get(peer)
        if asked is not None:
            if asked.raw == data:
                return True
            del self.pending[peer]  # it wants something else by now
        session = self._table.get(peer)
        if session is None:
            return False
        # Of two datagrams of one batch this one may be the later: the last ACK may wait in the other socket.
        session.readable(now)
        if self._table.get(peer) is not session:
            return False
        machine = session.machine
        if session.asked.raw == data and (not machine.answered or now - machine.idle_since < _RESTART):
            machine.request_repeated(now)
        else:
            machine.peer_gone(Reason.PEER_SILENT)  # the peer began anew: its earlier transfer is over
        session.flush(now)
        return self._table.get(peer) is not None

    def _open(self, asked: Asked, now: float) -> None:
        reply = self._opener.open(asked)
        if isinstance(reply, Refusal):
            self._answers.refuse_reply(asked, reply, now)
        elif not isinstance(reply, Content) and isinstance(reply, Awaitable):
            self._wait(asked, promise(reply), self._opened, _close)
        else:
            self._starter.start_read(asked, reply, self.policy, now)

    def _opened(self, asked: Asked, reply: Reply) -> None:
        now = self._clock()
        if isinstance(reply, Refusal):
            self._answers.refuse_reply(asked, reply, now)
        else:
            self._starter.start_read(asked, reply, self.policy, now)

    def _open_sink(self, asked: Asked) -> None:
        upload = self._starter.make_upload(asked, self.policy)

        def opened(asked: Asked, _: None) -> None:
            self._starter.start_write(asked, upload, self.policy, self._clock())

        self._wait(asked, self._run(upload.open), opened, lambda _: self._discard(upload))

    def _wait(
        self,
        asked: Asked,
        result: Deferred[T],
        then: Callable[[Asked, T], None],
        discard: Callable[[T], None],
    ) -> None:
        """Go on with ``then`` when the result is there; ``discard`` it where nobody waits any more."""
        if len(self.pending) >= self.policy.opens:
            result.addCallback(discard).addErrback(lambda _: None)
            self._answers.refuse(asked, Reason.TRANSFER_LIMIT)
            return
        self.pending[asked.sender] = asked

        def arrived(value: T) -> None:
            if not self._is_awaited(asked):
                discard(value)
                return
            try:
                then(asked, value)
            except Exception as error:
                self._answers.refuse_error(asked, error)

        def failed(failure: Failure) -> None:
            if self._is_awaited(asked):
                self._answers.refuse_error(asked, cause(failure))

        result.addCallbacks(arrived, failed)

    def _is_awaited(self, asked: Asked) -> bool:
        if self.pending.get(asked.sender) is not asked:
            return False
        del self.pending[asked.sender]
        return True

    def _discard(self, upload: Upload) -> None:
        self._run(upload.abort)


def _close(reply: Reply) -> None:
    if not isinstance(reply, (Content, Refusal)):
        reply.close()
