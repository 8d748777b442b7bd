"""Looks at a slow thing (the storage, a directory) again and again without ever blocking the event loop.

Owns the pace and the telling of what changed for the worse or the better. What a look finds is handed over on
the event loop. A look that hangs keeps its one thread and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from era_ap.errors import Problem, Reason, Refused
from era_ap.health import Looks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    import structlog

Found = TypeVar("Found")

STALLED_SECONDS = 5.0


class InThread(Generic[Found]):
    """A look that calls ``scan`` in a thread of its own and ``apply`` on the loop with what it returned.

    ``scan`` returns None when nothing changed, and may raise ``Refused``.
    """

    def __init__(self, name: str, scan: Callable[[], Found | None], apply: Callable[[Found], None]) -> None:
        self._scan = scan
        self._apply = apply
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def __call__(self) -> None:
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._scan)
        if found is not None:
            self._apply(found)

    def close(self) -> None:
        """Start no further look. One that hangs is left behind; only the end of the process frees it."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class Poller:
    """Awaits ``look`` every ``interval`` seconds; it raises ``Refused`` when the thing is not readable.

    ``good_at`` is the end of the last look that found it readable (monotonic), ``is_stalled`` tells of one
    that does not come back. ``restored_at`` is the ``good_at`` of an earlier process, whose state is served.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], Awaitable[None]],
        *,
        interval: float,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.name = name
        self.interval = interval
        self.refused: Refused | None = None
        self.looked = asyncio.Event()
        self.is_stalled = False
        self.good_at: float | None = None
        self.restored_at: float | None = None
        self._look = look
        self._log = log
        self._lively_at = 0.0
        self._woken = asyncio.Event()

    async def look(self) -> None:
        """Look once."""
        looking = asyncio.ensure_future(self._look())
        try:
            await self._watch(looking)
        finally:
            looking.cancel()
        stalled, self.is_stalled = self.is_stalled, False
        try:
            looking.result()
        except Refused as refused:
            self._note(refused)
            return
        except Exception as defect:
            self._log.exception("defect while reading", what=self.name)
            self._note(Refused(Reason.INTERNAL, type(defect).__name__))
            return
        self._note(None)
        if stalled:
            self._log.info("answers again", what=self.name)
        self.good_at = time.monotonic()

    async def run(self) -> None:
        """Look for ever, ``interval`` seconds apart; ``looked`` is set after the first look."""
        while True:
            self._woken.clear()
            await self.look()
            self.looked.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self.interval)

    def wake(self) -> None:
        """Look now; if a look is under way, once more after it."""
        self._woken.set()

    def is_lively(self) -> None:
        """The look under way makes progress."""
        self._lively_at = time.monotonic()

    @property
    def looks(self) -> Looks:
        """How it is, for readiness: when a look found it readable, and what is in the way."""
        problem = str(self.refused) if self.refused is not None else ""
        return Looks(self.good_at, "does not answer" if self.is_stalled else problem, self.restored_at)

    async def _watch(self, looking: asyncio.Future[None]) -> None:
        """Wait for a look; tell if it takes long without getting anywhere."""
        self.is_lively()
        while not (await asyncio.wait({looking}, timeout=STALLED_SECONDS))[0]:
            if not self.is_stalled and time.monotonic() - self._lively_at >= STALLED_SECONDS:
                advice = "the last good state stays in service"
                self._log.error("not answering", what=self.name, advice=advice)
                self.is_stalled = True

    def _note(self, refused: Refused | None) -> None:
        before = self.refused.reason if self.refused else None
        self.refused = refused
        if refused is not None and refused.reason is not before:
            self._log.error("not readable", what=self.name, reason=refused.reason.code, detail=refused.detail)
        elif refused is None and before is not None:
            self._log.info("readable again", what=self.name)


class Teller:
    """Logs findings about ``what``: new ones once, and once when they are settled."""

    def __init__(self, what: str, log: structlog.typing.FilteringBoundLogger) -> None:
        self._what = what
        self._log = log
        self._known: frozenset[Problem] = frozenset()

    def tell(self, problems: Collection[Problem]) -> None:
        """These are all findings there are now."""
        found = frozenset(problems)
        for problem in sorted(found - self._known, key=_order):
            level = self._log.error if problem.severity.value == "error" else self._log.warning
            level(
                "problem",
                what=self._what,
                reason=problem.reason.code,
                where=problem.where,
                detail=problem.detail,
            )
        for problem in sorted(self._known - found, key=_order):
            self._log.info(
                "problem settled", what=self._what, reason=problem.reason.code, where=problem.where
            )
        self._known = found


def _order(problem: Problem) -> tuple[str, str]:
    return problem.where, problem.reason.code
