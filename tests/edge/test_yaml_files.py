"""The folder of YAML files: the contract of all back ends, and what only files can do wrong."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from directory_contract import DirectoryContract

from era_ap.directory.folder_writer import FolderWriter
from era_ap.directory.index import Change, DirectoryIndex
from era_ap.directory.model import AccountKey
from era_ap.directory.resting import RESTLESS
from era_ap.directory.source import PIECE
from era_ap.directory.yaml_files import HURRY, MANY, YamlFiles
from era_ap.errors import Problem, Reason, Refused, Severity

KEY = AccountKey("example.com", "1001")
MAC = "001565aabbcc"


class Clock:
    """Monotonic and wall clock of a test; sleeping moves both. Files made now are an hour old."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Folder:
    """A YAML folder under test with its clock, its index and the writing verbs of the contract."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = Clock()
        self.index = DirectoryIndex()
        self.writer = FolderWriter(root)
        self.files = self.opened()

    def opened(self) -> YamlFiles:
        return YamlFiles(self.root, clock=self.clock, wall=lambda: 4e9, sleep=self.clock.sleep)

    def put(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def scan(self) -> Change | None:
        """One scan, half a second after the last."""
        self.clock.now += 0.5
        change = self.files.scan()
        if change is not None:
            self.index.apply(change)
        return change

    def settle(self) -> None:
        for _ in range(3):
            self.scan()

    def observe(self) -> Change | None:
        changes = [change for _ in range(3) if (change := self.scan()) is not None]
        return changes[-1] if changes else None

    def write_account(self, key: AccountKey, document: Mapping[str, object]) -> str:
        return asyncio.run(self.writer.write_account(key, document))

    def write_domain(self, name: str, document: Mapping[str, object]) -> str:
        return asyncio.run(self.writer.write_domain(name, document))

    def remove_account(self, key: AccountKey) -> bool:
        return asyncio.run(self.writer.remove_account(key))

    def name_of(self, key: AccountKey = KEY) -> object:
        account = self.index.account(key)
        return None if account is None else account.fields["name"]

    def problem(self) -> Problem:
        (problem,) = self.index.problems
        return problem


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def served(folder: Folder) -> Folder:
    """A folder with one account in service, named "old"."""
    folder.put("example.com/domain.yml", "settings: {ap_constants: {a: '1'}}\n")
    folder.put("example.com/sipusers/1001.yml", "name: old\n")
    folder.scan()
    return folder


class TestContract(DirectoryContract):
    @pytest.fixture
    def backend(self, folder: Folder) -> Folder:
        return folder


# --- layout


@pytest.mark.parametrize("suffix", ["yml", "yaml", "json"])
def test_every_suffix_is_read(folder: Folder, suffix: str) -> None:
    folder.put(f"example.com/sipusers/1001.{suffix}", '{"name": "x"}')
    folder.put(f"example.com/domain.{suffix}", '{"settings": {"ap_constants": {"a": 1.50}}}')
    folder.scan()
    domain = folder.index.domain("example.com")
    assert domain is not None
    assert (folder.name_of(), domain.constants) == ("x", {"a": "1.50"})


def test_the_first_suffix_wins_and_the_other_is_a_problem(folder: Folder) -> None:
    folder.put("example.com/sipusers/1001.json", '{"name": "json"}')
    folder.put("example.com/sipusers/1001.yml", "name: yml\n")
    folder.scan()
    assert folder.name_of() == "yml"
    assert folder.problem().where.endswith("1001.json")


def test_a_domain_needs_no_file_of_its_own(folder: Folder) -> None:
    folder.put("Example.COM/sipusers/1001.yml", "name: x\n")
    folder.scan()
    domain = folder.index.domain("example.com")
    assert domain is not None
    assert (domain.settings, folder.name_of()) == ({}, "x")


@pytest.mark.parametrize(
    "name",
    [".1001.yml.swp", "1001.yml~", "#1001.yml#", ".#1001.yml", "1001.yml.bak", "1001.txt", ".1001.yml"],
)
def test_editors_leftovers_are_ignored(folder: Folder, name: str) -> None:
    folder.put("example.com/domain.yml", "settings: {}\n")
    folder.put(f"example.com/sipusers/{name}", "{{{ broken")
    folder.put(".git/sipusers/1.yml", "{{{ broken")
    folder.put("README", "x")
    folder.scan()
    assert (len(folder.index), folder.index.problems, folder.index.domains) == (0, (), ("example.com",))


@pytest.mark.parametrize("text", ["login: '1002'\n", "domain: other.com\n", "login: 01001\n"])
def test_a_field_that_disagrees_with_the_place_is_a_problem(folder: Folder, text: str) -> None:
    file = folder.put("example.com/sipusers/1001.yml", text)
    folder.scan()
    assert (len(folder.index), folder.problem().where) == (0, str(file))


def test_names_that_are_no_domain_or_login_are_problems(folder: Folder) -> None:
    folder.put("example.com/sipusers/ .yml", "name: x\n")
    folder.put("not a domain/sipusers/1.yml", "name: x\n")
    os.mkdir(os.fsencode(folder.root) + b"/\xff\xfe")
    folder.scan()
    assert len(folder.index) == 0
    assert len(folder.index.problems) == 3
    for problem in folder.index.problems:
        problem.where.encode()


def test_yaml_types_stay_text(folder: Folder) -> None:
    text = (
        f"opts: {{ap_mac_address: {MAC}, ap_device_model: 017}}\nreg: no\nname: 1e3\nt: 12:34:56:12:34:56\n"
    )
    folder.put("example.com/sipusers/1001.yml", text)
    folder.scan()
    account = folder.index.account(KEY)
    assert account is not None
    assert (account.registers, account.fields["name"], account.fields["t"]) == (
        False,
        "1e3",
        "12:34:56:12:34:56",
    )
    assert [(each.mac, each.model) for each in account.devices] == [(MAC, "017")]


# --- changes


def test_the_first_scan_reports_progress(folder: Folder) -> None:
    for number in range(5):
        folder.put(f"example.com/sipusers/{number}.yml", "name: x\n")
    seen: list[tuple[int, int]] = []
    folder.files.scan(lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]


def test_a_change_is_in_service_within_two_seconds(served: Folder) -> None:
    begin = served.clock.now
    served.put("example.com/sipusers/1001.yml", "name: new\n")
    while served.name_of() != "new":
        served.scan()
    assert served.clock.now - begin <= 2.0


def test_a_file_is_not_read_before_it_rests(served: Folder) -> None:
    served.put("example.com/sipusers/1001.yml", "name: new\n")
    assert served.scan() is None
    assert served.name_of() == "old"


def test_an_edit_that_keeps_size_and_mtime_is_seen(served: Folder) -> None:
    file = served.root / "example.com/sipusers/1001.yml"
    before = file.stat()
    file.write_text("name: new\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    served.settle()
    assert served.name_of() == "new"


def test_mass_reading_keeps_the_garbage_collector_away_and_lets_it_back(folder: Folder) -> None:
    for number in range(MANY):
        folder.put(f"example.com/sipusers/{number}.yml", "name: [x]\n")
    running: set[bool] = set()
    frozen = gc.get_freeze_count()
    try:
        folder.files.scan(lambda *_: running.add(gc.isenabled()))
        assert (running, gc.isenabled()) == ({False}, True)
        assert gc.get_freeze_count() > frozen + MANY
    finally:
        gc.unfreeze()


def test_fresh_files_are_waited_for_once_at_the_start(folder: Folder) -> None:
    file = folder.put("example.com/sipusers/1001.yml", "name: x\n")
    files = YamlFiles(
        folder.root, clock=folder.clock, wall=lambda: file.stat().st_mtime + 0.1, sleep=folder.clock.sleep
    )
    change = files.scan()
    assert change is not None
    assert [each.fields["name"] for each in change.accounts] == ["x"]
    assert len(folder.clock.slept) == 1


def test_a_file_being_written_at_the_start_is_left_for_later(folder: Folder) -> None:
    file = folder.put("example.com/sipusers/1001.yml", "name: half\n")
    folder.files = YamlFiles(
        folder.root,
        clock=folder.clock,
        wall=lambda: file.stat().st_mtime,
        sleep=lambda _: file.write_text("name: half and the rest\n"),
    )
    folder.scan()
    assert folder.name_of() is None
    folder.settle()
    assert folder.name_of() == "half and the rest"


def test_a_touched_file_is_no_change(served: Folder) -> None:
    revision = served.index.revision
    os.utime(served.root / "example.com/sipusers/1001.yml", (1, 1))
    served.settle()
    assert served.index.revision == revision


def test_a_file_that_is_away_for_a_moment_is_not_removed(served: Folder) -> None:
    file = served.root / "example.com/sipusers/1001.yml"
    file.rename(served.root / "example.com/sipusers/1001.yml~")
    served.scan()
    assert served.name_of() == "old"
    file.write_text("name: new\n")
    served.settle()
    assert served.name_of() == "new"


def test_removals_of_accounts_and_domains(served: Folder) -> None:
    served.put("other.com/sipusers/7.yml", "name: other\n")
    served.settle()
    shutil.rmtree(served.root / "example.com")
    served.settle()
    assert (served.index.domains, len(served.index), served.name_of()) == (("other.com",), 1, None)


def test_a_domain_file_that_goes_leaves_empty_settings(served: Folder) -> None:
    (served.root / "example.com/domain.yml").unlink()
    served.settle()
    domain = served.index.domain("example.com")
    assert domain is not None
    assert (domain.constants, served.name_of()) == ({}, "old")


def test_a_file_that_never_rests_becomes_a_problem_and_then_heals(served: Folder) -> None:
    for number in range(int(RESTLESS * 2) + 3):
        served.put("example.com/sipusers/1001.yml", "name: " + "x" * number + "\n")
        served.scan()
    assert served.name_of() == "old"
    assert (served.problem().reason, served.problem().severity) == (Reason.FILE_CHANGED, Severity.WARNING)
    served.put("example.com/sipusers/1001.yml", "name: new\n")
    served.settle()
    assert (served.name_of(), served.index.problems) == ("new", ())


# --- what is broken


BROKEN = [
    ("name: x\nname: y\n", 2),
    ("name: x\n b: y\n", 2),
    ("name: x\nopts: [1, 2\n", 3),
    ("a: 1\n---\nb: 2\n", 2),
    ("a: !!int 1\n", 1),
    ("a: \x00", 1),
    ("", None),
    ("\n  \n", None),
    ("- a\n", None),
    ("x", None),
    ("a: " + "x" * (1 << 20), None),
]


@pytest.mark.parametrize(("text", "line"), BROKEN)
def test_a_broken_file_keeps_its_last_good_version_and_the_rest_serves(
    served: Folder, text: str, line: int | None
) -> None:
    file = served.put("example.com/sipusers/1001.yml", text)
    served.put("example.com/sipusers/1002.yml", "name: second\n")
    served.settle()
    assert served.name_of() == "old"
    assert served.name_of(AccountKey("example.com", "1002")) == "second"
    assert served.problem().where == (str(file) if line is None else f"{file}:{line}")
    file.write_text("name: old\n")
    served.settle()
    assert (served.name_of(), served.index.problems) == ("old", ())


def test_a_broken_domain_file_keeps_its_last_good_version(served: Folder) -> None:
    file = served.put("example.com/domain.yml", "settings:\n  a: 1\n  a: 2\n")
    served.settle()
    domain = served.index.domain("example.com")
    assert domain is not None
    assert domain.constants == {"a": "1"}
    assert (served.problem().where, served.problem().reason) == (f"{file}:3", Reason.DOMAIN_INVALID)


def test_a_file_that_was_never_good_is_a_problem(folder: Folder) -> None:
    folder.put("example.com/domain.yml", "settings: [\n")
    folder.put("example.com/sipusers/1001.yml", "[")
    folder.put("example.com/sipusers/1002.yml", "name: second\n")
    folder.scan()
    assert (len(folder.index), folder.index.domain("example.com")) == (1, None)
    assert [each.reason for each in folder.index.problems] == [Reason.DOMAIN_INVALID, Reason.ACCOUNT_INVALID]


def test_a_file_that_is_not_utf8(served: Folder) -> None:
    (served.root / "example.com/sipusers/1001.yml").write_bytes(b"a: 1\nname: \xc3\x28\n")
    served.settle()
    assert served.name_of() == "old"
    assert served.problem().where.endswith("1001.yml:2")


def test_an_unreadable_file_keeps_its_version_until_it_can_be_read(
    served: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    file = served.put("example.com/sipusers/1001.yml", "name: new\n")
    with monkeypatch.context() as patch:
        patch.setattr("era_ap.directory.yaml_files.read_signed", denied)
        served.settle()
    assert served.name_of() == "old"
    assert (served.problem().reason, served.problem().where) == (Reason.FILE_UNREADABLE, str(file))
    served.settle()
    assert (served.name_of(), served.index.problems) == ("new", ())


def test_a_file_that_is_unreadable_for_a_while_and_then_the_same_is_no_problem(
    served: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    (served.root / "example.com/sipusers/1001.yml").chmod(0o600)
    with monkeypatch.context() as patch:
        patch.setattr("era_ap.directory.yaml_files.read_signed", denied)
        served.settle()
        assert served.problem().reason is Reason.FILE_UNREADABLE
    served.settle()
    assert (served.name_of(), served.index.problems) == ("old", ())


# --- a mount that goes away


@pytest.mark.parametrize("vanish", ["removed", "emptied"])
def test_a_vanished_root_removes_nothing(served: Folder, vanish: str) -> None:
    away = served.root.with_name("away")
    served.root.rename(away)
    if vanish == "emptied":
        served.root.mkdir()
    for _ in range(5):
        with pytest.raises(Refused) as caught:
            served.scan()
        assert caught.value.reason is Reason.DIRECTORY_UNAVAILABLE
    if vanish == "emptied":
        served.root.rmdir()
    away.rename(served.root)
    assert served.scan() is None
    assert served.name_of() == "old"


def test_an_empty_root_at_the_start_is_unavailable_until_it_is_there(folder: Folder) -> None:
    for _ in range(2):
        with pytest.raises(Refused):
            folder.scan()
    folder.put("example.com/sipusers/1001.yml", "name: x\n")
    folder.scan()
    assert folder.name_of() == "x"


@pytest.mark.parametrize("part", ["example.com", "sipusers"])
def test_a_folder_that_cannot_be_listed_stays_as_it_was(
    served: Folder, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def scandir(path: str) -> object:
        if str(path).endswith(part):
            raise OSError(5, "Input/output error")
        return real(path)

    real = os.scandir
    with monkeypatch.context() as patch:
        patch.setattr("era_ap.directory.folder.os.scandir", scandir)
        served.settle()
        assert (served.name_of(), served.index.domains) == ("old", ("example.com",))
        assert served.problem().reason is Reason.FILE_UNREADABLE
    served.settle()
    assert (served.name_of(), served.index.problems) == ("old", ())


# --- what is never opened


def test_links_inside_the_root_are_followed_and_seen_changing(folder: Folder) -> None:
    target = folder.put("example.com/common/1001.yml", "name: old\n")
    (folder.root / "example.com/sipusers").mkdir()
    (folder.root / "example.com/sipusers/1001.yml").symlink_to("../common/1001.yml")
    folder.scan()
    assert folder.name_of() == "old"
    target.write_text("name: new\n")
    folder.settle()
    assert folder.name_of() == "new"


def test_links_that_leave_the_root_are_not_followed(
    served: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "sipusers").mkdir()
    (outside / "sipusers/9.yml").write_text("name: outside\n")
    (served.root / "other.com").symlink_to(outside)
    (served.root / "third.com").mkdir()
    (served.root / "third.com/sipusers").symlink_to(outside / "sipusers")
    (served.root / "example.com/sipusers/9.yml").symlink_to(outside / "sipusers/9.yml")
    served.settle()
    assert len(served.index) == 1
    assert [each.reason for each in served.index.problems] == [Reason.FILE_OUTSIDE] * 3


def test_a_link_to_a_sibling_of_like_name_is_outside(tmp_path: Path) -> None:
    (tmp_path / "root-b").mkdir()
    (tmp_path / "root-b/1.yml").write_text("name: outside\n")
    folder = Folder(tmp_path / "root")
    folder.put("example.com/sipusers/2.yml", "name: x\n")
    (folder.root / "example.com/sipusers/1.yml").symlink_to(tmp_path / "root-b/1.yml")
    folder.scan()
    assert (len(folder.index), folder.problem().reason) == (1, Reason.FILE_OUTSIDE)


def test_fifos_sockets_folders_and_loops_are_problems_not_hangs(served: Folder) -> None:
    base = served.root / "example.com/sipusers"
    os.mkfifo(base / "2.yml")
    (base / "3.yml").mkdir()
    (base / "4.yml").symlink_to("4.yml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(base / "5.yml"))
        served.settle()
    assert [each.reason for each in served.index.problems] == [
        Reason.FILE_SPECIAL, Reason.FILE_SPECIAL, Reason.FILE_UNREADABLE, Reason.FILE_SPECIAL
    ]  # fmt: skip


def test_an_account_replaced_by_a_fifo_stays(served: Folder) -> None:
    file = served.root / "example.com/sipusers/1001.yml"
    file.unlink()
    os.mkfifo(file)
    served.settle()
    assert (served.name_of(), served.problem().reason) == ("old", Reason.FILE_SPECIAL)


# --- pieces, portions, hurry


def test_a_look_hands_over_pieces_domain_by_domain(folder: Folder) -> None:
    for domain in ("b.com", "a.com"):
        for number in range(PIECE - 100):
            folder.put(f"{domain}/sipusers/{number:04}.json", "{}")
    pieces = list(folder.files.look())
    accounts = [account.key for piece in pieces for account in piece.accounts]
    assert accounts == sorted(accounts)
    assert len(accounts) == 2 * (PIECE - 100)
    assert all(len(piece.accounts) <= PIECE for piece in pieces)
    assert list(folder.files.look()) == []


def test_a_look_that_was_not_followed_to_its_end_is_made_again(folder: Folder) -> None:
    for number in range(2 * PIECE):
        folder.put(f"a.com/sipusers/{number:04}.json", "{}")
    look = folder.files.look()
    assert len(next(look).accounts) > 0
    look.close()
    assert folder.files.is_whole
    change = folder.files.scan()
    assert change is not None
    assert len(change.accounts) == 2 * PIECE
    assert not folder.files.is_whole


def test_a_first_look_says_what_it_could_not_read(folder: Folder, tmp_path: Path) -> None:
    folder.put("a.com/sipusers/1.yml", "name: [unclosed\n")
    folder.put("a.com/sipusers/2.yml", "name: good\n")
    folder.put("b.com/domain.yml", "settings: [\n")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (folder.root / "c.com").symlink_to(outside)
    os.mkfifo(folder.root / "a.com/sipusers/3.yml")
    change = folder.files.scan()
    assert change is not None
    assert [account.key.login for account in change.accounts] == ["2"]
    keys = {AccountKey("a.com", "1"), AccountKey("a.com", "3")}
    assert set(change.unknown) == {*keys, "b.com"}
    assert change.lost == ("c.com",)


def test_what_does_not_rest_yet_is_said_so(served: Folder) -> None:
    served.scan()
    assert served.files.pending == frozenset()
    served.put("example.com/sipusers/1001.yml", "name: new name\n")
    assert served.scan() is None
    assert served.files.pending == {"example.com"}
    served.clock.now += served.files.settle + 0.01
    pieces = list(served.files.look(served.files.pending))
    assert [account.fields["name"] for piece in pieces for account in piece.accounts] == ["new name"]
    assert served.files.pending == frozenset()


def test_only_the_domains_asked_for_are_looked_into(served: Folder) -> None:
    served.put("other.com/sipusers/7.yml", "name: x\n")
    served.settle()
    shutil.rmtree(served.root / "other.com")
    served.put("example.com/sipusers/1002.yml", "name: y\n")
    assert list(served.files.look(["example.com"])) == []
    served.clock.now += 1
    (change,) = served.files.look(["example.com"])
    assert [account.key.login for account in change.accounts] == ["1002"]
    assert (change.removed, change.removed_domains) == ((), ())
    served.settle()
    assert served.index.domain("other.com") is None


def test_in_a_hurry_a_file_is_waited_for_and_read_at_once(served: Folder) -> None:
    served.put("example.com/sipusers/1001.yml", "name: new name\n")
    (change,) = served.files.look(["example.com"], hurry=True)
    assert served.clock.slept[-1:] == [HURRY]
    assert [account.fields["name"] for account in change.accounts] == ["new name"]


def test_in_a_hurry_a_file_that_is_being_written_is_left_alone(served: Folder) -> None:
    path = served.put("example.com/sipusers/1001.yml", "name: h")

    def sleep(seconds: float) -> None:
        served.clock.sleep(seconds)
        path.write_text("name: half\n")

    served.files._sleep = sleep
    assert list(served.files.look(["example.com"], hurry=True)) == []
    assert served.name_of() == "old"
    (change,) = (each for _ in range(3) if (each := served.scan()) is not None)
    assert [account.fields["name"] for account in change.accounts] == ["half"]


# --- what is edited is found as it was written


def test_what_is_written_is_text_for_any_reader(folder: Folder) -> None:
    document = {
        "login": "1001",
        "password": "0123",
        "opts": {"ap_mac_address": "001122334455", "x": "no"},
        "reg": False,
    }
    folder.write_account(KEY, document)
    assert yaml.safe_load((folder.root / "example.com/sipusers/1001.yml").read_text()) == document


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_an_existing_file_is_rewritten_in_its_own_form(folder: Folder, suffix: str) -> None:
    path = folder.put(f"Example.com/sipusers/1001.{suffix}", "{}")
    folder.write_account(KEY, {"name": "x"})
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    folder.scan()
    assert (folder.name_of(), folder.index.problems) == ("x", ())


@pytest.mark.parametrize("login", ["../1001", "a/b", "..", ".hidden", "a\\b", "\x00", "я" * 128])
def test_no_login_leads_out_of_the_folder(folder: Folder, login: str) -> None:
    before = sorted(folder.root.rglob("*"))
    key = AccountKey("example.com", login)
    with pytest.raises(Refused):
        folder.write_account(key, {})
    with pytest.raises(Refused):
        folder.remove_account(key)
    assert sorted(folder.root.rglob("*")) == before


@pytest.mark.parametrize(
    "document", [{"a": "\ud800"}, {"a": "x" * (1 << 20)}, {"a": object()}, {"1": "a", 1: "b"}]
)
def test_what_would_not_read_back_is_refused(folder: Folder, document: dict[str, object]) -> None:
    with pytest.raises(Refused) as caught:
        folder.write_account(KEY, document)
    assert caught.value.reason is Reason.ACCOUNT_INVALID
    assert list(folder.root.rglob("*.yml")) == []
