"""Vendors of phones as data (data/pnp.yml): how they name themselves, their MAC prefixes, their form of URL.

Owns reading that file and looking a vendor up by User-Agent, by word, by MAC. Decides nothing about requests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

MEANINGLESS: Final = frozenset({"", "oem", "voip phone", "atcom"})
"""What some phones give as vendor or model and others of the same maker give too."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class Agent:
    """What a User-Agent says; ``model`` and ``version`` may be empty."""

    vendor: Vendor
    model: str
    version: str


@dataclass(frozen=True, slots=True)
class Vendor:
    """One entry of the file. ``file`` is empty where the URL is a folder."""

    key: str
    name: str
    words: frozenset[str]
    agent: re.Pattern[str] | None
    prefix: str
    ouis: frozenset[str]
    file: str
    plain: str

    def file_name(self, mac: str, model: str) -> str:
        """The name in the URL for a phone (``mac`` as 12 lower-case hex digits); empty: the folder."""
        model = self.bare_model(model)
        pattern = self.file
        if "{model}" in pattern and not _SAFE.fullmatch(model):
            pattern = self.plain
        return pattern.replace("{model}", model).replace("{mac}", mac).replace("{MAC}", mac.upper())

    def bare_model(self, model: str) -> str:
        """The model without the vendor's prefix."""
        if self.prefix and model.lower().startswith(self.prefix.lower()):
            return model[len(self.prefix) :]
        return model


UNKNOWN_VENDOR: Final = Vendor("", "", frozenset(), None, "", frozenset(), "", "")
"""Stands for everybody else: the URL is a folder."""


class Vendors:
    """All vendors, in the order of the file."""

    def __init__(self, vendors: Iterable[Vendor]) -> None:
        self._all = tuple(vendors)
        self._words = {word: vendor for vendor in self._all for word in vendor.words}
        self._ouis = {oui: vendor for vendor in self._all for oui in vendor.ouis}

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all vendors."""
        return tuple(vendor.key for vendor in self._all)

    def by_agent(self, agent: str) -> Agent | None:
        """The vendor, model and version that a User-Agent names."""
        for vendor in self._all:
            if vendor.agent is not None and (found := vendor.agent.search(agent)):
                groups = found.groupdict(default="")
                model = groups.get("model") or groups.get("base") or groups.get("name") or ""
                return Agent(vendor, vendor.bare_model(model), groups.get("version", ""))
        return None

    def by_word(self, word: str) -> Vendor | None:
        """The vendor that calls itself ``word``, in any letter case."""
        return self._words.get(word.strip().lower())

    def by_mac(self, mac: str) -> Vendor | None:
        """The vendor whose block a MAC (12 lower-case hex digits) is from."""
        return self._ouis.get(mac[:6])


def parse_vendors(text: str) -> Vendors:
    """Read the data file; every scalar is text."""
    document: dict[str, dict[str, Any]] = yaml.load(text, yaml.BaseLoader)  # nosec B506 # noqa: S506 - texts only
    return Vendors(_vendor(key, entry) for key, entry in document.items())


def builtin_vendors() -> Vendors:
    """The vendors that come with the package."""
    return parse_vendors(resources.files("era_ap").joinpath("data/pnp.yml").read_text(encoding="utf-8"))


def _vendor(key: str, entry: dict[str, Any]) -> Vendor:
    file = str(entry.get("file", ""))
    return Vendor(
        key=key,
        name=str(entry["name"]),
        words=frozenset({key, *(str(word).lower() for word in entry.get("words", ()))}),
        agent=re.compile(entry["agent"], re.IGNORECASE) if "agent" in entry else None,
        prefix=str(entry.get("models", "")),
        ouis=frozenset(str(oui).lower() for oui in entry.get("oui", ())),
        file=file,
        plain=str(entry.get("plain", file)),
    )
