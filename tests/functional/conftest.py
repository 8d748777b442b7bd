"""The real process: started with kernel-chosen ports, known to be ready by its own word to systemd."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

START_SECONDS = 60.0


class Process:
    """One ``era-ap run`` process, its log as parsed lines, and what it told systemd."""

    def __init__(
        self, config: Path, folder: Path, role: str = "ap1", prefix: Sequence[str] = (), **environ: str
    ) -> None:
        self.told: list[str] = []
        self.log: list[dict[str, object]] = []
        self._changed = threading.Condition()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = folder / "notify"
        self._notify.bind(str(address))
        address.chmod(0o777)  # as systemd's, which every service may write to
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "era_ap", "run", role, "-c", str(config)],
            stderr=subprocess.PIPE,
            env=os.environ | {"NOTIFY_SOCKET": str(address)} | environ,
        )
        for work in (self._hear, self._read_log):
            threading.Thread(target=work, daemon=True).start()

    def _hear(self) -> None:
        while True:
            try:
                message = self._notify.recv(4096).decode()
            except OSError:
                return
            with self._changed:
                self.told += message.split("\n")
                self._changed.notify_all()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line.decode(errors="replace").rstrip()}
            with self._changed:
                self.log.append(entry)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait(self, what: Callable[[], object], seconds: float = START_SECONDS) -> None:
        """Wait until ``what`` is true of what was heard and logged so far."""
        with self._changed:
            if not self._changed.wait_for(what, seconds):
                raise AssertionError(f"waited {seconds} s in vain; told {self.told}, log {self.log[-20:]}")

    def wait_ready(self) -> Process:
        self.wait(lambda: "READY=1" in self.told or self.process.poll() is not None)
        assert self.process.poll() is None, "\n".join(map(str, self.log[-20:]))
        return self

    def wait_log(self, event: str, **fields: object) -> dict[str, object]:
        """The first log line of that event with those fields, when it comes."""

        def found() -> list[dict[str, object]]:
            return [e for e in self.log if e.get("event") == event and fields.items() <= e.items()]

        self.wait(found)
        return found()[0]

    @property
    def port(self) -> int:
        return int(str(self.wait_log("serving")["port"]))

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15.0) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._notify.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts daemons; ends them by pid when the test is over."""
    started: list[Process] = []

    def start(config: Path, role: str = "ap1", prefix: Sequence[str] = (), **environ: str) -> Process:
        folder = tmp_path / f"process{len(started)}"
        folder.mkdir()
        started.append(Process(config, folder, role, prefix, **environ))
        return started[-1]

    yield start
    for process in started:
        process.close()
