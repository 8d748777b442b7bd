"""TFTP packets: bytes to values and back (RFC 1350 section 5, RFC 2347).

Owns the shapes on the wire and the tolerance for what phones really send. Does not own the meaning of
options, nor any state. Nothing here raises for what a peer can send: what is no packet is None, what is
a request that cannot be served is the Reason to answer with.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})

DATA_HEADERS: Final[tuple[bytes, ...]] = tuple(struct.pack("!HH", 3, n) for n in range(65536))
"""Header of DATA for each 16-bit block number, built once: the hot path only indexes."""

_REMEMBERED: Final = 512
MEMORABLE: Final = 128
"""Octets of a request that is worth remembering: phones say no more, and much of more would fill memory."""

ACKS: Final[tuple[bytes, ...]] = tuple(struct.pack("!HH", 4, n) for n in range(65536))
"""The whole ACK for each 16-bit block number."""


class Opcode(enum.IntEnum):
    """RFC 1350 section 5, RFC 2347."""

    RRQ = 1
    WRQ = 2
    DATA = 3
    ACK = 4
    ERROR = 5
    OACK = 6


class Mode(enum.Enum):
    """Transfer modes in service; ``mail`` is obsolete and refused (RFC 1350 section 1)."""

    OCTET = "octet"
    NETASCII = "netascii"


@dataclass(slots=True)  # not frozen, which takes twice as long to make: each request has one
class Request:
    """RRQ or WRQ. ``name`` as the peer wrote it; ``options`` with lower-case names, the first of each."""

    opcode: Opcode
    name: str
    mode: Mode
    options: Mapping[str, str] = field(default_factory=lambda: NO_OPTIONS)


@dataclass(frozen=True, slots=True)
class Data:
    """One block; ``block`` is the 16-bit number on the wire."""

    block: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """``block`` is the 16-bit number on the wire."""

    block: int


@dataclass(frozen=True, slots=True)
class Error:
    """``text`` is the peer's own wording: for logs, never repeated to anybody."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Oack:
    """Acknowledged options, names in lower case."""

    options: Mapping[str, str]


Packet = Request | Data | Ack | Error | Oack

_MODES: Final[Mapping[bytes, Mode]] = MappingProxyType({b"octet": Mode.OCTET, b"netascii": Mode.NETASCII})
_REQUESTS: Final[Mapping[bytes, Opcode]] = MappingProxyType(
    {b"\x00\x01": Opcode.RRQ, b"\x00\x02": Opcode.WRQ}
)


def parse_request(data: bytes) -> Request | Reason | None:
    """RRQ and WRQ; None for anything else, the Reason of the refusal for a request that is not usable.

    NULs and garbage behind the mode, any letter case and a missing last NUL are tolerated: phones send them.
    """
    opcode = _REQUESTS.get(data[:2])
    if opcode is None:
        return None
    name_end = data.find(0, 2)
    if name_end < 0:
        return Reason.MALFORMED
    tail = data[name_end + 1 :]
    rest = _rest(tail) if len(tail) <= MEMORABLE else _parse_rest(tail)
    if isinstance(rest, Reason):
        return rest
    return Request(opcode, text(data[2:name_end]), rest[0], rest[1])


def _parse_rest(data: bytes) -> tuple[Mode, Mapping[str, str]] | Reason:
    """Mode and options."""
    mode_text, _, options = data.partition(b"\x00")
    mode = _MODES.get(mode_text.lower())
    if mode is None:
        return Reason.MODE_UNSUPPORTED if mode_text else Reason.MALFORMED
    return mode, parse_options(options) if options else NO_OPTIONS


_rest = lru_cache(_REMEMBERED)(_parse_rest)
"""The same in all requests of a model's phones."""


def parse_options(data: bytes) -> Mapping[str, str]:
    """Name and value pairs (RFC 2347); stray NULs and names without a value are skipped."""
    fields = data.split(b"\x00")
    if not fields[-1]:
        fields.pop()
    options: dict[str, str] = {}
    index = 0
    while index + 1 < len(fields):
        name = fields[index]
        if not name:
            index += 1
            continue
        options.setdefault(text(name).lower(), text(fields[index + 1]))
        index += 2
    return options


def parse(data: bytes) -> Packet | Reason | None:
    """Any packet; None where it is none, a Reason where it is a request that cannot be served."""
    opcode = int.from_bytes(data[:2], "big")
    if opcode == Opcode.OACK and len(data) > 1:
        return Oack(parse_options(data[2:]))
    if opcode not in (Opcode.DATA, Opcode.ACK, Opcode.ERROR):
        return parse_request(data)
    if len(data) < 4:
        return None
    number = data[2] << 8 | data[3]
    if opcode == Opcode.DATA:
        return Data(number, data[4:])
    return Ack(number) if opcode == Opcode.ACK else Error(number, text(data[4:].split(b"\x00", 1)[0]))


def format_request(request: Request) -> bytes:
    """RRQ or WRQ as a client sends it."""
    head = request.opcode.to_bytes(2, "big")
    return head + _strings((request.name, request.mode.value)) + _pairs(request.options.items())


@lru_cache(_REMEMBERED)
def format_oack(options: tuple[tuple[str, str], ...]) -> bytes:
    """OACK with ``options`` in the given order (RFC 2347)."""
    return b"\x00\x06" + _pairs(options)


def format_error(code: int, message: str) -> bytes:
    """ERROR; ``message`` must be a constant text, see ``errors.Outcome``."""
    return struct.pack("!HH", Opcode.ERROR, code) + message.encode("ascii", "replace") + b"\x00"


def text(raw: bytes) -> str:
    """Text of a name or an option: UTF-8, else Latin-1, which cannot fail."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _strings(parts: Iterable[str]) -> bytes:
    return b"".join(part.encode("utf-8", "surrogateescape") + b"\x00" for part in parts)


def _pairs(options: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(_strings(pair) for pair in options)
