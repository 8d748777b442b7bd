"""Structured logs and the journal's file, rendered and written by threads of their own.

Owns the set-up of structlog and the writing: the event loop hands over what is to be said and goes on; a
thread renders and writes it, many lines at a time. A reader that stalls (a full disk, a stuck pipe) never
blocks the loop; what it does not take is counted and dropped. Fields that name a secret are masked here too,
so that a careless caller leaks nothing, and what does not print is escaped: phones choose the names that
they ask for, and terminals obey what they are shown.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import logging.handlers
import os
import queue
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import structlog
from twisted import logger as twisted_logger
from zope.interface import implementer

from era_ap import systemd
from era_ap.journal import Record, printable
from era_ap.masking import is_secret, mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping, Sequence
    from io import TextIOWrapper

LINES_WAITING = 20_000
LINES_AT_ONCE = 1_000
GATHERING_SECONDS = 0.02
JOURNAL_BYTES = 16 * 1024 * 1024
JOURNAL_FILES = 4
CLOSE_SECONDS = 1.0
PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Of syslog(3), as sd-daemon(3) wants them before a line."""

Said = TypeVar("Said")
Event = dict[str, Any]
Told = Event | Record
"""What the log's thread gets: an event, or the bare record of a request that was served."""
_SERVED: Final = {"event": "request", "level": "info"}
_is_secret = functools.lru_cache(256)(is_secret)  # the keys of log lines are few
_TO_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode


class Writer(Generic[Said]):
    """A thread that turns what is ``put`` into lines with ``render`` and gives them to one handler.

    It gathers for a moment before it writes: waking up for each line would cost the loop more than the line.
    ``on_problem`` is told, in the thread, why the handler fails, and "" when it no longer does.
    """

    def __init__(
        self,
        name: str,
        handler: logging.Handler,
        render: Callable[[Said], str],
        *,
        waiting: int = LINES_WAITING,
        on_problem: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._waiting = waiting
        self._handler = handler
        # Instead of a traceback on standard error:
        handler.handleError = _raise  # type: ignore[assignment, method-assign]
        self._render = render
        self._on_problem = on_problem
        self._problem = ""
        self._left_out = 0
        self._failed = 0
        self._said: deque[Said] = deque()
        self._rests = False
        self._ends = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, said: Said) -> None:
        """Have ``said`` written; never blocks. If the thread is too far behind, it is counted as lost."""
        if len(self._said) >= self._waiting:
            self._left_out += 1
            return
        self._said.append(said)
        if self._rests:
            self._rests = False
            self._wake.put(None)

    @property
    def dropped(self) -> int:
        """Lines that were not written: the thread was too far behind, or the handler failed."""
        return self._left_out + self._failed

    @property
    def is_alive(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Write what is waiting and end; what a stuck handler could not write by then is lost."""
        self._ends = True
        self._wake.put(None)
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._handler.close()

    def _work(self) -> None:
        said = self._said
        while not (self._ends and not said):
            self._rests = True  # before the look: who says something behind it wakes us
            if not (said or self._ends):
                self._wake.get()
            self._rests = False
            time.sleep(GATHERING_SECONDS)
            if said:
                self._write([self._line(said.popleft()) for _ in range(min(len(said), LINES_AT_ONCE))])

    def _write(self, lines: Sequence[str]) -> None:
        problem = ""
        try:
            self._handler.handle(logging.makeLogRecord({"msg": "\n".join(lines)}))
        except (OSError, ValueError) as error:  # a ValueError: the stream was closed under us
            self._failed += len(lines)
            problem = str(error)
        if problem != self._problem:
            self._problem = problem
            self._on_problem(problem)

    def _line(self, said: Said) -> str:
        try:
            return self._render(said)
        except Exception as error:  # noqa: BLE001, RUF100 - one line that cannot be rendered is not the end of all
            return f"a line could not be rendered: {type(error).__name__}"


class Logs:
    """The daemon's log on standard error, ``json`` or ``console``; ``auto`` is console on a terminal.

    Each line has what is ``always`` to be said. ``served`` does what ``log.info("request", record=record)``
    says, at a tenth of its cost: each request has one.
    """

    def __init__(self, form: str = "auto", level: str = "info", **always: str) -> None:
        console = form == "console" or (form == "auto" and sys.stderr.isatty())
        render = (_console if console else _json)(dict(always))
        if systemd.is_journal(sys.stderr.fileno()):
            render = _with_priority(render)
        self._writer: Writer[Told] = Writer("log", logging.StreamHandler(sys.stderr), render)
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
        self.log: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(**always)
        self.served: Callable[[Record], None] = (
            self._writer.put if self.log.is_enabled_for(logging.INFO) else lambda _: None
        )
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
    """The journal as JSON lines in a file of limited size; older parts are kept as ``.1`` to ``.4``.

    A file that cannot be written is no reason not to serve: ``log`` hears of it and it is tried again.
    """

    def __init__(self, path: Path, log: structlog.typing.FilteringBoundLogger) -> None:
        self._path = path
        self._log = log
        self._writer: Writer[Record] = Writer(
            "journal", _Rotating(path), _journal_line, on_problem=self._on_problem
        )

    @property
    def dropped(self) -> int:
        """Records that could not be written."""
        return self._writer.dropped

    def write(self, record: Record) -> None:
        """Append one record; never blocks."""
        self._writer.put(record)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._writer.close()

    def _on_problem(self, problem: str) -> None:
        if problem:
            self._log.error("journal not written", file=str(self._path), detail=problem)
        else:
            self._log.info("journal is written again", file=str(self._path))


class _Rotating(logging.handlers.RotatingFileHandler):
    """Opens its file when there is something to write, for its owner only, and follows who moves it away."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=JOURNAL_BYTES, backupCount=JOURNAL_FILES, encoding="utf-8", delay=True
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Append; to a new file where somebody else has taken the old one away."""
        if self.stream is not None and self._is_gone(self.stream.fileno()):
            self.stream.close()
            self.stream = None  # as the base class does it
        super().emit(record)

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return open(self.baseFilename, "a", encoding="utf-8", opener=_open_private)

    def _is_gone(self, descriptor: int) -> bool:
        try:
            there = Path(self.baseFilename).stat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(descriptor))


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal's files, the oldest first; what is no record is passed over."""
    for number in range(JOURNAL_FILES, -1, -1):
        part = path.with_name(f"{path.name}.{number}") if number else path
        try:
            lines = part.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        with lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    if isinstance(record, dict):
                        yield record


def _open_private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, 0o600)
    with contextlib.suppress(PermissionError):  # somebody else's file that we may write to
        os.fchmod(descriptor, 0o600)
    return descriptor


