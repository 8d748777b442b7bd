"""Reading the whole picture of a site from ZooKeeper, and hearing when it may be another one.

Owns the nodes that are read and watched; at most one watch waits on each of them. Does not own what they mean
(``view``) nor when to look (``election``).
"""

from __future__ import annotations

import asyncio
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from era_ap.cluster.view import (
    GROUPS,
    MEMBERS,
    Claim,
    Epoch,
    Group,
    Holder,
    Member,
    View,
    beat_path,
    epoch_path,
    failsafe_path,
    leader_path,
    member_path,
    read_claim,
    read_epoch,
    read_holder,
    read_member,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from era_ap.cluster.contract import Ensemble, Node, Watch


class Looking:
    """Reads the members and the ``groups`` (those of the configuration, whether they have nodes or not).

    ``on_news`` is called whenever something that was read may have changed.
    """

    def __init__(self, ensemble: Ensemble, groups: Collection[int], on_news: Callable[[], None]) -> None:
        self._groups = groups
        self._ensemble = ensemble
        self._on_news = on_news
        self._watched: set[str] = set()

    def cover(self, groups: Collection[int]) -> None:
        """The configuration has these groups now."""
        if set(groups) != set(self._groups):
            self._groups = groups
            self._on_news()

    def begin(self) -> None:
        """There is a new session, in which nothing is watched."""
        self._watched.clear()

    async def look(self) -> View:
        """What there is now. Raises ``UnavailableError``."""
        numbers = tuple(self._groups)
        names = await self._children(MEMBERS)
        members = await asyncio.gather(*(self._member(name) for name in names))
        groups = await asyncio.gather(*(self._group(number) for number in numbers))
        return View(
            MappingProxyType({member.name: member for member in members if member is not None}),
            MappingProxyType(dict(zip(numbers, groups, strict=True))),
        )

    async def beat(self, group: int) -> int | None:
        """The version of the node of a leader's heartbeats, None if there is none; it is not watched."""
        node = await self._ensemble.read(beat_path(group))
        return None if node is None else node.version

    async def _member(self, name: str) -> Member | None:
        node = await self._read(member_path(name))
        if node is None:
            return None
        unreadable = Member(name, 0, 0, "", "", why="its node cannot be read", session=node.owner)
        return read_member(node.data, node.owner) or unreadable

    async def _group(self, number: int) -> Group:
        holder, epoch, claim, beat = await asyncio.gather(
            self._read(leader_path(number)),
            self._read(epoch_path(number)),
            self._read(failsafe_path(number)),
            self.beat(number),
        )
        return Group(
            None if holder is None else _holder(holder),
            None if epoch is None else _epoch(epoch),
            None if claim is None else _claim(claim),
            beat,
        )

    async def _read(self, path: str) -> Node | None:
        watch = self._watch(path)
        try:
            return await self._ensemble.read(path, watch)
        except BaseException:
            self._watched.discard(path)
            raise

    async def _children(self, path: str) -> tuple[str, ...]:
        watch = self._watch(path)
        try:
            names = await self._ensemble.children(path, watch)
        except BaseException:
            self._watched.discard(path)
            raise
        if not names:  # there may be no such node, which then nobody watches
            await self._ensemble.make(path)
            self._watched.discard(path)
            names = await self._ensemble.children(path, self._watch(path))
        return names

    def _watch(self, path: str) -> Watch | None:
        if path in self._watched:
            return None
        self._watched.add(path)
        return partial(self._rung, path)

    def _rung(self, path: str) -> None:
        self._watched.discard(path)
        self._on_news()


# What cannot be read counts as empty; it must have its place, so that it is replaced and not missed.


def _holder(node: Node) -> Holder:
    return read_holder(node.data, node.owner) or Holder("", "", 0, session=node.owner)


def _epoch(node: Node) -> Epoch:
    unreadable = Epoch(0, version=node.version, zxid=node.mzxid)
    return read_epoch(node.data, node.version, node.mzxid) or unreadable


def _claim(node: Node) -> Claim:
    return read_claim(node.data, node.version) or Claim(version=node.version)


async def make_parents(ensemble: Ensemble, group: int) -> None:
    """The nodes without which an instance could not register, nor its group have a leader."""
    await ensemble.make(MEMBERS)
    await ensemble.make(f"{GROUPS}/{group}")
