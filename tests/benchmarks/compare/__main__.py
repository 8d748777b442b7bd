"""Measures this daemon beside its peers; see README.rst in this folder.

python -m tests.benchmarks.compare [--quick] [--passes N] [--cases A,B] [--peers dnsmasq,atftpd] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import compiled

from . import load, report
from .cases import CASES, HTTP_PEERS, OURS, PHONES, TARGETS, TWICE, Case
from .judge import judge
from .load import Figure
from .processes import SERVER_CORE, Server
from .servers import Daemon, MissingError, Place, http_peer, ours, ours_twice, tftp_peer
from .site import ROOT, write_files, write_site

QUICK_PEERS = ("dnsmasq", "atftpd", "tftpd-hpa", "ctftp")
HTTP_CASES = {"I1": "as H2 over HTTP, keep-alive", "I2": "as H2 over HTTP, a connection each"}
WARMING = 1000
"""Downloads that each server gives before the first that count."""
SLOW = {"fbtftp": 10}
"""Servers that get only one of so many downloads."""


class Comparison:
    """All passes over all cases with the servers that are there."""

    def __init__(self, place: Place, given: argparse.Namespace) -> None:
        self._place = place
        self._cases = [case for case in CASES if not given.cases or case.key in given.cases.split(",")]
        self._http = [key for key in HTTP_CASES if not given.cases or key in given.cases.split(",")]
        self._renders = not given.cases or "R" in given.cases.split(",")
        self._scale = 5 if given.quick else 1
        self._allowed = set(given.peers.split(",")) if given.peers else None
        if given.quick and not given.peers:
            self._allowed = set(QUICK_PEERS)
        self._end = time.monotonic() + given.minutes * 60
        self.runs: dict[tuple[str, str], dict[int, Figure]] = {}

    def run(self, passes: int) -> None:
        with contextlib.ExitStack() as stack:
            mine, daemon = stack.enter_context(ours(self._place))
            servers = {OURS: mine} | self._start_peers(stack)
            for server in servers.values():
                load.tftp(self._place.tools, server, CASES[0], WARMING)
            for number in range(passes):
                for case in self._cases:
                    if case.once and number:
                        continue
                    self._run_case(case, number, servers, daemon)
                self._run_http(stack, servers, daemon, number)
                self._run_rendering(number)

    def _start_peers(self, stack: contextlib.ExitStack) -> dict[str, Server]:
        names = dict.fromkeys(peer for case in self._cases for peer in case.peers)
        servers = {}
        for name in names:
            if name == TWICE or (self._allowed is not None and name not in self._allowed):
                continue
            try:
                servers[name] = stack.enter_context(tftp_peer(name, self._place))
            except MissingError as missing:
                print(f"left out: {missing}", file=sys.stderr)
        return servers

    def _run_case(self, case: Case, number: int, servers: dict[str, Server], daemon: Daemon) -> None:
        for name in (OURS, *case.peers):
            if time.monotonic() > self._end:
                continue
            if name == TWICE:  # only now: they look at their directories, too, while others are measured
                with ours_twice(self._place) as both:
                    self._measure(case, number, both, daemon)
            elif name in servers:
                self._measure(case, number, servers[name], daemon)

    def _measure(self, case: Case, number: int, server: Server, daemon: Daemon) -> None:
        total = case.total if case.bulk or case.once else case.total // SLOW.get(server.name, 1)
        total = max(total // self._scale, min(total, 20))
        with _free_to_roam(server, case):
            if case.cold:
                daemon.forget(server.pids[0])
            figure = load.tftp(self._place.tools, server, case, total, number + 1)
        self._note(case.key, server.name, number, figure)

    def _run_http(
        self, stack: contextlib.ExitStack, servers: dict[str, Server], daemon: Daemon, number: int
    ) -> None:
        if not self._http:
            return
        port = daemon.ports().get("http")
        if port is None or not load.has_wrk():
            if not number:
                why = "wrk is not installed: apt-get install wrk" if port else "this version serves no HTTP"
                print(f"left out: HTTP: {why}", file=sys.stderr)
            return
        body = self._place.site / "body"
        if not number:
            body.write_bytes(os.urandom(12 << 10))
            for name in HTTP_PEERS:
                try:
                    servers[name] = stack.enter_context(http_peer(name, self._place, body))
                except MissingError as missing:
                    print(f"left out: {missing}", file=sys.stderr)
        mine = servers[OURS]
        web = {OURS: Server(OURS, port, mine.pids, mine.group)}
        web |= {name: servers[name] for name in HTTP_PEERS if name in servers}
        for key in self._http:
            for name, server in web.items():
                if name == OURS:
                    self._render_all(server)
                figure = load.http(self._place.tools, server, 2, keep_alive=key == "I1")
                self._note(key, name, number, figure)

    def _render_all(self, server: Server) -> None:
        """Fetch each phone's file; a slow machine needs longer for it than a measurement takes."""
        fetched = 0
        while fetched < 1.1 * PHONES:
            fetched += load.http(self._place.tools, server, 2, keep_alive=True).total

    def _run_rendering(self, number: int) -> None:
        if not self._renders:
            return
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.compare.rendering",
            str(self._place.site / "site.yml"),
        ]
        done = subprocess.run(
            ["taskset", "-c", SERVER_CORE, *command], stdout=subprocess.PIPE, cwd=ROOT, check=True
        )
        self._note("R", OURS, number, Figure(float(done.stdout), 0.0, 0.0, 0.0, 0, 0))

    def _note(self, case: str, server: str, number: int, figure: Figure) -> None:
        self.runs.setdefault((case, server), {})[number] = figure
        text = f"{case:4} {server:14} {figure.rate:12,.1f}/s  CPU {figure.cpu:8.4f}  p99 {figure.p99:9.1f} ms"
        print(f"pass {number + 1}  {text}  failed {figure.failed}", file=sys.stderr)


