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

from httptools import HttpParserError, HttpParserUpgrade, parse_url
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from era_ap.web.exchange import Exchange

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from era_ap.web.exchange import Answer

HEAD_BYTES: Final = 32 * 1024
STALL_SECONDS: Final = 30.0
BODY_SECONDS: Final = 60.0

_SLACK: Final = 64 * 1024
_OVERHEAD: Final = 1024 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 "
_BAD: Final = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_WITHOUT_BODY: Final = {b"GET": "GET", b"HEAD": "HEAD"}
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
    """uvicorn's protocol with limits on what a message may hold, and a clean end for what is no message.

    What the parser finds in a header is kept here; uvicorn hears of it with ``hand_over``, all at once.
    """

    def __init__(self, connections: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _QUIET
        self.access_log = False
        self.address = ""
        self.family = connections
        self.in_message = self.in_head = False
        self.is_first = True
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
        self.is_first = True
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade:
            pass  # nothing is offered to upgrade to, so the header is ignored (RFC 9110 section 7.8)
        except HttpParserError:
            if not self.transport.is_closing():  # what follows the last request is nobody's
                self._reject(b"400 Bad Request")
        if self.in_message and not self.transport.is_closing():
            self.want_more()

    def want_more(self) -> None:
        """A message is not whole yet."""
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
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer."""
        self._head_octets += len(name) + len(value)
        if self._head_octets > HEAD_BYTES:
            raise ValueError("the header is too large")  # the parser stops, the client gets 400
        self.headers.append((name.lower(), value))

    def hand_over(self, exchange: Exchange | None) -> None:
        """The header is whole: have uvicorn run the application, with what was begun of ``exchange``."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.scope["state"].update(connection=self, exchange=exchange)
        super().on_url(url)
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def _reject(self, status: bytes) -> None:
        self.family.on_malformed(self.address, self.scheme or "http")
        if self.is_waiting:
            self.transport.write(_BAD % status)
        self.transport.close()


class PhoneConnection(GuardedParser):
    """One connection. ``deadline``: when it is cut unless what it waits for has come (loop time).

    ``idle_until``: when it is closed unless something else is asked.
    """

    deadline = idle_until = math.inf
    is_new = True
    """Whether nothing was asked yet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A phone has connected.

        As uvicorn does it, which however has the kernel asked for the addresses several times.
        """
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = address_of(transport, "sockname", get_local_addr)
        self.client = address_of(transport, "peername", get_remote_addr)  # type: ignore[assignment]
        self.scheme = "https" if is_ssl(transport) else "http"
        self.address = self.client[0] if self.client else ""
        self.deadline = self.loop.time() + self.family.policy.request_seconds
        self.family.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self.family.remove(self)
        super().connection_lost(exc)
        # They know this connection, which need not wait for the garbage collector.
        self.cycle = self.scope = self.parser = None  # type: ignore[assignment]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked and nothing answered."""
        return not self.in_message and self.is_waiting

    def finish(self, *, patient: bool) -> None:
        """Close as soon as what was asked is answered; ``patient`` with who has not asked anything yet."""
        is_asking = self.in_message and self.is_waiting
        if not is_asking and not (patient and self.is_new):
            self.shutdown()

    def want_more(self) -> None:
        """A message is not whole yet; its first octets start its time."""
        if self.deadline == math.inf and self.is_waiting:
            self.deadline = self.loop.time() + self.family.policy.request_seconds
        super().want_more()

    def on_headers_complete(self) -> None:
        """The header is whole: answered here where nothing has to be waited for, else by the application."""
        self.in_head = self.is_new = False
        exchange = self._exchange()
        if exchange is not None:
            answer = self.family.answer(exchange)
            if answer is not None:
                self._send(answer, exchange.method)
                return
        self.deadline = self.loop.time() + BODY_SECONDS
        self.hand_over(exchange)
        cycle, cork = self.cycle, Cork(self.transport)
        finish = cycle.on_response

        def on_response() -> None:
            cork.flush()
            finish()

        cycle.transport, cycle.on_response = cork, on_response  # type: ignore[assignment]

    def _exchange(self) -> Exchange | None:
        """A request that needs no more than its header, unless it has to queue.

        Of several that came together one is answered here; the others must not hold the loop up.
        """
        method = _WITHOUT_BODY.get(self.parser.get_method())
        cycle = self.cycle
        if method is None or not self.is_first or not (cycle is None or cycle.response_complete):
            return None
        if self.flow.write_paused:
            return None
        url = parse_url(self.url)
        path = url.path
        if path is None or not path.isascii():
            return None
        local = self.server[0] if self.server else ""
        exchange = Exchange(
            method, path, url.query or b"", self.headers, self.address, self.scheme or "http", local, self
        )
        return None if exchange.has_body else exchange

    def _send(self, answer: Answer, method: str) -> None:
        if self.transport.is_closing():
            return
        is_kept = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
        head, family = answer.head, self.family
        end = family.date_and_end if is_kept else family.date_and_close
        body = answer.body if method == "GET" else b""
        self.transport.write(b"".join((STATUS_LINE[head.status], head.octets, end, body)))
        if is_kept:
            self.idle_until = self.loop.time() + family.policy.keep_seconds
        else:
            self.transport.close()

    def on_message_complete(self) -> None:
        """The request is whole: the phone has nothing to do but to read."""
        self.in_message = self.is_first = False
        if not self.flow.write_paused:
            self.deadline = math.inf
        if self.cycle is not None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The application's answer was handed to the transport."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # ``idle_until`` is what counts, one timer for all connections
        if not self.transport.is_closing():
            now, policy = self.loop.time(), self.family.policy
            self.idle_until = now + policy.keep_seconds
            if self.in_message:
                self.deadline = now + policy.request_seconds

    def pause_writing(self) -> None:
        """The phone reads more slowly than we write."""
        super().pause_writing()
        self.deadline = self.loop.time() + STALL_SECONDS

    def resume_writing(self) -> None:
        """The phone has caught up."""
        super().resume_writing()
        if not self.in_message:
            self.deadline = math.inf


def address_of(
    transport: asyncio.Transport,
    name: str,
    ask: Callable[[asyncio.Transport], tuple[str, int | None] | None],
) -> tuple[str, int | None] | None:
    """What the event loop knows already; of a link-local address it may not know the zone's name."""
    known = transport.get_extra_info(name)
    if isinstance(known, tuple) and not any(known[3:]):
        return known[:2]
    return ask(transport)


class Connections:
    """All connections of one server, by address, the oldest first."""

    def __init__(
        self,
        policy: ConnectionPolicy,
        on_malformed: Callable[[str, str], None],
        answer: Callable[[Exchange], Answer | None] = lambda _: None,
    ) -> None:
        self.policy = policy
        self.on_malformed = on_malformed
        self.answer = answer
        self.date_and_end = self.date_and_close = b""
        self._of: dict[str, dict[PhoneConnection, None]] = {}
        self._all: dict[PhoneConnection, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[PhoneConnection]:
        return iter(tuple(self._all))

    def tell_date(self, date: str) -> None:
        """What answers end their header with, kept and closed connections apart."""
        self.date_and_end = f"date: {date}\r\n\r\n".encode()
        self.date_and_close = f"date: {date}\r\nconnection: close\r\n\r\n".encode()

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
            elif connection.is_lost:
                if connection.deadline == math.inf:
                    connection.deadline = now + STALL_SECONDS  # closing, but the rest is not read
            elif now >= connection.idle_until and connection.is_idle:
                connection.transport.close()

    @staticmethod
    def _evict(among: dict[PhoneConnection, None]) -> bool:
        for connection in among:
            is_flushed = not connection.transport.get_write_buffer_size()
            if connection.is_waiting and is_flushed and not connection.is_lost:
                connection.abort()
                return True
        return False
