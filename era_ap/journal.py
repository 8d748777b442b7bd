"""The journal: one record for every finished request, good or bad (spec 5).

Owns the record's fields and the limit on how many records of refusals reach the log in a second. Holds no
secrets: a record names accounts, files and reasons, never values. Does not write (``logs``).
"""

from __future__ import annotations

import json
import json.encoder
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from era_ap.masking import MASK, mask_pairs

if TYPE_CHECKING:
    from era_ap.errors import Reason
    from era_ap.provisioning.request import Subject

REFUSALS_PER_SECOND = 10

_QUOTED: Final = json.encoder.encode_basestring

_TOKEN_LENGTH: Final = 32
_TOKEN: Final = re.compile(rf"(?<![A-Za-z0-9])(p/)[A-Za-z0-9_~-]{{{_TOKEN_LENGTH},}}", re.IGNORECASE)
"""The token of a temporary address; whoever has it and the phone's address may fetch the phone's file."""

_OPTIONS: Final = 1024
_SUBJECTS: Final = 8192
"""The phones of a large site ask for the same files day after day: what was said of them is known still."""
_MEMORABLE: Final = 128
"""Characters of a name: a stranger's long ones are not to fill the memory."""

Pairs = tuple[tuple[str, str], ...]


@dataclass(slots=True)  # frozen, it would take twice as long to make, and each request has one
class Record:
    """How one request ended. ``at`` is seconds since the epoch (UTC), ``seconds`` the time it took.

    ``options`` are what was agreed by TFTP: names and numbers.
    """

    at: float
    transport: str
    peer: str
    reason: Reason
    subject: Subject
    size: int = 0
    retransmits: int = 0
    seconds: float = 0.0
    options: Pairs = ()
    method: str = ""
    status: int | None = None
    agent: str = ""

    def members(self) -> str:
        """The record as members of a JSON object, without its braces; empty ones are left out.

        Put together by hand: each request has one, and a general encoder takes three times as long.
        """
        said = f'"transport": "{self.transport}"{_text("peer", self.peer)}{_text("method", self.method)}'
        if self.status is not None:
            said += f', "status": {self.status}'
        subject = self.subject
        is_usual = len(subject.file) <= _MEMORABLE and not subject.detail
        about = _known_about if is_usual else _about
        said += f'{about(self.reason, subject)}, "bytes": {self.size}{_agreed(self.options)}'
        said += f', "retransmits": {self.retransmits}, "seconds": {round(self.seconds, 6)}'
        return f"{said}{_text('agent', _safe(self.agent))}{_text('detail', _safe(self.subject.detail))}"

    def fields(self) -> dict[str, object]:
        """``members`` as a dictionary."""
        return dict(json.loads(f"{{{self.members()}}}"))


def printable(text: str) -> str:
    """``text`` with what does not print as JSON escapes it."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _text(name: str, text: str) -> str:
    """One more member, a printable JSON string; nothing where it is empty."""
    return f', "{name}": {printable(_QUOTED(text))}' if text else ""


def _about(reason: Reason, subject: Subject) -> str:
    members = (
        ("reason", reason.code),
        ("file", _safe(subject.file)),
        ("mac", subject.mac),
        ("account", subject.account),
        ("model", subject.model),
        ("revision", subject.revision),
    )
    return "".join([_text(name, text) for name, text in members])


_known_about: Final = lru_cache(_SUBJECTS)(_about)


@lru_cache(_OPTIONS)
def _agreed(options: Pairs) -> str:
    numbers = ", ".join([f'"{name}": {number}' for name, number in options])
    return f', "options": {{{numbers}}}' if options else ""


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _safe(text: str) -> str:
    """What a phone said of itself or asked for, without what nobody else may read."""
    text = mask_pairs(text)
    return _TOKEN.sub(rf"\1{MASK}", text) if len(text) > _TOKEN_LENGTH else text


class RefusalLimit:
    """At most ``REFUSALS_PER_SECOND`` lines a second about refusals: an attack must not fill the disk."""

    def __init__(self, per_second: int = REFUSALS_PER_SECOND) -> None:
        self._per_second = per_second
        self._second = -1
        self._seen = 0

    def admit(self, now: float) -> tuple[bool, int]:
        """Whether to write one more line now, and how many were left out in the second that just ended."""
        second = int(now)
        left_out = 0
        if second != self._second:
            left_out = max(0, self._seen - self._per_second)
            self._second, self._seen = second, 0
        self._seen += 1
        return self._seen <= self._per_second, left_out
