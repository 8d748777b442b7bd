"""Network namespaces of a test's own, joined by veth pairs; the machine's interfaces are never touched."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence

IP = shutil.which("ip") or "/usr/sbin/ip"
_numbers = itertools.count()


def why_not() -> str:
    """Why namespaces cannot be made here; empty if they can."""
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    if not os.access(IP, os.X_OK):
        return "needs the Debian package iproute2"
    name = f"eapprobe{os.getpid()}"
    made = subprocess.run([IP, "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    subprocess.run([IP, "netns", "del", name], check=False)
    return ""


class Network:
    """Namespaces by short names, deleted with ``close``."""

    def __init__(self) -> None:
        self._tag = f"eap{os.getpid()}n{next(_numbers)}"
        self._made: list[str] = []

    def add(self, name: str) -> str:
        """A namespace with loopback up."""
        full = f"{self._tag}{name}"
        _run("netns", "add", full)
        self._made.append(full)
        self.ip(name, "link", "set", "lo", "up")
        return full

    def join(
        self, a: str, a_interface: str, a_address: str, b: str, b_interface: str, b_address: str
    ) -> None:
        """A cable from one namespace to another, both ends with their address/prefix."""
        _run(
            "link", "add", a_interface, "netns", self._tag + a, "type", "veth",
            "peer", "name", b_interface, "netns", self._tag + b,
        )  # fmt: skip
        for name, interface, address in ((a, a_interface, a_address), (b, b_interface, b_address)):
            if address:
                self.ip(name, "addr", "add", address, "dev", interface)
            self.ip(name, "link", "set", interface, "up")

    def ip(self, name: str, *arguments: str) -> str:
        """The ip command within a namespace."""
        return _run("-n", self._tag + name, *arguments)

    def inside(self, name: str) -> list[str]:
        """What to put before a command that runs in the namespace."""
        return [IP, "netns", "exec", self._tag + name]

    def run(
        self, name: str, command: Sequence[str], seconds: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """A command in the namespace, to its end."""
        return subprocess.run(
            [*self.inside(name), *command], capture_output=True, text=True, timeout=seconds, check=False
        )

    def close(self) -> None:
        for full in self._made:
            subprocess.run([IP, "netns", "del", full], check=False)
        self._made.clear()


def _run(*arguments: str) -> str:
    done = subprocess.run([IP, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout
