"""Wires one role to the others of its site: session, leadership, notices, MAC cache, the secret they share.

Owns what each part is told of the others, and in which order: who begins to lead answers phones first and
publishes then. Without ``zookeeper`` in the configuration a role is alone and may do everything. Decides
nothing (``cluster.election``).
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING

from era_ap import __version__
from era_ap.cluster.access import Access
from era_ap.cluster.beats import Beats
from era_ap.cluster.coordination import Coordination
from era_ap.cluster.mac_cache import KEPT_AS, Directory, MacCache, Sharing, keeper_of, looked_at, take_up
from era_ap.cluster.peers import ASK_PATH, Peers, write_peer
from era_ap.cluster.questions import derive
from era_ap.cluster.responsibility import responsibility_of
from era_ap.cluster.secret import Secret
from era_ap.cluster.situation import Policy
from era_ap.cluster.standalone import Standalone
from era_ap.cluster.view import Member
from era_ap.cluster.zookeeper import ZooKeeper
from era_ap.web.management import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import structlog

    from era_ap.cluster.contract import SessionState
    from era_ap.cluster.coordinator import Coordinator
    from era_ap.cluster.failsafe import Answer, Ask
    from era_ap.config import ApRole, Site
    from era_ap.discovery import Discovery
    from era_ap.feeds import Feeds
    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.readiness import Readiness
    from era_ap.state import State
    from era_ap.web.management import Asked, Management, Pages

OWNER = "cluster"
"""Whose rows of local state these are."""

TURN_SECONDS = 1.0


class Clustering:
    """One role among the instances of its site, or alone; ``coordinator`` is there from ``start`` on.

    ``on_key`` is told the key with which all instances sign addresses for phones. Raises ``Refused`` where
    the password or a certificate for ZooKeeper cannot be used.
    """

    def __init__(
        self,
        site: Site,
        role: ApRole,
        state: State,
        provisioner: Provisioner,
        on_key: Callable[[bytes], None],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.coordinator: Coordinator | None = None
        self._role = role
        self._state = state
        self._log = log
        self._instance = uuid.uuid4().hex
        self._beats: Beats | None = None
        self._judging: asyncio.Task[None] | None = None
        self._company: _Company | None = None
        if site.zookeeper is not None:
            self._company = _Company(site, role, state, provisioner, on_key, log)

    # --- what PnP and others ask

    def may_answer(self, domain: str) -> bool:
        """Whether PnP of phones of ``domain`` is ours at this moment."""
        return self.coordinator is not None and self.coordinator.may_answer(domain)

    def may_send(self, now: float) -> bool:
        """Whether a datagram of PnP may go out at this moment."""
        return self._beats is not None and self._beats.may_send(now)

    def announce(self, keys: Sequence[bytes]) -> None:
        """We answer these SUBSCRIBEs: the others need not."""
        if self._beats is not None:
            self._beats.announce(keys)

    @property
    def cache(self) -> MacCache | None:
        """The MAC cache; None without ZooKeeper."""
        return self._company.cache if self._company is not None else None

    @property
    def pages(self) -> Pages:
        """What other instances ask on the management port."""
        return {("POST", ASK_PATH): self._company.answer} if self._company is not None else {}

    # --- from start to end

    async def start(
        self, feeds: Feeds, discovery: Discovery, management: Management, readiness: Readiness
    ) -> None:
        """Take part from now on; does not wait for ZooKeeper. Local state must be loaded."""
        saved = self._state.take(OWNER)
        identity = saved.get("identity", b"").decode("ascii", "replace") or uuid.uuid4().hex
        self._state.put(OWNER, "identity", identity.encode())
        own = _member(self._role, identity, self._instance, write_peer(*management.where))
        company = self._company
        coordinator = self.coordinator = company.meet(own) if company is not None else Standalone(own)
        seconds = self._role.ext.cluster.session_seconds
        beats = self._beats = Beats(coordinator, own.name, own.instance, own.group, seconds, self._log)
        beats.pnp = discovery
        if management.notices is not None:
            beats.listen(management.notices)
        coordinator.follow(beats)
        self._judging = asyncio.ensure_future(readiness.tell_fitness(coordinator.set_fit))
        if company is not None:
            await company.join(feeds, beats, saved.get("secret", b""))
        await coordinator.start()

    async def leave(self) -> None:
        """Stop acting and let others take over at once."""
        if self.coordinator is not None:
            await self.coordinator.leave()
        if self._company is not None:
            await self._company.leave()

    def close(self) -> None:
        """End everything at once."""
        if self._judging is not None:
            self._judging.cancel()
        for part in (self._company, self._beats, self.coordinator):
            if part is not None:
                part.close()

    def replace(self, site: Site) -> None:
        """Groups and their domains may be others now; all else of the cluster waits for a restart."""
        if self._company is not None:
            self._company.replace(site)


class _Company:
    """What there is only with ZooKeeper."""

    cache: MacCache | None = None

    def __init__(
        self,
        site: Site,
        role: ApRole,
        state: State,
        provisioner: Provisioner,
        on_key: Callable[[bytes], None],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._site = site
        self._role = role
        self._state = state
        self._provisioner = provisioner
        self._on_key = on_key
        self._log = log
        self._ensemble = ZooKeeper(Access.of(site, role), log, self._on_session)
        self._secret: Secret | None = None
        self._turning: asyncio.Task[None] | None = None

    def meet(self, own: Member) -> Coordination:
        """Be the member ``own``."""
        cluster = self._role.ext.cluster
        policy = Policy(cluster.hold_down_seconds, cluster.failsafe, round(time.time() * 1000))
        self._peers = Peers(own.instance, self._promise)
        self._coordination = Coordination(
            self._ensemble,
            own,
            policy,
            responsibility_of(self._site.roles),
            {role.group for role in self._site.roles},
            self._peers.ask,
            self._log,
        )
        return self._coordination

    async def join(self, feeds: Feeds, beats: Beats, secret: bytes) -> None:
        """Connect, and share what ``feeds`` sees of the directory; ``secret`` is what we know of old."""
        directory, coordination = feeds.directory, self._coordination
        cache = self.cache = MacCache(
            self._ensemble,
            coordination,
            Directory(directory.index, lambda: looked_at(directory.looks), time.monotonic),
            _sharing(self._site, self._role),
            on_change=directory.nudge,
            wall=time.time,
            log=self._log,
        )
        await take_up(cache, self._state.take(KEPT_AS))
        self._state.keepers.append(keeper_of(cache))
        directory.apply, directory.on_replaced = cache.own.apply, cache.own.replaced
        cache.own.replaced()
        self._provisioner.elsewhere = cache
        coordination.follow(cache)
        self._secret = Secret(self._ensemble, secret, partial(self._trust, beats))
        self._secret.start()
        self._ensemble.start()
        cache.start()
        self._turning = asyncio.ensure_future(self._keep_turning(cache, feeds))

    async def leave(self) -> None:
        """End the session."""
        await self._ensemble.close()

    def close(self) -> None:
        """Take part no more."""
        if self._turning is not None:
            self._turning.cancel()
        for part in (self._secret, self.cache):
            if part is not None:
                part.close()

    def replace(self, site: Site) -> None:
        """Divide the domains as ``site`` says."""
        self._site = site
        self._coordination.responsibility = responsibility_of(site.roles)
        self._coordination.driver.looking.cover({self._role.group, *(role.group for role in site.roles)})
        if self.cache is not None:
            self.cache.share(_sharing(site, self._role))

    def answer(self, asked: Asked) -> Page:
        """A question of another instance."""
        status, body = self._peers.answer(asked.body)
        return Page(body, status, "application/octet-stream")

    async def _keep_turning(self, cache: MacCache, feeds: Feeds) -> None:
        """Look less often at what others look at for us; tell which templates we have."""
        revision = -1
        while True:
            feeds.directory.set_pace(fast=not cache.is_fresh())
            catalogue = self._provisioner.catalogue
            if catalogue is not None and catalogue.revision != revision:
                revision = catalogue.revision
                told = [f"{name} {each.revision}" for name, each in sorted(catalogue.templates.items())]
                digest = hashlib.blake2b("\n".join(told).encode(), digest_size=6).hexdigest()
                self._coordination.announce(revision=digest)
            await asyncio.sleep(TURN_SECONDS)

    def _trust(self, beats: Beats, secret: bytes) -> None:
        self._state.put(OWNER, "secret", secret)
        self._peers.trust(secret)
        beats.trust(secret)
        self._on_key(derive(secret, "addresses"))

    def _promise(self, ask: Ask) -> Answer:
        return self._coordination.answer_peer(ask)

    def _on_session(self, _state: SessionState, _session: int) -> None:
        self._coordination.driver.observe()


def _member(role: ApRole, identity: str, instance: str, peer: str) -> Member:
    """What the others know of us; nobody is fit before it was looked at."""
    return Member(
        name=role.name,
        group=role.group,
        order=role.order,
        identity=identity,
        instance=instance,
        why="just started",
        version=__version__,
        host=socket.gethostname(),
        peer=peer,
        phones=role.ext.listen,
        since=round(time.time(), 3),
    )


def _sharing(site: Site, role: ApRole) -> Sharing:
    groups = frozenset(each.group for each in site.roles)
    return Sharing(role.group, groups, responsibility_of(site.roles).group_of)
