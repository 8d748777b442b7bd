"""Keeps the rows of the own directory equal to it: change by change, and anew when a whole part was replaced.

Owns the building of a new table aside, in slices of a few milliseconds, while changes go on. Does not own
the form of rows (``rows``) nor what they are for (``publisher``, ``catching_up``).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from era_ap.cluster.rows import RowTable, fill

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog

    from era_ap.cluster.buckets import Bucket
    from era_ap.cluster.rows import GroupOf, Place
    from era_ap.directory.index import DirectoryIndex
    from era_ap.directory.source import Change

SLICE_SECONDS = 0.005


class OwnRows:
    """The rows of ``index``, which must only be changed by ``apply``, or else ``replaced`` be called.

    ``on_touched`` is told which buckets may be others now; None: all.
    """

    def __init__(
        self,
        index: DirectoryIndex,
        group_of: GroupOf,
        on_touched: Callable[[frozenset[Place] | None], None],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.index = index
        self._group_of = group_of
        self._on_touched = on_touched
        self._log = log
        self._table = RowTable(group_of)
        self._is_usable = True
        self._was_filled = False
        self._next: RowTable | None = None
        self._filling: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the rows are those of a directory that was loaded whole."""
        return self._is_usable and self.index.is_complete

    @property
    def left_out(self) -> int:
        """How many rows find no place because their bucket is full."""
        return self._table.left_out

    def bucket(self, group: int, number: int) -> Bucket | None:
        """One bucket as it is now; None if it is empty."""
        return self._table.bucket(group, number)

    def apply(self, change: Change, source: str = "") -> None:
        """Apply ``change`` to the index, and to the rows as far as it shows there."""
        parts = self.index.parts
        names = {account.key.domain for account in change.accounts} | {key.domain for key in change.removed}
        names.update((domain.name for domain in change.domains), change.removed_domains)
        before = {name: parts.having(name) for name in names}
        hidden = frozenset(name for name, part in before.items() if part not in (None, parts[source]))
        visible = _without(change, hidden) if hidden else change
        touched = self._table.take(visible, self.index)
        if self._next is not None:
            self._next.take(visible, self.index)
        self.index.apply(change, source)
        if any(part is not None and parts.having(name) not in (None, part) for name, part in before.items()):
            self.replaced()  # a domain belongs to another source now
        if touched:
            self._on_touched(touched)

    def replaced(self) -> None:
        """A part of the index was replaced whole: make the rows anew. Older ones do until then."""
        self._is_usable = self._was_filled
        self.close()
        self._next = RowTable(self._group_of)
        self._filling = asyncio.ensure_future(self._fill(self._next))

    def regroup(self, group_of: GroupOf) -> None:
        """Domains may belong to other groups now; the rows are made anew only if one does."""
        before, self._group_of = self._group_of, group_of
        names = {name for part in self.index.parts for name in part.names}
        if any(before(name) != group_of(name) for name in names):
            self.replaced()
        else:
            self._table.regroup(group_of)
            if self._next is not None:
                self._next.regroup(group_of)

    def close(self) -> None:
        """Stop making rows anew."""
        if self._filling is not None:
            self._filling.cancel()
        self._filling = self._next = None

    async def _fill(self, table: RowTable) -> None:
        loop = asyncio.get_running_loop()
        begin = slice_begin = loop.time()
        try:
            for _ in fill(table, self.index.parts):
                if loop.time() - slice_begin > SLICE_SECONDS:
                    await asyncio.sleep(0)
                    slice_begin = loop.time()
        except Exception:
            self._log.exception("defect while counting the MACs of the directory")
            return
        self._table, self._next, self._filling = table, None, None
        self._is_usable = self._was_filled = True
        self._log.debug("MACs of the directory counted", seconds=round(loop.time() - begin, 3))
        self._on_touched(None)


def _without(change: Change, hidden: frozenset[str]) -> Change:
    """The part of a change that is not about ``hidden`` domains."""
    return replace(
        change,
        accounts=tuple(account for account in change.accounts if account.key.domain not in hidden),
        removed=tuple(key for key in change.removed if key.domain not in hidden),
        domains=tuple(domain for domain in change.domains if domain.name not in hidden),
        removed_domains=tuple(name for name in change.removed_domains if name not in hidden),
    )
