"""Reading threads under a storage that hangs, and the memory for what was read."""

from __future__ import annotations

import threading

import pytest

from era_ap.errors import Reason, Refused
from era_ap.read_pool import ByteCache, ReadPool


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_read_gives_its_result_or_its_error():
    pool = ReadPool(Clock(), threads=2)
    assert pool.submit(lambda: 7).result(5) == 7
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result(5)
    pool.close()


def test_while_all_threads_hang_new_reads_fail_at_once_and_later_work_again():
    clock, release = Clock(), threading.Event()
    entered = threading.Semaphore(0)

    def hang():
        entered.release()
        return release.wait(10)

    pool = ReadPool(clock, threads=2, stalled_seconds=1.5)
    before = set(threading.enumerate())
    hanging = [pool.submit(hang) for _ in range(2)]
    assert entered.acquire(timeout=5)
    assert entered.acquire(timeout=5)
    waiting = pool.submit(lambda: "waited")
    assert (pool.threads, pool.busy, pool.waiting) == (2, 2, 1)
    clock.now = 2.0
    for _ in range(100):
        with pytest.raises(Refused) as caught:
            pool.submit(lambda: "never").result(0)
        assert caught.value.reason is Reason.STORAGE_BUSY
    assert len(set(threading.enumerate()) - before) == 2
    release.set()
    assert all(read.result(5) for read in hanging)
    assert waiting.result(5) == "waited"
    assert pool.submit(lambda: "again").result(5) == "again"
    pool.close()


def test_one_free_thread_is_enough():
    clock, release, entered = Clock(), threading.Event(), threading.Event()
    pool = ReadPool(clock, threads=2, stalled_seconds=1.5)
    hanging = pool.submit(lambda: entered.set() or release.wait(10))
    assert entered.wait(5)
    clock.now = 60.0
    assert pool.submit(lambda: "served").result(5) == "served"
    release.set()
    assert hanging.result(5)
    pool.close()


def test_the_queue_is_bounded():
    release, entered = threading.Event(), threading.Event()
    pool = ReadPool(Clock(), threads=1, waiting=3)
    first = pool.submit(lambda: entered.set() or release.wait(10))
    assert entered.wait(5)
    queued = [pool.submit(lambda: 1) for _ in range(3)]
    with pytest.raises(Refused):
        pool.submit(lambda: 1).result(0)
    release.set()
    assert [read.result(5) for read in (first, *queued)] == [True, 1, 1, 1]
    pool.close()


def test_a_read_that_was_given_up_is_not_done():
    release, entered, done = threading.Event(), threading.Event(), []
    pool = ReadPool(Clock(), threads=1)
    pool.submit(lambda: entered.set() or release.wait(10))
    assert entered.wait(5)
    given_up = pool.submit(lambda: done.append("read"))
    assert given_up.cancel()
    release.set()
    pool.submit(lambda: None).result(5)
    assert done == []
    pool.close()


def test_threads_never_keep_the_process_and_end_when_closed():
    before = set(threading.enumerate())
    pool = ReadPool(Clock(), threads=3)
    pool.submit(lambda: None).result(5)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 3
    assert all(thread.daemon for thread in threads)
    pool.close()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_the_cache_forgets_what_was_not_used_for_longest():
    cache = ByteCache(10)
    cache.put("a", b"aaaa")
    cache.put("b", b"bbbb")
    assert cache.get("a") == b"aaaa"
    cache.put("c", b"cccc")
    assert cache.get("b") is None
    assert (cache.get("a"), cache.get("c"), cache.size) == (b"aaaa", b"cccc", 8)


def test_the_cache_never_holds_more_than_its_limit():
    cache = ByteCache(10)
    cache.put("a", b"aaaa")
    cache.put("a", b"aa")
    assert cache.size == 2
    cache.put("large", b"x" * 11)
    assert cache.size == 0
    assert cache.get("large") is None
