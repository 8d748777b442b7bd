"""Logs and the journal's file: masked, in order, and never in the way."""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from era_ap.errors import Reason
from era_ap.journal import Record
from era_ap.logs import JOURNAL_FILES, JournalFile, Writer
from era_ap.provisioning.request import Subject

LOG_ONE_LINE = """
import sys
from era_ap.logs import Logs
logs = Logs(sys.argv[1], "info")
logs.log.info("hello", password="s3cret", file="a.cfg")
logs.log.debug("not this one")
logs.close()
"""


LOG_SERVED = """
import sys
from era_ap.errors import Reason
from era_ap.journal import Record
from era_ap.logs import Logs
from era_ap.provisioning.request import Subject
subject = Subject(mac="001122334455", file="a.cfg")
record = Record(1700000000.25, "tftp", "192.0.2.7", Reason.RENDERED, subject)
form, level = sys.argv[1].split(",")
logs = Logs(form, level, role="ap1")
logs.log.info("request", record=record)
logs.served(record)
logs.close()
"""


HOSTILE = "a\x1b[31m\x9b\u202e\u2028\udcff\n.cfg"
LOG_HOSTILE = f"""
import sys
from era_ap.logs import Logs
logs = Logs(sys.argv[1], "info")
logs.log.warning("hello", file={HOSTILE!a})
try:
    raise ValueError({HOSTILE!a})
except ValueError as error:
    logs.log.error("defect", exc_info=error)
logs.close()
"""


def lines_of(program: str, form: str) -> list[str]:
    """What ``program`` writes to standard error."""
    ran = subprocess.run([sys.executable, "-c", program, form], capture_output=True, text=True, check=True)
    return ran.stderr.split("\n")[:-1]


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_log_line_is_json_with_its_secrets_masked() -> None:
    (line,) = lines_of(LOG_ONE_LINE, "json")
    entry = json.loads(line)
    assert entry["event"] == "hello"
    assert entry["file"] == "a.cfg"
    assert entry["level"] == "info"
    assert "s3cret" not in line


def test_a_served_request_is_told_as_structlog_would() -> None:
    slow, fast = map(json.loads, lines_of(LOG_SERVED, "json,info"))
    assert fast.pop("timestamp") == "2023-11-14T22:13:20.250000Z"
    assert slow.pop("timestamp").endswith("Z")
    assert fast == slow
    assert fast["role"] == "ap1"
    assert fast["mac"] == "001122334455"
    assert lines_of(LOG_SERVED, "json,warning") == []
    assert all("001122334455" in line for line in lines_of(LOG_SERVED, "console,info"))


def test_what_a_phone_asks_for_does_not_move_the_cursor_of_who_reads_the_log() -> None:
    as_json, console = lines_of(LOG_HOSTILE, "json"), lines_of(LOG_HOSTILE, "console")
    assert [json.loads(line)["event"] for line in as_json] == ["hello", "defect"]
    assert json.loads(as_json[0])["file"] == HOSTILE
    assert all(line.isprintable() for line in (*as_json, *console))
    assert any("ValueError" in line for line in console)
    assert "file='a\\\\u001b[31m" in console[0] or "file=a\\u001b[31m" in console[0]


def test_systemd_s_journal_is_told_the_priority_of_each_line(tmp_path: Path) -> None:
    for form in ("json", "console"):
        with (tmp_path / form).open("wb") as file:
            about = os.fstat(file.fileno())
            environ = os.environ | {"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}
            command = [sys.executable, "-c", LOG_HOSTILE, form]
            subprocess.run(command, stderr=file, env=environ, check=True)
        first, *rest = (tmp_path / form).read_text().splitlines()
        assert first.startswith("<4>")
        assert rest
        assert all(line.startswith("<3>") for line in rest)


def test_somebody_else_s_stream_is_not_the_journal() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOG_ONE_LINE, "json"],
        capture_output=True, text=True, env=os.environ | {"JOURNAL_STREAM": "1:2"}, check=True,
    )  # fmt: skip
    assert ran.stderr.startswith("{")


class Said:
    """A log that keeps what is said; ``wait`` for the next."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.log: structlog.typing.FilteringBoundLogger = self  # type: ignore[assignment]

    def error(self, event: str, **_: object) -> None:
        self._said.put(event)

    info = error

    def wait(self) -> str:
        return self._said.get(timeout=10)


def record(number: int) -> Record:
    return Record(float(number), "tftp", "192.0.2.7", Reason.RENDERED, Subject(mac=f"{number:012x}"))


def test_the_journal_is_readable_by_its_owner_only_and_keeps_the_order(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.log"
    journal = JournalFile(path, Said().log)
    for number in range(100):
        journal.write(record(number))
    journal.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["at"] for line in path.read_text().splitlines()] == list(range(100))


def test_the_journal_is_continued_after_a_restart(tmp_path: Path) -> None:
    for number in range(2):
        journal = JournalFile(tmp_path / "journal.log", Said().log)
        journal.write(record(number))
        journal.close()
    assert len((tmp_path / "journal.log").read_text().splitlines()) == 2


def test_a_journal_that_cannot_be_written_is_told_once_counted_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "not yet" / "journal.log"
    path.parent.write_text("a file, no folder")
    said = Said()
    journal = JournalFile(path, said.log)
    journal.write(record(1))
    assert said.wait() == "journal not written"
    assert journal.dropped == 1
    path.parent.unlink()
    journal.write(record(2))
    assert said.wait() == "journal is written again"
    journal.close()
    assert [json.loads(line)["at"] for line in path.read_text().splitlines()] == [2.0]
    assert journal.dropped == 1


def test_a_journal_that_somebody_moves_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    journal = JournalFile(path, Said().log)
    for number in range(3):
        journal.write(record(number))
        wait_for(path.exists)
        path.rename(tmp_path / f"old{number}")
    journal.close()
    kept = [json.loads((tmp_path / f"old{number}").read_text())["at"] for number in range(3)]
    assert kept == [0.0, 1.0, 2.0]


def test_older_parts_of_the_journal_are_for_their_owner_only_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("era_ap.logs.JOURNAL_BYTES", 1000)
    monkeypatch.setattr("era_ap.logs.LINES_AT_ONCE", 1)
    monkeypatch.setattr("era_ap.logs.GATHERING_SECONDS", 0.0)
    journal = JournalFile(tmp_path / "journal", Said().log)
    for number in range(100):
        journal.write(record(number))
    journal.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["journal", *(f"journal.{number}" for number in range(1, JOURNAL_FILES + 1))]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_reader_that_is_stuck_costs_lines_and_never_the_caller() -> None:
    stuck = threading.Event()

    class Stuck(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            assert stuck.wait(10)

    writer: Writer[str] = Writer("test", Stuck(), str, waiting=10)
    for _ in range(50):
        writer.put("line")
    assert writer.dropped >= 39
    stuck.set()
    writer.close()
