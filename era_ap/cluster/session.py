"""The event loop's side of a ZooKeeper client that runs in threads: state of the session, questions, watches.

Owns what must hold whatever the client does: a question ends within its limit, a server that says nothing is
left, a watch is told once, a client that gave up is replaced. Knows no library; ``zookeeper`` has the client,
which reports with ``post``. Does not own what an operator reads of it (``access``).
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from era_ap.cluster.contract import SessionState, UnavailableError
from era_ap.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from era_ap.cluster.access import Told
    from era_ap.cluster.contract import Watch

    OnChange = Callable[[SessionState, int], None]

LIMIT_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 1.0
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 10.0


class Result(Protocol):
    """An answer to come; ``rawlink`` calls back from a thread of the client's."""

    def rawlink(self, callback: Callable[[Result], None]) -> None: ...

    def get_nowait(self) -> Any: ...


class Client(Protocol):
    """A client with threads of its own; all but ``end`` return at once."""

    @property
    def connected(self) -> bool:
        """Whether it has contact, as of now."""

    @property
    def is_over(self) -> bool:
        """Whether it has given up: nothing will come of it any more."""

    @property
    def heard(self) -> float:
        """When a server said something last, by the monotonic clock."""

    def is_outdated(self) -> bool:
        """Whether a new client would say something else of who we are; reads files. Must not raise."""

    def begin(self) -> None:
        """Start the threads and connect."""

    def drop(self) -> None:
        """Leave the server it talks to for another one."""

    def end(self) -> None:
        """End the session and the threads; may take seconds. Must not raise."""


class Bell:
    """A watch under way: it is rung once, on the loop, and never before the read that hung it up is done."""

    def __init__(self, session: Session, watch: Watch) -> None:
        self._session = session
        self._watch = watch
        self._is_armed = False
        self._is_due = False

    def __call__(self, event: Any) -> None:
        """From any thread: what was read may have changed, if ``event`` has a path; else it is of contact."""
        if event.path is not None:
            self._session.post(self.ring)

    def arm(self) -> None:
        """The read is done."""
        self._is_armed = True
        if self._is_due:
            self.ring()

    def ring(self) -> None:
        """Call the watch, or do so as soon as the read is done."""
        self._is_due = True
        if self._is_armed and self in self._session.bells:
            self._session.bells.remove(self)
            asyncio.get_running_loop().call_soon(self._watch)


@contextmanager
def hung(session: Session, watch: Watch | None) -> Iterator[Bell | None]:
    """The bell of ``watch``, to be given to a read within the body; gone again if that fails."""
    if watch is None:
        yield None
        return
    bell = Bell(session, watch)
    session.bells.add(bell)
    try:
        yield bell
    except BaseException:
        session.bells.remove(bell)
        raise
    bell.arm()


def forbidden(session: Session, path: str) -> None:
    """The servers refuse us a node, perhaps only because the password was another one when we connected."""
    session.told.forbidden(path)
    session.clients.renew_outdated()


class Clients:
    """Has one client at a time. Making one reads files and ending one waits, so both are done in threads."""

    def __init__(self, make: Callable[[], Client], session: Session) -> None:
        self.now: Client | None = None
        self.pause = FIRST_PAUSE
        self._make = make
        self._session = session
        self._is_closing = False

    def renew(self) -> None:
        """Replace the client."""
        if not self._is_closing:
            old, self.now = self.now, None
            threading.Thread(target=self._replace, args=(old,), name="zookeeper", daemon=True).start()

    def renew_outdated(self) -> None:
        """Replace the client if another one would fare better, as files have changed."""
        if self.now is not None:
            threading.Thread(target=self._judge, args=(self.now,), name="zookeeper", daemon=True).start()

    def renew_later(self) -> None:
        """Replace the client after a pause that grows until a client has connected."""
        asyncio.get_running_loop().call_later(self.pause, self.renew)
        self.pause = min(2 * self.pause, LONGEST_PAUSE)

    async def close(self) -> None:
        """End the client and its session; a client that hangs is left behind."""
        self._is_closing = True
        client, self.now = self.now, None
        if client is None:
            return
        done = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._end, args=(client, done), name="zookeeper", daemon=True).start()
        await asyncio.wait({done}, timeout=CLOSE_SECONDS)

    def _replace(self, old: Client | None) -> None:
        try:
            client = self._make()
        except Refused as refused:
            self._session.post(self._session.told.turned_away, "ext.zookeeper", str(refused))
            self._session.post(self.renew_later)
        else:
            self._session.post(self._take, client)
            client.begin()
        if old is not None:
            old.end()

    def _judge(self, client: Client) -> None:
        if client.is_outdated():
            self._session.post(self._renew_from, client)

    def _renew_from(self, client: Client) -> None:
        if client is self.now:
            self.renew()

    def _take(self, client: Client) -> None:
        self.now = client
        if self._is_closing:
            self.now = None
            threading.Thread(target=client.end, name="zookeeper", daemon=True).start()

    def _end(self, client: Client, done: asyncio.Future[None]) -> None:
        client.end()
        self._session.post(_settle, done)


