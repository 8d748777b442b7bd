"""The poller: news are applied on the loop, findings are told once, a look that hangs blocks nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest
import structlog

from era_ap import poller as poller_module
from era_ap.errors import Problem, Reason, Refused
from era_ap.poller import Poller

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


def watch(thing: Thing, times: int) -> list[dict[str, object]]:
    async def run() -> None:
        poller = Poller(
            "thing", thing.scan, thing.applied.append, lambda: thing.problems, interval=0.0, log=log
        )
        for _ in range(times):
            await poller.look()
        poller.close()

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
        poller = Poller(
            "thing", thing.scan, thing.applied.append, tuple, interval=0.0, log=structlog.get_logger()
        )
        for _ in range(3):
            await poller.look()
            seen.append(poller.looks)
        poller.close()

    with structlog.testing.capture_logs():
        asyncio.run(run())
    never, good, lost = seen
    assert (never.good_at, never.problem) == (None, "storage-unavailable: gone")
    assert good.good_at is not None
    assert good.problem == ""
    assert (lost.good_at, lost.problem) == (good.good_at, never.problem)


def test_a_problem_is_told_once_and_when_it_is_settled() -> None:
    thing = Thing("a", "b", "c")
    thing.problems = (PROBLEM,)

    async def run() -> None:
        poller = Poller(
            "thing", thing.scan, thing.applied.append, lambda: thing.problems, interval=0.0, log=log
        )
        await poller.look()
        await poller.look()
        thing.problems = ()
        await poller.look()
        poller.close()

    with structlog.testing.capture_logs() as captured:
        log = structlog.get_logger()
        asyncio.run(run())
    assert [(entry["event"], entry["reason"]) for entry in captured] == [
        ("problem", "template-syntax"),
        ("problem settled", "template-syntax"),
    ]


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
        poller = Poller("thing", scan, applied.append, tuple, interval=0.0, log=log)
        looking = asyncio.ensure_future(poller.look())
        while not captured:
            turned.append(1)
            await asyncio.sleep(0.001)
        during = poller.looks.problem
        release.set()
        await looking
        after = poller.looks.problem
        poller.close()

    with structlog.testing.capture_logs() as captured:
        log = structlog.get_logger()
        asyncio.run(run())
    assert turned
    assert (during, after) == ("does not answer", "")
    assert applied == ["late"]
    assert [entry["event"] for entry in captured] == ["not answering", "answers again"]
