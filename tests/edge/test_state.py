"""Local state of a role: one process at a time, written when things change, never in the way of anything."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from era_ap import config
from era_ap import state as state_module
from era_ap.errors import Reason, Refused
from era_ap.state import State, folder_of
from era_ap.state_file import Batch, Key, Loaded, Shelf

SHELF = Shelf("block", "sql")

Logged = list[dict[str, object]]


class Content:
    """A keeper of some rows."""

    def __init__(self, **rows: str) -> None:
        self.rows = rows
        self.changed: dict[str, str | None] = dict(rows)

    def put(self, **rows: str) -> None:
        self.rows |= rows
        self.changed |= rows

    def __call__(self, everything: bool) -> Batch:
        changed = self.rows if everything else self.changed
        self.changed = {}
        batch = Batch(
            {Key(*SHELF, name): text.encode() for name, text in changed.items() if text is not None}
        )
        if everything:
            batch.whole.add(SHELF)
        return batch


def opened(folder: Path, role: str = "ap1") -> State:
    state = State(folder, role, "lab", structlog.get_logger())
    state.claim()
    return state


def run(folder: Path, work: Callable[[State], object], *, content: Content | None = None) -> Logged:
    """Do ``work``, a coroutine function, with a state; what was logged."""

    async def main() -> None:
        state = opened(folder)
        await state.load()
        if content is not None:
            state.keepers.append(content)
        await work(state)  # type: ignore[misc]
        await state.stop()

    with structlog.testing.capture_logs() as logged:
        asyncio.run(main())
    return list(logged)


def loaded(folder: Path, role: str = "ap1") -> Loaded:
    async def main() -> Loaded:
        state = opened(folder, role)
        found = await state.load()
        state.close()
        return found

    return asyncio.run(main())


async def save(state: State) -> None:
    await state.save()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_what_keepers_tell_is_there_after_a_restart(folder: Path) -> None:
    content = Content(a="one")
    assert run(folder, save, content=content) == []
    assert loaded(folder).rows == {SHELF: {"a": b"one"}}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_stopping_writes_the_last_changes(folder: Path) -> None:
    content = Content()

    async def work(state: State) -> None:
        state.start()
        content.put(late="x")

    run(folder, work, content=content)
    assert loaded(folder).rows == {SHELF: {"late": b"x"}}


def test_named_data_come_back_once_and_can_be_removed(folder: Path) -> None:
    async def put(state: State) -> None:
        state.put("cache", "1/index", b"data")
        state.put("cache", "1/7", lambda: b"made")
        state.put("members", "ap1", b"{}")
        await state.save()
        state.put("members", "ap1", None)

    async def take(state: State) -> None:
        found.append(state.take("cache"))
        found.append(state.take("cache"))
        found.append(state.take("members"))

    found: list[dict[str, bytes]] = []
    run(folder, put)
    run(folder, put)
    run(folder, take)
    assert found == [{"1/index": b"data", "1/7": b"made"}, {}, {}]


def test_roles_and_sites_have_states_of_their_own(folder: Path) -> None:
    run(folder, save, content=Content(a="one"))
    assert loaded(folder, "ap2").rows == {}
    assert loaded(folder).rows == {SHELF: {"a": b"one"}}

    async def other_site() -> Loaded:
        state = State(folder, "ap1", "elsewhere", structlog.get_logger())
        state.claim()
        found = await state.load()
        state.close()
        return found

    assert asyncio.run(other_site()).rows == {}


# --- one process


@pytest.fixture
def other_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    folder.mkdir(mode=0o700)
    program = (
        "import sys, structlog; from pathlib import Path; from era_ap.state import State\n"
        "state = State(Path(sys.argv[1]), 'ap1', 'lab', structlog.get_logger()); state.claim()\n"
        "print('claimed', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_of_a_role_is_refused_and_told_who_has_it(
    folder: Path, other_process: subprocess.Popen[str]
) -> None:
    with pytest.raises(Refused) as caught:
        opened(folder)
    assert caught.value.reason is Reason.ROLE_TAKEN
    assert str(other_process.pid) in caught.value.detail
    assert str(folder) in caught.value.detail
    opened(folder, "ap2").close()


def test_a_killed_process_leaves_no_lock(folder: Path, other_process: subprocess.Popen[str]) -> None:
    other_process.kill()
    other_process.wait()
    opened(folder).close()


# --- a disk that is not as it should be


def test_a_folder_that_cannot_be_made_is_told_once_and_heals(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state"

    async def work(state: State) -> None:
        await state.save()
        await state.save()
        problems.append(state.looks.problem)
        (tmp_path / "file").unlink()
        content.put(b="two")
        await state.save()
        problems.append(state.looks.problem)

    problems: list[str] = []
    content = Content(a="one")
    logged = run(folder, work, content=content)
    assert [entry["event"] for entry in logged] == ["local state cannot be kept", "local state is kept again"]
    assert "advice" in logged[0]
    assert [bool(problem) for problem in problems] == [True, False]
    assert loaded(folder).rows == {SHELF: {"a": b"one", "b": b"two"}}


def test_a_folder_that_others_may_write_to_is_not_used(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    logged = run(folder, save, content=Content(a="one"))
    assert "chmod 700" in str(logged[0]["detail"])
    assert list(folder.iterdir()) == []


def test_a_file_removed_under_way_is_written_anew_with_everything(folder: Path) -> None:
    content = Content(a="one")

    async def work(state: State) -> None:
        state.put("secret", "", b"s")
        await state.save()
        (folder / "ap1.state").unlink()
        content.put(b="two")
        await state.save()
        await state.save()

    logged = run(folder, work, content=content)
    assert [entry["event"] for entry in logged] == ["local state cannot be kept", "local state is kept again"]
    assert loaded(folder).rows == {SHELF: {"a": b"one", "b": b"two"}}


def test_what_an_earlier_process_put_survives_the_loss_of_the_file(folder: Path) -> None:
    async def put(state: State) -> None:
        state.put("cluster", "secret", b"s")

    async def lose(state: State) -> None:
        assert state.take("cluster") == {"secret": b"s"}
        (folder / "ap1.state").unlink()
        for number in range(3):
            state.put("other", str(number), b"x")
            await state.save()

    run(folder, put)
    run(folder, lose)
    assert loaded(folder).damaged == set()
    found: list[dict[str, bytes]] = []

    async def take(state: State) -> None:
        found.append(state.take("cluster"))

    run(folder, take)
    assert found == [{"secret": b"s"}]


def test_damage_is_told_and_what_is_good_is_loaded(folder: Path) -> None:
    run(folder, save, content=Content(a="one" * 1000, b="two" * 1000))
    path = folder / "ap1.state"
    data = path.read_bytes()
    at = data.index(b"oneone")
    path.write_bytes(data[:at] + b"X" + data[at + 1 :])

    async def work(state: State) -> None:
        return

    logged = run(folder, work)
    assert logged[0]["event"] == "local state is damaged"
    found = loaded(folder)
    assert (found.rows, found.damaged) == ({SHELF: {"b": b"two" * 1000}}, {SHELF})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    point = tmp_path / "disk"
    point.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(point)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def remount(point: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(point)], check=True)


def test_a_full_disk_is_told_and_the_state_is_whole_when_there_is_room(small_disk: Path) -> None:
    content = Content(**{f"row{number}": "x" * 2000 for number in range(5)})
    many = {f"more{number}": os.urandom(2000).hex() for number in range(40)}

    async def work(state: State) -> None:
        await state.save()
        assert not state.looks.problem
        content.put(row0="changed", **many)
        for _ in range(3):
            await state.save()
            assert "full" in state.looks.problem
        await asyncio.to_thread(remount, small_disk, "size=4m")
        await state.save()
        assert not state.looks.problem

    folder = small_disk / "state"
    logged = run(folder, work, content=content)
    assert [entry["event"] for entry in logged] == ["local state cannot be kept", "local state is kept again"]
    assert loaded(folder).rows[SHELF] == {name: text.encode() for name, text in content.rows.items()}


def test_a_full_disk_leaves_the_state_before(small_disk: Path) -> None:
    content = Content(a="old")

    async def work(state: State) -> None:
        await state.save()
        content.put(a="new", **{f"more{number}": os.urandom(2000).hex() for number in range(40)})
        await state.save()

    run(small_disk / "state", work, content=content)
    assert loaded(small_disk / "state").rows == {SHELF: {"a": b"old"}}


def test_a_read_only_disk_is_read_and_told(small_disk: Path) -> None:
    folder = small_disk / "state"
    run(folder, save, content=Content(a="one"))
    remount(small_disk, "ro")
    content = Content(b="two")
    logged = run(folder, save, content=content)
    assert [entry["event"] for entry in logged] == ["local state read", "local state cannot be kept"]
    assert loaded(folder).rows == {SHELF: {"a": b"one"}}


def test_writing_goes_on_after_a_defect_of_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks' own pace: what could not be written is tried again without anybody asking."""
    monkeypatch.setattr(state_module, "SAVE_SECONDS", 0.01)
    monkeypatch.setattr(state_module, "RETRY_SECONDS", 0.01)
    content = Content(a="one")

    async def work(state: State) -> None:
        written = asyncio.Event()
        real, failures = state._disk._file.write, [OSError(5, "Input/output error")] * 3
        loop = asyncio.get_running_loop()

        def write(batch: Batch) -> None:
            if failures:
                raise failures.pop()
            real(batch)
            loop.call_soon_threadsafe(written.set)

        state._disk._file.write = write  # type: ignore[method-assign]
        state.start()
        await asyncio.wait_for(written.wait(), 10)

    run(folder, work, content=content)
    assert loaded(folder).rows == {SHELF: {"a": b"one"}}


