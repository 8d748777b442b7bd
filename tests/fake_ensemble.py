"""ZooKeeper in memory: one tree, sessions that a test suspends, ends and mends; nothing happens by itself.

``Servers`` is the ensemble, ``servers.connect()`` a client of it that is an ``Ensemble`` (cluster.contract).
It passes the same contract suite as the bridge to the real one (tests/edge/ensemble_contract.py). Time plays
no part: a session ends when the test says so, an answer comes after one turn of the event loop, or never.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from era_ap.cluster.contract import (
    Check,
    Create,
    Node,
    Operation,
    Put,
    RefusedWriteError,
    SessionState,
    UnavailableError,
    Watch,
)

OnChange = Callable[[SessionState, int], None]
"""Called with the state and the session's id when either is another one."""
Event = tuple[str, str]
"""What changed, ``data`` or ``children``, and of which node."""


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _appeared(path: str) -> list[Event]:
    return [("data", path), ("children", _parent(path))]


def _vanished(path: str) -> list[Event]:
    return [("data", path), ("children", path), ("children", _parent(path))]


@dataclass
class Servers:
    """The ensemble: its tree and the sessions it knows. ``commits`` counts transactions that changed it."""

    nodes: dict[str, Node] = field(default_factory=dict)
    sessions: set[int] = field(default_factory=set)
    clients: list[FakeEnsemble] = field(default_factory=list)
    zxid: int = 0
    commits: int = 0
    _next_session: int = 0x1000

    def connect(
        self, *, session_seconds: float = 4.0, on_change: OnChange = lambda state, session: None
    ) -> FakeEnsemble:
        """A client with a session of its own, connected."""
        client = FakeEnsemble(self, session_seconds, on_change)
        self.clients.append(client)
        client.resume()
        return client

    def new_session(self) -> int:
        self._next_session += 1
        self.sessions.add(self._next_session)
        return self._next_session

    def end_session(self, session: int) -> None:
        """The servers give a session up: its ephemeral nodes go; its client does not know yet."""
        self.sessions.discard(session)
        for path in [path for path, node in self.nodes.items() if session and node.owner == session]:
            self.zxid += 1
            del self.nodes[path]
            self._tell(_vanished(path))

    def wipe(self) -> None:
        """All servers restart empty: nothing and nobody is known any more."""
        self.nodes.clear()
        self.sessions.clear()
        self.zxid = 0

    def apply(self, session: int, operations: tuple[Operation, ...]) -> None:
        """All operations or none."""
        if session not in self.sessions:
            raise RefusedWriteError("the session is over")
        before = dict(self.nodes)
        told: list[Event] = []
        self.zxid += 1
        try:
            for operation in operations:
                told += self._do(operation, session)
        except RefusedWriteError:
            self.nodes = before
            self.zxid -= 1
            raise
        self.commits += bool(told)
        self._tell(told)

    def children(self, path: str) -> tuple[str, ...]:
        start = f"{path}/" if path else ""
        below = (name[len(start) :] for name in self.nodes if name.startswith(start) and name != path)
        return tuple(sorted(name for name in below if "/" not in name))

    def _do(self, operation: Operation, session: int) -> list[Event]:
        path, node = operation.path, self.nodes.get(operation.path)
        if isinstance(operation, Create):
            parent = self.nodes.get(_parent(path))
            if node is not None:
                raise RefusedWriteError(f"{path}: exists")
            if "/" in path and (parent is None or parent.owner):
                raise RefusedWriteError(f"{path}: its parent is missing or ephemeral")
            owner = session if operation.ephemeral else 0
            self.nodes[path] = Node(operation.data, 0, self.zxid, self.zxid, owner)
            return _appeared(path)
        if node is None:
            raise RefusedWriteError(f"{path}: is missing")
        if operation.version not in (-1, node.version):
            raise RefusedWriteError(f"{path}: has version {node.version}, not {operation.version}")
        if isinstance(operation, Check):
            return []
        if isinstance(operation, Put):
            self.nodes[path] = replace(node, data=operation.data, version=node.version + 1, mzxid=self.zxid)
            return [("data", path)]
        if self.children(path):
            raise RefusedWriteError(f"{path}: has children")
        del self.nodes[path]
        return _vanished(path)

    def _tell(self, events: list[Event]) -> None:
        for client in self.clients:
            client.hear(events)


