"""The TFTP server as the daemon sees it: listen, change limits, drain, stop.

Owns the main sockets, the hub, the one timer that sweeps all transfers, and the order of shutting down.
Needs of the reactor only readers and delayed calls, so that tests drive it by hand. RFC 1350, 2347 to
2349, 7440.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from era_ap.errors import Reason
from era_ap.hub import Hub
from era_ap.tftp.server.answers import Answers
from era_ap.tftp.server.channels import Channels
from era_ap.tftp.server.intake import Intake
from era_ap.tftp.server.listening import MainSockets
from era_ap.tftp.server.starting import Starter
from era_ap.tftp.server.table import Table

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from era_ap.admission import Admission
    from era_ap.provisioning.request import Opener
    from era_ap.tftp.server.contract import Policy, TransferReport
    from era_ap.udp import Peer

_SWEEP: Final = 0.01
_SWEEP_A_TRANSFER: Final = 1e-5
_REST: Final = 1.0


class SinkThreads:
    """Two threads for the sink, started with the first upload: a stalled disk stalls nothing else."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool: ThreadPool | None = None

    def run(self, work: Callable[[], None]) -> Deferred[None]:
        """Call ``work`` in a thread."""
        if self._pool is None:
            self._pool = ThreadPool(0, 2, name="tftp-sink")
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, work)

    def stop(self) -> None:
        """Let the threads end when they are done."""
        if self._pool is not None:
            self._pool.stop()
            self._pool = None


class SweepTimer:
    """The one timer; ``resting`` while it is not set, or set only to tidy up."""

    def __init__(self, reactor: Any, work: Callable[[], None]) -> None:
        self._reactor = reactor
        self._work = work
        self._call: Any = None
        self.resting = True

    def arm(self, transfers: int) -> None:
        """Sweep soon: something is going on; less often where that means going through very many."""
        self._set(max(_SWEEP, transfers * _SWEEP_A_TRANSFER))
        self.resting = False

    def rest(self) -> None:
        """Sweep once more, later."""
        self._set(_REST)

    def stop(self) -> None:
        """Sweep no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.resting = True

    def _set(self, seconds: float) -> None:
        self.stop()
        self._call = self._reactor.callLater(seconds, self._fire)

    def _fire(self) -> None:
        self._call = None
        self.resting = True
        self._work()


class TftpServer:
    """Serves what ``opener`` opens.

    ``on_end`` gets one report for each request that was answered; ``on_error`` gets what was raised and not
    meant to be (a defect, a full disk). ``clock`` gives steady seconds. All runs in the reactor's thread;
    ``hub.is_lost`` tells that it does not run there any more.
    """

    def __init__(
        self,
        reactor: Any,
        opener: Opener,
        policy: Policy,
        admission: Admission,
        on_end: Callable[[TransferReport], None],
        *,
        on_error: Callable[[BaseException], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self.hub = Hub(clock, on_error)
        self._threads = SinkThreads(reactor)
        self._table = Table()
        # Not at once: a request is being dealt with when something else is caught.
        self._channels = Channels(
            self.hub,
            random.Random(),
            lambda *caught: reactor.callLater(0, self._intake.receive, *caught, clock()),
        )
        self._answers = Answers(admission, on_end, on_error)
        starter = Starter(
            self._table, self._channels, self._answers, run=self._threads.run, clock=clock, on_error=on_error
        )
        self._intake = Intake(
            opener, policy, self._answers, starter, self._table, run=self._threads.run, clock=clock
        )
        self._main = MainSockets(self.hub, self._intake.receive, self._watch)
        self._main.share(policy.single_port)
        self._timer = SweepTimer(reactor, self._sweep)
        self._drained: Deferred[bool] | None = None
        self._drain_end = 0.0

    def listen(self, address: str = "", port: int = 0, *, sock: socket.socket | None = None) -> Peer:
        """Take requests at ``address`` (``0.0.0.0``, ``::`` or one of ours), or from the bound ``sock``.

        Tells where. Instances of the same user share a port; one that comes later begins when it serves.
        Raises OSError.
        """
        return self._main.listen(address, port, sock)

    def serve(self) -> None:
        """Begin to answer; requests that came to the bound sockets before wait in their buffers until now.

        Raises OSError if a port that could be shared cannot be any more.
        """
        self._main.join(self._clock())
        self._reactor.addReader(self.hub)

    def replace(self, policy: Policy, admission: Admission | None = None) -> None:
        """Other limits from now on; running transfers keep theirs."""
        self._intake.policy = policy
        self._main.share(policy.single_port)
        if admission is not None:
            self._answers.admission = admission

    @property
    def transfers(self) -> int:
        """Transfers running."""
        return len(self._table)

    @property
    def opening(self) -> int:
        """Files being looked up."""
        return len(self._intake.pending)

    def drain(self, limit: float) -> Deferred[bool]:
        """Take nothing new, let what runs end: True when all did, False when ``limit`` seconds passed.

        What waits in the main sockets is answered; they stay open only as long as answers may have to leave
        from them.
        """
        drained: Deferred[bool] = Deferred()
        self._drained = drained
        self._drain_end = self._clock() + limit
        if not any(session.is_shared for session in self._table):
            self._main.withdraw(self._clock())
        self._close_unneeded()
        self._timer.arm(len(self._table))
        return drained

    def stop(self) -> None:
        """End everything now; peers of running transfers get an ERROR, sockets are closed."""
        self._intake.accepting = False
        self._intake.pending.clear()
        self._table.end_all(Reason.STOPPED, self._clock())
        self._timer.stop()
        self._finish_drain(False)
        self._reactor.removeReader(self.hub)
        self._channels.close()
        self._main.close()
        self.hub.close()
        self._threads.stop()

    def _watch(self) -> None:
        if self._timer.resting and self._intake.is_busy:
            self._timer.arm(len(self._table))

    def _sweep(self) -> None:
        now = self._clock()
        self._table.sweep(now)
        self._intake.expire(now)
        self._main.read_on(now)
        ports_left = self._channels.close_idle(now)
        busy = self._intake.is_busy
        if self._drained is not None:
            self._close_unneeded()
        done = self._main.is_read and not busy
        if self._drained is not None and (done or now >= self._drain_end):
            self._finish_drain(done)
        if busy or self._drained is not None:
            self._timer.arm(len(self._table))
        elif ports_left:
            self._timer.rest()

    def _close_unneeded(self) -> None:
        self._intake.accepting = not self._main.is_read
        if not (self._intake.accepting or self._intake.pending or any(s.is_shared for s in self._table)):
            self._main.close()

    def _finish_drain(self, done: bool) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(done)
