"""What Prometheus is told: names, units and labels of all metrics, and their exposition when it asks.

Owns the table of families; README and dashboards are checked against it. Nothing is kept here: counters are
read (``metrics``), gauges are asked for (``readings``) at each scrape, in a registry of its own. Labels come
from closed sets: the table of reasons, transports, and what the configuration names.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from era_ap.errors import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from era_ap.metrics import Counts, Distribution


class Kind(enum.Enum):
    """Types of Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: a counter's ``name`` ends in ``_total``, other names in their unit if they have one."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The present value of a gauge, or of a counter that is kept elsewhere."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

# A table: one row, one line.
# fmt: off
_TABLE: Final = (
    ("era_ap_info", _G, "version site role group", "1, labelled with what this instance is"),
    ("era_ap_requests_total", _C, "transport result reason", "requests that ended so (`era-ap reasons`)"),
    ("era_ap_request_seconds", _H, "transport", "time from a request to its end"),
    ("era_ap_sent_bytes_total", _C, "transport", "content that phones got"),
    ("era_ap_received_bytes_total", _C, "transport", "content that phones uploaded"),
    ("era_ap_retransmits_total", _C, "transport", "datagrams that were sent again"),
    ("era_ap_transfers", _G, "", "TFTP transfers under way"),
    ("era_ap_openings", _G, "", "files being looked up for TFTP"),
    ("era_ap_http_connections", _G, "", "HTTP connections of phones"),
    ("era_ap_render_seconds", _H, "", "time to fill in a template"),
    ("era_ap_loop_lag_seconds", _H, "", "how late the event loop was, measured ten times a second"),
    ("era_ap_health", _G, "state", "1 for the state that /readyz tells, 0 for the others"),
    ("era_ap_source_fresh", _G, "source", "1 if what is served of a source is current"),
    ("era_ap_source_age_seconds", _G, "source", "time since a source was last known to be as served"),
    ("era_ap_problems", _G, "source severity", "findings about the content of a source"),
    ("era_ap_storage_revision", _G, "", "grows with each change of templates, constants or files"),
    ("era_ap_templates", _G, "", "templates in service"),
    ("era_ap_directory_revision", _G, "", "grows with each change of an account or domain"),
    ("era_ap_phones", _G, "", "MACs that the directory knows"),
    ("era_ap_discovered_phones", _G, "", "phones that asked by PnP and that no account owns"),
    ("era_ap_pnp_interfaces", _G, "", "interfaces that PnP listens on"),
    ("era_ap_throttled_sources", _G, "gate", "addresses that asked for too many unknown MACs"),
    ("era_ap_leader", _G, "group", "1 if this instance may act as leader of its group now"),
    ("era_ap_fit", _G, "", "1 if nothing keeps this instance from leading"),
    ("era_ap_failsafe", _G, "", "1 if it leads without ZooKeeper, on the word of all others"),
    ("era_ap_term", _G, "group", "number of the last term of leadership that is known"),
    ("era_ap_members", _G, "group", "registered instances, as this one sees them"),
    ("era_ap_zookeeper_connected", _G, "", "1 if there is contact with ZooKeeper"),
    ("era_ap_zookeeper_contact_age_seconds", _G, "", "time since ZooKeeper answered last"),
    ("era_ap_mac_cache_shown", _G, "group", "1 if a living leader keeps the group's part"),
    ("era_ap_mac_cache_age_seconds", _G, "group", "time since the group's part was current"),
    ("era_ap_mac_cache_macs", _G, "group", "MACs in the group's part of the cache"),
    ("era_ap_mac_cache_bytes", _G, "group", "memory of the group's part of the cache"),
    ("era_ap_pool_threads", _G, "pool", "threads of a pool"),
    ("era_ap_pool_busy", _G, "pool", "threads of a pool that work"),
    ("era_ap_pool_waiting", _G, "pool", "jobs that wait for a thread of a pool"),
    ("era_ap_log_lines_dropped_total", _C, "log", "lines of log or journal that nobody took"),
)
# fmt: on

FAMILIES: Final = tuple(
    Family(name, kind, told, tuple(labels.split())) for name, kind, labels, told in _TABLE
)
_BY_NAME: Final[Mapping[str, Family]] = {family.name: family for family in FAMILIES}
_FILES: Final = frozenset({"tftp", "http", "https"})


class Monitor(Collector):
    """Everything in one exposition. ``about`` labels ``era_ap_info``; ``readings`` gives the gauges."""

    def __init__(
        self, counts: Counts, about: Mapping[str, str], readings: Callable[[], Iterable[Reading]]
    ) -> None:
        self._counts = counts
        self._about = about
        self._readings = readings
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type; ``accept`` is the header field of that name."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """All families but those of the process, in the order of the table."""
        asked: dict[str, list[Reading]] = {}
        for reading in self._all_readings():
            asked.setdefault(reading.name, []).append(reading)
        histograms = self._histograms()
        for family in FAMILIES:
            if family.kind is Kind.HISTOGRAM:
                yield _histogram(family, histograms[family.name])
            else:
                yield _family(family, asked.pop(family.name, []))
        if asked:
            raise ValueError(f"not in the table: {', '.join(asked)}")

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: names are checked by the tests."""
        return ()

    def _all_readings(self) -> Iterator[Reading]:
        labels = tuple(self._about[name] for name in _BY_NAME["era_ap_info"].labels)
        yield Reading("era_ap_info", 1.0, labels)
        for transport, traffic in self._counts.traffic.items():
            for reason in Reason:
                count = traffic.requests[reason.code]
                if count or _is_expected(transport, reason):
                    result = reason.outcome.name.lower()
                    yield Reading("era_ap_requests_total", count, (transport, result, reason.code))
            yield Reading("era_ap_retransmits_total", traffic.retransmits, (transport,))
            if transport in _FILES:
                yield Reading("era_ap_sent_bytes_total", traffic.sent, (transport,))
                yield Reading("era_ap_received_bytes_total", traffic.received, (transport,))
        yield from self._readings()

    def _histograms(self) -> Mapping[str, Mapping[tuple[str, ...], Distribution]]:
        counts = self._counts
        return {
            "era_ap_request_seconds": {(name,): each.seconds for name, each in counts.traffic.items()},
            "era_ap_render_seconds": {(): counts.rendered},
            "era_ap_loop_lag_seconds": {(): counts.lag},
        }


def _is_expected(transport: str, reason: Reason) -> bool:
    """Whether a series begins with 0, so that its first event is an increase and can raise an alarm."""
    is_pnp = reason.code.startswith("pnp-")
    failed = reason.outcome in (Outcome.BROKEN, Outcome.UNAVAILABLE)
    return is_pnp if transport == "pnp" else not is_pnp and (failed or reason.is_served)


def _family(family: Family, readings: Iterable[Reading]) -> Metric:
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for reading in readings:
        metric.add_metric(reading.labels, reading.value)
    return metric


def _histogram(family: Family, distributions: Mapping[tuple[str, ...], Distribution]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for labels, distribution in distributions.items():
        metric.add_metric(labels, distribution.buckets, distribution.total)
    return metric
