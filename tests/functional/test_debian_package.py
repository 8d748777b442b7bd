"""The Debian package: built, installed into a clean system, run by its systemd, removed (H4, H7).

Takes minutes and the package registries. ERA_AP_DEB names a package that is built already.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from era_ap import __version__
from tests.conftest import MAC
from tests.functional import machine
from tests.functional.machine import Machine

ROOT = Path(__file__).parents[2]
slow = pytest.mark.skipif("ERA_AP_SLOW" not in os.environ, reason="takes minutes; set ERA_AP_SLOW=1")
pytestmark = [pytest.mark.functional, pytest.mark.netns]

ACCOUNT = f"""password: s3cret
opts:
  ap_devices:
  - {{mac: "{MAC}", device_model: T46S}}
"""
CONFIG = Path("etc/era-ap/site.yml")


def test_the_versions_agree() -> None:
    first = (ROOT / "deploy/debian/changelog").read_text().splitlines()[0]
    assert re.match(r"era-ap \(([^)]+)\) ", first)[1] == __version__  # type: ignore[index]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("ERA_AP_DEB")
    if given:
        return Path(given)
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run([ROOT / "deploy/build-deb", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (found,) = out.glob("*.deb")
    return found


@pytest.fixture(scope="module")
def host(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A clean Debian system with the package and one account, booted."""
    made = Machine(tmp_path_factory.mktemp("debian") / "root")
    try:
        made.make()
        shutil.copy(package, made.root / "root/era-ap.deb")
        made.run("apt-get", "update", "-qq")
        made.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "/root/era-ap.deb")
        made.run("era-ap", "check", "--config-only")
        write(made.root / "srv/era-ap/directory/a.example.com/sipusers/101.yml", ACCOUNT)
        write(made.root / "srv/era-ap/directory/example.com/domain.yml", "settings: {}\n")
        shutil.copy(
            made.root / "usr/share/doc/era-ap/examples/demo.cfg",
            made.root / "srv/era-ap/constants/office.cfg",
        )
        made.run("chgrp", "-R", "era-ap", "/srv/era-ap")
        text = (made.root / CONFIG).read_text()
        (made.root / CONFIG).write_text(text.replace("192.0.2.10", "127.0.0.1"))
        made.boot()
        yield made
    finally:
        made.close()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for each in (path, *path.parents[:2]):
        each.chmod(0o750 if each.is_dir() else 0o640)


def fetch(host: Machine, url: str) -> bytes:
    done = host.from_outside("curl", "-sS", "--max-time", "20", "--noproxy", "*", url)
    assert done.returncode == 0, done.stderr.decode() + host.run("journalctl", "-n", "40", "--no-pager")
    return done.stdout


