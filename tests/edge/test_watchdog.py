"""When the watchdog is fed and when it is left to bite."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from era_ap.watchdog import Watchdog


@pytest.fixture
def log() -> structlog.testing.CapturingLogger:
    return structlog.testing.CapturingLogger()


def test_it_is_fed_while_all_is_alive(log: structlog.testing.CapturingLogger) -> None:
    fed: list[str] = []
    alive = {"tftp": True, "http": True}
    dog = Watchdog(
        5.0,
        {name: lambda name=name: alive[name] for name in alive},
        log,
        lambda: fed.append("fed"),
    )
    dog.look()
    alive["http"] = False
    dog.look()
    dog.look()
    assert fed == ["fed"]
    (told,) = log.calls
    assert told.kwargs["what"] == ["http"]
    alive["http"] = True
    dog.look()
    assert fed == ["fed", "fed"]


def test_it_is_fed_again_and_again_until_it_is_stopped(log: structlog.testing.CapturingLogger) -> None:
    async def live() -> int:
        enough = asyncio.Event()
        fed = 0

        def feed() -> None:
            nonlocal fed
            fed += 1
            if fed == 3:
                enough.set()

        dog = Watchdog(0.001, {}, log, feed)
        dog.start()
        await asyncio.wait_for(enough.wait(), 10)
        dog.stop()
        at_the_end = fed
        await asyncio.sleep(0.01)
        return fed - at_the_end

    assert asyncio.run(live()) == 0
