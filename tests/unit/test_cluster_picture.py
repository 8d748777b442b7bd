"""A picture of one group's cache: what it lacks, what changed, and how much it will hold."""

from __future__ import annotations

from era_ap.cluster import picture as module
from era_ap.cluster.buckets import Row, bucket_of_mac, pack
from era_ap.cluster.picture import Difference, Picture, difference
from era_ap.cluster.sealing import IN_FLUX, NOTHING, Index

MAC = 0x001565000001
ROW = Row(MAC, "a.example.com", "101", 1, 1)
OTHER = Row(MAC + 1, "b.example.com", "201", 1, 1)
NUMBER = bucket_of_mac(MAC)


def index(**digests: bytes) -> Index:
    known = {int(number[1:]): digest for number, digest in digests.items()}
    return Index(
        1, 1, 0, True, 0, 0, 0, tuple(known.get(number, each) for number, each in enumerate(NOTHING))
    )


def test_nothing_differs_between_equal_buckets() -> None:
    assert not difference(None, None)
    assert not difference(pack([ROW], {}), pack([ROW], {}))


def test_the_difference_names_macs_and_domains() -> None:
    one, two = pack([ROW], {}), pack([ROW, OTHER], {})
    assert difference(None, one) == Difference(frozenset({MAC}), frozenset({"a.example.com"}))
    assert difference(two, None).macs == {MAC, MAC + 1}
    assert difference(one, two) == Difference(frozenset({MAC + 1}), frozenset({"b.example.com"}))
    edited = pack([ROW._replace(digest=2)], {})
    assert difference(one, edited) == Difference(frozenset({MAC}), frozenset({"a.example.com"}))


def test_the_settings_of_a_domain_are_part_of_the_difference() -> None:
    before, after = pack([ROW], {"a.example.com": 1}), pack([ROW], {"a.example.com": 2, "c.example.com": 1})
    assert difference(before, after) == Difference(frozenset(), frozenset({"a.example.com", "c.example.com"}))


def test_a_mac_that_moves_concerns_both_domains() -> None:
    moved = ROW._replace(domain="b.example.com")
    found = difference(pack([ROW], {}), pack([moved], {}))
    assert found == Difference(frozenset({MAC}), frozenset({"a.example.com", "b.example.com"}))


def test_a_picture_knows_its_owners() -> None:
    picture = Picture()
    assert picture.owners(MAC) == ()
    assert picture.put(NUMBER, pack([ROW], {"c": 1})) == {"a.example.com", "c"}
    assert picture.put(NUMBER, pack([ROW], {"c": 2})) == {"c"}
    assert picture.put(NUMBER, None) == {"a.example.com", "c"}
    assert picture.put(NUMBER, None) == frozenset()
    assert picture.put(NUMBER, pack([], {"c": 1})) == {"c"}
    assert picture.put(NUMBER, None) == {"c"}
    picture.put(NUMBER, pack([ROW], {}))
    assert picture.owners(MAC) == (ROW,)
    assert picture.owners(MAC + 1) == ()


def test_a_picture_lacks_what_its_index_names_and_it_does_not_hold() -> None:
    picture = Picture()
    assert picture.lacking() == ()
    bucket = pack([ROW], {})
    picture.index = index(n3=bucket.digest, n4=IN_FLUX)
    assert picture.lacking() == (3,)
    picture.put(3, bucket)
    assert picture.lacking() == ()
    picture.index = index()
    assert picture.lacking() == (3,)
    picture.put(3, None)
    assert picture.lacking() == ()


def test_the_revision_grows_only_with_a_change() -> None:
    picture = Picture()
    picture.put(3, pack([ROW], {}))
    revision = picture.revision
    picture.put(3, pack([ROW], {}))
    assert picture.revision == revision
    picture.put(3, None)
    assert picture.revision > revision


def test_a_picture_holds_only_so_much() -> None:
    picture = Picture()
    bucket = pack([ROW], {})
    picture.put(3, bucket)
    assert picture.bytes == len(bucket.payload)
    large = pack([ROW, OTHER], {})
    assert picture.room(4, large)
    picture.bytes = module.MAX_BYTES
    assert not picture.room(4, bucket)
    assert picture.room(3, bucket)
    assert not picture.room(3, large)
