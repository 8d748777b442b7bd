"""Our daemon and its peers: how each is started to serve the same files on loopback.

Owns the command lines and what has to be installed. A server that cannot be had is ``Missing``, with what
to install; none is ever installed from here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .cases import C_TWICE, CONFIG, FIRMWARE, OURS, TWICE
from .processes import Group, Server, free_port, group_for, running, wait_for_http, wait_for_tftp
from .site import ROLES, ROOT, write_config

PEERS = Path(__file__).resolve().parent / "peers"
UNPACKED = ROOT / "build" / "tftpd-hpa" / "usr" / "sbin" / "in.tftpd"


class MissingError(Exception):
    """A server that cannot take part; the text says what to do about it."""


@dataclass(frozen=True)
class Place:
    """Where things are: static ``files``, our ``site`` folder, the Python of the peers, built tools.

    ``daemon`` is the folder with the package of our daemon that is measured.
    """

    files: Path
    site: Path
    python: Path | None
    tools: Path
    daemon: Path

    def command(self, role: str, config: Path) -> list[str]:
        """How our daemon is started."""
        here = ["env", f"PYTHONPATH={self.daemon}", "PYTHONSAFEPATH=1"]
        return [*here, sys.executable, "-m", "era_ap", "run", role, "-c", str(config)]


class Daemon:
    """Our daemon's own log, where it tells its ports and what it has done."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def ports(self) -> dict[str, int]:
        """Port by transport, as far as they are bound."""
        return {e["transport"]: int(e["port"]) for e in self._events() if e.get("event") == "serving"}

    def wait(self, event: str, count: int = 1, seconds: float = 60.0) -> None:
        """Until ``event`` was logged ``count`` times; RuntimeError if it is not."""
        end = time.monotonic() + seconds
        while sum(e.get("event") == event for e in self._events()) < count:
            if time.monotonic() > end:
                raise RuntimeError(f"the daemon did not log '{event}':\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def forget(self, pid: int) -> None:
        """Make the daemon forget what it has rendered: it reads its configuration again."""
        before = sum(e.get("event") == "configuration taken" for e in self._events())
        os.kill(pid, signal.SIGHUP)
        self.wait("configuration taken", before + 1)

    def _events(self) -> list[dict[str, object]]:
        lines = self._log.read_bytes().splitlines()
        return [json.loads(line) for line in lines if b'"event": "request"' not in line and line[:1] == b"{"]


@contextlib.contextmanager
def ours(place: Place, name: str = OURS, port: int = 0) -> Iterator[tuple[Server, Daemon]]:
    """The real daemon; its log goes to a file, as it would go to the system's."""
    config = write_config(place.site, port)
    log = place.site / f"log-{name.replace(' ', '-')}"
    group = group_for(name)
    command = place.command(ROLES[0], config)
    with contextlib.ExitStack() as stack:
        if group is not None:
            stack.callback(group.close)
        output = stack.enter_context(log.open("wb"))
        process = stack.enter_context(running(command, group, output))
        daemon = Daemon(log)
        daemon.wait("ready")
        yield Server(name, daemon.ports()["tftp"], (process.pid,), group), daemon


@contextlib.contextmanager
def ours_twice(place: Place) -> Iterator[Server]:
    """Two instances on one port."""
    group = group_for(TWICE)
    with contextlib.ExitStack() as stack:
        if group is not None:
            stack.callback(group.close)
        port = free_port()
        config = write_config(place.site, port, "twice.yml")
        pids = []
        for role in ROLES[1:]:
            log = place.site / f"log-{role}"
            output = stack.enter_context(log.open("wb"))
            process = stack.enter_context(running(place.command(role, config), group, output))
            pids.append(process.pid)
            Daemon(log).wait("ready")
        yield Server(TWICE, port, tuple(pids), group)


@contextlib.contextmanager
def tftp_peer(name: str, place: Place) -> Iterator[Server]:
    """Another server of the same files, one process of it or two on one port."""
    port = 69 if name == "dnsmasq" else free_port()
    command = _COMMANDS["ctftp" if name == C_TWICE else name](place, port)
    with _started(name, [command] * (2 if name == C_TWICE else 1), port, wait_for_tftp) as server:
        yield server


@contextlib.contextmanager
def http_peer(name: str, place: Place, body: Path) -> Iterator[Server]:
    """An HTTP server that has only one body."""
    port = free_port(socket.SOCK_STREAM)
    if name == "nginx":
        command = _nginx(place, body, port)
    else:
        script = {"starlette": "run_starlette.py", "twisted.web": "run_twisted_web.py"}[name]
        command = [_python(place, name.split(".")[0]), str(PEERS / script), str(body), str(port)]
    with _started(name, [command], port, wait_for_http) as server:
        yield server


@contextlib.contextmanager
def _started(
    name: str, commands: list[list[str]], port: int, wait: Callable[[int, Callable[[], bool]], None]
) -> Iterator[Server]:
    group: Group | None = group_for(name)
    with contextlib.ExitStack() as stack:
        if group is not None:
            stack.callback(group.close)
        processes = [stack.enter_context(running(command, group)) for command in commands]
        try:
            wait(port, lambda: all(process.poll() is None for process in processes))
        except RuntimeError as error:
            raise MissingError(f"{name} does not answer: {error}") from error
        yield Server(name, port, tuple(process.pid for process in processes), group)


def _binary(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise MissingError(f"{name} is not installed: apt-get install {package}")
    return found


def _python(place: Place, module: str) -> str:
    if place.python is None or not list(place.python.parent.parent.glob(f"lib/*/site-packages/{module}")):
        raise MissingError(f"{module} is not in the peers' environment: see README.rst beside this script")
    return str(place.python)


_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log /dev/null; events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{ listen 127.0.0.1:{port}; root {body.parent}; location / {{ try_files /{body.name} =404; }} }}
}}
"""


def _nginx(place: Place, body: Path, port: int) -> list[str]:
    folder = place.tools / "nginx"
    folder.mkdir(exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, body=body, port=port))
    return [_binary("nginx", "nginx-light"), "-p", str(folder), "-c", str(config), "-e", "/dev/null"]


def _dnsmasq(place: Place, port: int) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            raise MissingError(
                f"dnsmasq knows no other port than 69, which is not to be had: {error}"
            ) from None
    options = ["--port=0", "--enable-tftp", f"--tftp-root={place.files}", "--tftp-max=5000", "--user=root"]
    where = ["--listen-address=127.0.0.1", "--bind-interfaces", "--log-facility=/dev/null", "--pid-file="]
    return [_binary("dnsmasq", "dnsmasq-base"), "-k", "-C", "/dev/null", *options, *where]


def _atftpd(place: Place, port: int) -> list[str]:
    where = ["--bind-address", "127.0.0.1", "--port", str(port), str(place.files)]
    quiet = ["--logfile", "/dev/null", "--verbose=0", "--no-multicast", "--maxthread", "5000"]
    return [_binary("atftpd", "atftpd"), "--daemon", "--no-fork", *quiet, *where]


def _tftpd_hpa(place: Place, port: int) -> list[str]:
    binary = str(UNPACKED) if UNPACKED.exists() else _binary("in.tftpd", "tftpd-hpa")
    if Path(binary).resolve().name == "atftpd":
        raise MissingError(
            "in.tftpd is atftpd here; both are to be had as README.rst beside this script says"
        )
    return [binary, "-L", "-u", "root", "-a", f"127.0.0.1:{port}", "-s", str(place.files)]


def _ctftp(place: Place, port: int) -> list[str]:
    files = [str(place.files / CONFIG), str(place.files / FIRMWARE)]
    return [str(place.tools / "ctftp"), "multigso", str(port), *files]


_COMMANDS: dict[str, Callable[[Place, int], list[str]]] = {
    "dnsmasq": _dnsmasq,
    "atftpd": _atftpd,
    "tftpd-hpa": _tftpd_hpa,
    "ctftp": _ctftp,
    "tftpy": lambda place, port: [
        _python(place, "tftpy"), str(PEERS / "run_tftpy.py"), str(place.files), str(port)
    ],
    "fbtftp": lambda place, port: [
        _python(place, "fbtftp"), str(PEERS / "run_fbtftp.py"), str(place.files), str(port)
    ],
    "py3tftp": lambda place, port: [
        "env", f"--chdir={place.files}", _python(place, "py3tftp"), "-m", "py3tftp",
        "--host", "127.0.0.1", "-p", str(port),
    ],
}  # fmt: skip
