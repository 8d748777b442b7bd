"""What tests of the MAC cache share: rows, terms of leadership, what ZooKeeper holds of a group's part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from era_ap.cluster.buckets import Bucket, Row, bucket_of_mac, pack
from era_ap.cluster.contract import Create, Put
from era_ap.cluster.publisher import bucket_path, buckets_path, index_path
from era_ap.cluster.sealing import Index, open_bucket, open_index
from era_ap.cluster.view import Term, epoch_path
from tests.fake_ensemble import Servers

GROUP = 7
MAC = 0x001565000001


def row(mac: int = MAC, login: str = "101", domain: str = "a.example.com", digest: int = 1) -> Row:
    return Row(mac, domain, login, 1, digest)


def rows(count: int, digest: int = 1) -> list[Row]:
    return [row(MAC + number, str(1000 + number), digest=digest) for number in range(count)]


class Rows:
    """Rows that a leader publishes: ``bucket`` gives each of their buckets."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._buckets: dict[int, dict[object, Row]] = {}
        self.put(*rows)

    @property
    def all(self) -> set[Row]:
        return {row for bucket in self._buckets.values() for row in bucket.values()}

    def put(self, *rows: Row) -> set[int]:
        for each in rows:
            self._buckets.setdefault(bucket_of_mac(each.mac), {})[each[:3]] = each
        return {bucket_of_mac(each.mac) for each in rows}

    def remove(self, *rows: Row) -> set[int]:
        for each in rows:
            del self._buckets[bucket_of_mac(each.mac)][each[:3]]
        return {bucket_of_mac(each.mac) for each in rows}

    def bucket(self, number: int) -> Bucket | None:
        here = self._buckets.get(number)
        return pack(here.values(), {}) if here else None


def begin_term(servers: Servers, session: int, group: int = GROUP, number: int = 0) -> Term:
    """A new leader's first transaction, as far as it concerns the cache; ``number`` 0: the next one."""
    path = epoch_path(group)
    for folder in ("groups", f"groups/{group}"):
        if folder not in servers.nodes:
            servers.apply(session, (Create(folder),))
    servers.apply(session, (Put(path, b"{}") if path in servers.nodes else Create(path, b"{}"),))
    node = servers.nodes[path]
    return term_of(group, number or node.version + 1, node.version, node.mzxid)


def term_of(group: int, number: int, version: int, zxid: int) -> Term:
    """A term, whatever else there is to say of one."""
    known = {"group": group, "leader": "ap1", "number": number, "version": version, "zxid": zxid}
    return Term(**known | {each.name: 4.0 for each in fields(Term) if each.name not in known})  # type: ignore[arg-type]


def published(servers: Servers, group: int = GROUP) -> tuple[Index | None, set[Row]]:
    """What ZooKeeper holds; the index must tell the truth about every bucket."""
    node = servers.nodes.get(index_path(group))
    names = servers.children(buckets_path(group))
    if node is None:
        assert names == ()
        return None, set()
    index = open_index(node.data)
    held = {int(name): open_bucket(servers.nodes[bucket_path(group, int(name))].data) for name in names}
    for number, digest in enumerate(index.digests):
        assert digest == (held[number].digest if number in held else bytes(8))
    found = {each for bucket in held.values() for each in bucket.rows()}
    assert (index.rows, index.macs) == (len(found), len({each.mac for each in found}))
    return index, found
