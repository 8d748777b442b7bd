"""Reading one file by its signature, and replacing one."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from era_ap.directory import folder
from era_ap.directory.folder import Signature, list_folder, read_signed, replace_file
from era_ap.directory.model import AccountKey


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "example.com/sipusers/1001.yml"
    path.parent.mkdir(parents=True)
    path.write_text("name: old\n")
    return path


def signature_of(root: Path) -> Signature:
    return list_folder(root).found[AccountKey("example.com", "1001")]


def test_the_content_a_signature_stands_for(tmp_path: Path, file: Path) -> None:
    assert read_signed(signature_of(tmp_path), 100) == b"name: old\n"


def test_no_more_than_one_byte_past_the_limit_is_read(tmp_path: Path, file: Path) -> None:
    assert read_signed(signature_of(tmp_path), 3) == b"name"


def test_a_file_that_changed_before_the_read(tmp_path: Path, file: Path) -> None:
    signature = signature_of(tmp_path)
    file.write_text("name: newer\n")
    assert read_signed(signature, 100) is None


def test_a_file_that_changes_during_the_read(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disturbed(io.FileIO):
        def read(self, size: int = -1, /) -> bytes:
            data = super().read(size)
            file.write_text("name: newer\n")
            return data

    signature = signature_of(tmp_path)
    monkeypatch.setattr(folder.os, "fdopen", lambda descriptor, *_, **__: Disturbed(descriptor))
    assert read_signed(signature, 100) is None


def test_a_fifo_in_its_place_does_not_hang(tmp_path: Path, file: Path) -> None:
    signature = signature_of(tmp_path)
    file.unlink()
    os.mkfifo(file)
    assert read_signed(signature, 100) is None


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, file: Path) -> None:
    signature = signature_of(tmp_path)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        read_signed(signature, 100)


def test_replacing_a_file_never_shows_a_part(tmp_path: Path, file: Path) -> None:
    with file.open("rb") as reader:
        replace_file(file, b"name: new\n")
        assert reader.read() == b"name: old\n"
    assert file.read_bytes() == b"name: new\n"
    assert os.listdir(file.parent) == ["1001.yml"]


def test_a_replaced_link_leaves_its_target_alone(tmp_path: Path, file: Path) -> None:
    target = tmp_path / "target"
    target.write_text("untouched")
    file.unlink()
    file.symlink_to(target)
    replace_file(file, b"name: new\n")
    assert (target.read_text(), file.read_text(), file.is_symlink()) == ("untouched", "name: new\n", False)
