"""The scripted fault run: each fault under a stream of phones, and what it cost them, as a table.

    python -m tests.cluster.faults [--only NAME,NAME] [--keep FOLDER]

Targets: no file lost (a phone may have to ask the next instance); a URL for phones again within 5 s, within
0.5 s where an instance leaves in good order; one NOTIFY for a SUBSCRIBE; one leader at a time.
"""

from __future__ import annotations

import argparse
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.ensemble import ROOT, ask
from tests.cluster.verdict import PATIENCE, Verdict, judge
from tests.cluster.world import INSTANCES, SERVERS, SESSION_SECONDS, World, build_shift, why_not

CRASH_GAP = 5.0
CLEAN_GAP = 0.5
FEW = 0.01
"""Share of the SUBSCRIBEs that may go unanswered where an instance dies with them in its hands."""
QUORUM_SECONDS = 60.0
SUPER_SECRET = 0xB3415C00
"""What ZooKeeper makes the password of a session from; so anybody can end one whose id is known."""


@dataclass(frozen=True)
class Fault:
    """One fault: what it is for people, how it is done, and the longest gap that it may cause."""

    words: str
    do: Callable[[World], None]
    gap: float = CRASH_GAP


def killed(world: World) -> None:
    world.kill("ap1")
    world.wait_leader("ap2", "ap3")
    back(world, "ap1")


def frozen(world: World) -> None:
    world.freeze("ap1")
    world.wait_leader("ap2", "ap3")
    world.let_pass(2 * SESSION_SECONDS)
    world.thaw("ap1")
    world.wait_leader("ap1")


def stopped(world: World) -> None:
    assert world.stop("ap1") == 0
    world.wait_leader("ap2", "ap3")
    back(world, "ap1")


def cut_from_zookeeper(world: World) -> None:
    world.lan.cut("ap1", SERVERS)
    world.wait_leader("ap2", "ap3")
    world.let_pass(SESSION_SECONDS)
    world.lan.mend("ap1")
    world.wait_leader("ap1")


def cut_from_instances(world: World) -> None:
    world.lan.cut("ap1", ("ap2", "ap3"))
    world.let_pass(3 * SESSION_SECONDS)
    world.lan.mend("ap1")
    world.wait_leader("ap1")


def cut_from_everything(world: World) -> None:
    world.lan.unplug("ap1")
    world.wait_leader("ap2", "ap3")
    world.let_pass(SESSION_SECONDS)
    world.lan.mend("ap1")
    world.wait_leader("ap1")


def zookeeper_server_killed(world: World) -> None:
    for server in world.ensemble.servers:
        server.kill()
        world.let_pass(SESSION_SECONDS)
        server.start()
        world.ensemble.recover()
    world.wait_leader("ap1")


def quorum_lost(world: World) -> None:
    for server in world.ensemble.servers[:2]:
        server.freeze()
    world.let_pass(QUORUM_SECONDS)
    for server in world.ensemble.servers[:2]:
        server.thaw()
    world.ensemble.recover()
    world.wait_leader("ap1")
    world.let_pass(2 * SESSION_SECONDS)


def zookeeper_emptied(world: World) -> None:
    world.ensemble.restart_empty()
    world.let_pass(2 * SESSION_SECONDS)
    world.wait_leader("ap1")


def session_ended(world: World) -> None:
    server = world.ensemble.servers[0]
    lines = ask(server.host, server.port, "dump", world.lan.inside("phones")).splitlines()
    owner = next(n for n, line in enumerate(lines) if line.endswith("groups/1/leader"))
    session = next(int(line.rstrip(":"), 16) for line in reversed(lines[:owner]) if line.startswith("0x"))
    script = (
        "from tests.cluster.clients import end_session; "
        f"end_session({world.ensemble.connect!r}, ({session}, {session_password(session)!r}))"
    )
    subprocess.run([*world.lan.inside("phones"), sys.executable, "-c", script], check=True, cwd=ROOT)
    world.let_pass(2 * SESSION_SECONDS)
    world.wait_leader("ap1")


def better_member_returns(world: World) -> None:
    back(world, "ap1")


def two_start_at_once(world: World) -> None:
    world.begin("ap1")
    world.begin("ap2")
    for name in ("ap1", "ap2"):
        world.processes[name].wait_ready()
    world.wait_leader("ap1")


def rolling_restart(world: World) -> None:
    for name in INSTANCES:
        assert world.stop(name) == 0
        world.begin(name).wait_ready()
        world.let_pass(1)
    world.wait_leader("ap1")


def storage_away(world: World) -> None:
    with world.away("storage"):
        world.let_pass(3 * SESSION_SECONDS)
    world.wait_leader("ap1")


def directory_away(world: World) -> None:
    with world.away("directory"):
        world.let_pass(3 * SESSION_SECONDS)
    world.wait_leader("ap1")


def directory_away_at_start(world: World) -> None:
    with world.away("directory"):
        assert world.stop("ap1") == 0
        world.begin("ap1").wait_ready()
        world.let_pass(SESSION_SECONDS)
    world.wait_leader("ap1")


def disk_full(world: World) -> None:
    for name in INSTANCES:
        world.fill_disk(name)
    (world.site.root / "directory" / "a.example.com" / "sipusers" / "10000.yml").touch()
    world.let_pass(SESSION_SECONDS)
    assert world.stop("ap1") == 0
    back(world, "ap1")
    for name in INSTANCES:
        world.empty_disk(name)
    world.let_pass(SESSION_SECONDS)


