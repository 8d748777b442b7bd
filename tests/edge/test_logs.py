"""Logs and the journal's file: masked, in order, and never in the way."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

from era_ap.errors import Reason
from era_ap.journal import Record
from era_ap.logs import JournalFile, Writer
from era_ap.provisioning.request import Subject

LOG_ONE_LINE = """
from era_ap.logs import Logs
logs = Logs("json", "info")
logs.log.info("hello", password="s3cret", file="a.cfg")
logs.log.debug("not this one")
logs.close()
"""


def test_a_log_line_is_json_with_its_secrets_masked() -> None:
    ran = subprocess.run([sys.executable, "-c", LOG_ONE_LINE], capture_output=True, text=True, check=True)
    (line,) = ran.stderr.splitlines()
    entry = json.loads(line)
    assert entry["event"] == "hello"
    assert entry["file"] == "a.cfg"
    assert entry["level"] == "info"
    assert "s3cret" not in line


def record(number: int) -> Record:
    return Record(float(number), "tftp", "192.0.2.7", Reason.RENDERED, Subject(mac=f"{number:012x}"))


def test_the_journal_is_readable_by_its_owner_only_and_keeps_the_order(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.log"
    journal = JournalFile(path)
    for number in range(100):
        journal.write(record(number))
    journal.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["at"] for line in path.read_text().splitlines()] == list(range(100))


def test_the_journal_is_continued_after_a_restart(tmp_path: Path) -> None:
    for number in range(2):
        journal = JournalFile(tmp_path / "journal.log")
        journal.write(record(number))
        journal.close()
    assert len((tmp_path / "journal.log").read_text().splitlines()) == 2


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
