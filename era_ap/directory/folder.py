"""The directory's folder on disk: what lies where, reading one file safely, replacing one atomically.

Owns the layout ``<root>/<domain>/domain.yml`` and ``<root>/<domain>/sipusers/<login>.yml`` (or .yaml, .json)
and the rules of what is never opened: links that leave the root, FIFOs, devices. Keeps no state and does
not look into documents.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from era_ap.directory.model import AccountKey
from era_ap.directory.notation import parse_domain, parse_login
from era_ap.errors import Problem, Reason, Refused, Severity

SUFFIXES = (".yml", ".yaml", ".json")
SIPUSERS = "sipusers"
MANY_FILES = 32
"""From so many files on the disk is told once to keep all it has, rather than once for each file."""

_DOMAIN_FILES = frozenset(f"domain{suffix}" for suffix in SUFFIXES)
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC

Place = AccountKey | str
"""What a file describes: an account, or the domain of that name."""


class Signature(NamedTuple):
    """What stat says of a file: when any of it changes, the content may have changed.

    ``path`` is the file as listed, ``real`` the file itself where that is a link.
    """

    path: str
    real: str
    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


MISSING = Signature("", "", 0, 0, 0, 0)
"""No such place."""


@dataclass(slots=True)
class Listing:
    """One look at the folder. Nothing is known of ``kept`` places and ``kept_domains``: they stay."""

    found: dict[Place, Signature] = field(default_factory=dict)
    kept: set[Place] = field(default_factory=set)
    kept_domains: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def knows(self, place: Place) -> bool:
        """Whether this look says if ``place`` exists."""
        domain = place if isinstance(place, str) else place.domain
        return place not in self.kept and domain not in self.kept_domains


def list_folder(root: Path, domains: Collection[str] | None = None) -> Listing:
    """Everything below ``root``, by scandir and stat alone. A domain without a file has an empty signature.

    With ``domains`` only these are looked into.

    Raises:
        Refused: DIRECTORY_UNAVAILABLE if ``root`` cannot be read or holds no domain (an unmounted folder).
    """
    listing = Listing()
    base = os.path.realpath(root)
    for name, entry in domain_folders(root, listing):
        if domains is None or name in domains:
            _list_domain(listing, base, name, entry)
    return listing


def list_domain(root: Path, name: str, entry: os.DirEntry[str]) -> Listing:
    """What ``list_folder`` says of one of the ``domain_folders``."""
    listing = Listing()
    _list_domain(listing, os.path.realpath(root), name, entry)
    return listing


def domain_folders(root: Path, listing: Listing) -> list[tuple[str, os.DirEntry[str]]]:
    """The domains below ``root`` by the names of their folders; other folders are findings of ``listing``.

    Raises:
        Refused: DIRECTORY_UNAVAILABLE if ``root`` cannot be read or holds no domain (an unmounted folder).
    """
    try:
        folders = [entry for entry in _entries(str(root)) if entry.is_dir()]
    except OSError as error:
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, f"{root}: {error.strerror}") from error
    found: dict[str, os.DirEntry[str]] = {}
    for entry in folders:
        name = parse_domain(entry.name)
        if name is None:
            _warn(
                listing, Reason.DOMAIN_INVALID, entry.path, "the folder's name is not a domain; it is ignored"
            )
        elif name in found:
            detail = f"another folder is the domain {name} already; ignored"
            _warn(listing, Reason.DOMAIN_INVALID, entry.path, detail)
        else:
            found[name] = entry
    if not found:
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, f"{root} holds no domain folder; is it mounted?")
    return list(found.items())


def _entries(path: str) -> list[os.DirEntry[str]]:
    """The entries of a folder by name; hidden files, editors' swap files among them, are left out."""
    with os.scandir(path) as entries:
        return sorted((each for each in entries if not each.name.startswith(".")), key=lambda each: each.name)


def _warn(listing: Listing, reason: Reason, path: str, detail: str) -> None:
    printable = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    listing.problems.append(Problem(reason, printable, detail, Severity.WARNING))


def _list_domain(listing: Listing, base: str, name: str, folder: os.DirEntry[str]) -> None:
    try:
        if not _inside(listing, base, folder):
            listing.kept_domains.add(name)
            return
        entries = _entries(folder.path)
        for _, entry in _pick(listing, [each for each in entries if each.name in _DOMAIN_FILES]):
            _sign(listing, base, name, entry)
        if name not in listing.found and name not in listing.kept:
            listing.found[name] = MISSING._replace(path=folder.path)
        for entry in entries:
            if entry.name == SIPUSERS and entry.is_dir():
                _list_accounts(listing, base, name, entry)
    except OSError as error:
        listing.kept_domains.add(name)
        detail = f"cannot be read ({error.strerror}); the domain stays as it was"
        listing.problems.append(Problem(Reason.FILE_UNREADABLE, folder.path, detail))


