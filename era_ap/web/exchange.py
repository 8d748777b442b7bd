"""One HTTP request and its answer: what the phone's app needs of ASGI, and the report at the end.

Owns the reading of a scope (who asks, through which proxy, with which headers) and the writing of an answer.
Decides nothing about content.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from era_ap.admission import read_address
from era_ap.errors import Outcome, Reason
from era_ap.provisioning.request import Subject, Transport

if TYPE_CHECKING:
    from era_ap.web.connections import PhoneConnection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

_AGENT: Final = 200
_RETRY_SECONDS: Final = b"5"
_PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")
_NO_STORE: Final = (b"cache-control", b"no-store")


@dataclass(frozen=True, slots=True)
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
    """A request under way. ``since`` is its start (monotonic seconds); ``is_proxy`` knows our proxies."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, since: float, is_proxy: Callable[[str], bool]
    ) -> None:
        self.method: str = scope["method"]
        self.raw_path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self.local: str = (scope.get("server") or ("",))[0]
        self.connection: PhoneConnection | None = scope.get("state", {}).get("connection")
        self.receive = receive
        self.since = since
        self.status = 0
        self.octets = 0
        self.is_cut = False
        self._send = send
        peer = (scope.get("client") or ("",))[0]
        scheme = scope["scheme"]
        if is_proxy(peer):
            peer, scheme = _behind_proxy(scope["headers"], is_proxy, scheme)
        self.peer: str = peer
        self.transport = Transport.HTTPS if scheme == "https" else Transport.HTTP

    @property
    def agent(self) -> bytes:
        """The User-Agent as sent."""
        return self.headers.get(b"user-agent", b"")

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

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Send the header of the answer. A body nobody will read means that the connection ends."""
        self.status = status
        sent = [*headers, (b"x-content-type-options", b"nosniff")]
        if self.has_body and not (self.method in ("PUT", "POST") and status == HTTPStatus.OK):
            sent.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": status, "headers": sent})

    async def send(self, body: bytes, *, more: bool = False) -> None:
        """Send a part of the body, or the last of it; ``is_cut`` says that nobody was there to read it.

        Looked at before: behind the last part we ourselves close a connection that is not kept.
        """
        self.is_cut = self.is_lost
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if self.method != "HEAD" and not self.is_cut:
            self.octets += len(body)

    async def refuse(self, reason: Reason, more: Iterable[Header] = ()) -> None:
        """Answer with the constant text of the reason's outcome."""
        outcome = reason.outcome
        body = f"{HTTPStatus(outcome.http_status).phrase}\n".encode()
        headers = [_PLAIN, _NO_STORE, (b"content-length", b"%d" % len(body)), *more]
        if outcome is Outcome.UNAVAILABLE:
            headers.append((b"retry-after", _RETRY_SECONDS))
        await self.start(outcome.http_status, headers)
        await self.send(body)
        self.octets = 0

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


def _behind_proxy(headers: Iterable[Header], is_proxy: Callable[[str], bool], scheme: str) -> tuple[str, str]:
    """Who asked the proxy and how: the last hop that is no proxy of ours; "" where the proxy does not say."""
    hops: list[str] = []
    for name, value in headers:
        if name == b"x-forwarded-for":
            hops += value.decode("latin-1").split(",")
        elif name == b"x-forwarded-proto":
            scheme = "https" if value.strip().lower() == b"https" else "http"
    for hop in reversed(hops):
        address = read_address(hop.strip())
        if address is None:
            break
        if not is_proxy(str(address)):
            return str(address), scheme
    return "", scheme
