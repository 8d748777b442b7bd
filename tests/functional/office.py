"""A small office in network namespaces: one host with a DHCP server, one socket in the wall for a telephone.

The server's namespace is "srv" with eth0 = 192.0.2.10/24, the telephone's is "desk", as deploy/dhcp has it.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.functional.namespaces import Network

ROOT = Path(__file__).parents[2]
DHCP = ROOT / "deploy" / "dhcp"
SERVER = "192.0.2.10"
URL = f"http://{SERVER}/"
START_SECONDS = 30.0

CLIENT = """
option opt114 code 114 = text;
option opt150 code 150 = ip-address;
option opt159 code 159 = text;
option opt160 code 160 = text;
option opt242 code 242 = text;
request subnet-mask, routers, tftp-server-name, vendor-encapsulated-options,
    opt114, opt150, opt159, opt160, opt242;
initial-interval 1;
backoff-cutoff 2;
select-timeout 0;
timeout 30;
"""
SCRIPT = """#!/bin/sh
case $reason in
PREINIT) {ip} link set "$interface" up ;;
BOUND) {ip} addr add "$new_ip_address/24" dev "$interface"; env | grep ^new_ >{fifo} ;;
esac
"""
NAMES = {"opt114": 114, "opt150": 150, "opt159": 159, "opt160": 160, "opt242": 242}


@dataclass(frozen=True)
class Lease:
    """What a telephone got: its address, option 66, sub-options of option 43, other options by number."""

    address: str
    server: str
    encapsulated: Mapping[int, bytes]
    options: Mapping[int, str]


def read_lease(text: str) -> Lease:
    """A lease as dhclient-script(8) is told of it."""
    found = dict(line.removeprefix("new_").split("=", 1) for line in text.splitlines())
    data = bytes(int(octet, 16) for octet in found.get("vendor_encapsulated_options", "").split(":") if octet)
    inner = {}
    while data and data[0] != 255:
        inner[data[0]] = data[2 : 2 + data[1]]
        data = data[2 + data[1] :]
    options = {number: found[name] for name, number in NAMES.items() if name in found}
    return Lease(found["ip_address"], found.get("tftp_server_name", ""), inner, options)


class Office:
    """The two namespaces, and what runs in them until ``close``."""

    def __init__(self, folder: Path) -> None:
        self.network = Network()
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        for name in ("srv", "desk"):
            self.network.add(name)
        self.network.join("srv", "eth0", f"{SERVER}/24", "desk", "eth0", "")

    def start_dhcp(self, name: str) -> None:
        """One of dnsmasq, kea-dhcp4, dhcpd with its file of deploy/dhcp; skips where it is not installed."""
        program = shutil.which(name) or f"/usr/sbin/{name}"
        package = {"dnsmasq": "dnsmasq-base", "kea-dhcp4": "kea-dhcp4-server", "dhcpd": "isc-dhcp-server"}
        if not os.access(program, os.X_OK):
            pytest.skip(f"needs the Debian package {package[name]}")
        arguments = {"dnsmasq": self._dnsmasq, "kea-dhcp4": self._kea, "dhcpd": self._dhcpd}[name]()
        log = (self._folder / f"{name}.log").open("wb")
        self._started.append(
            subprocess.Popen(
                [*self.network.inside("srv"), program, *arguments],
                stdout=log,
                stderr=log,
                env=os.environ | {key: str(self._folder) for key in ("KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR")},
            )
        )

    def plug_in(self, mac: str, vendor_class: str) -> Lease:
        """A telephone with that MAC (12 digits) and class gets an address and tells what came with it."""
        program = shutil.which("dhclient") or "/usr/sbin/dhclient"
        if not os.access(program, os.X_OK):
            pytest.skip("needs the Debian package isc-dhcp-client")
        self.network.ip("desk", "addr", "flush", "dev", "eth0")
        address = ":".join(mac[i : i + 2] for i in range(0, 12, 2))
        self.network.ip("desk", "link", "set", "eth0", "address", address)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            folder = Path(name)
            (folder / "conf").write_text(
                CLIENT + (f'send vendor-class-identifier "{vendor_class}";' if vendor_class else "")
            )
            os.mkfifo(folder / "told")
            script = folder / "script"
            ip = shutil.which("ip") or "/usr/sbin/ip"
            script.write_text(SCRIPT.format(ip=ip, fifo=folder / "told"))
            script.chmod(0o755)
            files = ["-cf", f"{folder}/conf", "-lf", f"{folder}/leases", "-pf", f"{folder}/pid"]
            with (self._folder / "dhclient.log").open("wb") as log:
                client = subprocess.Popen(
                    [*self.network.inside("desk"), program, "-4", "-d", *files, "-sf", str(script), "eth0"],
                    stdout=log,
                    stderr=log,
                )
            try:
                return read_lease(self._read(folder / "told"))
            finally:
                client.kill()
                client.wait()

    def _read(self, fifo: Path) -> str:
        """What is written to ``fifo`` by the first that writes."""
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        with open(reader) as file:
            if not select.select([file], [], [], START_SECONDS)[0]:
                raise AssertionError(f"no lease in {START_SECONDS} s\n{self.logs()}")
            os.set_blocking(reader, True)
            return file.read()

    def fetch(self, url: str) -> bytes:
        """A file as the telephone gets it."""
        curl = shutil.which("curl")
        if curl is None:
            pytest.skip("needs the Debian package curl")
        done = subprocess.run(
            [*self.network.inside("desk"), curl, "-sS", "--max-time", "20", "--noproxy", "*", url],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def logs(self) -> str:
        """What the DHCP servers wrote."""
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in self._folder.glob("*.log"))

    def close(self) -> None:
        """End what was started here, by its own handle, and take the namespaces down."""
        for process in self._started:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.network.close()

    def _dnsmasq(self) -> Sequence[str]:
        files = [f"--conf-file={DHCP / 'dnsmasq.conf'}", f"--dhcp-leasefile={self._folder / 'leases'}"]
        return [*files, "--keep-in-foreground", "--port=0", "--no-ping", "--user=root", "--pid-file"]

    def _kea(self) -> Sequence[str]:
        text = (DHCP / "kea-dhcp4.conf").read_text()
        name = "/var/lib/kea/kea-leases4.csv"
        assert name in text
        config = self._folder / "kea.conf"
        config.write_text(text.replace(name, str(self._folder / "kea.csv")))
        return ["-c", str(config)]

    def _dhcpd(self) -> Sequence[str]:
        leases = self._folder / "dhcpd.leases"
        leases.touch()
        config = ["-cf", str(DHCP / "dhcpd.conf"), "-lf", str(leases)]
        return ["-4", "-f", "--no-pid", *config, "eth0"]
