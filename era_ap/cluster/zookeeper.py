"""The bridge to kazoo: an ``Ensemble`` on the event loop, served by kazoo's threads. Nobody else knows it.

Owns nodes, transactions, ACLs and paths, and what of kazoo is not good enough here: requests are never kept
for later, names are resolved anew, servers that lost their data are accepted again. Uses none of kazoo's
recipes and decides nothing. What happens in kazoo's threads is only posted to the loop (``session``).
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    ConnectionDropped,
    ConnectionLoss,
    KazooException,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.states import KazooState, KeeperState
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from era_ap.cluster.access import Told
from era_ap.cluster.contract import (
    Check,
    Create,
    Delete,
    Node,
    Put,
    RefusedWriteError,
    SessionState,
    UnavailableError,
)
from era_ap.cluster.session import Session, forbidden, hung

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog

    from era_ap.cluster.access import Access
    from era_ap.cluster.contract import Operation, Watch
    from era_ap.cluster.session import OnChange

TRANSACTION_BYTES: Final = 1_000_000
"""A little less than servers take (jute.maxbuffer); they end the connection of who sends more."""
STALE_NAMES: Final = 5.0

_REFUSALS: Final = {
    NodeExistsError: "exists",
    NoNodeError: "it or its parent is missing",
    BadVersionError: "has another version",
    NotEmptyError: "has children",
    NoChildrenForEphemeralsError: "its parent is ephemeral",
}
_INNOCENT: Final = (RolledBackError, RuntimeInconsistency)
"""What stands for operations of a refused transaction that another one of it has brought down."""


def _pause(seconds: float) -> None:
    """As ``time.sleep``, by the monotonic clock even where a test sets another one."""
    threading.Event().wait(seconds)


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """Kazoo's threads, with our own TLS and limits for connecting."""

    sleep_func = staticmethod(_pause)

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access
        self.socket_in_use: socket.socket | None = None

    def create_socket_pair(self) -> tuple[socket.socket, socket.socket]:
        """The pair that wakes the connection's thread; the loop must not block on a full one."""
        ours, theirs = super().create_socket_pair()
        theirs.setblocking(False)
        return ours, theirs

    def create_connection(self, address: tuple[str, int], hostname: str, **_: object) -> socket.socket:
        """A connection to one address of the server ``hostname``."""
        self.socket_in_use = self._access.connect(address, hostname)
        return self.socket_in_use

    def select(
        self, rlist: list[Any], wlist: list[Any], xlist: list[Any], timeout: float | None = None
    ) -> Any:
        """As select(2), but what TLS has read ahead counts as readable."""
        ahead = [each for each in rlist if isinstance(each, ssl.SSLSocket) and each.pending()]
        found = super().select(rlist, wlist, xlist, 0 if ahead else timeout)
        return ([*ahead, *(each for each in found[0] if each not in ahead)], *found[1:])


class _Connection(ConnectionHandler):  # type: ignore[misc]
    """Kazoo's way through the servers, corrected."""

    def __init__(self, client: _Client, *args: Any, **options: Any) -> None:
        super().__init__(client, *args, **options)
        self.heard = 0.0
        self.lost_at: float | None = None
        self._resolved_at = 0.0
        self._addresses: dict[str, set[tuple[str, str, int]]] = {}

    def _expand_client_hosts(self) -> list[tuple[str, str, int]]:
        """The addresses of all servers, of those whose names cannot be resolved now the last known ones."""
        found: list[tuple[str, str, int]] = super()._expand_client_hosts()
        self._resolved_at = time.monotonic()
        known: dict[str, set[tuple[str, str, int]]] = {}
        for entry in found:
            known.setdefault(entry[0], set()).add(entry)
        missing = [entry for host in self._addresses.keys() - known.keys() for entry in self._addresses[host]]
        self._addresses |= known
        return found + missing

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        """Connect and authenticate; returns the times in ms by which kazoo pings and gives up on answers."""
        session: Session = self.client.session
        server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self.lost_at is not None and time.monotonic() - self.lost_at > self.client.granted:
            # No promise binds us any more to what we have read; servers that lost their data would refuse
            # a client that remembers more than they know (kazoo #42).
            self.client.last_zxid = 0
        try:
            timeouts: tuple[float, float] = super()._connect(host, self._address(host, hostip, port), port)
        except SessionExpiredError:
            raise
        except (AuthFailedError, ConnectionDropped, KazooTimeoutError) as error:
            session.post(session.told.turned_away, server, _reason(error))
            raise
        except Exception as error:  # whatever listens there does not speak the protocol
            session.post(session.told.turned_away, server, _reason(error))
            raise ConnectionDropped(_reason(error)) from error
        granted = timeouts[0] * 1.5 / 1000  # kazoo gives answers two thirds of the session timeout
        self.lost_at = None
        self.heard = time.monotonic()
        self.client.granted = granted
        session.post(session.connected, self.client, self.client._session_id, granted, server)
        return granted * 1000 / 2, timeouts[1]

    def _address(self, host: str, known: str, port: int) -> str:
        """An address of ``host`` as of now; kazoo uses those of the beginning of its round (kazoo #794)."""
        if time.monotonic() - self._resolved_at < STALE_NAMES:
            return known
        try:
            now = [entry[4][0] for entry in socket.getaddrinfo(host, port, 0, 0, socket.IPPROTO_TCP)]
        except OSError:
            return known
        return known if known in now else str(now[0])

    def _read_socket(self, read_timeout: float) -> Any:
        response = super()._read_socket(read_timeout)
        self.heard = time.monotonic()
        return response


