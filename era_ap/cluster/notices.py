"""What the leader of a group tells its standbys by UDP: which SUBSCRIBEs it answers, and that it is there.

Owns the datagram (one format, authenticated, never taken twice) and what a standby concludes from what it
heard: from when on nobody has answered phones. Does not own sockets and pace (``beats``) nor the SUBSCRIBEs
(``sip.ledger``). Times are seconds of a steady clock of one host each; no two clocks are compared.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BEAT_SECONDS: Final = 0.25
"""Pause between two beats of a leader."""

GRACE_SECONDS: Final = 0.3
"""What was heard so long before a beat was answered before it: to hear, answer and tell takes less."""

SLACK_SECONDS: Final = 3.0
"""How much later than its session ends a dead leader may be found dead: servers count in ticks (2 s)."""

KEY_BYTES: Final = 16
MAX_KEYS: Final = 64
_REPEATED_IN_CLAIM: Final = 8
_REPEATED_SECONDS: Final = 0.6
_MAC_BYTES: Final = 16
_SENDERS: Final = 64
_MAGIC: Final = b"eaN1"
_HEAD: Final = struct.Struct(">4s8sIQQQIB")
_NOT_A_BEAT: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Heard:
    """A notice of the leader whose term has that ``number``: it answers ``keys``, and everything that came
    before ``until`` (None: it does not say).
    """

    number: int
    keys: tuple[bytes, ...]
    until: float | None


class Speaker:
    """The leader's side. ``secret`` is shared by all instances, ``instance`` names this process."""

    def __init__(self, secret: bytes, instance: str, group: int) -> None:
        self._secret = secret
        self._sender = _digest(instance)
        self._group = group
        self._count = 0
        self._recent: deque[tuple[float, bytes]] = deque(maxlen=MAX_KEYS)

    def claim(self, number: int, keys: Sequence[bytes], to: Sequence[str], now: float) -> list[bytes]:
        """We answer ``keys``: datagrams for each instance of ``to`` in turn, mostly one.

        The keys of a moment ago are said again, so that a lost datagram leaves no gap.
        """
        datagrams: list[bytes] = []
        for start in range(0, len(keys), MAX_KEYS):
            part = keys[start : start + MAX_KEYS]
            self._recent.extend((now, key) for key in part)
            said = max(len(part), _REPEATED_IN_CLAIM)
            datagrams += self._datagrams(number, to, now, _NOT_A_BEAT, said)
        return datagrams

    def beat(self, number: int, behind: float, to: Sequence[str], now: float) -> list[bytes]:
        """We are there, and have read what is older than ``behind`` seconds: a datagram for each of them."""
        return self._datagrams(number, to, now, min(round(behind * 1000), _NOT_A_BEAT - 1), MAX_KEYS)

    def _datagrams(self, number: int, to: Sequence[str], now: float, behind: int, most: int) -> list[bytes]:
        keys = [key for at, key in self._recent if now - at < _REPEATED_SECONDS][-most:]
        self._count += 1
        at = round(now * 1000)
        head = _HEAD.pack(_MAGIC, self._sender, self._group, number, self._count, at, behind, len(keys))
        body = head + b"".join(keys)
        return [body + _mac(self._secret, instance, body) for instance in to]


@dataclass(slots=True)
class _Sender:
    """What was heard of one process: the last number, and how its clock stands to ours at best."""

    count: int
    offset: float


class Listener:
    """A standby's side; ``instance`` names this process, so that nothing meant for an earlier one counts."""

    def __init__(self, secret: bytes, instance: str, group: int) -> None:
        self._secret = secret
        self._instance = instance
        self._group = group
        self._senders: OrderedDict[bytes, _Sender] = OrderedDict()

    def receive(self, data: bytes, arrived: float) -> Heard | None:
        """The notice in a datagram that the kernel took at ``arrived``; None if it is none for us, or old."""
        if len(data) < _HEAD.size + _MAC_BYTES or data[:4] != _MAGIC:
            return None
        body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(self._secret, self._instance, body)):
            return None
        _, sender, group, number, count, at, behind, length = _HEAD.unpack_from(body)
        if group != self._group or len(body) != _HEAD.size + length * KEY_BYTES:
            return None
        late = self._late(sender, count, arrived - at / 1000)
        if late is None:
            return None
        keys = tuple(body[place : place + KEY_BYTES] for place in range(_HEAD.size, len(body), KEY_BYTES))
        return Heard(number, keys, None if behind == _NOT_A_BEAT else arrived - late - behind / 1000)

    def _late(self, sender: bytes, count: int, offset: float) -> float | None:
        """How much longer than the fastest one it was on its way; None if a later one was here before."""
        known = self._senders.get(sender)
        if known is None:
            self._senders[sender] = _Sender(count, offset)
            if len(self._senders) > _SENDERS:
                self._senders.popitem(last=False)
            return 0.0
        if count <= known.count:
            return None
        known.count = count
        known.offset = min(known.offset, offset)
        return offset - known.offset


class Succession:
    """From when on nobody has answered: what an instance knows of the leaders before it."""

    def __init__(self, session_seconds: float) -> None:
        self._silence = session_seconds + SLACK_SECONDS
        self._answered_until: float | None = None
        self._led_until: float | None = None
        self._is_led = False

    def note_answered(self, until: float) -> None:
        """A leader (or we) answered what came before ``until``."""
        if self._answered_until is None or until > self._answered_until:
            self._answered_until = until

    def note_leader(self, there: bool, now: float) -> None:
        """Whether ZooKeeper shows another leader of our group."""
        if self._is_led:
            self._led_until = now
        self._is_led = there

    def since(self, now: float) -> float:
        """Our term begins ``now``: nobody answered what came after the result.

        A dead leader's beats end with it. One that was there for long without a beat was alive and could not
        reach us: it answered until it was gone.
        """
        self.note_leader(False, now)
        answered = self._answered_until
        led = self._led_until
        if led is not None and (answered is None or led - answered > self._silence):
            return led
        return float("-inf") if answered is None else answered - GRACE_SECONDS


def _digest(instance: str) -> bytes:
    return hashlib.blake2b(instance.encode(), digest_size=8).digest()


def _mac(secret: bytes, instance: str, body: bytes) -> bytes:
    """For one receiver only: what was meant for another one, or for an earlier process there, fails."""
    return hmac.digest(secret, instance.encode() + b"\0" + body, "sha256")[:_MAC_BYTES]
