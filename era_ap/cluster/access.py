"""How one instance reaches ZooKeeper: servers, path, credentials, TLS; and what an operator reads about it.

Owns the reading of password and certificates, anew for each client, so that they can be replaced under a
running daemon, and the log lines with the advice for each way of being turned away. Does not own the
connection. No text of this module ever contains a password.
"""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from era_ap.config import Mechanism, Zookeeper
from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    import structlog

    from era_ap.config import ApRole, Site

_PASSWORD_BYTES: Final = 1024

_OPEN_ADVICE: Final = (
    "everybody who reaches ZooKeeper can read and change what we keep there, also the site's key; "
    "set ext.zookeeper.user and password_file on all instances"
)
_WORLD_ADVICE: Final = (
    "what was made before ext.zookeeper.user was set is still open to everybody; stop all instances, delete "
    "it (zkCli.sh deleteall PATH) and start them again, they make it anew"
)
_TIMEOUT_ADVICE: Final = (
    "the servers grant 2 to 20 of their ticks; set tickTime, minSessionTimeout or maxSessionTimeout there, "
    "or ext.cluster.session_seconds"
)
_LOGIN_ADVICE: Final = (
    "the servers do not accept this user and password; compare ext.zookeeper with the Server section of "
    "their JAAS file, and mechanism sasl with their authProvider"
)
_FORBIDDEN_ADVICE: Final = (
    "the node belongs to another user, or ours has another password than when it was made; all instances "
    "need the same ext.zookeeper.user and password"
)
_CHROOT_ADVICE: Final = (
    "the node above does not let us make our own; make the chroot of 'zookeeper' there, with all rights for "
    "our user (zkCli.sh create PATH; setAcl PATH auth:USER:PASSWORD:cdrwa)"
)
_CERTIFICATE_ADVICE: Final = "the server's certificate is not from ext.zookeeper.ca_file, or has ended"
_NAME_ADVICE: Final = (
    "the server's certificate lacks the name or address that 'zookeeper' of the site lists for it"
)
_CLIENT_CERTIFICATE_ADVICE: Final = "the server asks for a client's certificate; see ext.zookeeper.cert_file"
_NO_TLS_ADVICE: Final = (
    "the port does not speak TLS; 'zookeeper' of the site must list the servers' secureClientPort"
)
_MAYBE_TLS_ADVICE: Final = (
    "the server closed the connection: it has no quorum, refuses our address, or its port wants TLS "
    "(ext.zookeeper.tls)"
)


