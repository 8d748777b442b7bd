"""Asks name servers, in the background and never in the way of a request that has an answer already.

Owns the look-ups (dnspython on the event loop) and their limits. The policy, what to ask and when, is
``provisioning.addresses``.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING

import dns.asyncresolver
import dns.exception
import dns.resolver

from era_ap.provisioning.addresses import TTL_CEILING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from era_ap.provisioning.addresses import AddressBook

LIMIT_SECONDS = 2.0
AT_ONCE = 8


class Resolver:
    """Keeps an ``AddressBook`` fresh. ``servers`` are addresses of name servers; none: the system's."""

    def __init__(
        self, book: AddressBook, now: Callable[[], float], servers: Sequence[str] = (), *, port: int = 53
    ) -> None:
        self._book = book
        self._now = now
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._resolver = _stub(servers, port)

    async def ask(self, names: Iterable[str]) -> None:
        """Ask for ``names`` and wait for the answers, ``LIMIT_SECONDS`` at most.

        A name whose answer is late counts as one without an address until the answer comes.
        """
        tasks = {self._start(name): name for name in names}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=LIMIT_SECONDS)
        for task in late:
            self._book.fail(tasks[task], self._now())

    async def refresh(self) -> None:
        """Ask for what is due; returns when all of it is answered or has failed."""
        await self.ask(self._book.due(self._now()))

    def close(self) -> None:
        """End what is under way."""
        for task in self._asking.values():
            task.cancel()

    def _start(self, name: str) -> asyncio.Task[None]:
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.ensure_future(self._look_up(name))
            task.add_done_callback(lambda _: self._asking.pop(name, None))
        return task

    async def _look_up(self, name: str) -> None:
        literal = _as_address(name)
        if literal is not None:
            self._book.learn(name, (literal,), TTL_CEILING, self._now())
            return
        async with self._gate:
            try:
                addresses, ttl = await self._query(name)
            except (dns.exception.DNSException, OSError, ValueError):
                # also a name that is no host name: the template shows it as a warning, not as a defect
                addresses, ttl = (), 0.0
        self._book.learn(name, addresses, ttl, self._now())

    async def _query(self, name: str) -> tuple[tuple[str, ...], float]:
        """Addresses in the order of the answer: IPv4, and IPv6 only where there is no IPv4 (phones)."""
        for kind in ("A", "AAAA"):
            try:
                answer = await self._resolver.resolve(name, kind, lifetime=LIMIT_SECONDS, search=False)
            except dns.resolver.NoAnswer:
                continue
            assert answer.rrset is not None
            return tuple(record.address for record in answer), float(answer.rrset.ttl)
        return (), 0.0


def _stub(servers: Sequence[str], port: int) -> dns.asyncresolver.Resolver:
    if servers:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = list(servers)
        resolver.port = port
        return resolver
    try:
        return dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return dns.asyncresolver.Resolver(configure=False)


def _as_address(name: str) -> str | None:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None
