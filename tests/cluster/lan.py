"""A LAN of a test's own: hosts in network namespaces, joined by a bridge; what passes can be cut."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from tests.functional.namespaces import Network

NFT = shutil.which("nft") or "/usr/sbin/nft"


class Lan(Network):
    """Hosts of 10.77.0.0/16 on one bridge without snooping."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: dict[str, str] = {}
        self.add("sw")
        self.ip("sw", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.ip("sw", "link", "set", "br0", "up")

    def host(self, name: str, address: str, more: Sequence[str] = ()) -> str:
        """A host with interface eth0; ``more`` are further addresses of it."""
        self.add(name)
        port = f"p{name}"
        self.join("sw", port, "", name, "eth0", f"{address}/16")
        for each in more:
            self.ip(name, "addr", "add", f"{each}/16", "dev", "eth0")
        self.ip("sw", "link", "set", port, "master", "br0")
        self.addresses[name] = address
        return address

    def cut(self, name: str, others: Sequence[str]) -> None:
        """Let nothing pass between a host and others, in either direction, without a word (drop)."""
        addresses = ", ".join(self.addresses[other] for other in others)
        self._drop(name, f"ip saddr {{ {addresses} }}", f"ip daddr {{ {addresses} }}")

    def unplug(self, name: str) -> None:
        """Let nothing pass to or from a host, though its interface stays up."""
        self._drop(name, 'iifname "eth0"', 'oifname "eth0"')

    def mend(self, name: str) -> None:
        """Undo what was cut."""
        self._rules(name, "table inet cut {}\ndelete table inet cut")

    def _drop(self, name: str, incoming: str, outgoing: str) -> None:
        chains = (("in", "input", incoming), ("out", "output", outgoing))
        lines = [
            f"chain {chain} {{ type filter hook {hook} priority 0; {what} drop; }}"
            for chain, hook, what in chains
        ]
        self._rules(name, "table inet cut {\n" + "\n".join(lines) + "\n}")

    def _rules(self, name: str, rules: str) -> None:
        done = subprocess.run(
            [*self.inside(name), NFT, "-f", "-"], input=rules, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
