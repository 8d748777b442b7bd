"""deploy/packs: what an operator edited survives newer packs."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "deploy" / "packs"


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    folder = tmp_path / "packs"
    (folder / "yealink").mkdir(parents=True)
    for name in ("models.yml", "yealink/a.cfg", "yealink/b.cfg", "yealink/c.cfg"):
        (folder / name).write_text(f"{name} 1\n")
    return folder


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    folder = tmp_path / "storage"
    folder.mkdir(mode=0o750)
    return folder


def run(packs: Path, storage: Path, *more: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, TOOL, "--from", packs, storage, *more], capture_output=True, text=True, check=False
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def contents(storage: Path) -> dict[str, str]:
    folder = storage / "templates"
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_first_time_everything_is_copied_for_those_who_may_read_the_storage(
    packs: Path, storage: Path
) -> None:
    code, told = run(packs, storage)
    assert (code, told[-1], len(told)) == (1, "4 files, 4 differ", 5)
    assert not list(storage.iterdir())
    assert run(packs, storage, "--update")[0] == 0
    assert contents(storage)["yealink/b.cfg"] == "yealink/b.cfg 1\n"
    assert stat.S_IMODE((storage / "templates/yealink").stat().st_mode) == 0o750
    assert stat.S_IMODE((storage / "templates/yealink/a.cfg").stat().st_mode) == 0o640
    assert run(packs, storage) == (0, ["4 files, 0 differ"])


def test_newer_packs_replace_what_nobody_edited(packs: Path, storage: Path) -> None:
    run(packs, storage, "--update")
    (storage / "templates/yealink/b.cfg").write_text("ours\n")
    (storage / "templates/yealink/c.cfg").unlink()
    (storage / "templates/own.cfg").write_text("own\n")
    for name in ("a", "b", "c", "d"):
        (packs / f"yealink/{name}.cfg").write_text("2\n")
    (packs / "models.yml").unlink()
    code, told = run(packs, storage, "--update")
    assert contents(storage) == {
        "models.yml": "models.yml 1\n",
        "own.cfg": "own\n",
        "yealink/a.cfg": "2\n",
        "yealink/b.cfg": "ours\n",
        "yealink/d.cfg": "2\n",
    }
    assert code == 1
    assert [line.partition(":")[0] for line in told[:-1]] == [
        f"templates/{name}" for name in ("models.yml", "yealink/a.cfg", "yealink/b.cfg", "yealink/d.cfg")
    ]
    assert any("merge by hand" in line for line in told if "b.cfg" in line)


def test_an_edited_file_is_named_until_it_is_merged_and_when_there_is_something_newer_only(
    packs: Path, storage: Path
) -> None:
    run(packs, storage, "--update")
    (storage / "templates/yealink/b.cfg").write_text("ours\n")
    assert run(packs, storage, "--update") == (0, ["4 files, 0 differ"])
    (packs / "yealink/b.cfg").write_text("2\n")
    assert run(packs, storage, "--update")[0] == 1
    run(packs, storage, "--merged", "templates/yealink/b.cfg")
    assert run(packs, storage, "--update")[0] == 0
    assert contents(storage)["yealink/b.cfg"] == "ours\n"


def test_what_stood_there_before_is_taken_for_edited(packs: Path, storage: Path) -> None:
    (storage / "templates").mkdir()
    (storage / "templates/models.yml").write_text("ours\n")
    code, told = run(packs, storage, "--update")
    assert code == 1
    assert told[0].startswith("templates/models.yml: edited here")
    assert contents(storage)["models.yml"] == "ours\n"


def test_a_storage_that_is_not_there_is_said_so(packs: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, TOOL, "--from", packs, tmp_path / "nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "nowhere is no folder" in done.stderr
