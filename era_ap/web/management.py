"""The management port: /healthz, /readyz and /metrics for operators, and what other instances ask of us.

Owns the pages, the TCP port and the UDP socket of the same number (for notices between instances). It is not
for phones: it stands on the address of ``iface``, the interface between instances, and whoever reaches it may
read it; only questions of other instances are authenticated (``cluster.questions``).
"""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from era_ap.errors import cannot_serve
from era_ap.settings import own_address
from era_ap.web.connections import ConnectionPolicy
from era_ap.web.listening import allow_absent
from era_ap.web.server import WebPolicy, WebServer

if TYPE_CHECKING:
    import structlog

    from era_ap.config import ApRole
    from era_ap.health import Health
    from era_ap.web.exchange import Receive, Scope, Send

BODY_BYTES: Final = 64 * 1024
_ATTEMPTS: Final = 20
_ADVICE: Final = "; each role of a host needs an ext.management.port of its own"
_LOOPBACK: Final = "127.0.0.1"
_TEXT: Final = "text/plain; charset=utf-8"
_POLICY: Final = ConnectionPolicy(connections=512, connections_per_address=256, body_bytes=BODY_BYTES)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page is asked with."""

    headers: Mapping[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """What a page answers."""

    body: bytes
    status: int = 200
    content_type: str = _TEXT
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


Pages = Mapping[tuple[str, str], Callable[[Asked], Page]]
"""By method and path; GET answers HEAD too."""


class ManagementApp:
    """The ASGI application: exact paths, nothing else. What a page raises goes to ``on_error``."""

    def __init__(self, pages: Pages, on_error: Callable[[BaseException], None]) -> None:
        self._pages = pages
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = str(scope["method"])
        page = self._answer(method, str(scope["path"]), dict(scope["headers"]), await _body(receive))
        length = b"%d" % len(page.body)
        headers = [
            (b"content-type", page.content_type.encode()),
            (b"content-length", length),
            (b"cache-control", b"no-store"),
            *page.headers,
        ]
        await send({"type": "http.response.start", "status": page.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else page.body})

    def _answer(self, method: str, path: str, headers: dict[bytes, bytes], body: bytes | None) -> Page:
        if body is None:
            return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        answers = {known: answer for (known, there), answer in self._pages.items() if there == path}
        if not answers:
            return _error(HTTPStatus.NOT_FOUND)
        answer = answers.get("GET" if method == "HEAD" else method)
        if answer is None:
            allowed = sorted(answers.keys() | ({"HEAD"} if "GET" in answers else set()))
            return _error(HTTPStatus.METHOD_NOT_ALLOWED, (b"allow", ", ".join(allowed).encode()))
        try:
            return answer(Asked(headers, body))
        except Exception as error:  # whatever is raised, there is an answer
            self._on_error(error)
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR)


class Management:
    """The management port of ``role``; ``pages`` may be added to before ``start``."""

    def __init__(
        self,
        role: ApRole,
        pages: Pages,
        log: structlog.typing.FilteringBoundLogger,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._role = role
        self._log = log
        self._server = WebServer(ManagementApp(pages, on_error), WebPolicy(_POLICY), lambda *_: None)
        self.where: tuple[str, int] = ("", 0)
        self.notices: socket.socket | None = None

    def bind(self) -> tuple[str, int]:
        """Bind both sockets, the UDP one is ``notices``; tells where. Raises OSError whose text says all.

        The address of the interface may come later, as when a host boots; where none is known, only this host
        can ask.
        """
        wanted = self._role.ext.management
        address = wanted.address or own_address(self._role)
        try:
            self.notices, self.where = self._bind(address or _LOOPBACK, wanted.port)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or wanted.address is not None:
                raise cannot_serve("management", address, wanted.port, error, _ADVICE) from error
            self.notices, self.where = self._bind(address, wanted.port, early=True)
            advice = (
                "nobody can ask until it is; set interfaces or ext.management.address if it never will be"
            )
            self._log.warning("the address of this role is not here yet", address=address, advice=advice)
        if not address:
            advice = "only this host can ask; give its address in interfaces, or start when it has one"
            self._log.warning("the interface of this role has no address", advice=advice)
        self._log.info("serving", transport="management", address=self.where[0], port=self.where[1])
        return self.where

    async def start(self) -> None:
        """Answer from now on."""
        await self._server.start()

    def close(self) -> None:
        """End everything now; ``notices`` belongs to who uses it."""
        self._server.close()

    def _bind(self, address: str, port: int, *, early: bool = False) -> tuple[socket.socket, tuple[str, int]]:
        """Both of one number; where the kernel chooses, one that is free for both."""
        for attempt in range(_ATTEMPTS):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            notices = socket.socket(family, socket.SOCK_DGRAM)
            try:
                if early:
                    allow_absent(notices)
                notices.bind((address, port))
                chosen = notices.getsockname()[1]
                return notices, self._server.bind(address, chosen, shared=False, early=early)
            except OSError:
                notices.close()
                if port or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")


def health_pages(health: Callable[[], Health], about: Mapping[str, str]) -> Pages:
    """/healthz: the event loop turns. /readyz: the verdict as JSON, 503 where phones are not served."""

    def ready(_asked: Asked) -> Page:
        found = health()
        document = json.dumps({**about, **found.document()}, indent=2, ensure_ascii=False) + "\n"
        return Page(document.encode(), 200 if found.verdict.serves else 503, "application/json")

    return {("GET", "/healthz"): lambda _asked: Page(b"ok\n"), ("GET", "/readyz"): ready}


def metrics_page(expose: Callable[[str], tuple[bytes, str]]) -> Pages:
    """/metrics, in the form that the scraper asks for (see ``Monitor.expose``)."""

    def metrics(asked: Asked) -> Page:
        body, content_type = expose(asked.headers.get(b"accept", b"").decode("latin-1"))
        return Page(body, content_type=content_type)

    return {("GET", "/metrics"): metrics}


async def _body(receive: Receive) -> bytes | None:
    """The body of a request, None if it is too large."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += bytes(message.get("body", b""))
        if len(body) > BODY_BYTES:
            return None
        if not message.get("more_body"):
            return body


def _error(status: HTTPStatus, *headers: tuple[bytes, bytes]) -> Page:
    return Page(f"{status.phrase}\n".encode(), status.value, headers=headers)
