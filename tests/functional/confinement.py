"""What systemd does to a process before it becomes a service: capabilities, identity, system calls.

Each function takes the directives of a unit and acts on the calling process for good, children included.
Needs root and libseccomp.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import resource
import socket
import subprocess
from functools import cache

from tests.functional.unit_file import Directives

LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 8, 24, 38, 47
PR_CAP_AMBIENT_RAISE = 2
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
CAPABILITY_VERSION = 0x20080522
CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10}

CLONE_NEWUSER = 0x10000000
ALLOW = 0x7FFF0000
NOT_EQUAL, LESS, EQUAL, GREATER, MASKED = 1, 2, 4, 6, 7
PROT_WRITE, PROT_EXEC = 2, 4
S_ISUID_OR_S_ISGID = (0o4000, 0o2000)
NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)


class ArgCmp(ctypes.Structure):
    """One comparison of a system call's argument (struct scmp_arg_cmp)."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def drop_privileges(service: Directives, uid: int, gid: int) -> None:
    """User, capabilities and no-new-privs; ``uid`` and ``gid`` stand for User= and Group=."""
    os.umask(int(service["UMask"][-1], 8))
    for kind, key in ((resource.RLIMIT_NOFILE, "LimitNOFILE"), (resource.RLIMIT_CORE, "LimitCORE")):
        wanted, hard = int(service[key][-1]), resource.getrlimit(kind)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (limit, limit))
    bounding = _capabilities(service["CapabilityBoundingSet"])
    ambient = _capabilities(service.get("AmbientCapabilities", []))
    if service.get("PrivateUsers") == ["yes"]:
        _leave_users_behind(uid, gid)
    for number in range(64):
        if number not in bounding and LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) and number == 0:
            raise OSError("capabilities cannot be dropped")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    _prctl(PR_SET_KEEPCAPS, 1)
    os.setresuid(uid, uid, uid)
    _set_capabilities(ambient)
    for number in ambient:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
    if service["NoNewPrivileges"] == ["yes"]:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)


def filter_system_calls(service: Directives) -> None:
    """The filters of the unit, by libseccomp. Needs no-new-privs."""
    limits = Filter(refuse=errno.EPERM)
    if service["MemoryDenyWriteExecute"] == ["yes"]:
        limits.refuse("mmap", (2, MASKED, PROT_EXEC | PROT_WRITE, PROT_EXEC | PROT_WRITE))
        for call in ("mprotect", "pkey_mprotect"):
            limits.refuse(call, (2, MASKED, PROT_EXEC, PROT_EXEC))
        limits.refuse("shmat", (2, MASKED, 0o100000, 0o100000))
    if service["RestrictSUIDSGID"] == ["yes"]:
        for call, place in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("open", 2), ("openat", 3)):
            for bit in S_ISUID_OR_S_ISGID:
                limits.refuse(call, (place, MASKED, bit, bit))
    if service["RestrictNamespaces"] == ["yes"]:
        limits.refuse("setns")
        for flag in NAMESPACES:
            limits.refuse("unshare", (0, MASKED, flag, flag))
            limits.refuse("clone", (0, MASKED, flag, flag))
    if service["LockPersonality"] == ["yes"]:
        limits.refuse("personality", (0, NOT_EQUAL, 0, 0))
    limits.load()
    families = Filter(refuse=errno.EAFNOSUPPORT)
    allowed = {getattr(socket, name) for name in service["RestrictAddressFamilies"][-1].split()}
    families.refuse("socket", (0, GREATER, max(allowed), 0))
    for number in set(range(max(allowed))) - allowed:
        families.refuse("socket", (0, EQUAL, number, 0))
    families.load()
    errors = {"EPERM": errno.EPERM}
    wanted = Filter(refuse=errors[service["SystemCallErrorNumber"][-1]], default_allows=False)
    for name in allowed_calls(service["SystemCallFilter"]):
        wanted.allow(name)
    wanted.load()  # the last: it may refuse what loading a filter takes


def allowed_calls(lines: list[str]) -> set[str]:
    """Names of the system calls that SystemCallFilter= leaves."""
    allowed = _expand("@default")
    for line in lines:
        names = set().union(*map(_expand, line.removeprefix("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


class Filter:
    """A seccomp filter under construction; ``refuse`` is the error number that a refused call gets."""

    def __init__(self, *, refuse: int, default_allows: bool = True) -> None:
        self._lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self._lib.seccomp_init.restype = ctypes.c_void_p
        self._refusal = 0x00050000 | refuse
        self._context = ctypes.c_void_p(self._lib.seccomp_init(ALLOW if default_allows else self._refusal))

    def allow(self, call: str) -> None:
        self._add(ALLOW, call)

    def refuse(self, call: str, *where: tuple[int, int, int, int]) -> None:
        """Refuse ``call`` where its arguments compare so: place, operator, mask or value, value."""
        self._add(self._refusal, call, *where)

    def load(self) -> None:
        failed = self._lib.seccomp_load(self._context)
        if failed:
            raise OSError(-failed, "seccomp_load")

    def _add(self, action: int, call: str, *where: tuple[int, int, int, int]) -> None:
        number = self._lib.seccomp_syscall_resolve_name(call.encode())
        if number < 0:  # a call of other architectures
            return
        compare = (ArgCmp * len(where))(*(ArgCmp(*each) for each in where))
        failed = self._lib.seccomp_rule_add_array(self._context, action, number, len(where), compare)
        if failed:
            raise OSError(-failed, f"seccomp_rule_add_array({call})")


@cache
def _expand(name: str) -> frozenset[str]:
    if not name.startswith("@"):
        return frozenset({name})
    listing = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    )
    names = [line.strip() for line in listing.stdout.splitlines()[1:]]
    return frozenset().union(*(_expand(each) for each in names if each and not each.startswith("#")))


def _leave_users_behind(uid: int, gid: int) -> None:
    """A user namespace in which only root and the service's own user and group exist."""
    ready, told = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.read(ready[0], 1)
        for kind, number in (("uid", uid), ("gid", gid)):
            with open(f"/proc/{os.getppid()}/{kind}_map", "w") as file:
                file.write(f"0 0 1\n{number} {number} 1\n")
        os.write(told[1], b"x")
        os._exit(0)
    if LIBC.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(ready[1], b"x")
    os.close(told[1])
    mapped = os.read(told[0], 1)
    os.waitpid(child, 0)
    if not mapped:
        raise OSError("the user namespace got no users")
    for descriptor in (*ready, told[0]):
        os.close(descriptor)


def _capabilities(lines: list[str]) -> set[int]:
    return {CAPABILITIES[name] for line in lines for name in line.split()}


def _set_capabilities(numbers: set[int]) -> None:
    low = sum(1 << number for number in numbers)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(low, low, low, 0, 0, 0)  # effective, permitted, inheritable; twice 32 bits
    if LIBC.syscall(SYS_CAPSET, header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def _prctl(*arguments: int) -> None:
    if LIBC.prctl(*arguments, *(0,) * (5 - len(arguments))):
        raise OSError(ctypes.get_errno(), f"prctl{arguments}")
