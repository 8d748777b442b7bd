"""Wires one instance of the daemon together and runs it on one event loop; only this file knows all others.

Owns start, reload and stop: sockets are bound first, so that a taken port is reported at once; then storage
and directory are loaded; then systemd is told. SIGHUP reads the configuration again, SIGTERM lets running
transfers finish.
"""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import gc
import os
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING

import uvloop

from era_ap import config, systemd
from era_ap.admission import Admission
from era_ap.clustering import Clustering
from era_ap.discovery import Discovery
from era_ap.errors import Problem, Refused, cannot_serve
from era_ap.feeds import Feeds
from era_ap.health import Phase
from era_ap.logs import JournalFile, Logs, keep_standard_descriptors
from era_ap.oversight import Observed, Oversight
from era_ap.provisioning.addresses import AddressBook
from era_ap.provisioning.provisioner import Provisioner
from era_ap.provisioning.trust import Trust
from era_ap.reporting import Reporter
from era_ap.resolver import Resolver
from era_ap.service import FileService
from era_ap.settings import admission_policy, rules_of, tftp_policy, trust_policy
from era_ap.site_key import MOST, read_keys
from era_ap.state import State, folder_of
from era_ap.static_files import StaticFiles
from era_ap.tftp.server import TftpServer
from era_ap.watchdog import Watchdog
from era_ap.web.service import PhoneHttp

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from pathlib import Path

    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    from era_ap.config import ApRole, Site


SILENT_SECONDS = 10.0
DESCRIPTORS = 65536
GARBAGE = 20_000
"""Objects between two looks for garbage: each transfer makes a dozen, which are dropped with it."""


