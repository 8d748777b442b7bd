"""The MAC cache in local state: only what changed is written, and what is damaged is not taken up."""

from __future__ import annotations

from collections.abc import Mapping

from era_ap.cluster.buckets import Row, bucket_of_mac, pack
from era_ap.cluster.keeping import Data, Keeping
from era_ap.cluster.picture import Picture
from era_ap.cluster.sealing import NOTHING, Index, open_bucket, open_index

MAC = 0x001565000001
ROW = Row(MAC, "a.example.com", "101", 1, 1)
BUCKET = pack([ROW], {})
OTHER = pack([ROW._replace(digest=2)], {})
INDEX = Index(1, 2, 3, True, 1, 1, 0, (BUCKET.digest, *NOTHING[1:]))


def data(touched: Mapping[str, Data | None]) -> dict[str, bytes | None]:
    return {name: make() if make is not None else None for name, make in touched.items()}


def test_what_changed_is_told_once() -> None:
    pictures = {7: Picture()}
    keeping = Keeping(pictures)
    assert keeping.touched() == {}
    pictures[7].put(0, BUCKET)
    pictures[7].index = INDEX
    told = data(keeping.touched())
    assert sorted(told) == ["7/0", "7/index"]
    assert open_bucket(told["7/0"] or b"").payload == BUCKET.payload
    assert open_index(told["7/index"] or b"") == INDEX
    assert keeping.touched() == {}
    pictures[7].put(0, OTHER)
    assert open_bucket(data(keeping.touched())["7/0"] or b"").payload == OTHER.payload
    pictures[7].put(0, None)
    assert data(keeping.touched()) == {"7/0": None}


def test_data_are_those_of_the_moment_of_the_call() -> None:
    pictures = {7: Picture()}
    keeping = Keeping(pictures)
    pictures[7].put(0, BUCKET)
    told = keeping.touched()
    pictures[7].put(0, OTHER)
    assert open_bucket(data(told)["7/0"] or b"").payload == BUCKET.payload


def test_all_is_told_again_if_it_could_not_be_kept() -> None:
    pictures = {7: Picture()}
    keeping = Keeping(pictures)
    pictures[7].put(0, BUCKET)
    keeping.touched()
    assert list(keeping.touched(everything=True)) == ["7/0"]
    assert keeping.touched() == {}


def test_a_group_that_is_let_go_is_removed() -> None:
    pictures = {7: Picture()}
    keeping = Keeping(pictures)
    pictures[7].put(0, BUCKET)
    keeping.touched()
    del pictures[7]
    assert data(keeping.touched()) == {"7/0": None}


def test_what_was_kept_is_taken_up_and_not_told_again() -> None:
    before = {7: Picture()}
    before[7].put(bucket_of_mac(MAC), BUCKET)
    before[7].index = INDEX
    saved = {name: made for name, made in data(Keeping(before).touched()).items() if made is not None}
    after = {7: Picture()}
    keeping = Keeping(after)
    assert sum(1 for _ in keeping.load(saved)) == 2
    assert after[7].owners(MAC) == (ROW,)
    assert after[7].index == INDEX
    assert keeping.touched() == {}


def test_what_is_damaged_or_of_no_group_is_left_out_and_removed() -> None:
    pictures = {7: Picture()}
    keeping = Keeping(pictures)
    saved = {"7/0": b"garbage", "7/index": b"", "8/0": b"", "7/1024": b"", "x/y": b"", "7": b"", "": b""}
    for _ in keeping.load(saved):
        pass
    assert pictures[7].index is None
    assert not any(pictures[7].buckets)
    assert data(keeping.touched()) == dict.fromkeys(saved)
