"""From the site configuration to the settings of each part; names of interfaces become addresses here.

Owns the translation only: what a key means to provisioning, admission and TFTP. Checks nothing that
``config`` has checked already.
"""

from __future__ import annotations

import datetime
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil

from era_ap.admission import AdmissionPolicy
from era_ap.config import Missing
from era_ap.config.directory import YamlFolder
from era_ap.directory.yaml_source import YamlSource
from era_ap.errors import Reason, Refused
from era_ap.provisioning.request import Transport
from era_ap.provisioning.scoping import Rules
from era_ap.provisioning.timezones import TimeZones
from era_ap.provisioning.trust import TrustPolicy
from era_ap.tftp.options import OptionPolicy
from era_ap.tftp.server.contract import Policy
from era_ap.tftp.server.uploads import UploadPolicy

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from era_ap.config import ApRole, DirectorySource, Gate, Site
    from era_ap.directory.source import Source


def sources_of(site: Site) -> tuple[Source, ...]:
    """The sources of the directory that the site configuration names, in its order."""
    return tuple(_source_of(each) for each in site.sources)


def _source_of(configured: DirectorySource) -> Source:
    if isinstance(configured, YamlFolder):
        return YamlSource(configured.path)
    # Drivers take long to load: only for who has a database.
    from era_ap.directory.sql import sql_source  # noqa: PLC0415

    return sql_source(configured)


def rules_of(site: Site, role: ApRole, zones: TimeZones | None = None) -> Rules:
    """The rules of filling in files that ``role`` of ``site`` follows.

    ``zones`` are those of earlier rules: no configuration concerns them, and reading them takes a moment.
    """
    ext = role.ext
    return Rules(
        site=site.site,
        master_domain=site.master_domain,
        gates=tuple(_with_address(gate) for gate in site.gates()),
        missing_is_error=ext.missing is Missing.ERROR,
        required=ext.required,
        reuse_seconds=ext.reuse_seconds,
        zones=zones or TimeZones(datetime.date.today),
    )


def admission_policy(role: ApRole) -> AdmissionPolicy:
    """Who may ask ``role``, and how often."""
    ext = role.ext
    return AdmissionPolicy(
        networks=ext.allow,
        requests_per_second=ext.requests_per_second,
        burst=4 * ext.requests_per_second,
        unknown_macs=ext.misses.count,
        window=ext.misses.window,
    )


def network_refusal(role: ApRole, address: IPv4Address | IPv6Address) -> Refused | None:
    """Why ``role`` would refuse a request from ``address``; None if its network is served."""
    if any(address in network for network in role.ext.allow if network.version == address.version):
        return None
    networks = ", ".join(map(str, role.ext.allow))
    return Refused(Reason.NETWORK_CLOSED, f"{address} is in none of {networks}")


def tftp_policy(role: ApRole) -> Policy:
    """Limits of the TFTP server of ``role``."""
    ext = role.ext
    ports = ext.tid_ports
    return Policy(
        options=OptionPolicy(blksize=ext.blksize, windowsize=ext.windowsize, timeout=ext.timeout),
        single_port=ext.single_port,
        tid_ports=range(ports.low, ports.high + 1) if ports is not None else None,
        transfers=ext.transfers,
        transfers_per_address=ext.transfers_per_address,
        uploads=upload_policy(role),
    )


def upload_policy(role: ApRole) -> UploadPolicy | None:
    """The sink of phones' uploads, the same for TFTP and HTTP; None where there is none."""
    ext = role.ext
    if ext.uploads is None:
        return None
    return UploadPolicy(ext.uploads, file_bytes=ext.upload_bytes, files=ext.upload_count)


def trust_policy(role: ApRole, keys: tuple[bytes, ...]) -> TrustPolicy:
    """Who is trusted with what belongs to a phone; ``keys`` are the site's."""
    enough = role.ext.mac_is_enough
    near = {
        Transport.TFTP: enough.tftp,
        Transport.HTTP: enough.http,
        Transport.HTTPS: enough.https,
    }
    return TrustPolicy(keys, near, role.ext.http_auth)


def own_address(role: ApRole) -> str:
    """The address of the interface of ``role``, "" where it has none: what a phone there would ask."""
    return role.interface.address or _address_of(role.interface.text) or ""


def _with_address(gate: Gate) -> Gate:
    """The gate with the address of its interface where the site names none."""
    return gate if gate.address is not None else replace(gate, address=_address_of(gate.interface))


def _address_of(interface: str) -> str | None:
    """The first IPv4 address (else IPv6) of an interface of this host."""
    known = psutil.net_if_addrs().get(interface, ())
    for family in (socket.AF_INET, socket.AF_INET6):
        for entry in known:
            if entry.family == family:
                return str(entry.address.partition("%")[0])
    return None
