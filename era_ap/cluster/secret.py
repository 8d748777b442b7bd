"""The secret that all instances of a site share: made by the first one, kept in ZooKeeper, known after that.

Owns the finding and making of it. What is known stays known without ZooKeeper; where that was emptied, it is
made again as it was, so that addresses that phones were given keep their worth. Does not own what it is good
for (``questions.derive``).
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from era_ap.cluster.contract import Create, RefusedWriteError, SessionState, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.cluster.contract import Ensemble

PATH: Final = "secret"
BYTES: Final = 32
RETRY_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 30.0


class Secret:
    """Follows the secret in ``ensemble``; ``on_secret`` is told the one that counts, each once.

    The first may be the ``known`` one of an earlier process, b"" without any.
    """

    def __init__(self, ensemble: Ensemble, known: bytes, on_secret: Callable[[bytes], None]) -> None:
        self._ensemble = ensemble
        self._on_secret = on_secret
        self._known = b""
        self._following: asyncio.Task[None] | None = None
        if len(known) == BYTES:
            self._take(known)

    def start(self) -> None:
        """Follow it from now on."""
        self._following = asyncio.ensure_future(self._follow())

    def close(self) -> None:
        """Follow it no more."""
        if self._following is not None:
            self._following.cancel()

    async def _follow(self) -> None:
        while True:
            changed = asyncio.Event()
            pause = RETRY_SECONDS
            if self._ensemble.state is SessionState.CONNECTED:
                with suppress(UnavailableError, RefusedWriteError):
                    if await self._look(changed):
                        pause = LOOK_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), pause)

    async def _look(self, changed: asyncio.Event) -> bool:
        """Whether it is there; made where it is not. Raises what the ensemble raises."""
        node = await self._ensemble.read(PATH, changed.set)
        if node is None:
            await self._ensemble.make("")
            await self._ensemble.commit(Create(PATH, self._known or secrets.token_bytes(BYTES)))
            node = await self._ensemble.read(PATH, changed.set)
        if node is None or len(node.data) != BYTES:
            return False
        self._take(node.data)
        return True

    def _take(self, secret: bytes) -> None:
        if secret != self._known:
            self._known = secret
            self._on_secret(secret)