class FakeEnsemble:
    """A client. While ``deaf``, what it asks is done, but no answer comes back; while ``held`` is a list, its
    writes wait there for ``release``.
    """

    def __init__(self, servers: Servers, session_seconds: float, on_change: OnChange) -> None:
        self.servers = servers
        self.session_seconds = session_seconds
        self.state = SessionState.LOST
        self.session_id = 0
        self.deaf = False
        self.held: list[tuple[Operation, ...]] | None = None
        self._on_change = on_change
        self._watches: list[tuple[Event, Watch]] = []

    # --- what the contract asks for

    async def read(self, path: str, watch: Watch | None = None) -> Node | None:
        await self._answer()
        if watch is not None:
            self._watches.append((("data", path), watch))
        return self.servers.nodes.get(path)

    async def children(self, path: str, watch: Watch | None = None) -> tuple[str, ...]:
        await self._answer()
        if path and path not in self.servers.nodes:
            return ()
        if watch is not None:
            self._watches.append((("children", path), watch))
        return self.servers.children(path)

    async def make(self, path: str) -> None:
        await self._answer()
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            if (name := "/".join(parts[:count])) not in self.servers.nodes:
                self.servers.apply(self.session_id, (Create(name),))

    async def commit(self, *operations: Operation) -> None:
        if self.held is not None and self.state is SessionState.CONNECTED:
            self.held.append(operations)
            await asyncio.sleep(0)
            raise UnavailableError("no answer in time")
        await asyncio.sleep(0)
        self._need_contact()
        self.servers.apply(self.session_id, operations)
        if self.deaf:
            raise UnavailableError("no answer in time")

    # --- what tests do to it

    def suspend(self) -> None:
        """The connection breaks; the servers keep the session until ``servers.end_session``."""
        self._become(SessionState.SUSPENDED, self.session_id)

    def resume(self) -> None:
        """The connection is back: in the old session, or, if that has ended, after LOST in a new one."""
        if self.session_id in self.servers.sessions:
            self._become(SessionState.CONNECTED, self.session_id)
        else:
            self.lose()
            self._become(SessionState.CONNECTED, self.servers.new_session())
        self._fire(self._watches)

    def lose(self) -> None:
        """The client learns that its session is over, and has no new one yet."""
        self.servers.end_session(self.session_id)
        self._become(SessionState.LOST, self.session_id)
        self._fire(self._watches)

    def expire(self) -> None:
        """The servers end the session of a client that is connected; it gets a new one at once."""
        self.servers.end_session(self.session_id)
        self.resume()

    def release(self) -> list[bool]:
        """What was held arrives at the servers now, as late writes do; whether each was taken."""
        held, self.held = self.held or [], None
        taken = []
        for operations in held:
            try:
                self.servers.apply(self.session_id, operations)
            except RefusedWriteError:
                taken.append(False)
            else:
                taken.append(True)
        return taken

    # --- between the two

    def hear(self, events: list[Event]) -> None:
        """The servers tell what changed; a client without contact learns it when it is back."""
        if self.state is SessionState.CONNECTED:
            self._fire([entry for entry in self._watches if entry[0] in events])

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        self._need_contact()
        if self.deaf or self.held is not None:
            raise UnavailableError("no answer in time")

    def _need_contact(self) -> None:
        if self.state is not SessionState.CONNECTED:
            raise UnavailableError(f"no contact: {self.state.value}")

    def _become(self, state: SessionState, session: int) -> None:
        changed = (state, session) != (self.state, self.session_id)
        self.state, self.session_id = state, session
        if changed:
            self._on_change(state, session)

    def _fire(self, entries: list[tuple[Event, Watch]]) -> None:
        for entry in list(entries):
            self._watches.remove(entry)
            asyncio.get_running_loop().call_soon(entry[1])