def eventually(true: Callable[[], bool], seconds: float) -> float:
    """Ask again until ``true``; the time it took."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds, "in vain"
        time.sleep(0.1)
    return time.monotonic() - start


@slow
@pytest.mark.skipif(not shutil.which("lintian"), reason="needs the Debian package lintian")
def test_lintian_finds_no_error(package: Path) -> None:
    done = subprocess.run(
        ["lintian", "--fail-on", "error", str(package)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@slow
@pytest.mark.skipif(bool(machine.why_not()), reason=machine.why_not())
class TestInstalled:
    """In the order of an operator's life with it."""

    def test_nothing_is_started_by_the_installation(self, host: Machine) -> None:
        assert "era-ap@" not in host.run("systemctl", "list-units", "--no-legend", "--plain")
        assert list((host.root / "etc/systemd/system").rglob("*era-ap*")) == []

    def test_nobody_but_the_daemon_reads_configuration_and_storage(self, host: Machine) -> None:
        told = host.run(
            "stat", "-c", "%a %U %G", "/etc/era-ap", f"/{CONFIG}", "/srv/era-ap", "/srv/era-ap/directory"
        )
        assert told.split("\n")[:4] == ["750 root era-ap", "640 root era-ap", *["750 root era-ap"] * 2]

    def test_an_enabled_instance_serves(self, host: Machine) -> None:
        host.run("systemctl", "enable", "--now", "era-ap@ap1")
        for scheme in ("tftp", "http"):
            assert b"account.1.password = s3cret" in fetch(host, f"{scheme}://127.0.0.1/{MAC}.cfg")
        about = host.run("sh", "-c", "cat /proc/$(systemctl show -P MainPID era-ap@ap1)/status")
        assert re.search(r"^Uid:\s+([1-9]\d*)\s+\1\s+\1\s+\1$", about, re.M)
        assert re.search(r"^CapEff:\s+0000000000000400$", about, re.M)
        assert re.search(r"^NoNewPrivs:\s+1$", about, re.M)

    def test_systemd_s_journal_knows_what_is_a_warning(self, host: Machine) -> None:
        host.from_outside("curl", "-sS", "--max-time", "20", "tftp://127.0.0.1/001565ffffff.cfg")
        ask = ("journalctl", "-u", "era-ap@ap1", "-o", "cat", "--no-pager", "_COMM=era-ap")
        eventually(lambda: "mac-unknown" in host.run(*ask, "-p", "warning"), 20)
        warnings = [json.loads(line) for line in host.run(*ask, "-p", "warning").splitlines()]
        assert {entry["level"] for entry in warnings} <= {"warning", "error"}
        assert '"event": "ready"' in host.run(*ask, "-p", "info")

    def test_journal_and_state_are_its_own(self, host: Machine) -> None:
        found = host.run("find", "/var/log/era-ap", "/var/lib/era-ap", "-type", "f", "-printf", "%m %u %p\\n")
        assert "/var/log/era-ap/ap1/journal" in found
        assert all(line.startswith("600 era-ap ") for line in found.splitlines()), found

    def test_reload_keeps_the_process(self, host: Machine) -> None:
        before = host.run("systemctl", "show", "-P", "MainPID", "era-ap@ap1")
        host.run("systemctl", "reload", "era-ap@ap1")
        eventually(
            lambda: "configuration taken" in host.run("journalctl", "-u", "era-ap@ap1", "--no-pager"), 20
        )
        assert host.run("systemctl", "show", "-P", "MainPID", "era-ap@ap1") == before

    def test_a_frozen_instance_is_started_anew(self, host: Machine) -> None:
        host.run("systemctl", "kill", "--kill-whom=main", "-s", "STOP", "era-ap@ap1")
        show = ("systemctl", "show", "-P", "NRestarts", "era-ap@ap1")
        assert eventually(lambda: host.run(*show).strip() == "1", 40) < 25
        eventually(
            lambda: "active" in host.run("systemctl", "is-active", "era-ap@ap1", check=False).split(), 40
        )
        assert b"s3cret" in fetch(host, f"tftp://127.0.0.1/{MAC}.cfg")

    def test_with_sockets_of_systemd_it_has_no_capability(self, host: Machine) -> None:
        activated = ("era-ap-tftp@ap1.socket", "era-ap-http@ap1.socket", "era-ap-activated@ap1.service")
        host.run("systemctl", "stop", "era-ap@ap1")
        host.run("systemctl", "start", *activated)
        for scheme in ("tftp", "http"):
            assert b"account.1.password = s3cret" in fetch(host, f"{scheme}://127.0.0.1/{MAC}.cfg")
        about = host.run("sh", "-c", "cat /proc/$(systemctl show -P MainPID era-ap-activated@ap1)/status")
        assert re.search(r"^CapEff:\s+0000000000000000$", about, re.M)
        assert re.search(r"^CapBnd:\s+0000000000000000$", about, re.M)
        host.run("systemctl", "restart", activated[-1])
        assert b"s3cret" in fetch(host, f"tftp://127.0.0.1/{MAC}.cfg")
        host.run("systemctl", "stop", *activated)
        host.run("systemctl", "start", "era-ap@ap1")

    def test_an_invalid_configuration_is_named_and_a_repaired_one_starts_by_itself(
        self, host: Machine
    ) -> None:
        good = (host.root / CONFIG).read_text()
        (host.root / CONFIG).write_text(good.replace("group: 1", "group: none"))
        host.run("systemctl", "restart", "era-ap@ap1", check=False)
        said = host.run("journalctl", "-u", "era-ap@ap1", "-n", "20", "--no-pager")
        assert "roles[0].group" in said
        (host.root / CONFIG).write_text(good)
        eventually(
            lambda: host.run("systemctl", "is-active", "era-ap@ap1", check=False).strip() == "active", 40
        )

    def test_an_upgrade_keeps_edits_and_starts_running_instances_anew(self, host: Machine) -> None:
        template = next((host.root / "srv/era-ap/templates/yealink").glob("*.cfg"))
        template.write_text(template.read_text() + "# ours\n")
        before = host.run("systemctl", "show", "-P", "MainPID", "era-ap@ap1")
        host.run("dpkg", "--install", "/root/era-ap.deb")
        eventually(
            lambda: host.run("systemctl", "is-active", "era-ap@ap1", check=False).strip() == "active", 40
        )
        assert host.run("systemctl", "show", "-P", "MainPID", "era-ap@ap1") != before
        assert template.read_text().endswith("# ours\n")
        assert "127.0.0.1" in (host.root / CONFIG).read_text()
        assert "0 differ" in host.run("era-ap-packs")

    def test_removal_stops_it_and_keeps_what_is_the_operator_s(self, host: Machine) -> None:
        host.run("apt-get", "remove", "-y", "-qq", "era-ap")
        assert "active" not in host.run("systemctl", "is-active", "era-ap@ap1", check=False).split()
        assert (host.root / "srv/era-ap/directory/a.example.com/sipusers/101.yml").exists()
        assert (host.root / CONFIG).exists()
        assert not (host.root / "usr/lib/era-ap").exists()

    def test_purge_leaves_what_the_operator_wrote_and_nothing_else(self, host: Machine) -> None:
        host.run("apt-get", "purge", "-y", "-qq", "era-ap")
        left = {str(path.relative_to(host.root)) for path in (host.root / "srv").rglob("*") if path.is_file()}
        assert {name.rpartition("/")[2] for name in left} >= {"101.yml", "domain.yml", "office.cfg"}
        assert len(left) == 4  # and the template that was edited
        shutil.rmtree(host.root / "srv/era-ap")
        found = host.run(
            "find", "/etc", "/usr", "/var", "/srv", "/lib/systemd", "-xdev", "-name", "*era[-_]ap*"
        )
        assert [line for line in found.splitlines() if "/var/log/journal" not in line] == []


@slow
@pytest.mark.skipif(bool(machine.why_not()), reason=machine.why_not())
def test_what_was_never_configured_is_purged_without_a_trace(
    package: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    host = Machine(tmp_path / "root")
    host.make()
    shutil.copy(package, host.root / "root/era-ap.deb")
    host.run("apt-get", "update", "-qq")
    host.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "/root/era-ap.deb")
    host.run("apt-get", "purge", "-y", "-qq", "era-ap")
    (host.root / "root/era-ap.deb").unlink()
    assert host.run("find", "/etc", "/usr", "/var", "/srv", "-xdev", "-name", "*era[-_]ap*") == ""
    assert "era-ap" not in (host.root / "etc/passwd").read_text()
    assert "era-ap" not in (host.root / "etc/group").read_text()
