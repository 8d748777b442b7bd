"""Site configuration, storage and directory loaded once, for commands that need no running daemon.

Owns the order of loading and the collecting of everything that is wrong. The daemon loads the same things
itself, because it goes on looking at them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from era_ap import config
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.part import Part
from era_ap.errors import Problem, Reason, Refused, Severity
from era_ap.provisioning.addresses import AddressBook
from era_ap.provisioning.provisioner import Provisioner
from era_ap.resolver import Resolver
from era_ap.settings import rules_of, sources_of
from era_ap.site_key import read_keys
from era_ap.store import Store
from era_ap.tftp.server.uploads import sink_problem
from era_ap.web.server import read_certificate
from era_ap.web.service import tls_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from era_ap.config import ApRole, Site
    from era_ap.directory.source import Change

    Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Offline:
    """A site as a command sees it. ``problems`` are all findings of the loading."""

    site: Site
    role: ApRole
    provisioner: Provisioner
    book: AddressBook
    store: Store
    problems: tuple[Problem, ...]

    def ask(self, names: Iterable[str]) -> None:
        """Ask name servers for ``names`` and wait for the answers, within the resolver's limit."""

        async def ask() -> None:
            await _resolver(self).ask(names)

        asyncio.run(ask())


def _resolver(offline: Offline) -> Resolver:
    return Resolver(offline.book, time.monotonic, offline.role.ext.dns)


def load_config(path: Path, role: str | None) -> tuple[Site, ApRole, tuple[Problem, ...]]:
    """The configuration alone, and findings about the files it names that the daemon does not start without.

    ``role`` None is the first ap role. Raises ``ConfigError`` if there is no usable site.
    """
    site = config.load(path)
    ours = site.ap(role) if role is not None else site.first_ap()
    return site, ours, tuple(_key_problems(ours, site.origin))


def load(path: Path, role: str | None, progress: Progress) -> Offline:
    """Load the site of ``path`` as ``role`` sees it; raises ``ConfigError`` if there is no usable site."""
    site, ours, found = load_config(path, role)
    book = AddressBook()
    provisioner = Provisioner(rules_of(site, ours), book.addresses)
    store = Store(site.storage, site.site)
    problems = [*found, *_sink_problems(ours, site.origin)]
    try:
        provisioner.catalogue = store.scan()
    except Refused as refused:
        problems.append(_unavailable(refused, site.storage))
    else:
        problems += provisioner.catalogue.problems if provisioner.catalogue else ()
    provisioner.directory, found = asyncio.run(_load_directory(site, progress))
    problems += found
    return Offline(site, ours, provisioner, book, store, tuple(problems))


async def _load_directory(
    site: Site, progress: Progress
) -> tuple[DirectoryIndex | None, tuple[Problem, ...]]:
    """The directory of all sources that can be read, None if none can, and all findings."""
    sources = sources_of(site)
    index = DirectoryIndex([source.name for source in sources])
    problems: list[Problem] = []
    for source in sources:
        part = Part()

        def take(change: Change, part: Part = part) -> None:
            part.apply(change)
            progress("directory", len(part.accounts), 0)

        try:
            await source.look(take)
        except Refused as refused:
            problems.append(_unavailable(refused, source.name))
        else:
            index.replace(part, source.name)
            for _ in index.macs.crosscheck(source.name):
                pass
        await source.close()
    is_loaded = len(problems) < len(sources)
    return index if is_loaded else None, (*problems, *index.problems)


def _key_problems(role: ApRole, origin: str) -> Iterator[Problem]:
    """Findings about the files with keys and certificates, which the daemon would not start with."""
    tls = tls_files(role.ext)
    for read in (lambda: read_keys(role.ext.key_file), lambda: tls and read_certificate(tls)):
        try:
            read()
        except Refused as refused:
            yield Problem(refused.reason, origin, refused.detail)


def _sink_problems(role: ApRole, origin: str) -> Iterator[Problem]:
    """A folder for uploads that cannot take any; phones get their files all the same."""
    why = sink_problem(role.ext.uploads) if role.ext.uploads is not None else ""
    if why:
        yield Problem(Reason.UPLOAD_SINK, origin, f"ext.uploads: {why}", Severity.WARNING)


def _unavailable(refused: Refused, place: Path | str) -> Problem:
    where = str(place).removeprefix("yaml:")
    detail = refused.detail.removeprefix(f"{where}: ") or refused.reason.advice
    return Problem(refused.reason, where, detail)
