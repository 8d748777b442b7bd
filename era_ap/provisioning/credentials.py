"""HTTP credentials of phones: Digest (RFC 7616, MD5 and SHA-256) and Basic (RFC 7617), checked in both sorts.

Owns the reading of an Authorization header, the proof that it fits a login, the nonces (signed and dated, so
that every instance of a site takes them) and the memory that keeps a used one from being used again. Does not
own which login a phone has, nor which scheme is asked of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REALM: Final = "provisioning"
NONCE_SECONDS: Final = 300.0
NONCE_SKEW: Final = 30.0
NONCES_REMEMBERED: Final = 20_000

_LONGEST: Final = 4096
_PARAMETER: Final = re.compile(r'\s*([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')
_HASHES: Final = MappingProxyType({"MD5": "md5", "SHA-256": "sha256"})
_NONCE: Final = struct.Struct(">Q8s")
_NONCE_LABEL: Final = b"era_ap digest nonce\x00"
_TAG: Final = 16


@dataclass(frozen=True, slots=True)
class Login:
    """User and password that a phone must show."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an HTTP request shows: its Authorization header (bytes as Latin-1), its method and its target.

    ``basic`` says that Basic is what this phone was asked for; else it is Digest.
    """

    header: str = field(repr=False)
    method: str
    target: str
    basic: bool = False


class CredentialCheck:
    """Checks credentials. ``keys`` sign nonces, the first of them new ones; assign to replace them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = keys
        self._used: OrderedDict[str, int] = OrderedDict()
        self._forgotten_until = 0
        self._nobody = Login("", secrets.token_hex(32))

    def nonce(self, source: str, now: float) -> str:
        """A new nonce for ``source``; ``now`` in epoch seconds."""
        head = _NONCE.pack(int(now * 1000), secrets.token_bytes(8))
        return base64.urlsafe_b64encode(head + self._sign(self.keys[0], head, source)).decode()

    def check(self, shown: Credentials, login: Login | None, source: str, now: float) -> Reason | None:
        """Why ``shown`` does not prove ``login``; None if it does.

        Without a login the same work is done in vain, so that nobody learns from the time it takes.
        """
        scheme, _, rest = shown.header.strip().partition(" ")
        if len(rest) > _LONGEST or scheme.lower() != ("basic" if shown.basic else "digest"):
            return Reason.CREDENTIALS_WRONG
        wanted = login or self._nobody
        if shown.basic:
            return None if _is_basic(rest, wanted) and login else Reason.CREDENTIALS_WRONG
        parameters = read_parameters(rest)
        if not _is_digest(parameters, shown, wanted) or login is None:
            return Reason.CREDENTIALS_WRONG
        return self._check_nonce(parameters, source, now)

    def _check_nonce(self, parameters: Mapping[str, str], source: str, now: float) -> Reason | None:
        nonce = parameters["nonce"]
        try:
            raw = base64.b64decode(nonce, altchars=b"-_", validate=True)
            head, tag = raw[:-_TAG], raw[-_TAG:]
            made_at, _ = _NONCE.unpack(head)
            # Without qop the count is not part of the proof: whoever overheard it could raise it.
            count = int(parameters.get("nc", "1"), 16) if "qop" in parameters else 1
        except (binascii.Error, struct.error, ValueError):
            return Reason.CREDENTIALS_STALE
        signed = [hmac.compare_digest(tag, self._sign(key, head, source)) for key in self.keys]
        age = now - made_at / 1000
        if not any(signed) or not -NONCE_SKEW <= age <= NONCE_SECONDS or made_at <= self._forgotten_until:
            return Reason.CREDENTIALS_STALE
        if count <= self._used.get(nonce, 0):
            return Reason.CREDENTIALS_REPLAYED
        self._used[nonce] = count
        if len(self._used) > NONCES_REMEMBERED:
            forgotten, _ = self._used.popitem(last=False)
            oldest, _ = _NONCE.unpack(base64.urlsafe_b64decode(forgotten)[:-_TAG])
            self._forgotten_until = max(self._forgotten_until, oldest)
        return None

    @staticmethod
    def _sign(key: bytes, head: bytes, source: str) -> bytes:
        return hmac.digest(key, _NONCE_LABEL + head + source.encode(), "sha256")[:_TAG]


def basic_challenge() -> str:
    """``WWW-Authenticate`` for Basic."""
    return f'Basic realm="{REALM}", charset="UTF-8"'


def digest_challenges(nonce: str, *, stale: bool, md5_only: bool) -> tuple[str, ...]:
    """``WWW-Authenticate`` for Digest, the better algorithm first (RFC 7616 section 3.7).

    ``md5_only``: for phones, of which none is known to do better and some to stumble over a second challenge.
    """
    again = ", stale=true" if stale else ""
    return tuple(
        f'Digest realm="{REALM}", qop="auth", algorithm={algorithm}, nonce="{nonce}"{again}'
        for algorithm in (("MD5",) if md5_only else ("SHA-256", "MD5"))
    )


def read_parameters(text: str) -> dict[str, str]:
    """The parameters of an Authorization header, names in lower case; {} if it is malformed."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None or match[1].lower() in found:
            return {}
        quoted = match[2]
        found[match[1].lower()] = match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = match.end()
    return found


def _is_basic(text: str, login: Login) -> bool:
    try:
        shown = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        shown = b""
    wanted = f"{login.user}:{login.password}"
    return _is_one_of(shown, wanted)


def _is_digest(parameters: Mapping[str, str], shown: Credentials, login: Login) -> bool:
    """RFC 7616 section 3.4.1; without ``qop`` as in RFC 2069, which some phones still speak."""
    name = _HASHES.get(parameters.get("algorithm", "MD5").upper())
    needed = ("username", "realm", "nonce", "uri", "response")
    if name is None or not all(key in parameters for key in needed):
        return False
    user, uri = parameters["username"].encode("latin-1"), parameters["uri"]

    def digest(*parts: bytes) -> bytes:
        return hashlib.new(name, b":".join(parts), usedforsecurity=False).hexdigest().encode()

    secret = digest(user, REALM.encode(), login.password.encode())
    request = digest(shown.method.encode(), uri.encode("latin-1"))
    middle = [parameters["nonce"]]
    if "qop" in parameters:
        middle += [parameters.get("nc", ""), parameters.get("cnonce", ""), parameters["qop"]]
    expected = digest(secret, *(part.encode("latin-1") for part in middle), request)
    fits = hmac.compare_digest(expected, parameters["response"].lower().encode("latin-1"))
    is_user = _is_one_of(user, login.user)
    return (
        fits
        and is_user
        and parameters["realm"] == REALM
        and parameters.get("qop", "auth") == "auth"
        and _same_target(uri, shown.target)
    )


def _is_one_of(shown: bytes, text: str) -> bool:
    """Whether ``shown`` is ``text`` in one of the encodings of phones; all are compared, in constant time."""
    encodings = text.encode(), text.encode("latin-1", "replace")
    fits = [hmac.compare_digest(shown, each) for each in encodings]
    return any(fits)


def _same_target(uri: str, target: str) -> bool:
    """Whether the ``uri`` of a Digest is the target of its request; either may be in absolute form."""
    return _origin_form(uri) == _origin_form(target)


def _origin_form(target: str) -> str:
    scheme, found, rest = target.partition("://")
    if not found or not scheme.isalpha():
        return target
    return "/" + rest.partition("/")[2]
