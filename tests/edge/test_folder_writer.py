"""The folder as a directory that can be edited: whole files, untouched files, revisions, locks."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from era_ap.directory import folder
from era_ap.directory.documents import Difference, DomainDocuments, Original, Stored
from era_ap.directory.folder_writer import FolderWriter
from era_ap.directory.model import AccountKey
from era_ap.errors import Reason, Refused

A = "a.example.com"
KEY = AccountKey(A, "101")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def content(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes().decode()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "directory"


@pytest.fixture
def writer(root: Path) -> FolderWriter:
    return FolderWriter(root)


WANTED = DomainDocuments(
    A,
    {"settings": {"ap_constants": {"x": "1"}}},
    {"101": {"name": "Anna"}, "102": {"name": "Boris"}},
    {"102": Original(f"{A}/sipusers/102.yaml", "# the boss\nname:   Boris\n")},
)


def test_put_writes_canonical_files_and_the_operators_own(root: Path, writer: FolderWriter) -> None:
    assert run(writer.put(WANTED)) == Difference(added=("101", "102"), domain=True)
    assert content(root) == {
        f"{A}/domain.yml": 'settings:\n  ap_constants:\n    x: "1"\n',
        f"{A}/sipusers/101.yml": "name: Anna\n",
        f"{A}/sipusers/102.yaml": "# the boss\nname:   Boris\n",
    }
    assert run(writer.documents(A)) == WANTED
    assert run(writer.domains()) == (A,)


def test_files_and_folders_are_private(root: Path, writer: FolderWriter) -> None:
    run(writer.put(WANTED))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root, root / A, root / A / "sipusers")} == {0o700}


def test_a_file_that_means_the_same_is_not_touched(root: Path, writer: FolderWriter) -> None:
    path = root / A / "sipusers" / "101.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"name":    "Anna"}')
    before = path.stat()
    assert run(writer.put(WANTED)) == Difference(added=("102",), unchanged=1, domain=True)
    assert path.stat() == before


def test_a_changed_document_keeps_its_file_name_and_syntax(root: Path, writer: FolderWriter) -> None:
    for name, text in (("101.json", '{"name": "Old"}'), ("102.yml", "name: Old\n")):
        path = root / "A.Example.com" / "sipusers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    run(writer.put(WANTED))
    assert content(root) == {
        "A.Example.com/domain.yml": 'settings:\n  ap_constants:\n    x: "1"\n',
        "A.Example.com/sipusers/101.json": '{\n  "name": "Anna"\n}\n',
        "A.Example.com/sipusers/102.yml": "# the boss\nname:   Boris\n",
    }


def test_a_new_folder_is_spelt_as_the_operator_spelt_it(root: Path, writer: FolderWriter) -> None:
    originals = {"102": Original("A.Example.com/sipusers/102.yml", "name: Boris\n")}
    run(writer.put(DomainDocuments(A, None, dict(WANTED.accounts), originals)))
    assert list(content(root)) == ["A.Example.com/sipusers/101.yml", "A.Example.com/sipusers/102.yml"]


def test_others_are_removed_only_when_asked(root: Path, writer: FolderWriter) -> None:
    run(writer.put(WANTED))
    some = DomainDocuments(A, None, {"101": {"name": "Anna"}})
    assert run(writer.put(some)) == Difference(unchanged=1)
    assert run(writer.put(some, remove_others=True, dry_run=True)) == Difference(
        removed=("102",), unchanged=1, domain=True
    )
    assert len(content(root)) == 3
    run(writer.put(some, remove_others=True))
    assert list(content(root)) == [f"{A}/sipusers/101.yml"]


def test_a_domain_whose_last_file_goes_is_gone_but_foreign_files_stay(
    root: Path, writer: FolderWriter
) -> None:
    run(writer.put(WANTED))
    assert run(writer.remove_domain(A))
    assert list(root.iterdir()) == []
    run(writer.put(WANTED))
    (root / A / "README").write_text("mine")
    assert run(writer.remove_domain(A))
    assert not run(writer.remove_domain(A))
    assert content(root) == {f"{A}/README": "mine"}
    assert run(writer.documents(A)) is None


def test_nothing_is_written_if_one_document_is_refused(root: Path, writer: FolderWriter) -> None:
    with pytest.raises(Refused) as refused:
        run(writer.put(DomainDocuments(A, None, {"101": {}, "102": {"opts": "x"}})))
    assert refused.value.reason is Reason.ACCOUNT_INVALID
    assert content(root) == {}


def test_nothing_is_put_in_place_if_one_file_cannot_be_written(
    root: Path, writer: FolderWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def fail_at_the_second(path: Path, data: bytes, *, sync: bool) -> Path:
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device", str(path))
        return original(path, data, sync=sync)

    original = folder._write_beside
    monkeypatch.setattr(folder, "_write_beside", fail_at_the_second)
    with pytest.raises(Refused, match="No space left") as refused:
        run(writer.put(WANTED))
    assert refused.value.reason is Reason.DIRECTORY_UNAVAILABLE
    assert content(root) == {}


def test_many_files_are_safe_on_disk_before_the_first_is_in_place(
    root: Path, writer: FolderWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(folder.os, "sync", lambda: seen.append(len(list(root.rglob("*.yml")))))
    many = {str(number): {"name": "x"} for number in range(folder.MANY_FILES)}
    run(writer.put(DomainDocuments(A, None, many)))
    assert seen == [0]
    assert len(content(root)) == folder.MANY_FILES


def test_a_revision_that_is_expected_protects_the_others_work(writer: FolderWriter) -> None:
    first = run(writer.write_account(KEY, {"name": "Anna"}, expected=""))
    assert run(writer.account(KEY)) == Stored({"name": "Anna"}, first)
    second = run(writer.write_account(KEY, {"name": "Boris"}, expected=first))
    for work in (
        writer.write_account(KEY, {"name": "Clara"}, expected=first),
        writer.write_account(KEY, {"name": "Clara"}, expected=""),
        writer.remove_account(KEY, expected=first),
    ):
        with pytest.raises(Refused) as refused:
            run(work)
        assert refused.value.reason is Reason.DIRECTORY_CONFLICT
    assert run(writer.write_account(KEY, {"name": "Boris"}, expected=second)) == second
    assert run(writer.remove_account(KEY, expected=second))
    assert run(writer.account(KEY)) is None


def test_documents_of_domains_have_revisions_too(writer: FolderWriter) -> None:
    run(writer.write_account(KEY, {}))
    assert run(writer.domain(A)) == Stored({}, "")
    revision = run(writer.write_domain(A, {"settings": {}}, expected=""))
    assert run(writer.domain(A)) == Stored({"settings": {}}, revision)
    assert run(writer.domain("b.example.com")) is None


def test_a_broken_file_can_be_overwritten_but_is_never_taken_for_nothing(
    root: Path, writer: FolderWriter
) -> None:
    path = root / A / "sipusers" / "101.yml"
    path.parent.mkdir(parents=True)
    path.write_text("a: [")
    with pytest.raises(Refused):
        run(writer.documents(A))
    with pytest.raises(Refused):
        run(writer.account(KEY))
    assert run(writer.put(DomainDocuments(A, None, {"101": {"name": "Anna"}}))).changed == ("101",)
    assert path.read_text() == "name: Anna\n"


def test_a_folder_that_leads_elsewhere_is_refused(root: Path, writer: FolderWriter, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    root.mkdir()
    (root / A).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused) as refused:
        run(writer.put(WANTED))
    assert refused.value.reason is Reason.FILE_OUTSIDE
    assert content(tmp_path / "elsewhere") == {}


def test_a_root_that_is_no_folder_is_unavailable(root: Path, writer: FolderWriter) -> None:
    root.write_text("")
    for work in (writer.put(WANTED), writer.domains(), writer.write_account(KEY, {})):
        with pytest.raises(Refused) as refused:
            run(work)
        assert refused.value.reason is Reason.DIRECTORY_UNAVAILABLE


def test_writers_wait_for_each_other(root: Path, writer: FolderWriter) -> None:
    """Twenty writers raise one number, each from what it read: only a lost update would leave it too low."""

    async def raise_it() -> None:
        while True:
            there = await writer.account(KEY)
            assert there is not None
            document = {"n": str(int(str(there.document["n"])) + 1)}
            try:
                await writer.write_account(KEY, document, expected=there.revision)
            except Refused:
                continue
            return

    run(writer.write_account(KEY, {"n": "0"}))
    threads = [threading.Thread(target=lambda: asyncio.run(raise_it())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run(writer.account(KEY)).document == {"n": "20"}


def test_the_mode_of_a_file_stays(root: Path, writer: FolderWriter) -> None:
    run(writer.put(WANTED))
    path = root / A / "sipusers" / "101.yml"
    os.chmod(path, 0o640)
    run(writer.write_account(KEY, {"name": "Other"}))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
