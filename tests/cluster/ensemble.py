"""A real ZooKeeper ensemble of a test's own: Debian's servers on kernel-chosen ports, ended by their pids.

Owns configuration, start, readiness and every way a server can fail: killed, frozen, restarted empty. Does
not own networks: ``prefix`` and ``hosts`` put each server into a namespace that somebody else has made.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

ROOT = Path(__file__).parents[2]
JAR = Path("/usr/share/java/zookeeper.jar")
JAVA = shutil.which("java") or "/usr/bin/java"
CLASS_PATH = ":".join(f"/usr/share/java/{name}.jar" for name in ("slf4j-simple", "zookeeper", "netty-codec"))
"""The package's own class path lacks a logger and, for TLS, a part of Netty."""
JAVA_OPTIONS = (
    "-Xmx64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dzookeeper.forceSync=no",
)
TICK_MS = 500
START_SECONDS = 60.0
COMMIT_SECONDS = 2.0


def why_not() -> str:
    """Why there can be no ensemble here; empty if there can."""
    if not JAR.exists():
        return "needs the Debian package zookeeper (apt-get install --no-install-recommends zookeeper)"
    if not Path(JAVA).exists():
        return "needs a Java runtime (apt-get install default-jre-headless)"
    return ""


def free_ports(host: str, count: int) -> list[int]:
    """Ports nobody uses at this moment, chosen by the kernel, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass
class Server:
    """One server, running or not."""

    number: int
    folder: Path
    host: str
    port: int
    peer_ports: tuple[int, int]
    prefix: Sequence[str] = ()
    secure_port: int | None = None
    java: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    told_before: int = 0

    def start(self) -> None:
        assert self.process is None
        command = [*self.prefix, JAVA, *JAVA_OPTIONS, *self.java, "-cp", CLASS_PATH]
        with (self.folder / "out").open("ab") as out:
            self.told_before = out.tell()
            self.process = subprocess.Popen(
                [*command, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self.folder / "zoo.cfg")],
                stdout=out,
                stderr=out,
                cwd=self.folder,
            )

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9; also where it is frozen or has ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """SIGSTOP: its sockets stay open and say nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    @property
    def is_half_dead(self) -> bool:
        """Whether one of its threads has died; ZooKeeper before 3.9.3 goes on without it (ZOOKEEPER-4409)."""
        return b"Severe unrecoverable error" in (self.folder / "out").read_bytes()[self.told_before :]

    def wipe(self) -> None:
        """Lose all data; the server must not run."""
        assert self.process is None
        shutil.rmtree(self.folder / "data" / "version-2", ignore_errors=True)

    def mode(self) -> str:
        """What it says it is: leader, follower, standalone; "" if it does not serve (or cannot be asked)."""
        told = ask(self.host, self.port, "srvr", self.prefix)
        lines = [line for line in told.splitlines() if line.startswith("Mode: ")]
        return lines[0].removeprefix("Mode: ") if lines else ""


def ask(host: str, port: int, word: str, prefix: Sequence[str] = ()) -> str:
    """The answer to one of ZooKeeper's four-letter words, "" if none; ``prefix`` as for ``Server``."""
    if prefix:
        return _in_namespace(prefix, f"ask({host!r}, {port}, {word!r})")
    try:
        with socket.create_connection((host, port), 1.0) as asked:
            asked.sendall(word.encode())
            asked.settimeout(1.0)
            answer = b""
            while piece := asked.recv(4096):
                answer += piece
    except OSError:
        return ""
    return answer.decode(errors="replace")


def commits(connect: str, prefix: Sequence[str] = ()) -> bool:
    """Whether a new session may be had and a node be made, within a few seconds."""
    if prefix:
        return _in_namespace(prefix, f"commits({connect!r})").strip() == "True"
    client = KazooClient(connect, timeout=2.0)
    try:
        client.start(COMMIT_SECONDS)
        client.create_async("/recovering", ephemeral=True).get(timeout=COMMIT_SECONDS)
    except (KazooException, KazooTimeoutError):
        return False
    finally:
        client.stop()
        client.close()
    return True


