"""The real process with storage and directory away, killed while it writes, on a disk that is full."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from era_ap.directory.model import AccountKey
from era_ap.directory.saved import restore
from era_ap.phone import boot, got_own_file
from era_ap.state import State
from tests.conftest import Site
from tests.functional.test_daemon import NAME, WHOLE, eventually, fetch, fetch_error

if TYPE_CHECKING:
    from tests.functional.conftest import Process

pytestmark = pytest.mark.functional
Start = Callable[..., "Process"]

ROOT = Path(__file__).resolve().parents[2]
DEMO = {
    "001565a0b001": ("yealink", "T46S", b"account.1.user_name = 101"),
    "001565a0b005": ("yealink", "T31P", b"account.1.user_name = 105"),
    "000413a0b002": ("snom", "D735", b"103"),
    "c074ada0b003": ("grandstream", "GXP2170", b"104"),
    "c074ada0b006": ("grandstream", "GXP1628", b"201"),
}
UNAVAILABLE = (0, "Temporarily unavailable")
NOT_FOUND = (1, "File not found")
OTHER = "001565000099"


def rows(site: Site, role: str = "ap1") -> dict[tuple[str, str, str], bytes]:
    """What is in the file of local state now, as far as it was committed."""
    path = site.root / "state" / f"{role}.state"
    if not path.exists():
        return {}
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        try:
            found = connection.execute("SELECT kind, owner, name, data FROM row").fetchall()
        except sqlite3.OperationalError:
            return {}
    connection.close()
    return {(kind, owner, name): data for kind, owner, name, data in found}


def wait_saved(site: Site, *places: str) -> None:
    """Wait until local state holds the directory and all these places of the storage, with their content."""

    def is_saved() -> bool:
        found = rows(site)
        kinds = {kind for kind, _, _ in found}
        names = {
            name for (kind, _, name), data in found.items() if kind == "file" and b", true]" in data[:120]
        }
        return {"block", "domain", "source", "file", "seen"} <= kinds and names.issuperset(places)

    eventually(is_saved, 20)


def take_away(site: Site, *folders: str) -> None:
    for folder in folders:
        (site.root / folder).rename(site.root / f"{folder}-away")


def bring_back(site: Site, *folders: str) -> None:
    for folder in folders:
        (site.root / f"{folder}-away").rename(site.root / folder)


@pytest.fixture
def demo(tmp_path: Path) -> Site:
    """A copy of the demo site."""
    site = Site(tmp_path)
    for name in ("templates", "constants", "configs"):
        shutil.copytree(ROOT / name, tmp_path / "storage" / name)
    (tmp_path / "storage" / "constants" / "demo.cfg").rename(tmp_path / "storage" / "constants" / "lab.cfg")
    shutil.copytree(ROOT / "deploy" / "demo-site" / "directory", tmp_path / "directory")
    site.static("logo.bmp", b"picture")
    resting = time.time() - 60
    for path in tmp_path.rglob("*"):
        os.utime(path, (resting, resting))
    site.extra_roles = [{"name": "sg1", "roletype": "sg", "iface": "gate", "ext": {"srvidx": 4}}]
    site.configure(interfaces={"lo": "127.0.0.1", "gate": "192.0.2.10"})
    return site


def boots(port: int) -> None:
    """Every phone of the demo site gets its own file."""
    for mac, (vendor, model, content) in DEMO.items():
        fetches = boot(vendor, mac, model, "127.0.0.1", port)
        assert got_own_file(fetches), (mac, fetches)
        assert any(content in fetch.data for fetch in fetches if fetch.data), mac


def test_with_everything_away_every_phone_is_served_from_the_last_state(demo: Site, daemon: Start) -> None:
    process = daemon(demo.config).wait_ready()
    boots(process.port)
    wait_saved(demo, "configs/logo.bmp")
    assert process.stop() == 0
    take_away(demo, "storage", "directory")
    process = daemon(demo.config).wait_ready()
    boots(process.port)
    assert fetch(process.port, "logo.bmp") == b"picture"
    assert fetch_error(process.port, f"{OTHER}.cfg") == NOT_FOUND
    for what in ("storage", "directory"):
        process.wait_log("not readable", what=what)
    bring_back(demo, "storage", "directory")
    process.wait_log("readable again", what="storage")
    process.wait_log("readable again", what="directory")
    boots(process.port)
    assert process.stop() == 0


def test_the_state_survives_a_kill_and_a_second_start_with_everything_away(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    wait_saved(site, "templates/T46S.cfg", "constants/lab.cfg")
    process.process.kill()
    process.process.wait()
    take_away(site, "storage", "directory")
    for _ in range(2):
        process = daemon(site.config).wait_ready()
        assert fetch(process.port) == WHOLE
        process.process.kill()
        process.process.wait()


def test_a_restart_serves_what_changed_meanwhile(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    wait_saved(site, "templates/T46S.cfg")
    assert process.stop() == 0
    site.template("T46S.cfg", "new = [sipuser.login]\n")
    site.phone("102", OTHER)
    (site.root / "directory" / "a.example.com" / "sipusers" / "101.yml").unlink()
    process = daemon(site.config).wait_ready()
    assert fetch(process.port, f"{OTHER}.cfg") == b"new = 102\n"
    assert fetch_error(process.port, NAME) == NOT_FOUND


def test_without_a_state_nothing_is_not_found_while_all_is_away(site: Site, daemon: Start) -> None:
    site.static("logo.bmp", b"picture")
    take_away(site, "storage", "directory")
    process = daemon(site.config).wait_ready()
    alarm = process.wait_log("not readable", what="storage")
    assert (alarm["level"], alarm["reason"]) == ("error", "storage-unavailable")
    for name in (NAME, "logo.bmp", f"{OTHER}.cfg", "whatever.txt"):
        assert fetch_error(process.port, name) == UNAVAILABLE
    bring_back(site, "storage")
    eventually(lambda: _gets(process, "logo.bmp", b"picture"))
    assert fetch_error(process.port, NAME) == UNAVAILABLE
    bring_back(site, "directory")
    eventually(lambda: _gets(process, NAME, WHOLE))
    assert fetch_error(process.port, f"{OTHER}.cfg") == NOT_FOUND


def _gets(process: Process, name: str, content: bytes) -> bool:
    try:
        return fetch(process.port, name) == content
    except Exception:
        return False


def test_an_empty_mount_point_at_the_start_is_no_empty_storage(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    wait_saved(site, "templates/T46S.cfg")
    assert process.stop() == 0
    take_away(site, "storage", "directory")
    for folder in ("storage", "directory"):
        (site.root / folder).mkdir()
    process = daemon(site.config).wait_ready()
    assert fetch(process.port) == WHOLE


def test_small_files_are_served_when_the_storage_disappears_under_way(site: Site, daemon: Start) -> None:
    site.static("logo.bmp", b"picture")
    site.static("firmware.rom", bytes(600_000))
    process = daemon(site.config).wait_ready()
    wait_saved(site, "configs/logo.bmp")
    take_away(site, "storage")
    process.wait_log("not readable", what="storage")
    begin = time.monotonic()
    assert fetch(process.port, "logo.bmp") == b"picture"
    assert fetch(process.port) == WHOLE
    assert fetch_error(process.port, "firmware.rom") == UNAVAILABLE
    assert time.monotonic() - begin < 2


def test_a_source_that_is_down_leaves_the_others_phones_served_and_unknown_ones_open(
    site: Site, daemon: Start
) -> None:
    database = site.root / "later.db"
    sources = ["yaml:directory", f"sqlite+aiosqlite:///{database}"]
    process = daemon(site.configure(directory=sources)).wait_ready()
    assert fetch(process.port) == WHOLE
    assert fetch_error(process.port, f"{OTHER}.cfg") == UNAVAILABLE
    alarm = process.wait_log("not readable", what=f"directory sqlite:{database}")
    assert alarm["reason"] == "directory-unavailable"


# --- one process, whole files


def _computed() -> float:
    """Seconds that processes of this test which have ended have computed, whatever else the machine did."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_a_second_process_of_the_role_is_refused_at_once(site: Site, daemon: Start) -> None:
    first = daemon(site.config).wait_ready()
    before = _computed()
    subprocess.run([sys.executable, "-c", "import era_ap.cli, era_ap.daemon"], check=True)
    only_start = _computed() - before
    second = daemon(site.config)
    assert second.process.wait(60) == 1
    assert _computed() - before < 2 * only_start + 1  # the other second is the patience with who just ends
    (line,) = (str(entry["event"]) for entry in second.log if "role-taken" in str(entry["event"]))
    assert f"pid {first.process.pid}" in line
    assert fetch(first.port) == WHOLE


def test_the_files_are_private(site: Site, daemon: Start) -> None:
    daemon(site.config).wait_ready()
    wait_saved(site)
    folder = site.root / "state"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert b"s3cret" not in b"".join(path.read_bytes() for path in folder.glob("*.lock"))


def test_damaged_rows_are_not_served(site: Site, daemon: Start) -> None:
    site.phone("102", OTHER, domain="b.example.com")
    site.domain("b.example.com")
    process = daemon(site.config).wait_ready()
    wait_saved(site, "templates/T46S.cfg")
    assert process.stop() == 0
    with sqlite3.connect(site.root / "state" / "ap1.state") as connection:
        connection.execute(
            "UPDATE row SET data = zeroblob(40) WHERE kind = 'block' AND name LIKE 'b.example.com/%'"
        )
    connection.close()
    take_away(site, "storage", "directory")
    process = daemon(site.config).wait_ready()
    process.wait_log("local state is damaged")
    assert fetch(process.port) == WHOLE
    assert fetch_error(process.port, f"{OTHER}.cfg") == UNAVAILABLE


def test_a_damaged_file_is_not_served(site: Site, daemon: Start) -> None:
    process = daemon(site.config).wait_ready()
    wait_saved(site)
    assert process.stop() == 0
    path = site.root / "state" / "ap1.state"
    path.write_bytes(path.read_bytes()[:100] + os.urandom(20_000))
    take_away(site, "storage", "directory")
    process = daemon(site.config).wait_ready()
    process.wait_log("local state is damaged")
    assert fetch_error(process.port, NAME) == UNAVAILABLE


