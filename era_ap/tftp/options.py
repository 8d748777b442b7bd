"""Option negotiation: what the server allows, what the client wishes, what was agreed.

Owns the four options of RFC 2348, 2349 and 7440 and the rule of RFC 2347 that only requested options are
acknowledged. Three types on purpose: a client's wish can never become a server's limit. Unknown options
and values out of range are left out of the OACK, never an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BLKSIZE: Final = 512
MIN_BLKSIZE: Final = 8
MAX_BLKSIZE: Final = 65464
MAX_WINDOWSIZE: Final = 65535
MAX_TIMEOUT: Final = 255
_REMEMBERED: Final = 512
"""Phones of a model ask alike: what was said last is known still."""


@dataclass(frozen=True, slots=True)
class OptionPolicy:
    """Server limits: largest ``blksize`` in octets (without the header) and ``windowsize`` in blocks.

    A wish for more than ``timeout`` seconds is left out of the OACK: what is acknowledged binds the server,
    and some clients ask for a time-out that is much too long for a network that loses datagrams.
    """

    blksize: int = 1428
    windowsize: int = 16
    timeout: int = MAX_TIMEOUT

    def __post_init__(self) -> None:
        if not MIN_BLKSIZE <= self.blksize <= MAX_BLKSIZE:
            raise ValueError(f"blksize {self.blksize}: must be {MIN_BLKSIZE} to {MAX_BLKSIZE} (RFC 2348)")
        if not 1 <= self.windowsize <= MAX_WINDOWSIZE:
            raise ValueError(f"windowsize {self.windowsize}: must be 1 to {MAX_WINDOWSIZE} (RFC 7440)")
        if not 0 <= self.timeout <= MAX_TIMEOUT:
            raise ValueError(f"timeout {self.timeout}: must be 0 (never) to {MAX_TIMEOUT} (RFC 2349)")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client asked for, each None where it did not ask or asked for something unusable.

    ``timeout`` in seconds. ``tsize`` in octets: 0 in a read request, the size of the file in a write request.
    """

    blksize: int | None = None
    timeout: int | None = None
    tsize: int | None = None
    windowsize: int | None = None


@dataclass(frozen=True, slots=True)
class Agreed:
    """What holds for one transfer. ``acknowledged`` are the pairs of the OACK, empty where none is sent."""

    blksize: int = DEFAULT_BLKSIZE
    windowsize: int = 1
    timeout: int | None = None
    tsize: int | None = None
    acknowledged: tuple[tuple[str, str], ...] = ()


NOTHING: Final = Wish()
DEFAULTS: Final = Agreed()


def read_wish(options: Mapping[str, str]) -> Wish:
    """Pick the known options with usable values; ``options`` has lower-case names."""
    if not options:
        return NOTHING
    said = options.get
    return _wish(said("blksize"), said("timeout"), said("tsize"), said("windowsize"))


def negotiate(wish: Wish, policy: OptionPolicy, *, size: int | None, path_limit: int = MAX_BLKSIZE) -> Agreed:
    """The agreement for one transfer.

    ``size`` is the number of octets on the wire, None where it is not known beforehand (then ``tsize`` is
    left out); ``path_limit`` the largest block that the path to the client carries unfragmented.
    """
    if wish is NOTHING:
        return DEFAULTS
    return _agree(wish, policy, size if wish.tsize is not None else None, path_limit)


@lru_cache(_REMEMBERED)
def _wish(blksize: str | None, timeout: str | None, tsize: str | None, windowsize: str | None) -> Wish:
    return Wish(
        blksize=_number(blksize, MIN_BLKSIZE, MAX_BLKSIZE),
        timeout=_number(timeout, 1, MAX_TIMEOUT),
        tsize=_number(tsize, 0, None),
        windowsize=_number(windowsize, 1, MAX_WINDOWSIZE),
    )


@lru_cache(_REMEMBERED)
def _agree(wish: Wish, policy: OptionPolicy, size: int | None, path_limit: int) -> Agreed:
    blksize, windowsize, timeout = DEFAULT_BLKSIZE, 1, None
    acknowledged: list[tuple[str, str]] = []
    if wish.blksize is not None:
        blksize = max(MIN_BLKSIZE, min(wish.blksize, policy.blksize, path_limit))
        acknowledged.append(("blksize", str(blksize)))
    if wish.timeout is not None and wish.timeout <= policy.timeout:
        timeout = wish.timeout
        acknowledged.append(("timeout", str(timeout)))
    if size is not None:
        acknowledged.append(("tsize", str(size)))
    if wish.windowsize is not None:
        windowsize = min(wish.windowsize, policy.windowsize)
        acknowledged.append(("windowsize", str(windowsize)))
    return Agreed(blksize, windowsize, timeout, size, tuple(acknowledged))


def _number(value: str | None, low: int, high: int | None) -> int | None:
    """Plain ASCII digits only: ``isdigit`` alone would take other scripts' digits."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 20:
        return None
    number = int(value)
    if number < low or (high is not None and number > high):
        return None
    return number
