"""The records in ZooKeeper: there and back, newer ones, and damaged ones."""

from __future__ import annotations

import json

import pytest

from era_ap.cluster.view import (
    Claim,
    Epoch,
    Group,
    Holder,
    Member,
    View,
    read_claim,
    read_epoch,
    read_holder,
    read_member,
)

MEMBER = Member(
    "ap1", 1, 3, "id", "process", why="port 5060 is taken", settled=True, version="1.0", revision="r",
    host="h", peer="192.0.2.1:9069", phones=("192.0.2.1", "2001:db8::1"), since=1.5, session=77,
)  # fmt: skip


def test_a_record_comes_back_as_it_was() -> None:
    assert read_member(MEMBER.to_json(), 77) == MEMBER
    holder = Holder("ap1", "process", 9, 77)
    assert read_holder(holder.to_json(), 77) == holder
    epoch = Epoch(9, "ap1", 2.5, version=4, zxid=99)
    assert read_epoch(epoch.to_json(), 4, 99) == epoch
    claim = Claim("ap1/id", frozenset({"ap2/x", "ap3/y"}), version=2)
    assert read_claim(claim.to_json(), 2) == claim


def test_the_node_of_a_member_says_whether_it_is_fit() -> None:
    document = json.loads(MEMBER.to_json())
    assert (document["fit"], document["why"]) == (False, "port 5060 is taken")
    assert "session" not in document


def test_what_a_newer_version_adds_is_left_out_and_what_it_does_not_write_has_its_default() -> None:
    data = (
        b'{"name": "ap1", "group": 1, "order": 2, "identity": "i", "instance": "p", "news": [1], "since": 3}'
    )
    assert read_member(data, 5) == Member("ap1", 1, 2, "i", "p", since=3.0, session=5)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"null",
        b'{"name": "ap1"}',
        b'{"name": 1, "group": 1, "order": 2, "identity": "i", "instance": "p"}',
        b'{"name": "ap1", "group": true, "order": 2, "identity": "i", "instance": "p"}',
        b'{"name": "ap1", "group": 1, "order": 2, "identity": "i", "instance": "p", "phones": [1]}',
        b'{"name": "ap1", "group": 1, "order": 2, "identity": "i", "instance": "p", "phones": "a"}',
        b'{"name": "ap1", "group": 1, "order": 2, "identity": "i", "instance": "p", "since": NaN}',
        b'{"name": "ap1", "group": 1, "order": 2, "identity": "i", "instance": "p", "since": 1e400}',
        b'{"name": "ap1", "group": 1, "order": 1%s, "identity": "i", "instance": "p"}' % (b"0" * 400),
        b"[" * 5000,
    ],
)
def test_what_is_no_record_is_none(data: bytes) -> None:
    assert read_member(data, 1) is None


def test_a_lease_without_end_keeps_nobody_waiting() -> None:
    assert read_epoch(b'{"number": 7, "leader": "ap1", "lease": Infinity}', 1, 1) is None


def test_the_owner_and_the_version_are_not_taken_from_the_data() -> None:
    found = read_holder(b'{"name": "a", "instance": "p", "number": 1, "session": 5}', 6)
    assert found == Holder("a", "p", 1, 6)


def test_whom_a_claim_admits() -> None:
    claim = Claim("ap1/id", frozenset({"ap2/x"}))
    assert claim.admits("ap1/id")
    assert claim.admits("ap2/x")
    assert not claim.admits("ap2/another host")
    assert not claim.admits("ap3/z")
    assert claim.names("ap1")
    assert claim.names("ap2")
    assert not claim.names("ap")
    assert Claim().admits("ap3/z")
    assert Claim("ap1/id").admits("ap3/z")


def test_groups_have_their_own_members() -> None:
    other = Member("ap9", 2, 1, "", "")
    view = View({"ap1": MEMBER, "ap9": other}, {1: Group(beat=3)})
    assert view.of_group(1) == (MEMBER,)
    assert view.of_group(2) == (other,)
    assert view.group(1).beat == 3
    assert view.group(7) == Group()
    assert MEMBER.key == "ap1/id"
