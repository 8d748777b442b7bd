"""Looks at a slow thing (the storage, the directory) again and again without ever blocking the event loop.

Owns one thread, the pace, and the telling of what changed for the worse or the better. What a look finds is
handed over on the event loop, whole. A look that hangs keeps its one thread and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

from era_ap.errors import Problem, Reason, Refused
from era_ap.health import Looks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import structlog

Found = TypeVar("Found")

STALLED_SECONDS = 5.0


class Poller(Generic[Found]):
    """Calls ``scan`` in a thread every ``interval`` seconds and ``apply`` on the loop with what it returned.

    ``scan`` returns None when nothing changed and raises ``Refused`` when the thing is not readable.
    ``problems`` gives the current findings; new and settled ones are logged once each. ``good_at`` is the end
    of the last look that found it readable (monotonic), ``is_stalled`` tells of one that does not come back.
    """

    def __init__(
        self,
        name: str,
        scan: Callable[[], Found | None],
        apply: Callable[[Found], None],
        problems: Callable[[], Sequence[Problem]],
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
        self._scan = scan
        self._apply = apply
        self._problems = problems
        self._known: frozenset[Problem] = frozenset()
        self._log = log
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def look(self) -> None:
        """Look once and apply what was found."""
        loop = asyncio.get_running_loop()
        looking = loop.run_in_executor(self._thread, self._scan)
        while not (await asyncio.wait({looking}, timeout=STALLED_SECONDS))[0]:
            if not self.is_stalled:
                self._log.error(
                    "not answering", what=self.name, advice="the last good state stays in service"
                )
                self.is_stalled = True
        stalled, self.is_stalled = self.is_stalled, False
        try:
            found = looking.result()
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
        if found is not None:
            self._apply(found)
        self.good_at = time.monotonic()
        self._tell()

    async def run(self) -> None:
        """Look for ever, ``interval`` seconds apart; ``looked`` is set after the first look."""
        while True:
            await self.look()
            self.looked.set()
            await asyncio.sleep(self.interval)

    @property
    def looks(self) -> Looks:
        """How it is, for readiness: when a look found it readable, and what is in the way."""
        if self.is_stalled:
            return Looks(self.good_at, "does not answer")
        return Looks(self.good_at, str(self.refused) if self.refused is not None else "")

    def close(self) -> None:
        """Start no further look. One that hangs is left behind; only the end of the process frees it."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _note(self, refused: Refused | None) -> None:
        before = self.refused.reason if self.refused else None
        self.refused = refused
        if refused is not None and refused.reason is not before:
            self._log.error("not readable", what=self.name, reason=refused.reason.code, detail=refused.detail)
        elif refused is None and before is not None:
            self._log.info("readable again", what=self.name)

    def _tell(self) -> None:
        found = frozenset(self._problems())
        for problem in sorted(found - self._known, key=_order):
            level = self._log.error if problem.severity.value == "error" else self._log.warning
            level(
                "problem",
                what=self.name,
                reason=problem.reason.code,
                where=problem.where,
                detail=problem.detail,
            )
        for problem in sorted(self._known - found, key=_order):
            self._log.info("problem settled", what=self.name, reason=problem.reason.code, where=problem.where)
        self._known = found


def _order(problem: Problem) -> tuple[str, str]:
    return problem.where, problem.reason.code
