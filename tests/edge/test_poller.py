"""The poller: news are applied on the loop, findings are told once, a look that hangs blocks nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest
import structlog

from era_ap import poller as poller_module
from era_ap.errors import Problem, Reason, Refused
from era_ap.poller import InThread, Poller, Teller

PROBLEM = Problem(Reason.TEMPLATE_SYNTAX, "templates/a.cfg:1", "never closed")


class Thing:
    """Something to look at: ``looks`` are what successive looks return or raise."""

    def __init__(self, *looks: object) -> None:
        self.looks = list(looks)
        self.applied: list[object] = []
        self.problems: tuple[Problem, ...] = ()
        self.threads: set[str] = set()

    def scan(self) -> object:
        self.threads.add(threading.current_thread().name)
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        return look


def poller_of(thing: Thing, log: object, **more: object) -> tuple[Poller, InThread[object]]:
    look = InThread("thing", thing.scan, thing.applied.append)
    return Poller("thing", look, **({"interval": 0.0, "log": log} | more)), look  # type: ignore[arg-type]


def watch(thing: Thing, times: int) -> list[dict[str, object]]:
    async def run() -> None:
        poller, look = poller_of(thing, log)
        for _ in range(times):
            await poller.look()
        look.close()

    with structlog.testing.capture_logs() as captured:
        log = structlog.get_logger()
        asyncio.run(run())
    return list(captured)


def test_news_are_applied_and_no_news_are_not() -> None:
    thing = Thing("one", None, "two")
    assert watch(thing, 3) == []
    assert thing.applied == ["one", "two"]
    assert all(name.startswith("thing") for name in thing.threads)


def test_a_thing_that_cannot_be_read_is_told_once_and_so_is_its_return() -> None:
    away = Refused(Reason.STORAGE_UNAVAILABLE, "gone")
    logged = watch(Thing("one", away, away, None), 4)
    assert [entry["event"] for entry in logged] == ["not readable", "readable again"]
    assert logged[0]["reason"] == "storage-unavailable"


def test_readiness_hears_of_the_last_good_look_and_of_what_is_in_the_way() -> None:
    away = Refused(Reason.STORAGE_UNAVAILABLE, "gone")
    thing = Thing(away, "one", away)
    seen = []

    async def run() -> None:
        poller, look = poller_of(thing, structlog.get_logger())
        for _ in range(3):
            await poller.look()
            seen.append(poller.looks)
        look.close()

    with structlog.testing.capture_logs():
        asyncio.run(run())
    never, good, lost = seen
    assert (never.good_at, never.problem) == (None, "storage-unavailable: gone")
    assert good.good_at is not None
    assert good.problem == ""
    assert (lost.good_at, lost.problem) == (good.good_at, never.problem)


def test_a_problem_is_told_once_and_when_it_is_settled() -> None:
    with structlog.testing.capture_logs() as captured:
        teller = Teller("thing", structlog.get_logger())
        teller.tell((PROBLEM,))
        teller.tell((PROBLEM,))
        teller.tell(())
    assert [(entry["event"], entry["reason"]) for entry in captured] == [
        ("problem", "template-syntax"),
        ("problem settled", "template-syntax"),
    ]


def test_a_poller_that_is_woken_looks_before_its_time() -> None:
    looks = []

    async def run() -> None:
        async def look() -> None:
            looks.append(1)
            looked.set()

        looked = asyncio.Event()
        poller = Poller("thing", look, interval=3600.0, log=structlog.get_logger())
        running = asyncio.ensure_future(poller.run())
        for _ in range(3):
            await looked.wait()
            looked.clear()
            poller.wake()
        running.cancel()

    asyncio.run(asyncio.wait_for(run(), 10))
    assert len(looks) == 3


def test_a_long_look_that_makes_progress_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller_module, "STALLED_SECONDS", 0.05)

    async def run() -> None:
        async def look() -> None:
            for _ in range(30):
                await asyncio.sleep(0.01)
                poller.is_lively()

        poller = Poller("thing", look, interval=0.0, log=structlog.get_logger())
        await poller.look()

    with structlog.testing.capture_logs() as captured:
        asyncio.run(run())
    assert captured == []


def test_a_look_of_a_poller_that_ends_is_ended() -> None:
    ended = []

    async def run() -> None:
        async def look() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(True)

        poller = Poller("thing", look, interval=0.0, log=structlog.get_logger())
        running = asyncio.ensure_future(poller.run())
        for _ in range(3):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert ended == [True]


def test_a_defect_in_looking_is_logged_and_the_poller_goes_on() -> None:
    thing = Thing(ZeroDivisionError("x"), "next")
    logged = watch(thing, 2)
    assert logged[0]["event"] == "defect while reading"
    assert thing.applied == ["next"]


def test_a_look_that_hangs_leaves_the_loop_turning_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller_module, "STALLED_SECONDS", 0.01)
    release = threading.Event()
    turned = []
    during, after = "", "not asked"

    def scan() -> str:
        assert release.wait(10)
        return "late"

    applied: list[str] = []

    async def run() -> None:
        nonlocal during, after
        look = InThread("thing", scan, applied.append)
        poller = Poller("thing", look, interval=0.0, log=log)
        looking = asyncio.ensure_future(poller.look())
        while not captured:
            turned.append(1)
            await asyncio.sleep(0.001)
        during = poller.looks.problem
        release.set()
        await looking
        after = poller.looks.problem
        look.close()

    with structlog.testing.capture_logs() as captured:
        log = structlog.get_logger()
        asyncio.run(run())
    assert turned
    assert (during, after) == ("does not answer", "")
    assert applied == ["late"]
    assert [entry["event"] for entry in captured] == ["not answering", "answers again"]