class Session:
    """Our session; ``make`` makes a client that reports to this object, ``told`` tells people."""

    def __init__(self, make: Callable[[], Client], asked: float, told: Told, on_change: OnChange) -> None:
        self.session_id = 0
        self.seconds = asked
        self.told = told
        self.bells: set[Bell] = set()
        self.clients = Clients(make, self)
        self._state = SessionState.LOST
        self._on_change = on_change
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def state(self) -> SessionState:
        """The state as of now, even if the loop has not been told yet that contact is lost."""
        client = self.clients.now
        if self._state is SessionState.CONNECTED and (client is None or not client.connected):
            return SessionState.SUSPENDED
        return self._state

    @property
    def limit(self) -> float:
        """How long an answer may take, seconds."""
        return min(LIMIT_SECONDS, self.seconds / 4)

    def start(self) -> None:
        """Connect, from now on and for good."""
        self._loop = asyncio.get_running_loop()
        self.clients.renew()

    async def close(self) -> None:
        """End the session, so that its nodes go at once."""
        await self.clients.close()
        self._become(SessionState.LOST, self.session_id)

    def post(self, call: Callable[..., None], *arguments: object) -> None:
        """From any thread: have the loop call ``call``."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            return  # the loop has ended

    def connected(self, client: Client, session_id: int, seconds: float, server: str) -> None:
        """``client`` has contact and is authenticated."""
        if client is not self.clients.now:
            return
        if session_id != self.session_id and self._state is not SessionState.LOST:
            self._become(SessionState.LOST, self.session_id)
        self.seconds = seconds
        self.clients.pause = FIRST_PAUSE
        self.told.connected(server, session_id, seconds)
        self._become(SessionState.CONNECTED, session_id)
        self._ring_all()

    def suspended(self, client: Client) -> None:
        """``client`` has lost contact; the session may live on or not."""
        if client is self.clients.now and self._state is SessionState.CONNECTED:
            self.told.suspended()
            self._become(SessionState.SUSPENDED, self.session_id)

    def lost(self, client: Client) -> None:
        """The session of ``client`` is over, or it was never let in."""
        if client is not self.clients.now:
            return
        if self._state is not SessionState.LOST:
            self.told.lost()
            self._become(SessionState.LOST, self.session_id)
        self._ring_all()
        if client.is_over:
            self.clients.renew_later()

    async def ask(self, send: Callable[[Any], Result]) -> Any:
        """The answer to what ``send`` sends; raises the client's exceptions and ``UnavailableError``."""
        client = self.clients.now
        state = self.state
        if client is None or state is not SessionState.CONNECTED:
            raise UnavailableError(f"no contact to ZooKeeper ({state.value})")
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        asked = time.monotonic()
        send(client).rawlink(lambda result: self.post(_settle, answer, result))
        try:
            async with asyncio.timeout(self.limit):
                return await answer
        except TimeoutError:
            rest = asked + self.seconds / 3 - time.monotonic()
            loop.call_later(max(0.0, rest), _leave_silent, client, asked)
            raise UnavailableError("no answer from ZooKeeper in time") from None

    def _become(self, state: SessionState, session_id: int) -> None:
        if (state, session_id) != (self._state, self.session_id):
            self._state, self.session_id = state, session_id
            self._on_change(state, session_id)

    def _ring_all(self) -> None:
        for bell in list(self.bells):
            bell.ring()


def _leave_silent(client: Client, since: float) -> None:
    """A server that has not said a word since it was asked is as good as gone."""
    if client.heard < since:
        client.drop()


def _settle(answer: asyncio.Future[Any], result: Result | None = None) -> None:
    if answer.done():
        return
    try:
        answer.set_result(None if result is None else result.get_nowait())
    except Exception as error:  # noqa: BLE001, RUF100 - what the client raises goes to who asked
        answer.set_exception(error)