@contextlib.contextmanager
def _free_to_roam(server: Server, case: Case) -> Iterator[None]:
    if case.pinned:
        yield
        return
    server.pin(f"0-{(os.cpu_count() or 1) - 1}")
    try:
        yield
    finally:
        server.pin(SERVER_CORE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one pass, a fifth of the downloads, few peers")
    parser.add_argument("--passes", type=int, default=0, help="passes over all cases (3)")
    parser.add_argument("--cases", default="", help="only these, e.g. A,C,H1,H2 (R: rendering, I1, I2: HTTP)")
    parser.add_argument("--peers", default="", help="only these beside our daemon")
    parser.add_argument("--minutes", type=float, default=30.0, help="begin nothing new after so long (30)")
    parser.add_argument("--json", type=Path, default=None, help="write all figures to this file")
    parser.add_argument("--source", action="store_true", help="measure our daemon uncompiled")
    parser.add_argument(
        "--peers-python",
        type=Path,
        default=ROOT / "build" / "peers" / "bin" / "python",
        help="Python of the environment with the peers from PyPI",
    )
    return parser.parse_args()


def _daemon(folder: Path, given: argparse.Namespace) -> Path:
    """Where our daemon is: a compiled copy in ``folder``, or the sources."""
    if given.source:
        return ROOT
    if why := compiled.obstacle():
        print(f"our daemon is measured uncompiled: {why}", file=sys.stderr)
        return ROOT
    compiled.build(folder)
    return folder


def main() -> int:
    """Returns 1 if a target that could be judged was missed."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="compare-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # some peers serve as nobody
        (folder / "tools").mkdir()
        load.build(folder / "tools")
        write_files(folder / "files")
        (folder / "site").mkdir()
        write_site(folder / "site")
        python = given.peers_python if given.peers_python.exists() else None
        daemon = _daemon(folder / "daemon", given)
        place = Place(folder / "files", folder / "site", python, folder / "tools", daemon)
        comparison = Comparison(place, given)
        comparison.run(given.passes or (1 if given.quick else 3))
    cases = {case for case, _ in comparison.runs}
    verdicts = [judge(comparison.runs, target) for target in TARGETS if target.case in cases]
    titles = {case.key: case.title for case in CASES} | HTTP_CASES | {"R": "rendering, one core, in process"}
    report.print_figures(comparison.runs, titles)
    report.print_verdicts(verdicts)
    if given.json is not None:
        report.write_json(given.json, comparison.runs, verdicts)
    return int(any(verdict.met is False for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
