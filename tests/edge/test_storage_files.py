"""Path safety: what lies outside the storage, has two names or is no file is never read (F3)."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from era_ap.errors import Reason, Refused
from era_ap.storage_files import Listing, list_folder, open_regular, read_piece, stamp_of

SECRET = b"secret of another folder"


@pytest.fixture
def storage(tmp_path):
    root = tmp_path / "ap"
    (root / "configs" / "fw").mkdir(parents=True)
    (root / "templates").mkdir()
    (root / "configs" / "plain").write_bytes(b"plain")
    (tmp_path / "ap-secrets").mkdir()
    (tmp_path / "ap-secrets" / "passwd").write_bytes(SECRET)
    return root


def refusal(call, *arguments, **more) -> Reason:
    with pytest.raises(Refused) as caught:
        call(*arguments, **more)
    return caught.value.reason


def listed(root) -> Listing:
    return list_folder(root, "configs", leftovers=True)


def test_files_of_all_folders_below_are_listed_with_their_stamp(storage):
    (storage / "configs" / "fw" / "T46S.rom").write_bytes(b"x" * 10)
    found = listed(storage)
    assert sorted(found.files) == ["fw/T46S.rom", "plain"]
    assert found.files["plain"] == stamp_of((storage / "configs" / "plain").stat())
    assert not found.refused
    assert not found.is_empty


def test_hidden_files_and_readmes_are_passed_over_and_leftovers_where_asked(storage):
    for name in (".hidden", ".#lock", "README", "readme.rst", "a~", "#a#", "a.swp", "A.SWO", "4913"):
        (storage / "configs" / name).write_bytes(b"x")
    (storage / "configs" / ".git").mkdir()
    (storage / "configs" / ".git" / "config").write_bytes(b"x")
    assert sorted(listed(storage).files) == ["#a#", "4913", "A.SWO", "a.swp", "a~", "plain"]
    assert sorted(list_folder(storage, "configs", leftovers=False).files) == ["plain"]


def test_a_folder_with_nothing_in_it_is_told_from_one_with_ignored_files(storage):
    assert list_folder(storage, "templates", leftovers=False).is_empty
    (storage / "templates" / "README").write_bytes(b"")
    assert not list_folder(storage, "templates", leftovers=False).is_empty


@pytest.mark.parametrize(
    "target",
    ["../../ap-secrets/passwd", "../../ap-secrets", "/etc/passwd", "/etc", "/proc/self/environ", "../.."],
)
def test_a_link_that_leaves_the_storage_is_refused_when_listed_and_when_opened(storage, target):
    (storage / "configs" / "link").symlink_to(target)
    found = listed(storage)
    assert found.refused["link"].reason is Reason.FILE_OUTSIDE
    assert list(found.files) == ["plain"]
    assert refusal(open_regular, storage, "configs/link") is Reason.FILE_OUTSIDE


def test_a_folder_that_is_a_link_out_takes_its_files_with_it(storage):
    (storage / "configs" / "linked").symlink_to(storage.parent / "ap-secrets")
    assert listed(storage).refused["linked"].reason is Reason.FILE_OUTSIDE
    assert refusal(open_regular, storage, "configs/linked/passwd") is Reason.FILE_OUTSIDE


@pytest.mark.parametrize(
    "path", ["../ap-secrets/passwd", "configs/../../ap-secrets/passwd", "/etc/../../etc/passwd"]
)
def test_a_path_that_climbs_out_is_refused_when_opened(storage, path):
    with pytest.raises((Refused, FileNotFoundError)) as caught:
        open_regular(storage, path)
    if isinstance(caught.value, Refused):
        assert caught.value.reason is Reason.FILE_OUTSIDE


def test_the_storage_folder_itself_as_a_link_out_is_refused(storage):
    (storage / "constants").symlink_to(storage.parent / "ap-secrets")
    assert refusal(list_folder, storage, "constants", leftovers=False) is Reason.FILE_OUTSIDE


def test_links_inside_the_storage_are_followed_also_when_it_is_reached_by_a_link(storage):
    (storage / "configs" / "file").symlink_to("plain")
    (storage / "configs" / "folder").symlink_to(storage / "configs" / "fw")
    (storage / "configs" / "fw" / "rom").write_bytes(b"rom")
    entrance = storage.parent / "entrance"
    entrance.symlink_to(storage)
    for root in (storage, entrance):
        found = listed(root)
        assert sorted(found.files) == ["file", "folder/rom", "fw/rom", "plain"]
        assert read_piece(root, "configs/folder/rom", found.files["folder/rom"], 0, 10) == b"rom"


def test_a_second_name_is_refused(storage):
    os.link(storage.parent / "ap-secrets" / "passwd", storage / "configs" / "hard")
    assert listed(storage).refused["hard"].reason is Reason.FILE_HARD_LINK
    assert refusal(open_regular, storage, "configs/hard") is Reason.FILE_HARD_LINK


def test_what_is_no_file_is_refused_without_waiting(storage):
    os.mkfifo(storage / "configs" / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(storage / "configs" / "socket"))
        found = listed(storage)
    assert {found.refused[name].reason for name in ("fifo", "socket")} == {Reason.FILE_SPECIAL}
    outcome = []
    thread = threading.Thread(
        target=lambda: outcome.append(refusal(open_regular, storage, "configs/fifo")), daemon=True
    )
    thread.start()
    thread.join(5)
    assert outcome == [Reason.FILE_SPECIAL]


def test_a_link_to_nowhere_and_a_circle_are_reported(storage):
    (storage / "configs" / "nowhere").symlink_to("gone")
    (storage / "configs" / "self").symlink_to("self")
    (storage / "configs" / "up").symlink_to("../configs")
    (storage / "configs" / "fw" / "loop").symlink_to("..")
    found = listed(storage)
    assert found.refused["nowhere"].reason is Reason.FILE_UNREADABLE
    assert found.refused["self"].reason is Reason.FILE_UNREADABLE
    assert all(path.count("/") < 40 for path in (*found.files, *found.refused))
    assert any(refused.reason is Reason.FILE_SPECIAL for refused in found.refused.values())


def test_a_name_that_is_not_utf_8_is_reported_and_disturbs_nothing(storage):
    (storage / "configs" / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    found = listed(storage)
    assert list(found.files) == ["plain"]
    assert [refused.reason for refused in found.refused.values()] == [Reason.FILE_UNREADABLE]


def test_a_file_exchanged_for_a_link_after_it_was_listed_is_not_read(storage):
    stamp = listed(storage).files["plain"]
    (storage / "configs" / "plain").unlink()
    (storage / "configs" / "plain").symlink_to(storage.parent / "ap-secrets" / "passwd")
    assert refusal(read_piece, storage, "configs/plain", stamp, 0, 100) is Reason.FILE_OUTSIDE


def test_a_parent_exchanged_for_a_link_after_it_was_listed_is_not_entered(storage):
    (storage / "configs" / "fw" / "passwd").write_bytes(SECRET[::-1])
    stamp = listed(storage).files["fw/passwd"]
    (storage / "configs" / "fw").rename(storage / "configs" / "old")
    (storage / "configs" / "fw").symlink_to(storage.parent / "ap-secrets")
    assert refusal(read_piece, storage, "configs/fw/passwd", stamp, 0, 100) is Reason.FILE_OUTSIDE


@pytest.mark.parametrize("path", ["configs/plain", "configs/fw/passwd"])
def test_a_link_that_appears_between_the_check_and_the_opening_is_not_followed(storage, monkeypatch, path):
    (storage / "configs" / "plain").unlink()
    (storage / "configs" / "plain").symlink_to(storage.parent / "ap-secrets" / "passwd")
    (storage / "configs" / "fw").rmdir()
    (storage / "configs" / "fw").symlink_to(storage.parent / "ap-secrets")
    monkeypatch.setattr(os.path, "realpath", lambda path, strict=False: os.path.abspath(path))
    with pytest.raises(OSError):
        open_regular(storage, path)


def test_while_links_are_exchanged_nothing_from_outside_is_ever_read(storage):
    """An attacker flips a file to a link and back while it is read; each read is the file or a refusal."""
    target, spare = storage / "configs" / "plain", storage / "configs" / "spare"
    stamp = listed(storage).files["plain"]
    stop = threading.Event()

    def flip():
        while not stop.is_set():
            spare.symlink_to(storage.parent / "ap-secrets" / "passwd")
            target.rename(storage / "configs" / "kept")
            spare.rename(target)
            (storage / "configs" / "kept").rename(target)

    thread = threading.Thread(target=flip, daemon=True)
    thread.start()
    outcomes = set()
    for _ in range(2000):
        try:
            outcomes.add(read_piece(storage, "configs/plain", stamp, 0, 100))
        except Refused as refused:
            outcomes.add(refused.reason)
    stop.set()
    thread.join(5)
    assert outcomes <= {b"plain", Reason.FILE_OUTSIDE, Reason.FILE_CHANGED, Reason.FILE_UNREADABLE}
    assert SECRET not in outcomes


def test_a_piece_is_exactly_what_was_asked_for(storage):
    (storage / "configs" / "plain").write_bytes(bytes(range(100)))
    stamp = listed(storage).files["plain"]
    assert read_piece(storage, "configs/plain", stamp, 10, 20) == bytes(range(10, 30))
    assert read_piece(storage, "configs/plain", stamp, 90, 20) == bytes(range(90, 100))
    assert read_piece(storage, "configs/plain", stamp, 100, 20) == b""


@pytest.mark.parametrize("change", ["written", "grown", "replaced", "removed"])
def test_a_changed_file_is_refused_by_its_old_stamp(storage, change):
    path = storage / "configs" / "plain"
    stamp = listed(storage).files["plain"]
    if change == "written":
        path.write_bytes(b"PLAIN")
        os.utime(path, ns=(1, 1))
    elif change == "grown":
        path.write_bytes(b"plain and more")
    elif change == "replaced":
        other = storage / "other"
        other.write_bytes(b"plain")
        os.utime(other, ns=(stamp.mtime_ns, stamp.mtime_ns))
        other.rename(path)
    else:
        path.unlink()
    assert refusal(read_piece, storage, "configs/plain", stamp, 0, 100) is Reason.FILE_CHANGED


def test_a_change_of_permissions_alone_is_no_change(storage):
    stamp = listed(storage).files["plain"]
    (storage / "configs" / "plain").chmod(0o640)
    assert read_piece(storage, "configs/plain", stamp, 0, 100) == b"plain"


def test_no_descriptor_is_left_open(storage):
    (storage / "configs" / "link").symlink_to("/etc/passwd")
    os.mkfifo(storage / "configs" / "fifo")
    stamp = listed(storage).files["plain"]
    before = len(os.listdir("/proc/self/fd"))
    for name in ("plain", "link", "fifo", "gone", "fw"):
        with pytest.raises(Refused) if name != "plain" else pytest.MonkeyPatch.context():
            read_piece(storage, f"configs/{name}", stamp, 0, 100)
    assert len(os.listdir("/proc/self/fd")) == before
