"""Where a transfer's octets come from and go to when that takes time: files read in pieces, uploads.

Owns the bridge from promises and worker threads to a machine's verbs, and what a failure there is called.
Nothing here blocks: pieces come as awaitables, the sink's work is done by the runner that is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred

from era_ap.errors import Reason, Refused
from era_ap.tftp.machine import Finished, ReadPiece, Received
from era_ap.tftp.transfer import ReadTransfer
from era_ap.tftp.upload import WriteTransfer

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from era_ap.provisioning.request import Stream
    from era_ap.tftp.machine import Event
    from era_ap.tftp.server.contract import OnError
    from era_ap.tftp.server.sessions import Session
    from era_ap.tftp.server.uploads import Upload

T = TypeVar("T")
Runner = Callable[[Callable[[], None]], "Deferred[None]"]
"""Runs a blocking function elsewhere."""


def promise(value: Awaitable[T]) -> Deferred[T]:
    """The Deferred of an awaitable: Deferred, coroutine (that awaits Deferreds) or asyncio future."""
    if isinstance(value, Deferred):
        return value
    if asyncio.isfuture(value):
        return Deferred.fromFuture(value)
    if isinstance(value, Coroutine):
        return ensureDeferred(value)
    return ensureDeferred(_wait_for(value))


async def _wait_for(value: Awaitable[T]) -> T:
    return await value


class FileFeeder:
    """Reads a ``Stream`` piece by piece for a read transfer."""

    def __init__(self, stream: Stream, clock: Callable[[], float], on_error: OnError) -> None:
        self._stream = stream
        self._clock = clock
        self._on_error = on_error

    def feed(self, session: Session, event: Event, now: float) -> None:
        """The machine wants a piece."""
        if not isinstance(event, ReadPiece):
            return
        try:
            piece = self._stream.read(event.offset, event.length)
            if isinstance(piece, bytes):
                self._give(piece, session, now)
            else:
                promise(piece).addCallback(self._arrived, session).addErrback(self._failed, session)
        except Exception as error:  # noqa: BLE001, RUF100 - whatever the storage's code raises, the transfer ends
            self._refuse(error, session)

    def close(self, finished: Finished) -> None:
        """The transfer is over."""
        self._stream.close()

    def _arrived(self, piece: bytes, session: Session) -> None:
        self._give(piece, session, self._clock())

    def _failed(self, failure: Failure, session: Session) -> None:
        self._refuse(cause(failure), session)

    def _give(self, piece: bytes, session: Session, now: float) -> None:
        if isinstance(session.machine, ReadTransfer):
            session.machine.receive_piece(piece, now)
            session.flush(now)

    def _refuse(self, error: BaseException, session: Session) -> None:
        fail(error, session, self._clock(), self._on_error)


class SinkFeeder:
    """Writes an upload, one write at a time, and acknowledges the last block when the file has its name."""

    def __init__(self, upload: Upload, run: Runner, clock: Callable[[], float], on_error: OnError) -> None:
        self._upload = upload
        self._run = run
        self._clock = clock
        self._on_error = on_error
        self._pending: list[bytes] = []
        self._writing = False
        self._last = False
        self._over = False

    def feed(self, session: Session, event: Event, now: float) -> None:
        """The machine received octets."""
        if isinstance(event, Received):
            self._pending.append(event.data)
            self._last = event.last
            self._write(session)

    def close(self, finished: Finished) -> None:
        """The transfer is over; what is not stored by now leaves nothing behind."""
        self._over = True
        if finished.reason is not Reason.UPLOADED and not self._writing:
            self._run(self._upload.abort).addErrback(self._report)

    def _write(self, session: Session) -> None:
        if self._writing or not (self._pending or self._last):
            return
        data = b"".join(self._pending)
        last = self._last
        self._pending = []
        self._writing = True

        def work() -> None:
            self._upload.write(data)
            if last:
                self._upload.commit()

        done = self._run(work)
        done.addCallback(self._written, session, last).addErrback(self._failed, session)
        done.addErrback(self._report)

    def _written(self, _: Any, session: Session, last: bool) -> None:
        self._writing = False
        now = self._clock()
        if last:
            if isinstance(session.machine, WriteTransfer):
                session.machine.stored(now)
                session.flush(now)
        elif self._over:
            self._run(self._upload.abort)
        else:
            self._write(session)

    def _failed(self, failure: Failure, session: Session) -> None:
        self._writing = False
        self._last = False
        fail(cause(failure), session, self._clock(), self._on_error)
        self._run(self._upload.abort).addErrback(self._report)

    def _report(self, failure: Failure) -> None:
        self._on_error(cause(failure))


def cause(failure: Failure) -> BaseException:
    """The exception inside a failure."""
    return failure.value or RuntimeError(str(failure))


def fail(error: BaseException, session: Session, now: float, on_error: OnError) -> None:
    """End a transfer because of ``error``: with its Reason, else as an internal error that is reported."""
    if isinstance(error, Refused):
        session.machine.fail(error.reason)
    else:
        on_error(error)
        session.machine.fail(Reason.INTERNAL)
    session.flush(now)