class Daemon:
    """One running instance of one ap role."""

    def __init__(self, reactor: AsyncioSelectorReactor, path: Path, site: Site, role: ApRole) -> None:
        self._path, self._site, self._role = path, site, role
        self.is_stopping = False
        ext = role.ext
        self._logs = Logs(ext.log.format.value, ext.log.level.value, role=role.name)
        self._log = self._logs.log
        self._journal = JournalFile(ext.journal, self._log) if ext.journal else None
        reporter = Reporter(self._log, self._journal, served=self._logs.served)
        self.report_defect = reporter.defect
        book = AddressBook()
        resolver = Resolver(book, time.monotonic, ext.dns)
        self._trust = Trust(trust_policy(role, read_keys(ext.key_file)), time.time)
        self._provisioner = Provisioner(rules_of(site, role), book.addresses, self._trust)
        self._statics = StaticFiles(site.storage, storage_seconds=ext.storage_seconds)
        self._state = State(folder_of(site, role), role.name, site.site, self._log)
        parts = (self._provisioner, book, resolver, self._log)
        self._feeds = Feeds(site, role, *parts, statics=self._statics, state=self._state)
        observe = reporter.counts.rendered.observe
        self._service = FileService(
            self._provisioner, self._statics, book, resolver, clock=time.monotonic, on_rendered=observe
        )
        self._admission = Admission(admission_policy(role))
        # Who asks by multicast may forge his source; that must not close TFTP and HTTP to somebody else.
        self._pnp_admission = Admission(admission_policy(role))
        self._tftp = TftpServer(
            reactor,
            self._service,
            tftp_policy(role),
            self._admission,
            reporter.tftp,
            on_error=reporter.defect,
        )
        self._http = PhoneHttp(
            role, self._service, self._provisioner, self._trust, self._admission, reporter, self._log
        )
        self._clustering = Clustering(site, role, self._state, self._provisioner, self._take_key, self._log)
        self._discovery = self._make_discovery(reactor, reporter)
        self._oversight = Oversight(site, role, self._observed(), reporter, self._log)
        self._watchdog: Watchdog | None = None

    def _make_discovery(self, reactor: AsyncioSelectorReactor, reporter: Reporter) -> Discovery:
        return Discovery(
            reactor,
            self._role,
            self._provisioner,
            self._pnp_admission,
            reporter,
            self._log,
            http_url=self._http.temporary_url,
            may_answer=self._clustering.may_answer,
            may_send=self._clustering.may_send,
            announce=self._clustering.announce,
        )

    def _observed(self) -> Observed:
        return Observed(
            provisioner=self._provisioner,
            feeds=self._feeds,
            state=self._state,
            tftp=self._tftp,
            http=self._http,
            discovery=self._discovery,
            clustering=self._clustering,
            gates={"files": self._admission, "pnp": self._pnp_admission},
            pools={"storage": self._statics.pool},
            logs={"log": self._logs} | ({"journal": self._journal} if self._journal else {}),
        )

    def bind(self) -> None:
        """Claim the role and bind the sockets.

        Raises ``OSError``, whose text says all, where a port is taken, ``Refused`` where the role is.
        """
        self._state.claim()
        given = systemd.inherited()
        self._bind_tftp(given.get("tftp", ()))
        self._http.bind(given)
        self._oversight.management.bind()

    def _bind_tftp(self, given: Sequence[socket.socket]) -> None:
        for sock in given:
            host, port, *_ = self._tftp.listen(sock=sock)
            self._discovery.tftp_port = port
            self._log.info("serving", transport="tftp", address=host, port=port, bound_by="systemd")
        for address in self._role.ext.listen if not given else ():
            try:
                host, port, *_ = self._tftp.listen(address, self._role.tftp_port)
            except OSError as error:
                if address != "::" or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise cannot_serve("TFTP", address, self._role.tftp_port, error) from error
                self._log.warning("this host has no IPv6", address=address)
                continue
            self._discovery.tftp_port = port
            self._log.info("serving", transport="tftp", address=host, port=port)

    async def start(self) -> None:
        """Load what there is to serve, then tell systemd; what is missing by then is refused for now.

        Until then phones hear nothing rather than an error: they ask again, an error could end their boot.
        """
        await self._oversight.start(Phase.STARTING)
        loading = asyncio.ensure_future(self._feeds.start())
        await asyncio.wait({loading}, timeout=SILENT_SECONDS)
        self._tftp.serve()
        await self._http.start()
        self._oversight.readiness.phase = Phase.RUNNING
        await loading
        gc.collect()
        gc.freeze()  # what lives as long as the process is not worth a pause of 100 ms every few seconds
        gc.set_threshold(GARBAGE)
        self._discovery.start()
        oversight = self._oversight
        await self._clustering.start(self._feeds, self._discovery, oversight.management, oversight.readiness)
        every = systemd.watchdog_seconds()
        if every is not None:
            alive = {
                "log": self._logs.is_alive,
                "tftp": lambda: not self._tftp.hub.is_lost,
                "http": lambda: self._http.server.is_serving,
                "feeds": lambda: self._feeds.is_alive,
            }
            self._watchdog = Watchdog(every, alive, self._log)
            self._watchdog.start()
        systemd.ready()
        if self._site.zookeeper is None and self._role.ext.key_file is None:
            self._log.info("temporary addresses hold for this process only", advice="name ext.key_file")
        self._log.info("ready", site=self._site.site)

    def reload(self) -> None:
        """Read the site configuration again; an invalid one changes nothing."""
        systemd.reloading()
        try:
            site = config.load(self._path)
            self._reconfigure(site, site.ap(self._role.name))
        except config.ConfigError as error:
            for problem in error.problems:
                self._log.error("configuration not taken", where=problem.where, detail=problem.detail)
        finally:
            systemd.ready()

    async def stop(self) -> None:
        """Take no new requests, let running transfers finish within ``ext.drain_seconds``, then end."""
        self.is_stopping = True
        systemd.stopping()
        self._oversight.readiness.phase = Phase.STOPPING
        self._log.info("stopping", transfers=self._tftp.transfers)
        leaving = asyncio.ensure_future(self._clustering.leave())
        limit = self._role.ext.drain_seconds
        transfers = self._tftp.drain(limit).asFuture(asyncio.get_running_loop())
        await asyncio.gather(leaving, transfers, self._http.drain(limit))
        self._discovery.stop()
        await self._feeds.stop()
        await self._state.stop()

    def close(self) -> None:
        """End everything at once and write what is left to write."""
        self._discovery.stop()
        self._http.close()
        self._tftp.stop()
        self._clustering.close()
        self._oversight.close()
        if self._watchdog is not None:
            self._watchdog.stop()
        self._feeds.close()
        self._state.close()
        self._service.close()
        self._statics.close()
        self._log.info("stopped")
        if self._journal is not None:
            self._journal.close()
        self._logs.close()

    def _reconfigure(self, site: Site, role: ApRole) -> None:
        waiting = _needs_restart((self._site, self._role), (site, role))
        self._site, self._role = site, role
        self._provisioner.reconfigure(rules_of(site, role, self._provisioner.rules.zones))
        self._admission.replace(admission_policy(role))
        self._pnp_admission.replace(admission_policy(role))
        self._tftp.replace(tftp_policy(role))
        self._take_keys(role)
        self._http.replace(role)
        self._discovery.replace(role)
        self._clustering.replace(site)
        self._statics.storage_seconds = role.ext.storage_seconds
        self._feeds.set_interval(role.ext.poll_seconds)
        self._log.info("configuration taken")
        if waiting:
            self._log.warning("some changes need a restart", keys=waiting)

    def _take_key(self, key: bytes) -> None:
        """What all instances sign with, unless a file says; what was signed until now still counts."""
        if self._role.ext.key_file is None:
            before = [each for each in self._trust.policy.keys if each != key]
            self._trust.replace(trust_policy(self._role, (key, *before[: MOST - 1])))

    def _take_keys(self, role: ApRole) -> None:
        """Read the site's key again; without a file the key of this process stays."""
        keys = self._trust.policy.keys
        try:
            if role.ext.key_file is not None:
                keys = read_keys(role.ext.key_file)
        except Refused as refused:
            self._log.error("key not taken", detail=refused.detail, advice=refused.reason.advice)
        self._trust.replace(trust_policy(role, keys))


