"""Structured logs and the journal's file, written by a thread of their own.

Owns the set-up of structlog and the writing: a reader that stalls (a full disk, a stuck pipe) never blocks
the event loop; lines it cannot take are counted and dropped. Fields that name a secret are masked here too,
so that a careless caller leaks nothing.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import sys
from typing import TYPE_CHECKING, Any

import structlog
from twisted import logger as twisted_logger
from zope.interface import implementer

from era_ap.masking import is_secret, mask

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from pathlib import Path

    from era_ap.journal import Record

LINES_WAITING = 20_000
JOURNAL_BYTES = 16 * 1024 * 1024
JOURNAL_FILES = 4
CLOSE_SECONDS = 1.0


class _DroppingQueueHandler(logging.handlers.QueueHandler):
    """Hands lines to the writing thread; when it is behind, drops and counts them."""

    def __init__(self, waiting: queue.Queue[Any]) -> None:
        super().__init__(waiting)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # the line is rendered already, and the queue stays inside this process

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Listener(logging.handlers.QueueListener):
    """Ends even if the handler is stuck: what it could not write by then is lost, the process is not."""

    def __init__(self, lines: queue.Queue[Any], handler: logging.Handler) -> None:
        super().__init__(lines, handler)
        self._lines = lines

    def stop(self) -> None:
        try:
            self._lines.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)


class _Writer:
    """A logger whose lines a thread writes to one handler."""

    def __init__(self, name: str, handler: logging.Handler, waiting: int = LINES_WAITING) -> None:
        lines: queue.Queue[Any] = queue.Queue(waiting)
        self._hand_over = _DroppingQueueHandler(lines)
        self._listener = _Listener(lines, handler)
        self._handler = handler
        self.log = logging.Logger(name)  # not from the registry of loggers: nothing outside can reach it
        self.log.addHandler(self._hand_over)
        self._listener.start()

    @property
    def dropped(self) -> int:
        return self._hand_over.dropped

    def close(self) -> None:
        self._listener.stop()
        self._handler.close()


class Logs:
    """The daemon's log on standard error, ``json`` or ``console``; ``auto`` is console on a terminal."""

    def __init__(self, form: str = "auto", level: str = "info") -> None:
        handler = logging.StreamHandler(sys.stderr)
        self._writer = _Writer("era_ap", handler)
        console = form == "console" or (form == "auto" and sys.stderr.isatty())
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _mask_secrets,
                structlog.processors.format_exc_info,
                structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
                if console
                else structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=lambda *_: self._writer.log,
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
        self._writer = _Writer("era_ap.journal", handler)

    def write(self, record: Record) -> None:
        """Append one record; never blocks."""
        fields = {"at": round(record.at, 3), **record.fields()}
        self._writer.log.info("%s", json.dumps(fields, ensure_ascii=False, default=str))

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._writer.close()


def _mask_secrets(_log: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and is_secret(key):
            event[key] = mask(value)
    return event


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
