"""The gauges of a process, read from its parts at each scrape (``monitoring`` says what they mean).

Owns which property of which part a gauge is. A part that there is not is left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from era_ap.cluster.contract import SessionState
from era_ap.health import Condition, Verdict
from era_ap.monitoring import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from era_ap.admission import Admission
    from era_ap.cluster.coordinator import Coordinator
    from era_ap.cluster.mac_cache import GroupStatus
    from era_ap.discovery import Discovery
    from era_ap.errors import Problem
    from era_ap.health import Health
    from era_ap.logs import JournalFile, Logs
    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.read_pool import ReadPool
    from era_ap.tftp.server import TftpServer
    from era_ap.web.service import PhoneHttp


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a process. ``gates`` are admissions by what they admit to; ``pools``, ``logs`` by name."""

    clock: Callable[[], float]
    health: Callable[[], Health]
    unfit: Callable[[], str | None]
    provisioner: Provisioner
    tftp: TftpServer
    http: PhoneHttp
    discovery: Discovery
    gates: Mapping[str, Admission]
    logs: Mapping[str, Logs | JournalFile]
    problems: Callable[[], Mapping[str, Collection[Problem]]]
    pools: Mapping[str, ReadPool] = field(default_factory=dict)
    coordinator: Coordinator | None = None
    groups: Callable[[], Iterable[GroupStatus]] = tuple


def read(parts: Parts) -> Iterator[Reading]:
    """All gauges as of now."""
    yield from _transports(parts)
    yield from _sources(parts)
    yield from _content(parts.provisioner)
    yield from _pools(parts.pools)
    if parts.coordinator is not None:
        yield from _cluster(parts.coordinator)
    for group in parts.groups():
        yield from _cache(group)
    yield Reading("era_ap_fit", parts.unfit() is None)
    for name, log in parts.logs.items():
        yield Reading("era_ap_log_lines_dropped_total", log.dropped, (name,))


def _transports(parts: Parts) -> Iterator[Reading]:
    yield Reading("era_ap_transfers", parts.tftp.transfers)
    yield Reading("era_ap_openings", parts.tftp.opening)
    yield Reading("era_ap_http_connections", parts.http.server.connections)
    yield Reading("era_ap_pnp_interfaces", len(parts.discovery.status.interfaces))
    yield Reading("era_ap_discovered_phones", len(parts.discovery.discovered))
    now = parts.clock()
    for gate, admission in parts.gates.items():
        yield Reading("era_ap_throttled_sources", admission.throttled(now), (gate,))


def _sources(parts: Parts) -> Iterator[Reading]:
    health = parts.health()
    for verdict in Verdict:
        yield Reading("era_ap_health", verdict is health.verdict, (verdict.word,))
    for source in health.sources:
        yield Reading("era_ap_source_fresh", source.condition is Condition.FRESH, (source.name,))
        if source.age is not None:
            yield Reading("era_ap_source_age_seconds", source.age, (source.name,))
    for name, problems in parts.problems().items():
        counted = Counter(problem.severity.value for problem in problems)
        for severity in ("error", "warning"):
            yield Reading("era_ap_problems", counted[severity], (name, severity))


def _content(provisioner: Provisioner) -> Iterator[Reading]:
    catalogue, directory = provisioner.catalogue, provisioner.directory
    if catalogue is not None:
        yield Reading("era_ap_storage_revision", catalogue.revision)
        yield Reading("era_ap_templates", len(catalogue.templates))
    if directory is not None:
        yield Reading("era_ap_directory_revision", directory.revision)
        yield Reading("era_ap_phones", len(directory.macs))


def _pools(pools: Mapping[str, ReadPool]) -> Iterator[Reading]:
    for name, pool in pools.items():
        yield Reading("era_ap_pool_threads", pool.threads, (name,))
        yield Reading("era_ap_pool_busy", pool.busy, (name,))
        yield Reading("era_ap_pool_waiting", pool.waiting, (name,))


def _cluster(coordinator: Coordinator) -> Iterator[Reading]:
    status = coordinator.status
    yield Reading("era_ap_leader", status.acts, (str(status.group),))
    yield Reading("era_ap_failsafe", status.failsafe)
    if status.session is not None:
        yield Reading("era_ap_zookeeper_connected", status.session is SessionState.CONNECTED)
    if status.contact_age is not None:
        yield Reading("era_ap_zookeeper_contact_age_seconds", status.contact_age)
    for group, term in coordinator.leaders.items():
        yield Reading("era_ap_term", term.number, (str(group),))
    for group, count in sorted(Counter(member.group for member in coordinator.members).items()):
        yield Reading("era_ap_members", count, (str(group),))


def _cache(group: GroupStatus) -> Iterator[Reading]:
    labels = (str(group.group),)
    yield Reading("era_ap_mac_cache_shown", group.shown, labels)
    yield Reading("era_ap_mac_cache_macs", group.macs, labels)
    yield Reading("era_ap_mac_cache_bytes", group.bytes, labels)
    if group.age is not None:
        yield Reading("era_ap_mac_cache_age_seconds", group.age, labels)