KILLS = 50 if os.environ.get("ERA_AP_SLOW") else 12


def test_kills_while_it_writes_never_leave_a_bad_state(tmp_path: Path) -> None:
    """Each transaction gives 100 accounts, the cursor and a named row the same number; so must each state."""
    rng = random.Random(5)
    folder = tmp_path / "state"
    program = Path(__file__).with_name("state_writer.py")
    numbers = []
    for _ in range(KILLS):
        writer = subprocess.Popen([sys.executable, str(program), str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(rng.randrange(1, 6)):
            assert writer.stdout.readline()
        time.sleep(rng.random() * 0.02)  # the moment of the kill, not something that is waited for
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        numbers.append(_checked(folder))
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > KILLS // 2


def _checked(folder: Path) -> int:
    """The number that everything in the state agrees on."""

    async def load() -> tuple[object, dict[str, bytes]]:
        state = State(folder, "ap1", "lab", structlog.get_logger())
        state.claim()
        loaded = await state.load()
        assert (loaded.damaged, loaded.complaints) == (set(), [])
        named = state.take("number")
        found = restore(loaded, "fake")
        state.close()
        return found, named

    with structlog.testing.capture_logs() as logged:
        found, named = asyncio.run(load())
    assert [entry["event"] for entry in logged] == ["local state read"]
    assert found is not None
    accounts = [found.part.accounts.get(AccountKey("a.com", f"{each:04}")) for each in range(100)]
    said = {str(account.fields["number"]) for account in accounts} | {found.cursor, named["now"].decode()}
    assert len(said) == 1, said
    return int(said.pop())


# --- a disk that is full


@pytest.fixture
def small_disk(site: Site) -> Iterator[Path]:
    """The folder of local state is a disk of 64 kB."""
    point = site.root / "state"
    point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(point)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def test_a_full_disk_disturbs_nobody_and_heals_by_itself(site: Site, daemon: Start, small_disk: Path) -> None:
    for number in range(20):
        site.static(f"picture{number}", os.urandom(8000))
    process = daemon(site.config).wait_ready()
    told = process.wait_log("local state cannot be kept")
    assert "full" in str(told["detail"])
    begin = time.monotonic()
    for number in range(20):
        assert len(fetch(process.port, f"picture{number}")) == 8000
    assert fetch(process.port) == WHOLE
    assert time.monotonic() - begin < 10
    site.template("T46S.cfg", "new = [sipuser.login]\n")
    eventually(lambda: _gets(process, NAME, b"new = 101\n"))
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    process.wait(lambda: any(entry.get("event") == "local state is kept again" for entry in process.log), 10)
    assert [entry["event"] for entry in process.log].count("local state cannot be kept") == 1
    wait_saved(site, *(f"configs/picture{number}" for number in range(20)))
    assert process.stop() == 0
    take_away(site, "storage", "directory")
    process = daemon(site.config).wait_ready()
    assert fetch(process.port) == b"new = 101\n"


def test_a_read_only_disk_is_told_with_advice(site: Site, daemon: Start, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    process = daemon(site.config).wait_ready()
    told = process.wait_log("local state cannot be kept")
    assert "Read-only" in str(told["detail"])
    assert told["advice"]
    assert fetch(process.port) == WHOLE
