"""The directory as a folder of YAML or JSON files: found by polling, written atomically.

Owns when a file is read (once it rests, so never half an edit), its last good version, and what is written.
Does not own the layout (``folder``), the syntax (``yaml_text``) or the fields (``model``). Blocks: every
method is for a worker thread, ``scan`` for one thread at a time.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from era_ap.directory.folder import (
    MISSING,
    SIPUSERS,
    SUFFIXES,
    Listing,
    Place,
    Signature,
    list_folder,
    read_signed,
    replace_file,
    sync_folder,
)
from era_ap.directory.index import Change
from era_ap.directory.model import Account, AccountKey, Domain, read_account, read_domain
from era_ap.directory.notation import parse_domain, parse_login, text_tree
from era_ap.directory.yaml_text import (
    MAX_BYTES,
    DocumentError,
    decode,
    dump_json,
    dump_yaml,
    load_json,
    load_yaml,
)
from era_ap.errors import Problem, Reason, Refused, Severity

SETTLE = 0.6
"""Seconds a file must rest before it is read; with a scan each 0.5 s a change is in service within 1.5 s."""

RESTLESS = 10.0
"""Seconds after which a file that never rests is a problem."""

MANY = 1000
"""Files read in one scan from which on the garbage collector is kept away from them."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Kept:
    """What is known of one place: the version in service, and the file it came from."""

    loaded: Signature | None = None
    pending: Signature | None = None
    since: float = 0.0
    restless_since: float | None = None
    content: str = ""
    value: Account | Domain | None = None
    problems: tuple[Problem, ...] = ()

    def rests(self, signature: Signature, now: float, settle: float) -> bool:
        """Whether the file differs from what was loaded and has looked like this for ``settle`` seconds."""
        if signature == self.loaded:
            self.pending = self.restless_since = None
            return False
        if signature != self.pending:
            self.pending, self.since = signature, now
        if self.restless_since is None:
            self.restless_since = now
        return now - self.since >= settle


@dataclass(slots=True)
class _Outbox:
    """What changed and was not handed out yet."""

    accounts: dict[AccountKey, Account] = field(default_factory=dict)
    removed: dict[AccountKey, None] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    removed_domains: dict[str, None] = field(default_factory=dict)

    def put(self, value: Account | Domain) -> None:
        if isinstance(value, Account):
            self.accounts[value.key] = value
            self.removed.pop(value.key, None)
        else:
            self.domains[value.name] = value
            self.removed_domains.pop(value.name, None)

    def remove(self, value: Account | Domain) -> None:
        if isinstance(value, Account):
            self.removed[value.key] = None
            self.accounts.pop(value.key, None)
        else:
            self.removed_domains[value.name] = None
            self.domains.pop(value.name, None)

    def change(self, problems: tuple[Problem, ...]) -> Change:
        return Change(
            tuple(self.accounts.values()),
            tuple(self.removed),
            tuple(self.domains.values()),
            tuple(self.removed_domains),
            problems,
        )

    def __bool__(self) -> bool:
        return bool(self.accounts or self.removed or self.domains or self.removed_domains)


