"""Blocks of lines: what was put in comes out again, in order, however it is divided and compressed."""

from __future__ import annotations

import random

import pytest

from era_ap.directory import blocks as blocks_module
from era_ap.directory.blocks import Blocks


def line(login: str, text: str = "x") -> bytes:
    return f"{login}\t{text}".encode()


def put(blocks: Blocks, domain: str, login: str, text: str = "x") -> None:
    known = blocks.find(domain, login.encode()) is not None
    blocks.put(domain, login.encode(), line(login, text), known=known)


def texts(blocks: Blocks, domain: str) -> dict[str, str]:
    pairs = [each.decode().split("\t") for each in blocks.lines(domain)]
    assert [login for login, _ in pairs] == sorted(login for login, _ in pairs)
    return {each[0]: each[1] for each in pairs}


@pytest.fixture(params=[4, 64, 100_000])
def loose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether what is put in is compressed at once, now and then, or never."""
    monkeypatch.setattr(blocks_module, "LOOSE", request.param)


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize("seed", range(3))
def test_blocks_agree_with_a_plain_model_after_many_changes(seed: int) -> None:
    rng = random.Random(seed)
    blocks = Blocks()
    model: dict[str, dict[str, str]] = {"a.com": {}, "b.com": {}}
    for step in range(6000):
        domain, login = rng.choice(("a.com", "b.com")), str(rng.randrange(800))
        if rng.random() < 0.6:
            put(blocks, domain, login, str(step))
            model[domain][login] = str(step)
        elif login in model[domain]:
            blocks.remove(domain, login.encode())
            del model[domain][login]
        found = blocks.find(domain, login.encode())
        assert found == (line(login, model[domain][login]) if login in model[domain] else None)
    for domain, expected in model.items():
        assert texts(blocks, domain) == expected
    assert len(blocks) == sum(map(len, model.values()))


def test_what_was_touched_makes_the_same_blocks_elsewhere() -> None:
    """The way to local state and back: images of what changed, adopted in rising order."""
    rng = random.Random(5)
    blocks, kept = Blocks(), {}
    for _ in range(40):
        for _ in range(100):
            login = str(rng.randrange(1500))
            if rng.random() < 0.7:
                put(blocks, "a.com", login, str(rng.random()))
            elif blocks.find("a.com", login.encode()):
                blocks.remove("a.com", login.encode())
        for place, image in blocks.touched().items():
            if image is None:
                kept.pop(place, None)
            else:
                kept[place] = image.data()
        copy = Blocks()
        for place in sorted(kept):
            copy.adopt(place, kept[place])
        assert texts(copy, "a.com") == texts(blocks, "a.com")
        assert len(copy) == len(blocks)
    assert blocks.touched() == {}


def test_a_domain_that_ends_is_told_with_all_its_blocks() -> None:
    blocks = Blocks()
    for number in range(200):
        put(blocks, "a.com", f"{number:04}")
    places = set(blocks.touched())
    assert len(places) > 3
    for number in range(200):
        blocks.remove("a.com", f"{number:04}".encode())
    assert not blocks.domains
    touched = blocks.touched()
    assert places <= set(touched)
    assert set(touched.values()) == {None}


def test_a_sorted_source_makes_full_blocks() -> None:
    blocks = Blocks()
    for number in range(1024):
        put(blocks, "a.com", f"{number:04}")
    assert len(blocks.touched()) == 1024 // blocks_module.LINES


def test_long_lines_make_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "LOOSE", 10)
    blocks = Blocks()
    for number in reversed(range(200)):
        put(blocks, "a.com", f"{number:03}", "x" * 20_000)
    sizes = [len(image.loose) for image in blocks.touched().values() if image is not None]
    assert len(sizes) > 20
    assert len(texts(blocks, "a.com")) == 200


def test_an_image_stays_what_it_was() -> None:
    blocks = Blocks()
    put(blocks, "a.com", "1", "old")
    (image,) = blocks.touched().values()
    put(blocks, "a.com", "1", "new")
    put(blocks, "a.com", "2", "new")
    assert image is not None
    copy = Blocks()
    copy.adopt(("a.com", b""), image.data())
    assert texts(copy, "a.com") == {"1": "old"}


def test_what_is_no_block_is_told_and_changes_nothing() -> None:
    blocks = Blocks()
    with pytest.raises(ValueError, match="no block"):
        blocks.adopt(("a.com", b""), b"not compressed")
    assert (len(blocks), "a.com" in blocks.domains) == (0, False)
