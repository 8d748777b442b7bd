"""Wires what operators and monitoring see of one instance: its health, its metrics, its management port.

Owns which part is asked for what. Judges nothing (``readiness``, ``health``), names nothing (``monitoring``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap import __version__, readings
from era_ap.cluster.mac_cache import status_of
from era_ap.lag import LoopLag
from era_ap.monitoring import Monitor
from era_ap.readiness import Readiness
from era_ap.readings import Parts
from era_ap.web.management import Management, health_pages, metrics_page

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import structlog

    from era_ap.admission import Admission
    from era_ap.cluster.coordinator import Status
    from era_ap.cluster.mac_cache import GroupStatus
    from era_ap.clustering import Clustering
    from era_ap.config import ApRole, Site
    from era_ap.discovery import Discovery
    from era_ap.errors import Problem
    from era_ap.feeds import Feeds
    from era_ap.health import Phase
    from era_ap.logs import JournalFile, Logs
    from era_ap.monitoring import Reading
    from era_ap.provisioning.provisioner import Provisioner
    from era_ap.read_pool import ReadPool
    from era_ap.reporting import Reporter
    from era_ap.sip.wire import Status as PnpStatus
    from era_ap.state import State
    from era_ap.tftp.server import TftpServer
    from era_ap.web.service import PhoneHttp


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of an instance that are asked."""

    provisioner: Provisioner
    feeds: Feeds
    state: State
    tftp: TftpServer
    http: PhoneHttp
    discovery: Discovery
    clustering: Clustering
    gates: Mapping[str, Admission]
    pools: Mapping[str, ReadPool]
    logs: Mapping[str, Logs | JournalFile]


class Oversight:
    """Health, metrics and the management port of ``role``."""

    def __init__(
        self,
        site: Site,
        role: ApRole,
        observed: Observed,
        reporter: Reporter,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._role = role
        self._observed = observed
        self._lag = LoopLag(reporter.counts.lag.observe)
        self.readiness = Readiness(
            time.monotonic,
            looks=lambda: observed.feeds.looks,
            state=lambda: observed.state.looks,
            cluster=self._cluster,
            groups=self._groups,
            pnp=self._pnp,
            lag=self._lag.worst,
        )
        about = {"version": __version__, "site": site.site, "role": role.name, "group": str(role.group)}
        monitor = Monitor(reporter.counts, about, self._readings)
        pages = {
            **health_pages(self.readiness.health, about),
            **metrics_page(monitor.expose),
            **observed.clustering.pages,
        }
        self.management = Management(role, pages, log, reporter.defect)

    async def start(self, phase: Phase) -> None:
        """Answer from now on; the process is in ``phase``."""
        self.readiness.phase = phase
        self._lag.start()
        await self.management.start()

    def close(self) -> None:
        """Answer no more."""
        self._lag.stop()
        self.management.close()

    def _cluster(self) -> Status | None:
        coordinator = self._observed.clustering.coordinator
        return coordinator.status if coordinator is not None else None

    def _groups(self) -> Iterable[GroupStatus]:
        cache = self._observed.clustering.cache
        return status_of(cache) if cache is not None else ()

    def _pnp(self) -> PnpStatus | None:
        return self._observed.discovery.status if self._role.ext.pnp.enabled else None

    def _problems(self) -> Mapping[str, Collection[Problem]]:
        catalogue, directory = self._observed.provisioner.catalogue, self._observed.provisioner.directory
        return {
            "storage": catalogue.problems if catalogue is not None else (),
            "directory": directory.problems if directory is not None else (),
        }

    def _readings(self) -> Iterable[Reading]:
        observed = self._observed
        parts = Parts(
            clock=time.monotonic,
            health=self.readiness.health,
            unfit=self.readiness.unfit,
            provisioner=observed.provisioner,
            tftp=observed.tftp,
            http=observed.http,
            discovery=observed.discovery,
            gates=observed.gates,
            logs=observed.logs,
            problems=self._problems,
            pools=observed.pools,
            coordinator=observed.clustering.coordinator,
            groups=self._groups,
        )
        return readings.read(parts)