class _Reports(logging.Handler):
    """What kazoo calls an error is a defect that an operator should see; the rest we say better ourselves."""

    def __init__(self, session: Session) -> None:
        super().__init__(logging.ERROR)
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        self._session.post(self._session.told.failed, record.getMessage(), record.exc_info)


class _Client(KazooClient):  # type: ignore[misc]
    """One kazoo client, to its end; it reports to ``session``."""

    def __init__(self, access: Access, session: Session) -> None:
        self._access, self._proof = access, access.credentials()
        logger = logging.Logger("kazoo", logging.ERROR)
        logger.addHandler(_Reports(session))
        super().__init__(
            hosts=access.servers,
            timeout=access.session_seconds,
            handler=_Handler(access),
            default_acl=OPEN_ACL_UNSAFE if access.is_open else CREATOR_ALL_ACL,
            auth_data=self._proof,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, backoff=2, max_delay=1.0, sleep_func=_pause),
            command_retry=KazooRetry(max_tries=0, sleep_func=_pause),
            logger=logger,
        )
        retry = self._conn_retry.copy()
        self._connection = _Connection(self, retry, logger=logger, sasl_options=access.login())
        self.granted = access.session_seconds
        self.session = session
        self.add_listener(self._on_state)

    @property
    def heard(self) -> float:
        return float(self._connection.heard)

    @property
    def is_over(self) -> bool:
        return self.client_state in (KeeperState.AUTH_FAILED, KeeperState.CLOSED)

    def is_outdated(self) -> bool:
        return not self._access.stands_by(self._proof)

    def begin(self) -> None:
        self.start_async()

    def drop(self) -> None:
        connection = self.handler.socket_in_use
        if connection is not None:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def end(self) -> None:
        with suppress(KazooException, OSError):  # a thread of kazoo's that hangs in the system is left behind
            self.stop()
            self.close()

    def _on_state(self, state: str) -> None:
        if state == KazooState.SUSPENDED:
            self._connection.lost_at = self._connection.heard
            self.session.post(self.session.suspended, self)
        elif state == KazooState.LOST:
            self.session.post(self.session.lost, self)

    def _call(self, request: Any, async_object: Any) -> None:
        """Kazoo keeps requests for later while there is no contact; here they fail at once."""
        if self._state != KeeperState.CONNECTED:
            async_object.set_exception(ConnectionLoss())
            return
        super()._call(request, async_object)
        if self._state == KeeperState.CONNECTED and not async_object.ready():
            return
        # Contact was lost after kazoo had cleared its queue, or its thread could not be woken.
        with suppress(ValueError):
            self._queue.remove((request, async_object))
            if not async_object.ready():
                async_object.set_exception(ConnectionLoss())


def _reason(error: Exception) -> str:
    """Why a server did not take us, in a few words."""
    if isinstance(error, AuthFailedError):
        return "authentication failed"
    if isinstance(error, TimeoutError | KazooTimeoutError):
        return "no answer in time"
    text = str(error).removeprefix("socket connection error: ")
    return text if isinstance(error, ConnectionDropped) else f"{type(error).__name__}: {text}"


