"""What the daemon tells systemd (sd_notify(3)): ready, reloading, stopping, alive.

Owns the interval of the watchdog. Does nothing when the process was not started by systemd or the binding
is not installed on this platform.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

try:
    from cysystemd.daemon import Notification, notify
except ImportError:  # pragma: no cover - platforms without the binding
    notify = None  # type: ignore[assignment]


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


def _tell(what: str) -> None:
    if notify is not None and "NOTIFY_SOCKET" in os.environ:
        notify(Notification[what])