def _in_namespace(prefix: Sequence[str], call: str) -> str:
    """What a function of this module gives there, as text."""
    script = f"from tests.cluster.ensemble import ask, commits; print({call})"
    command = [*prefix, sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout


@dataclass
class RealEnsemble:
    """Servers that form one ensemble (or one alone). ``options`` are further lines of each zoo.cfg."""

    folder: Path
    count: int = 3
    tls: Path | None = None
    client_auth: str = "none"
    users: dict[str, str] = field(default_factory=dict)
    hosts: Sequence[str] = ()
    prefixes: Sequence[Sequence[str]] = ()
    options: Sequence[str] = ()
    servers: list[Server] = field(default_factory=list)

    def __post_init__(self) -> None:
        hosts = self.hosts or ["127.0.0.1"] * self.count
        ports = [_ports(host, bool(self.prefixes)) for host in hosts]
        for index, host in enumerate(hosts):
            client, secure, *peers = ports[index]
            server = Server(index + 1, self.folder / f"zk{index + 1}", host, client, (peers[0], peers[1]))
            server.prefix = self.prefixes[index] if self.prefixes else ()
            server.secure_port = secure if self.tls is not None else None
            self.servers.append(server)
        for server in self.servers:
            self._configure(server)

    def _configure(self, server: Server) -> None:
        data = server.folder / "data"
        data.mkdir(parents=True)
        (data / "myid").write_text(f"{server.number}\n")
        lines = [
            f"tickTime={TICK_MS}",
            f"dataDir={data}",
            f"clientPort={server.port}",
            f"clientPortAddress={server.host}",
            "initLimit=10",
            "syncLimit=4",
            "maxClientCnxns=0",
            "admin.enableServer=false",
            "4lw.commands.whitelist=ruok,srvr,mntr,dump,cons",
            *self.options,
        ]
        if self.count > 1:
            lines += [
                f"server.{each.number}={each.host}:{each.peer_ports[0]}:{each.peer_ports[1]}"
                for each in self.servers
            ]
        if self.tls is not None:
            lines += [
                "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
                f"secureClientPort={server.secure_port}",
                f"secureClientPortAddress={server.host}",
                f"ssl.keyStore.location={self.tls / 'server.pem'}",
                f"ssl.trustStore.location={self.tls / 'ca.pem'}",
                f"ssl.clientAuth={self.client_auth}",
            ]
        if self.users:
            lines.append("authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
            entries = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
            jaas = server.folder / "jaas.conf"
            jaas.write_text(
                f"Server {{ org.apache.zookeeper.server.auth.DigestLoginModule required {entries}; }};\n"
            )
            server.java = (f"-Djava.security.auth.login.config={jaas}",)
        (server.folder / "zoo.cfg").write_text("\n".join(lines) + "\n")

    @property
    def connect(self) -> str:
        """What ``zookeeper:`` of a site says to reach the servers in clear text."""
        return ",".join(f"{server.host}:{server.port}" for server in self.servers)

    @property
    def connect_tls(self) -> str:
        return ",".join(f"{server.host}:{server.secure_port}" for server in self.servers)

    def start(self) -> RealEnsemble:
        """Start all that do not run and wait until they serve."""
        for server in self.servers:
            if server.process is None:
                server.start()
        self.wait_serving()
        return self

    def wait_serving(self) -> None:
        """Wait until the servers are part of a quorum."""
        until = time.monotonic() + START_SECONDS
        for server in self.servers:
            while not server.mode():
                if time.monotonic() > until or server.process is None or server.process.poll() is not None:
                    out = (server.folder / "out").read_text(errors="replace")[-2000:]
                    raise AssertionError(f"ZooKeeper server {server.number} does not serve: {out}")
                # Java cannot tell us when it serves; asking inside a namespace takes a process.
                time.sleep(0.5 if server.prefix else 0.02)

    def recover(self) -> None:
        """Wait until the servers commit what somebody writes. One that is only half alive may keep the others
        from it and does not end by itself: it is started anew, as by its operator.
        """
        until = time.monotonic() + START_SECONDS
        while True:
            half_dead = [server for server in self.servers if server.is_half_dead]
            for server in half_dead:
                server.kill()
                server.start()
            self.wait_serving()
            if commits(self.connect, self.servers[0].prefix) and not half_dead:
                return
            assert time.monotonic() < until, "the servers commit nothing"

    def leader(self) -> Server:
        """The server that leads the ensemble (has nothing to do with who leads PnP)."""
        return next(server for server in self.servers if server.mode() in ("leader", "standalone"))

    def restart_empty(self) -> None:
        """Lose everything, as after a reinstallation."""
        for server in self.servers:
            server.kill()
        for server in self.servers:
            server.wipe()
        self.start()

    def close(self) -> None:
        for server in self.servers:
            server.kill()


def _ports(host: str, in_namespace: bool) -> list[int]:
    """Client, TLS, peer and election port; in a namespace of the test's own all are free."""
    if in_namespace:
        return [2181, 2281, 2888, 3888]
    return free_ports(host, 4)


@contextlib.contextmanager
def running(folder: Path, **options: object) -> Iterator[RealEnsemble]:
    """An ensemble that serves, ended afterwards."""
    ensemble = RealEnsemble(folder, **options)  # type: ignore[arg-type]
    try:
        yield ensemble.start()
    finally:
        ensemble.close()
