"""Stands in for systemd: starts a service, listens to it, and starts it anew when its watchdog stays hungry.

Takes its figures from the unit file: WatchdogSec=, TimeoutAbortSec=, RestartSec=.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.functional.unit_file import SERVICE, read_unit, seconds


class Supervisor:
    """Keeps ``command`` running. ``events``: (seconds since the start, what happened)."""

    def __init__(self, command: Sequence[str], folder: Path, *, watchdog: float | None = None) -> None:
        service = read_unit(SERVICE)["Service"]
        self._watchdog = watchdog or seconds(service, "WatchdogSec")
        self._abort = seconds(service, "TimeoutAbortSec")
        self._rest = seconds(service, "RestartSec")
        self._command = command
        self._address = folder / "notify"
        self._log = folder / "log"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._address))
        self._changed = threading.Condition()
        self._ending = False
        self._began = time.monotonic()
        self.events: list[tuple[float, str]] = []
        self.process = self._start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, what: str, count: int = 1, limit: float = 60.0) -> float:
        """When ``what`` had happened ``count`` times."""

        def times() -> list[float]:
            return [at for at, name in self.events if name == what]

        with self._changed:
            if not self._changed.wait_for(lambda: len(times()) >= count, limit):
                raise AssertionError(f"no {what} in {limit} s: {self.events}, log {self.log[-3000:]}")
            return times()[count - 1]

    @property
    def log(self) -> str:
        """What all processes wrote to standard error."""
        return self._log.read_text()

    def close(self) -> None:
        """End it all."""
        self._ending = True
        self.process.send_signal(signal.SIGKILL)
        self._thread.join(30)
        self._socket.close()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stderr=log,
                env=os.environ
                | {"NOTIFY_SOCKET": str(self._address), "WATCHDOG_USEC": str(int(self._watchdog * 1e6))},
            )

    def _run(self) -> None:
        while not self._ending:
            self._listen()
            if not self._ending:
                time.sleep(self._rest)
                self.process = self._start()

    def _listen(self) -> None:
        """Until the process has ended, by itself or for want of a sign of life."""
        fed: float | None = None
        while self.process.poll() is None:
            self._socket.settimeout(0.05)
            try:
                words = self._socket.recv(4096).decode().split("\n")
            except TimeoutError:
                words = []
            for word in words:
                self._note(word)
                if word in ("READY=1", "WATCHDOG=1"):
                    fed = time.monotonic()
            if fed is not None and time.monotonic() - fed > self._watchdog:
                self._bite()
        self._note(f"exit {self.process.returncode}")

    def _bite(self) -> None:
        self._note("SIGABRT")
        self.process.send_signal(signal.SIGABRT)
        try:
            self.process.wait(self._abort)
        except subprocess.TimeoutExpired:
            self._note("SIGKILL")
            self.process.kill()
            self.process.wait()

    def _note(self, what: str) -> None:
        with self._changed:
            self.events.append((time.monotonic() - self._began, what))
            self._changed.notify_all()


Start = Callable[..., Supervisor]
