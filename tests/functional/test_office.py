"""The office: a DHCP server, one instance under the unit's restrictions, telephones that boot (G6)."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import MAC, Site
from tests.functional.namespaces import why_not
from tests.functional.office import ROOT, SERVER, URL, Office
from tests.functional.unit_file import ACTIVATED, SERVICE
from tests.functional.unit_sandbox import GID, SHOWN_AS, UID

pytestmark = [
    pytest.mark.functional,
    pytest.mark.netns,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs the Debian package systemd"),
]

NET_BIND_SERVICE = 1 << 10
STATE, LOGS = Path("/var/lib/era-ap/ap1"), Path("/var/log/era-ap/ap1")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    folder = tmp_path / "office"
    folder.mkdir()
    made = Office(folder)
    yield made
    made.close()


@dataclass
class Place:
    """The files of a host: what stands for /srv/era-ap, $STATE_DIRECTORY and $LOGS_DIRECTORY."""

    site: Site
    state: Path
    logs: Path

    def sandboxed(self, unit: Path) -> list[str]:
        """What to put before a command that runs as the service ``unit``."""
        return [
            "env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.functional.unit_sandbox",
            *map(str, (unit, self.site.root, self.state, self.logs)),
        ]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A site that only root may write to and the service's group may read, as the package makes it."""
    site = Site(tmp_path / "site")
    site.root.mkdir()
    for folder in ("templates", "constants", "configs"):
        (site.root / "storage" / folder).mkdir(parents=True)
    site.template("T46S.cfg", "user = [sipuser.login]\nsecret = [sipuser.password]\n")
    site.phone("101", MAC)
    site.domain("example.com")
    site.ext |= {
        "listen": ["0.0.0.0"],
        "http_port": 80,
        "http_listen": ["0.0.0.0"],
        "allow": ["192.0.2.0/24"],
        "mac_is_enough": {"tftp": True, "http": True},
        "journal": str(LOGS / "journal"),
        "uploads": str(STATE / "uploads"),
        "pnp": {"enabled": True},
    }
    config = site.configure(interfaces={"lo": SERVER})
    config.write_text(config.read_text().replace('"tftp_port": 0', '"tftp_port": 69'))
    for path in (site.root, *site.root.rglob("*")):
        os.chown(path, 0, GID)
        path.chmod(0o750 if path.is_dir() else 0o640)
    folders = tmp_path / "state", tmp_path / "logs"
    for folder in folders:
        folder.mkdir()
    return Place(site, *folders)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def test_a_telephone_gets_lease_and_file_from_an_instance_under_the_unit_s_restrictions(
    office: Office, place: Place, daemon: Callable
) -> None:
    office.start_dhcp("dnsmasq")
    prefix = [*office.network.inside("srv"), *place.sandboxed(SERVICE)]
    process = daemon(SHOWN_AS / "site.yml", prefix=prefix).wait_ready()
    lease = office.plug_in(MAC, "yealink")
    assert lease.server == URL
    assert office.fetch(f"{lease.server}{MAC}.cfg") == b"user = 101\nsecret = s3cret\n"
    lease = office.plug_in(MAC, "Cisco Systems, Inc. IP Phone CP-7962G")
    assert office.fetch(f"tftp://{lease.options[150]}/{MAC}.cfg") == b"user = 101\nsecret = s3cret\n"

    process.wait(lambda: any(entry.get("interfaces") == ["eth0"] for entry in process.log))
    found = office.network.run(
        "desk", [sys.executable, "-m", "era_ap", "phone", MAC, "--pnp", "--vendor", "yealink", "--json"]
    )
    assert json.loads(found.stdout)["ok"], found.stdout

    about = status(process.process.pid)
    assert about["Uid"].split() == [str(UID)] * 4
    assert about["Gid"].split() == [str(GID)] * 4
    for name in ("CapEff", "CapBnd", "CapPrm", "CapAmb"):
        assert int(about[name], 16) == NET_BIND_SERVICE
    assert (about["NoNewPrivs"], about["Seccomp"]) == ("1", "2")
    assert process.stop() == 0
    kept = [path for folder in (place.state, place.logs) for path in folder.rglob("*")]
    assert place.logs / "journal" in kept
    for path in kept:
        assert path.stat().st_uid == UID
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_an_upload_lands_in_the_state_folder(office: Office, place: Place, daemon: Callable) -> None:
    (place.state / "uploads").mkdir()
    os.chown(place.state / "uploads", UID, GID)
    prefix = [*office.network.inside("srv"), *place.sandboxed(SERVICE)]
    process = daemon(SHOWN_AS / "site.yml", prefix=prefix).wait_ready()
    log = place.site.root / "log"
    log.write_bytes(b"news")
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs the Debian package curl")
    to = f"tftp://{SERVER}/{MAC}-app.log"
    done = office.network.run("srv", [curl, "-sS", "--max-time", "20", "-T", str(log), to])
    assert done.returncode == 0, done.stderr
    process.wait_log("request", reason="uploaded")
    (path,) = (place.state / "uploads" / SERVER).iterdir()
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"news", 0o600)


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/era', 'w')",
        f"open('{SHOWN_AS}/site.yml', 'a')",
        "open('/sys/kernel/x', 'w')",
        "open('/proc/1/environ')",
        "open('/dev/kmsg')",
        # Homes are of another file system there: empty, but for an interpreter that is in one.
        f"os.stat('/root').st_dev == {Path('/root').stat().st_dev} or (_ for _ in ()).throw(OSError)",
        "os.chown('/tmp', 0, 0)",
        "os.sched_setaffinity(0, {0})",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
        "ctypes.CDLL(None, use_errno=True).unshare(0x10000000) and (_ for _ in ()).throw(OSError)",
        "os.chmod(tempfile.mkdtemp(), 0o4700)",
    ],
)
def test_what_the_service_cannot_do(place: Place, attempt: str) -> None:
    code = f"import ctypes, mmap, os, socket, tempfile\n{attempt}"
    done = subprocess.run(
        [*place.sandboxed(SERVICE), sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done
    assert re.search(r"(OSError|PermissionError|FileNotFoundError)", done.stderr.splitlines()[-1]), (
        done.stderr
    )


def test_without_its_capability_the_service_has_no_port_69(office: Office, place: Place) -> None:
    code = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('{SERVER}', 69))"
    for unit, wanted in ((SERVICE, 0), (ACTIVATED, 1)):
        done = office.network.run("srv", [*place.sandboxed(unit), sys.executable, "-c", code])
        assert done.returncode == wanted, done.stderr
    assert "PermissionError" in done.stderr


def test_the_sandbox_knows_every_directive(place: Place, tmp_path: Path) -> None:
    unit = tmp_path / "new.service"
    unit.write_text(
        SERVICE.read_text().replace("[Install]", "[Install]\n").replace("UMask=", "Brandnew=1\nUMask=")
    )
    done = subprocess.run([*place.sandboxed(unit), "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "does not know Brandnew" in done.stderr


def test_nothing_is_left_of_the_sandbox(place: Place) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    subprocess.run([*place.sandboxed(SERVICE), "true"], check=True)
    assert Path("/proc/self/mountinfo").read_text() == before
    assert socket.gethostname()


def test_an_instance_with_sockets_of_systemd_needs_no_capability(
    office: Office, place: Place, daemon: Callable
) -> None:
    office.start_dhcp("dnsmasq")
    given = [f"tftp={SERVER}:69", f"http={SERVER}:80", "--"]
    activation = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.functional.activation", *given]
    prefix = [*office.network.inside("srv"), *activation, *place.sandboxed(ACTIVATED)]
    process = daemon(SHOWN_AS / "site.yml", prefix=prefix).wait_ready()
    lease = office.plug_in(MAC, "yealink")
    assert office.fetch(f"{lease.server}{MAC}.cfg") == b"user = 101\nsecret = s3cret\n"
    assert office.fetch(f"tftp://{lease.options[150]}/{MAC}.cfg") == b"user = 101\nsecret = s3cret\n"
    found = office.network.run(
        "desk", [sys.executable, "-m", "era_ap", "phone", MAC, "--pnp", "--vendor", "yealink", "--json"]
    )
    assert json.loads(found.stdout)["ok"], found.stdout
    about = status(process.process.pid)
    assert about["Uid"].split() == [str(UID)] * 4
    assert {int(about[name], 16) for name in ("CapEff", "CapBnd", "CapPrm", "CapAmb")} == {0}
    assert process.stop() == 0
