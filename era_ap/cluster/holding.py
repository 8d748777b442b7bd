"""All groups' parts of the MAC cache, as this instance holds them.

Owns which groups are followed. Does not own whose word counts (``heeding``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era_ap.cluster.picture import Picture, digest_of
from era_ap.cluster.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import structlog

    from era_ap.cluster.buckets import Bucket, Row
    from era_ap.cluster.contract import Ensemble
    from era_ap.cluster.own_rows import OwnRows

    OnChange = Callable[[int, frozenset[int], frozenset[str]], None]


class Holding:
    """``readers`` and their ``pictures`` by group; ``on_change`` is told as a ``Reader`` does.

    A bucket that ``own`` has is not fetched.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        own: OwnRows,
        on_change: OnChange,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.readers: dict[int, Reader] = {}
        self.pictures: dict[int, Picture] = {}
        self._ensemble = ensemble
        self._own = own
        self._on_change = on_change
        self._log = log

    def hold(self, groups: Collection[int]) -> None:
        """These are all groups there are; what is held of others is let go."""
        for group in self.readers.keys() - groups:
            self.readers.pop(group).close()
            del self.pictures[group]
        for group in sorted(groups - self.readers.keys()):
            reader = Reader(
                self._ensemble, group, nearby=self._nearby, on_change=self._on_change, log=self._log
            )
            self.readers[group], self.pictures[group] = reader, reader.picture

    def follow(self) -> None:
        """Follow what the leaders of all groups write, from now on."""
        for reader in self.readers.values():
            reader.start()

    def close(self) -> None:
        """Follow nobody; what is held stays."""
        for reader in self.readers.values():
            reader.close()

    def rows(self, mac: int) -> Iterator[tuple[int, Row]]:
        """The rows of one MAC in all groups, each with its group."""
        for group, picture in self.pictures.items():
            for row in picture.owners(mac):
                yield group, row

    def revision(self) -> int:
        """Grows when ``rows`` may give something else."""
        return sum(picture.revision for picture in self.pictures.values())

    def _nearby(self, group: int, number: int, digest: bytes) -> Bucket | None:
        bucket = self._own.bucket(group, number) if self._own.is_ready else None
        return bucket if digest_of(bucket) == digest else None
