"""The opener: how long templates take is told, whether they are filled at once or later."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from twisted.internet.defer import Deferred

from era_ap.errors import Reason
from era_ap.provisioning.addresses import AddressBook
from era_ap.provisioning.request import Content, FileRequest, Transport
from era_ap.service import FileService
from tests.unit.memory_site import MAC, NEAR, MemorySite

REQUEST = FileRequest(f"{MAC}.cfg", NEAR, Transport.TFTP)


class Steps:
    """A clock that goes on by one step with each look."""

    def __init__(self, step: float) -> None:
        self._ticks = itertools.count()
        self._step = step

    def __call__(self) -> float:
        return next(self._ticks) * self._step


def service(step: float, told: list[float]) -> FileService:
    book = AddressBook()
    return FileService(
        MemorySite().provisioner, None, book, None, clock=Steps(step), on_rendered=told.append  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_time_a_template_took_is_told_once() -> None:
    told: list[float] = []
    opener = service(1e-6, told)
    for reason in (Reason.RENDERED, Reason.REUSED, Reason.REUSED):
        reply = opener.open(REQUEST)
        assert isinstance(reply, Content)
        assert reply.reason is reason
    assert len(told) == 1
    assert 0 < told[0] < 0.001
    opener.close()


def test_also_of_one_that_takes_longer_than_the_loop_may_wait() -> None:
    told: list[float] = []

    async def run() -> object:
        opener = service(0.06, told)
        reply = opener.open(REQUEST)
        assert isinstance(reply, Deferred)
        assert told == []
        try:
            return await reply.asFuture(asyncio.get_running_loop())
        finally:
            opener.close()

    assert isinstance(asyncio.run(run()), Content)
    assert told == [pytest.approx(told[0])]
    assert told[0] > 0.02
