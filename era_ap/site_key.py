"""The site's secret key: read from ``ext.key_file``, or made for this process alone where none is configured.

Owns the notation of the file. One key a line, the newest first: it signs, the others still verify, so that a
key can be replaced without cutting off addresses that were given out already. The file is never written.
"""

from __future__ import annotations

import secrets
import stat
from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from pathlib import Path

SHORTEST: Final = 32
MOST: Final = 4
_FILE_BYTES: Final = 64 * 1024


def read_keys(path: Path | None) -> tuple[bytes, ...]:
    """The keys of ``path``; a new random one where it is None. Raises ``Refused`` (KEY_FILE)."""
    if path is None:
        return (secrets.token_bytes(32),)
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES).decode("ascii")
    except OSError as error:
        raise Refused(Reason.KEY_FILE, f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(Reason.KEY_FILE, f"{path}: is not text; write a key as hex digits") from None
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not 1 <= len(keys) <= MOST:
        raise Refused(Reason.KEY_FILE, f"{path}: has {len(keys)} keys; write one a line, the newest first")
    if min(map(len, keys)) < SHORTEST:
        raise Refused(Reason.KEY_FILE, f"{path}: a key has fewer than {SHORTEST} characters")
    return tuple(key.encode() for key in keys)


def is_exposed(path: Path) -> bool:
    """Whether everybody on this host can read the file."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