def _raise(_record: logging.LogRecord) -> None:
    raise  # noqa: PLE0704 - what a handler calls in its except clause


def keep_standard_descriptors() -> None:
    """Give standard input, output and error to /dev/null where a process was started without them.

    Otherwise the next socket gets the number, and what is meant for the log goes to a phone.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives


class _Lines:
    """What structlog calls at the end of its chain, whatever the level: everything goes to the thread."""

    def __init__(self, writer: Writer[Told]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = writer.put


def _stamp(_log: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["timestamp"] = time.time()
    return event


def _json(always: Event) -> Callable[[Told], str]:
    served = _TO_JSON(always | _SERVED)[:-1]

    def render(told: Told) -> str:
        if isinstance(told, Record):
            return f'{served}, "timestamp": "{_time(told.at)}", {told.members()}}}'
        return printable(_TO_JSON(_finished(told)))

    return render


def _console(always: Event) -> Callable[[Told], str]:
    renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())

    def render(told: Told) -> str:
        event = (
            always | _SERVED | {"timestamp": told.at, "record": told} if isinstance(told, Record) else told
        )
        shown = {
            key: printable(value) if isinstance(value, str) else value
            for key, value in _finished(event).items()
        }
        if "exception" in event:  # a traceback is of many lines
            shown["exception"] = "\n".join(map(printable, event["exception"].split("\n")))
        return str(renderer(None, "", shown))

    return render


def _with_priority(render: Callable[[Told], str]) -> Callable[[Told], str]:
    """What the journal of systemd wants: its priority before each line."""

    def prefixed(told: Told) -> str:
        level = "info" if isinstance(told, Record) else told["level"]
        prefix = f"<{PRIORITIES.get(level, PRIORITIES['info'])}>"
        return prefix + render(told).replace("\n", f"\n{prefix}")

    return prefixed


def _journal_line(record: Record) -> str:
    return f'{{"at": {round(record.at, 3)}, {record.members()}}}'


def _finished(event: Event) -> Event:
    """What was left to the thread: secrets, the time as text, the fields of a ``record``."""
    for key, value in event.items():
        if isinstance(value, str) and _is_secret(key):
            event[key] = mask(value)
    event["timestamp"] = _time(event["timestamp"])
    record = event.pop("record", None)
    return event | record.fields() if isinstance(record, Record) else event


def _time(at: float) -> str:
    second = int(at)
    return f"{_second(second)}.{int((at - second) * 1e6):06d}Z"


@functools.lru_cache(8)
def _second(at: int) -> str:
    """Most lines are of the same second as the one before."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


@implementer(twisted_logger.ILogObserver)
class _Forward:
    """Twisted's own messages: failures nobody handled are errors of ours, the rest is for debugging."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        self._log = log

    def __call__(self, event: dict[str, Any]) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self._log.error("failure", detail=failure.getErrorMessage(), exception=failure.getTraceback())
        else:
            self._log.debug("twisted", detail=twisted_logger.formatEvent(event))
