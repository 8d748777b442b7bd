"""The directory as a folder of YAML or JSON files, found by polling.

Owns when a file is read (once it rests, so never half an edit) and that its last good version stays in
service. Keeps no accounts: what was read is handed out at once, in pieces. Does not own the layout
(``folder``), the syntax (``yaml_text``), the fields (``model``) or edits (``folder_writer``). Blocks: for one
worker thread.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from era_ap.directory.folder import Listing, Place, Signature, list_folder, read_signed
from era_ap.directory.model import Account, AccountKey, Domain, read_account, read_domain
from era_ap.directory.resting import RESTLESS, Due, Resting
from era_ap.directory.source import PIECE, Change
from era_ap.directory.yaml_text import MAX_BYTES, DocumentError, decode, load_json, load_yaml
from era_ap.errors import Problem, Reason, Severity

SETTLE = 0.4
"""Seconds a file must rest before it is read; looked at each 0.5 s a change is in service within a second."""

HURRY = 0.2
"""The same where somebody else has seen the file rest already."""

MANY = 1000
"""Files read in one look from which on the garbage collector is kept away from them."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Outbox:
    """What is about to be handed out."""

    accounts: dict[AccountKey, Account] = field(default_factory=dict)
    removed: list[AccountKey] = field(default_factory=list)
    domains: dict[str, Domain] = field(default_factory=dict)
    removed_domains: list[str] = field(default_factory=list)

    def put(self, value: Account | Domain) -> None:
        if isinstance(value, Account):
            self.accounts[value.key] = value
        else:
            self.domains[value.name] = value

    def remove(self, places: Iterable[Place]) -> None:
        for place in places:
            if isinstance(place, AccountKey):
                self.removed.append(place)
            else:
                self.removed_domains.append(place)

    def take(self, problems: tuple[Problem, ...]) -> Change:
        """All of it as a change; nothing is left."""
        change = Change(
            tuple(self.accounts.values()),
            tuple(self.removed),
            tuple(self.domains.values()),
            tuple(self.removed_domains),
            problems,
        )
        for each in (self.accounts, self.removed, self.domains, self.removed_domains):
            each.clear()
        return change

    def __len__(self) -> int:
        return len(self.accounts) + len(self.removed) + len(self.domains) + len(self.removed_domains)


