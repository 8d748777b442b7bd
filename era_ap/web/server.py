"""The HTTP server as the daemon sees it: bind, start, take other settings, stop.

Owns the sockets, TLS and the once-a-second sweep of connections; everything runs in the daemon's one event
loop. uvicorn's protocol is used without its server, which would want signals and sockets of its own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from uvicorn import Config
from uvicorn.server import ServerState

from era_ap.errors import Reason, Refused
from era_ap.web.connections import ConnectionPolicy, Connections, PhoneConnection
from era_ap.web.handshakes import TlsListener
from era_ap.web.listening import BACKLOG, HANDSHAKE_SECONDS, listen, turn_away

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from era_ap.web.exchange import Answer, Exchange, Receive, Scope, Send

    App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SWEEP_SECONDS: Final = 1.0
_FIRST_REQUEST_SECONDS: Final = 1.0
"""While we stop, time for the first request of somebody who has just connected."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificate with its chain, and key; PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class WebPolicy:
    """Limits of the server; a new one may be set at any time."""

    connections: ConnectionPolicy = field(default_factory=ConnectionPolicy)
    tls: TlsFiles | None = None


class WebServer:
    """Serves ``app``; ``on_malformed`` gets address and scheme of what sent no HTTP.

    ``answer`` may answer for ``app`` what needs neither a body nor time; None: ``app`` has to do it.
    """

    def __init__(
        self,
        app: App,
        policy: WebPolicy,
        on_malformed: Callable[[str, str], None],
        answer: Callable[[Exchange], Answer | None] = lambda _: None,
    ) -> None:
        self._app = app
        self._connections = Connections(policy.connections, on_malformed, answer)
        self._sockets: list[tuple[socket.socket, bool]] = []
        self._own: list[socket.socket] = []
        self._servers: list[asyncio.Server | TlsListener] = []
        self._handshakes: list[TlsListener] = []
        self._state = ServerState()
        self._sweeping: asyncio.Task[None] | None = None
        self._tls = read_certificate(policy.tls) if policy.tls is not None else None

    def bind(
        self,
        address: str = "",
        port: int = 0,
        *,
        tls: bool = False,
        sock: socket.socket | None = None,
        shared: bool = True,
        early: bool = False,
    ) -> tuple[str, int]:
        """Listen at ``address``, or by a ``sock`` that listens, and tell where. Raises ``OSError``.

        Nothing is answered before ``start``. A ``shared`` port may be other instances' too. ``early``: the
        address may come to this host later.
        """
        listener = sock or listen(address, port, shared=shared, early=early)
        if sock is None:
            self._own.append(listener)
        listener.setblocking(False)
        self._sockets.append((listener, tls))
        host, bound, *_ = listener.getsockname()
        return host, bound

    async def start(self) -> None:
        """Answer from now on."""
        loop = asyncio.get_running_loop()
        config = Config(
            self._app,
            lifespan="off",
            ws="none",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        config.load()

        def connection() -> PhoneConnection:
            return PhoneConnection(self._connections, config, self._state, {}, loop)

        self._tell_date()
        for listener, tls in self._sockets:
            if not tls:
                self._servers.append(await loop.create_server(connection, sock=listener, backlog=BACKLOG))
                continue
            context = self._listening_context()
            shaking = TlsListener(listener, context, connection, lambda: self._connections.policy)
            shaking.start()
            self._handshakes.append(shaking)
        self._servers += self._handshakes
        self._sweeping = loop.create_task(self._sweep())

    def replace(self, policy: WebPolicy) -> None:
        """Take other limits and the certificate as it is now; connections go on.

        Raises ``Refused`` (TLS_FILES) where the files cannot be used; the certificate in service stays then.
        """
        self._connections.policy = policy.connections
        if self._tls is not None and policy.tls is not None:
            self._tls = read_certificate(policy.tls)

    @property
    def connections(self) -> int:
        """Connections there are."""
        return len(self._connections)

    @property
    def is_serving(self) -> bool:
        """Whether every port that was bound is listened on."""
        return all(server.is_serving() for server in self._servers)

    async def drain(self, limit: float) -> bool:
        """Take nothing new, let answers under way end: True when all did within ``limit`` seconds.

        Who has connected before that is answered all the same. A socket that somebody else has bound stays as
        it is: whoever gets it next finds new connections there.
        """
        loop = asyncio.get_running_loop()
        for listener in self._own:
            turn_away(listener)
        await asyncio.sleep(HANDSHAKE_SECONDS)
        for server in self._servers:
            server.close()
        self._servers.clear()
        start = loop.time()
        while len(self._connections) and (passed := loop.time() - start) < limit:
            for connection in self._connections:
                connection.finish(patient=passed < _FIRST_REQUEST_SECONDS)
            await asyncio.sleep(0.02)
        return not len(self._connections)

    def close(self) -> None:
        """End everything now."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for server in self._servers:
            server.close()
        for shaking in self._handshakes:
            shaking.abort()
        for connection in self._connections:
            connection.abort()
        for listener, _ in self._sockets:
            listener.close()

    def _listening_context(self) -> ssl.SSLContext:
        """Gives every handshake the certificate in service.

        One context for all would keep the old certificate beside a new one of another kind of key.
        """

        def choose(handshake: ssl.SSLObject, _name: str | None, _of_listener: ssl.SSLContext) -> None:
            if self._tls is not None:
                handshake.context = self._tls

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.sni_callback = choose
        return context

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._tell_date()
            self._connections.sweep(loop.time())

    def _tell_date(self) -> None:
        date = formatdate(usegmt=True)
        self._state.default_headers = [(b"date", date.encode())]
        self._connections.tell_date(date)


def read_certificate(files: TlsFiles) -> ssl.SSLContext:
    """What shows this certificate in a handshake; raises ``Refused`` (TLS_FILES)."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Refused(Reason.TLS_FILES, f"{files.certificate}, {files.key}: {why}") from None
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; give it without a passphrase")