def clock_set_forward(world: World) -> None:
    world.set_clock(3600)
    world.let_pass(3 * SESSION_SECONDS)
    world.set_clock(0)
    world.let_pass(SESSION_SECONDS)


def back(world: World, name: str) -> None:
    """Start an instance again and wait until it leads, if it is the first in order."""
    world.begin(name).wait_ready()
    world.wait_leader("ap1")


FAULTS: Mapping[str, Fault] = {
    "killed": Fault("kill -9 of the leader", killed),
    "frozen": Fault("leader frozen for three session timeouts", frozen),
    "stopped": Fault("leader stopped in good order", stopped, CLEAN_GAP),
    "cut-zookeeper": Fault("leader cut from ZooKeeper", cut_from_zookeeper),
    "cut-instances": Fault("leader cut from the other instances", cut_from_instances, CLEAN_GAP),
    "cut-all": Fault("leader cut from everything", cut_from_everything),
    "zookeeper-server": Fault("each ZooKeeper server killed in turn", zookeeper_server_killed, 2.0),
    "quorum": Fault("quorum lost for 60 s", quorum_lost),
    "emptied": Fault("all of ZooKeeper restarted empty", zookeeper_emptied),
    "session": Fault("session of the leader ended by force", session_ended),
    "returns": Fault("a better member returns", better_member_returns, CLEAN_GAP),
    "two-start": Fault("two members start at the same instant", two_start_at_once, CLEAN_GAP),
    "rolling": Fault("rolling restart of all instances", rolling_restart, CLEAN_GAP),
    "storage": Fault("storage unmounted", storage_away, CLEAN_GAP),
    "directory": Fault("directory gone at run time", directory_away, CLEAN_GAP),
    "directory-start": Fault("directory gone at start", directory_away_at_start, CLEAN_GAP),
    "disk": Fault("disks of all instances full", disk_full, CLEAN_GAP),
    "clock": Fault("clock set forward an hour, and back", clock_set_forward, CLEAN_GAP),
}
BEFORE: Mapping[str, Callable[[World], None]] = {
    "returns": lambda world: _without(world, "ap1"),
    "two-start": lambda world: _without(world, "ap1", "ap2"),
}


def _without(world: World, *names: str) -> None:
    for name in names:
        world.stop(name)
    world.wait_leader(*(name for name in INSTANCES if name not in names))


def session_password(session: int) -> bytes:
    """The password of a session: 16 bytes of Java's generator, begun with the id."""
    state = (session ^ SUPER_SECRET ^ 0x5DEECE66D) & ((1 << 48) - 1)
    words = []
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        words.append(state >> 16)
    return struct.pack("<4I", *words)


def run(world: World, name: str) -> Verdict:
    """One fault, from the state in which the first instance leads to the same state."""
    world.wait_leader("ap1")
    if name in BEFORE:
        BEFORE[name](world)
    world.let_pass(1 + random.random())
    began = time.monotonic()
    FAULTS[name].do(world)
    world.let_pass(PATIENCE + 1)
    by_address = {address: instance for instance, address in world.addresses.items()}
    return judge(world.events(), began, time.monotonic(), by_address)


def failures(name: str, found: Verdict, busy_seconds: float = 0.0) -> list[str]:
    """What of the figures misses its target. Where phones themselves were late, the machine was busy, and
    that much is not held against the instances, nor are ``busy_seconds``.
    """
    checks = (
        (found.lost, 0, "files lost"),
        (found.unanswered, found.subscribes * FEW, "SUBSCRIBEs without an answer"),
        (found.gap, FAULTS[name].gap + found.late + busy_seconds, "seconds without a PnP answer"),
        (found.notifies, 1, "NOTIFYs for one SUBSCRIBE"),
        (found.leaders, 1, "acting leaders at one time"),
    )
    return [f"{words}: {figure:g}, at most {most:g}" for figure, most, words in checks if figure > most]


HEADER = (
    "fault",
    "files",
    "lost",
    "retried",
    "SUBSCRIBEs",
    "unanswered",
    "gap s",
    "NOTIFYs",
    "leaders",
    "late s",
    "who answered",
)


def row(name: str, found: Verdict) -> tuple[str, ...]:
    """A line of the table."""
    return (
        FAULTS[name].words,
        str(found.files),
        str(found.lost),
        str(found.retried),
        str(found.subscribes),
        str(found.unanswered),
        f"{found.gap:.2f}",
        str(found.notifies),
        str(found.leaders),
        f"{found.late:.2f}",
        " > ".join(found.moves),
    )


def table(rows: list[tuple[str, ...]]) -> str:
    lines = [HEADER, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(FAULTS), help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--keep", type=Path, help="folder for logs and events; a temporary one if absent")
    options = parser.parse_args()
    if why := why_not():
        print(f"cannot run here: {why}", file=sys.stderr)
        return 2
    rows, missed = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        world = World(folder, shift=build_shift(folder))
        try:
            world.start()
            for name in options.only.split(","):
                if name == "clock" and not world.can_set_clocks:
                    print("no C compiler: clocks are not set", file=sys.stderr)
                    continue
                found = run(world, name)
                rows.append(row(name, found))
                print(rows[-1], file=sys.stderr)
                missed += [f"{FAULTS[name].words}: {failure}" for failure in failures(name, found)]
                missed += [f"    {loss}" for loss in found.losses]
        finally:
            world.close()
    print(table(rows))
    for line in missed:
        print(line)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