@contextmanager
def _uncollected(files: int) -> Iterator[None]:
    """Reading many documents makes no cycles, but would set off full collections, which hold up every thread.

    What was read and is still in use is frozen: later collections leave it alone too.
    """
    if files < MANY or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class YamlFiles:
    """The back end ``yaml:<folder>``. ``clock`` (monotonic) and ``wall`` (file stamps) give seconds.

    ``is_whole``: the next look hands over everything. ``pending``: domains in which a file does not rest yet;
    a look at them ``settle`` seconds later finds it.
    """

    def __init__(
        self,
        root: Path,
        *,
        settle: float = SETTLE,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.settle = settle
        self.is_whole = True
        self.pending: frozenset[str] = frozenset()
        self._root = root
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._resting = Resting()
        self._reported: tuple[Problem, ...] = ()
        self._found: tuple[Problem, ...] = ()

    def scan(self, progress: Progress | None = None) -> Change | None:
        """What changed since the last look as one change, None if nothing; see ``look``."""
        pieces = list(self.look(progress=progress))
        if not pieces:
            return None
        return Change(
            tuple(account for piece in pieces for account in piece.accounts),
            tuple(key for piece in pieces for key in piece.removed),
            tuple(domain for piece in pieces for domain in piece.domains),
            tuple(name for piece in pieces for name in piece.removed_domains),
            pieces[-1].problems,
            pieces[-1].unknown,
            pieces[-1].lost,
        )

    def look(
        self,
        domains: Collection[str] | None = None,
        *,
        hurry: bool = False,
        progress: Progress | None = None,
    ) -> Iterator[Change]:
        """What changed since the last look, in pieces, as it is read; the first look reads everything.

        Only at ``domains``, if given. In a ``hurry`` what does not rest yet is waited for, shortly. What
        cannot be read, or is not there for a moment only, stays as it was. An empty or missing root never
        removes anything. A look that is not followed to its end makes the next one a first one again.
        ``progress`` is called with (files read, files to read).

        Raises:
            Refused: DIRECTORY_UNAVAILABLE if the folder is not readable or holds no domain.
        """
        first = self.is_whole
        listing, due = self._first_look() if first else self._look(domains, hurry)
        self.is_whole = True
        outbox = _Outbox()
        with _uncollected(len(due.files)):
            for done, (place, signature) in enumerate(due.files, 1):
                self._load(place, signature, outbox)
                if progress is not None:
                    progress(done, len(due.files))
                if len(outbox) >= PIECE:
                    yield outbox.take(self._reported)
        outbox.remove(place for place in due.gone if self._resting.forget(place))
        unread = self._unread(listing) if first else {}
        if first or domains is None:
            self._found = tuple(listing.problems)
        problems = self._problems()
        if first or len(outbox) or problems != self._reported:
            self._reported = problems
            yield replace(outbox.take(problems), **unread)
        self.is_whole = False

    def _first_look(self) -> tuple[Listing, Due]:
        """Everything that rests is read at once; only if a file is fresh, wait once and look again."""
        self._resting = Resting()
        listing = list_folder(self._root)
        horizon = (self._wall() - self.settle) * 1e9
        fresh = any(each.mtime_ns > horizon for each in listing.found.values())
        self._resting.expect(listing)
        if fresh:
            self._sleep(self.settle)
            listing = list_folder(self._root)
        return self._compare(listing, None, self.settle)

    def _look(self, domains: Collection[str] | None, hurry: bool) -> tuple[Listing, Due]:
        settle = min(HURRY, self.settle) if hurry else self.settle
        listing, due = self._compare(list_folder(self._root, domains), domains, settle)
        if hurry and due.pending:
            self._sleep(settle)
            return self._compare(list_folder(self._root, domains), domains, settle)
        return listing, due

    def _compare(
        self, listing: Listing, domains: Collection[str] | None, settle: float
    ) -> tuple[Listing, Due]:
        due = self._resting.look(listing, self._clock(), settle, domains)
        others = self.pending - frozenset(domains) if domains is not None else frozenset()
        self.pending = frozenset(due.pending) | others
        return listing, due

    def _load(self, place: Place, signature: Signature, outbox: _Outbox) -> None:
        """Read one file; on any failure the version in service stays."""
        kept = self._resting[place]
        try:
            data = read_signed(signature, MAX_BYTES) if signature.real else b""
        except FileNotFoundError:
            data = None
        except OSError as error:
            problem = Problem(Reason.FILE_UNREADABLE, signature.path, f"cannot be read: {error.strerror}")
            self._resting.complain(place, (problem,))
            kept.loaded, kept.content = None, b""
            return
        if data is None:
            kept.pending = None
            return
        content = _digest(signature.path.encode(errors="surrogateescape") + b"\0" + data).digest()
        if content != kept.content:
            value, problems = _parse(place, signature, data)
            self._resting.complain(place, problems)
            if value is not None:
                kept.in_service = True
                outbox.put(value)
        kept.content = content
        kept.settled(signature)

    def _unread(self, listing: Listing) -> dict[str, Any]:
        """What a first look has found and could not read, as fields of a ``Change``."""
        unread = [*listing.kept, *(place for place in listing.found if not self._resting[place].in_service)]
        return {"unknown": tuple(unread), "lost": tuple(listing.kept_domains)}

    def _problems(self) -> tuple[Problem, ...]:
        detail = f"keeps changing for more than {RESTLESS:.0f} s; its last good version is in service"
        found = [*self._found, *self._resting.problems]
        found += [
            Problem(Reason.FILE_CHANGED, each.path, detail, Severity.WARNING)
            for each in self._resting.restless
        ]
        return tuple(sorted(found, key=lambda each: (each.where, each.detail)))


def _digest(data: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=8)


def _parse(
    place: Place, signature: Signature, data: bytes
) -> tuple[Account | Domain | None, tuple[Problem, ...]]:
    """The value of a file and all findings; a document error names the line."""
    revision = _digest(data).hexdigest()
    account = isinstance(place, AccountKey)
    try:
        document = _document(signature, data)
    except DocumentError as error:
        where = signature.path if error.line is None else f"{signature.path}:{error.line}"
        reason = Reason.ACCOUNT_INVALID if account else Reason.DOMAIN_INVALID
        return None, (
            Problem(reason, where, f"{error.detail}; the last good version, if any, is in service"),
        )
    if isinstance(place, AccountKey):
        return read_account(*place, document, origin=signature.path, revision=revision)
    return read_domain(place, document, origin=signature.path, revision=revision)


def _document(signature: Signature, data: bytes) -> object:
    if not signature.real:
        return {}
    if not data.strip():
        raise DocumentError("the file is empty")
    return (load_json if signature.path.endswith(".json") else load_yaml)(decode(data))
