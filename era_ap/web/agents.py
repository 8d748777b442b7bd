"""What a User-Agent tells about a phone: its MAC, and which credentials it can show (data/http.yml).

Owns the reading only; a MAC is believed where it is from a block of the vendor that the same text names and
never by its place in the text: some phones send a serial number that looks like one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from era_ap.sip.vendors import Vendors

_MAC: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{12}|[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5})(?![0-9A-Za-z])"
)
_REMEMBERED: Final = 4096
_LONGEST: Final = 512


@dataclass(frozen=True, slots=True)
class Client:
    """``mac`` is 12 lower-case hex digits or ""; ``is_phone``: a known vendor; ``basic_only``: no Digest."""

    mac: str = ""
    is_phone: bool = False
    basic_only: bool = False


class Agents:
    """Reads User-Agents; ``basic`` are words of those that know only Basic."""

    def __init__(self, vendors: Vendors, basic: Iterable[str]) -> None:
        self._vendors = vendors
        self._basic = tuple(word.lower() for word in basic)
        self._known: dict[bytes, Client] = {}

    def read(self, agent: bytes) -> Client:
        """What ``agent`` (the header's value; any bytes) tells."""
        agent = agent[:_LONGEST]
        known = self._known.get(agent)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[agent] = self._read(agent.decode("latin-1"))
        return known

    def _read(self, agent: str) -> Client:
        named = self._vendors.by_agent(agent)
        lower = agent.lower()
        mac = ""
        if named is not None:
            found = (re.sub("[:-]", "", each).lower() for each in _MAC.findall(agent))
            mac = next((each for each in found if each[:6] in named.vendor.ouis), "")
        return Client(mac, named is not None, any(word in lower for word in self._basic))


def builtin_basic() -> tuple[str, ...]:
    """The words of data/http.yml."""
    text = resources.files("era_ap").joinpath("data/http.yml").read_text(encoding="utf-8")
    return tuple(map(str, yaml.safe_load(text)["basic"]))
