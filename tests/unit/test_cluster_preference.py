"""Who should lead: fit, settled, then by order; and to whom a leader gives way."""

from __future__ import annotations

import pytest

from era_ap.cluster.preference import ahead, successor
from era_ap.cluster.view import Member


def members(text: str) -> list[Member]:
    """ "1 2s 3u": orders, s: settled, u: unfit."""
    return [
        Member(f"ap{word[0]}", 1, int(word[0]), "", "", why="x" * ("u" in word), settled="s" in word)
        for word in text.split()
    ]


@pytest.mark.parametrize(
    ("text", "own", "names"),
    [
        ("1 2 3", 1, ""),
        ("1 2 3", 3, "ap1 ap2"),
        ("1s 2s 3s", 2, "ap1"),
        ("1 2s 3s", 2, ""),
        ("1 2s 3s", 1, "ap2 ap3"),
        ("1u 2 3", 2, ""),
        ("1u 2u 3", 2, "ap1 ap3"),
        ("1u", 1, ""),
    ],
)
def test_who_is_ahead(text: str, own: int, names: str) -> None:
    there = members(text)
    found = ahead(next(each for each in there if each.order == own), there)
    assert sorted(member.name for member in found) == names.split()


@pytest.mark.parametrize(
    ("leader", "others", "name"),
    [
        ("2s", "1s 3s", "ap1"),
        ("2s", "1 3s", None),  # has not been there for long
        ("2s", "1u 3s", None),
        ("2", "1s", "ap1"),
        ("1", "2s 3s", None),
        ("2u", "3", "ap3"),
        ("2u", "3 1", "ap1"),
        ("2u", "1 3s", "ap3"),
        ("2u", "1u", None),
        ("2u", "", None),
    ],
)
def test_to_whom_a_leader_gives_way(leader: str, others: str, name: str | None) -> None:
    (own,) = members(leader)
    found = successor(own, [own, *members(others)])
    assert (found.name if found is not None else None) == name
