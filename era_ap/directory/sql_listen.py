"""Being told by PostgreSQL, over LISTEN/NOTIFY, that a transaction has changed the directory.

Owns one connection beside the pool, which is made again when it is lost. A speed-up only: behind a proxy
that shares connections nothing is ever heard, and looks at intervals find everything all the same.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from era_ap.directory.sql_connect import Connector, Use, abort
from era_ap.directory.sql_failures import FAILURES
from era_ap.directory.sql_schema import CHANNEL
from era_ap.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.config.directory import SqlDatabase

RETRY_SECONDS = 5.0


class Listener:
    """Calls ``wake`` on the event loop at each NOTIFY; ``ensure`` is to be called now and then."""

    def __init__(self, settings: SqlDatabase, wake: Callable[[], None]) -> None:
        self._connector = Connector(settings, Use.READ)
        self._seconds = settings.seconds
        self._wake = wake
        self._connection: Any = None
        self._connecting: asyncio.Task[None] | None = None
        self._tried = float("-inf")

    @property
    def hears(self) -> bool:
        """Whether there is a connection that listens."""
        return self._connection is not None and not self._connection.is_closed()

    def ensure(self) -> None:
        """Begin to connect if there is no connection, but not all the time."""
        busy = self._connecting is not None and not self._connecting.done()
        now = time.monotonic()
        if not busy and not self.hears and now - self._tried >= RETRY_SECONDS:
            self._tried = now
            self._connecting = asyncio.ensure_future(self._connect())

    async def close(self) -> None:
        """Listen no more."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._connection is not None:
            abort(self._connection)
        self._connector.close()

    async def _connect(self) -> None:
        made: Any = None
        try:
            made = await self._connector()
            async with asyncio.timeout(self._seconds):
                await made.add_listener(CHANNEL, self._heard)
        except (Refused, *FAILURES):
            if made is not None:
                abort(made)
            return
        except asyncio.CancelledError:
            if made is not None:
                abort(made)
            raise
        finally:
            self._connector.unfinished.discard(made)
        self._connection = made
        self._wake()  # something may have happened before we listened

    def _heard(self, *_: object) -> None:
        self._wake()
