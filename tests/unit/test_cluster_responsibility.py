"""Which group answers for a domain: subtrees, branches, the shared rest, and nothing settled silently."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from era_ap import config
from era_ap.cluster.responsibility import Responsibility, Share, divide, responsibility_of, uncovered
from era_ap.errors import Reason, Severity
from tests.conftest import Site


def named(**groups: str) -> Responsibility:
    """g1="a.example.com b.example.com" → group 1 names these two."""
    return divide(Share(int(key[1:]), frozenset(text.split())) for key, text in groups.items())


@pytest.mark.parametrize(
    ("domain", "group"),
    [
        ("example.com", 1),
        ("a.example.com", 2),
        ("A.Example.COM.", 2),
        ("x.a.example.com", 2),
        ("b.a.example.com", 3),
        ("x.y.b.a.example.com", 3),
        ("ba.example.com", 1),
        ("notexample.com", None),
        ("com", None),
        ("", None),
    ],
)
def test_a_subtree_belongs_to_who_names_its_nearest_root(domain: str, group: int | None) -> None:
    assert named(g1="example.com", g2="a.example.com", g3="b.a.example.com").group_of(domain) == group


def test_groups_that_name_none_share_what_is_left_evenly() -> None:
    division = named(g1="", g2="", g3="", g4="a.example.com")
    owners = Counter(division.group_of(f"d{number}.example.com") for number in range(3000))
    assert set(owners) == {1, 2, 3}
    assert min(owners.values()) > 850
    assert division.group_of("x.a.example.com") == 4


def test_a_new_group_takes_only_what_it_wins() -> None:
    before, after = named(g1="", g2=""), named(g1="", g2="", g3="")
    names = [f"d{number}.example.com" for number in range(1000)]
    moved = [name for name in names if before.group_of(name) != after.group_of(name)]
    assert 250 < len(moved) < 420
    assert {after.group_of(name) for name in moved} == {3}


def test_the_division_stays_the_same_in_every_process_and_version() -> None:
    division = named(g11360="", g7="")
    assert [division.group_of(f"{x}.example.com") for x in "abcdefgh"] == PINNED


PINNED = [7, 11360, 11360, 11360, 11360, 11360, 7, 11360]


def test_what_nobody_covers_is_a_problem() -> None:
    division = named(g1="a.example.com")
    found = list(uncovered(division, [("x.a.example.com", "x"), ("b.example.com", "b/domain.yml")]))
    assert [(each.reason, each.where, each.severity) for each in found] == [
        (Reason.DOMAIN_UNCOVERED, "b/domain.yml", Severity.ERROR)
    ]
    assert "'b.example.com'" in found[0].detail


def test_what_two_groups_name_belongs_to_neither_and_is_a_problem() -> None:
    division = named(g1="example.com", g2="example.com", g3="a.example.com", g4="")
    assert division.group_of("example.com") is None
    assert division.group_of("b.example.com") is None
    assert division.group_of("x.a.example.com") == 3
    assert division.group_of("example.net") == 4
    assert len(list(uncovered(division, [("b.example.com", "")]))) == 1


def test_the_roles_of_a_site_say_it(site: Site) -> None:
    site.extra_roles = [
        {
            "name": "ap2",
            "roletype": "ap",
            "iface": "lo",
            "group": 2,
            "order": 1,
            "include_domains": ["a.example.com"],
        },
        {
            "name": "ap3",
            "roletype": "ap",
            "iface": "lo",
            "group": 2,
            "order": 2,
            "include_domains": ["a.example.com"],
        },
    ]
    division = responsibility_of(config.load(site.configure()).roles)
    assert division.group_of("example.com") == 1
    assert division.group_of("x.a.example.com") == 2


# --- random trees


def random_tree(rng: random.Random) -> list[str]:
    """All domains of a random tree, parents before children."""
    domains = ["example.com"]
    for _ in range(rng.randrange(25)):
        name = f"{rng.choice('abcdef')}{rng.choice(('', '1'))}.{rng.choice(domains)}"
        if name not in domains:
            domains.append(name)
    return domains


def expected_owners(domains: list[str], shares: list[Share]) -> dict[str, set[int]]:
    """From the top of the tree down: who names it, else whom its parent belongs to, else whoever shares."""
    owners: dict[str, set[int]] = {}
    sharing = {share.group for share in shares if not share.domains}
    inherited: dict[str, set[int] | None] = {}
    for domain in domains:
        naming = {share.group for share in shares if domain in share.domains}
        inherited[domain] = naming or inherited.get(domain.partition(".")[2])
        found = inherited[domain]
        owners[domain] = sharing if found is None else found
    return owners


@pytest.mark.parametrize("seed", range(10))
def test_in_random_trees_every_domain_has_one_owner_or_is_reported(seed: int) -> None:
    """A thousand trees each (A23), with gaps and overlaps among them."""
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(1000):
        domains = random_tree(rng)
        shares = [
            Share(group, frozenset(rng.sample(domains, rng.randrange(min(4, len(domains) + 1)))))
            for group in range(1, rng.randrange(2, 7))
        ]
        division = divide(rng.sample(shares, len(shares)))
        reported = {problem.where for problem in uncovered(division, ((name, "") for name in domains))}
        for domain, owners in expected_owners(domains, shares).items():
            group = division.group_of(domain)
            naming = {share.group for share in shares if share.domains}
            if not owners or (len(owners) > 1 and owners & naming):
                assert group is None
                assert domain in reported
                seen["overlap" if owners else "gap"] += 1
            else:
                assert group in owners
                assert domain not in reported
                assert group == division.group_of(domain.upper())
                seen["named" if owners & naming else "shared"] += 1
    assert min(seen[kind] for kind in ("overlap", "gap", "named", "shared")) > 50, seen
