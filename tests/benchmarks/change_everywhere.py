"""How soon a changed account is served by every instance: real instances, real ZooKeeper, phones by HTTP.

Usage: python -m tests.benchmarks.change_everywhere [--accounts 100000] [--domains 1000] [--changes 60]
                        [--directory yaml|postgresql|mariadb] [--edit rename|in-place]

Three instances of one group share a directory. An account is changed, and its phone's file is fetched from
each instance again and again until the change is in it. Printed: delays by instance, and the computing time
that each instance took meanwhile. In-place edits are written half, then whole, 50 ms later.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from era_ap.config import SqlDatabase
from era_ap.directory.documents import DomainDocuments
from era_ap.directory.folder import replace_file
from era_ap.directory.model import AccountKey
from tests.cluster import ensemble as servers
from tests.conftest import Site
from tests.functional.conftest import Process

INSTANCES = ("ap1", "ap2", "ap3")
START_SECONDS = 1200.0
PATIENCE = 20.0
PAUSE = 0.02
TARGET = 2.0


def key_of(number: int, domains: int) -> AccountKey:
    return AccountKey(f"d{number % domains}.example.com", str(1000 + number // domains))


def mac_of(number: int) -> str:
    return f"{0x001565000000 + number:012x}"


def document(number: int, name: str) -> dict[str, object]:
    device = {"mac": mac_of(number), "device_model": "T46S"}
    return {"name": name, "password": f"secret-{number:08x}", "opts": {"ap_devices": [device]}}


def text(number: int, name: str) -> bytes:
    return (
        f"name: {name}\npassword: secret-{number:08x}\nopts:\n  ap_devices:\n"
        f'    - mac: "{mac_of(number)}"\n      device_model: T46S\n'
    ).encode()


class YamlDirectory:
    """A folder of YAML files."""

    directory = "yaml:directory"

    def __init__(self, site: Site, options: argparse.Namespace) -> None:
        self._root = site.root / "directory"
        self._domains = options.domains
        self._in_place = options.edit == "in-place"
        for number in range(options.accounts):
            path = self._path(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text(number, "first"))

    def _path(self, number: int) -> Path:
        domain, login = key_of(number, self._domains)
        return self._root / domain / "sipusers" / f"{login}.yml"

    def change(self, number: int, name: str) -> None:
        data = text(number, name)
        if not self._in_place:
            replace_file(self._path(number), data)
            return
        with self._path(number).open("wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            time.sleep(0.05)
            file.write(data[len(data) // 2 :])

    def close(self) -> None: ...


class SqlDirectory:
    """A database on a server of its own."""

    def __init__(self, site: Site, options: argparse.Namespace) -> None:
        from tests.databases import PASSWORD, MariaDb, PostgreSql  # needs their servers

        self._server = {"postgresql": PostgreSql, "mariadb": MariaDb}[options.directory]()
        self._settings: SqlDatabase = self._server.database()
        self._domains = options.domains
        address = self._settings.address
        (site.root / "password").write_text(f"{PASSWORD}\n")
        url = f"{address.kind.value}://{address.user}@{address.host}:{address.port}/{address.database}"
        self.directory = {"sql": url, "password_file": "password"}
        site.domain("example.com")
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._fill(options.accounts))

    async def _fill(self, accounts: int) -> None:
        from era_ap.directory.sql_writer import SqlWriter

        self._writer = SqlWriter(self._settings)
        for domain in range(self._domains):
            numbers = range(domain, accounts, self._domains)
            listed = {key_of(number, self._domains).login: document(number, "first") for number in numbers}
            name = f"d{domain}.example.com"
            await self._writer.put(DomainDocuments(name, {"settings": {}}, listed))
        await self._writer.put(DomainDocuments("example.com", {"settings": {}}, {}))

    def change(self, number: int, name: str) -> None:
        key = key_of(number, self._domains)
        self._loop.run_until_complete(self._writer.write_account(key, document(number, name)))

    def close(self) -> None:
        self._loop.run_until_complete(self._writer.close())
        self._server.close()


def make_site(root: Path, zookeeper: str, directory: object) -> Site:
    site = Site(root)
    for name in ("templates", "constants", "configs"):
        (root / "storage" / name).mkdir(parents=True)
    site.constants("ntp = 192.0.2.123\n")
    site.template("T46S.cfg", "user = [sipuser.login]\nname = [sipuser.name]\n" + "# filler\n" * 200)
    site.domain("example.com")
    configured = site.configure(zookeeper=zookeeper, directory=directory, interfaces={"lo": "127.0.0.1"})
    described = json.loads(configured.read_text())
    role = described["roles"][0]
    ext = role["ext"] | {
        "http_listen": ["127.0.0.1"],
        "http_port": 0,
        "management": {"port": 0},
        "poll_seconds": 0.5,
    }
    described["roles"] = [
        role | {"name": name, "order": order, "ext": ext | {"state": str(root / f"state-{name}")}}
        for order, name in enumerate(INSTANCES, 1)
    ]
    configured.write_text(json.dumps(described))
    return site


class Phone(threading.Thread):
    """Fetches from one instance until the file says what it should; ``at`` is when it did."""

    def __init__(self, port: int, number: int, wanted: str) -> None:
        super().__init__(daemon=True)
        self.at: float | None = None
        self._port = port
        self._name = f"/{mac_of(number)}.cfg"
        self._wanted = f"name = {wanted}\n".encode()
        self.start()

    def run(self) -> None:
        asked = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        until = time.monotonic() + PATIENCE
        while self.at is None and time.monotonic() < until:
            asked.request("GET", self._name)
            body = asked.getresponse().read()
            if self._wanted in body:
                self.at = time.monotonic()
            time.sleep(PAUSE)
        asked.close()


@contextmanager
def running(site: Site, folder: Path, accounts: int) -> Iterator[dict[str, Process]]:
    """The instances, once each has all accounts."""
    processes: dict[str, Process] = {}
    try:
        for name in INSTANCES:
            (folder / name).mkdir()
            processes[name] = Process(site.config, folder / name, name)
        for process in processes.values():
            process.wait(lambda process=process: phones(process) >= accounts, START_SECONDS)  # type: ignore[misc]
            process.wait_ready()
        yield processes
    finally:
        for process in processes.values():
            process.close()


def phones(process: Process) -> int:
    told = [entry["phones"] for entry in process.log if entry.get("event") == "directory in service"]
    return max((int(str(each)) for each in told), default=0)


def cpu(process: Process) -> float:
    times = psutil.Process(process.process.pid).cpu_times()
    return times.user + times.system


def measure(
    options: argparse.Namespace, ports: dict[str, int], change: Callable[[int, str], None]
) -> dict[str, list[float]]:
    """Seconds from the end of each change to its being served, by instance; ``PATIENCE`` if it never was."""
    rng = random.Random(options.seed)
    delays: dict[str, list[float]] = {name: [] for name in ports}
    for turn in range(options.changes):
        time.sleep(rng.random() * 1.5)
        number, wanted = rng.randrange(options.accounts), f"edit {turn} {options.seed}"
        change(number, wanted)
        begin = time.monotonic()
        asking = {name: Phone(port, number, wanted) for name, port in ports.items()}
        for name, phone in asking.items():
            phone.join()
            delays[name].append(PATIENCE if phone.at is None else phone.at - begin)
    return delays


def show(name: str, delays: list[float], share: float | None) -> None:
    ordered = sorted(delays)
    told = {
        "median": statistics.median(ordered),
        "p90": ordered[int(len(ordered) * 0.9) - 1],
        "p99": ordered[int(len(ordered) * 0.99) - 1],
        "most": ordered[-1],
    }
    figures = ", ".join(f"{title} {seconds:.2f} s" for title, seconds in told.items())
    late = sum(each > TARGET for each in delays)
    busy = "" if share is None else f"; {share:.0%} of a core"
    print(f"{name:10} {figures}; {late} of {len(delays)} later than {TARGET:.0f} s{busy}", flush=True)


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name, servers.running(Path(name, "zk")) as zookeeper:
        folder = Path(name)
        (folder / "site").mkdir()
        begin = time.monotonic()
        kind = YamlDirectory if options.directory == "yaml" else SqlDirectory
        directory = kind(Site(folder / "site"), options)
        try:
            site = make_site(folder / "site", zookeeper.connect, directory.directory)
            print(f"{options.accounts} accounts written in {time.monotonic() - begin:.0f} s", flush=True)
            begin = time.monotonic()
            with running(site, folder, options.accounts) as processes:
                print(f"three instances have them after {time.monotonic() - begin:.0f} s", flush=True)
                ports = {
                    each: int(str(process.wait_log("serving", transport="http")["port"]))
                    for each, process in processes.items()
                }
                warm = argparse.Namespace(**vars(options) | {"changes": 3, "seed": -1})
                measure(warm, ports, directory.change)
                time.sleep(5)  # until it is settled who leads and who looks seldom
                before, begin = {each: cpu(process) for each, process in processes.items()}, time.monotonic()
                delays = measure(options, ports, directory.change)
                seconds = time.monotonic() - begin
                for each, process in processes.items():
                    show(each, delays[each], (cpu(process) - before[each]) / seconds)
                show("all", [max(turn) for turn in zip(*delays.values(), strict=True)], None)
        finally:
            directory.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=60)
    parser.add_argument("--directory", choices=("yaml", "postgresql", "mariadb"), default="yaml")
    parser.add_argument("--edit", choices=("rename", "in-place"), default="rename")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    why = servers.why_not()
    if why:
        sys.exit(why)
    main(parse())