@contextmanager
def _uncollected(files: int) -> Iterator[None]:
    """Reading many documents makes no cycles, but would set off full collections, and each holds up every
    thread for 0.2 s with 20,000 accounts. What was read is frozen: later collections leave it alone too.
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
    """The back end ``yaml:<folder>``. ``clock`` (monotonic) and ``wall`` (file stamps) give seconds."""

    def __init__(
        self,
        root: Path,
        *,
        settle: float = SETTLE,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._root = root
        self._settle = settle
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._kept: dict[Place, _Kept] = {}
        self._outbox = _Outbox()
        self._replaced: list[Account | Domain] = []
        self._reported: tuple[Problem, ...] | None = None

    def scan(self, progress: Progress | None = None) -> Change | None:
        """What changed since the last scan, None if nothing; the first one reads everything.

        ``progress`` is called with (files read, files to read). What cannot be read, or is not there for a
        moment only, stays as it was. An empty or missing root never removes anything.

        Raises:
            Refused: DIRECTORY_UNAVAILABLE if the folder is not readable or holds no domain.
        """
        while (
            self._replaced
        ):  # freed here, piece by piece, rather than all at once where the index drops them
            self._replaced.pop()
        first = self._reported is None
        listing = self._first_look() if first else list_folder(self._root)
        due, restless = self._due(listing)
        with _uncollected(len(due)):
            for done, (place, signature) in enumerate(due, 1):
                self._load(place, signature)
                if progress is not None:
                    progress(done, len(due))
        self._forget(listing)
        problems = self._problems(listing, restless)
        if not first and not self._outbox and problems == self._reported:
            return None
        outbox, self._outbox, self._reported = self._outbox, _Outbox(), problems
        return outbox.change(problems)

    def write_account(self, key: AccountKey, document: Mapping[str, object]) -> Path:
        """Put the account's file in place atomically; a later scan finds it. Returns the file.

        Raises:
            Refused: ACCOUNT_INVALID if it would not read back, DIRECTORY_UNAVAILABLE if it cannot be written.
        """
        _check_key(key)
        account, problems = read_account(key.domain, key.login, document, origin=str(key), revision="")
        if account is None:
            raise Refused(Reason.ACCOUNT_INVALID, problems[-1].detail)
        return self._write(key.domain, (SIPUSERS,), key.login, document, Reason.ACCOUNT_INVALID)

    def write_domain(self, name: str, document: Mapping[str, object]) -> Path:
        """Put ``{settings: {…}}`` of a domain in place atomically. Returns the file.

        Raises:
            Refused: DOMAIN_INVALID if it would not read back, DIRECTORY_UNAVAILABLE if it cannot be written.
        """
        if parse_domain(name) != name:
            raise Refused(Reason.DOMAIN_INVALID, f"{name!r} is not a domain name in lower case")
        domain, problems = read_domain(name, document, origin=name, revision="")
        if domain is None:
            raise Refused(Reason.DOMAIN_INVALID, problems[-1].detail)
        return self._write(name, (), "domain", document, Reason.DOMAIN_INVALID)

    def remove_account(self, key: AccountKey) -> bool:
        """Delete the account's file, whatever its suffix; False if there was none.

        Raises:
            Refused: ACCOUNT_INVALID for an unusable name, DIRECTORY_UNAVAILABLE if it cannot be deleted.
        """
        _check_key(key)
        try:
            folder = self._folder(key.domain, (SIPUSERS,))
            named = [folder / f"{key.login}{suffix}" for suffix in SUFFIXES]
            files = [path for path in named if path.is_symlink() or path.exists()]
            for path in files:
                path.unlink()
            if files:
                sync_folder(folder)
        except OSError as error:
            raise Refused(
                Reason.DIRECTORY_UNAVAILABLE, f"{key} cannot be removed: {error.strerror}"
            ) from error
        return bool(files)

    def _first_look(self) -> Listing:
        """Everything that rests is read at once; only if a file is fresh, wait once and look again."""
        listing = list_folder(self._root)
        horizon = (self._wall() - self._settle) * 1e9
        fresh = any(each.mtime_ns > horizon for each in listing.found.values())
        seen = self._clock() - self._settle
        if fresh:
            self._sleep(self._settle)
        for place, signature in listing.found.items():
            self._kept[place] = _Kept(pending=signature, since=seen)
        return list_folder(self._root) if fresh else listing

    def _due(self, listing: Listing) -> tuple[list[tuple[Place, Signature]], list[Signature]]:
        """The files to read now, and those that have not come to rest for long."""
        now = self._clock()
        due, restless = [], []
        for place, signature in listing.found.items():
            kept = self._kept.get(place)
            if kept is None:
                kept = self._kept[place] = _Kept()
            if kept.rests(signature, now, self._settle):
                due.append((place, signature))
            elif kept.restless_since is not None and now - kept.restless_since > RESTLESS:
                restless.append(signature)
        return due, restless

    def _load(self, place: Place, signature: Signature) -> None:
        """Read one file; on any failure the version in service stays."""
        kept = self._kept[place]
        try:
            data = read_signed(signature, MAX_BYTES) if signature.real else b""
        except FileNotFoundError:
            data = None
        except OSError as error:
            kept.problems = (
                Problem(Reason.FILE_UNREADABLE, signature.path, f"cannot be read: {error.strerror}"),
            )
            kept.loaded, kept.content = None, ""
            return
        if data is None:
            kept.pending = None
            return
        content = f"{hashlib.blake2b(data, digest_size=8).hexdigest()} {signature.path}"
        if content != kept.content:
            value, kept.problems = _parse(place, signature, data)
            if value is not None:
                if kept.value is not None:
                    self._replaced.append(kept.value)
                kept.value = value
                self._outbox.put(value)
        kept.loaded, kept.content = signature, content
        kept.pending = kept.restless_since = None

    def _forget(self, listing: Listing) -> None:
        """Remove what has been away for the settling time: an editor's rename is no removal."""
        now = self._clock()
        gone = [place for place in self._kept if place not in listing.found and listing.knows(place)]
        for place in gone:
            if self._kept[place].rests(MISSING, now, self._settle):
                kept = self._kept.pop(place)
                if kept.value is not None:
                    self._outbox.remove(kept.value)
                    self._replaced.append(kept.value)

    def _problems(self, listing: Listing, restless: Iterable[Signature]) -> tuple[Problem, ...]:
        found = list(listing.problems)
        for kept in self._kept.values():
            found += kept.problems
        detail = f"keeps changing for more than {RESTLESS:.0f} s; its last good version is in service"
        found += [Problem(Reason.FILE_CHANGED, each.path, detail, Severity.WARNING) for each in restless]
        return tuple(sorted(found, key=lambda each: (each.where, each.detail)))

    def _folder(self, domain: str, below: tuple[str, ...]) -> Path:
        """The folder to write to; an existing one of that domain in other letter case is used."""
        named = sorted(each for each in self._root.iterdir() if each.name.lower() == domain and each.is_dir())
        folder = (named[0] if named else self._root / domain).joinpath(*below)
        if not folder.resolve().is_relative_to(self._root.resolve()):
            raise Refused(Reason.FILE_OUTSIDE, f"{folder} leaves the directory's folder")
        return folder

    def _write(
        self, domain: str, below: tuple[str, ...], stem: str, document: Mapping[str, object], reason: Reason
    ) -> Path:
        try:
            folder = self._folder(domain, below)
            existing = [path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").exists()]
            path = existing[0] if existing else folder / f"{stem}{SUFFIXES[0]}"
            replace_file(path, _serialise(path, document, reason))
        except OSError as error:
            raise Refused(
                Reason.DIRECTORY_UNAVAILABLE, f"{stem} of {domain} cannot be written: {error.strerror}"
            ) from error
        return path


def _check_key(key: AccountKey) -> None:
    safe = (
        not key.login.startswith(".") and not set("/\\") & set(key.login) and len(key.login.encode()) <= 200
    )
    if parse_domain(key.domain) != key.domain or parse_login(key.login) is None or not safe:
        raise Refused(
            Reason.ACCOUNT_INVALID, f"{key.login!r} of {key.domain!r} cannot be a file of the directory"
        )


def _serialise(path: Path, document: Mapping[str, object], reason: Reason) -> bytes:
    """The document as bytes that read back equal. Raises ``Refused``."""
    json = path.suffix == ".json"
    try:
        data = (dump_json if json else dump_yaml)(document).encode()
        back = text_tree((load_json if json else load_yaml)(decode(data)))
        if back != text_tree(document):
            raise DocumentError("it would not read back as it is")
    except (ValueError, TypeError) as error:
        raise Refused(reason, f"{path.name} cannot be written: {error}") from error
    return data


def _parse(
    place: Place, signature: Signature, data: bytes
) -> tuple[Account | Domain | None, tuple[Problem, ...]]:
    """The value of a file and all findings; a document error names the line."""
    revision = hashlib.blake2b(data, digest_size=8).hexdigest()
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
