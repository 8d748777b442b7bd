"""The watch on the directory's folder: what is done to a domain is heard; what cannot be is said."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from era_ap.directory import folder_watch
from era_ap.directory.folder import replace_file
from era_ap.directory.folder_watch import FolderWatch

PATIENCE = 10.0


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the tests' folder is, take it for a file system of this host."""
    monkeypatch.setattr(folder_watch, "_file_system", lambda _: "ext4")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "directory"
    for name in ("a.com", "b.com"):
        (root / name / "sipusers").mkdir(parents=True)
        (root / name / "sipusers" / "1.yml").write_text("name: one\n")
    return root


def move(path: Path, to: Path) -> None:
    path.rename(to)


class Watched:
    """A watch that is armed; ``heard`` gives the domains of what was done since, sooner or later."""

    def __init__(self, root: Path) -> None:
        self.watch = FolderWatch(root)
        self._rang = asyncio.Event()
        self.watch.start(self._rang.set)
        self.watch.arm()
        self.watch.take()

    async def heard(self) -> frozenset[str] | None:
        async with asyncio.timeout(PATIENCE):
            await self._rang.wait()
        self._rang.clear()
        return self.watch.take()


def run(root: Path, test: Callable[[Watched], Awaitable[None]]) -> None:
    async def whole() -> None:
        watched = Watched(root)
        try:
            await test(watched)
        finally:
            watched.watch.close()

    asyncio.run(whole())


def rewrite(root: Path) -> None:
    (root / "a.com/sipusers/1.yml").write_text("name: two\n")


def rename_over(root: Path) -> None:
    replace_file(root / "a.com/sipusers/1.yml", b"name: two\n")


def remove(root: Path) -> None:
    (root / "a.com/sipusers/1.yml").unlink()


def forbid(root: Path) -> None:
    (root / "a.com/sipusers/1.yml").chmod(0)


def set_up_domain(root: Path) -> None:
    (root / "a.com/domain.yml").write_text("settings: {}\n")


def make_link(root: Path) -> None:
    (root / "a.com/sipusers/2.yml").symlink_to("1.yml")


def move_accounts_away(root: Path) -> None:
    (root / "a.com/sipusers").rename(root / "a.com/old")


@pytest.mark.parametrize(
    "deed", [rewrite, rename_over, remove, forbid, set_up_domain, make_link, move_accounts_away]
)
def test_what_is_done_to_a_domain_is_heard_as_its_name(root: Path, deed: Callable[[Path], None]) -> None:
    async def test(watched: Watched) -> None:
        assert watched.watch.is_trusted
        deed(root)
        assert await watched.heard() == {"a.com"}
        assert watched.watch.take() == frozenset()

    run(root, test)


def test_files_that_editors_hide_are_not_told(root: Path) -> None:
    async def test(watched: Watched) -> None:
        (root / "a.com/sipusers/.1.yml.swp").write_text("x")
        rewrite_b = root / "b.com/sipusers/1.yml"
        rewrite_b.write_text("name: two\n")
        assert await watched.heard() == {"b.com"}

    run(root, test)


def test_a_new_domain_is_heard_and_watched_from_its_look_on(root: Path) -> None:
    async def test(watched: Watched) -> None:
        (root / "C.com/sipusers").mkdir(parents=True)
        assert await watched.heard() == {"c.com"}
        watched.watch.arm({"c.com"})
        (root / "C.com/sipusers/1.yml").write_text("name: one\n")
        assert await watched.heard() == {"c.com"}
        assert watched.watch.is_trusted

    run(root, test)


def test_a_domain_that_goes_or_moves_is_heard(root: Path) -> None:
    async def test(watched: Watched) -> None:
        (root / "a.com").rename(root / "d.com")
        assert await watched.heard() in ({"a.com", "d.com"}, None)
        watched.watch.arm()
        (root / "d.com/sipusers/1.yml").write_text("name: two\n")
        assert "d.com" in (await watched.heard() or ())

    run(root, test)


