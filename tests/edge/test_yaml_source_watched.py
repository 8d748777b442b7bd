"""The folder of YAML files where every change is heard of: only what was touched is looked at, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path

import pytest

from era_ap.directory import folder_watch, yaml_source
from era_ap.directory.folder import replace_file
from era_ap.directory.source import Change
from era_ap.directory.yaml_files import YamlFiles
from era_ap.directory.yaml_source import YamlSource
from era_ap.errors import Refused

PATIENCE = 20.0


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the tests' folder is, take it for a file system of this host."""
    monkeypatch.setattr(folder_watch, "_file_system", lambda _: "ext4")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "directory"
    for name in ("a.com", "b.com", "c.com"):
        (root / name / "sipusers").mkdir(parents=True)
        (root / name / "sipusers" / "1.yml").write_text("name: one\n")
    return root


def move(path: Path, to: Path) -> None:
    path.rename(to)


class Files(YamlFiles):
    """Notes what is looked at; None is everything."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, settle=0.05)
        self.looks: list[frozenset[str] | None] = []

    def look(self, domains: Collection[str] | None = None, **how: object) -> Iterator[Change]:  # type: ignore[override]
        self.looks.append(None if domains is None else frozenset(domains))
        return super().look(domains, **how)  # type: ignore[arg-type]


class Followed:
    """A source that was looked at once; ``next`` waits for news, looks, and gives the accounts' names."""

    def __init__(self, root: Path) -> None:
        self.files = Files(root)
        self.source = YamlSource(root, self.files)
        self.woken = asyncio.Event()
        self.source.on_news(self.woken.set)

    async def look(self) -> list[str]:
        self.woken.clear()
        found: list[Change] = []
        await self.source.look(found.append)
        names = [f"{each.key} {each.fields['name']}" for change in found for each in change.accounts]
        return names + [f"{key} gone" for change in found for key in change.removed]

    async def next(self) -> list[str]:
        async with asyncio.timeout(PATIENCE):
            await self.woken.wait()
        return await self.look()


def run(root: Path, test: Callable[[Followed], Awaitable[None]]) -> None:
    followed = Followed(root)  # before any loop runs, as the daemon does

    async def whole() -> None:
        try:
            assert len(await followed.look()) == 3
            followed.files.looks.clear()
            await test(followed)
        finally:
            await followed.source.close()

    asyncio.run(whole())


def test_without_news_nothing_is_looked_at(root: Path) -> None:
    async def test(followed: Followed) -> None:
        for _ in range(3):
            assert await followed.look() == []
        assert followed.files.looks == []

    run(root, test)


def test_only_the_domain_that_was_touched_is_looked_at(root: Path) -> None:
    async def test(followed: Followed) -> None:
        replace_file(root / "b.com/sipusers/1.yml", b"name: two\n")
        assert await followed.next() == ["1@b.com two"]
        (root / "c.com/sipusers/1.yml").unlink()
        assert await followed.next() == ["1@c.com gone"]
        assert set(followed.files.looks) == {frozenset({"b.com"}), frozenset({"c.com"})}

    run(root, test)


def test_a_new_domain_and_what_happens_in_it_are_seen(root: Path) -> None:
    async def test(followed: Followed) -> None:
        (root / "d.com/sipusers").mkdir(parents=True)
        (root / "d.com/sipusers/1.yml").write_text("name: one\n")
        seen: list[str] = []
        while not seen:
            seen = await followed.next()
        assert seen == ["1@d.com one"]
        (root / "d.com/sipusers/2.yml").write_text("name: one\n")
        seen = []
        while not seen:
            seen = await followed.next()
        assert seen == ["2@d.com one"]

    run(root, test)


def test_everything_is_looked_at_now_and_then_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(followed: Followed) -> None:
        monkeypatch.setattr(yaml_source, "WATCHED_SECONDS", 0.0)
        assert await followed.look() == []
        assert followed.files.looks == [None]

    run(root, test)


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "9p", "unknown"])
def test_of_a_network_file_system_everything_is_looked_at_each_time(
    root: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_watch, "_file_system", lambda _: kind)

    async def test(followed: Followed) -> None:
        for _ in range(3):
            await followed.look()
        assert followed.files.looks == [None] * 3

    run(root, test)


def test_a_folder_that_goes_is_told_and_everything_is_read_when_it_is_back(root: Path) -> None:
    async def test(followed: Followed) -> None:
        away = root.with_name("away")
        move(root, away)
        for _ in range(2):
            with pytest.raises(Refused):
                await followed.look()
        move(away, root)
        replace_file(root / "a.com/sipusers/1.yml", b"name: two\n")
        assert await followed.look() == ["1@a.com two"]
        while followed.files.looks:  # what was heard of the moving first
            followed.files.looks.clear()
            assert await followed.look() == []

    run(root, test)


def test_a_look_that_failed_is_made_up_for_by_one_at_everything(root: Path) -> None:
    async def test(followed: Followed) -> None:
        replace_file(root / "b.com/sipusers/1.yml", b"name: two\n")
        async with asyncio.timeout(PATIENCE):
            await followed.woken.wait()
        away = root.with_name("away")
        move(root, away)
        with pytest.raises(Refused):
            await followed.look()
        move(away, root)
        assert await followed.look() == ["1@b.com two"]
        assert None in followed.files.looks

    run(root, test)


def test_domains_that_somebody_names_are_looked_at_whatever_was_heard(root: Path) -> None:
    async def test(followed: Followed) -> None:
        await followed.source.look(lambda _: None, domains={"c.com"})
        assert followed.files.looks == [frozenset({"c.com"})]

    run(root, test)
