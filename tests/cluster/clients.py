"""Clients of the real ensemble for the tests of this folder: the bridge behind a relay of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from kazoo.client import KazooClient

from era_ap.cluster.access import Access
from era_ap.cluster.contract import SessionState
from era_ap.cluster.zookeeper import ZooKeeper
from tests.cluster.relay import Relay
from tests.edge.ensemble_contract import PATIENCE

_numbers = itertools.count()


class RealClient:
    """A client whose way to the servers can be broken; ``told`` is what it reported, ``log`` its log."""

    def __init__(self, access: Access, relay: Relay) -> None:
        self.relay = relay
        self.told: list[tuple[SessionState, int]] = []
        self.log: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        log = structlog.wrap_logger(None, processors=[self._note_line])
        self.ensemble = ZooKeeper(access, log, self._note)

    def _note(self, state: SessionState, session: int) -> None:
        self.told.append((state, session))
        self._wake()

    def _note_line(self, _: object, method: str, event: Any) -> Any:
        self.log.append({"level": method, **event})
        self._wake()
        raise structlog.DropEvent

    def _wake(self) -> None:
        task = self._loop.create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, what: Callable[[], object], seconds: float = PATIENCE) -> None:
        async with self._changed:
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait_for(what)
            except TimeoutError:
                raise AssertionError(f"waited {seconds} s in vain; {self.told}, {self.log}") from None

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == event]

    @property
    def kazoo(self) -> Any:
        """The kazoo client of the moment, for what only a test does to it."""
        return self.ensemble._session.clients.now


class RealHarness:
    """Clients of one site below a chroot that nobody else uses."""

    def __init__(self, connect: str, **access: Any) -> None:
        number = next(_numbers)
        self.access = replace(Access(connect, f"/t{number}/era_ap/lab"), **access)
        self.name = "127.0.0.1"
        self._clients: list[RealClient] = []

    async def open(self, *, wait: bool = True) -> RealClient:
        relay = await Relay(self.access.servers).start()
        servers = relay.connect.replace("127.0.0.1", self.name)
        client = RealClient(replace(self.access, servers=servers), relay)
        self._clients.append(client)
        client.ensemble.start()
        if wait:
            await client.until(lambda: client.ensemble.state is SessionState.CONNECTED)
        return client

    def cut(self, client: RealClient) -> None:
        client.relay.cut()

    async def mend(self, client: RealClient) -> None:
        await client.relay.mend()

    async def expire(self, client: RealClient) -> None:
        await asyncio.to_thread(end_session, self.access.servers, client.kazoo.client_id)

    async def close(self) -> None:
        for client in self._clients:
            await client.ensemble.close()
            await client.relay.close()


def end_session(connect: str, client_id: tuple[int, bytes]) -> None:
    """End somebody's session: take it over with a second client and close that."""
    thief = KazooClient(hosts=connect, client_id=client_id)
    thief.start(PATIENCE)
    thief.stop()
    thief.close()
