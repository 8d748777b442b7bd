"""Questions between instances as they travel: sealed with a key that only instances of the site have.

Owns the form (JSON behind its HMAC) and what keeps a recorded question or answer from being used again: a
question is for one process only and numbered, an answer belongs to one question. Does not own the transport
(``peers``) nor what is asked (``failsafe``).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, TypeVar

from era_ap.cluster.failsafe import Answer, Ask

MAX_BYTES: Final = 4096
_SENDERS: Final = 64
_MAC_CHARS: Final = 64


class UntrustedError(Exception):
    """What came is not what an instance of this site has just sent to us."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that was meant for the process ``to``; ``seal`` is what the answer refers to."""

    ask: Ask
    to: str
    seal: bytes


def derive(secret: bytes, purpose: str) -> bytes:
    """The key for one purpose (RFC 5869 section 2.3; the secret is random, so nothing is extracted)."""
    return hmac.digest(secret, b"era-ap " + purpose.encode() + b"\1", "sha256")


class Asker:
    """The asking side of the process ``instance``."""

    def __init__(self, key: bytes, instance: str) -> None:
        self._key = key
        self._instance = instance
        self._count = 0

    def seal(self, ask: Ask, to: str) -> bytes:
        """A question for the process ``to``."""
        self._count += 1
        return _seal(
            self._key,
            {"ask": asdict(ask), "from": self._instance, "to": to, "count": self._count},
            b"ask",
        )

    def open(self, data: bytes, question: bytes) -> Answer | str:
        """The answer to ``question``; a text is the process that is there instead: ask that one.

        Raises ``UntrustedError``.
        """
        document = _open(self._key, data, b"answer" + question[:_MAC_CHARS])
        instance = document.get("instance")
        return instance if isinstance(instance, str) else _read(Answer, document.get("answer"))


class Asked:
    """The answering side of the process ``instance``."""

    def __init__(self, key: bytes, instance: str) -> None:
        self._key = key
        self._instance = instance
        self._counts: OrderedDict[str, int] = OrderedDict()

    def open(self, data: bytes) -> Question:
        """The question; to be answered unless it is for another process. Raises ``UntrustedError``."""
        document = _open(self._key, data, b"ask")
        sender, to, count = document.get("from"), document.get("to"), document.get("count")
        if not (isinstance(sender, str) and isinstance(to, str) and isinstance(count, int)):
            raise UntrustedError("not a question")
        if to == self._instance:
            if count <= self._counts.get(sender, 0):
                raise UntrustedError("a question that was asked before")
            self._counts[sender] = count
            self._counts.move_to_end(sender)
            if len(self._counts) > _SENDERS:
                self._counts.popitem(last=False)
        return Question(_read(Ask, document.get("ask")), to, data[:_MAC_CHARS])

    def is_ours(self, question: Question) -> bool:
        """Whether it was meant for this very process."""
        return question.to == self._instance

    def seal(self, answer: Answer, question: Question) -> bytes:
        """The answer to ``question``."""
        return _seal(self._key, {"answer": asdict(answer)}, b"answer" + question.seal)

    def redirect(self, question: Question) -> bytes:
        """Another process is here by now: this one."""
        return _seal(self._key, {"instance": self._instance}, b"answer" + question.seal)


Record = TypeVar("Record", Ask, Answer)


def _read(record: type[Record], document: object) -> Record:
    if not isinstance(document, dict):
        raise UntrustedError("nothing is said")
    try:
        return record(**document)
    except TypeError:
        raise UntrustedError("another version's words") from None


def _seal(key: bytes, document: Mapping[str, object], context: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    return _mac(key, context, text) + b"\n" + text


def _open(key: bytes, data: bytes, context: bytes) -> dict[str, object]:
    mac, line_end, text = data[:_MAC_CHARS], data[_MAC_CHARS : _MAC_CHARS + 1], data[_MAC_CHARS + 1 :]
    if line_end != b"\n" or len(data) > MAX_BYTES or not hmac.compare_digest(mac, _mac(key, context, text)):
        raise UntrustedError("not sealed with the key of this site")
    document = json.loads(text)
    if not isinstance(document, dict):
        raise UntrustedError("nothing is said")
    return document


def _mac(key: bytes, context: bytes, text: bytes) -> bytes:
    return hmac.new(key, context + b"\n" + text, hashlib.sha256).hexdigest().encode()