def test_what_could_not_be_loaded_is_not_mixed_with_what_is_new(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, save, content=Content(a="old", b="old"))

    def fail(_: object) -> Loaded:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("era_ap.state_file.StateFile.load", fail)
        logged = run(folder, save, content=Content(a="new"))
    assert [entry["event"] for entry in logged] == ["local state cannot be kept", "local state is kept again"]
    found = loaded(folder)
    assert (found.rows, found.damaged) == ({SHELF: {"a": b"new"}}, set())


# --- where it is


def test_where_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = (
        "site: lab\nmaster_domain: example.com\nstorage: s\ndirectory: yaml:d\ninterfaces: {lo: 127.0.0.1}\n"
        "roles:\n- {name: ap1, roletype: ap, iface: lo, group: 1, order: 1%s}\n"
    )
    path = tmp_path / "site.yml"

    def folder(ext: str = "") -> Path:
        path.write_text(document % ext)
        site = config.load(path)
        return folder_of(site, site.ap("ap1"))

    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert folder() == tmp_path / "state"
    assert folder(", ext: {state: kept}") == tmp_path / "kept"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/era-ap:/var/lib/other")
    assert folder() == Path("/var/lib/era-ap")
    assert folder(", ext: {state: /srv/state}") == Path("/srv/state")
