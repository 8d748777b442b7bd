"""A folder of the directory read as documents, one domain at a time: what is imported and compared.

Owns the findings about each file, with its line, and that only what can be read counts: what cannot is
``unreadable`` and is never taken for removed. Keeps nothing, so a million accounts need the memory of the
largest domain. Does not own the layout (``folder``), and waits for nothing: a file that changes meanwhile
is a finding. Blocks.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from errno import EINTR
from pathlib import Path

from era_ap.directory.comparison import Reading
from era_ap.directory.documents import Document, DomainDocuments, Original
from era_ap.directory.folder import Listing, Place, Signature, domain_folders, list_domain, read_signed
from era_ap.directory.model import AccountKey, read_account, read_domain
from era_ap.directory.notation import text_tree
from era_ap.directory.originals import original_of, parse_text
from era_ap.directory.yaml_lines import line_of_finding
from era_ap.directory.yaml_text import MAX_BYTES, DocumentError, decode
from era_ap.errors import Problem, Reason, Severity


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file: its path below the root, its text and the document it holds."""

    file: str
    text: str
    document: Document


@dataclass(slots=True)
class Branch:
    """One domain of a folder: ``files`` that could be read and ``paths`` of all, by login, "" its own.

    ``unreadable`` are logins of which nothing is known but that they exist; with ``lost`` nothing is known
    of the whole domain.
    """

    name: str
    files: dict[str, TreeFile] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    lost: bool = False
    problems: list[Problem] = field(default_factory=list)

    def documents(self) -> DomainDocuments:
        """What could be read, with the texts that a canonical file would not have."""
        own = self.files.get("")
        accounts = {login: file.document for login, file in sorted(self.files.items()) if login}
        originals: dict[str, Original] = {}
        for login, file in self.files.items():
            place: Place = AccountKey(self.name, login) if login else self.name
            original = original_of(place, file.file, file.text, file.document)
            if original is not None:
                originals[login] = original
        return DomainDocuments(self.name, own.document if own else None, accounts, originals)

    def reading(self) -> Reading:
        """The same for an exchange. A folder without any file of ours is no domain."""
        nothing = self.lost or not (self.paths or self.unreadable)
        return Reading(None if nothing else self.documents(), frozenset(self.unreadable), self.lost)


class Tree:
    """The domains that the folder ``root`` held when the object was made; ``problems`` are about ``root``.

    Raises:
        Refused: DIRECTORY_UNAVAILABLE if it cannot be read or holds no domain.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._prefix = len(str(root).rstrip("/")) + 1
        listing = Listing()
        self._folders = dict(domain_folders(root, listing))
        self.problems = tuple(listing.problems)

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of all domains, sorted."""
        return tuple(sorted(self._folders))

    def folder(self, name: str) -> str | None:
        """The name of the folder of a domain, in its own letter case."""
        entry = self._folders.get(name)
        return None if entry is None else entry.name

    def read(self, name: str, *, only: Container[str] | None = None, check: bool = True) -> Branch:
        """The documents of a domain, of the logins ``only`` if given.

        ``check``: a document that no account or domain can be made of is a finding and counts as unreadable.
        """
        branch = Branch(name)
        if name not in self._folders:
            return branch
        listing = list_domain(self._root, name, self._folders[name])
        branch.problems += listing.problems
        branch.lost = name in listing.kept_domains
        branch.unreadable |= {_login(place) for place in listing.kept}
        for place, signature in listing.found.items():
            login = _login(place)
            if signature.real:
                branch.paths[login] = signature.path[self._prefix :]
                if only is None or login in only:
                    _read_file(branch, place, signature, check)
        return branch

    def names(self, name: str) -> frozenset[str] | None:
        """The logins of a domain, "" for its own document, by the names of files; None: cannot be read."""
        if name not in self._folders:
            return frozenset()
        branch = self.read(name, only=())
        return None if branch.lost else frozenset(branch.paths.keys() | branch.unreadable)


def _read_file(branch: Branch, place: Place, signature: Signature, check: bool) -> None:
    login = _login(place)
    file = branch.paths[login]
    try:
        text, document = _load(file, signature)
    except DocumentError as error:
        branch.unreadable.add(login)
        where = signature.path if error.line is None else f"{signature.path}:{error.line}"
        branch.problems.append(Problem(_reason(place), where, error.detail))
        return
    except OSError as error:
        branch.unreadable.add(login)
        detail = f"cannot be read: {error.strerror}"
        branch.problems.append(Problem(Reason.FILE_UNREADABLE, signature.path, detail))
        return
    if check and not _usable(branch, place, signature.path, text, document):
        branch.unreadable.add(login)
    else:
        branch.files[login] = TreeFile(file, text, document)


def _login(place: Place) -> str:
    return place.login if isinstance(place, AccountKey) else ""


def _reason(place: Place) -> Reason:
    return Reason.ACCOUNT_INVALID if isinstance(place, AccountKey) else Reason.DOMAIN_INVALID


def _load(file: str, signature: Signature) -> tuple[str, Document]:
    """The text of a file and its document, every scalar text. Raises ``DocumentError``, ``OSError``."""
    data = read_signed(signature, MAX_BYTES)
    if data is None:
        raise InterruptedError(EINTR, "it changed meanwhile; do it again")
    decode(data)
    text = data.decode()
    document = parse_text(file, text)
    if file.endswith(".json"):  # YAML has nothing but text
        document = _as_text(document)
    if not isinstance(document, dict):
        raise DocumentError("the document must be an object of fields")
    return text, document


def _as_text(document: object) -> object:
    try:
        return text_tree(document)
    except ValueError as error:
        raise DocumentError(str(error)) from None


def _usable(branch: Branch, place: Place, path: str, text: str, document: Document) -> bool:
    """Whether an account or domain can be made of the document; its findings get their lines."""
    if isinstance(place, AccountKey):
        account, problems = read_account(*place, document, origin=path, revision="", is_text=True)
        usable = account is not None
    else:
        domain, problems = read_domain(place, document, origin=path, revision="")
        usable = domain is not None
    for problem in problems:
        line = line_of_finding(text, problem.detail.partition(": ")[2])
        where = path if line is None else f"{path}:{line}"
        severity = Severity.WARNING if usable else problem.severity
        branch.problems.append(Problem(problem.reason, where, problem.detail, severity))
    return usable
