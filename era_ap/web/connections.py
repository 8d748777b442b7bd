"""The connections of phones: how many there may be, and how long each may take.

Owns what uvicorn leaves open to slow or greedy clients: time limits for header, body and slow readers, the
size of a message, connections in all and of one address. What a client sent that is no HTTP never mixes
with an answer that is under way (``HttpToolsProtocol`` is uvicorn's own, with httptools).
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

HEAD_BYTES: Final = 32 * 1024
STALL_SECONDS: Final = 30.0
BODY_SECONDS: Final = 60.0

_SLACK: Final = 64 * 1024
_OVERHEAD: Final = 1024 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 "
_BAD: Final = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_QUIET: Final = logging.Logger("era_ap.web", logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class ConnectionPolicy:
    """Limits; a new one may be set at any time. ``body_bytes`` is the largest body that anybody may send."""

    connections: int = 4096
    connections_per_address: int = 256
    request_seconds: float = 10.0
    keep_seconds: float = 15.0
    body_bytes: int = 0
    is_proxy: Callable[[str], bool] = lambda _: False


class Cork:
    """A transport for one answer: its header leaves together with what follows, in one system call."""

    __slots__ = ("_head", "_is_open", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._is_open = False

    def write(self, data: bytes) -> None:
        """Send, but keep the header back; an interim answer (100) goes at once.

        To a client that is gone nothing is sent: of several requests at once only the last is told of that.
        """
        if self._transport.is_closing():
            return
        if self._is_open or data.startswith(_CONTINUE):
            self._transport.write(data)
        elif self._head:
            self._is_open = True
            self._transport.writelines((self._head, data))
        else:
            self._head = data

    def flush(self) -> None:
        """Send the header if nothing followed it."""
        if self._head and not self._is_open and not self._transport.is_closing():
            self._is_open = True
            self._transport.write(self._head)

    def close(self) -> None:
        """Close when all is sent."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._transport.is_closing()


class GuardedParser(HttpToolsProtocol):
    """uvicorn's protocol with limits on what a message may hold, and a clean end for what is no message."""

    def __init__(self, connections: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _QUIET
        self.access_log = False
        self.address = ""
        self.in_message = self.in_head = False
        self.family = connections
        self._octets = 0
        self._head_octets = 0

    @property
    def is_waiting(self) -> bool:
        """Whether no answer is under way."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def is_lost(self) -> bool:
        """Whether nobody is there to read an answer."""
        return self.transport.is_closing()

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        if self.transport.is_closing():
            return
        self._octets += len(data)
        super().data_received(data)
        if not self.in_message or self.transport.is_closing():
            return
        if self.in_head:
            if self._octets > HEAD_BYTES + _SLACK:
                self._reject(b"431 Request Header Fields Too Large")
        elif self._octets > _OVERHEAD + 2 * self.family.policy.body_bytes:
            # The app has had its chance to say no; this is what trailers and chunks without end look like.
            self._reject(b"413 Content Too Large")

    def on_message_begin(self) -> None:
        """The first octet of a request."""
        self._octets = self._head_octets = 0
        self.in_message = self.in_head = True
        super().on_message_begin()
        self.scope["state"]["connection"] = self

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer."""
        self._head_octets += len(name) + len(value)
        if self._head_octets > HEAD_BYTES:
            raise ValueError("the header is too large")  # the parser stops, the client gets 400
        super().on_header(name, value)

    def on_message_complete(self) -> None:
        """The request is whole: it is our turn."""
        self._octets = 0
        self.in_message = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        self._reject(b"400 Bad Request")

    def _reject(self, status: bytes) -> None:
        self.family.on_malformed(self.address, self.scheme or "http")
        if self.is_waiting:
            self.transport.write(_BAD % status)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing is offered to upgrade to, so the header is ignored (RFC 9110 section 7.8)."""


class PhoneConnection(GuardedParser):
    """One connection. ``deadline``: when it is cut unless what it waits for has come (loop time)."""

    deadline = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A phone has connected."""
        super().connection_made(transport)
        policy = self.family.policy
        self.timeout_keep_alive = policy.keep_seconds  # type: ignore[assignment]
        self.address = self.client[0] if self.client else ""
        self.deadline = self.loop.time() + policy.request_seconds
        self.family.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self.family.remove(self)
        super().connection_lost(exc)

    def finish(self, *, patient: bool) -> None:
        """Close as soon as what was asked is answered; ``patient`` with who has not asked anything yet."""
        is_asking = self.in_message and self.is_waiting
        if not is_asking and not (patient and self.cycle is None):
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Octets came; the first of a request start its time."""
        if self.deadline == math.inf and self.is_waiting:
            self.deadline = self.loop.time() + self.family.policy.request_seconds
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The header is whole; what may follow is a body."""
        self.in_head = False
        self.deadline = self.loop.time() + BODY_SECONDS
        super().on_headers_complete()
        cycle, cork = self.cycle, Cork(self.transport)
        finish = cycle.on_response

        def on_response() -> None:
            cork.flush()
            finish()

        cycle.transport, cycle.on_response = cork, on_response  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        """The request is whole: the phone has nothing to do but to read."""
        if not self.flow.write_paused:
            self.deadline = math.inf
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer was handed to the transport."""
        super().on_response_complete()
        if self.in_message and not self.transport.is_closing():
            self.deadline = self.loop.time() + self.family.policy.request_seconds

    def pause_writing(self) -> None:
        """The phone reads more slowly than we write."""
        super().pause_writing()
        self.deadline = self.loop.time() + STALL_SECONDS

    def resume_writing(self) -> None:
        """The phone has caught up."""
        super().resume_writing()
        if not self.in_message:
            self.deadline = math.inf


class Connections:
    """All connections of one server, by address, the oldest first."""

    def __init__(self, policy: ConnectionPolicy, on_malformed: Callable[[str, str], None]) -> None:
        self.policy = policy
        self.on_malformed = on_malformed
        self._of: dict[str, dict[PhoneConnection, None]] = {}
        self._all: dict[PhoneConnection, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[PhoneConnection]:
        return iter(tuple(self._all))

    def add(self, connection: PhoneConnection) -> None:
        """Take a new connection; past a limit the oldest that waits gives way, or else the new one."""
        policy = self.policy
        same = self._of.setdefault(connection.address, {})
        is_full = len(same) >= policy.connections_per_address and not policy.is_proxy(connection.address)
        crowds = [same] if is_full else []
        if len(self._all) >= policy.connections:
            crowds.append(self._all)
        if crowds and not any(self._evict(crowd) for crowd in crowds):
            connection.abort()
        same[connection] = None
        self._all[connection] = None

    def remove(self, connection: PhoneConnection) -> None:
        """A connection is over."""
        self._all.pop(connection, None)
        same = self._of.get(connection.address)
        if same is not None:
            same.pop(connection, None)
            if not same:
                del self._of[connection.address]

    def sweep(self, now: float) -> None:
        """Cut those whose time is up; to be called about once a second with the loop's time."""
        for connection in self:
            if now >= connection.deadline:
                connection.abort()
            elif connection.is_lost and connection.deadline == math.inf:
                connection.deadline = now + STALL_SECONDS  # closing, but the rest is not read

    @staticmethod
    def _evict(among: dict[PhoneConnection, None]) -> bool:
        for connection in among:
            is_flushed = not connection.transport.get_write_buffer_size()
            if connection.is_waiting and is_flushed and not connection.is_lost:
                connection.abort()
                return True
        return False
