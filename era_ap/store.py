"""The storage: watches its folders by polling and reads what changed (spec 2).

Owns when a file counts as written (it rests), and what happens while the storage is away (the last state
stays). Does not own what files mean (``catalogue``), which may be touched (``storage_files``), nor the
content of ready-made files (``static_files``).
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.catalogue import Snapshot, Stamp, StaticFile, TextFile, build
from era_ap.storage_files import Listing, list_folder, read_piece

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from era_ap.provisioning.catalogue import Catalogue

SETTLE_SECONDS = 0.3
YOUNG_SECONDS = 1.0
MAX_TEXT = 1 << 20

TEMPLATES: Final = "templates"
CONSTANTS: Final = "constants"
CONFIGS: Final = "configs"
FOLDERS: Final = (TEMPLATES, CONSTANTS, CONFIGS)

Seen = Stamp | tuple[Reason, str] | None


_NEVER_SEEN = Stamp(0, 0, 0, 0)


class SavedFile(NamedTuple):
    """A file of the storage as it was last seen; ``data`` is None where only its existence is known."""

    stamp: Stamp
    data: bytes | None


class Store:
    """Watches the storage folder ``root`` for the site named ``site``; blocking, for one worker thread.

    A file is taken up when it looked the same for ``settle_seconds``, and only if it still does after it was
    read; so with a scan every 0.5 s a change is in service after 0.3 to 1 s, and never by halves. ``files``
    are those in service, for local state; the mapping is replaced, never changed.
    """

    def __init__(
        self,
        root: Path,
        site: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._root = root
        self._site = site
        self._monotonic = monotonic
        self._wall = wall
        self._sleep = sleep
        self._settle_seconds = settle_seconds
        self._catalogue: Catalogue | None = None
        self._taken: dict[str, Seen] = {}
        self._changing: dict[str, tuple[Seen, float]] = {}
        self._texts: dict[str, TextFile] = {}
        self._unread: dict[str, Refused] = {}
        self._away: dict[str, str] = {}
        self._built: tuple[object, ...] = ()
        self._version = 0
        self._has_looked = False
        self.files: Mapping[str, SavedFile] = {}

    def scan(self) -> Catalogue | None:
        """Look at everything; the new catalogue, or None if nothing changed since the last one.

        Raises ``Refused`` (STORAGE_UNAVAILABLE) while no folder can be read or all are suddenly empty; what
        was returned before stays valid.
        """
        first = not self._has_looked
        seen = self._look()
        now = self._monotonic()
        if first:
            self._take_rested(seen)
        if seen != self._taken or self._changing or self._unread:
            for place in sorted(self._taken.keys() | seen.keys() | self._unread.keys()):
                self._compare(place, seen, now)
        built = (self._version, tuple(self._away.items()), tuple(map(str, self._unread.items())))
        if not first and built == self._built:
            return None
        self._built = built
        self._has_looked = True
        before, catalogue = self._catalogue, self._build()
        return None if catalogue is before else catalogue

    def restore(self, files: Mapping[str, SavedFile]) -> Catalogue:
        """Take ``files``, by place such as ``templates/T46S.cfg``, for what was seen last.

        To be called before the first scan, which finds what has changed since.
        """
        for place, saved in files.items():
            folder, _, path = place.partition("/")
            if folder != CONFIGS:
                if saved.data is None:
                    continue
                self._texts[place] = _text(path, saved.data)
            self._taken[place] = saved.stamp
        return self._build()

    def read(self, entry: StaticFile) -> bytes:
        """The whole of a ready-made file; blocking. Raises ``Refused`` (FILE_CHANGED, FILE_UNREADABLE …)."""
        return read_piece(self._root, f"{CONFIGS}/{entry.path}", entry.stamp, 0, entry.size)

    # --- looking

    def _look(self) -> dict[str, Seen]:
        """What is there now, by place; folders that are away are noted and what they held is left out."""
        seen: dict[str, Seen] = {}
        away: dict[str, str] = {}
        empty = 0
        for folder in FOLDERS:
            listing, trouble = self._list(folder)
            if trouble:
                away[folder] = trouble
                continue
            empty += listing.is_empty
            seen.update({f"{folder}/{path}": stamp for path, stamp in listing.files.items()})
            seen.update(
                {f"{folder}/{path}": (why.reason, why.detail) for path, why in listing.refused.items()}
            )
            for lost in listing.lost:
                below = f"{folder}/{lost}/"
                seen.update({place: what for place, what in self._taken.items() if place.startswith(below)})
        if len(away) + empty == len(FOLDERS):
            what = (
                "; ".join(f"{folder}: {trouble}" for folder, trouble in away.items())
                or "all folders are empty"
            )
            raise Refused(Reason.STORAGE_UNAVAILABLE, f"{self._root}: {what}")
        for folder in away:
            seen.update(
                {place: what for place, what in self._taken.items() if place.startswith(f"{folder}/")}
            )
        self._away = away
        return seen

    def _list(self, folder: str) -> tuple[Listing, str]:
        """A folder's listing, and what is wrong with it ("" if nothing)."""
        try:
            listing = list_folder(self._root, folder, leftovers=folder == CONFIGS)
        except OSError as error:
            return Listing(), error.strerror or "unreadable"
        except Refused as refused:
            return Listing(), refused.detail
        known = any(place.startswith(f"{folder}/") for place in self._taken)
        return listing, "suddenly empty" if known and listing.is_empty else ""

    def _take_rested(self, seen: dict[str, Seen]) -> None:
        """At the first look take what is old enough at once, and young files if they rest for a moment."""
        now = self._wall()
        young = [
            place
            for place, what in seen.items()
            if what != self._taken.get(place)
            and isinstance(what, Stamp)
            and now - what.mtime_ns / 1e9 < YOUNG_SECONDS
        ]
        again = seen
        if young:
            self._sleep(self._settle_seconds)
            again = self._look()
        for place, what in seen.items():
            if again.get(place) == what and what != self._taken.get(place):
                self._take(place, what)

    # --- taking up

    def _compare(self, place: str, seen: Mapping[str, Seen], now: float) -> None:
        what = seen.get(place)
        if place in self._taken and self._taken[place] == what and place not in self._unread:
            self._changing.pop(place, None)
            return
        before = self._changing.get(place)
        if before is None or before[0] != what:
            self._changing[place] = (what, now)
        elif now - before[1] >= self._settle_seconds:
            self._take(place, what)

    def _take(self, place: str, what: Seen) -> None:
        """Make ``what`` the state of ``place``; a text that changes while it is read goes on changing."""
        folder, _, path = place.partition("/")
        self._unread.pop(place, None)
        if isinstance(what, Stamp) and folder != CONFIGS:
            try:
                text = self._read_text(place, path, what)
            except Refused as refused:
                if refused.reason is Reason.FILE_CHANGED:
                    self._changing.pop(place, None)
                    return
                self._unread[place] = refused
                self._taken.setdefault(place, None)
                return
            self._texts[place] = text
        elif not isinstance(what, Stamp):
            self._texts.pop(place, None)
        self._changing.pop(place, None)
        if what is None:
            self._taken.pop(place, None)
        else:
            self._taken[place] = what
        self._version += 1

    def _read_text(self, place: str, path: str, stamp: Stamp) -> TextFile:
        if stamp.size > MAX_TEXT:
            raise Refused(Reason.TEMPLATE_TOO_LARGE, f"{stamp.size} bytes; the limit is {MAX_TEXT}")
        try:
            data = read_piece(self._root, place, stamp, 0, stamp.size)
        except Refused as refused:
            if refused.reason is Reason.FILE_UNREADABLE:
                raise Refused(Reason.TEMPLATE_UNREADABLE, refused.detail) from refused
            raise
        return _text(path, data)

    # --- what is in service

    def _build(self) -> Catalogue:
        catalogue = self._catalogue = build(self._catalogue, self._snapshot())
        texts = {place: text.data for place, text in self._texts.items()}
        files = {
            place: SavedFile(what, texts.get(place))
            for place, what in self._taken.items()
            if isinstance(what, Stamp) and (place in texts or place.startswith(f"{CONFIGS}/"))
        }
        for place in texts:
            good = catalogue.last_good(place.removeprefix(f"{TEMPLATES}/"))
            if good is not None and place.startswith(f"{TEMPLATES}/"):
                files[place] = SavedFile(_NEVER_SEEN, good)
        self.files = files
        return catalogue

    def _snapshot(self) -> Snapshot:
        texts = self._texts
        templates = {t.path: t for place, t in texts.items() if place.startswith(f"{TEMPLATES}/")}
        constants = {t.path: t for place, t in texts.items() if place.startswith(f"{CONSTANTS}/")}
        statics = {
            place.removeprefix(f"{CONFIGS}/"): StaticFile(place.removeprefix(f"{CONFIGS}/"), what)
            for place, what in self._taken.items()
            if isinstance(what, Stamp) and place.startswith(f"{CONFIGS}/")
        }
        refused = {place: Refused(*what) for place, what in self._taken.items() if isinstance(what, tuple)}
        refused |= {place: why for place, why in self._unread.items() if place not in texts}
        problems = [
            Problem(why.reason, place, f"{why.detail}; its last good version stays in service")
            for place, why in self._unread.items()
            if place in texts
        ]
        problems += [
            Problem(
                Reason.STORAGE_UNAVAILABLE,
                folder,
                f"{trouble}; the last state of the folder stays in service",
            )
            for folder, trouble in self._away.items()
        ]
        ours, missing = _of_site(self._site, constants)
        return Snapshot(templates, ours, statics, refused, (*problems, *missing))


def _text(path: str, data: bytes) -> TextFile:
    return TextFile(path, data, hashlib.sha256(data).hexdigest()[:16])


def _of_site(site: str, constants: Mapping[str, TextFile]) -> tuple[TextFile | None, tuple[Problem, ...]]:
    """``<Site>.cfg``, in any letter case if that is unique; a warning if only other sites have files."""
    name = f"{site}.cfg"
    if name in constants:
        return constants[name], ()
    alike = [file for path, file in constants.items() if path.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0], ()
    if not constants:
        return None, ()
    there = ", ".join(sorted(constants))
    sentence = f"no {name} for this site, so it has no constants of its own; there are: {there}"
    return None, (Problem(Reason.CONSTANTS_INVALID, f"{CONSTANTS}/{name}", sentence, Severity.WARNING),)