class ZooKeeper:
    """An ``Ensemble`` (``contract``) at the servers of ``access``; ``on_change`` is called on the loop with
    each new state or session id. Raises ``Refused`` if the password or a certificate cannot be read.
    """

    def __init__(
        self,
        access: Access,
        log: structlog.typing.FilteringBoundLogger,
        on_change: OnChange = lambda state, session: None,
    ) -> None:
        access.check()
        self._root = access.root
        self._is_open = access.is_open
        self._is_checked = False
        self._told = Told(access, log)
        self._session = Session(
            lambda: _Client(access, self._session), access.session_seconds, self._told, on_change
        )

    @property
    def state(self) -> SessionState:
        """The state of the session, as of now."""
        return self._session.state

    @property
    def session_id(self) -> int:
        """The id of the session, 0 before the first one."""
        return self._session.session_id

    @property
    def session_seconds(self) -> float:
        """The session timeout that the servers granted, before that the one we ask for."""
        return self._session.seconds

    def start(self) -> None:
        """Connect; returns at once, also where no server is."""
        self._session.start()

    async def close(self) -> None:
        """End the session, so that its ephemeral nodes go at once; within a second, whatever happens."""
        await self._session.close()

    async def read(self, path: str, watch: Watch | None = None) -> Node | None:
        """The node, None if there is none; ``watch`` then waits for its creation."""
        full = _below(self._root, path)
        with hung(self._session, watch) as bell:
            while True:
                try:
                    data, stat = await self._ask(full, lambda client: client.get_async(full, bell))
                except NoNodeError:
                    # Only "exists" can wait for a creation; if that came just now, read again.
                    if bell is None or not await self._ask(
                        full, lambda client: client.exists_async(full, bell)
                    ):
                        return None
                else:
                    return Node(data or b"", stat.version, stat.czxid, stat.mzxid, stat.ephemeralOwner)

    async def children(self, path: str, watch: Watch | None = None) -> tuple[str, ...]:
        """The names of the children, sorted; empty if there is no such node (then nothing is watched)."""
        full = _below(self._root, path)
        try:
            with hung(self._session, watch) as bell:
                names = await self._ask(full, lambda client: client.get_children_async(full, bell))
        except NoNodeError:
            return ()
        return tuple(sorted(names))

    async def make(self, path: str) -> None:
        """Make a node without data and those above it, where missing, the chroot too."""
        full = _below(self._root, path)
        await self._make(full)
        if not self._is_open and not self._is_checked:
            acls, _ = await self._ask(full, lambda client: client.get_acls_async(self._root))
            self._is_checked = True
            if any(acl.id.scheme == "world" for acl in acls):
                self._told.open_to_the_world(self._root)

    async def commit(self, *operations: Operation) -> None:
        """All operations or none; raises ``RefusedWriteError`` too."""
        size = sum(len(operation.path) + len(getattr(operation, "data", b"")) for operation in operations)
        if size > TRANSACTION_BYTES:
            raise RefusedWriteError(f"a transaction of {size} bytes is more than servers take")

        def send(client: _Client) -> Any:
            transaction = client.transaction()
            for operation in operations:
                _add(transaction, _below(self._root, operation.path), operation)
            return transaction.commit_async()

        for operation, result in zip(operations, await self._ask(self._root, send), strict=False):
            if isinstance(result, NoAuthError):
                forbidden(self._session, _below(self._root, operation.path))
                raise UnavailableError(f"{operation.path}: ZooKeeper refuses us this node")
            if isinstance(result, Exception) and not isinstance(result, _INNOCENT):
                why = _REFUSALS.get(type(result), type(result).__name__)
                raise RefusedWriteError(f"{operation.path}: {why}")

    async def _make(self, full: str) -> None:
        try:
            await self._ask(full, lambda client: client.create_async(full))
        except NodeExistsError:
            return
        except NoNodeError:
            await self._make(full.rpartition("/")[0])
            with suppress(NodeExistsError):
                await self._ask(full, lambda client: client.create_async(full))

    async def _ask(self, full: str, send: Callable[[_Client], Any]) -> Any:
        """The answer to what ``send`` sends; of kazoo's errors only what nodes there are passes through."""
        try:
            return await self._session.ask(send)
        except (NoNodeError, NodeExistsError):
            raise
        except NoAuthError:
            forbidden(self._session, full)
            raise UnavailableError(f"{full}: ZooKeeper refuses us this node") from None
        except KazooException as error:
            raise UnavailableError(f"{full}: {type(error).__name__}") from None


def _below(root: str, path: str) -> str:
    return f"{root}/{path}" if path else root


def _add(transaction: Any, full: str, operation: Operation) -> None:
    match operation:
        case Create(data=data, ephemeral=ephemeral):
            transaction.create(full, data, ephemeral=ephemeral)
        case Put(data=data, version=version):
            transaction.set_data(full, data, version)
        case Delete(version=version):
            transaction.delete(full, version)
        case Check(version=version):
            transaction.check(full, version)
