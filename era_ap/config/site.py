"""A checked site configuration as the rest of the daemon sees it: frozen values, all defaults filled in.

Owns the look-up of a role by name. Does not own reading or checking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from era_ap.config.directory import DirectorySource
from era_ap.config.ext import Ext
from era_ap.config.problems import ConfigError, shown
from era_ap.config.roles import PnpUrlProto
from era_ap.errors import Problem, Reason


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface: its alias, what the site says it is, and the address if it says one.

    Where ``address`` is None, ``text`` is a name of the operating system that the edge resolves.
    """

    alias: str
    text: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Gate:
    """An enabled sg role: the SG proxy at ``address`` and ``port``, server index ``srvidx``.

    Where ``address`` is None, ``interface`` is a name of the operating system that the edge resolves.
    """

    name: str
    srvidx: int
    interface: str
    address: str | None
    port: int


@dataclass(frozen=True, slots=True)
class ApRole:
    """One enabled instance of this daemon."""

    name: str
    interface: Interface
    group: int
    order: int
    tftp_port: int
    pnp_url_proto: PnpUrlProto
    include_domains: tuple[str, ...]
    ext: Ext


@dataclass(frozen=True, slots=True)
class Site:
    """One site. ``sources`` are those of ``directory`` in their order; ``origin`` is the file, for messages.

    ``roles`` are the enabled ap roles in file order; ``not_ours`` says of other names why they cannot be run.
    Domain names are in lower case without the dot at their end.
    """

    site: str
    master_domain: str
    storage: Path
    sources: tuple[DirectorySource, ...]
    zookeeper: str | None
    interfaces: tuple[Interface, ...]
    roles: tuple[ApRole, ...]
    sg_gates: tuple[Gate, ...]
    not_ours: Mapping[str, str]
    origin: str

    def ap(self, name: str) -> ApRole:
        """The enabled ap role ``name``; raises ``ConfigError`` that lists the names there are."""
        role = next((role for role in self.roles if role.name == name), None)
        if role is not None:
            return role
        names = ", ".join(role.name for role in self.roles) or "none"
        why = self.not_ours.get(name)
        if why is not None:
            sentence = f"the role {shown(name)} cannot be run: {why}; ap roles: {names}"
        else:
            sentence = f"there is no ap role {shown(name)}; ap roles: {names}"
        raise ConfigError((Problem(Reason.CONFIG_INVALID, self.origin, sentence),))

    def first_ap(self) -> ApRole:
        """The first enabled ap role of the file; raises ``ConfigError`` where there is none."""
        if not self.roles:
            detail = "the site has no enabled role of roletype 'ap'; add one to 'roles'"
            raise ConfigError((Problem(Reason.CONFIG_INVALID, self.origin, detail),))
        return self.roles[0]

    def gates(self) -> tuple[Gate, ...]:
        """The gates of this site, by name."""
        return self.sg_gates
