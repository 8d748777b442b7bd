"""The file of local state: what is loaded is what was written, and damage is never served."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
from pathlib import Path

import pytest

from era_ap.state_file import Batch, Key, Shelf, StateFile, VanishedError

BLOCKS = Shelf("block", "sql")
OTHER = Shelf("file", "storage")


def rows(shelf: Shelf, **data: str) -> dict[Key, bytes]:
    return {Key(*shelf, name): text.encode() for name, text in data.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ap1.state"


@pytest.fixture
def written(path: Path) -> Path:
    """A file with two shelves."""
    file = StateFile(path, "ap1 of lab")
    file.write(Batch(rows(BLOCKS, a="one", b="two") | rows(OTHER, t="text")))
    file.close()
    return path


def load(path: Path, identity: str = "ap1 of lab"):
    file = StateFile(path, identity)
    loaded = file.load()
    file.close()
    return loaded


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def test_what_was_written_is_loaded(written: Path) -> None:
    loaded = load(written)
    assert loaded.rows == {BLOCKS: {"a": b"one", "b": b"two"}, OTHER: {"t": b"text"}}
    assert (loaded.damaged, loaded.complaints) == (set(), [])


def test_nothing_written_is_nothing_loaded(path: Path) -> None:
    assert load(path).rows == {}
    assert not path.exists()


def test_rows_are_replaced_removed_and_added(written: Path) -> None:
    file = StateFile(written, "ap1 of lab")
    file.load()
    file.write(Batch({**rows(BLOCKS, a="ONE", c="three"), Key(*BLOCKS, "b"): None, Key(*BLOCKS, "z"): None}))
    file.close()
    assert load(written).rows[BLOCKS] == {"a": b"ONE", "c": b"three"}


def test_of_a_whole_shelf_other_rows_go(written: Path) -> None:
    file = StateFile(written, "ap1 of lab")
    file.load()
    file.write(Batch(rows(BLOCKS, b="two", c="three"), {BLOCKS}))
    file.write(Batch(whole={OTHER}))
    file.close()
    assert load(written).rows == {BLOCKS: {"b": b"two", "c": b"three"}}


def test_data_may_be_made_where_it_is_written(path: Path) -> None:
    file = StateFile(path, "x")
    file.write(Batch({Key(*BLOCKS, "a"): lambda: b"made"}))
    file.close()
    assert load(path, "x").rows == {BLOCKS: {"a": b"made"}}


def test_what_is_there_already_is_not_written_again(written: Path) -> None:
    file = StateFile(written, "ap1 of lab")
    file.load()
    before = written.stat().st_mtime_ns
    file.write(Batch(rows(BLOCKS, a="one", b="two"), {BLOCKS}))
    assert written.stat().st_mtime_ns == before
    file.close()


def test_batches_add_up_as_if_written_one_after_the_other(path: Path) -> None:
    rng = random.Random(3)
    together, one_by_one = StateFile(path, "x"), StateFile(path.with_name("other"), "x")
    for _ in range(30):
        sum_of_all = Batch()
        for _ in range(rng.randrange(1, 5)):
            batch = Batch()
            for _ in range(rng.randrange(4)):
                key = Key(*rng.choice((BLOCKS, OTHER)), str(rng.randrange(6)))
                batch.rows[key] = rng.choice((None, str(rng.random()).encode()))
            if rng.random() < 0.3:
                batch.whole.add(rng.choice((BLOCKS, OTHER)))
            sum_of_all.add(Batch(dict(batch.rows), set(batch.whole)))
            one_by_one.write(batch)
        together.write(sum_of_all)
    for file in (together, one_by_one):
        file.close()
    assert load(path, "x").rows == load(path.with_name("other"), "x").rows


# --- damage


def test_a_damaged_row_is_thrown_away_and_told(written: Path) -> None:
    change(written, "UPDATE row SET data = 'evil' WHERE name = 'a'")
    loaded = load(written)
    assert loaded.rows == {BLOCKS: {"b": b"two"}, OTHER: {"t": b"text"}}
    assert loaded.damaged == {BLOCKS}
    (complaint,) = loaded.complaints
    assert "1 rows are damaged (block sql)" in complaint


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM row WHERE name = 'a'",
        "UPDATE row SET name = 'c' WHERE name = 'a'",
        "UPDATE row SET owner = 'other' WHERE name = 'a'",
        "DELETE FROM shelf WHERE kind = 'block'",
        "UPDATE shelf SET rows = 1 WHERE kind = 'block'",
        "DELETE FROM row WHERE kind = 'block'",
    ],
)
def test_what_is_missing_or_in_the_wrong_place_is_noticed(written: Path, statement: str) -> None:
    change(written, statement)
    loaded = load(written)
    assert BLOCKS in loaded.damaged
    assert OTHER not in loaded.damaged
    assert loaded.rows[OTHER] == {"t": b"text"}
    assert set(loaded.rows.get(BLOCKS, {}).values()) <= {b"one", b"two"}
    assert loaded.complaints


def test_damage_is_told_until_the_shelf_is_whole_again(written: Path) -> None:
    change(written, "UPDATE row SET data = 'evil' WHERE name = 'a'")
    load(written)
    file = StateFile(written, "ap1 of lab")
    assert file.load().damaged == {BLOCKS}
    file.write(Batch(rows(BLOCKS, a="one", b="two"), {BLOCKS}))
    file.close()
    loaded = load(written)
    assert (loaded.rows[BLOCKS], loaded.damaged) == ({"a": b"one", "b": b"two"}, set())


@pytest.mark.parametrize("seed", range(40))
def test_a_file_with_bad_bytes_gives_good_rows_or_none(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    good = {f"{number}": f"{rng.random()}" * 40 for number in range(60)}
    file = StateFile(path, "x")
    file.write(Batch(rows(BLOCKS, **good)))
    file.close()
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 20, 400))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.choice((len(data), len(data) // 2))])
    loaded = load(path, "x")
    found = loaded.rows.get(BLOCKS, {})
    assert all(good[name].encode() == text for name, text in found.items())
    if len(found) < len(good) and path.exists():
        assert BLOCKS in loaded.damaged


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + bytes(4096)])
def test_a_damaged_file_is_thrown_away(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    loaded = load(path)
    assert loaded.rows == {}
    assert "removed" in loaded.complaints[0]
    assert not path.exists()


def test_an_empty_file_is_none(path: Path) -> None:
    path.touch(0o600)
    assert (load(path).rows, load(path).complaints) == ({}, [])
    file = StateFile(path, "x")
    file.write(Batch(rows(BLOCKS, a="one")))
    file.close()
    assert load(path, "x").rows == {BLOCKS: {"a": b"one"}}


def test_the_file_of_another_role_site_or_format_is_not_used(written: Path) -> None:
    copy = written.with_name("copy")
    copy.write_bytes(written.read_bytes())
    loaded = load(written, "ap2 of lab")
    assert loaded.rows == {}
    assert "ap1 of lab, not of ap2 of lab" in loaded.complaints[0]
    change(copy, "PRAGMA user_version = 99")
    assert load(copy).rows == {}
    assert not copy.exists()


# --- rights


def test_the_file_is_private(written: Path) -> None:
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    written.chmod(0o644)
    assert load(written).rows
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_a_file_that_others_may_write_is_not_trusted(written: Path) -> None:
    written.chmod(0o620)
    assert load(written).rows == {}


def test_a_link_is_not_followed(written: Path) -> None:
    link = written.with_name("link")
    link.symlink_to(written)
    assert load(link).rows == {}
    assert written.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_file_of_somebody_else_is_not_trusted(written: Path) -> None:
    os.chown(written, 65534, 65534)
    assert load(written).rows == {}


# --- under way


def test_a_file_that_vanishes_or_is_damaged_under_way_is_told(written: Path) -> None:
    file = StateFile(written, "ap1 of lab")
    file.load()
    written.unlink()
    with pytest.raises(VanishedError):
        file.write(Batch(rows(BLOCKS, c="three")))
    file.write(Batch(rows(BLOCKS, c="three")))
    file.close()
    assert load(written).rows == {BLOCKS: {"c": b"three"}}


def test_a_failed_write_changes_nothing(written: Path) -> None:
    def full() -> bytes:
        raise OSError(28, "No space left on device")

    file = StateFile(written, "ap1 of lab")
    file.load()
    with pytest.raises(OSError, match="No space"):
        file.write(Batch({**rows(BLOCKS, a="new"), Key(*BLOCKS, "z"): full}))
    file.write(Batch(rows(OTHER, u="more")))
    file.close()
    assert load(written).rows == {BLOCKS: {"a": b"one", "b": b"two"}, OTHER: {"t": b"text", "u": b"more"}}
