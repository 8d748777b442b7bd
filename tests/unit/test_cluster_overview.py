"""What an operator is told of a cluster that is not as it should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from era_ap.cluster.overview import Expected, GroupSurvey, Survey, findings
from era_ap.cluster.sealing import NOTHING, Index
from era_ap.cluster.view import Claim, Epoch, Group, Holder, Member

AP1 = Member("ap1", 1, 1, "i1", "p1", version="1.0", revision="r", session=11)
AP2 = Member("ap2", 1, 2, "i2", "p2", version="1.0", revision="r", session=12)
CACHE = Index(7, 70, 1000, True, 3, 3, 1, NOTHING)
NODES = Group(
    Holder("ap1", "p1", 7, 11), Epoch(7, "ap1", version=7, zxid=70), Claim("ap1/i1", frozenset({"ap2/i2"}))
)
GROUP = GroupSurvey(1, NODES, CACHE)
GOOD = Survey((AP1, AP2), (GROUP,))
ROLES = (Expected("ap1", 1, 1), Expected("ap2", 1, 2))


def told(found: Survey, roles: tuple[Expected, ...] = ROLES) -> list[str]:
    return list(findings(found, roles))


def with_nodes(
    *, members: tuple[Member, ...] = (AP1, AP2), cache: Index | None = CACHE, **nodes: object
) -> Survey:
    return Survey(members, (GroupSurvey(1, replace(NODES, **nodes), cache),))  # type: ignore[arg-type]


def test_a_good_cluster_gives_no_finding() -> None:
    assert told(GOOD) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (replace(GOOD, members=(AP1,)), "ap2 is not there: it does not run, or does not reach ZooKeeper"),
        (replace(GOOD, members=(AP1,), unreadable=("ap2",)), "the member node of ap2 cannot be read"),
        (
            replace(GOOD, members=(AP1, replace(AP2, why="port 5060 is taken"))),
            "ap2 stands back: port 5060 is taken",
        ),
        (
            replace(GOOD, members=(AP1, replace(AP2, order=3))),
            "this configuration says group 1, order 2; restart it",
        ),
        (replace(GOOD, members=(AP1, replace(AP2, version="1.1"))), "differ in the version: 1.0, 1.1"),
        (
            replace(GOOD, members=(AP1, replace(AP2, revision=""))),
            "differ in the revision of the templates: none, r",
        ),
        (with_nodes(holder=Holder("ap1", "p1", 7, 99)), "whose session nobody claims; if it stays"),
        (
            with_nodes(epoch=Epoch(8, "ap1", version=7, zxid=70), cache=replace(CACHE, term=8)),
            "of term 7, which is not the last one",
        ),
        (with_nodes(cache=None), "has a leader and no MAC cache yet"),
        (
            with_nodes(cache=replace(CACHE, term=6)),
            "the MAC cache of group 1 is of term 6, the leader's is 7",
        ),
        (with_nodes(cache=replace(CACHE, sees=False)), "cannot read its directory"),
    ],
)
def test_one_finding_for_each_thing_that_is_wrong(found: Survey, words: str) -> None:
    (sentence,) = told(found)
    assert words in sentence


def test_a_role_that_the_configuration_does_not_know() -> None:
    assert told(GOOD, ROLES[:1]) == ["ap2 runs and is no enabled ap role of this configuration"]


def test_no_leader_although_somebody_may_take_over() -> None:
    (sentence,) = told(with_nodes(holder=None, cache=None))
    assert sentence == "group 1 has no leader: no phone of its domains is answered by PnP"


def test_no_leader_because_those_who_may_are_gone() -> None:
    claim = Claim("ap8/x", frozenset({"ap9/y", "ap9/z"}))
    (sentence,) = told(with_nodes(holder=None, claim=claim))
    assert "only ap8, ap9 may take over" in sentence
    assert "era-ap cluster forget" in sentence


def test_nobody_is_there_and_nothing_is_known() -> None:
    found = Survey((), (GroupSurvey(1, Group(), None), GroupSurvey(2, Group(), None)))
    assert told(found) == [
        "ap1 is not there: it does not run, or does not reach ZooKeeper",
        "ap2 is not there: it does not run, or does not reach ZooKeeper",
        "group 1 has no leader: no phone of its domains is answered by PnP",
    ]
