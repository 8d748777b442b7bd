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

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from era_ap.web.phones import PhoneApp

_BACKLOG: Final = 2048
_SWEEP_SECONDS: Final = 1.0
_HANDSHAKE_SECONDS: Final = 10.0


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
    """Serves ``app``; ``on_malformed`` gets address and scheme of what sent no HTTP."""

    def __init__(self, app: PhoneApp, policy: WebPolicy, on_malformed: Callable[[str, str], None]) -> None:
        self._app = app
        self._connections = Connections(policy.connections, on_malformed)
        self._sockets: list[tuple[socket.socket, bool]] = []
        self._servers: list[asyncio.Server] = []
        self._state = ServerState()
        self._sweeping: asyncio.Task[None] | None = None
        self._tls = read_certificate(policy.tls) if policy.tls is not None else None

    def bind(
        self, address: str = "", port: int = 0, *, tls: bool = False, sock: socket.socket | None = None
    ) -> tuple[str, int]:
        """Listen at ``address``, or by a ``sock`` that listens, and tell where. Raises ``OSError``.

        Nothing is answered before ``start``.
        """
        listener = sock or self._listener(address, port)
        listener.setblocking(False)
        self._sockets.append((listener, tls))
        host, bound, *_ = listener.getsockname()
        return host, bound

    @staticmethod
    def _listener(address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            info = socket.getaddrinfo(
                address, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
            )
            listener.bind(info[0][4])
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

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
            self._servers.append(
                await loop.create_server(
                    connection,
                    sock=listener,
                    backlog=_BACKLOG,
                    ssl=self._listening_context() if tls else None,
                    ssl_handshake_timeout=_HANDSHAKE_SECONDS if tls else None,
                )
            )
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
        """Take nothing new, let answers under way end: True when all did within ``limit`` seconds."""
        loop = asyncio.get_running_loop()
        for server in self._servers:
            server.close()
        self._servers.clear()
        end = loop.time() + limit
        while len(self._connections) and loop.time() < end:
            for connection in self._connections:
                connection.shutdown()
            await asyncio.sleep(0.02)
        return not len(self._connections)

    def close(self) -> None:
        """End everything now."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for server in self._servers:
            server.close()
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
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]


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
