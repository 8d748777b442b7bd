"""One HTTP request and its answer: what the phone's app needs to know, and the report at the end.

Owns who asks, through which proxy, with which headers, and the writing of an answer where that goes through
ASGI. Decides nothing about content.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from era_ap.admission import read_address
from era_ap.errors import Outcome, Reason
from era_ap.provisioning.request import Subject, Transport
from era_ap.web.representation import Head, Header

if TYPE_CHECKING:
    from era_ap.provisioning.request import FileRequest, Reply
    from era_ap.web.connections import PhoneConnection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_AGENT: Final = 200
_RETRY_SECONDS: Final = b"5"
_PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")
_NO_STORE: Final = (b"cache-control", b"no-store")
_TRANSPORTS: Final = {"http": Transport.HTTP, "https": Transport.HTTPS}


@dataclass(slots=True)  # not frozen, which takes twice as long to make: each request has one
class Answer:
    """An answer that is whole; ``is_file``: its body is what was asked for, not a word about it.

    To HEAD the body is not sent.
    """

    head: Head
    body: bytes
    reason: Reason
    subject: Subject
    is_file: bool = False


def refusing(reason: Reason, subject: Subject, more: tuple[Header, ...] = ()) -> Answer:
    """The constant answer of the reason's outcome."""
    head, body = _refusing(reason.outcome, more)
    return Answer(head, body, reason, subject)


@functools.lru_cache(64)
def _refusing(outcome: Outcome, more: tuple[Header, ...]) -> tuple[Head, bytes]:
    body = f"{HTTPStatus(outcome.http_status).phrase}\n".encode()
    fields = [_PLAIN, _NO_STORE, (b"content-length", b"%d" % len(body)), *more]
    if outcome is Outcome.UNAVAILABLE:
        fields.append((b"retry-after", _RETRY_SECONDS))
    return Head(outcome.http_status, fields), body


@dataclass(slots=True)  # not frozen, as Answer
class WebReport:
    """The end of one HTTP request; ``octets`` of the body were sent (or received, of an upload).

    ``agent`` is the User-Agent, printable and cut; a phone's MAC in it is no secret.
    """

    transport: Transport
    peer: str
    method: str
    reason: Reason
    status: int
    subject: Subject
    octets: int
    seconds: float
    agent: str


class Exchange:
    """A request under way. ``peer`` is the phone, or the last proxy that is not ours.

    ``fields`` are the header's, with lower-case names; of several of a name the first is in ``headers``.
    """

    request: FileRequest | None = None
    """What it means, once it is judged."""
    reply: Reply | Awaitable[Reply] | None = None
    """What provisioning says, where it could not be answered at once."""
    since = 0.0
    """When it began (monotonic seconds)."""
    status = octets = 0
    is_cut = False

    def __init__(
        self,
        method: str,
        raw_path: bytes,
        query: bytes,
        fields: list[Header],
        peer: str,
        scheme: str,
        local: str = "",
        connection: PhoneConnection | None = None,
    ) -> None:
        self.method = method
        self.raw_path = raw_path
        self.query = query
        self.fields = fields
        self.headers = dict(reversed(fields))
        self.agent = self.headers.get(b"user-agent", b"")
        self.peer = peer
        self.transport = _TRANSPORTS[scheme]
        self.local = local
        self.connection = connection

    @classmethod
    def of(cls, scope: Scope) -> Exchange:
        """The request of an ASGI ``scope``."""
        return cls(
            scope["method"],
            scope["raw_path"],
            scope["query_string"],
            scope["headers"],
            (scope.get("client") or ("",))[0],
            scope["scheme"],
            (scope.get("server") or ("",))[0],
            scope.get("state", {}).get("connection"),
        )

    def attach(self, receive: Receive, send: Send) -> None:
        """From now on ASGI carries the rest."""
        self.receive = receive
        self._send = send

    def look_behind(self, is_proxy: Callable[[str], bool]) -> None:
        """Find out who asked through a proxy; ``is_proxy`` knows ours."""
        if is_proxy(self.peer):
            self.peer, self.transport = _behind_proxy(self.fields, is_proxy, self.transport)

    @property
    def target(self) -> str:
        """The request target in origin form, as sent."""
        text = self.raw_path.decode("latin-1")
        return f"{text}?{self.query.decode('latin-1')}" if self.query else text

    @property
    def has_body(self) -> bool:
        """Whether the request announces a body."""
        return b"transfer-encoding" in self.headers or self.headers.get(b"content-length", b"0") != b"0"

    @property
    def is_lost(self) -> bool:
        """Whether the phone has gone away."""
        return self.connection is not None and self.connection.is_lost

    async def start(self, head: Head) -> None:
        """Send the header of the answer. A body nobody will read means that the connection ends."""
        self.status = head.status
        sent = list(head.fields)
        if self.has_body and not (self.method in ("PUT", "POST") and self.status == HTTPStatus.OK):
            sent.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": self.status, "headers": sent})

    async def send(self, body: bytes, *, more: bool = False) -> None:
        """Send a part of the body, or the last of it; ``is_cut`` says that nobody was there to read it.

        Looked at before: behind the last part we ourselves close a connection that is not kept.
        """
        self.is_cut = self.is_lost
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if self.method != "HEAD" and not self.is_cut:
            self.octets += len(body)

    def report(self, reason: Reason, subject: Subject, now: float) -> WebReport:
        """The report, once the answer is out."""
        agent = self.agent[:_AGENT].decode("latin-1")
        return WebReport(
            self.transport,
            self.peer,
            self.method,
            reason,
            self.status,
            subject,
            self.octets,
            now - self.since,
            agent if agent.isprintable() else "".join(each if each.isprintable() else "?" for each in agent),
        )


def _behind_proxy(
    fields: Iterable[Header], is_proxy: Callable[[str], bool], transport: Transport
) -> tuple[str, Transport]:
    """Who asked the proxy and how: the last hop that is no proxy of ours; "" where the proxy does not say."""
    hops: list[str] = []
    for name, value in fields:
        if name == b"x-forwarded-for":
            hops += value.decode("latin-1").split(",")
        elif name == b"x-forwarded-proto":
            transport = Transport.HTTPS if value.strip().lower() == b"https" else Transport.HTTP
    for hop in reversed(hops):
        address = read_address(hop.strip())
        if address is None:
            break
        if not is_proxy(str(address)):
            return str(address), transport
    return "", transport
