"""The MAC cache in local state: what has changed since it was saved, and taking it up again after a start.

Owns the names under which its nodes are kept and which of them are to be written. Does not own the storing
(``state``). Data are those of the nodes in ZooKeeper and are checked as such.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from era_ap.cluster.buckets import BUCKETS, DamagedError
from era_ap.cluster.sealing import open_bucket, open_index, seal_bucket, seal_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from era_ap.cluster.picture import Picture

Data = Callable[[], bytes]

_INDEX = "index"
_FAST = 1  # zlib's level: this costs each instance CPU, and the disk is patient


class Keeping:
    """Knows what of ``pictures`` (by group) local state has."""

    def __init__(self, pictures: Mapping[int, Picture]) -> None:
        self._pictures = pictures
        self._kept: dict[str, object] = {}

    def touched(self, *, everything: bool = False) -> dict[str, Data | None]:
        """What changed since the last call, by name; the data may be asked for in another thread. None: gone.

        ``everything``: as if nothing had been kept, after it could not be.
        """
        if everything:
            self._kept = dict.fromkeys(self._kept, "unknown")
        now = dict(self._versions())
        changed = {name for name in now.keys() | self._kept.keys() if now.get(name) != self._kept.get(name)}
        self._kept = now
        return {name: self._data(name) for name in sorted(changed)}

    def load(self, saved: Mapping[str, bytes]) -> Iterator[None]:
        """Take up what was kept, a little with each step; what is damaged, or of no group, is left out."""
        for name, data in saved.items():
            group, _, number = name.partition("/")
            picture = self._pictures.get(int(group)) if group.isdecimal() else None
            try:
                if picture is None:
                    continue
                if number == _INDEX:
                    picture.index = open_index(data)
                elif number.isdecimal() and int(number) < BUCKETS:
                    picture.put(int(number), open_bucket(data))
            except DamagedError:
                continue
            yield
        self._kept = dict.fromkeys(saved, "unknown") | dict(self._versions())

    def _versions(self) -> Iterator[tuple[str, object]]:
        for group, picture in self._pictures.items():
            if picture.index is not None:
                yield f"{group}/{_INDEX}", picture.index
            for number, bucket in enumerate(picture.buckets):
                if bucket is not None:
                    yield f"{group}/{number}", bucket.digest

    def _data(self, name: str) -> Data | None:
        group, _, number = name.partition("/")
        picture = self._pictures.get(int(group)) if group.isdecimal() else None
        if picture is None:
            return None
        if number == _INDEX:
            return partial(seal_index, picture.index) if picture.index is not None else None
        bucket = picture.buckets[int(number)] if number.isdecimal() and int(number) < BUCKETS else None
        return partial(seal_bucket, bucket, _FAST) if bucket is not None else None
