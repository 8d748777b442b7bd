"""All accounts of one source in little memory: packed in blocks, those in use unpacked as well.

Owns the line that stands for an account, and the bounds of what is unpacked. A million accounts of 280 bytes
take 65 MB. Does not own the blocks (``blocks``) nor which accounts make up a phone (``index``).
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from era_ap.directory.blocks import Blocks
from era_ap.directory.model import Account, AccountKey, read_account

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from era_ap.directory.blocks import Image, Place

RECENT = 8192
"""Accounts kept unpacked; a site of that size never unpacks one, which takes 0.1 ms."""

_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_SURROGATES = "surrogatepass"  # what JSON can say must be kept, whatever it is


class Entry(NamedTuple):
    """What can be told of an account without unpacking it; ``lines`` are its MACs, each with a line."""

    login: str
    revision: str
    lines: tuple[tuple[str, int], ...]


class PackedAccounts:
    """Accounts by key, and by domain in order of login. Not for use from several threads at once."""

    def __init__(self, recent: int = RECENT) -> None:
        self._blocks = Blocks()
        self._recent: OrderedDict[AccountKey, Account] = OrderedDict()
        self._recent_most = recent

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, domain: str) -> bool:
        return domain in self._blocks.domains

    @property
    def domains(self) -> Iterable[str]:
        """The names of all domains that have accounts."""
        return self._blocks.domains.keys()

    def get(self, key: AccountKey) -> Account | None:
        """The account of that key; one that was not in use for long is unpacked."""
        account = self._recent.get(key)
        if account is not None:
            self._recent.move_to_end(key)
            return account
        line = self._blocks.find(key.domain, key.login.encode())
        account = _unpack(key, line) if line is not None else None
        if account is not None:
            self._use(account)
        return account

    def put(self, account: Account) -> tuple[Entry | None, bool]:
        """Keep an account; what was known of it before, and whether it is another revision now."""
        key = account.key
        login = key.login.encode()
        line = self._blocks.find(key.domain, login)
        before = _entry(line) if line is not None else None
        if before is not None and before.revision == _revision(account):
            return before, False
        self._blocks.put(key.domain, login, _pack(account), known=before is not None)
        self._use(account)
        return before, True

    def remove(self, key: AccountKey) -> Entry | None:
        """Forget an account; what was known of it, None if nothing."""
        login = key.login.encode()
        line = self._blocks.find(key.domain, login)
        if line is None:
            return None
        self._recent.pop(key, None)
        self._blocks.remove(key.domain, login)
        return _entry(line)

    def entries(self, domain: str) -> Iterator[Entry]:
        """What can be told of a domain's accounts, in order of login; nothing may change before the end."""
        return map(_entry, self._blocks.lines(domain))

    def adopt(self, place: Place, packed: bytes) -> list[Entry]:
        """Take over a block of ``touched``; those of a domain come in rising order. Returns its accounts.

        Raises ``ValueError`` if it is no such block.
        """
        return [_entry(line) for line in self._blocks.adopt(place, packed)]

    def touched(self, *, everything: bool = False) -> Mapping[Place, Image | None]:
        """The blocks that changed since the last call, or all there are; None: gone."""
        return self._blocks.images() if everything else self._blocks.touched()

    def dissolve(self) -> Iterator[None]:
        """Free everything, a little with each step; not to be used any more."""
        while self._recent:
            for _ in range(min(100, len(self._recent))):
                self._recent.popitem()
            yield
        yield from self._blocks.dissolve()

    def _use(self, account: Account) -> None:
        recent = self._recent
        recent[account.key] = account
        recent.move_to_end(account.key)
        while len(recent) > self._recent_most:
            recent.popitem(last=False)


def _pack(account: Account) -> bytes:
    """``login TAB revision TAB MAC/line MAC/line … TAB JSON``: no tab and no line end is in any of these."""
    macs = " ".join([f"{device.mac}/{device.line}" for device in account.devices])
    document = _encode([account.origin, account.fields])
    return f"{account.key.login}\t{_revision(account)}\t{macs}\t{document}".encode(errors=_SURROGATES)


def _revision(account: Account) -> str:
    """The revision as one word of a line, whatever a back end takes for one."""
    revision = account.revision
    return revision if revision.isprintable() else hashlib.blake2b(revision.encode()).hexdigest()


def _unpack(key: AccountKey, line: bytes) -> Account | None:
    _, revision, _, document = line.decode(errors=_SURROGATES).split("\t", 3)
    origin, fields = json.loads(document)
    account, _ = read_account(key.domain, key.login, fields, origin=origin, revision=revision)
    return account


def _entry(line: bytes) -> Entry:
    login, revision, macs, _ = line.split(b"\t", 3)
    pairs = [each.partition("/") for each in macs.decode().split()]
    return Entry(login.decode(), revision.decode(), tuple([(mac, int(number)) for mac, _, number in pairs]))
