"""Which SUBSCRIBEs were answered, by us or by another instance of the group, and who still waits (spec 9).

Owns what keeps a phone from getting two NOTIFYs and lets a new leader answer those who got none: keys of what
was answered, SUBSCRIBEs that a standby holds, and the moment before which another leader answered. Time is
an argument, in seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from era_ap.sip.fields import parse_cseq, parse_name_addr
from era_ap.sip.memory import Memory

if TYPE_CHECKING:
    from era_ap.sip.outcomes import Asked

HOLD_SECONDS: Final = 5.5
"""How long a standby remembers that a phone waits: as long as it may take to replace a dead leader."""

HELD: Final = 4096
REMEMBERED: Final = 16_384
KEY_BYTES: Final = 16


class Ledger:
    """``lifetime``: how long a SUBSCRIBE that comes again is taken for the same one."""

    def __init__(self, lifetime: float) -> None:
        self._answered: Memory[str] = Memory(lifetime, REMEMBERED)
        self._elsewhere: Memory[None] = Memory(lifetime, REMEMBERED)
        self._held: Memory[Asked] = Memory(HOLD_SECONDS, HELD)
        self._unsent: list[bytes] = []
        self._since = float("-inf")

    def tag(self, key: bytes, now: float) -> str | None:
        """The tag of our own answer, None where we gave none."""
        return self._answered.get(key, now)

    def note_answer(self, key: bytes, tag: str, now: float) -> None:
        """We answer it from now on; it is among the ``unsent`` until ``note_sent``."""
        self._answered.note(key, tag, now)
        self._held.forget(key)
        self._unsent.append(key)

    @property
    def unsent(self) -> tuple[bytes, ...]:
        """The keys of what we answer and has not gone out yet."""
        return tuple(self._unsent)

    def note_sent(self) -> None:
        """All answers are going out."""
        self._unsent.clear()

    def note_elsewhere(self, keys: Iterable[bytes], now: float) -> None:
        """Another instance answers these."""
        for key in keys:
            self._elsewhere.note(key, None, now)
            self._held.forget(key)

    def is_anothers(self, asked: Asked, key: bytes, now: float) -> bool:
        """Whether another instance has answered, or had the right to when it was asked."""
        return asked.since < self._since or self._elsewhere.has(key, now)

    def hold(self, key: bytes, asked: Asked, now: float) -> None:
        """Remember that the phone waits, and since when; not if another instance has answered already."""
        if self._elsewhere.has(key, now):
            return
        known = self._held.get(key, now)
        if known is not None and known.since < asked.since:
            asked = replace(asked, since=known.since)
        self._held.note(key, asked, now)

    def take_back(self, key: bytes, asked: Asked, now: float) -> None:
        """Our answer to it never went out: the phone waits as before."""
        self._answered.forget(key)
        self.hold(key, asked, now)

    def begin(self, since: float, now: float) -> list[Asked]:
        """A term of ours begins, nobody answered what came after ``since``: those who wait, oldest first."""
        self._since = since
        return [asked for asked in self._held.take_all(now) if asked.since >= since]


def key_of(asked: Asked) -> bytes:
    """One SUBSCRIBE, however often, through however many interfaces, and to however many of us it comes."""
    request = asked.request
    cseq = parse_cseq(request.get("CSeq") or "")
    sender = parse_name_addr(request.get("From") or "")
    parts = (
        *map(str, asked.arrival.peer),
        request.get("Call-ID") or "",
        str(cseq.number) if cseq else "",
        sender.tag if sender else "",
        asked.phone.mac,
    )
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=KEY_BYTES).digest()
