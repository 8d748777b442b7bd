"""A large directory is taken over without holding up the loop that serves phones."""

from __future__ import annotations

import asyncio
import time

import structlog

from era_ap.directory.feed import DirectoryFeed
from era_ap.directory.index import Phone
from era_ap.directory.source import MOST, PIECE
from tests.benchmarks.index import mac, pieces
from tests.benchmarks.take_over import Pieces

ACCOUNTS = 20_000


def test_nobody_waits_long_while_20_000_accounts_are_taken_over_and_again() -> None:
    """Phones are looked up all the while; what is measured is computing, whatever else the machine does."""

    async def run() -> None:
        source = Pieces(list(pieces(ACCOUNTS, 100)))
        feed = DirectoryFeed((source,), lambda: None, tuple, interval=1.0, log=structlog.get_logger())
        await feed.pollers[0].look()
        for change in source.changes:
            assert len(change.accounts) <= MOST
        looking = asyncio.ensure_future(feed.pollers[0].look())
        asked = 0
        while not looking.done():
            begin = time.thread_time()
            await asyncio.sleep(0)
            held_up.append(time.thread_time() - begin)
            assert isinstance(feed.index.phone_of(mac(asked * 7 % ACCOUNTS)), Phone)
            asked += 1
        assert asked > ACCOUNTS / PIECE

    held_up: list[float] = []
    with structlog.testing.capture_logs():
        asyncio.run(run())
    assert max(held_up) < 0.1
