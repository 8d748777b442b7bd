"""The units in deploy/systemd: how exposed a service is, what systemd says, what figures must agree (G7)."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from era_ap.config import Ext
from era_ap.daemon import DESCRIPTORS
from era_ap.feeds import FIRST_LOOK_SECONDS
from era_ap.systemd import KINDS
from era_ap.udp import RECEIVE_BUFFER
from tests.functional.unit_file import ACTIVATED, FOLDER, SERVICE, read_unit, seconds

pytestmark = pytest.mark.functional

SYSTEM = Path("/lib/systemd/system")
SOCKETS = sorted(FOLDER.glob("*.socket"))
NEEDS = "needs the Debian package systemd"


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{NEEDS} ({name})")
    return found


@pytest.mark.parametrize(("unit", "most"), [(SERVICE, 1.5), (ACTIVATED, 1.2)], ids=str)
def test_exposure(unit: Path, most: float) -> None:
    command = [tool("systemd-analyze"), "security", "--offline=true", f"--threshold={round(most * 10)}"]
    done = subprocess.run([*command, str(unit)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    (score,) = re.findall(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    assert float(score) <= most


def test_systemd_finds_no_fault_with_them(tmp_path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for path in (*SYSTEM.glob("*.target"), *SYSTEM.glob("*.slice"), *FOLDER.glob("*@.*")):
        shutil.copy(path, units)
    (tmp_path / "usr/bin").mkdir(parents=True)
    for name in ("era-ap", "sh"):
        (tmp_path / "usr/bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "usr/bin" / name).chmod(0o755)
    names = [path.name.replace("@.", "@ap1.") for path in FOLDER.glob("*@.*")]
    command = [tool("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", f"--root={tmp_path}"]
    done = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "era-ap" in line]
    assert (done.returncode, ours) == (0, [])


def test_the_unit_with_sockets_of_systemd_is_the_same_but_for_what_it_does_not_need() -> None:
    plain, activated = read_unit(SERVICE), read_unit(ACTIVATED)
    ours = plain["Service"] | {"CapabilityBoundingSet": [], "PrivateUsers": ["yes"]}
    del ours["AmbientCapabilities"]
    assert activated["Service"] == ours
    assert activated["Install"] == plain["Install"]


def test_the_figures_agree_with_those_of_the_daemon() -> None:
    service = read_unit(SERVICE)["Service"]
    assert seconds(service, "TimeoutStopSec") > Ext().drain_seconds
    assert seconds(service, "TimeoutStartSec") > FIRST_LOOK_SECONDS
    assert seconds(service, "LimitNOFILE") == DESCRIPTORS
    kernel = dict(
        re.split(r"\s*=\s*", line)
        for line in (FOLDER / "era-ap.sysctl").read_text().splitlines()
        if "=" in line
    )
    assert int(kernel["net.core.rmem_max"]) == RECEIVE_BUFFER
    assert int(kernel["net.ipv4.igmp_max_memberships"]) > 20  # what a host with 20 VLANs would run into


@pytest.mark.parametrize("path", SOCKETS, ids=lambda path: path.name)
def test_sockets_have_the_names_and_kinds_that_the_daemon_knows(path: Path) -> None:
    (kind,) = re.findall(r"era-ap-(\w+)@", path.name)
    section = read_unit(path)["Socket"]
    assert section["FileDescriptorName"] == [kind]
    assert kind in KINDS
    assert ("ListenDatagram" in section) == (kind == "tftp")
    assert section["BindIPv6Only"] == ["ipv6-only"]
    assert section["Service"] == ["era-ap-activated@ap1.service"]


def test_the_user_and_the_modes_of_the_folders(tmp_path: Path) -> None:
    for folder in ("etc/era-ap", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("site.yml", "site.key", "db.password"):
        (tmp_path / "etc/era-ap" / name).touch(0o644)
    shutil.copy(FOLDER / "era-ap.sysusers", tmp_path / "usr/lib/sysusers.d/era-ap.conf")
    shutil.copy(FOLDER / "era-ap.tmpfiles", tmp_path / "usr/lib/tmpfiles.d/era-ap.conf")
    subprocess.run([tool("systemd-sysusers"), f"--root={tmp_path}", "era-ap.conf"], check=True)
    user, group = ((tmp_path / "etc" / name).read_text() for name in ("passwd", "group"))
    (gid,) = re.findall(r"^era-ap:[^:]*:(\d+):", group, re.M)
    assert re.search(rf"^era-ap:[^:]*:\d+:{gid}:.*:/usr/sbin/nologin$", user, re.M)
    subprocess.run([tool("systemd-tmpfiles"), f"--root={tmp_path}", "--create", "era-ap.conf"], check=True)
    found = {
        str(path.relative_to(tmp_path)): (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid)
        for folder in ("etc/era-ap", "var/lib/era-ap", "var/log/era-ap")
        for path in (tmp_path / folder, *(tmp_path / folder).iterdir())
    }
    assert found == {
        "etc/era-ap": (0o750, int(gid)),
        "etc/era-ap/site.yml": (0o640, int(gid)),
        "etc/era-ap/site.key": (0o640, int(gid)),
        "etc/era-ap/db.password": (0o640, int(gid)),
        "var/lib/era-ap": (0o755, 0),
        "var/log/era-ap": (0o755, 0),
    }