def _needs_restart(before: tuple[Site, ApRole], after: tuple[Site, ApRole]) -> list[str]:
    """Keys that changed and take effect only at the next start."""
    site_keys = ("site", "storage", "sources", "zookeeper")
    ext_keys = (
        *("listen", "http_listen", "http_port", "https_port", "dns", "log", "journal", "state"),
        *("cluster", "zookeeper", "management"),
    )
    changed = [
        "directory" if key == "sources" else key
        for key in site_keys
        if getattr(before[0], key) != getattr(after[0], key)
    ]
    role_keys = ("tftp_port", "group", "order", "interface")
    changed += [key for key in role_keys if getattr(before[1], key) != getattr(after[1], key)]
    pnp_keys = ("enabled", "port", "answer_port")
    pnp = before[1].ext.pnp, after[1].ext.pnp
    changed += [f"ext.pnp.{key}" for key in pnp_keys if getattr(pnp[0], key) != getattr(pnp[1], key)]
    changed += [f"ext.{key}" for key in ext_keys if getattr(before[1].ext, key) != getattr(after[1].ext, key)]
    return changed


def run_daemon(path: Path, role_name: str) -> int:
    """Run the instance ``role_name`` of the site configuration at ``path`` until SIGTERM or SIGINT.

    Returns 1 if a port cannot be bound or another process runs the role, else ends the process: with 0 after
    an orderly stop, with 1 if a second signal cut it short. Raises ``ConfigError``, also for a key or
    certificate that is not usable.
    """
    keep_standard_descriptors()
    faulthandler.enable()
    site = config.load(path)
    role = site.ap(role_name)
    _raise_descriptor_limit()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    reactor = _install_reactor(loop)
    try:
        daemon = Daemon(reactor, path, site, role)
    except Refused as refused:  # a file that the configuration names
        raise config.ConfigError((Problem(refused.reason, str(path), refused.detail),)) from None
    try:
        daemon.bind()
    except (OSError, Refused) as error:
        daemon.close()
        sys.stderr.write(f"era-ap: {error}\n")
        return 1
    reactor.startRunning(installSignalHandlers=False)
    code = _run_until_stopped(loop, daemon)
    daemon.close()
    sys.stderr.flush()
    # A thread that hangs on a dead mount would keep the interpreter from ending; everything is closed by now.
    os._exit(code)


def _run_until_stopped(loop: asyncio.AbstractEventLoop, daemon: Daemon) -> int:
    """Turn the loop until the daemon has stopped; 0 in good order, 1 on a second signal or a failed start."""
    ended_with: list[int] = []

    def end(code: int) -> None:
        ended_with.append(code)
        loop.stop()

    def on_stop_signal() -> None:
        if daemon.is_stopping:
            end(1)
        else:
            loop.create_task(daemon.stop()).add_done_callback(lambda _: end(0))

    def on_started(starting: asyncio.Task[None]) -> None:
        defect = None if starting.cancelled() else starting.exception()
        if defect is not None:
            daemon.report_defect(defect)
            end(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop_signal)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    loop.create_task(daemon.start()).add_done_callback(on_started)
    loop.run_forever()
    return ended_with[0]


def _raise_descriptor_limit() -> None:
    """Each transfer and connection has a socket; the soft limit of a shell is too low for many phones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _install_reactor(loop: asyncio.AbstractEventLoop) -> AsyncioSelectorReactor:
    from twisted.internet import asyncioreactor  # noqa: PLC0415 - importing the reactor would install another

    reactor = asyncioreactor.AsyncioSelectorReactor(loop)
    from twisted.internet.main import installReactor  # noqa: PLC0415

    installReactor(reactor)  # type: ignore[no-untyped-call]
    # Timers follow the monotonic clock: a clock that is set must neither stop them nor fire them all.
    vars(reactor)["seconds"] = time.monotonic
    return reactor
