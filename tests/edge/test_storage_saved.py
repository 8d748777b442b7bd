"""The storage in local state and in memory: what was there is served when it is not."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from era_ap import storage_saved
from era_ap.errors import Reason, Refused
from era_ap.health import Looks
from era_ap.provisioning.request import Content
from era_ap.state_file import StateFile
from era_ap.static_files import StaticFiles
from era_ap.storage_saved import HELD_FILE, StorageKeeper
from era_ap.store import Store


def put(root: Path, path: str, content: str | bytes, age: float = 60.0) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    then = time.time() - age
    os.utime(file, (then, then))
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "storage"
    put(root, "templates/T46S.cfg", "user = [sipuser.login]\n")
    put(root, "templates/models.yml", "T46U: {like: T46S}\n")
    put(root, "constants/lab.cfg", "ntp = 192.0.2.1\n")
    put(root, "configs/logo.bmp", b"picture")
    put(root, "configs/empty", b"")
    put(root, "configs/firmware.rom", bytes(HELD_FILE + 1))
    return root


class Instance:
    """The storage side of one process; nothing reads but what is told to."""

    def __init__(self, root: Path, state: Path) -> None:
        self.store = Store(root, "lab", sleep=lambda _: None, settle_seconds=0.0)
        self.statics = StaticFiles(root)
        self.looks = Looks(None)
        self.keeper = StorageKeeper(self.store, self.statics, lambda: self.looks)
        self.file = StateFile(state, "x")
        self.restored = self.keeper.restore(self.file.load())

    def scan(self) -> None:
        self.catalogue = self.store.scan() or (self.restored[0] if self.restored else None)
        self.looks = Looks(time.monotonic())

    async def hold(self) -> None:
        """Scan, and hold what should be held."""
        self.scan()
        assert await self.keeper.hold()

    def save(self, *, everything: bool = False) -> int:
        """Write what changed; how many rows."""
        batch = self.keeper(everything)
        self.file.write(batch)
        return len(batch.rows)

    def close(self) -> None:
        self.file.close()
        self.keeper.close()
        self.statics.close()


def run(root: Path, work: Callable[[Instance], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        instance = Instance(root, root.parent / "state")
        await work(instance)
        instance.close()

    asyncio.run(main())


async def hold_and_save(instance: Instance) -> None:
    await instance.hold()
    instance.save()


def opened(instance: Instance, name: str) -> object:
    catalogue = instance.restored[0] if instance.restored else instance.catalogue
    entry = catalogue.static(name)
    assert entry is not None
    found = instance.statics.open(entry)
    return found.data if isinstance(found, Content) else found


def test_small_files_are_held_and_served_while_the_storage_is_away(root: Path) -> None:
    async def work(instance: Instance) -> None:
        await instance.hold()
        shutil.rmtree(root)
        assert opened(instance, "logo.bmp") == b"picture"
        assert opened(instance, "empty") == b""
        with pytest.raises(Refused) as caught:
            opened(instance, "firmware.rom").result(10)
        assert caught.value.reason.outcome.http_status == 503

    run(root, work)


def test_a_start_without_storage_has_the_last_state(root: Path) -> None:
    async def work(instance: Instance) -> None:
        assert instance.restored is not None
        catalogue, at = instance.restored
        assert abs(time.time() - at) < 20
        template = catalogue.template("t46s.cfg")
        assert template is not None
        assert template.text == "user = [sipuser.login]\n"
        assert catalogue.constants == {"ntp": "192.0.2.1"}
        assert "T46U" in catalogue.models
        assert opened(instance, "logo.bmp") == b"picture"
        assert catalogue.static("firmware.rom") is not None
        with pytest.raises(Refused) as caught:
            instance.store.scan()
        assert caught.value.reason is Reason.STORAGE_UNAVAILABLE

    run(root, hold_and_save)
    shutil.rmtree(root)
    run(root, work)


def test_a_start_with_the_storage_takes_what_has_changed_since(root: Path) -> None:
    async def work(instance: Instance) -> None:
        assert instance.restored is not None
        catalogue = instance.store.scan()
        assert catalogue is not None
        template = catalogue.template("T46S.cfg")
        assert template is not None
        assert template.text == "changed\n"
        assert catalogue.template("new.cfg") is not None
        assert catalogue.constants == {"ntp": "192.0.2.1"}
        catalogue = instance.store.scan()
        assert catalogue is not None
        assert catalogue.static("logo.bmp") is None
        assert instance.store.scan() is None

    run(root, hold_and_save)
    put(root, "templates/T46S.cfg", "changed\n", age=30)
    put(root, "templates/new.cfg", "x\n")
    (root / "configs/logo.bmp").unlink()
    run(root, work)


def test_a_start_with_the_same_storage_reads_no_text_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(root, hold_and_save)
    monkeypatch.setattr("era_ap.store.read_piece", lambda *_: pytest.fail("it was read"))

    async def work(instance: Instance) -> None:
        assert instance.store.scan() is None

    run(root, work)


@pytest.mark.parametrize("away", [True, False])
def test_a_broken_template_has_its_last_good_version_after_a_restart(root: Path, away: bool) -> None:
    async def break_it(instance: Instance) -> None:
        await hold_and_save(instance)
        put(root, "templates/T46S.cfg", "user = [sipuser.[x\n", age=30)
        instance.scan()
        instance.scan()
        assert instance.catalogue.problems
        instance.save()

    async def work(instance: Instance) -> None:
        assert instance.restored is not None
        catalogue = instance.restored[0] if away else instance.store.scan()
        assert catalogue is not None
        template = catalogue.template("T46S.cfg")
        assert template is not None
        assert template.text == "user = [sipuser.login]\n"
        assert away or [problem.reason for problem in catalogue.problems] == [Reason.TEMPLATE_SYNTAX]

    run(root, break_it)
    if away:
        shutil.rmtree(root)
    run(root, work)


def test_without_a_state_there_is_nothing_to_start_from(root: Path) -> None:
    async def work(instance: Instance) -> None:
        assert instance.restored is None

    run(root, work)


def test_only_what_changed_is_written_again(root: Path) -> None:
    async def work(instance: Instance) -> None:
        await instance.hold()
        assert instance.save() == 7
        assert instance.save() == 0
        put(root, "templates/T46S.cfg", "changed\n", age=30)
        (root / "configs/logo.bmp").unlink()
        instance.scan()
        instance.scan()
        assert instance.save() == 2
        assert instance.save(everything=True) == 6

    run(root, work)

    async def after(instance: Instance) -> None:
        assert instance.restored is not None
        assert instance.restored[0].static("logo.bmp") is None

    run(root, after)


def test_nothing_is_saved_while_the_storage_was_never_seen(root: Path) -> None:
    async def work(instance: Instance) -> None:
        assert instance.save() == 0

    run(root, work)


def test_a_state_that_the_storage_never_confirmed_stays_as_it_was(root: Path) -> None:
    async def work(instance: Instance) -> None:
        assert instance.restored is not None
        assert instance.save() == 0

    run(root, hold_and_save)
    shutil.rmtree(root)
    run(root, work)
    run(root, work)


def test_small_files_come_first_and_no_more_than_there_is_room_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_saved, "HELD_BYTES", 1000)
    for number in range(1, 6):
        put(root, f"configs/{number}", bytes(100 * number))

    async def work(instance: Instance) -> None:
        await instance.hold()
        assert sorted(entry.path for entry in instance.statics.held) == ["1", "2", "3", "empty", "logo.bmp"]
        shutil.rmtree(root)
        assert opened(instance, "3") == bytes(300)

    run(root, work)


def test_what_cannot_be_read_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_saved, "RETRY_SECONDS", 0.01)

    async def work(instance: Instance) -> None:
        failures = [Refused(Reason.FILE_UNREADABLE, "stale"), Refused(Reason.STORAGE_BUSY, "slow")]
        real = instance.store.read
        loop, read_well = asyncio.get_running_loop(), asyncio.Event()

        def read(entry: object) -> bytes:
            if failures and getattr(entry, "path", "") == "logo.bmp":
                raise failures.pop()
            data = real(entry)  # type: ignore[arg-type]
            if getattr(entry, "path", "") == "logo.bmp":
                loop.call_soon_threadsafe(read_well.set)
            return data

        monkeypatch.setattr(instance.store, "read", read)
        instance.scan()
        running = asyncio.ensure_future(instance.keeper.run())
        instance.keeper.taken()
        await asyncio.wait_for(read_well.wait(), 20)
        running.cancel()

    run(root, work)


def test_a_row_that_makes_no_sense_is_left_out(root: Path) -> None:
    async def damage(instance: Instance) -> None:
        await hold_and_save(instance)
        loaded = instance.file.load()
        (shelf,) = (each for each in loaded.rows if each.kind == "file")
        loaded.rows[shelf]["configs/logo.bmp"] = b"no header"
        loaded.rows[shelf]["configs/empty"] = b"[1]\n"
        again = StorageKeeper(Store(root, "lab"), instance.statics, lambda: Looks(None))
        restored = again.restore(loaded)
        assert restored is not None
        assert restored[0].static("logo.bmp") is None
        assert restored[0].template("T46S.cfg") is not None
        again.close()

    run(root, damage)
