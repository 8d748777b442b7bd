"""A Debian system in a folder, booted by its own systemd in namespaces of its own.

Needs root and debootstrap. The booted system has a network of its own with loopback only, sees /sys and
/proc/sys read-only, and its control groups are below one that ``close`` takes away.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

APT = Path("/etc/apt")
GROUPS = Path("/sys/fs/cgroup")
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

BOOT = r"""
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
if [ "$2" = unified ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/unified sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/shm dev/pts
ln -s /proc/self/fd dev/fd
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
pivot_root . mnt
umount -l mnt
exec env -i container=lxc PATH="$3" chroot . /lib/systemd/systemd --log-target=journal
"""


def why_not() -> str:
    """Why no such system can be made here; empty if it can."""
    if os.geteuid() != 0:
        return "needs root for a Debian system of its own"
    if shutil.which("debootstrap") is None:
        return "needs the Debian package debootstrap"
    if not mirror():
        return "needs a Debian mirror in /etc/apt"
    if not _group_folders():
        return "needs control groups in /sys/fs/cgroup"
    return ""


def mirror() -> tuple[str, str] | None:
    """Address and release of the Debian mirror that this machine uses."""
    for path in sorted([APT / "sources.list", *APT.glob("sources.list.d/*")]):
        text = path.read_text() if path.is_file() else ""
        for pattern in (
            r"^URIs:\s*(\S+/debian/?)\s*\nSuites:\s*([a-z]+)\b",
            r"^deb\s+(?:\[[^]]*\]\s+)?(\S+/debian/?)\s+([a-z]+)\s",
        ):
            found = re.search(pattern, text, re.M)
            if found:
                return found[1], found[2]
    return None


class Machine:
    """A minimal Debian system in ``root``; it runs between ``boot`` and ``close``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._init: subprocess.Popen[bytes] | None = None
        self._groups: tuple[Path, ...] = ()
        self.pid = 0

    def make(self) -> None:
        """Install the system."""
        found = mirror()
        assert found is not None
        address, release = found
        command = ["debootstrap", "--variant=minbase", release, str(self.root), address]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | QUIET, check=False)
        assert done.returncode == 0, done.stdout[-3000:]
        (self.root / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())

    def run(self, *command: str, seconds: float = 600.0, check: bool = True) -> str:
        """A command in the system, booted or not; its output. Fails where the command does."""
        enter = ["chroot", str(self.root)]
        if self.pid:
            enter = ["nsenter", f"--target={self.pid}", "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        environ = QUIET | {"PATH": PATH}
        done = subprocess.run(
            [*enter, *command], capture_output=True, text=True, timeout=seconds, env=environ, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def from_outside(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """A command of this machine, in the network of the booted system."""
        enter = ["nsenter", f"--target={self.pid}", "-n"]
        return subprocess.run([*enter, *command], capture_output=True, timeout=60, check=False)

    def boot(self, seconds: float = 60.0) -> None:
        """Start systemd and wait until it has started everything."""
        kind, *folders = _group_folders()
        self._groups = tuple(Path(folder) / f"era-ap-{os.getpid()}" for folder in folders)
        for folder in self._groups:
            folder.mkdir()
        join = "".join(f"echo $$ >{folder}/cgroup.procs; " for folder in self._groups)
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child"]
        self._init = subprocess.Popen(
            ["sh", "-c", f'{join}exec "$@"', "sh", "unshare", *spaces, "sh", "-c", BOOT, "sh",
             str(self.root), kind, PATH],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + seconds
        while not self._is_up():
            assert self._init.poll() is None, "systemd has ended"
            assert time.monotonic() < end, "systemd does not come up"
            time.sleep(0.1)

    def close(self) -> None:
        """End what runs, by the handle of the process that was started here, and free its control groups."""
        if self._init is not None:
            self._init.kill()
            self._init.wait()
        self.pid = 0
        for top in self._groups:
            _remove_groups(top)

    def _is_up(self) -> bool:
        """Ask systemd itself, once its process is found."""
        assert self._init is not None
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        found = children.read_text().split() if children.exists() else []
        if not found or Path(f"/proc/{found[0]}/comm").read_text() != "systemd\n":
            return False
        self.pid = int(found[0])
        return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")


def _group_folders() -> Sequence[str]:
    """How control groups are mounted here, and the folders that systemd needs one in."""
    if (GROUPS / "cgroup.controllers").exists():
        return "unified", str(GROUPS)
    if (GROUPS / "systemd").is_dir() and (GROUPS / "unified").is_dir():
        return "hybrid", str(GROUPS / "systemd"), str(GROUPS / "unified")
    return ()


def _remove_groups(top: Path, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while top.exists():
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:  # a process of it is still on its way out
                assert time.monotonic() < end, f"{folder} does not go away"
                time.sleep(0.05)
                break
