"""What becomes of a daemon that hangs: its watchdog starves, and it is started anew (H4)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Site
from tests.functional.supervisor import Start, Supervisor

pytestmark = pytest.mark.functional

HANG = "import signal, time; signal.signal(signal.SIGUSR1, lambda *_: time.sleep(15))"


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Start]:
    made: list[Supervisor] = []

    def start(config: Path, *, before: str = "pass", watchdog: float | None = None) -> Supervisor:
        code = f"{before}\nfrom era_ap.cli import main\nmain()"
        command = [sys.executable, "-c", code, "run", "ap1", "-c", str(config)]
        made.append(Supervisor(command, tmp_path, watchdog=watchdog))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_a_frozen_daemon_is_killed_and_started_anew(site: Site, supervise: Start) -> None:
    supervisor = supervise(site.config, watchdog=2.0)
    supervisor.wait("WATCHDOG=1", 2)
    supervisor.process.send_signal(signal.SIGSTOP)
    bitten = supervisor.wait("SIGABRT")
    killed = supervisor.wait("SIGKILL")  # a stopped process does not hear SIGABRT
    assert 1.5 < killed - bitten < 5
    supervisor.wait("READY=1", 2)
    supervisor.wait("WATCHDOG=1", 4)


def test_a_loop_blocked_for_15_seconds_leads_to_a_restart(site: Site, supervise: Start) -> None:
    supervisor = supervise(site.config, before=HANG)
    supervisor.wait("WATCHDOG=1")
    supervisor.process.send_signal(signal.SIGUSR1)
    bitten = supervisor.wait("SIGABRT")
    fed = max(at for at, what in supervisor.events if what in ("READY=1", "WATCHDOG=1") and at < bitten)
    assert 9.5 < bitten - fed < 14
    supervisor.wait(f"exit {-signal.SIGABRT}")
    supervisor.wait("READY=1", 2)


def test_a_daemon_that_only_has_much_to_wait_for_is_left_alone(site: Site, supervise: Start) -> None:
    site.configure(storage="nowhere", directory="yaml:nowhere")
    supervisor = supervise(site.config, watchdog=2.0)
    supervisor.wait("WATCHDOG=1", 4)
    assert "SIGABRT" not in {what for _, what in supervisor.events}
