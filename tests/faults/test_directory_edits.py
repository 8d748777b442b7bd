"""Operators edit in place: whatever moment a scan hits, an account is wholly old or wholly new.

A seeded writer truncates, writes a part, pauses and writes the rest, between scans and within them; every
prefix of the documents is valid YAML at many places, so only resting tells a whole edit from a half one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from era_ap.directory import yaml_files
from era_ap.directory.folder import Signature
from era_ap.directory.model import Account, AccountKey
from era_ap.directory.yaml_files import YamlFiles

KEYS = 20


def document(generation: int) -> str:
    return "".join(f"k{number}: g{generation}\n" for number in range(KEYS))


def generations(account: Account) -> set[object]:
    return {account.fields.get(f"k{number}") for number in range(KEYS)}


class World:
    """A writer and a scanner that share one clock; ``tick`` lets the writer act at its times."""

    def __init__(self, root: Path, seed: int) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self.path = root / "example.com/sipusers/1001.yml"
        self.path.parent.mkdir(parents=True)
        self.path.write_text(document(0))
        self.edits = self._edits()
        self.next = 1.0
        self.finished = 0

    def _edits(self) -> Iterator[float]:
        """Performs one step of an edit; yields the seconds to the next step."""
        for generation in range(1, 201):
            text = document(generation)
            middle = self.rng.randrange(1, len(text))
            with self.path.open("w") as file:
                yield self.rng.uniform(0.0, 0.4)
                file.write(text[:middle])
                file.flush()
                yield 0.05
                file.write(text[middle:])
            self.finished = generation
            yield self.rng.uniform(0.0, 3.0)

    def tick(self, now: float) -> bool:
        """Let all steps up to ``now`` happen; False when the writer has ended."""
        self.now = now
        while self.next <= now:
            pause = next(self.edits, None)
            if pause is None:
                return False
            self.next += pause
        return True


@pytest.mark.parametrize("seed", range(3))
def test_200_in_place_edits_never_yield_a_mixture(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, seed)

    def reading_meets_a_writer(signature: Signature, limit: int) -> bytes | None:
        world.tick(world.now + 0.1)
        return real(signature, limit)

    real = yaml_files.read_signed
    monkeypatch.setattr(yaml_files, "read_signed", reading_meets_a_writer)
    files = YamlFiles(tmp_path, clock=lambda: world.now, wall=lambda: 4e9)
    seen: list[object] = []
    while True:
        going = world.tick(world.now + 0.5)
        change = files.scan()
        assert change is None or (change.problems, change.removed) == ((), ())
        for account in change.accounts if change is not None else ():
            (generation,) = generations(account)
            seen.append(generation)
        if not going and seen[-1] == "g200":
            break
        assert world.now < 2000
    assert len(seen) > 50
    assert len(set(seen)) == len(seen)


def test_a_change_during_the_read_is_noticed(tmp_path: Path) -> None:
    """The writer strikes between the two looks at the file that frame one read."""
    path = tmp_path / "example.com/sipusers/1001.yml"
    path.parent.mkdir(parents=True)
    path.write_text(document(0))
    clock = [0.0]
    files = YamlFiles(tmp_path, clock=lambda: clock[0], wall=lambda: 4e9)
    files.scan()
    path.write_text(document(1))
    files.scan()
    clock[0] += 1.0
    struck: list[int] = []

    def strike(done: int, _: int) -> None:
        struck.append(done)

    with pytest.MonkeyPatch.context() as patch:
        real = yaml_files.list_folder

        def list_then_write(root: Path, domains: object) -> object:
            listing = real(root, domains)
            path.write_text(document(2)[:40])
            return listing

        patch.setattr(yaml_files, "list_folder", list_then_write)
        assert files.scan(strike) is None
    assert struck == [1]
    path.write_text(document(2))
    for _ in range(3):
        clock[0] += 1.0
        if change := files.scan():
            assert [generations(each) for each in change.accounts] == [{"g2"}]
            assert change.accounts[0].key == AccountKey("example.com", "1001")
            return
    pytest.fail("the finished edit never came into service")
