"""A real file system that hangs (B1), and one that is changed from elsewhere (B6)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from era_ap.errors import Reason
from era_ap.static_files import StaticFiles
from era_ap.store import Store

pytest.importorskip("mfusepy")

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="needs /dev/fuse"),
]


class Mount:
    """The storage as it is (``source``), as it is seen (``point``), and the switch that stalls it."""

    def __init__(self, folder: Path) -> None:
        self.source, self.point, self.switch = (folder / name for name in ("source", "mount", "stall"))
        for name in ("templates", "constants", "configs"):
            (self.source / name).mkdir(parents=True)
        self.point.mkdir()
        self._process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("stalling_mount.py")),
                *map(str, (self.source, self.point, self.switch)),
            ],
            stderr=subprocess.DEVNULL,
        )

    def is_there(self) -> bool:
        return os.path.ismount(self.point)

    def close(self) -> None:
        self.switch.unlink(missing_ok=True)
        subprocess.run(["fusermount3", "-u", "-z", str(self.point)], check=False)
        self._process.terminate()
        self._process.wait(10)


def wait_until(holds, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(holds())


@pytest.fixture
def mount(tmp_path):
    mount = Mount(tmp_path)
    if not wait_until(mount.is_there, 10):
        mount.close()
        pytest.skip("FUSE cannot be mounted here")
    yield mount
    mount.close()


class Watcher:
    """Looks at the storage every 0.1 s in a thread of its own, as the daemon does."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root, "msk1", settle_seconds=0.05)
        self.catalogue = self.store.scan()
        self.looks = 0
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self.catalogue = self.store.scan() or self.catalogue
            self.looks += 1

    def close(self) -> None:
        self._ended.set()


def test_a_stalled_storage_holds_up_nothing_but_the_threads_that_read_it(mount):
    (mount.source / "templates" / "T").write_text("old")
    for name in ("cached", *"abcdefgh"):
        (mount.source / "configs" / name).write_text(name)
    watcher = Watcher(mount.point)
    files = StaticFiles(mount.point)
    static = watcher.catalogue.static
    assert files.open(static("cached")).result(10).data == b"cached"
    threads = threading.active_count()
    mount.switch.touch()
    begin = time.monotonic()
    hanging = [files.open(static(name)) for name in "abcd"]
    assert wait_until(lambda: refused_at_once(files.open(static("h"))), 3)
    for _ in range(1000):
        assert files.open(static("cached")).data == b"cached"
        assert watcher.catalogue.template("T").text == "old"
        assert refused_at_once(files.open(static("g")))
    assert time.monotonic() - begin < 5
    assert threading.active_count() <= threads
    assert not any(promise.done() for promise in hanging)
    (mount.source / "templates" / "T").write_text("changed meanwhile")
    stalled_at = watcher.looks
    mount.switch.unlink()
    assert [promise.result(5).data for promise in hanging] == [b"a", b"b", b"c", b"d"]
    assert wait_until(lambda: watcher.catalogue.template("T").text == "changed meanwhile", 5)
    assert watcher.looks > stalled_at
    assert files.open(static("g")).result(5).data == b"g"
    watcher.close()
    files.close()


def refused_at_once(found) -> bool:
    return isinstance(found, Future) and found.done() and found.exception().reason is Reason.STORAGE_BUSY


def test_a_change_on_another_machine_is_seen(mount):
    (mount.source / "templates" / "T").write_text("old")
    watcher = Watcher(mount.point)
    (mount.source / "templates" / "T").write_text("changed in place")
    assert wait_until(lambda: watcher.catalogue.template("T").text == "changed in place", 5)
    (mount.source / "templates" / "T.new").write_text("renamed over")
    (mount.source / "templates" / "T.new").rename(mount.source / "templates" / "T")
    assert wait_until(lambda: watcher.catalogue.template("T").text == "renamed over", 5)
    watcher.close()


def test_a_mount_that_goes_away_leaves_the_last_state(mount):
    (mount.source / "templates" / "T").write_text("here")
    store = Store(mount.point, "msk1", settle_seconds=0.0)
    catalogue = store.scan()
    subprocess.run(["fusermount3", "-u", str(mount.point)], check=True)
    with pytest.raises(Exception) as caught:
        store.scan()
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert catalogue.template("T").text == "here"
