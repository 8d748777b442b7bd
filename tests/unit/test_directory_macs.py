"""The packed index of MACs: owners, lines, and which MACs are disputed."""

from __future__ import annotations

import random

import pytest

from era_ap.directory.macs import MacIndex
from era_ap.directory.model import AccountKey

MAC = "001565000001"


def key(domain: str, login: str) -> AccountKey:
    return AccountKey(domain, login)


def test_the_index_agrees_with_a_plain_model_after_many_changes() -> None:
    rng = random.Random(7)
    index = MacIndex()
    model: dict[str, set[tuple[AccountKey, int]]] = {}
    macs = [f"{number:012x}" for number in (*range(1, 8), 0xFFFFFFFFFFFF)]
    keys = [AccountKey(f"d{number % 3}.com", f"имя{number}") for number in range(6)]
    for _ in range(5000):
        mac, owner, line = rng.choice(macs), rng.choice(keys), rng.choice((1, 2, 999_999))
        if rng.random() < 0.5:
            index.add(mac, owner, line)
            model.setdefault(mac, set()).add((owner, line))
        else:
            index.remove(mac, owner, line)
            model.get(mac, set()).discard((owner, line))
        owners = model.get(mac, set())
        assert index.owners(mac) == tuple(sorted({each for each, _ in owners}))
        assert (mac in index) == bool(owners)
        assert list(index.disputed()) == sorted(each for each, owned in model.items() if _is_disputed(owned))
    assert sorted(index) == sorted(mac for mac, owners in model.items() if owners)
    assert len(index) == len(list(index))


def _is_disputed(owned: set[tuple[AccountKey, int]]) -> bool:
    lines = [line for _, line in owned]
    return len({owner.domain for owner, _ in owned}) > 1 or len(set(lines)) < len(lines)


@pytest.mark.parametrize("mac", ["", "00", "not a mac", "0015650000010", "00156500000g", "0015650000"])
def test_what_is_no_mac_has_no_owner(mac: str) -> None:
    index = MacIndex()
    index.add(MAC, key("a.com", "1"))
    assert index.owners(mac) == ()
    assert mac not in index


def test_logins_that_begin_alike_are_told_apart() -> None:
    index = MacIndex()
    for login in ("1", "10", "100"):
        index.add(MAC, key("a.com", login), int(login))
    index.remove(MAC, key("a.com", "10"), 10)
    assert index.owners(MAC) == (key("a.com", "1"), key("a.com", "100"))
    assert list(index.disputed()) == []


def test_many_macs_in_steps_are_all_found() -> None:
    index = MacIndex()
    macs = [f"{0x001565000000 + number * 1021:012x}" for number in range(3000)]
    for number, mac in enumerate(macs):
        index.add(mac, key("a.com", str(number)))
    assert [index.owners(mac)[0].login for mac in macs] == [str(number) for number in range(3000)]
    assert len(index) == 3000
