"""Does what the election wants: its actions become transactions, reads and questions, and these its events.

Owns the tasks and their order: one look at a time, and nothing of an ended session counts. Decides nothing
(``election``); the words between are in ``moves``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from era_ap.cluster.contract import RefusedWriteError, SessionState, UnavailableError
from era_ap.cluster.looking import Looking, make_parents
from era_ap.cluster.moves import Beat, Led, Look, Peek, Purpose, Question, Result, Stopped, Write

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    import structlog

    from era_ap.cluster.contract import Ensemble
    from era_ap.cluster.coordinator import AskPeer
    from era_ap.cluster.election import Election
    from era_ap.cluster.failsafe import Answer
    from era_ap.cluster.moves import Action
    from era_ap.cluster.view import View

ASK_SECONDS: Final = 0.3
RETRY_SECONDS: Final = 0.2


class Driver:
    """Drives ``election`` in contact with ``ensemble``; ``clock`` is the machine's.

    ``on_turn`` is told when we begin and end to act, ``on_view`` what was read of the cluster, ``on_step``
    after everything that happened. ``left`` is set once our name is off the list. ``looking`` may be told
    other groups.
    """

    def __init__(
        self,
        election: Election,
        ensemble: Ensemble,
        groups: Collection[int],
        ask: AskPeer,
        clock: Callable[[], float],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.left = asyncio.Event()
        self.on_turn: Callable[[Led | Stopped], None] = lambda _: None
        self.on_view: Callable[[View], None] = lambda _: None
        self.on_step: Callable[[], None] = lambda: None
        self._election = election
        self._ensemble = ensemble
        self._ask = ask
        self._clock = clock
        self._log = log
        self._group = election.situation.own.group
        self._wanted = 0
        self._is_stale = asyncio.Event()
        self.looking = Looking(ensemble, sorted({*groups, self._group}), self._is_stale.set)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._runs = False

    def start(self) -> None:
        """Begin."""
        self._runs = True
        self._spawn(self._keep_looking())
        self.observe()

    def close(self) -> None:
        """End everything at once."""
        self._runs = False
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def observe(self) -> None:
        """Tell the machine of our session, and do what it wants."""
        ensemble = self._ensemble
        if ensemble.session_id != self._election.situation.session:
            self.looking.begin()
        self._election.observe(ensemble.state, ensemble.session_id, ensemble.session_seconds, self._clock())
        self.follow()

    def follow(self) -> None:
        """Do what the machine wants, then wait for its next deadline."""
        if not self._runs:
            return
        for action in self._election.actions():
            self._do(action)
        if self._timer is not None:
            self._timer.cancel()
        now = self._clock()
        pause = max(0.0, self._election.next_deadline(now) - now)
        self._timer = asyncio.get_running_loop().call_later(pause, self._tick)
        self.on_step()

    def _tick(self) -> None:
        self._election.handle_timer(self._clock())
        self.observe()

    def _do(self, action: Action) -> None:
        match action:
            case Look():
                self._wanted = action.number
                self._is_stale.set()
            case Write() | Beat():
                self._spawn(self._commit(action))
            case Peek():
                self._spawn(self._peek(action))
            case Question():
                self._spawn(self._question(action))
            case Led() | Stopped():
                self.on_turn(action)

    async def _commit(self, write: Write | Beat) -> None:
        sent_at = self._clock()
        result = await _committed(self._ensemble, self._group, write)
        self._election.committed(write, result, sent_at, self._clock())
        if isinstance(write, Write) and write.purpose is Purpose.LEAVE and result is Result.DONE:
            self.left.set()
        self.observe()

    async def _peek(self, peek: Peek) -> None:
        try:
            version = await self.looking.beat(self._group)
        except UnavailableError:
            return
        if self._ensemble.session_id == peek.session:
            self._election.peeked(version, peek.session, self._clock())
            self.observe()

    async def _question(self, question: Question) -> None:
        sent_at = self._clock()
        answer: Answer | None = None
        try:
            answer = await asyncio.wait_for(self._ask(question.member, question.ask), ASK_SECONDS)
        except Exception as error:  # whatever the transport raises, it is no answer
            self._log.debug("no answer", of=question.member.name, error=str(error) or type(error).__name__)
        self._election.answered(question, answer, sent_at, self._clock())
        self.observe()

    async def _keep_looking(self) -> None:
        ensemble = self._ensemble
        while True:
            await self._is_stale.wait()
            self._is_stale.clear()
            if ensemble.state is not SessionState.CONNECTED:
                continue  # the machine wants a look as soon as there is contact
            number, session = self._wanted, ensemble.session_id
            try:
                view = await self.looking.look()
            except (UnavailableError, RefusedWriteError):
                await asyncio.sleep(RETRY_SECONDS)
                self._is_stale.set()
                continue
            if session == ensemble.session_id:
                self._election.looked(view, number, session, self._clock())
                self.on_view(view)
                self.observe()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _committed(ensemble: Ensemble, group: int, write: Write | Beat) -> Result:
    """Commit it in the session that it is meant for."""
    try:
        if isinstance(write, Write) and ensemble.session_id == write.session:
            await make_parents(ensemble, group)
        if ensemble.session_id != write.session:
            return Result.UNKNOWN
        await ensemble.commit(*write.operations)
    except RefusedWriteError:
        return Result.REFUSED
    except UnavailableError:
        return Result.UNKNOWN
    return Result.DONE if ensemble.session_id == write.session else Result.UNKNOWN
