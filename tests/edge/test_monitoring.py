"""The exposition for Prometheus: every name from the table, closed labels, and gauges as the parts say."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from era_ap.admission import Admission, AdmissionPolicy
from era_ap.cluster.contract import SessionState
from era_ap.cluster.coordinator import Status
from era_ap.cluster.mac_cache import GroupStatus
from era_ap.cluster.view import Member, Term
from era_ap.errors import Problem, Reason, Severity
from era_ap.health import Condition, Health, Need, Phase, Source, judge
from era_ap.metrics import TRANSPORTS, Counts
from era_ap.monitoring import FAMILIES, Kind, Monitor, Reading
from era_ap.read_pool import ReadPool
from era_ap.readings import Parts, read
from era_ap.sip.wire import Status as PnpStatus

ABOUT = {"version": "1.2", "site": "msk1", "role": "ap1", "group": "11360"}


class Exposition:
    """Samples by name and labels."""

    def __init__(self, monitor: Monitor, accept: str = "") -> None:
        self.data, self.content_type = monitor.expose(accept)
        self.text = self.data.decode()
        self.families = {each.name: each for each in text_string_to_metric_families(self.text)}

    def __getitem__(self, name: str) -> dict[tuple[str, ...], float]:
        found = {}
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name:
                    found[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
        return found


def parts(**changes: Any) -> Parts:
    """A process of which all is well, in its parts."""
    gate = Admission(AdmissionPolicy(unknown_macs=2))
    for number in range(3):
        gate.note_unknown("192.0.2.7", f"00156500000{number}", 0.0)
    gate.note_unknown("192.0.2.8", "001565000001", 0.0)
    status = Status(
        "ap1", 11360, SessionState.CONNECTED, 5, True, "ap1", acts=True, failsafe=False, contact_age=0.3
    )
    values: dict[str, Any] = {
        "clock": lambda: 1.0,
        "health": health,
        "unfit": lambda: None,
        "provisioner": SimpleNamespace(
            catalogue=SimpleNamespace(revision=4, templates=dict.fromkeys("abc")),
            directory=SimpleNamespace(revision=9, macs=["m"] * 7),
        ),
        "tftp": SimpleNamespace(transfers=3, opening=1),
        "http": SimpleNamespace(server=SimpleNamespace(connections=2)),
        "discovery": SimpleNamespace(status=PnpStatus(("eth0",), 1, ""), discovered=["x", "y"]),
        "gates": {"files": gate, "pnp": Admission(AdmissionPolicy())},
        "logs": {"log": SimpleNamespace(dropped=11), "journal": SimpleNamespace(dropped=0)},
        "problems": lambda: {
            "directory": [
                Problem(Reason.MAC_CONFLICT, "x", "y"),
                Problem(Reason.KEY_TYPE, "x", "y", Severity.WARNING),
            ]
        },
        "pools": {"storage": ReadPool(time.monotonic, threads=4)},
        "coordinator": SimpleNamespace(
            status=status,
            leaders={11360: Term(11360, "ap1", 7, 2.7, 0, 0)},
            members=tuple(
                Member(f"ap{n}", group=11360, order=n, identity="x", instance=str(n)) for n in range(3)
            ),
        ),
        "groups": lambda: (GroupStatus(11360, True, 0.5, 7, 1, 0, 12, 3, 900, 0),),
    } | changes
    return Parts(**values)


def health() -> Health:
    sources = (
        Source("storage", Condition.FRESH, 0.4, need=Need.ALL),
        Source("zookeeper", Condition.STALE, 61.0, "no contact"),
        Source("pnp", Condition.MISSING),
    )
    return judge(Phase.RUNNING, sources)


def exposed(counts: Counts | None = None, **changes: Any) -> Exposition:
    made = parts(**changes)
    return Exposition(Monitor(counts or Counts(), ABOUT, lambda: read(made)))


def test_every_family_of_the_table_is_there_with_its_type() -> None:
    found = exposed()
    for family in FAMILIES:
        name = family.name.removesuffix("_total")
        assert found.families[name].type == family.kind.value, name
        assert found.families[name].samples, name
        for sample in found.families[name].samples:
            assert set(sample.labels) - {"le"} == set(family.labels), name


def test_names_and_units_are_as_prometheus_wants_them() -> None:
    for family in FAMILIES:
        assert re.fullmatch(r"era_ap(_[a-z]+)+", family.name)
        assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
        assert not re.search(r"_(ms|milliseconds|kb|minutes)(_|$)", family.name)
        assert family.help
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs the Debian package prometheus (promtool)")
def test_promtool_has_nothing_to_say() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=exposed().data, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_requests_by_transport_result_and_reason() -> None:
    counts = Counts()
    counts.traffic["tftp"].note("rendered", 0.02, sent=700, retransmits=3)
    counts.traffic["https"].note("uploaded", 0.5, received=50)
    counts.traffic["pnp"].note("mac-unknown", 0.0)
    found = exposed(counts)
    requests = found["era_ap_requests_total"]  # labels in order: reason, result, transport
    assert requests["rendered", "served", "tftp"] == 1
    assert requests["uploaded", "served", "https"] == 1
    assert requests["mac-unknown", "not_found", "pnp"] == 1
    assert found["era_ap_sent_bytes_total"]["tftp",] == 700
    assert found["era_ap_received_bytes_total"]["https",] == 50
    assert found["era_ap_retransmits_total"]["tftp",] == 3
    assert found["era_ap_request_seconds_count"]["tftp",] == 1
    assert found["era_ap_request_seconds_sum"]["https",] == 0.5


def test_failures_begin_with_nought_so_that_the_first_is_an_increase() -> None:
    requests = exposed()["era_ap_requests_total"]
    for transport in ("tftp", "http", "https"):
        for reason in (Reason.INCLUDE_MISSING, Reason.DIRECTORY_UNAVAILABLE, Reason.INTERNAL):
            assert requests[reason.code, reason.outcome.name.lower(), transport] == 0
    assert requests["pnp-accepted", "served", "pnp"] == 0
    assert not any(reason.startswith("pnp-") and transport != "pnp" for reason, _, transport in requests)


def test_labels_come_from_closed_sets() -> None:
    counts = Counts()
    for transport in TRANSPORTS:
        for reason in Reason:
            counts.traffic[transport].note(reason.code, 0.1)
    requests = exposed(counts)["era_ap_requests_total"]
    assert len(requests) == len(TRANSPORTS) * len(Reason)


def test_gauges_say_what_the_parts_say() -> None:
    found = exposed()
    assert found["era_ap_info"] == {("11360", "ap1", "msk1", "1.2"): 1}
    for name, value in (
        ("transfers", 3), ("openings", 1), ("http_connections", 2), ("discovered_phones", 2),
        ("pnp_interfaces", 1), ("storage_revision", 4), ("templates", 3), ("directory_revision", 9),
        ("phones", 7), ("failsafe", 0), ("fit", 1), ("zookeeper_connected", 1),
        ("zookeeper_contact_age_seconds", 0.3),
    ):  # fmt: skip
        assert found[f"era_ap_{name}"] == {(): value}, name
    for name, value in (
        ("leader", 1), ("term", 7), ("members", 3), ("mac_cache_shown", 1), ("mac_cache_macs", 12),
        ("mac_cache_bytes", 900), ("mac_cache_age_seconds", 0.5),
    ):  # fmt: skip
        assert found[f"era_ap_{name}"] == {("11360",): value}, name
    assert found["era_ap_throttled_sources"] == {("files",): 1, ("pnp",): 0}
    assert found["era_ap_problems"] == {("error", "directory"): 1, ("warning", "directory"): 1}
    assert found["era_ap_log_lines_dropped_total"] == {("log",): 11, ("journal",): 0}
    assert found["era_ap_pool_threads"] == {("storage",): 4}
    assert found["era_ap_pool_busy"] == found["era_ap_pool_waiting"] == {("storage",): 0}


def test_the_state_and_its_sources() -> None:
    found = exposed()
    assert {state for state, value in found["era_ap_health"].items() if value} == {("degraded",)}
    assert len(found["era_ap_health"]) == 5
    assert found["era_ap_source_fresh"] == {("storage",): 1, ("zookeeper",): 0, ("pnp",): 0}
    assert found["era_ap_source_age_seconds"] == {("storage",): 0.4, ("zookeeper",): 61}


def test_what_there_is_not_is_left_out() -> None:
    nothing = SimpleNamespace(catalogue=None, directory=None)
    found = exposed(provisioner=nothing, coordinator=None, groups=tuple, pools={})
    for name in (
        "storage_revision",
        "phones",
        "leader",
        "zookeeper_connected",
        "mac_cache_macs",
        "pool_busy",
    ):
        assert found[f"era_ap_{name}"] == {}, name


def test_the_process_itself_is_there_and_no_other_registry_is_touched() -> None:
    first, second = exposed(), exposed()
    for found in (first, second):
        assert found["process_open_fds"][()] > 0


def test_openmetrics_on_request() -> None:
    made = parts()
    monitor = Monitor(Counts(), ABOUT, lambda: read(made))
    data, content_type = monitor.expose("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert data.endswith(b"# EOF\n")
    assert monitor.expose("*/*")[1].startswith("text/plain")


def test_a_reading_that_is_not_in_the_table_is_a_defect() -> None:
    monitor = Monitor(Counts(), ABOUT, lambda: [Reading("era_ap_secret", 1)])
    with pytest.raises(ValueError, match="era_ap_secret"):
        monitor.expose("")
