"""Which fields are secrets, and what is shown in their place.

Owns the one decision whether a field path, a parameter name of a phone or an XPath names a secret, for
traces, ``explain`` and logs. Does not own where values are shown. When in doubt a value is masked: an
operator can look into the account, a log cannot be taken back.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")
_SECRET_WORDS: Final = frozenset(
    {
        *("pass", "passwd", "password", "passwords", "passphrase", "passcode", "pswd", "pwd", "pw", "psk"),
        *("secret", "secrets", "pin", "puk", "token", "credential", "credentials", "apikey", "ha1"),
    }
)
_SECRET_ENDINGS: Final = ("password", "passwd", "pswd", "secret", "passphrase")
_NOT_AUTH_SECRETS: Final = frozenset(
    {
        "name",
        "user",
        "username",
        "userid",
        "id",
        "authid",
        "type",
        "mode",
        "enable",
        "enabled",
        "method",
        "realm",
    }
)
# Grandstream and Htek number their parameters: admin and user passwords, SIP passwords of accounts 1 to 7.
_SECRET_CODES: Final = re.compile(r"(?<![A-Za-z0-9])P(?:2|34|196|[4-9]06)(?![A-Za-z0-9])")


_PAIR: Final = re.compile(r"([A-Za-z][\w.-]*)=([^&;,/\s'\"]+)")
_LOGIN: Final = re.compile(r"(//[^:/@\s]*):[^@/\s]+@")


def is_secret(path: str) -> bool:
    """Whether the value at ``path`` (dotted field, text key or XPath) must not be shown."""
    words = [word.lower() for word in _WORD.findall(path)]
    if any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in words):
        return True
    if any(word.startswith("auth") for word in words) and not _NOT_AUTH_SECRETS.intersection(words):
        return True
    return _SECRET_CODES.search(path) is not None


def mask(value: str) -> str:
    """What is shown instead of a secret: always the same text, so not even its length is told; empty stays
    empty.
    """
    return MASK if value else ""


def shown(path: str, value: str) -> str:
    """``value``, masked if ``path`` names a secret."""
    return mask(value) if is_secret(path) else value


def mask_pairs(text: str) -> str:
    """``text`` of somebody else without the secrets that it names itself: ``password=x``, ``//user:x@``."""
    if "=" in text:
        text = _PAIR.sub(lambda pair: f"{pair[1]}={shown(pair[1], pair[2])}", text)
    return _LOGIN.sub(rf"\1:{MASK}@", text) if "//" in text else text
