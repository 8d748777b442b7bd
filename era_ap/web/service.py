"""HTTP of one instance as the daemon sees it: what is bound, and the temporary addresses it gives.

Owns the wiring of app, server and sink, and what a new configuration or certificate changes. Does nothing
where neither ``ext.http_port`` nor ``ext.https_port`` is set.
"""

from __future__ import annotations

import errno
import time
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from era_ap.admission import read_address
from era_ap.errors import Reason, Refused, cannot_serve
from era_ap.provisioning.request import Subject, Transport
from era_ap.provisioning.tokens import issue
from era_ap.settings import upload_policy
from era_ap.sip.vendors import builtin_vendors
from era_ap.site_key import is_exposed
from era_ap.web.agents import Agents, builtin_basic
from era_ap.web.connections import ConnectionPolicy
from era_ap.web.exchange import WebReport
from era_ap.web.phones import PhoneApp, Surroundings
from era_ap.web.representation import Describer
from era_ap.web.server import TlsFiles, WebPolicy, WebServer
from era_ap.web.sink import Sink

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping, Sequence

    import structlog

    from era_ap.admission import Admission
    from era_ap.config import ApRole, Ext
    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.provisioning.request import Opener
    from era_ap.provisioning.trust import Trust
    from era_ap.reporting import Reporter

_HTTP_PORT: Final = 80


class PhoneHttp:
    """HTTP and HTTPS for phones. Raises ``Refused`` (TLS_FILES) where the certificate cannot be used.

    ``server`` knows how many connections there are and whether it serves.
    """

    def __init__(
        self,
        role: ApRole,
        opener: Opener,
        provisioner: Provisioner,
        trust: Trust,
        admission: Admission,
        reporter: Reporter,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._ext = role.ext
        self._trust = trust
        self._on_end = reporter.web
        self._log = log
        self._port: int | None = None
        self._hosts: list[str] = []
        self._sink = Sink(upload_policy(role), provisioner.judge_upload)
        app = PhoneApp(
            Surroundings(
                opener=opener,
                trust=trust,
                admission=admission,
                agents=Agents(builtin_vendors(), builtin_basic()),
                describer=Describer(trust.policy.keys[0]),
                sink=self._sink,
                on_end=reporter.web,
                on_error=reporter.defect,
                is_proxy=self._is_proxy,
            )
        )
        self.server = WebServer(app, self._policy(), self._malformed, app.answer)

    def bind(self, given: Mapping[str, Sequence[socket.socket]] = MappingProxyType({})) -> None:
        """Bind the ports that are configured; raises ``OSError`` whose text is the whole story.

        Sockets ``given`` as "http" or "https" are bound already and used instead.
        """
        for name, port in (("http", self._ext.http_port), ("https", self._ext.https_port)):
            socks = given.get(name, ())
            if socks and name == "https" and tls_files(self._ext) is None:
                raise OSError("systemd gives a socket for HTTPS; set ext.https_port, tls_cert and tls_key")
            for sock in socks:
                self._tell(name, *self.server.bind(sock=sock, tls=name == "https"))
            for address in self._ext.http_listen if port is not None and not socks else ():
                self._bind(name, address, port or 0)

    async def start(self) -> None:
        """Answer from now on."""
        key_file = self._ext.key_file
        if key_file is not None and is_exposed(key_file):
            self._log.warning("the site's key is readable for everybody", file=str(key_file))
        await self.server.start()

    def replace(self, role: ApRole) -> None:
        """Take other limits, and the certificate as it is now; ports wait for a restart."""
        self._ext = role.ext
        self._sink.policy = upload_policy(role)
        try:
            self.server.replace(self._policy())
        except Refused as refused:
            self._log.error("certificate not taken", detail=refused.detail, advice=refused.reason.advice)

    async def drain(self, limit: float) -> None:
        """Take nothing new; answers under way get ``limit`` seconds."""
        await self.server.drain(limit)

    def close(self) -> None:
        """End everything now."""
        self.server.close()
        self._sink.close()

    def temporary_url(self, mac: str, path_or_folder: str, source: str, local: str) -> str | None:
        """The address under which the phone ``mac`` at ``source`` finds its file, or with "" its folder.

        ``local`` is our address as the phone knows it; None where HTTP is not served.
        """
        if self._port is None:
            return None
        expires = time.time() + self._ext.url_seconds
        token = issue(self._trust.policy.keys[0], mac, path_or_folder, source, expires)
        host = _reachable(local, self._hosts)
        port = "" if self._port == _HTTP_PORT else f":{self._port}"
        return f"http://{f'[{host}]' if ':' in host else host}{port}/p/{token}/{quote(path_or_folder)}"

    def _bind(self, name: str, address: str, port: int) -> None:
        try:
            host, bound = self.server.bind(address, port, tls=name == "https")
        except OSError as error:
            if address == "::" and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                self._log.warning("this host has no IPv6", address=address)
                return
            raise cannot_serve(name.upper(), address, port, error) from error
        self._tell(name, host, bound)

    def _tell(self, name: str, address: str, port: int) -> None:
        if name == "http":
            self._port = port
            self._hosts.append(address)
        self._log.info("serving", transport=name, address=address, port=port)

    def _is_proxy(self, address: str) -> bool:
        proxies = self._ext.http_proxies
        if not proxies:
            return False
        found = read_address(address)
        return found is not None and any(found in network for network in proxies)

    def _policy(self) -> WebPolicy:
        ext = self._ext
        return WebPolicy(
            ConnectionPolicy(
                connections=ext.http_connections,
                connections_per_address=ext.http_connections_per_address,
                request_seconds=ext.http_request_seconds,
                keep_seconds=ext.http_keep_seconds,
                body_bytes=ext.upload_bytes if ext.uploads is not None else 0,
                is_proxy=self._is_proxy,
            ),
            tls_files(ext),
        )

    def _malformed(self, address: str, scheme: str) -> None:
        transport = Transport.HTTPS if scheme == "https" else Transport.HTTP
        self._on_end(WebReport(transport, address, "", Reason.HTTP_MALFORMED, 400, Subject(), 0, 0.0, ""))


def _reachable(local: str, listens: Iterable[str]) -> str:
    """``local``, unless HTTP is served elsewhere only: then the first such address of its family."""
    listen = [ip_address(each.partition("%")[0]) for each in listens]
    wanted = read_address(local)
    same = [each for each in listen if wanted is not None and each.version == wanted.version]
    if wanted is None or wanted in listen or not same or any(each.is_unspecified for each in same):
        return local.partition("%")[0]
    return str(same[0])


def tls_files(ext: Ext) -> TlsFiles | None:
    """Certificate and key of HTTPS, None where it is not served."""
    if ext.https_port is None or ext.tls_cert is None or ext.tls_key is None:
        return None
    return TlsFiles(ext.tls_cert, ext.tls_key)
