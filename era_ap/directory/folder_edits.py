"""Edits of the directory's folder: documents in, files out. Blocks; ``folder_writer`` is its edge.

Owns which file a document goes to, that a file which means the same is never touched, and that all files
of a domain are written before the first is put in place. Does not own the layout (``folder``), reading
(``tree``) nor locks.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from era_ap.directory.documents import Difference, Document, DomainDocuments, Original, Stored
from era_ap.directory.folder import Place, replace_files, sync_folder
from era_ap.directory.model import AccountKey, read_account, read_domain
from era_ap.directory.notation import text_tree
from era_ap.directory.originals import canonical_file, canonical_text, place_of, still_means
from era_ap.directory.tree import Branch, Tree
from era_ap.errors import Problem, Reason, Refused


def check_place(place: Place) -> None:
    """Raise ``Refused`` if ``place`` cannot be a file."""
    if place_of(canonical_file(place)) != place:
        reason = Reason.ACCOUNT_INVALID if isinstance(place, AccountKey) else Reason.DOMAIN_INVALID
        raise Refused(reason, f"{str(place)!r} cannot be a file of the directory")


def check_document(place: Place, document: Document) -> None:
    """Raise ``Refused`` if no account or domain can be made of ``document``."""
    problems: tuple[Problem, ...]
    if isinstance(place, AccountKey):
        account, problems = read_account(*place, document, origin=str(place), revision="")
        usable = account is not None
    else:
        domain, problems = read_domain(place, document, origin=place, revision="")
        usable = domain is not None
    if not usable:
        raise Refused(problems[-1].reason, problems[-1].detail)


def place_in(domain: str, login: str) -> Place:
    """The account of that login, or with "" the domain."""
    return AccountKey(domain, login) if login else domain


def open_tree(root: Path) -> Tree | None:
    """The folder, None where it does not exist or holds no domain."""
    try:
        return Tree(root)
    except Refused:
        if root.is_dir() or not root.exists():
            return None
        raise


def stored(root: Path, place: Place) -> Stored | None:
    """The document of a place; that of a domain without a file of its own is empty. Raises ``Refused``."""
    name, login = (place.domain, place.login) if isinstance(place, AccountKey) else (place, "")
    tree = open_tree(root)
    if tree is None or name not in tree.domains:
        return None
    branch = readable(tree.read(name, only=(login,), check=False))
    file = branch.files.get(login)
    if file is None:
        return None if login else Stored({}, "")
    return Stored(file.document, hashlib.blake2b(file.text.encode(), digest_size=8).hexdigest())


def readable(branch: Branch) -> Branch:
    """``branch``. Raises ``Refused`` if anything of it could not be read."""
    if branch.lost or branch.unreadable:
        first = branch.problems[0]
        raise Refused(first.reason, f"{first.where}: {first.detail}")
    return branch


class DomainEdit:
    """What is to happen to the files of one domain; nothing does before ``commit``."""

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._name = name
        tree = open_tree(root)
        self._branch = Branch(name) if tree is None else tree.read(name, check=False)
        self._folder = tree.folder(name) if tree is not None else None
        if self._branch.lost:
            problem = self._branch.problems[0]
            raise Refused(problem.reason, f"{problem.where}: {problem.detail}")
        self._files: dict[Path, bytes] = {}
        self._gone: list[Path] = []

    def document(self, login: str) -> Document | None:
        """What is there; None if nothing is."""
        file = self._branch.files.get(login)
        return None if file is None else file.document

    def put(self, wanted: DomainDocuments, *, remove_others: bool) -> Difference:
        """Plan all documents of ``wanted``. Raises ``Refused``."""
        if self._folder is None:
            first = next((each.file for each in wanted.originals.values() if _is_of(each, self._name)), None)
            self._folder = self._name if first is None else first.partition("/")[0]
        documents = dict(wanted.accounts)
        if wanted.document is not None:
            documents[""] = wanted.document
        present = self._branch.paths.keys() | self._branch.unreadable
        written = [
            login
            for login, document in sorted(documents.items())
            if self._put(login, document, wanted.originals.get(login))
        ]
        removed = sorted(present - documents.keys()) if remove_others else []
        for login in removed:
            self.remove(login)
        return Difference(
            added=tuple(login for login in written if login and login not in present),
            changed=tuple(login for login in written if login and login in present),
            removed=tuple(login for login in removed if login),
            unchanged=len(wanted.accounts) - sum(login != "" for login in written),
            domain="" in written or "" in removed,
        )

    def remove(self, login: str) -> bool:
        """Plan the removal of a file; False if there is none."""
        file = self._branch.paths.get(login)
        if file is not None:
            self._gone.append(self._root / file)
        return file is not None

    def remove_all(self) -> bool:
        """Plan the removal of all files of the domain; False if it has none."""
        return bool([login for login in self._branch.paths if self.remove(login)])

    def commit(self) -> None:
        """Do all of it. Raises ``Refused`` (DIRECTORY_UNAVAILABLE)."""
        try:
            replace_files(self._files)
            for path in self._gone:
                path.unlink(missing_ok=True)
            for folder in {path.parent for path in self._gone}:
                sync_folder(folder)
            if self._gone and self._folder is not None:
                self._leave_no_empty_folder(self._root / self._folder)
        except OSError as error:
            raise Refused(
                Reason.DIRECTORY_UNAVAILABLE,
                f"{self._name} cannot be written: {error.filename}: {error.strerror}",
            ) from error

    def _leave_no_empty_folder(self, folder: Path) -> None:
        """A domain whose last file is gone is gone; folders with anything else in them stay."""
        left = [login for login, file in self._branch.paths.items() if self._root / file not in self._gone]
        if not left and not self._files:
            with suppress(OSError):
                (folder / "sipusers").rmdir()
            with suppress(OSError):
                folder.rmdir()

    def _put(self, login: str, document: Document, original: Original | None) -> bool:
        """Plan a file; False if there is one that means the same."""
        place = place_in(self._name, login)
        check_place(place)
        check_document(place, document)
        there = self._branch.files.get(login)
        if there is not None and (there.document == document or there.document == text_tree(document)):
            return False
        kept = original if original is not None and still_means(original, place, document) else None
        canonical = (kept.file if kept else canonical_file(place)).partition("/")[2]
        file = self._branch.paths.get(login) or f"{self._folder}/{canonical}"
        same_syntax = kept is not None and kept.file.endswith(".json") == file.endswith(".json")
        reason = Reason.ACCOUNT_INVALID if login else Reason.DOMAIN_INVALID
        text = kept.text if kept and same_syntax else canonical_text(file, document, reason)
        self._files[self._root / file] = text.encode()
        return True


def _is_of(original: Original, name: str) -> bool:
    place = place_of(original.file)
    return (place.domain if isinstance(place, AccountKey) else place) == name
