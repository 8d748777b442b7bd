"""A whole site on one machine: three instances, three ZooKeeper servers, phones, each a host of its own LAN.

Owns putting it up, the ways to break it, and what the phones saw. Does not own which faults there are
(``faults``) nor their figures (``verdict``). Everything is ended by process id, and the LAN is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tests.cluster.ensemble import ROOT, RealEnsemble
from tests.cluster.ensemble import why_not as why_no_ensemble
from tests.cluster.lan import NFT, Lan
from tests.conftest import Site
from tests.functional.conftest import Process
from tests.functional.namespaces import why_not as why_no_namespaces

INSTANCES = ("ap1", "ap2", "ap3")
SERVERS = ("zk1", "zk2", "zk3")
PHONES = 300
SOURCES = [f"10.77.1.{number}" for number in range(1, 21)]
TFTP_PORT, HTTP_PORT = 6969, 8080
SESSION_SECONDS = 4.0
WAIT_SECONDS = 90.0
STATE_BYTES = 2 << 20
AHEAD = ("nice", "-n", "-10")
"""Before whatever else the machine does: figures in seconds shall be those of the site."""


def why_not() -> str:
    """Why this cannot be done here; empty if it can."""
    if why := why_no_namespaces() or why_no_ensemble():
        return why
    return "" if os.access(NFT, os.X_OK) else "needs the Debian package nftables"


class World:
    """The site; ``close`` ends all of it."""

    def __init__(self, folder: Path, *, hold_down: float = 6.0, shift: Path | None = None) -> None:
        self.folder = folder
        self.lan = Lan()
        self.processes: dict[str, Process] = {}
        self.dead: list[Process] = []
        self._starts = 0
        self._folders: dict[int, Path] = {}
        self._clock = folder / "clock"
        self._clock.write_bytes(struct.pack("q", 0))
        self._shift = shift
        self._stream: subprocess.Popen[bytes] | None = None
        self._events = folder / "events.jsonl"
        self._reading: BinaryIO | None = None
        self._rest = b""
        self._known: list[dict[str, Any]] = []
        self.addresses = {
            name: self.lan.host(name, f"10.77.0.{number}") for number, name in enumerate(INSTANCES, 11)
        }
        for number, name in enumerate(SERVERS, 21):
            self.lan.host(name, f"10.77.0.{number}")
        self.lan.host("phones", SOURCES[0], SOURCES[1:])
        self.ensemble = RealEnsemble(
            folder / "ensemble",
            hosts=[self.lan.addresses[name] for name in SERVERS],
            prefixes=[["nice", "-n", "-5", *self.lan.inside(name)] for name in SERVERS],
        )
        self.site = self._make_site(hold_down)

    def _make_site(self, hold_down: float) -> Site:
        site = Site(self.folder / "site")
        for name in ("templates", "constants", "configs"):
            (site.root / "storage" / name).mkdir(parents=True)
        site.constants("ntp = 192.0.2.123\n")
        site.domain("example.com")
        site.domain("a.example.com")
        site.template(
            "T46S.cfg", "user = [sipuser.login]\nsecret = [sipuser.password]\n" + "# filler\n" * 300
        )
        for number in range(PHONES):
            site.phone(str(10_000 + number), f"001565{number:06x}")
        document = json.loads(site.configure(zookeeper=self.ensemble.connect).read_text())
        ext = document["roles"][0]["ext"] | {
            "listen": ["0.0.0.0"],
            "http_listen": ["0.0.0.0"],
            "http_port": HTTP_PORT,
            "pnp": {"enabled": True},
            "management": {"port": 9069},
            "cluster": {"session_seconds": SESSION_SECONDS, "hold_down_seconds": hold_down},
            "drain_seconds": 3,
        }
        document["interfaces"] = dict(self.addresses)
        document["roles"] = [
            {
                "name": name,
                "roletype": "ap",
                "iface": name,
                "group": 1,
                "order": order,
                "tftp_port": TFTP_PORT,
                "pnp_url_proto": "http",
                "ext": ext | {"state": str(self.state(name))},
            }
            for order, name in enumerate(INSTANCES, 1)
        ]
        site.config.write_text(json.dumps(document))
        for name in INSTANCES:
            self.state(name).mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={STATE_BYTES}", "tmpfs", str(self.state(name))]
            subprocess.run(mount, check=True)
        return site

    # --- the parts

    def state(self, name: str) -> Path:
        """The folder of an instance's state, a small disk of its own."""
        return self.folder / f"state-{name}"

    def start(self) -> None:
        """Put everything up, and wait until the first instance answers phones."""
        self.ensemble.start()
        for name in INSTANCES:
            self.begin(name)
        for name in INSTANCES:
            self.processes[name].wait_ready()
        self._start_stream()
        self.wait(lambda: self.answering() == "ap1", "ap1 answers phones")

    def begin(self, name: str) -> Process:
        """Start an instance."""
        self._starts += 1
        folder = self.folder / f"run{self._starts}-{name}"
        folder.mkdir()
        environ = (
            {}
            if self._shift is None
            else {"LD_PRELOAD": str(self._shift), "ERA_CLOCK_FILE": str(self._clock)}
        )
        environ["PYTHONPATH"] = str(ROOT)
        process = Process(self.site.config, folder, name, [*AHEAD, *self.lan.inside(name)], **environ)
        self.processes[name] = process
        self._folders[id(process)] = folder
        return process

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self.processes.pop(name)
        process.process.kill()
        process.process.wait()
        self.dead.append(process)

    def stop(self, name: str) -> int:
        """SIGTERM, and wait for the end."""
        process = self.processes.pop(name)
        self.dead.append(process)
        return process.stop(seconds=30)

    def freeze(self, name: str) -> None:
        self.processes[name].process.send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.processes[name].process.send_signal(signal.SIGCONT)

    @property
    def can_set_clocks(self) -> bool:
        """Whether ``set_clock`` has any effect."""
        return self._shift is not None

    def set_clock(self, seconds: int) -> None:
        """Set the wall clock of all instances, relative to the true one."""
        with self._clock.open("r+b") as file:  # it is mapped into them, so it must never be empty
            file.write(struct.pack("q", seconds))

    def fill_disk(self, name: str) -> None:
        """Leave no byte on the disk of an instance's state."""
        with contextlib.suppress(OSError), (self.state(name) / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(65536)):
                pass

    def empty_disk(self, name: str) -> None:
        (self.state(name) / "filler").unlink()

    @contextlib.contextmanager
    def away(self, what: str) -> Iterator[None]:
        """``storage`` or ``directory`` as after an unmount: an empty folder in its place."""
        there, aside = self.site.root / what, self.site.root / f"{what}.aside"
        there.rename(aside)
        there.mkdir()
        try:
            yield
        finally:
            there.rmdir()
            aside.rename(there)

    # --- the phones

    def _start_stream(self) -> None:
        settings = self.folder / "stream.json"
        settings.write_text(
            json.dumps(
                {
                    "servers": self.addresses,
                    "tftp_port": TFTP_PORT,
                    "http_port": HTTP_PORT,
                    "phones": PHONES,
                    "addresses": SOURCES,
                    "rate": 20,
                }
            )
        )
        self._stream = subprocess.Popen(
            [
                *AHEAD,
                *self.lan.inside("phones"),
                sys.executable,
                "-m",
                "tests.cluster.stream",
                settings,
                self._events,
            ],
            stdin=subprocess.PIPE,
            cwd=ROOT,
        )

    def events(self) -> list[dict[str, Any]]:
        """Everything that phones wrote down so far."""
        if self._reading is None and self._events.exists():
            self._reading = self._events.open("rb")
        if self._reading is not None:
            *lines, self._rest = (self._rest + self._reading.read()).split(b"\n")
            self._known += [json.loads(line) for line in lines]
        return self._known

    def answering(self, seconds: float = 0.5) -> str:
        """Who told phones their URL in the last moments; "" if nobody or several."""
        since = time.monotonic() - seconds
        by_address = {address: name for name, address in self.addresses.items()}
        names = {
            by_address[e["server"]] for e in self.events()[-400:] if e["kind"] == "notify" and e["t"] > since
        }
        return names.pop() if len(names) == 1 else ""

    def wait(self, what: Callable[[], object], words: str, seconds: float = WAIT_SECONDS) -> float:
        """Wait until ``what`` holds; the seconds that took."""
        began = time.monotonic()
        while not what():
            if time.monotonic() - began > seconds:
                logs = {name: process.log[-15:] for name, process in self.processes.items()}
                raise AssertionError(f"waited {seconds} s in vain: {words}; {json.dumps(logs, default=str)}")
            assert self._stream is None or self._stream.poll() is None, "the phones have ended"
            time.sleep(0.05)  # what phones see cannot wake us
        return time.monotonic() - began

    def wait_leader(self, *names: str, seconds: float = WAIT_SECONDS) -> float:
        """Wait until one of ``names`` answers phones."""
        return self.wait(lambda: self.answering() in names, f"{names} answers phones", seconds)

    def let_pass(self, seconds: float) -> None:
        """Let phones go on for a while."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, "time passes", seconds + 5)

    def close(self) -> None:
        if self._stream is not None and self._stream.stdin is not None:
            self._stream.stdin.close()
            try:
                self._stream.wait(10)
            except subprocess.TimeoutExpired:
                self._stream.kill()
                self._stream.wait()
        if self._reading is not None:
            self._reading.close()
        for process in (*self.processes.values(), *self.dead):
            process.close()
            lines = (json.dumps(entry) for entry in process.log)
            (self._folders[id(process)] / "log").write_text("\n".join(lines))
        self.ensemble.close()
        for name in INSTANCES:
            subprocess.run(["umount", "-l", str(self.state(name))], check=False, capture_output=True)
        self.lan.close()


def build_shift(folder: Path) -> Path | None:
    """The library that sets clocks; None without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "clock_shift.so"
    source = Path(__file__).parent / "clock_shift.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library