def _list_accounts(listing: Listing, base: str, domain: str, folder: os.DirEntry[str]) -> None:
    if not _inside(listing, base, folder):
        listing.kept_domains.add(domain)
        return
    for stem, entry in _pick(listing, _entries(folder.path)):
        login = parse_login(stem)
        if login is None:
            _warn(
                listing, Reason.ACCOUNT_INVALID, entry.path, "the file's name is not a login; it is ignored"
            )
        else:
            _sign(listing, base, AccountKey(domain, login), entry)


def _inside(listing: Listing, base: str, entry: os.DirEntry[str]) -> bool:
    if not entry.is_symlink() or _below(base, os.path.realpath(entry.path)):
        return True
    listing.problems.append(
        Problem(Reason.FILE_OUTSIDE, entry.path, "the link leaves the directory's folder")
    )
    return False


def _below(base: str, path: str) -> bool:
    return path.startswith(base.rstrip("/") + "/")


def _pick(listing: Listing, entries: list[os.DirEntry[str]]) -> list[tuple[str, os.DirEntry[str]]]:
    """The files with a suffix of ours, one for each stem: .yml before .yaml before .json."""
    picked: dict[str, os.DirEntry[str]] = {}
    for suffix in SUFFIXES:
        for entry in entries:
            stem = entry.name.removesuffix(suffix)
            if stem == entry.name:
                continue
            if stem in picked:
                _warn(
                    listing,
                    Reason.FILE_UNREADABLE,
                    entry.path,
                    f"ignored beside {picked[stem].name}; keep one",
                )
            else:
                picked[stem] = entry
    return list(picked.items())


def _sign(listing: Listing, base: str, place: Place, entry: os.DirEntry[str]) -> None:
    """Note the file's signature, or that nothing is known of it, or nothing if it is just gone."""
    try:
        real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
        status = entry.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        listing.kept.add(place)
        listing.problems.append(
            Problem(Reason.FILE_UNREADABLE, entry.path, f"cannot be read: {error.strerror}")
        )
        return
    if real is not entry.path and not _below(base, real):
        listing.kept.add(place)
        listing.problems.append(
            Problem(Reason.FILE_OUTSIDE, entry.path, "the link leaves the directory's folder")
        )
    elif not stat.S_ISREG(status.st_mode):
        listing.kept.add(place)
        listing.problems.append(
            Problem(Reason.FILE_SPECIAL, entry.path, "not a regular file; it is not opened")
        )
    else:
        listing.found[place] = _signature(entry.path, real, status)


def _signature(path: str, real: str, status: os.stat_result) -> Signature:
    return Signature(path, real, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def read_signed(signature: Signature, limit: int) -> bytes | None:
    """The content that ``signature`` stands for, at most ``limit`` + 1 bytes; None if the file changed since.

    Raises:
        OSError: it cannot be opened or read.
    """
    descriptor = os.open(signature.real, _FLAGS)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not _unchanged(file.fileno(), signature):
            return None
        data = b""
        while len(data) <= limit and (piece := file.read(limit + 1 - len(data))):
            data += piece
        return data if _unchanged(file.fileno(), signature) else None


def _unchanged(descriptor: int, signature: Signature) -> bool:
    status = os.fstat(descriptor)
    regular = stat.S_ISREG(status.st_mode)
    return regular and _signature(signature.path, signature.real, status) == signature


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` whole: a reader sees the old or the new content, also after a power cut.

    The mode and owner of an existing file stay; a new one is 0600, its folders 0700.

    Raises:
        OSError: it cannot be written; nothing has changed.
    """
    replace_files({path: data})


def replace_files(files: Mapping[Path, bytes]) -> None:
    """``replace_file`` for many: all are written and safe on disk before the first is put in its place.

    Raises:
        OSError: one cannot be written, and nothing has changed; or put in place, and some have.
    """
    written: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            written[path] = _write_beside(path, data, sync=len(files) < MANY_FILES)
        if len(files) >= MANY_FILES:
            os.sync()
        for path in files:
            written[path].replace(path)
            del written[path]
    except BaseException:
        for temporary in written.values():
            with suppress(OSError):
                temporary.unlink()
        raise
    for folder in {path.parent for path in files}:
        sync_folder(folder)


def _write_beside(path: Path, data: bytes, *, sync: bool) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:20]}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            _take_over_mode(file.fileno(), path)
            file.flush()
            if sync:
                os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _take_over_mode(descriptor: int, path: Path) -> None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    with suppress(PermissionError):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def sync_folder(folder: Path) -> None:
    """Make renames and removals in ``folder`` last (fsync of the folder)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
