"""Writes local state without end until it is killed: ``python state_writer.py FOLDER``.

Every transaction carries one number in all that it writes: 100 accounts, the cursor of their source, a named
row. A line on standard output tells of each.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

import structlog

from era_ap.directory.feed import DirectoryFeed
from era_ap.directory.model import Account, read_account
from era_ap.directory.saved import DirectoryKeeper, restore
from era_ap.directory.source import Change
from era_ap.state import State


def account(login: str, number: int) -> Account:
    document = {"number": number, "padding": f"{number}-" * (number % 50)}
    read, _ = read_account("a.com", login, document, origin=login, revision=str(number))
    assert read is not None
    return read


class Numbers:
    """A source whose every look changes all accounts."""

    name = "fake"
    poll_seconds: float | None = None
    whole = False

    def __init__(self, number: int) -> None:
        self.number = number
        self.whole = number == 0

    @property
    def cursor(self) -> str | None:
        return str(self.number)

    def restore(self, cursor: str) -> None:
        self.number = int(cursor)

    def on_news(self, wake: Callable[[], None]) -> None: ...

    async def look(self, take: Callable[[Change], None], *, domains: Collection[str] | None = None) -> None:
        self.whole = self.number == 0
        self.number += 1
        take(Change(tuple(account(f"{each:04}", self.number) for each in range(100))))

    async def close(self) -> None: ...


async def main(folder: Path) -> None:
    state = State(folder, "ap1", "lab", structlog.get_logger())
    state.claim()
    found = restore(await state.load(), "fake")
    source = Numbers(int(found.cursor) if found is not None and found.cursor else 0)
    feed = DirectoryFeed((source,), lambda: None, tuple, interval=1.0, log=structlog.get_logger())
    keeper = DirectoryKeeper(feed)
    if found is not None:
        keeper.restored(source, found)
        feed.restored(source, found.part, time.monotonic(), complete=True)
    state.keepers.append(keeper)
    while True:
        await feed.pollers[0].look()
        state.put("number", "now", str(source.number).encode())
        await state.save()
        sys.stdout.write(f"{source.number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(Path(sys.argv[1])))
