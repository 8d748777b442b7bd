"""The delay of the event loop: measured afterwards, the worst remembered for a while."""

from __future__ import annotations

import asyncio
import time

from era_ap.lag import EVERY_SECONDS, REMEMBERED_SECONDS, LoopLag


def test_the_worst_of_late_is_remembered_and_forgotten() -> None:
    lag = LoopLag(lambda _: None)
    assert lag.worst(0.0) == 0.0
    for now, delay in ((1.0, 0.1), (2.0, 0.7), (3.0, 0.2), (4.0, 0.3), (5.0, 0.1)):
        lag.note(delay, now)
    assert lag.worst(5.0) == 0.7
    assert lag.worst(2.0 + REMEMBERED_SECONDS + 0.1) == 0.3
    assert lag.worst(4.0 + REMEMBERED_SECONDS + 0.1) == 0.1
    assert lag.worst(100.0) == 0.0


def test_a_loop_that_is_held_up_is_found_out() -> None:
    seen: list[float] = []
    lag = LoopLag(seen.append)

    async def run() -> float:
        lag.start()
        asyncio.get_running_loop().call_later(2.5 * EVERY_SECONDS, time.sleep, 0.4)  # what is measured
        await asyncio.sleep(4 * EVERY_SECONDS)
        lag.stop()
        measured = len(seen)
        await asyncio.sleep(2 * EVERY_SECONDS)
        assert len(seen) == measured
        return lag.worst(time.monotonic())

    assert asyncio.run(run()) >= 0.25
    assert min(seen) >= 0.0
