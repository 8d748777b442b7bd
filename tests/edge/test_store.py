"""Store: when a change is in service, what happens to half-written files, and when the storage goes away."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from concurrent.futures import Future

import pytest

from era_ap import store as store_module
from era_ap.errors import Reason, Refused
from era_ap.provisioning.catalogue import Catalogue, Stamp, StaticFile
from era_ap.provisioning.request import Content
from era_ap.read_pool import ReadPool
from era_ap.static_files import PIECE, SMALL_FILE, StaticFiles, StaticStream
from era_ap.store import Store


class World:
    """A storage folder, a store that watches it, and a clock that only moves when told to."""

    def __init__(self, root):
        self.root = root
        self.now = 0.0
        self.on_sleep = lambda: None
        for folder in ("templates", "constants", "configs"):
            (root / folder).mkdir(parents=True)
        self.young = False
        self.store = Store(
            root,
            "msk1",
            monotonic=lambda: self.now,
            wall=lambda: time.time() + (0 if self.young else 60),
            sleep=lambda seconds: self.on_sleep(),
        )
        self.catalogue: Catalogue | None = None

    def write(self, path, content):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())

    def look(self, after=0.5) -> Catalogue | None:
        self.now += after
        found = self.store.scan()
        self.catalogue = found or self.catalogue
        return found

    def rest(self) -> Catalogue:
        self.look()
        self.look()
        assert self.catalogue is not None
        return self.catalogue

    def text(self, name="T"):
        template = self.catalogue.template(name)
        return template and template.text


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "storage")


def where(catalogue):
    return {(problem.reason, problem.where) for problem in catalogue.problems}


# --- taking up changes


def test_the_first_look_takes_everything_that_is_old_at_once(world):
    world.write("templates/sub/T46S", "template")
    world.write("templates/models.yml", "T46U: {like: sub/T46S}")
    world.write("constants/msk1.cfg", "a = 1")
    world.write("constants/spb1.cfg", "a = 2")
    world.write("configs/fw/T46S.rom", "rom")
    catalogue = world.look()
    assert catalogue.template("SUB/t46s").text == "template"
    assert catalogue.constants == {"a": "1"}
    assert catalogue.static("fw/t46s.rom").size == 3
    assert catalogue.models.bases("T46U")[1] == "sub/T46S"
    assert catalogue.problems == ()
    assert world.look() is None


def test_a_change_is_in_service_after_it_rested_and_within_one_second_of_scans(world):
    world.write("templates/T", "old")
    world.look()
    world.write("templates/T", "newer")
    assert world.look() is None
    assert world.text() == "old"
    assert world.look() is world.catalogue
    assert world.text() == "newer"
    assert world.look() is None


def test_scans_close_together_do_not_make_a_file_rest(world):
    world.write("templates/T", "old")
    world.look()
    world.write("templates/T", "newer")
    assert all(world.look(after=0.02) is None for _ in range(10))


def test_new_and_removed_files_are_noticed_and_a_short_absence_is_not(world):
    world.write("templates/T", "one")
    world.write("templates/U", "u")
    world.write("configs/a", "a")
    world.look()
    (world.root / "templates/T").unlink()
    (world.root / "configs/a").unlink()
    world.write("configs/b", "b")
    assert world.look() is None
    world.write("templates/T", "one")
    catalogue = world.rest()
    assert catalogue.template("T").text == "one"
    assert catalogue.static("a") is None
    assert catalogue.static("b") is not None
    (world.root / "templates/T").unlink()
    assert world.rest().template("T") is None


def test_a_file_that_was_only_touched_changes_nothing(world):
    world.write("templates/T", "same")
    world.look()
    template = world.catalogue.template("T")
    os.utime(world.root / "templates/T", ns=(1, 1))
    assert world.look() is None
    assert world.look() is None
    assert world.catalogue.template("T") is template


def test_a_change_that_keeps_size_and_time_is_noticed(world):
    world.write("templates/T", "old")
    os.utime(world.root / "templates/T", ns=(10**18, 10**18))
    world.look()
    world.write("templates/T", "new")
    os.utime(world.root / "templates/T", ns=(10**18, 10**18))
    world.rest()
    assert world.text() == "new"


def test_young_files_are_taken_at_the_first_look_if_they_rest(world):
    world.young = True
    world.write("templates/T", "young")
    world.look()
    assert world.text() == "young"


def test_a_file_that_is_being_written_at_the_first_look_is_left_for_later(world):
    world.young = True
    world.write("templates/T", "ha")
    world.write("templates/U", "whole")
    world.on_sleep = lambda: world.write("templates/T", "half no more")
    world.look()
    assert world.text("T") is None
    assert world.text("U") == "whole"
    world.rest()
    assert world.text("T") == "half no more"


def test_what_editors_leave_behind_is_no_template(world):
    world.write("templates/T", "t")
    for name in ("T~", ".T.swp", "#T#", ".#T", "T.swp", "README.rst"):
        world.write(f"templates/{name}", "[sipuser.")
    catalogue = world.look()
    assert list(catalogue.templates) == ["t"]
    assert catalogue.problems == ()


def test_constants_of_other_sites_only_are_a_warning(world):
    world.write("templates/T", "t")
    world.write("constants/spb1.cfg", "a = 2")
    catalogue = world.look()
    assert catalogue.constants == {}
    assert where(catalogue) == {(Reason.CONSTANTS_INVALID, "constants/msk1.cfg")}
    world.write("constants/MSK1.cfg", "a = 3")
    assert world.rest().constants == {"a": "3"}


def test_a_file_that_is_too_large_or_not_readable_leaves_the_last_good_one(world, monkeypatch):
    world.write("templates/T", "good")
    world.write("templates/U", "good too")
    world.look()
    world.write("templates/T", b"x" * (store_module.MAX_TEXT + 1))
    world.write("templates/new", b"x" * (store_module.MAX_TEXT + 1))
    world.rest()
    assert world.text("T") == "good"
    assert world.catalogue.refusal_of("new").reason is Reason.TEMPLATE_TOO_LARGE
    assert (Reason.TEMPLATE_TOO_LARGE, "templates/T") in where(world.catalogue)
    world.write("templates/T", "small again")
    (world.root / "templates/new").unlink()

    def fail(*arguments):
        raise Refused(Reason.FILE_UNREADABLE, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "read_piece", fail)
        world.rest()
        assert world.text("T") == "good"
        assert where(world.catalogue) == {(Reason.TEMPLATE_UNREADABLE, "templates/T")}
    world.rest()
    assert world.text("T") == "small again"
    assert world.catalogue.problems == ()


# --- files that are edited in place (B4)


def test_an_edit_in_place_is_never_seen_by_halves(world):
    old, new = "old " * 1000, "new " * 1000
    world.write("templates/T", old)
    world.look()
    path = world.root / "templates/T"
    for number in range(50):
        wanted = (new, old)[number % 2]
        with path.open("r+b", buffering=0) as file:
            file.truncate(0)
            for part in (b"", *(wanted[at : at + 1000].encode() for at in range(0, len(wanted), 1000))):
                file.write(part)
                world.look(after=(0.05, 0.2, 0.29)[number % 3])
                assert world.text() in (old, new)
        world.rest()
        assert world.text() == wanted


def test_ten_thousand_reads_during_real_edits_see_whole_files_only(tmp_path):
    root = tmp_path / "storage"
    (root / "templates").mkdir(parents=True)
    path = root / "templates" / "T"
    versions = [f"{n:04d} " * 2000 for n in range(15)]
    path.write_text(versions[0])
    store = Store(root, "msk1", settle_seconds=0.1)
    current = [store.scan()]
    stop = threading.Event()

    def edit():
        for version in versions[1:]:
            with path.open("r+") as file:
                file.truncate(0)
                file.write(version[:5000])
                file.flush()
                time.sleep(0.05)
                file.write(version[5000:])
            time.sleep(0.2)

    def watch():
        while not stop.is_set():
            current[0] = store.scan() or current[0]
            stop.wait(0.02)

    writer, watcher = threading.Thread(target=edit), threading.Thread(target=watch)
    writer.start()
    watcher.start()
    seen, reads = set(), 0
    while writer.is_alive() or reads < 10_000:
        text = current[0].template("T").text
        seen.add(text)
        reads += 1
        if reads % 50 == 0:
            time.sleep(0.001)
    writer.join()
    deadline = time.monotonic() + 5
    while current[0].template("T").text != versions[-1] and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    watcher.join()
    assert current[0].template("T").text == versions[-1]
    assert seen <= set(versions)
    assert len(seen) > 5


# --- what must not be served (F3)


def test_links_out_and_second_names_are_neither_templates_nor_files(world):
    outside = world.root.parent / "storage-of-others"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    world.write("templates/T", "t")
    (world.root / "templates/link").symlink_to(outside / "secret")
    (world.root / "configs/parent").symlink_to(outside)
    (world.root / "configs/passwd").symlink_to("/etc/passwd")
    os.link(outside / "secret", world.root / "configs/hard")
    os.mkfifo(world.root / "configs/fifo")
    catalogue = world.look()
    assert catalogue.template("link") is None
    assert catalogue.refusal_of("link").reason is Reason.FILE_OUTSIDE
    for name, reason in [
        ("passwd", Reason.FILE_OUTSIDE),
        ("parent/secret", Reason.FILE_OUTSIDE),
        ("hard", Reason.FILE_HARD_LINK),
        ("fifo", Reason.FILE_SPECIAL),
    ]:
        with pytest.raises(Refused) as caught:
            catalogue.static(name)
        assert caught.value.reason is reason
    assert where(catalogue) == {
        (Reason.FILE_OUTSIDE, "templates/link"),
        (Reason.FILE_OUTSIDE, "configs/parent"),
        (Reason.FILE_OUTSIDE, "configs/passwd"),
        (Reason.FILE_HARD_LINK, "configs/hard"),
        (Reason.FILE_SPECIAL, "configs/fifo"),
    }


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "../storage-of-others/secret", "fw/../../x"]
)
def test_an_entry_that_points_out_is_never_read(world, name):
    world.write("templates/T", "t")
    world.look()
    (world.root.parent / "storage-of-others").mkdir()
    (world.root.parent / "storage-of-others" / "secret").write_text("secret")
    with pytest.raises(Refused):
        world.store.read(StaticFile(name, Stamp(1, 10, 1, 1)))


def test_a_template_exchanged_for_a_link_out_goes(world):
    world.write("templates/T", "good")
    world.look()
    (world.root / "templates/T").unlink()
    (world.root / "templates/T").symlink_to("/etc/passwd")
    catalogue = world.rest()
    assert catalogue.template("T") is None
    assert catalogue.refusal_of("T").reason is Reason.FILE_OUTSIDE


# --- a storage that is away (B3 and vanished mounts)


def unavailable(world) -> str:
    with pytest.raises(Refused) as caught:
        world.look()
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    return caught.value.detail


def test_a_storage_that_is_missing_or_empty_at_the_start_is_said_to_be_so_until_it_comes(world):
    moved = world.root.with_name("elsewhere")
    world.root.rename(moved)
    assert "No such file" in unavailable(world)
    moved.rename(world.root)
    assert "empty" in unavailable(world)
    world.write("templates/T", "t")
    assert world.look().template("T").text == "t"


def test_a_vanished_storage_takes_nothing_away_and_is_found_again(world):
    world.write("templates/T", "t")
    world.look()
    moved = world.root.with_name("elsewhere")
    world.root.rename(moved)
    for _ in range(3):
        unavailable(world)
    world.root.mkdir()
    unavailable(world)
    for folder in ("templates", "constants", "configs"):
        (world.root / folder).mkdir()
    unavailable(world)
    shutil.rmtree(world.root)
    moved.rename(world.root)
    assert world.look() is None
    world.write("templates/T", "changed")
    assert world.rest().template("T").text == "changed"


@pytest.mark.parametrize("trouble", ["missing", "emptied"])
def test_one_folder_that_goes_away_keeps_its_last_state_while_others_go_on(world, trouble):
    world.write("templates/T", "t")
    world.write("configs/a", "a")
    world.look()
    (world.root / "templates/T").unlink()
    if trouble == "missing":
        (world.root / "templates").rmdir()
    world.write("configs/a", "longer")
    catalogue = world.rest()
    assert catalogue.template("T").text == "t"
    assert catalogue.static("a").size == 6
    assert where(catalogue) == {(Reason.STORAGE_UNAVAILABLE, "templates")}
    world.write("templates/U", "u")
    catalogue = world.rest()
    assert catalogue.template("T") is None
    assert catalogue.template("U").text == "u"
    assert catalogue.problems == ()


def test_the_last_file_of_a_folder_may_be_removed_where_something_else_stays(world):
    world.write("templates/T", "t")
    world.write("configs/README.rst", "x")
    world.write("configs/a", "a")
    world.look()
    (world.root / "configs/a").unlink()
    catalogue = world.rest()
    assert catalogue.static("a") is None
    assert catalogue.problems == ()


# --- ready-made files for phones (E2, E13)


def entry_of(world, name) -> StaticFile:
    return world.catalogue.static(name)


def opened(files, entry):
    found = files.open(entry)
    return found.result(5) if isinstance(found, Future) else found


@pytest.fixture
def files(world):
    files = StaticFiles(world.root)
    yield files
    files.close()


def test_a_small_file_is_read_once_and_then_comes_from_memory(world, files):
    world.write("configs/Ring.XML", "<x/>")
    world.look()
    entry = entry_of(world, "ring.xml")
    assert files.cached(entry) is None
    first = opened(files, entry)
    assert isinstance(first, Content)
    assert (first.data, first.reason, first.xml, first.subject.file) == (
        b"<x/>",
        Reason.STATIC,
        True,
        "Ring.XML",
    )
    shutil.rmtree(world.root)
    again = files.open(entry)
    assert isinstance(again, Content)
    assert again.data == b"<x/>"


def test_a_held_file_is_ready_for_the_next_phone_as_long_as_it_is_held(world, files):
    world.write("configs/a", "a")
    world.look()
    entry = entry_of(world, "a")
    assert opened(files, entry).data == b"a"
    assert files.ready(entry) is None  # its octets may be forgotten any time
    files.held = {entry: b"a"}
    first = files.open(entry)
    assert files.ready(entry) is first
    assert files.open(entry) == first
    files.held = {}
    assert files.ready(entry) is None


def test_an_empty_file_is_a_file(world, files):
    world.write("configs/empty", b"")
    world.look()
    assert files.open(entry_of(world, "empty")).data == b""


def test_a_file_that_changes_is_refused_until_it_rests_but_what_is_in_memory_goes_on(world, files):
    world.write("configs/known", "old")
    world.write("configs/unknown", "old")
    world.look()
    assert opened(files, entry_of(world, "known")).data == b"old"
    for name in ("known", "unknown"):
        world.write(f"configs/{name}", "half of")
    world.look()
    assert opened(files, entry_of(world, "known")).data == b"old"
    with pytest.raises(Refused) as caught:
        opened(files, entry_of(world, "unknown"))
    assert caught.value.reason is Reason.FILE_CHANGED
    for name in ("known", "unknown"):
        world.write(f"configs/{name}", "the whole new file")
    world.rest()
    for name in ("known", "unknown"):
        assert opened(files, entry_of(world, name)).data == b"the whole new file"
        assert world.store.read(entry_of(world, name)) == b"the whole new file"


def test_a_hundred_phones_load_one_firmware_and_it_is_read_once(world):
    image = os.urandom(SMALL_FILE * 2 + 1234)
    world.write("configs/fw.rom", image)
    world.look()
    reads = []

    def read(root, path, stamp, offset, length):
        reads.append(offset)
        return store_module.read_piece(root, path, stamp, offset, length)

    files = StaticFiles(world.root, read=read)

    async def phone(block) -> bytes:
        found = files.open(entry_of(world, "fw.rom"))
        stream = await asyncio.wrap_future(found) if isinstance(found, Future) else found
        assert isinstance(stream, StaticStream)
        assert stream.size == len(image)
        parts = []
        for offset in range(0, stream.size, block):
            part = stream.read(offset, block)
            parts.append(part if isinstance(part, bytes) else await part)
        stream.close()
        assert stream.read(stream.size, 512) == b""
        return b"".join(parts)

    async def all_of_them():
        return await asyncio.gather(*(phone(block) for block in [65464, 100_000, PIECE, PIECE * 2 + 1] * 25))

    assert set(asyncio.run(all_of_them())) == {image}
    assert sorted(reads) == list(range(0, len(image), PIECE))
    files.close()


def test_a_firmware_that_is_exchanged_while_it_is_loaded_is_never_mixed(world, files):
    world.write("configs/fw.rom", b"a" * (SMALL_FILE + PIECE))
    world.look()
    stream = opened(files, entry_of(world, "fw.rom"))
    assert stream.read(0, 512) == b"a" * 512
    world.write("configs/fw.rom", b"b" * (SMALL_FILE + PIECE))
    os.utime(world.root / "configs/fw.rom", ns=(5, 5))

    async def next_piece():
        return await stream.read(PIECE, 512)

    with pytest.raises(Refused) as caught:
        asyncio.run(next_piece())
    assert caught.value.reason is Reason.FILE_CHANGED


def test_one_phone_that_gives_up_takes_nothing_from_the_others(world):
    world.write("configs/a", "content")
    world.look()
    release = threading.Event()

    def slow(*arguments):
        assert release.wait(10)
        return store_module.read_piece(*arguments)

    files = StaticFiles(world.root, read=slow)
    promises = [files.open(entry_of(world, "a")) for _ in range(3)]
    assert promises[0].cancel()
    release.set()
    assert [promise.result(5).data for promise in promises[1:]] == [b"content"] * 2
    files.close()


def test_while_the_storage_hangs_memory_serves_others_fail_fast_and_all_recovers(world):
    """B1 with reads that hang instead of a file system that does."""
    for name in ("cached", "a", "b", "c", "large"):
        world.write(f"configs/{name}", name if name != "large" else b"x" * (SMALL_FILE + 1))
    world.look()
    hangs, release, now = threading.Event(), threading.Event(), [0.0]

    def read(*arguments):
        if hangs.is_set():
            assert release.wait(20)
        return store_module.read_piece(*arguments)

    files = StaticFiles(world.root, pool=ReadPool(lambda: now[0], threads=2), read=read, storage_seconds=0.05)
    opened(files, entry_of(world, "cached"))
    stream = opened(files, entry_of(world, "large"))
    hangs.set()
    threads = threading.active_count()
    hanging = [files.open(entry_of(world, name)) for name in ("a", "b")]

    async def piece() -> bytes:
        found = stream.read(PIECE, 10)
        return found if isinstance(found, bytes) else await found

    with pytest.raises(Refused) as caught:
        asyncio.run(piece())
    assert caught.value.reason is Reason.STORAGE_BUSY
    deadline = time.monotonic() + 5
    while not files.pool.is_stalled and time.monotonic() < deadline:
        now[0] += 1.0
        time.sleep(0.001)
    for _ in range(100):
        refused = files.open(entry_of(world, "c"))
        assert isinstance(refused, Future)
        assert refused.exception(0).reason is Reason.STORAGE_BUSY
        assert files.open(entry_of(world, "cached")).data == b"cached"
    assert threading.active_count() <= threads + 2
    hangs.clear()
    release.set()
    assert [promise.result(5).data for promise in hanging] == [b"a", b"b"]
    assert opened(files, entry_of(world, "c")).data == b"c"
    assert asyncio.run(piece()) == b"x" * 10
    files.close()


def test_a_change_made_by_another_machine_is_found_by_looking_alone(world):
    """B6: nothing tells us of the change; the folder is only looked at again."""
    world.write("templates/T", "old")
    world.look()
    other = world.root.with_name("other-mount")
    other.symlink_to(world.root)
    (other / "templates" / "T.new").write_text("new from elsewhere")
    (other / "templates" / "T.new").rename(other / "templates" / "T")
    world.rest()
    assert world.text() == "new from elsewhere"
