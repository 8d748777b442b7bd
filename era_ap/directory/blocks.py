"""Lines of text by domain and login, compressed in blocks of neighbours: the packed form of many accounts.

Owns the blocks, when one is compressed or divided, and which of them changed (local state keeps blocks as
they are). Of a line it only knows that it begins with the login and a tab, and has no line end.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LINES = 32
"""Lines in a block: more compress better, of fewer one is found faster."""

BYTES = 1 << 16
LOOSE = 16_384
"""Lines that may wait to be compressed, so that changes of one block are compressed together."""

Place = tuple[str, bytes]
"""A block: its domain and its ``first``."""


@dataclass(frozen=True, slots=True)
class Image:
    """A block as it was at one moment; ``data`` may be asked for in another thread."""

    packed: bytes
    loose: Mapping[bytes, bytes | None]

    def data(self) -> bytes:
        """The block with all its changes, compressed."""
        return _compressed(_merged(self.packed, self.loose)) if self.loose else self.packed


class _Block:
    """The lines of a domain with logins from ``first`` on; ``loose`` are changes not compressed yet."""

    __slots__ = ("first", "loose", "packed", "size")

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.packed = b""
        self.size = 0
        self.loose: dict[bytes, bytes | None] | None = None

    def find(self, login: bytes) -> bytes | None:
        if self.loose is not None and login in self.loose:
            return self.loose[login]
        if not self.packed:
            return None
        raw = zlib.decompress(self.packed)
        at = raw.find(b"\n" + login + b"\t") + 1
        if not at:
            return None
        end = raw.find(b"\n", at)
        return raw[at:] if end < 0 else raw[at:end]

    def image(self) -> Image:
        return Image(self.packed, dict(self.loose or {}))

    def pack(self, lines: list[bytes]) -> None:
        self.packed, self.size, self.loose = _compressed(lines), len(lines), None

    def lines(self) -> list[bytes]:
        return _merged(self.packed, self.loose or {})


class _Domain:
    """The blocks of one domain by ``first``; that of the first block is always empty."""

    __slots__ = ("blocks", "count", "firsts", "last")

    def __init__(self) -> None:
        self.firsts = [b""]
        self.blocks = [_Block(b"")]
        self.count = 0
        self.last = b""

    def at(self, login: bytes) -> _Block:
        return self.blocks[bisect_right(self.firsts, login) - 1]

    def to_append(self, login: bytes) -> _Block:
        """Where a login belongs that is greater than all others: so a sorted source makes full blocks."""
        block = self.blocks[-1]
        return self.begin(login) if block.size + len(block.loose or ()) >= LINES else block

    def begin(self, first: bytes) -> _Block:
        """A new block at its place; the first one is there already."""
        if not first:
            return self.blocks[0]
        at = bisect_right(self.firsts, first)
        block = _Block(first)
        self.firsts.insert(at, first)
        self.blocks.insert(at, block)
        return block

    def drop(self, block: _Block) -> None:
        at = bisect_right(self.firsts, block.first) - 1
        del self.firsts[at], self.blocks[at]


class Blocks:
    """Lines by domain and login (UTF-8). Not for use from several threads at once.

    ``domains`` has the names of all that have lines; to read.
    """

    def __init__(self) -> None:
        self.domains: dict[str, _Domain] = {}
        self._count = 0
        self._loose: dict[_Block, str] = {}
        self._loose_lines = 0
        self._touched: dict[Place, None] = {}

    def __len__(self) -> int:
        return self._count

    def find(self, name: str, login: bytes) -> bytes | None:
        """The line of that login."""
        domain = self.domains.get(name)
        return domain.at(login).find(login) if domain is not None and login <= domain.last else None

    def put(self, name: str, login: bytes, line: bytes, *, known: bool) -> None:
        """Keep a line; ``known`` says whether there is one of that login already, which goes."""
        domain = self.domains.get(name)
        if domain is None:
            domain = self.domains[name] = _Domain()
        block = domain.at(login) if login <= domain.last else domain.to_append(login)
        domain.last = max(domain.last, login)
        domain.count += not known
        self._count += not known
        self._change(name, block, login, line)

    def remove(self, name: str, login: bytes) -> None:
        """Forget a line that is there."""
        domain = self.domains[name]
        domain.count -= 1
        self._count -= 1
        self._change(name, domain.at(login), login, None)
        if domain.count:
            return
        for block in domain.blocks:
            self._touched[name, block.first] = None
            if self._loose.pop(block, None) is not None:
                self._loose_lines -= len(block.loose or ())
        del self.domains[name]

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a domain by login; nothing may change before the end."""
        domain = self.domains.get(name)
        for block in domain.blocks if domain is not None else ():
            yield from block.lines()

    def adopt(self, place: Place, packed: bytes) -> list[bytes]:
        """Take over a block that ``Image.data`` gave, those of a domain in rising order; returns its lines.

        Raises ``ValueError`` if it is no such block.
        """
        try:
            lines = _merged(packed, {})
            last = _login(lines[-1]) if lines else b""
        except (zlib.error, ValueError) as error:
            raise ValueError(f"no block of lines: {error}") from error
        name, first = place
        domain = self.domains.get(name)
        if domain is None:
            domain = self.domains[name] = _Domain()
        block = domain.begin(first)
        block.packed, block.size = packed, len(lines)
        domain.count += len(lines)
        self._count += len(lines)
        domain.last = max(domain.last, last)
        return lines

    def touched(self) -> dict[Place, Image | None]:
        """The blocks that changed since the last call; None: gone."""
        touched, self._touched = self._touched, {}
        images: dict[Place, Image | None] = {}
        for name, first in touched:
            domain = self.domains.get(name)
            block = domain.at(first) if domain is not None else None
            is_there = block is not None and block.first == first
            images[name, first] = block.image() if block and is_there else None
        return images

    def dissolve(self) -> Iterator[None]:
        """Free everything, a little with each step; not to be used any more."""
        self._loose.clear()
        while self.domains:
            self.domains.popitem()
            yield

    def images(self) -> dict[Place, Image]:
        """All blocks; those that were touched until now are among them."""
        self._touched = {}
        return {
            (name, block.first): block.image()
            for name, domain in self.domains.items()
            for block in domain.blocks
        }

    def _change(self, name: str, block: _Block, login: bytes, line: bytes | None) -> None:
        if block.loose is None:
            block.loose = {}
            self._loose[block] = name
        self._loose_lines += login not in block.loose
        block.loose[login] = line
        self._touched[name, block.first] = None
        if len(block.loose) > 2 * LINES:
            self._compress(block)
        while self._loose_lines > LOOSE:
            self._compress(next(iter(self._loose)))

    def _compress(self, block: _Block) -> None:
        """Compress what is loose; a block that has grown is divided, one that is empty goes."""
        name = self._loose.pop(block)
        domain = self.domains[name]
        self._loose_lines -= len(block.loose or ())
        lines = block.lines()
        step = _step(lines)
        block.pack(lines[:step])
        if not lines and block.first:
            domain.drop(block)
        for begin in range(step, len(lines), step):
            rest = lines[begin : begin + step]
            domain.begin(_login(rest[0])).pack(rest)
            self._touched[name, _login(rest[0])] = None


def _step(lines: list[bytes]) -> int:
    """How many of ``lines`` make a block: all, unless they are far too many or too long."""
    total = sum(map(len, lines))
    if len(lines) <= 2 * LINES and total <= 2 * BYTES:
        return max(1, len(lines))
    return max(1, min(LINES, len(lines) * BYTES // total))


def _login(line: bytes) -> bytes:
    return line[: line.index(b"\t")]


def _compressed(lines: list[bytes]) -> bytes:
    return zlib.compress(b"\n" + b"\n".join(lines), 1) if lines else b""


def _merged(packed: bytes, loose: Mapping[bytes, bytes | None]) -> list[bytes]:
    """The lines of a block by login, with what is loose in its place."""
    lines = zlib.decompress(packed).split(b"\n")[1:] if packed else []
    if not loose:
        return lines
    known: dict[bytes, bytes | None] = {_login(line): line for line in lines}
    known.update(loose)
    return [line for _, line in sorted(known.items()) if line is not None]
