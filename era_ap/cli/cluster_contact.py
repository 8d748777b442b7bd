"""How ``era-ap cluster`` gets its facts: a short connection to ZooKeeper, or the instances' own word.

Owns the waiting and the reasons why nothing came. Does not own what is asked.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import structlog

from era_ap.cluster.contract import SessionState, UnavailableError
from era_ap.cluster.zookeeper import ZooKeeper
from era_ap.settings import own_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from era_ap.cluster.access import Access
    from era_ap.cluster.contract import Ensemble
    from era_ap.config import ApRole, Site

CONNECT_SECONDS = 5.0
ASK_SECONDS = 2.0


class Unreachable(Exception):  # noqa: N818 - as Refused
    """No server of the ensemble took us in time; the text says why, server by server."""


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[Ensemble]:
    """ZooKeeper for the time of the body; raises ``Unreachable``."""
    reasons: dict[str, str] = {}

    def note(_log: object, _method: str, event: Any) -> Any:
        if "server" in event and "detail" in event:
            advice = f" ({event['advice']})" if "advice" in event else ""
            reasons[event["server"]] = f"{event['server']}: {event['detail']}{advice}"
        elif "path" in event and "advice" in event:
            reasons[event["path"]] = f"{event['path']}: {event['advice']}"
        raise structlog.DropEvent

    there = asyncio.Event()
    ensemble = ZooKeeper(
        access,
        structlog.wrap_logger(None, processors=[note]),
        lambda state, _: there.set() if state is SessionState.CONNECTED else None,
    )
    ensemble.start()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await there.wait()
        yield ensemble
    except (TimeoutError, UnavailableError) as error:
        raise Unreachable("; ".join(reasons.values()) or str(error) or "no answer in time") from None
    finally:
        await ensemble.close()


@dataclass(frozen=True, slots=True)
class Instance:
    """What one instance says of itself: ``answer`` is its /readyz document, None if there was none."""

    name: str
    url: str
    answer: dict[str, Any] | None
    detail: str = ""

    @property
    def sentence(self) -> str:
        """The same for people."""
        if self.answer is None:
            return f"does not answer: {self.detail}"
        reasons = "; ".join(str(reason) for reason in self.answer.get("reasons", ()))
        return f"{self.answer.get('status', 'answers')}{f': {reasons}' if reasons else ''}"


async def ask_instances(site: Site) -> list[Instance]:
    """Ask every ap role of the site on its management port."""
    async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False) as client:
        return list(await asyncio.gather(*(_ask(client, role) for role in site.roles)))


async def _ask(client: httpx.AsyncClient, role: ApRole) -> Instance:
    address = role.ext.management.address or own_address(role)
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{role.ext.management.port}/readyz"
    if not address or role.ext.management.port == 0:
        return Instance(role.name, url, None, "its address or port is not known here")
    try:
        answer = (await client.get(url)).json()
    except (httpx.HTTPError, ValueError) as error:
        return Instance(role.name, url, None, str(error) or type(error).__name__)
    return Instance(role.name, url, answer if isinstance(answer, dict) else None, "not a status")
