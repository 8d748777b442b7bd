"""What every ``Ensemble`` does: the bridge to the real ZooKeeper and the one in memory that other tests use.

Owns the expectations; a test module derives a class from ``EnsembleContract`` and gives a ``harness``
fixture. What a client is told arrives on the event loop; tests wait for it, they never sleep.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from era_ap.cluster.contract import (
    Check,
    Create,
    Delete,
    Ensemble,
    Node,
    Put,
    RefusedWriteError,
    SessionState,
    UnavailableError,
)

PATIENCE = 15.0


class Client(Protocol):
    """A client of the harness: ``ensemble``, and the (state, session id) it reported, in order."""

    @property
    def ensemble(self) -> Ensemble: ...

    told: list[tuple[SessionState, int]]

    async def until(self, what: Callable[[], object]) -> None:
        """Wait until ``what`` holds after a report; fails after ``PATIENCE``."""


class Harness(Protocol):
    """One ensemble; ``open`` gives clients of the same site."""

    async def open(self) -> Client: ...

    def cut(self, client: Client) -> None:
        """Break the client's connection and let none come about."""

    async def mend(self, client: Client) -> None: ...

    async def expire(self, client: Client) -> None:
        """Have the servers end the session of a client that is connected."""

    async def close(self) -> None: ...


