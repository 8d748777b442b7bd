"""Follows the URL that PnP gave a virtual phone: a file, or a folder in which the phone knows its names.

Owns what a folder means and the HTTP requests. TFTP is the virtual phone's own (``phone``). Lists inside
files are followed over TFTP only.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from era_ap.phone import MAX_BYTES, End, Fetch, boot, fetch, names_of, profiles

if TYPE_CHECKING:
    from collections.abc import Callable

_FALLBACK: Final = "generic"


def follow(
    url: str,
    mac: str,
    vendor: str,
    model: str,
    *,
    agent: str = "",
    timeout: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Fetch, ...]:
    """Fetch what a phone of ``vendor`` fetches from ``url``; ``agent`` is its User-Agent over HTTP.

    ``mac`` is 12 lower-case hex digits. Raises ValueError for a URL that no phone follows.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{url!r} is no URL") from None
    if parts.scheme not in ("tftp", "http", "https") or not host:
        raise ValueError(f"{url!r}: phones follow tftp://, http:// and https:// here")
    known = vendor if vendor in profiles() else _FALLBACK
    is_folder = url.endswith("/") or not parts.path
    if parts.scheme == "tftp":
        if is_folder:
            return boot(known, mac, model, host, port or 69, timeout=timeout)
        return (fetch(parts.path.lstrip("/"), host, port or 69, timeout=timeout),)
    if not is_folder:
        return (_get(url, agent, timeout, clock),)
    base = url if url.endswith("/") else f"{url}/"
    fetches: list[Fetch] = []
    for names in names_of(known, mac, model):
        for name in names:
            fetches.append(
                _get(base + quote(name.lstrip("/")), agent, timeout, clock, own=mac in name.lower())
            )
            if fetches[-1].end is End.FILE:
                break
    return tuple(fetches)


def _get(url: str, agent: str, timeout: float, clock: Callable[[], float], *, own: bool = True) -> Fetch:
    request = urllib.request.Request(url, headers={"User-Agent": agent} if agent else {})  # noqa: S310
    start = clock()
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # nosec B310 # noqa: S310 - http or https only
            data = answer.read(MAX_BYTES)
    except urllib.error.HTTPError as error:
        return Fetch(url, End.ERROR, None, error.code, str(error.reason), clock() - start, own)
    except TimeoutError:
        return Fetch(url, End.SILENT, None, None, f"no answer within {timeout:g} s", clock() - start, own)
    except (OSError, http.client.HTTPException) as error:
        return Fetch(url, End.BROKEN, None, None, str(error), clock() - start, own)
    return Fetch(url, End.FILE, data, None, "", clock() - start, own)
