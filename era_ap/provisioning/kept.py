"""Answers kept for a short time, so that a repeated request gets identical bytes at no cost (spec 5).

Owns the bounds of that memory. Whether an answer may still be given is the provisioner's to say.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from era_ap.provisioning.request import Content

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from era_ap.directory.model import AccountKey
    from era_ap.provisioning.catalogue import StaticFile
    from era_ap.provisioning.language import Template
    from era_ap.provisioning.layout import Layout
    from era_ap.provisioning.request import Refusal, Subject

KEPT_BYTES = 64 * 1024 * 1024
KEPT_ANSWERS = 50_000
OVERHEAD = 512


class Key(NamedTuple):
    """What is asked: the name as the phone wrote it, our address, the query, the MAC learned elsewhere.

    Leading slashes are left out: they mean nothing, and what was made for one transport serves the others.
    """

    name: str
    local: str = ""
    query: str = ""
    mac_hint: str = ""


class Sources(NamedTuple):
    """What a rendering was made of; equal sources give an equally good rendering.

    Accounts and domains are named with their revisions, so that nothing keeps them in memory.
    """

    templates: tuple[Template | None, ...]
    accounts: tuple[tuple[AccountKey, str], ...]
    domains: tuple[tuple[str, str | None], ...]
    site_constants: Mapping[str, str]
    bases: tuple[str, ...]
    layout: Layout | None


@dataclass(frozen=True, slots=True)
class StaticHit:
    """A ready-made file of ``configs/`` answers the request; an edge reads it."""

    entry: StaticFile
    subject: Subject


@dataclass(slots=True)
class Kept:
    """One answer: good until ``until`` (monotonic seconds) and while what it was made of is in service.

    ``files`` are the templates it was made of; a refusal and a static file have no ``sources`` and end with
    the ``revisions``.
    """

    reply: Content | Refusal | StaticHit
    until: float
    revisions: tuple[int, int, int]
    files: tuple[str, ...] = ()
    sources: Sources | None = None


class KeptAnswers:
    """At most ``KEPT_ANSWERS`` answers and ``KEPT_BYTES`` bytes; the oldest go first.

    ``get`` gives the answer kept under a key, good or not.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, ...], Kept] = OrderedDict()
        # Each request asks: this spares it a frame, and the making of a ``Key``, which a tuple equals.
        self.get: Callable[[tuple[str, ...]], Kept | None] = self._answers.get
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def put(self, key: Key, kept: Kept) -> None:
        """Keep an answer in place of an older one."""
        self._forget(key)
        self._answers[key] = kept
        self._bytes += _weight(kept)
        while len(self._answers) > KEPT_ANSWERS or self._bytes > KEPT_BYTES:
            self._forget(next(iter(self._answers)))

    def clear(self) -> None:
        """Forget all."""
        self._answers.clear()
        self._bytes = 0

    def _forget(self, key: tuple[str, ...]) -> None:
        gone = self._answers.pop(key, None)
        if gone is not None:
            self._bytes -= _weight(gone)


def _weight(kept: Kept) -> int:
    return OVERHEAD + (len(kept.reply.data) if isinstance(kept.reply, Content) else 0)
