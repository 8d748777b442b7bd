"""Server processes: started on a core, watched, ended by their own pid.

Owns the CPU time of a server with all its children. A control group of its own counts exactly, also forked
children that nobody waits for; where none can be made, the process table has to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SERVER_CORE = "1"
CLIENT_CORE = "0"
_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Server:
    """A running server; ``port`` is the one to ask, ``pids`` its first processes."""

    name: str
    port: int
    pids: tuple[int, ...]
    group: Group | None

    @property
    def cpu_seconds(self) -> float:
        """CPU time so far, children included (``ProcessTimes`` without a group)."""
        return self.group.cpu_seconds if self.group is not None else sum(map(_table_seconds, self.pids))

    def pin(self, cores: str) -> None:
        """Let it run on ``cores`` only, with all its threads and children."""
        pids = self.group.pids if self.group is not None else self.pids
        for pid in pids:
            subprocess.run(["taskset", "-acp", cores, str(pid)], stdout=subprocess.DEVNULL, check=False)


class Group:
    """A control group (v1 cpuacct or v2) for one server. Raises OSError where it may not be made."""

    def __init__(self, name: str) -> None:
        base = _GROUPS / "cpuacct" if (_GROUPS / "cpuacct").is_dir() else _GROUPS
        self._folder = base / f"compare-{os.getpid()}-{name.replace(' ', '-')}"
        self._folder.mkdir()
        if not self._usage_file.exists():
            self._folder.rmdir()
            raise OSError(f"{self._folder}: no figures of CPU time")

    def enter(self) -> None:
        """Put the calling process in."""
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def _usage_file(self) -> Path:
        first = self._folder / "cpuacct.usage"
        return first if first.exists() else self._folder / "cpu.stat"

    @property
    def cpu_seconds(self) -> float:
        words = self._usage_file.read_text().split()
        return int(words[0]) / 1e9 if len(words) == 1 else int(words[words.index("usage_usec") + 1]) / 1e6

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(map(int, (self._folder / "cgroup.procs").read_text().split()))

    def close(self) -> None:
        """End what the server left behind, then forget the group."""
        for _ in range(100):
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                self._folder.rmdir()
            except OSError:
                time.sleep(0.02)
            else:
                return


def group_for(name: str) -> Group | None:
    """A group of its own, None where the system gives none."""
    try:
        return Group(name)
    except OSError:
        return None


@contextlib.contextmanager
def running(
    command: Sequence[str], group: Group | None, output: IO[bytes] | int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on the server's core, ended with SIGTERM by its pid; a stubborn one with SIGKILL."""
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        preexec_fn=group.enter if group is not None else None,  # noqa: PLW1509 - no threads here
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port of the loopback interface that nobody has just now."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for_tftp(port: int, alive: Callable[[], bool], seconds: float = 20.0) -> None:
    """Ask until an answer comes: a TFTP server has no other way to say that it is ready."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            try:
                sock.sendto(b"\0\1missing.cfg\0octet\0", ("127.0.0.1", port))
                sock.recv(600)
            except OSError:
                time.sleep(0.05)
            else:
                return
    raise RuntimeError(f"no answer from UDP port {port}")


def wait_for_http(port: int, alive: Callable[[], bool], seconds: float = 20.0) -> None:
    """Connect until it is possible."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive():
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"no answer from TCP port {port}")


def _table_seconds(pid: int) -> float:
    """Living threads exactly, ended ones and children waited for in ticks; other children are missing."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    exact = sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return max(exact, sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"))