def test_folders_that_are_no_domains_are_left_alone(root: Path) -> None:
    async def test(watched: Watched) -> None:
        (root / "not a domain").mkdir()
        (root / "read me").write_text("x")
        rewrite(root)
        assert await watched.heard() == {"a.com"}

    run(root, test)


# --- when it is not to be trusted


def test_nothing_is_trusted_before_it_is_armed(root: Path) -> None:
    watch = FolderWatch(root)
    assert not watch.is_trusted
    assert watch.take() is None
    watch.arm()  # nobody listens: no effect
    assert not watch.is_trusted
    watch.close()


def test_a_network_file_system_is_not_trusted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_watch, "_file_system", lambda _: "nfs4")

    async def test(watched: Watched) -> None:
        assert watched.watch.problem == "the file system is nfs4, of which only this host's changes are heard"
        rewrite(root)
        assert await watched.heard() == {"a.com"}  # it is a help all the same

    run(root, test)


def test_accounts_that_are_links_are_not_trusted(root: Path) -> None:
    async def test(watched: Watched) -> None:
        make_link(root)
        await watched.heard()
        watched.watch.arm({"a.com"})
        assert "2.yml is a link" in watched.watch.problem

    run(root, test)


def test_a_domain_on_a_file_system_of_its_own_is_not_trusted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_watch, "_device", lambda path: 2 if "b.com" in path.parts else 1)

    async def test(watched: Watched) -> None:
        assert watched.watch.problem == f"{root / 'b.com'} is a file system of its own"

    run(root, test)


def test_too_few_watches_are_told_with_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = folder_watch._call

    def few(name: str, *arguments: object) -> int:
        if name == "inotify_add_watch" and b"b.com" in arguments[1]:  # type: ignore[operator]
            raise OSError(errno.ENOSPC, "No space left on device")
        return call(name, *arguments)

    monkeypatch.setattr(folder_watch, "_call", few)

    async def test(watched: Watched) -> None:
        assert "max_user_watches" in watched.watch.problem

    run(root, test)


def test_a_system_without_inotify_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str, *arguments: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(folder_watch, "_call", none)

    async def test() -> None:
        watch = FolderWatch(root)
        watch.start(lambda: None)
        watch.arm()
        assert watch.problem == "inotify: Too many open files"
        watch.close()

    asyncio.run(test())


def test_a_folder_that_vanishes_is_noticed(root: Path) -> None:
    async def test(watched: Watched) -> None:
        assert watched.watch.is_there()
        move(root, root.with_name("elsewhere"))
        assert await watched.heard() is None
        assert not watched.watch.is_trusted
        assert not watched.watch.is_there()
        watched.watch.arm()
        assert not watched.watch.is_trusted

    run(root, test)


def test_a_link_to_the_folder_that_leads_elsewhere_is_noticed(root: Path) -> None:
    link = root.with_name("current")
    link.symlink_to(root)

    async def test(watched: Watched) -> None:
        assert watched.watch.is_there()
        other = root.with_name("release2")
        (other / "a.com").mkdir(parents=True)
        fresh = root.with_name("fresh")
        fresh.symlink_to(other)
        fresh.replace(link)
        assert not watched.watch.is_there()
        watched.watch.arm()
        assert watched.watch.is_there()
        (other / "a.com/domain.yml").write_text("settings: {}\n")
        assert await watched.heard() == {"a.com"}

    run(link, test)


def test_an_emptied_folder_is_noticed(root: Path) -> None:
    async def test(watched: Watched) -> None:
        for name in ("a.com", "b.com"):
            (root / name).rename(root.with_name(name))
        assert not watched.watch.is_there()

    run(root, test)


def test_too_much_at_once_makes_everything_uncertain(root: Path) -> None:
    async def test(watched: Watched) -> None:
        watched.watch._note(-1, folder_watch._OVERFLOW, "")
        rewrite(root)
        assert await watched.heard() is None
        assert not watched.watch.is_trusted
        watched.watch.arm()
        assert watched.watch.is_trusted

    run(root, test)
