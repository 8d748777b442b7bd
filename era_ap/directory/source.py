"""What a directory back end is to the rest of the daemon: a ``Source`` of ``Change``s.

Owns the contract between back ends (YAML files, SQL) and those who look at them (``feeds``, ``offline``).
Does not own what is kept of the changes (``index``), the pace of looking or the telling of failures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from era_ap.directory.model import Account, AccountKey, Domain
    from era_ap.errors import Problem

PIECE = 500
"""Accounts that a source best hands over at once; ``MOST`` is the limit. 500 take about 10 ms of the loop."""

MOST = 2000


@dataclass(frozen=True, slots=True)
class Change:
    """What a source saw change, or one piece of it. What has a revision that is known already has no effect.

    ``problems`` is the full list of the source's findings, not a delta; of several pieces of one look the
    last one's counts. ``unknown`` are accounts that are there and cannot be read now, and domains (by name)
    whose settings cannot, or by ``lost`` nothing at all: a whole look does not mean that they are gone.
    """

    accounts: tuple[Account, ...] = ()
    removed: tuple[AccountKey, ...] = ()
    domains: tuple[Domain, ...] = ()
    removed_domains: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    unknown: tuple[AccountKey | str, ...] = ()
    lost: tuple[str, ...] = ()


class Source(Protocol):
    """One back end. All methods are called on the event loop, never two looks at the same time.

    A domain without settings is handed over too, with empty ones: it says that this source has the domain.
    """

    @property
    def name(self) -> str:
        """For messages, metrics and local state: the place without credentials (``yaml:/srv/directory``).

        Unique among the sources of a site, and the same after a restart.
        """
        ...

    @property
    def poll_seconds(self) -> float | None:
        """Pause between two looks that the configuration gives this source; None: the role's."""
        ...

    @property
    def whole(self) -> bool:
        """Whether the present look, or the last one, hands over everything: what it does not name is gone.

        Settled before the first ``take`` of a look. A whole look that fails is forgotten with all its pieces,
        and the next one is whole again.
        """
        ...

    @property
    def cursor(self) -> str | None:
        """Where the next look goes on, to be given to ``restore`` after a restart.

        Moves only when a look has succeeded. None: this source cannot go on; it reads all after a restart.
        """
        ...

    def restore(self, cursor: str) -> None:
        """Go on at ``cursor``; called at most once, before the first look, by who has all up to there.

        A cursor that is not understood, or too old to go on from, makes the next look a whole one.
        """
        ...

    def on_news(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called, on the event loop, whenever the source learns by itself that a look pays.

        A speed-up only (LISTEN/NOTIFY); looks come all the same. Called at most once, before the first look.
        """
        ...

    async def look(self, take: Callable[[Change], None], *, domains: Collection[str] | None = None) -> None:
        """Look once; ``take`` is called with the news in pieces, not at all if there are none.

        The first look hands over everything, except after ``restore``. Pieces have about ``PIECE`` accounts
        and at most ``MOST``, with the loop let go in between; a whole look's best come domain by domain, in
        order of login. ``take`` is never called after ``look`` has ended, however it ended.

        With ``domains`` only these need be looked at, now, as somebody knows that they changed; such a look
        is not ``whole`` (unless it is the first one, which takes no notice of ``domains``) and leaves the
        ``cursor`` where it is.

        Raises:
            Refused: DIRECTORY_UNAVAILABLE if it cannot be read now, told within the source's time limit.
        """
        ...

    async def close(self) -> None:
        """Let go of threads and connections; a look that hangs is left behind. Never raises."""
        ...
