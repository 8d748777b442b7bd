"""``era-ap cluster`` against a real ensemble: what an operator reads, and what where it cannot be reached."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from era_ap.cli import main
from era_ap.cluster.contract import Create
from era_ap.cluster.publisher import index_path
from era_ap.cluster.sealing import NOTHING, Index, seal_index
from era_ap.cluster.view import (
    Claim,
    Epoch,
    Holder,
    Member,
    epoch_path,
    failsafe_path,
    leader_path,
    member_path,
)
from tests.cluster.clients import RealClient, RealHarness
from tests.cluster.ensemble import RealEnsemble, free_ports
from tests.conftest import Site


def run(site: Site, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["cluster", *words, "-c", str(site.config)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output


async def register(client: RealClient, name: str, order: int, *, leads: bool = False) -> None:
    one = client.ensemble
    identity = f"i-{name}"
    member = Member(
        name, 1, order, identity, f"p-{name}", host="h1", version="1.0", revision="abc", peer="10.0.0.5:9069",
        phones=("10.0.0.5",), since=1_700_000_000.0,
    )  # fmt: skip
    await one.make("members")
    await one.make("groups/1")
    await one.make("cache/1")
    await one.commit(Create(member_path(name), member.to_json(), ephemeral=True))
    if leads:
        cache = Index(7, 70, 1_700_000_000_000, True, 1234, 1300, 12, NOTHING)
        await one.commit(
            Create(leader_path(1), Holder(name, f"p-{name}", 7).to_json(), ephemeral=True),
            Create(epoch_path(1), Epoch(7, name).to_json()),
            Create(failsafe_path(1), Claim(f"{name}/{identity}", frozenset({"ap2/i-ap2"})).to_json()),
            Create(index_path(1), seal_index(cache)),
        )


class Members:
    """Registered members of a site, in a loop of a thread of their own."""

    def __init__(self, servers: RealEnsemble, *names: str) -> None:
        self.harness = RealHarness(servers.connect)
        self.site = self.harness.access.root
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.clients = {name: self.do(self._open(name, order)) for order, name in enumerate(names, 1)}

    async def _open(self, name: str, order: int) -> RealClient:
        client = await self.harness.open()
        await register(client, name, order, leads=order == 1)
        return client

    def do(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    def close(self) -> None:
        self.do(self.harness.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def members(servers: RealEnsemble, *names: str) -> Iterator[Members]:
    made = Members(servers, *names)
    try:
        yield made
    finally:
        made.close()


def configure(site: Site, connect: str, root: str, **ext: object) -> None:
    """Two roles of one group at ``connect`` below the chroot of ``root``."""
    second = {
        "name": "ap2",
        "roletype": "ap",
        "iface": "lo",
        "group": 1,
        "order": 2,
        "ext": {"management": {"port": 0}},
    }
    site.ext |= ext
    site.extra_roles = [second]
    site.configure(zookeeper=f"{connect}{root.removesuffix('/era_ap/lab')}")


def test_a_good_cluster(site: Site, servers: RealEnsemble) -> None:
    with members(servers, "ap1", "ap2") as there:
        configure(site, servers.connect, there.site)
        code, output = run(site)
        assert code == 0, output
        lines = output.splitlines()
        assert lines[0] == f"site lab at {servers.connect}{there.site.removesuffix('/era_ap/lab')}"
        assert lines[2].startswith("group 1: ap1 leads, term 7 (zxid 0x")
        assert lines[2].endswith("without ZooKeeper it asks ap2")
        assert lines[3].split()[:3] == ["member", "order", "state"]
        assert lines[4].split()[:3] == ["ap1", "1", "leads"]
        assert lines[5].split()[:4] == ["ap2", "2", "stands", "by"]
        assert "MAC cache: 1,234 MACs in 12 domains, written" in lines[6]
        code, output = run(site, "--json")
        document = json.loads(output)
        assert (code, document["problems"], document["reachable"]) == (0, [], True)
        assert [member["name"] for member in document["members"]] == ["ap1", "ap2"]
        (group,) = document["groups"]
        assert group["leader"]["name"] == "ap1"
        assert group["leader"]["session"] == document["members"][0]["session"]
        assert (group["term"]["number"], group["asks"], group["cache"]["macs"]) == (7, ["ap2"], 1234)


def test_what_is_wrong_is_said_and_the_exit_code_tells(site: Site, servers: RealEnsemble) -> None:
    with members(servers, "ap1") as there:
        configure(site, servers.connect, there.site)
        code, output = run(site)
    assert code == 1
    assert "problem: ap2 is not there" in output


def test_looking_leaves_nothing_behind(site: Site, servers: RealEnsemble) -> None:
    configure(site, servers.connect, "/untouched/era_ap/lab")
    code, output = run(site)
    assert code == 1
    assert "group 1: no leader" in output
    with members(servers, "ap1") as there:
        client = there.clients["ap1"]
        assert there.do(asyncio.to_thread(lambda: client.kazoo.exists("/untouched"))) is None


def test_somebody_who_is_gone_for_good_is_struck(site: Site, servers: RealEnsemble) -> None:
    with members(servers, "ap1") as there:
        configure(site, servers.connect, there.site)
        code, output = run(site, "forget", "ap1")
        assert (code, "ap1 is registered" in output) == (1, True)
        assert run(site, "forget", "ap2") == (0, "no group waits for ap2\n")
    for name in ("ap1", "ap2"):
        assert run(site, "forget", name) == (0, f"struck {name} from those whom group 1 waits for\n")
    assert run(site, "forget", "ap2") == (0, "no group waits for ap2\n")


def test_without_zookeeper_each_instance_leads(site: Site) -> None:
    code, output = run(site)
    assert (code, "each instance is on its own and leads" in output) == (0, True)
    assert json.loads(run(site, "--json")[1])["zookeeper"] is None
    code, output = run(site, "forget", "ap1")
    assert (code, "nothing to forget" in output) == (1, True)


class Readiness(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"status": "degraded", "reasons": ["zookeeper is stale (7 s old)"]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body if self.path == "/readyz" else b"")

    def log_message(self, *_: object) -> None: ...


def test_where_zookeeper_cannot_be_reached_the_instances_are_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("era_ap.cli.cluster_contact.CONNECT_SECONDS", 0.5)
    instance = HTTPServer(("127.0.0.1", 0), Readiness)
    thread = threading.Thread(target=instance.serve_forever)
    thread.start()
    (nobody,) = free_ports("127.0.0.1", 1)
    configure(site, f"127.0.0.1:{nobody}", "", management={"port": instance.server_port})
    try:
        code, output = run(site)
        as_json = run(site, "--json")
    finally:
        instance.shutdown()
        thread.join()
        instance.server_close()
    assert code == as_json[0] == 1
    assert f"ZooKeeper cannot be reached from here: 127.0.0.1:{nobody}: Connection refused" in output
    assert "degraded: zookeeper is stale (7 s old)" in output
    assert "ap2  http://127.0.0.1:0/readyz  does not answer: its address or port is not known here" in output
    document = json.loads(as_json[1])
    assert (document["reachable"], document["instances"][0]["answer"]["status"]) == (False, "degraded")


def test_a_password_that_is_not_the_others_is_told_with_advice(
    site: Site, servers: RealEnsemble, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("right\n")
    access = {"zookeeper": {"user": "era", "password_file": str(password)}}
    configure(site, servers.connect, "/closedsite/era_ap/lab", **access)

    async def make() -> None:
        from era_ap.config import Zookeeper

        harness = RealHarness(
            servers.connect,
            root="/closedsite/era_ap/lab",
            settings=Zookeeper(user="era", password_file=password),
        )
        await (await harness.open()).ensemble.make("members")
        await harness.close()

    asyncio.run(make())
    assert "group 1: no leader" in run(site)[1]
    password.write_text("wrong\n")
    code, output = run(site)
    assert code == 1
    assert "another password than when it was made" in output
    password.unlink()
    code, output = run(site)
    assert (code, "zookeeper-password" in output) == (2, True)
