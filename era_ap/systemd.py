"""What the daemon and systemd tell each other: ready, reloading, stopping, alive (sd_notify(3)), and the
sockets that systemd has bound for it (sd_listen_fds(3)).

Owns the interval of the watchdog and the names of sockets. Does nothing when the process was not started by
systemd or the binding is not installed on this platform.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

try:
    from cysystemd.daemon import Notification, notify
except ImportError:  # pragma: no cover - platforms without the binding
    notify = None  # type: ignore[assignment]


FIRST_DESCRIPTOR: Final = 3
KINDS: Final = {"tftp": socket.SOCK_DGRAM, "http": socket.SOCK_STREAM, "https": socket.SOCK_STREAM}
"""Names that a .socket unit gives its sockets (FileDescriptorName=), and of what kind they are."""


def ready() -> None:
    """The sockets are bound and requests are answered."""
    _tell("READY")


def reloading() -> None:
    """The configuration is being read again; ``ready`` follows."""
    _tell("RELOADING")


def stopping() -> None:
    """The daemon is on its way out."""
    _tell("STOPPING")


def alive() -> None:
    """The event loop turns; to be told more often than the watchdog's interval."""
    _tell("WATCHDOG")


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Half of the interval in which systemd wants to hear from this process; None if it does not."""
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        wanted = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 2_000_000 if microseconds > 0 and wanted == os.getpid() else None


def is_journal(descriptor: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the open file ``descriptor`` leads to systemd's journal (JOURNAL_STREAM in systemd.exec(5))."""
    try:
        about = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def inherited(environ: MutableMapping[str, str] = os.environ) -> dict[str, Sequence[socket.socket]]:
    """The sockets that systemd has bound for this process, by name; no name where there are none.

    To be asked once: the descriptors are this process' own from then on and no child inherits them. Raises
    ``OSError``, whose text says all, for a socket that is of no use here.
    """
    count, owner, names = (environ.pop(f"LISTEN_{key}", "") for key in ("FDS", "PID", "FDNAMES"))
    if not count.isdecimal() or owner != str(os.getpid()):
        return {}
    found: dict[str, list[socket.socket]] = {}
    labels = names.split(":")
    for place in range(int(count)):
        sock = socket.socket(fileno=FIRST_DESCRIPTOR + place)
        sock.set_inheritable(False)
        name = labels[place] if place < len(labels) else ""
        _check(name, sock)
        found.setdefault(name, []).append(sock)
    return dict(found)


def _check(name: str, sock: socket.socket) -> None:
    kind = KINDS.get(name)
    if kind is None:
        wanted = ", ".join(KINDS)
        raise OSError(f"systemd gives a socket named {name!r}; set FileDescriptorName= to one of {wanted}")
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != kind:
        directive = "ListenDatagram" if kind == socket.SOCK_DGRAM else "ListenStream"
        raise OSError(f"systemd gives a socket for {name} that is not of {directive}=[ADDRESS:]PORT")
    if kind == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise OSError(f"systemd gives a connection for {name}; set Accept=no")
    both = sock.family == socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    if both and sock.getsockname()[0] == "::":
        raise OSError(f"systemd gives a socket for {name} of both IPv4 and IPv6; set BindIPv6Only=ipv6-only")


def _tell(what: str) -> None:
    if notify is not None and "NOTIFY_SOCKET" in os.environ:
        notify(Notification[what])
