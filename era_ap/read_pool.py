"""Threads for reads that the storage may hold up for long (reliability: a stalled read cannot be cancelled).

Owns a fixed number of threads that never keep the process from ending, a bounded queue, and the notion of a
stall: while every thread is held up, new reads are refused at once instead of waiting in line.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from era_ap.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Result = TypeVar("Result")


class ReadPool:
    """Runs blocking reads; ``clock`` is monotonic, in seconds. Call from any thread."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        threads: int = 4,
        waiting: int = 256,
        stalled_seconds: float = 1.5,
    ) -> None:
        self._clock = clock
        self._stalled_seconds = stalled_seconds
        self._waiting = waiting
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._busy_since: list[float | None] = [None] * threads
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"storage-{number}", daemon=True)
            for number in range(threads)
        ]
        self._started = False
        self._lock = threading.Lock()

    def submit(self, read: Callable[[], Result]) -> Future[Result]:
        """Run ``read`` in a thread; fails at once with ``Refused`` (STORAGE_BUSY) during a stall."""
        future: Future[Result] = Future()
        if self.is_stalled or self._jobs.qsize() >= self._waiting:
            future.set_exception(
                Refused(Reason.STORAGE_BUSY, "all reading threads are held up by the storage")
            )
            return future
        self._start()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(read())
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(job)
        return future

    @property
    def is_stalled(self) -> bool:
        """Whether every thread has been in one read for too long."""
        late = self._clock() - self._stalled_seconds
        return all(since is not None and since < late for since in self._busy_since)

    @property
    def threads(self) -> int:
        """Threads there are, or will be with the first read."""
        return len(self._threads)

    @property
    def busy(self) -> int:
        """Threads that are in a read."""
        return sum(since is not None for since in self._busy_since)

    @property
    def waiting(self) -> int:
        """Reads that wait for a thread."""
        return self._jobs.qsize()

    def close(self) -> None:
        """End the threads when they are idle; one that is held up ends with the process."""
        for _ in self._threads:
            self._jobs.put(None)

    def _start(self) -> None:
        with self._lock:
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()

    def _work(self, number: int) -> None:
        while (job := self._jobs.get()) is not None:
            self._busy_since[number] = self._clock()
            job()
            self._busy_since[number] = None


class ByteCache:
    """Bytes by key, the least recently used go first; ``limit`` in bytes. Safe to call from any thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> bytes | None:
        """The bytes kept under ``key``, now the most recently used."""
        with self._lock:
            data = self._held.get(key)
            if data is not None:
                self._held.move_to_end(key)
            return data

    def put(self, key: Hashable, data: bytes) -> None:
        """Keep ``data``, at the cost of what was not used for long."""
        with self._lock:
            self._size += len(data) - len(self._held.pop(key, b""))
            self._held[key] = data
            while self._size > self._limit:
                self._size -= len(self._held.popitem(last=False)[1])

    @property
    def size(self) -> int:
        """Bytes kept."""
        return self._size
