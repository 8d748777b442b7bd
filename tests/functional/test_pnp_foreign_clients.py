"""PnP seen by others' SIP software: sipp and sipsak between network namespaces (D3)."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Site
from tests.functional.namespaces import Network, why_not

pytestmark = [
    pytest.mark.functional,
    pytest.mark.netns,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]
SCENARIO = Path(__file__).with_name("sipp_subscribe.xml")


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs the Debian package {package}")


@pytest.fixture
def lan() -> Iterator[Network]:
    network = Network()
    network.add("srv")
    network.add("one")
    network.join("srv", "lan1", "10.99.1.1/24", "one", "eth0", "10.99.1.50/24")
    network.ip("one", "route", "add", "224.0.0.0/4", "dev", "eth0")
    yield network
    network.close()


def start(site: Site, lan: Network, daemon):
    site.ext |= {"listen": ["0.0.0.0"], "pnp": {"enabled": True}}
    process = daemon(site.configure(), prefix=lan.inside("srv")).wait_ready()
    process.wait_log("serving", transport="pnp")
    return process


def phones(site: Site, count: int, known: int) -> list[str]:
    """MACs of which the first ``known`` belong to an account with that many devices."""
    macs = [f"001565{number:06x}" for number in range(0x100000, 0x100000 + count)]
    devices = [{"mac": mac, "device_model": "T46S"} for mac in macs[:known]]
    site.account("200", opts={"ap_devices": devices})
    return macs


def sipp(lan: Network, folder: Path, macs: list[str], *, calls: int, rate: int, seconds: int = 40) -> dict:
    """The last line of sipp's statistics."""
    (folder / "macs.csv").write_text("SEQUENTIAL\n" + "".join(f"{mac}\n" for mac in macs))
    statistics = folder / "statistics.csv"
    lan.run(
        "one",
        [
            "sipp", "224.0.1.75:5060", "-sf", str(SCENARIO), "-inf", str(folder / "macs.csv"),
            "-i", "10.99.1.50", "-p", "5070", "-m", str(calls), "-r", str(rate), "-l", str(calls),
            "-nostdin", "-timeout", f"{seconds}s", "-recv_timeout", "8000",
            "-trace_stat", "-stf", str(statistics), "-fd", "1",
        ],
        seconds + 20,
    )  # fmt: skip
    with statistics.open() as lines:
        return list(csv.DictReader(lines, delimiter=";"))[-1]


def share_within(row: dict, milliseconds: int) -> float:
    """Which part of the calls took at most so long from SUBSCRIBE to NOTIFY."""
    prefix = "ResponseTimeRepartition1_"
    counts = {
        key.removeprefix(prefix): int(value) for key, value in row.items() if key and key.startswith(prefix)
    }
    within = sum(n for key, n in counts.items() if key[0] == "<" and int(key[1:]) <= milliseconds)
    return within / max(1, sum(counts.values()))


@needs("sipp", "sip-tester")
def test_a_thousand_phones_at_400_a_second(site: Site, lan: Network, daemon, tmp_path: Path) -> None:
    macs = phones(site, 1000, 1000)
    process = start(site, lan, daemon)
    row = sipp(lan, tmp_path, macs, calls=1000, rate=400)
    print({limit: share_within(row, limit) for limit in (1, 2, 5, 10, 20, 50, 100, 200, 500)})
    assert (row["SuccessfulCall(C)"], row["FailedCall(C)"]) == ("1000", "0")
    assert share_within(row, 500) >= 0.99  # 50 ms on a quiet machine; this one may be shared
    process.wait(lambda: sum(e.get("reason") == "pnp-accepted" for e in process.log) == 1000)


@needs("sipp", "sip-tester")
@pytest.mark.skipif(not os.environ.get("ERA_AP_SLOW"), reason="takes half a minute: set ERA_AP_SLOW=1")
def test_ten_thousand_phones_in_ten_seconds(site: Site, lan: Network, daemon, tmp_path: Path) -> None:
    macs = phones(site, 10_000, 10_000)
    start(site, lan, daemon)
    row = sipp(lan, tmp_path, macs, calls=10_000, rate=1000)
    print({limit: share_within(row, limit) for limit in (1, 2, 5, 10, 20, 50, 100, 200, 500)})
    assert (row["SuccessfulCall(C)"], row["FailedCall(C)"]) == ("10000", "0")
    assert share_within(row, 500) >= 0.99  # 50 ms on a quiet machine; this one may be shared


@needs("sipp", "sip-tester")
def test_phones_of_ours_and_others(site: Site, lan: Network, daemon, tmp_path: Path) -> None:
    site.ext["misses"] = {"count": 100_000}
    macs = phones(site, 40, 20)
    start(site, lan, daemon)
    row = sipp(lan, tmp_path, macs, calls=40, rate=40)
    assert (row["SuccessfulCall(C)"], row["FailedCall(C)"]) == ("20", "20")


@needs("sipsak", "sipsak")
def test_options_by_unicast(site: Site, lan: Network, daemon) -> None:
    process = start(site, lan, daemon)
    port = process.wait_log("serving", transport="pnp")["answer_port"]
    done = lan.run("one", ["sipsak", "-vv", "-s", f"sip:x@10.99.1.1:{port}"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Allow: SUBSCRIBE, OPTIONS" in done.stdout


@needs("sipsak", "sipsak")
@pytest.mark.parametrize(
    ("method", "more", "answer"),
    [
        ("MESSAGE", "", "SIP/2.0 405 Method Not Allowed"),
        ("SUBSCRIBE", "Event: presence\n", "SIP/2.0 489 Bad Event"),
        ("NOTIFY", "Event: check-sync\n", "SIP/2.0 405 Method Not Allowed"),
    ],
)
def test_other_requests_by_unicast(
    site: Site, lan: Network, daemon, tmp_path: Path, method: str, more: str, answer: str
) -> None:
    process = start(site, lan, daemon)
    port = process.wait_log("serving", transport="pnp")["answer_port"]
    stored = tmp_path / "request"
    stored.write_text(
        f"{method} sip:x@10.99.1.1:{port} SIP/2.0\nFrom: <sip:y@10.99.1.50>;tag=1\nTo: <sip:x@10.99.1.1>\n"
        f"Call-ID: 1@10.99.1.50\nCSeq: 1 {method}\nContact: <sip:y@10.99.1.50>\n{more}Content-Length: 0\n\n"
    )
    done = lan.run("one", ["sipsak", "-vvv", "-f", str(stored), "-s", f"sip:x@10.99.1.1:{port}"])
    assert answer in done.stdout
