"""The real process: ZooKeeper that comes later, a name that is taken, groups that a reload brings."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import ensemble
from tests.cluster.ensemble import RealEnsemble
from tests.conftest import MAC, Site
from tests.functional.strict_clients import http, tftp
from tests.functional.test_daemon import eventually
from tests.functional.test_local_state import rows, take_away, wait_saved
from tests.functional.test_management_port import readiness
from tests.functional.web import port_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.functional.conftest import Process

pytestmark = pytest.mark.functional
Start = Callable[..., "Process"]

NAME = f"{MAC}.cfg"
T = 2.0
BUSY_SECONDS = 2.0
"""What a machine that does much else may add to a figure."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealEnsemble]:
    """One server, which does not run yet."""
    if why := ensemble.why_not():
        pytest.skip(why)
    made = RealEnsemble(tmp_path / "zookeeper", count=1)
    yield made
    made.close()


def configure(site: Site, server: RealEnsemble, *roles: dict[str, object]) -> Path:
    """Roles that are like ap1 but for what is given."""
    site.ext |= {"http_port": 0, "http_listen": ["127.0.0.1"], "cluster": {"session_seconds": T}}
    document = json.loads(site.configure(zookeeper=server.connect).read_text())
    (first,) = document["roles"]
    document["roles"] = [first | role for role in roles or ({},)]
    site.config.write_text(json.dumps(document))
    return site.config


def sources(process: Process) -> dict[str, Any]:
    return dict(readiness(process)[1]["sources"])


def led(process: Process) -> list[dict[str, object]]:
    return [entry for entry in process.log if entry.get("event") == "leading"]


def test_it_serves_before_zookeeper_is_there_and_leads_soon_after(
    site: Site, server: RealEnsemble, daemon: Start
) -> None:
    """Files within 3 s of the start, the lead within T + 2 s of ZooKeeper's (A12)."""
    began = time.monotonic()
    process = daemon(configure(site, server)).wait_ready()
    assert tftp(process.port, NAME) == http(port_of(process), NAME)
    assert time.monotonic() - began < 3 + BUSY_SECONDS
    status, document = readiness(process)
    assert (status, document["status"]) == (200, "degraded")
    assert document["sources"]["zookeeper"]["state"] == "missing"
    assert document["sources"]["mac cache of group 1"]["state"] == "missing"
    assert led(process) == []
    server.start()
    began = time.monotonic()
    process.wait(lambda: led(process))
    assert time.monotonic() - began < T + 2 + BUSY_SECONDS
    eventually(lambda: readiness(process)[1]["status"] == "ready")


def test_with_zookeeper_storage_and_directory_away_it_serves_what_it_knew(
    site: Site, server: RealEnsemble, daemon: Start
) -> None:
    """Started like that, too; it says how old each of them is, and PnP stays silent."""
    server.start()
    process = daemon(configure(site, server)).wait_ready()
    process.wait(lambda: led(process))
    eventually(lambda: readiness(process)[1]["status"] == "ready")
    wait_saved(site, "templates/T46S.cfg")
    eventually(lambda: ("named", "mac-cache", "1/index") in rows(site))
    whole = tftp(process.port, NAME)
    server.close()
    assert process.stop() == 0
    take_away(site, "storage", "directory")
    process = daemon(site.config).wait_ready()
    assert tftp(process.port, NAME) == http(port_of(process), NAME) == whole
    status, document = readiness(process)
    assert (status, document["status"]) == (200, "degraded")
    assert document["sources"]["zookeeper"]["state"] == "missing"
    for name in ("storage", "directory"):
        source = document["sources"][name]
        assert source["state"] == "stale"
        assert 0 < source["age_seconds"] < 60
        assert any(reason.startswith(f"{name} is stale (") for reason in document["reasons"])
    assert led(process) == []
    assert process.stop() == 0


def test_a_second_process_of_a_name_is_told_and_never_leads(
    site: Site, server: RealEnsemble, daemon: Start
) -> None:
    """It runs on another host, so no lock keeps it from starting (A20)."""
    server.start()
    first = daemon(configure(site, server))
    first.wait(lambda: led(first))
    site.ext["state"] = "elsewhere"
    twin = daemon(configure(site, server)).wait_ready()
    assert tftp(twin.port, NAME) == tftp(first.port, NAME)
    ready = time.monotonic()
    told = twin.wait_log("cluster")
    assert time.monotonic() - ready < 5 + BUSY_SECONDS
    assert "the name ap1 belongs to another process" in str(told["detail"])
    assert "belongs to another process" in sources(twin)["zookeeper"]["detail"]
    assert led(twin) == []
    assert first.stop() == 0
    twin.wait(lambda: led(twin))
    twin.wait_log("cluster in order again")


def test_a_group_that_a_reload_brings_is_followed_at_once(
    site: Site, server: RealEnsemble, daemon: Start
) -> None:
    site.domain("b.example.com")
    site.domain("c.b.example.com")
    site.phone("201", "001565000002", domain="b.example.com")
    site.phone("202", "001565000003", domain="c.b.example.com")
    server.start()
    first = daemon(configure(site, server))
    first.wait(lambda: led(first))
    second = {"name": "ap2", "group": 2, "include_domains": ["b.example.com"]}
    third = {"name": "ap3", "group": 3, "include_domains": ["c.b.example.com"]}
    both = [daemon(configure(site, server, {}, second, third), name) for name in ("ap2", "ap3")]
    for process in both:
        process.wait(lambda process=process: led(process))  # type: ignore[misc]
    first.process.send_signal(signal.SIGHUP)
    first.wait_log("configuration taken")
    fresh = {f"mac cache of group {number}": "fresh" for number in (1, 2, 3)}
    for process in (first, *both):
        eventually(lambda process=process: fresh.items() <= states(process).items())  # type: ignore[misc]
        assert readiness(process)[1]["status"] == "ready"
        for mac in (MAC, "001565000002", "001565000003"):
            assert tftp(process.port, f"{mac}.cfg").startswith(b"user = ")


def states(process: Process) -> dict[str, str]:
    return {name: source["state"] for name, source in sources(process).items()}
