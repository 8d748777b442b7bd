"""The transport-neutral question and its answers: what TFTP and HTTP ask of provisioning.

Owns the shapes that cross the border between an edge and the domain. Decides nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from era_ap.errors import Reason
    from era_ap.provisioning.credentials import Credentials


class Transport(enum.Enum):
    """How the question came."""

    TFTP = "tftp"
    HTTP = "http"
    HTTPS = "https"
    CLI = "cli"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The token of a temporary address, as shown and not verified (see ``tokens``)."""

    token: str = field(repr=False)


@dataclass(slots=True)  # not frozen, which takes twice as long to make: each request has one
class FileRequest:
    """One request for a file.

    ``name`` is the name as the phone wrote it (decoded, not normalised), ``peer`` the textual address it came
    from, ``local`` the one it was sent to ("" where unknown). ``query`` is that of a URL, decoded;
    ``mac_hint`` a MAC (12 lower-case hex digits) learned elsewhere: both count only for a name that no mask
    fits. ``proof`` is what the phone shows beside its MAC.
    """

    name: str
    peer: str
    transport: Transport
    local: str = ""
    query: str = ""
    mac_hint: str = ""
    proof: Ticket | Credentials | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom and what an answer concerns, for the journal; every field is empty where it is not known."""

    mac: str = ""
    account: str = ""
    file: str = ""
    model: str = ""
    revision: str = ""
    detail: str = ""


@dataclass(slots=True)  # not frozen, as above
class Content:
    """A whole file in memory."""

    data: bytes
    reason: Reason
    subject: Subject
    xml: bool = False


class Stream(Protocol):
    """A file too large to be held in memory once per phone; read in pieces, off the event loop.

    ``read`` gives exactly ``length`` bytes (fewer only at the end of the file), at once from memory or later;
    it fails with ``Refused`` (FILE_CHANGED, STORAGE_BUSY, FILE_UNREADABLE). ``close`` may be called any time.
    """

    size: int
    reason: Reason
    subject: Subject

    def read(self, offset: int, length: int) -> bytes | Awaitable[bytes]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """No file. ``reason.outcome`` says what the transport answers; nothing else may reach the phone."""

    reason: Reason
    subject: Subject


Reply = Content | Stream | Refusal


class Opener(Protocol):
    """What a transport needs of provisioning: an answer now, or a promise of one."""

    def open(self, request: FileRequest) -> Reply | Awaitable[Reply]: ...
