"""The file a document comes from and goes to: its canonical name and text, and the operator's own if kept.

Owns when an original still means its document (an export uses it) and when it need not be kept at all. A
document without an original is written canonically. Does not own syntax (``yaml_text``) nor files.
"""

from __future__ import annotations

import re

from era_ap.directory.documents import Document, Original
from era_ap.directory.folder import SIPUSERS, SUFFIXES, Place
from era_ap.directory.model import AccountKey
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
from era_ap.errors import Reason, Refused

MAX_NAME = 255

_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_NOT_CANONICAL = re.compile(r"[#'&*!%@`,\r\t\ufeff]|[{\[](?![}\]])|: {2}|[ \n]\n")


def canonical_file(place: Place) -> str:
    """The path below the directory's folder of a document that has no file of its own."""
    if isinstance(place, AccountKey):
        return f"{place.domain}/{SIPUSERS}/{place.login}{SUFFIXES[0]}"
    return f"{place}/domain{SUFFIXES[0]}"


def place_of(file: str) -> Place | None:
    """What a path below the directory's folder describes; None if it is no place of a document."""
    folder, _, rest = file.partition("/")
    domain = parse_domain(folder)
    suffix = next((each for each in SUFFIXES if rest.endswith(each)), None)
    if domain is None or suffix is None or "\\" in file or len(rest.encode()) > MAX_NAME:
        return None
    stem = rest.removesuffix(suffix)
    if stem == "domain":
        return domain
    below, _, login = stem.partition("/")
    usable = below == SIPUSERS and "/" not in login and not login.startswith(".")
    return AccountKey(domain, login) if usable and parse_login(login) is not None else None


def parse_text(file: str, text: str) -> object:
    """The document in ``text`` of the file of that name. Raises ``DocumentError``, with the line if known."""
    if not text.strip():
        raise DocumentError("the file is empty")
    return (load_json if file.endswith(".json") else load_yaml)(text.removeprefix("\ufeff"))


def canonical_text(file: str, document: Document, reason: Reason) -> str:
    """``document`` in the syntax of the file of that name. Raises ``Refused`` if it would not read back."""
    try:
        text = (dump_json if file.endswith(".json") else dump_yaml)(document)
        if len(text) > MAX_BYTES // 4 and len(text.encode()) > MAX_BYTES:
            raise DocumentError(f"it is larger than {MAX_BYTES} bytes")
        if text_tree(parse_text(file, decode(text.encode()))) != text_tree(document):
            raise DocumentError("it would not read back as it is")
    except (ValueError, TypeError) as error:
        raise Refused(reason, f"{file} cannot be written: {error}") from None
    return text


def original_of(place: Place, file: str, text: str, document: Document) -> Original | None:
    """What must be kept of a file beside its document; None where the canonical file is the same."""
    if file == canonical_file(place) and _may_be_canonical(text):
        try:
            if dump_yaml(document) == text:
                return None
        except DocumentError:
            pass
    return Original(file, text)


def _may_be_canonical(text: str) -> bool:
    """False for most texts that people write: with comments, other quotes, flow style.

    It spares writing the document to compare, which takes as long as reading it.
    """
    if "|" in text:
        return True
    bare = _QUOTED.sub("x", text)
    return _NOT_CANONICAL.search(bare) is None


def still_means(original: Original, place: Place, document: Document) -> bool:
    """Whether the operator's file says what the document says, at the place where the document belongs."""
    if place_of(original.file) != place:
        return False
    try:
        meant = parse_text(original.file, original.text)
        return meant == document or text_tree(meant) == text_tree(document)
    except ValueError:
        return False


def file_for(place: Place, document: Document, original: Original | None) -> tuple[str, str]:
    """The path below the directory's folder and the text to export. Raises ``Refused``."""
    if original is not None and still_means(original, place, document):
        return original.file, original.text
    file = canonical_file(place)
    reason = Reason.ACCOUNT_INVALID if isinstance(place, AccountKey) else Reason.DOMAIN_INVALID
    if place_of(file) != place:
        raise Refused(reason, f"{place} cannot be a file: rename it, or keep it in the database only")
    return file, canonical_text(file, document, reason)
