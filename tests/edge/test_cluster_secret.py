"""The secret of the site: one for all instances, known on without ZooKeeper and after it was emptied."""

from __future__ import annotations

import asyncio

from era_ap.cluster.secret import Secret
from tests.fake_ensemble import FakeEnsemble, Servers


class Told:
    """Who is told secrets, and can be waited for."""

    def __init__(self) -> None:
        self.secrets: list[bytes] = []
        self._news = asyncio.Event()

    def __call__(self, secret: bytes) -> None:
        self.secrets.append(secret)
        self._news.set()

    async def wait(self, count: int) -> list[bytes]:
        while len(self.secrets) < count:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 5)
        return self.secrets


def follow(ensemble: FakeEnsemble, known: bytes = b"") -> tuple[Secret, Told]:
    told = Told()
    secret = Secret(ensemble, known, told)
    secret.start()
    return secret, told


async def _first_makes_it() -> None:
    servers = Servers()
    first, told = follow(servers.connect())
    (made,) = await told.wait(1)
    assert len(made) == 32
    second, others = follow(servers.connect())
    assert await others.wait(1) == [made]
    first.close()
    second.close()


def test_the_first_instance_makes_it_and_the_second_takes_it_over() -> None:
    asyncio.run(_first_makes_it())


async def _emptied() -> None:
    servers = Servers()
    kept = bytes(range(32))
    client = servers.connect()
    client.suspend()
    secret, told = follow(client, kept)
    assert told.secrets == [kept], "before ZooKeeper is there"
    client.resume()
    other, others = follow(servers.connect(), b"too short")
    assert await others.wait(1) == [kept], "made again as it was"
    assert told.secrets == [kept], "told once"
    secret.close()
    other.close()


def test_what_was_known_counts_without_zookeeper_and_is_made_again_as_it_was() -> None:
    asyncio.run(_emptied())


async def _another() -> None:
    servers = Servers()
    first, told = follow(servers.connect())
    (made,) = await told.wait(1)
    second, others = follow(servers.connect(), bytes(32))
    assert await others.wait(2) == [bytes(32), made], "what stands in ZooKeeper counts"
    first.close()
    second.close()


def test_what_stands_in_zookeeper_counts() -> None:
    asyncio.run(_another())
