"""Structured logs and the journal's file, rendered and written by threads of their own.

Owns the set-up of structlog and the writing: the event loop hands over what is to be said and goes on; a
thread renders and writes it, many lines at a time. A reader that stalls (a full disk, a stuck pipe) never
blocks the loop; what it cannot take is counted and dropped. Fields that name a secret are masked here too,
so that a careless caller leaks nothing.
"""

from __future__ import annotations

import datetime
import functools
import json
import logging
import logging.handlers
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import structlog
from twisted import logger as twisted_logger
from zope.interface import implementer

from era_ap.journal import Record
from era_ap.masking import is_secret, mask

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from pathlib import Path

LINES_WAITING = 20_000
LINES_AT_ONCE = 1_000
GATHERING_SECONDS = 0.02
JOURNAL_BYTES = 16 * 1024 * 1024
JOURNAL_FILES = 4
CLOSE_SECONDS = 1.0

Said = TypeVar("Said")
Event = dict[str, Any]
_is_secret = functools.lru_cache(256)(is_secret)  # the keys of log lines are few
_TO_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode


class Writer(Generic[Said]):
    """A thread that turns what is ``put`` into lines with ``render`` and gives them to one handler.

    It gathers for a moment before it writes: waking up for each line would cost the loop more than the line.
    """

    def __init__(
        self, name: str, handler: logging.Handler, render: Callable[[Said], str], waiting: int = LINES_WAITING
    ) -> None:
        self.dropped = 0
        self._waiting = waiting
        self._handler = handler
        self._render = render
        self._said: queue.SimpleQueue[Said | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, said: Said) -> None:
        """Have ``said`` written; never blocks. If the thread is too far behind, it is counted as lost."""
        if self._said.qsize() < self._waiting:
            self._said.put(said)
        else:
            self.dropped += 1

    @property
    def is_alive(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Write what is waiting and end; what a stuck handler could not write by then is lost."""
        self._said.put(None)
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._handler.close()

    def _work(self) -> None:
        ended = False
        while not ended:
            batch = [self._said.get()]
            time.sleep(GATHERING_SECONDS)
            while len(batch) < LINES_AT_ONCE and not self._said.empty():
                batch.append(self._said.get())
            lines = [self._line(said) for said in batch if said is not None]
            ended = len(lines) < len(batch)
            if lines:
                self._handler.handle(logging.makeLogRecord({"msg": "\n".join(lines)}))

    def _line(self, said: Said) -> str:
        try:
            return self._render(said)
        except Exception as error:  # noqa: BLE001, RUF100 - one line that cannot be rendered is not the end of all
            return f"a line could not be rendered: {type(error).__name__}"


class Logs:
    """The daemon's log on standard error, ``json`` or ``console``; ``auto`` is console on a terminal."""

    def __init__(self, form: str = "auto", level: str = "info") -> None:
        console = form == "console" or (form == "auto" and sys.stderr.isatty())
        render = _console() if console else _json
        self._writer = Writer("log", logging.StreamHandler(sys.stderr), render)
        lines = _Lines(self._writer)
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                _stamp,
                structlog.processors.format_exc_info,
                lambda _log, _method, event: ((event,), {}),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=lambda *_: lines,
            cache_logger_on_first_use=False,
        )
        self.log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        twisted_logger.globalLogBeginner.beginLoggingTo(
            [_Forward(self.log)],  # type: ignore[list-item]  # mypy does not follow implementer
            redirectStandardIO=False,
        )

    @property
    def dropped(self) -> int:
        """Lines that could not be written because the reader of the log is behind."""
        return self._writer.dropped

    def is_alive(self) -> bool:
        """Whether what is said still gets written."""
        return self._writer.is_alive

    def close(self) -> None:
        """Write what is waiting and end the thread."""
        self._writer.close()


class JournalFile:
    """The journal as JSON lines in a file of limited size; older parts are kept as ``.1`` to ``.4``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=JOURNAL_BYTES, backupCount=JOURNAL_FILES, encoding="utf-8", delay=False
        )
        path.chmod(0o600)
        self._writer: Writer[Record] = Writer("journal", handler, _journal_line)

    def write(self, record: Record) -> None:
        """Append one record; never blocks."""
        self._writer.put(record)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._writer.close()


class _Lines:
    """What structlog calls at the end of its chain, whatever the level: everything goes to the thread."""

    def __init__(self, writer: Writer[Event]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = writer.put


def _stamp(_log: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["timestamp"] = time.time()
    return event


def _json(event: Event) -> str:
    return _TO_JSON(_finished(event))


def _console() -> Callable[[Event], str]:
    renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return lambda event: str(renderer(None, "", _finished(event)))


def _journal_line(record: Record) -> str:
    return _TO_JSON({"at": round(record.at, 3), **record.fields()})


def _finished(event: Event) -> Event:
    """What was left to the thread: secrets, the time as text, the fields of a ``record``."""
    for key, value in event.items():
        if isinstance(value, str) and _is_secret(key):
            event[key] = mask(value)
    at = datetime.datetime.fromtimestamp(event["timestamp"], datetime.UTC)
    event["timestamp"] = at.isoformat().replace("+00:00", "Z")
    record = event.pop("record", None)
    return event | record.fields() if isinstance(record, Record) else event


@implementer(twisted_logger.ILogObserver)
class _Forward:
    """Twisted's own messages: failures nobody handled are errors of ours, the rest is for debugging."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        self._log = log

    def __call__(self, event: dict[str, Any]) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self._log.error("failure", detail=failure.getErrorMessage(), traceback=failure.getTraceback())
        else:
            self._log.debug("twisted", detail=twisted_logger.formatEvent(event))