class Bell:
    """A watch that counts its calls and can be waited for."""

    def __init__(self) -> None:
        self.rang = 0
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.rang += 1
        self._event.set()

    async def wait(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._event.wait()


async def refusal(awaitable: Awaitable[object]) -> str:
    with pytest.raises(RefusedWriteError) as caught:
        await awaitable
    return str(caught.value)


async def existing(ensemble: Ensemble, path: str) -> Node:
    node = await ensemble.read(path)
    assert node is not None, path
    return node


Test = Callable[[Harness], Awaitable[None]]


class EnsembleContract:
    """The tests; each gets clients that are connected."""

    @pytest.fixture
    def run(self, harness: Harness) -> Callable[[Test], None]:
        def run(test: Test) -> None:
            async def whole() -> None:
                try:
                    await test(harness)
                finally:
                    await harness.close()

            asyncio.run(whole())

        return run

    def test_a_client_is_connected_in_a_session_of_its_own(self, run: Callable[[Test], None]) -> None:
        async def test(harness: Harness) -> None:
            one, two = await harness.open(), await harness.open()
            assert one.ensemble.state is two.ensemble.state is SessionState.CONNECTED
            assert 0 not in (one.ensemble.session_id, two.ensemble.session_id)
            assert one.ensemble.session_id != two.ensemble.session_id
            assert one.ensemble.session_seconds == 4.0

        run(test)

    def test_what_was_written_is_read_by_others(self, run: Callable[[Test], None]) -> None:
        async def test(harness: Harness) -> None:
            one, two = (await harness.open()).ensemble, (await harness.open()).ensemble
            assert await one.read("cache") is None
            await one.make("cache/1/b")
            await two.make("cache/1/b")  # the order of writes is one for all, that of reads is not
            assert await existing(one, "cache/1") == await existing(two, "cache/1")
            assert (await existing(two, "cache/1/b")).data == b""
            data = bytes(range(256)) * 2000
            await one.commit(Put("cache/1/b", data))
            await two.commit(Check("cache/1/b", 1))
            found = await existing(two, "cache/1/b")
            assert (found.data, found.version, found.owner) == (data, 1, 0)
            assert found.czxid < found.mzxid

        run(test)

    def test_nodes_are_made_once_whoever_asks(self, run: Callable[[Test], None]) -> None:
        async def test(harness: Harness) -> None:
            clients = [(await harness.open()).ensemble for _ in range(3)]
            await asyncio.gather(*(client.make("groups/7/x") for client in clients))
            await clients[0].commit(Create("groups/7/x/n", b"kept"))
            await asyncio.gather(*(client.make("groups/7/x/n") for client in clients))
            assert (await existing(clients[0], "groups/7/x/n")).data == b"kept"

        run(test)

    def test_children_are_named_in_order(self, run: Callable[[Test], None]) -> None:
        async def test(harness: Harness) -> None:
            one = (await harness.open()).ensemble
            assert await one.children("members") == ()
            await one.make("members")
            assert await one.children("members") == ()
            await one.commit(*(Create(f"members/{name}") for name in ("b", "a", "c")))
            await one.make("members/a/below")
            assert await one.children("members") == ("a", "b", "c")

        run(test)

    def test_a_transaction_is_done_as_a_whole_or_not_at_all(self, run: Callable[[Test], None]) -> None:
        async def test(harness: Harness) -> None:
            one = (await harness.open()).ensemble
            await one.make("g")
            await one.commit(Create("g/epoch"), Create("g/leader", b"ap1", ephemeral=True))
            await one.commit(Check("g/epoch", 0), Put("g/epoch", b"2", version=0), Put("g/leader", b"x"))
            epoch, leader = await existing(one, "g/epoch"), await existing(one, "g/leader")
            assert epoch.version == leader.version == 1
            assert epoch.mzxid == leader.mzxid > epoch.czxid == leader.czxid
            assert "g/leader" in await refusal(one.commit(Put("g/epoch", b"3"), Create("g/leader")))
            assert "g/epoch" in await refusal(one.commit(Create("g/new"), Check("g/epoch", 0)))
            assert await existing(one, "g/epoch") == epoch
            assert await one.read("g/new") is None
            await one.commit(Delete("g/leader"), Delete("g/epoch", version=1))
            assert await one.children("g") == ()

        run(test)

    @pytest.mark.parametrize(
        ("operation", "named"),
        [
            (Create("g/a"), "g/a"),
            (Create("g/missing/x"), "g/missing/x"),
            (Create("g/short/x"), "g/short/x"),
            (Put("g/missing", b""), "g/missing"),
            (Put("g/a", b"", version=1), "g/a"),
            (Delete("g/missing"), "g/missing"),
            (Delete("g/a", version=5), "g/a"),
            (Delete("g"), "g"),
            (Check("g/missing", 0), "g/missing"),
            (Check("g/a", 1), "g/a"),
        ],
    )
    def test_what_is_refused(self, run: Callable[[Test], None], operation: Check, named: str) -> None:
        async def test(harness: Harness) -> None:
            one = (await harness.open()).ensemble
            await one.make("g/a")
            await one.commit(Create("g/short", ephemeral=True))
            assert (await refusal(one.commit(Create("g/other"), operation))).startswith(f"{named}: ")
            assert await one.children("g") == ("a", "short")

        run(test)

    def test_an_ephemeral_node_names_its_session_and_ends_with_it(self, run: Callable[[Test], None]) -> None:
        async def test(harness: Harness) -> None:
            one, two = await harness.open(), await harness.open()
            await one.ensemble.make("members")
            await one.ensemble.commit(Create("members/ap1", b"{}", ephemeral=True))
            bell = Bell()
            await two.ensemble.commit(Check("members/ap1", 0))
            node = await two.ensemble.read("members/ap1", bell)
            assert node is not None
            assert node.owner == one.ensemble.session_id
            await harness.expire(one)
            await bell.wait()
            assert await two.ensemble.read("members/ap1") is None

        run(test)

    def test_a_watch_is_told_once_of_each_kind_of_change(self, run: Callable[[Test], None]) -> None:
        async def test(harness: Harness) -> None:
            one, two = (await harness.open()).ensemble, (await harness.open()).ensemble
            await one.make("g")
            await two.make("g")
            made, changed, gone, silent = Bell(), Bell(), Bell(), Bell()
            assert await two.read("g/n", made) is None
            assert await two.children("nowhere", silent) == ()
            await one.commit(Create("g/n"))
            await made.wait()
            await two.read("g/n", changed)
            await one.commit(Create("g/n/below"))  # is no change of g/n itself
            await one.commit(Delete("g/n/below"))
            await one.commit(Put("g/n", b"x"))
            await changed.wait()
            await two.read("g/n", gone)
            await one.commit(Delete("g/n"))
            await gone.wait()
            assert (made.rang, changed.rang, gone.rang, silent.rang) == (1, 1, 1, 0)

        run(test)

    def test_a_watch_of_children_is_told_when_one_comes_or_goes(self, run: Callable[[Test], None]) -> None:
        async def test(harness: Harness) -> None:
            one, two = (await harness.open()).ensemble, (await harness.open()).ensemble
            await one.make("members/a")
            await two.make("members")
            bells = [Bell() for _ in range(4)]
            await asyncio.gather(*(two.children("members", bell) for bell in bells[:2]))
            await one.commit(Put("members/a", b"data"))  # is no change of the list
            await one.commit(Create("members/b"))
            for bell in bells[:2]:
                await bell.wait()
            assert await two.children("members", bells[2]) == ("a", "b")
            await one.commit(Delete("members/b"))
            await bells[2].wait()
            await two.children("members", bells[3])
            await one.commit(Delete("members/a"))
            await bells[3].wait()
            assert [bell.rang for bell in bells] == [1, 1, 1, 1]

        run(test)

    def test_without_contact_every_verb_fails_at_once_and_nothing_is_kept_for_later(
        self, run: Callable[[Test], None]
    ) -> None:
        async def test(harness: Harness) -> None:
            client = await harness.open()
            one = client.ensemble
            await one.make("g")
            session = one.session_id
            harness.cut(client)
            await client.until(lambda: one.state is SessionState.SUSPENDED)
            began = time.monotonic()
            for number in range(20):
                for verb in (
                    one.read("g"),
                    one.children("g"),
                    one.make("g/m"),
                    one.commit(Create(f"g/{number}")),
                ):
                    with pytest.raises(UnavailableError):
                        await verb
            assert time.monotonic() - began < 1.0
            await harness.mend(client)
            await client.until(lambda: one.state is SessionState.CONNECTED)
            await one.commit(Create("g/after"))
            left = set(await one.children("g"))
            assert left == {"after"}
            assert [state for state, _ in client.told] == [
                SessionState.CONNECTED,
                SessionState.SUSPENDED,
                SessionState.CONNECTED,
            ]
            assert one.session_id == session

        run(test)

    def test_a_session_outlives_a_short_loss_of_contact_and_what_was_missed_is_told(
        self, run: Callable[[Test], None]
    ) -> None:
        async def test(harness: Harness) -> None:
            client, other = await harness.open(), await harness.open()
            one = client.ensemble
            await one.make("g")
            await one.commit(Create("g/mine", ephemeral=True))
            data, names = Bell(), Bell()
            await one.read("g/mine", data)
            await one.children("g", names)
            harness.cut(client)
            await client.until(lambda: one.state is SessionState.SUSPENDED)
            await other.ensemble.commit(Create("g/missed"))
            assert data.rang == names.rang == 0
            await harness.mend(client)
            await client.until(lambda: one.state is SessionState.CONNECTED)
            await names.wait()
            await one.make("g")
            assert await one.children("g") == ("mine", "missed")
            assert (await existing(one, "g/mine")).owner == one.session_id
            await other.ensemble.commit(Delete("g/mine"))
            await data.wait()
            assert (data.rang, names.rang) == (1, 1)

        run(test)

    def test_after_the_end_of_a_session_there_is_a_new_one(self, run: Callable[[Test], None]) -> None:
        async def test(harness: Harness) -> None:
            client = await harness.open()
            one, first, bell = client.ensemble, client.ensemble.session_id, Bell()
            await one.make("g")
            await one.commit(Create("g/mine", ephemeral=True))
            await one.read("g/mine", bell)
            await harness.expire(client)
            await client.until(lambda: one.state is SessionState.CONNECTED and one.session_id != first)
            await bell.wait()
            await one.make("g")
            assert await one.read("g/mine") is None
            await one.commit(Create("g/mine", ephemeral=True))
            assert (await existing(one, "g/mine")).owner == one.session_id != first
            states = [state for state, _ in client.told]
            assert states[-2:] == [SessionState.LOST, SessionState.CONNECTED]
            assert client.told[-1] == (SessionState.CONNECTED, one.session_id)
            assert bell.rang == 1

        run(test)