@dataclass(frozen=True, slots=True)
class Access:
    """Where the ensemble is and how to get in. ``servers`` in the notation of ZooKeeper's clients, without
    the chroot; ``root`` is the path of everything of ours, ``<chroot>/era_ap/<site>``.
    """

    servers: str
    root: str
    session_seconds: float = 4.0
    settings: Zookeeper = field(default_factory=Zookeeper)

    @classmethod
    def of(cls, site: Site, role: ApRole) -> Access:
        """The access of ``role``; ``site`` must name servers."""
        servers, slash, chroot = (site.zookeeper or "").partition("/")
        return cls(
            servers,
            f"{slash}{chroot}/era_ap/{site.site}",
            role.ext.cluster.session_seconds,
            role.ext.zookeeper,
        )

    @property
    def is_open(self) -> bool:
        """Whether what we write is open to everybody, as we have no name there."""
        return self.settings.user is None

    @property
    def over_sasl(self) -> bool:
        """Whether the servers know our user, so that a wrong password ends the connection."""
        return self.settings.user is not None and self.settings.mechanism is Mechanism.SASL

    def password(self) -> str:
        """The password as it is now, "" without a user; raises ``Refused`` (ZOOKEEPER_PASSWORD)."""
        path = self.settings.password_file
        if path is None:
            return ""
        try:
            with path.open("rb") as file:
                lines = file.read(_PASSWORD_BYTES).decode("utf-8").splitlines()
        except OSError as error:
            raise Refused(Reason.ZOOKEEPER_PASSWORD, f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Refused(Reason.ZOOKEEPER_PASSWORD, f"{path}: is not UTF-8 text") from None
        if len(lines) != 1 or not lines[0].strip():
            raise Refused(Reason.ZOOKEEPER_PASSWORD, f"{path}: must hold the password in its one line")
        return lines[0].strip()

    def credentials(self) -> list[tuple[str, str]]:
        """What servers take for who we are where they know no users; raises as ``password``."""
        user = self.settings.user
        return [] if user is None or self.over_sasl else [("digest", f"{user}:{self.password()}")]

    def stands_by(self, credentials: list[tuple[str, str]]) -> bool:
        """Whether ``credentials`` are as they would be made now, as far as that can be told."""
        try:
            return credentials == self.credentials()
        except Refused:
            return True

    def login(self) -> dict[str, str | None] | None:
        """How to log in where servers know their users, None elsewhere; raises as ``password``."""
        user = self.settings.user
        login = {"mechanism": "DIGEST-MD5", "username": user}
        return login | {"password": self.password()} if self.over_sasl else None

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS needs, from the files as they are now; None without. Raises ``Refused`` (TLS_FILES)."""
        files = self.settings
        if not files.tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if files.ca_file is None:
                context.load_default_certs(ssl.Purpose.SERVER_AUTH)
            else:
                context.load_verify_locations(files.ca_file)
            if files.cert_file is not None and files.key_file is not None:
                # Without a password of its own OpenSSL would ask for one on the terminal.
                context.load_cert_chain(files.cert_file, files.key_file, password="")
        except OSError as error:
            why = "is not a PEM file, or the key does not belong to the certificate"
            if not isinstance(error, ssl.SSLError):
                why = error.strerror or "cannot be read"
            names = ", ".join(str(path) for path in (files.ca_file, files.cert_file, files.key_file) if path)
            raise Refused(Reason.TLS_FILES, f"ext.zookeeper ({names}): {why}") from None
        return context

    def check(self) -> None:
        """Read all files once; raises ``Refused``."""
        self.password()
        self.tls_context()

    def connect(self, address: tuple[str, int], name: str) -> socket.socket:
        """A connection to one server; ``name`` is what its certificate must hold. Raises ``OSError``."""
        try:
            context = self.tls_context()
            connection = socket.create_connection(
                address, self.session_seconds / (self.servers.count(",") + 1)
            )
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                with connection:  # closed if TLS fails, else taken over
                    connection = context.wrap_socket(connection, server_hostname=name)
        except Refused as refused:
            raise OSError(errno.EINVAL, str(refused)) from None
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "no answer in time") from None
        return connection

    def advice(self, failure: str) -> str:
        """What to do about a server that turned us away with ``failure``; "" where that says it itself."""
        text, tls = failure.lower(), self.settings.tls
        known = (
            ("mismatch" in text and "certificate" in text, _NAME_ADVICE),
            ("certificate verify failed" in text, _CERTIFICATE_ADVICE),
            ("alert" in text or "handshake failure" in text, _CLIENT_CERTIFICATE_ADVICE),
            ("authentication" in text, _LOGIN_ADVICE),
            (tls and any(word in text for word in ("wrong version", "eof", "handshake")), _NO_TLS_ADVICE),
            (not tls and ("broken" in text or "reset" in text), _MAYBE_TLS_ADVICE),
        )
        return next((advice for fits, advice in known if fits), "")


class Told:
    """What the log says of ZooKeeper: each change once, with advice; nothing that only repeats."""

    def __init__(self, access: Access, log: structlog.typing.FilteringBoundLogger) -> None:
        self._access = access
        self._log = log
        self._turned_away: dict[str, str] = {}
        self._said: set[str] = set()

    def connected(self, server: str, session_id: int, seconds: float) -> None:
        """A server has taken us."""
        self._turned_away.clear()
        self._said -= {line for line in self._said if line.startswith("/")}
        asked = self._access.session_seconds
        self._log.info("connected to ZooKeeper", server=server, session=f"{session_id:#x}", timeout=seconds)
        if abs(seconds - asked) > 0.001 and self._is_new(f"timeout {seconds}"):
            self._log.warning(
                "ZooKeeper grants another session timeout",
                asked=asked,
                granted=seconds,
                advice=_TIMEOUT_ADVICE,
            )
        if self._access.is_open and self._is_new("open"):
            self._log.warning("ZooKeeper does not know who we are", advice=_OPEN_ADVICE)

    def suspended(self) -> None:
        """Contact is lost."""
        self._log.warning("contact to ZooKeeper lost")

    def lost(self) -> None:
        """The session has ended."""
        self._log.warning("the session at ZooKeeper has ended")

    def turned_away(self, server: str, why: str) -> None:
        """A server has not taken us."""
        if self._turned_away.get(server) != why:
            self._turned_away[server] = why
            advice = self._access.advice(why)
            more = {"advice": advice} if advice else {}
            self._log.warning("ZooKeeper does not take us", server=server, detail=why, **more)

    def forbidden(self, path: str) -> None:
        """We may not do what we must with a node."""
        if self._is_new(path):
            outside = not f"{path}/".startswith(f"{self._access.root}/")
            advice = _CHROOT_ADVICE if outside else _FORBIDDEN_ADVICE
            self._log.error("ZooKeeper refuses us a node", path=path, advice=advice)

    def failed(self, detail: str, exc_info: object) -> None:
        """The client's library has a defect or met one."""
        self._log.error("the ZooKeeper client failed", detail=detail, exc_info=exc_info)

    def open_to_the_world(self, path: str) -> None:
        """A node of ours is open to everybody although we have a name."""
        if self._is_new(f"world {path}"):
            self._log.warning("a node of ours is open to everybody", path=path, advice=_WORLD_ADVICE)

    def _is_new(self, line: str) -> bool:
        is_new = line not in self._said
        self._said.add(line)
        return is_new
