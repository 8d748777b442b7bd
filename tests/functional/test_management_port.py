"""The management port of the real process: readiness through its life, and metrics of what phones did."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from era_ap.errors import Reason
from tests.conftest import MAC, Site
from tests.functional.namespaces import Network, why_not
from tests.functional.strict_clients import Download, http, tftp
from tests.functional.test_daemon import eventually
from tests.functional.web import port_of

if TYPE_CHECKING:
    from tests.functional.conftest import Process

pytestmark = pytest.mark.functional
Start = Callable[..., "Process"]

NAME = f"{MAC}.cfg"


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    try:
        for name in ("host", "other"):
            made.add(name)
        made.join("host", "eth0", "", "other", "eth0", "192.0.2.20/24")
        yield made
    finally:
        made.close()


def get(process: Process, path: str) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{port_of(process, 'management')}{path}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def readiness(process: Process) -> tuple[int, dict[str, Any]]:
    status, body = get(process, "/readyz")
    return status, json.loads(body)


def state(process: Process) -> str:
    return str(readiness(process)[1]["status"])


def samples(process: Process) -> dict[tuple[str, ...], float]:
    """Values by name and labels, ordered by the names of these."""
    found = {}
    for family in text_string_to_metric_families(get(process, "/metrics")[1].decode()):
        for sample in family.samples:
            found[sample.name, *(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


def test_it_says_what_it_serves_and_counts_what_phones_did(site: Site, daemon: Start) -> None:
    site.ext |= {"http_port": 0, "http_listen": ["127.0.0.1"]}
    process = daemon(site.configure()).wait_ready()
    eventually(lambda: state(process) == "ready")
    status, document = readiness(process)
    assert (status, document["role"], document["reasons"]) == (200, "ap1", [])
    assert {source["state"] for source in document["sources"].values()} == {"fresh"}
    assert get(process, "/healthz") == (200, b"ok\n")
    whole = tftp(process.port, NAME)
    assert http(port_of(process), NAME) == whole
    tftp_error = Download(process.port, "001565ffffff.cfg")
    with pytest.raises(AssertionError):
        tftp_error.step()
    process.wait_log("request", reason="mac-unknown")
    found = samples(process)
    requests = "era_ap_requests_total"  # labels: reason, result, transport
    assert found[requests, "rendered", "served", "tftp"] == 1
    assert found[requests, "reused", "served", "http"] == 1
    assert found[requests, "mac-unknown", "not_found", "tftp"] == 1
    assert found["era_ap_sent_bytes_total", "tftp"] == len(whole)
    assert found["era_ap_request_seconds_count", "tftp"] == 2
    assert found["era_ap_render_seconds_count",] == 1
    assert found["era_ap_phones",] == 1
    assert found["era_ap_templates",] == 1
    assert found["era_ap_leader", "1"] == 1
    assert found["era_ap_health", "ready"] == 1
    assert found["era_ap_loop_lag_seconds_count",] > 0
    assert found["era_ap_info", "1", "ap1", "lab", str(document["version"])] == 1
    assert process.stop() == 0


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs the Debian package prometheus (promtool)")
def test_prometheus_likes_what_it_is_told(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=get(process, "/metrics")[1], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_what_phones_say_makes_no_series(site: Site, daemon: Start) -> None:
    site.ext |= {"http_port": 0, "http_listen": ["127.0.0.1"], "misses": {"count": 10_000}}
    process = daemon(site.configure()).wait_ready()
    before = set(samples(process))
    for number in range(100):
        name = f"{number:012x}.{'x' * number}\u202e\n{{}}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.settimeout(10)
            phone.sendto(b"\0\1" + name.encode() + b"\0octet\0", ("127.0.0.1", process.port))
            phone.recv(600)
        target = urllib.parse.quote(name)
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port_of(process)}/{target}", headers={"User-Agent": f"phone {number}"}
        )
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(asked, timeout=10)
    new = {series for series in samples(process) if series not in before}
    assert {series[0] for series in new} <= {"era_ap_requests_total"}
    assert {series[1] for series in new} <= {reason.code for reason in Reason}


def test_without_its_storage_it_serves_and_says_how_old_that_is(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    whole = tftp(process.port, NAME)
    (site.root / "storage").rename(site.root / "away")
    process.wait_log("not readable", what="storage")
    status, document = readiness(process)
    assert (status, document["status"]) == (200, "degraded")
    assert document["sources"]["storage"]["state"] == "stale"
    assert document["sources"]["storage"]["age_seconds"] >= 0
    assert any(reason.startswith("storage is stale") for reason in document["reasons"])
    assert tftp(process.port, NAME) == whole
    (site.root / "away").rename(site.root / "storage")
    eventually(lambda: state(process) == "ready")


def test_with_nothing_to_serve_it_wants_no_phones(site: Site, daemon: Start) -> None:
    site.ext["state"] = str(site.root / "no-state-yet")
    for name in ("storage", "directory"):
        (site.root / name).rename(site.root / f"{name}.away")
    process = daemon(site.configure()).wait_ready()
    status, document = readiness(process)
    assert (status, document["status"]) == (503, "not ready")
    assert {name: document["sources"][name]["state"] for name in ("storage", "directory")} == {
        "storage": "missing", "directory": "missing",
    }  # fmt: skip
    assert get(process, "/healthz")[0] == 200
    for name in ("storage", "directory"):
        (site.root / f"{name}.away").rename(site.root / name)
    eventually(lambda: readiness(process)[0] == 200)


def test_while_it_stops_it_says_so(site: Site, daemon: Start) -> None:
    site.static("large.bin", bytes(100_000))
    process = daemon(site.config).wait_ready()
    transfer = Download(process.port, "large.bin")
    transfer.step()
    process.process.send_signal(signal.SIGTERM)
    process.wait_log("stopping")
    status, document = readiness(process)
    assert (status, document["status"]) == (503, "stopping")
    transfer.finish()
    assert process.process.wait(15) == 0


@pytest.mark.netns
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_host_whose_network_comes_after_the_instance_is_asked_all_the_same(
    site: Site, daemon: Start, network: Network
) -> None:
    config = site.configure(interfaces={"lo": "192.0.2.10"})
    process = daemon(config, prefix=network.inside("host")).wait_ready()
    process.wait_log("the address of this role is not here yet", address="192.0.2.10")
    network.ip("host", "addr", "add", "192.0.2.10/24", "dev", "eth0")
    url = f"http://192.0.2.10:{port_of(process, 'management')}/healthz"
    code = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=10).read().decode())"
    assert network.run("other", [sys.executable, "-c", code]).stdout == "ok\n\n"
    for command in ("del", "add"):
        network.ip("host", "addr", command, "192.0.2.10/24", "dev", "eth0")
    assert network.run("other", [sys.executable, "-c", code]).stdout == "ok\n\n"
    assert process.stop() == 0


def test_two_roles_of_a_host_need_a_port_each(site: Site, daemon: Start) -> None:
    first = daemon(site.config).wait_ready()
    document = json.loads(site.config.read_text())
    second = document["roles"][0] | {"name": "ap2", "order": 2}
    second["ext"] = second["ext"] | {"management": {"port": port_of(first, "management")}}
    document["roles"].append(second)
    site.config.write_text(json.dumps(document))
    process = daemon(site.config, "ap2")
    process.wait(lambda: process.process.poll() is not None)
    assert process.process.returncode == 1
    assert any("needs an ext.management.port of its own" in str(entry["event"]) for entry in process.log)
