"""PnP between network namespaces with real multicast: the daemon in one, phones in others (D4, D8, G5)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import MAC, Site
from tests.functional.namespaces import Network, why_not

pytestmark = [
    pytest.mark.functional,
    pytest.mark.netns,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]

FREE = {"enabled": True}


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture
def lan(network: Network) -> Network:
    """The server on two LANs with a phone in each; 10.99.1.1 and 10.99.2.1 are the server's addresses."""
    for name in ("srv", "one", "two"):
        network.add(name)
    network.join("srv", "lan1", "10.99.1.1/24", "one", "eth0", "10.99.1.50/24")
    network.join("srv", "lan2", "10.99.2.1/24", "two", "eth0", "10.99.2.60/24")
    return network


def configure(site: Site, **pnp: object) -> Path:
    site.ext |= {"listen": ["0.0.0.0"], "pnp": FREE | pnp, "journal": str(site.root / "journal")}
    return site.configure()


def phone(network: Network, place: str, mac: str = MAC, vendor: str = "yealink", *more: str) -> dict:
    done = network.run(
        place,
        [sys.executable, "-m", "era_ap", "phone", mac, "--pnp", "--vendor", vendor, "--json", *more],
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def received(found: dict, word: str) -> list[dict]:
    return [each for each in found["messages"] if each["direction"] == "received" and word in each["text"]]


def serving(daemon: Callable, config: Path, network: Network, count: int = 2):
    process = daemon(config, prefix=network.inside("srv")).wait_ready()
    process.wait(lambda: any(len(e.get("interfaces", ())) == count for e in process.log))
    return process


def test_each_phone_gets_the_address_of_the_interface_that_heard_it(site: Site, lan: Network, daemon) -> None:
    process = serving(daemon, configure(site), lan)
    for place, server in (("one", "10.99.1.1"), ("two", "10.99.2.1")):
        found = phone(lan, place)
        assert found["url"] == f"tftp://{server}:{process.port}/"
        assert [each["peer"].split(":")[0] for each in found["messages"]][1:] == [server] * 3
        assert len(received(found, "SIP/2.0 200 OK")) == 1
        assert len(received(found, "NOTIFY ")) == 1
        assert f"Contact: <sip:{server}:" in received(found, "NOTIFY ")[0]["text"]
        assert found["ok"], found["fetches"]
        assert found["fetches"][-1]["name"] == f"{MAC}.cfg"
    process.wait_log("request", transport="pnp", reason="pnp-accepted", mac=MAC, account="101@a.example.com")


def test_a_temporary_address_over_http(site: Site, lan: Network, daemon) -> None:
    key = site.root / "site.key"
    key.write_text("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n")
    key.chmod(0o600)
    site.ext |= {"http_port": 8080, "http_listen": ["0.0.0.0"], "key_file": str(key)}
    config = configure(site)
    document = json.loads(config.read_text())
    document["roles"][0]["pnp_url_proto"] = "http"
    config.write_text(json.dumps(document))
    process = serving(daemon, config, lan)
    found = phone(lan, "one")
    assert re.fullmatch(r"http://10\.99\.1\.1:8080/p/[\w-]+/", found["url"])
    assert found["ok"], found["fetches"]
    assert not any("/p/" in str(entry) for entry in process.log if entry.get("transport") == "pnp")


def test_an_unknown_phone_is_met_with_silence_and_remembered(site: Site, lan: Network, daemon) -> None:
    config = configure(site)
    process = serving(daemon, config, lan)
    found = phone(lan, "one", "0c383e0a0b0c", "fanvil", "--timeout", "1.2")
    assert found["url"] == ""
    assert [each["direction"] for each in found["messages"]] == ["sent", "sent"]
    assert "nobody answered on eth0 (10.99.1.50)" in found["meaning"]
    process.wait_log("request", transport="pnp", reason="mac-unknown", mac="0c383e0a0b0c", peer="10.99.1.50")
    assert sum(e.get("reason") == "mac-unknown" for e in process.log) == 1
    assert process.stop() == 0
    listed = subprocess.run(
        [sys.executable, "-m", "era_ap", "phones", "-c", str(config), "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (row,) = [row for row in json.loads(listed.stdout)["phones"] if row["state"] == "discovered"]
    assert (row["mac"], row["peer"], row["reason"]) == ("0c383e0a0b0c", "10.99.1.50", "mac-unknown")


NAMELESS = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("10.99.1.50", 5060))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.99.1.50"))
sock.settimeout(0.5)
for number in range(10):
    sock.sendto(b"SUBSCRIBE sip:224.0.1.75:5060 SIP/2.0\\r\\n"
        b"Via: SIP/2.0/UDP 10.99.1.50:5060;branch=z9hG4bK%d\\r\\n"
        b"From: <sip:00000001@10.99.1.50:5060>;tag=1\\r\\nTo: <sip:224.0.1.75:5060>\\r\\n"
        b"Call-ID: %d\\r\\nCSeq: 1 SUBSCRIBE\\r\\nContact: <sip:10.99.1.50:5060>\\r\\n"
        b'Event: ua-profile;profile-type="application";model="420HD";version="2.2.8"\\r\\n'
        b"Content-Length: 0\\r\\n\\r\\n" % (number, number), ("224.0.1.75", 5060))
    try:
        while True:
            data = sock.recv(9000)
            if data.startswith(b"NOTIFY"):
                print(data.decode().rpartition("\\r\\n")[2])
                raise SystemExit
    except TimeoutError:
        pass
"""


def test_a_phone_that_names_no_mac_is_known_by_its_address_on_the_wire(
    site: Site, lan: Network, daemon
) -> None:
    lan.ip("one", "link", "set", "eth0", "address", "00:90:8f:60:2a:ac")
    site.phone("120", "00908f602aac")
    process = serving(daemon, configure(site), lan)
    done = lan.run("one", [sys.executable, "-c", NAMELESS])
    assert done.stdout.strip() == f"tftp://10.99.1.1:{process.port}/00908f602aac.cfg", done.stderr
    process.wait_log("request", transport="pnp", reason="pnp-no-mac", peer="10.99.1.50")


def test_an_interface_that_comes_later_or_again_is_joined(site: Site, network: Network, daemon) -> None:
    network.add("srv")
    network.add("one")
    process = daemon(configure(site), prefix=network.inside("srv")).wait_ready()
    process.wait_log("PnP is hindered")
    for _ in range(2):
        before = len(process.log)
        network.join("srv", "lan1", "10.99.1.1/24", "one", "eth0", "10.99.1.50/24")
        process.wait(lambda start=before: any(e.get("interfaces") == ["lan1"] for e in process.log[start:]))
        assert phone(network, "one")["ok"]
        before = len(process.log)
        network.ip("srv", "link", "del", "lan1")
        process.wait(lambda start=before: any(e["event"] == "PnP is hindered" for e in process.log[start:]))


def test_only_the_interfaces_that_are_named_are_served(site: Site, lan: Network, daemon) -> None:
    serving(daemon, configure(site, interfaces=["10.99.2.1"]), lan, count=1)
    assert phone(lan, "two")["ok"]
    assert phone(lan, "one", MAC, "yealink", "--timeout", "0.4")["url"] == ""


def test_a_phone_on_a_denied_network_gets_nothing(site: Site, lan: Network, daemon) -> None:
    process = serving(daemon, configure(site, deny={"networks": ["10.99.2.0/24"]}), lan)
    assert phone(lan, "one")["ok"]
    assert phone(lan, "two", MAC, "yealink", "--timeout", "0.4")["url"] == ""
    process.wait_log("request", reason="pnp-denied", peer="10.99.2.60")


def test_what_queued_up_while_the_process_was_frozen_is_not_answered(
    site: Site, lan: Network, daemon
) -> None:
    process = serving(daemon, configure(site), lan)
    process.process.send_signal(signal.SIGSTOP)
    try:
        found = phone(lan, "one", MAC, "yealink", "--timeout", "1.6")
    finally:
        process.process.send_signal(signal.SIGCONT)
    assert found["url"] == ""
    stale = process.wait_log("request", reason="pnp-stale")
    assert float(re.findall(r"waited ([\d.]+) s", str(stale["detail"]))[0]) > 1.0
    assert phone(lan, "one")["ok"]


@contextmanager
def held(network: Network, address: str) -> Iterator[None]:
    """Port 5060 of ``address`` in use by somebody else on the server's host."""
    script = (
        f"import socket, sys; s = socket.socket(2, 2); s.bind(({address!r}, 5060)); "
        "print('up', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [*network.inside("srv"), sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        yield
    finally:
        holder.communicate(b"")


def test_a_sip_proxy_may_have_the_port_on_the_hosts_own_address(site: Site, lan: Network, daemon) -> None:
    with held(lan, "10.99.1.1"):
        serving(daemon, configure(site), lan)
        assert phone(lan, "one")["ok"]


def test_a_port_that_is_taken_is_told_and_taken_when_it_is_free(site: Site, lan: Network, daemon) -> None:
    with held(lan, ""):
        process = daemon(configure(site), prefix=lan.inside("srv")).wait_ready()
        told = process.wait_log("PnP is hindered")
        assert told["detail"] == "224.0.1.75:5060: Address already in use"
    process.wait(lambda: any(len(e.get("interfaces", ())) == 2 for e in process.log))
    assert phone(lan, "one")["ok"]


def test_two_daemons_on_one_host_share_the_port(site: Site, lan: Network, daemon) -> None:
    site.extra_roles = [
        {"name": "ap2", "roletype": "ap", "iface": "lo", "group": 2, "order": 1, "tftp_port": 0}
    ]
    config = configure(site)
    document = json.loads(config.read_text())
    document["roles"][1]["ext"] = document["roles"][0]["ext"]
    document["roles"][1]["include_domains"] = ["b.example.com"]
    config.write_text(json.dumps(document))
    serving(daemon, config, lan)
    second = daemon(config, role="ap2", prefix=lan.inside("srv")).wait_ready()
    second.wait(lambda: any(len(e.get("interfaces", ())) == 2 for e in second.log))
    found = phone(lan, "one")
    assert found["ok"]
    assert len(received(found, "SIP/2.0 200 OK")) == 2  # without a cluster each of them believes it leads


def test_a_silent_phone_gets_four_notifys_at_most(site: Site, lan: Network, daemon) -> None:
    process = serving(daemon, configure(site), lan)
    script = (
        "import random, socket\n"
        "from era_ap.sip.shapes import shapes\n"
        "from era_ap.sip.virtual_phone import open_socket, pick_interface\n"
        "s = open_socket('10.99.1.50', 5059, pick_interface('eth0').index); s.settimeout(6)\n"
        f"asked = shapes()['yealink'].compose('{MAC}', '10.99.1.50', 5059, random.Random(1))\n"
        "s.sendto(asked, ('224.0.1.75', 5060))\n"
        "got = []\n"
        "try:\n"
        "    while True: got.append(s.recv(4096))\n"
        "except TimeoutError: pass\n"
        "print(sum(d.startswith(b'NOTIFY') for d in got), sum(map(len, got)))\n"
    )
    done = lan.run("one", [sys.executable, "-c", script])
    notifys, octets = map(int, done.stdout.split())
    assert notifys == 4
    assert octets < 8 * 500
    process.wait_log("request", transport="pnp", reason="pnp-unconfirmed", mac=MAC)


def test_a_phone_on_loopback_finds_its_server(site: Site, network: Network, daemon) -> None:
    network.add("srv")
    process = daemon(configure(site, interfaces=["lo"]), prefix=network.inside("srv")).wait_ready()
    process.wait_log("serving", transport="pnp")
    found = phone(network, "srv", MAC, "yealink", "--interface", "lo")
    assert found["url"] == f"tftp://127.0.0.1:{process.port}/"
    assert found["ok"]


def test_a_snooping_bridge_with_three_namespaces(site: Site, network: Network, daemon) -> None:
    for name in ("srv", "br", "one", "two"):
        network.add(name)
    network.ip("br", "link", "add", "br0", "type", "bridge", "mcast_snooping", "1")
    network.ip("br", "link", "set", "br0", "up")
    for port, (name, address) in enumerate(
        (("srv", "10.99.3.1/24"), ("one", "10.99.3.50/24"), ("two", "10.99.3.60/24"))
    ):
        network.join(name, "eth0", address, "br", f"port{port}", "")
        network.ip("br", "link", "set", f"port{port}", "master", "br0")
    process = serving(daemon, configure(site), network, count=1)
    for place in ("one", "two"):
        assert phone(network, place)["url"] == f"tftp://10.99.3.1:{process.port}/"


@pytest.mark.skipif(not os.environ.get("ERA_AP_SLOW"), reason="set ERA_AP_SLOW=1: waits ten minutes")
def test_membership_outlives_ten_idle_minutes(site: Site, lan: Network, daemon) -> None:
    process = serving(daemon, configure(site), lan)
    with pytest.raises(subprocess.TimeoutExpired):
        process.process.wait(600)
    assert phone(lan, "one")["ok"]


def test_pnp_ends_when_the_configuration_says_so(site: Site, lan: Network, daemon) -> None:
    process = serving(daemon, configure(site), lan)
    assert phone(lan, "one")["ok"]
    configure(site, enabled=False)
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("configuration taken")
    assert phone(lan, "one", MAC, "yealink", "--timeout", "0.4")["url"] == ""
    configure(site)
    process.process.send_signal(signal.SIGHUP)
    process.wait_log("some changes need a restart", keys=["ext.pnp.enabled"])
