"""Temporary addresses ``/p/TOKEN/NAME``: who may fetch what until when, signed with the site's key (spec 11).

Owns the text of a token and its proof. A token is bound to a phone's MAC, to a file or a folder, to the
address that asked for it and to an end of life; every instance that has the key can verify it and none has to
remember it, so a phone may fetch as often as it likes until the end. HMAC-SHA256 (RFC 2104) cut to 128 bits,
URL-safe base64 (RFC 4648 section 5) without padding: 52 characters, 68 for IPv6.

Clocks: the end of life is wall-clock time of the issuing instance. A verifying instance whose clock is ahead
grants ``SKEW_SECONDS`` more, so clocks of a site may differ by that much without cutting a life short.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from era_ap.admission import read_address
from era_ap.directory.notation import parse_mac
from era_ap.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIFE_SECONDS: Final = 600.0
SKEW_SECONDS: Final = 30.0

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BI6s8s")
_TAG: Final = 16
_LABEL: Final = b"era_ap temporary address\x00"
_LONGEST: Final = 128


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid token allows: the files of ``mac``, to ``source``, until ``expires`` (epoch seconds)."""

    mac: str
    source: str
    expires: int


def issue(key: bytes, mac: str, path_or_folder: str, source: str, expires: float) -> str:
    """The token for the phone ``mac`` at the address ``source`` until ``expires`` (epoch seconds).

    ``path_or_folder`` is one file, or with ``/`` at its end a folder with all below it; "" is the root, that
    is every file of the phone. Letter case does not matter. Raises ``ValueError`` for a bad MAC or address.
    """
    digits, address = parse_mac(mac), read_address(source)
    if digits is None or address is None:
        raise ValueError(f"a token needs a MAC and an address, not {mac!r} and {source!r}")
    scope = path_or_folder.lstrip("/").lower()
    head = _HEAD.pack(_VERSION, int(expires), bytes.fromhex(digits), _digest(scope or "/"))
    body = head + address.packed
    return base64.urlsafe_b64encode(body + _sign(key, body)).rstrip(b"=").decode()


def verify(
    keys: Sequence[bytes], token: str, mac_of_name: str | None, path: str, source: str, now: float
) -> Grant | Reason:
    """Whether ``token`` allows ``source`` to fetch ``path`` (normalised) at ``now`` (epoch seconds).

    ``mac_of_name`` is the MAC that the name stands for, None for a file of no particular phone. Each of
    ``keys`` may have signed, so that a key can be replaced while addresses signed with the old one live.
    """
    body = _body(keys, token)
    if isinstance(body, Reason):
        return body
    _, expires, mac, scope = _HEAD.unpack_from(body)
    if now > expires + SKEW_SECONDS:
        return Reason.TOKEN_EXPIRED
    address = read_address(source)
    if address is None or address.packed != body[_HEAD.size :]:
        return Reason.TOKEN_SOURCE
    if mac_of_name is not None and mac_of_name != mac.hex():
        return Reason.TOKEN_MAC
    if scope not in map(_digest, _scopes(path.lower())):
        return Reason.TOKEN_PATH
    return Grant(mac.hex(), str(address), expires)


def claimed_mac(token: str) -> str | None:
    """The MAC that ``token`` names, not verified: for a name that has none of its own."""
    raw = _decode(token)
    return None if raw is None else _HEAD.unpack_from(raw)[2].hex()


def _body(keys: Sequence[bytes], token: str) -> bytes | Reason:
    raw = _decode(token)
    if raw is None:
        return Reason.TOKEN_MALFORMED
    body, tag = raw[:-_TAG], raw[-_TAG:]
    signed = [hmac.compare_digest(tag, _sign(key, body)) for key in keys]
    return body if any(signed) else Reason.TOKEN_FORGED


def _decode(token: str) -> bytes | None:
    if len(token) > _LONGEST or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # One token has one text: base64 has spare bits at the end that could be set at will.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
        return None
    if len(raw) - _HEAD.size - _TAG not in (4, 16) or raw[0] != _VERSION:
        return None
    return raw


def _sign(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _LABEL + body, "sha256")[:_TAG]


def _digest(scope: str) -> bytes:
    return hashlib.sha256(scope.encode("utf-8", "surrogatepass")).digest()[:8]


def _scopes(path: str) -> Iterator[str]:
    """The file itself and every folder that it lies in, the root as ``/``."""
    yield path
    yield "/"
    at = path.find("/")
    while at >= 0:
        yield path[: at + 1]
        at = path.find("/", at + 1)
