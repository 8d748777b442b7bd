"""Runs a command under the restrictions of our unit where no systemd runs.

    python -m tests.functional.unit_sandbox UNIT FOLDER STATE LOGS COMMAND...

Everything is read from the unit file. FOLDER is shown read-only as /srv/era-ap; STATE and LOGS stand for
StateDirectory= and LogsDirectory=. As root, in mount, IPC and UTS namespaces of its own; the network is that
of the caller. A directive that is neither done here nor listed as without effect here ends it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.functional.confinement import LIBC, drop_privileges, filter_system_calls
from tests.functional.unit_file import Directives, read_unit

SHOWN_AS = Path("/srv/era-ap")
UID = GID = 61_069

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
MS_BIND, MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1000, 0x4000, 0x40000, 2, 4, 8
AT_FDCWD, AT_RECURSIVE, READ_ONLY = -100, 0x8000, 1
SYS_MOUNT_SETATTR = 442
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
HOMES = ("/home", "/root", "/run/user")
HIDDEN = (*HOMES, "/tmp", "/var/tmp", "/srv", "/var/lib", "/var/log", "/dev/shm", "/dev/mqueue")

DONE_HERE = frozenset({
    "User", "Group", "UMask", "NoNewPrivileges", "AmbientCapabilities", "CapabilityBoundingSet",
    "LimitNOFILE", "LimitCORE", "StateDirectory", "LogsDirectory", "ProtectSystem", "ProtectHome",
    "PrivateTmp", "PrivateMounts", "PrivateDevices", "DevicePolicy", "PrivateIPC", "ProtectKernelTunables",
    "PrivateUsers", "ProtectControlGroups", "ProtectHostname", "ProtectProc", "ProcSubset", "LockPersonality",
    "MemoryDenyWriteExecute", "RestrictSUIDSGID", "RestrictNamespaces", "SystemCallArchitectures",
    "SystemCallFilter", "SystemCallErrorNumber", "RestrictAddressFamilies",
})  # fmt: skip
OF_THE_MANAGER = frozenset({
    "Type", "NotifyAccess", "ExecStartPre", "ExecStart", "ExecReload", "Restart", "RestartSec",
    "TimeoutStartSec", "TimeoutStopSec", "TimeoutAbortSec", "KillMode", "WatchdogSec", "TasksMax",
    "MemoryMax", "StateDirectoryMode", "LogsDirectoryMode", "RemoveIPC", "KeyringMode",
})  # fmt: skip
WITHOUT_CAPABILITIES_IMPLIED = frozenset({"ProtectKernelModules", "ProtectKernelLogs", "RestrictRealtime"})


class MountAttr(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))


def main(arguments: list[str]) -> None:
    """Become the service."""
    unit, folder, state, logs, *command = arguments
    service = read_unit(Path(unit))["Service"]
    unknown = service.keys() - DONE_HERE - OF_THE_MANAGER - WITHOUT_CAPABILITIES_IMPLIED
    if unknown:
        sys.exit(f"{unit}: this sandbox does not know {', '.join(sorted(unknown))}")
    os.umask(0o022)
    _check(LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC), "unshare")
    mount(None, "/", flags=MS_REC | MS_PRIVATE)
    environ = os.environ | make_files(service, Path(folder), Path(state), Path(logs))
    os.chdir("/")
    drop_privileges(service, UID, GID)
    filter_system_calls(service)
    os.execvpe(command[0], command, environ)


def make_files(service: Directives, folder: Path, state: Path, logs: Path) -> dict[str, str]:
    """The file system as the service sees it; the environment that tells of it."""
    for key, value in (
        ("ProtectSystem", "strict"), ("ProtectHome", "yes"), ("PrivateTmp", "yes"), ("PrivateDevices", "yes"),
        ("ProtectProc", "invisible"), ("ProcSubset", "pid"), ("ProtectControlGroups", "yes"),
    ):  # fmt: skip
        if service[key] != [value]:
            sys.exit(f"this sandbox knows {key}={value} only")
    shown = [*_program(), folder]
    kept = {path: os.open(path, os.O_PATH) for path in (*shown, state, logs)}
    notify = os.environ.get("NOTIFY_SOCKET")
    if notify:
        kept[Path(notify)] = os.open(notify, os.O_PATH)
    closed = _closed(kept)
    for hidden in (*HIDDEN, *closed):
        if Path(hidden).is_dir():
            tmpfs(hidden, 0o1777 if hidden.endswith(("tmp", "shm")) else 0o755)
    places = {"STATE_DIRECTORY": Path("/var/lib", service["StateDirectory"][-1])}
    places |= {"LOGS_DIRECTORY": Path("/var/log", service["LogsDirectory"][-1])}
    targets = {path: SHOWN_AS if path == folder else path for path in kept}
    targets |= {state: places["STATE_DIRECTORY"], logs: places["LOGS_DIRECTORY"]}
    for path, target in targets.items():
        show(kept[path], target, is_folder=path.is_dir() if path.exists() else not _is_socket(kept[path]))
    _devices()
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=invisible,subset=pid")
    set_read_only("/", writable=("/tmp", "/var/tmp", "/dev", "/proc", *map(str, places.values())))
    for path in places.values():
        os.chown(path, UID, GID)
    return {key: str(path) for key, path in places.items()}


def _program() -> Iterable[Path]:
    """What the tests' interpreter needs, wherever it was installed; an installed service is in /usr."""
    return sorted({Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[2]})


def _closed(paths: Iterable[Path]) -> set[str]:
    """The uppermost folders on the way to ``paths`` that the service's user may not pass."""
    ways = ([*reversed(path.parents)] for path in paths)
    shut = (next((each for each in way if not each.stat().st_mode & 0o001), None) for way in ways)
    return {str(each) for each in shut if each is not None and not str(each).startswith(HIDDEN)}


def _is_socket(descriptor: int) -> bool:
    return (os.fstat(descriptor).st_mode & 0o170000) == 0o140000


def show(descriptor: int, target: Path, *, is_folder: bool) -> None:
    """Bind what ``descriptor`` is opened on to ``target``, which is made where it is hidden by now."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        target.mkdir(exist_ok=True)
    elif not target.exists():
        target.touch()
    mount(f"/proc/self/fd/{descriptor}", str(target), flags=MS_BIND | MS_REC)
    os.close(descriptor)


def _devices() -> None:
    opened = {name: os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES}
    tmpfs("/dev", 0o755)
    for name, descriptor in opened.items():
        show(descriptor, Path("/dev", name), is_folder=False)


def tmpfs(target: str, mode: int) -> None:
    """An empty folder over ``target``."""
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode:o}")


def set_read_only(target: str, writable: Iterable[str]) -> None:
    """All mounts from ``target`` downwards, but the mounts ``writable``."""
    size = ctypes.sizeof(MountAttr)
    for path, attr, flags in (
        (target, MountAttr(set=READ_ONLY), AT_RECURSIVE),
        *((path, MountAttr(clear=READ_ONLY), 0) for path in writable),
    ):
        done = LIBC.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), flags, ctypes.byref(attr), size)
        _check(done, f"mount_setattr {path}")


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    texts = [None if text is None else text.encode() for text in (source, target, kind)]
    _check(LIBC.mount(*texts, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def _check(failed: int, what: str) -> None:
    if failed:
        raise OSError(ctypes.get_errno(), what)


if __name__ == "__main__":
    main(sys.argv[1:])
