"""The template language: from bytes to text, from text to nodes (spec 6).

Owns what a placeholder is. One is recognised only where ``[`` is directly followed by a known category and
then by what that category allows: ``sipuser.`` ``account.`` ``blf.`` ``constants.`` ``nslookup.``
``include.`` ``random.`` ``random,`` or exactly ``[blf]`` and ``[accounts]``. Everything else in brackets (``[
VoIP ]``, ``[2-9]xxx``, ``[::1]``, ``[sipuser]``, ``<![CDATA[``) is literal text. A placeholder ends on the
line it begins on. Does not own what a placeholder is worth nor any escaping: a file is escaped for the
template it is spliced into.
"""

from __future__ import annotations

import codecs
import enum
import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from era_ap.errors import Reason, Refused
from era_ap.provisioning.escape import Moves, moves

MAX_NESTING: Final = 32

_OPEN: Final = re.compile(
    r"\[(?:(?P<dotted>sipuser|account|blf|constants|nslookup|include)\.|(?P<random>random)[.,]|(?P<bare>blf|accounts)\])"
)
_KEY_STOP: Final = re.compile(r"[\[\]\r\n]")
_LINE_REST: Final = re.compile(r"[ \t]*(?:\r\n|\n|\r|\Z)")
_FINAL_LINE_END: Final = re.compile(r"(?:\r\n|\n|\r)\Z")
_XML_START: Final = re.compile(r"\s*<(?:\?xml|!|[:_]|[^\W\d])")
_DECLARED: Final = re.compile(r"""\s*<\?xml\s[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_CODECS: Final = re.compile(r"utf-8|ascii|iso8859-\d+|cp125\d|koi8-[ru]")
_BOM: Final = codecs.BOM_UTF8


class Kind(enum.Enum):
    """How a filled file is escaped and checked; the root template decides for all it includes."""

    TEXT = "text"
    XML = "xml"


class Category(enum.IntEnum):
    """The first word of a placeholder; ``BLF_FIELD`` is ``[blf.KEY]``, ``BLF`` is ``[blf]``."""

    SIPUSER = 0
    ACCOUNT = 1
    BLF_FIELD = 2
    NSLOOKUP = 3
    RANDOM = 4
    CONSTANTS = 5
    INCLUDE = 6
    BLF = 7
    ACCOUNTS = 8


_DOTTED: Final = {
    "sipuser": Category.SIPUSER,
    "account": Category.ACCOUNT,
    "blf": Category.BLF_FIELD,
    "constants": Category.CONSTANTS,
    "nslookup": Category.NSLOOKUP,
    "include": Category.INCLUDE,
}


@dataclass(frozen=True, slots=True)
class Switch:
    """Literal text that opens or closes an XML comment or CDATA section; ``after`` is where it leaves the
    output.
    """

    text: str
    after: Moves


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One placeholder as written.

    ``parts`` is None where the key is literal; else the nodes it is composed of, and ``key`` and ``path`` are
    empty. ``indent`` and ``ending`` are what surrounds a ``[blf]`` or ``[accounts]`` that is ``alone`` on its
    line: they belong to it, so that the whole line goes when there is nothing to repeat. ``last``: no text
    follows in the file.
    """

    category: Category
    key: str
    path: tuple[str, ...]
    parts: tuple[Node, ...] | None
    source: str
    line: int
    alone: bool = False
    indent: str = ""
    ending: str = ""
    last: bool = False


Node = str | Switch | Placeholder


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A parsed file of ``templates/``; immutable.

    ``includes`` and ``hostnames`` are the names written without placeholders. ``body`` is ``nodes`` without
    the line ending of the last line, which is ``ending``: what stands in another file where that file's own
    line goes on. ``weight`` is the number of literal characters.
    """

    name: str
    text: str
    kind: Kind
    nodes: tuple[Node, ...]
    includes: frozenset[str]
    hostnames: frozenset[str]
    encoding: str
    revision: str
    body: tuple[Node, ...]
    ending: str
    weight: int


def decode(data: bytes) -> tuple[str, str]:
    """Text of a template file without its byte order mark, and the encoding its output is written in.

    UTF-8, or what the XML declaration names (RFC 3629; XML 1.0 section 4.3.3). Line endings stay as they are.
    Raises ``Refused`` (TEMPLATE_ENCODING).
    """
    marked = data.startswith(_BOM)
    if marked:
        data = data[len(_BOM) :]
    encoding = declared_encoding(data[:256].decode("latin-1")) or "utf-8"
    try:
        return data.decode("utf-8" if marked else encoding), encoding
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        detail = f"line {line}: byte 0x{data[error.start]:02X} is not {encoding}; save the file as {encoding}"
        raise Refused(Reason.TEMPLATE_ENCODING, detail) from None


def declared_encoding(text: str) -> str | None:
    """The encoding an XML declaration at the start of ``text`` names, in Python's spelling; None without one.

    Raises ``Refused`` (TEMPLATE_ENCODING) for an encoding that is not known or not an extension of ASCII.
    """
    match = _DECLARED.match(text)
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1]).name
    except LookupError:
        name = ""
    if _CODECS.fullmatch(name) is None:
        detail = (
            f"line 1: encoding {match[1]!r} is not supported; use UTF-8, ISO-8859-n, windows-125n or KOI8"
        )
        raise Refused(Reason.TEMPLATE_ENCODING, detail)
    return name


def parse(name: str, text: str, *, encoding: str = "utf-8", revision: str = "") -> Template:
    """Read a template. Raises ``Refused`` (TEMPLATE_SYNTAX, DEPTH_LIMIT) with "line N: …" in its detail."""
    parser = _Parser(text)
    nodes = tuple(parser.nodes())
    body, ending = _without_ending(nodes)
    return Template(
        name=name,
        text=text,
        kind=Kind.XML if _XML_START.match(text) else Kind.TEXT,
        nodes=nodes,
        includes=frozenset(parser.includes),
        hostnames=frozenset(parser.hostnames),
        encoding=encoding,
        revision=revision,
        body=body,
        ending=ending,
        weight=sum(_literal_length(node) for node in nodes),
    )


def host_name(key: str) -> str:
    """The name to ask DNS for, as ``Template.hostnames`` and ``Scope.addresses`` spell it."""
    return key.strip().rstrip(".").lower()


def is_address(name: str) -> bool:
    """Whether ``name`` is an IP address, which needs no look-up."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _literal_length(node: Node) -> int:
    if isinstance(node, str):
        return len(node)
    return len(node.text) if isinstance(node, Switch) else 0


def _literal(text: str) -> Node:
    after = moves(text)
    return text if after is None else Switch(text, after)


def _without_ending(nodes: tuple[Node, ...]) -> tuple[tuple[Node, ...], str]:
    if not nodes:
        return nodes, ""
    last = nodes[-1]
    text = last if isinstance(last, str) else last.text if isinstance(last, Switch) else last.ending
    match = _FINAL_LINE_END.search(text)
    if match is None:
        return nodes, ""
    rest = text[: match.start()]
    shorter: Node = replace(last, ending=rest) if isinstance(last, Placeholder) else _literal(rest)
    return (*nodes[:-1], shorter), match[0]


class _Parser:
    """One pass over one text; every step is linear in what it reads."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = 1
        self._counted = 0
        self.includes: set[str] = set()
        self.hostnames: set[str] = set()

    def nodes(self) -> list[Node]:
        text, nodes, done = self._text, list[Node](), 0
        match = _OPEN.search(text)
        while match is not None:
            placeholder, end = self._placeholder(match, 1)
            literal = text[done : match.start()]
            if placeholder.category >= Category.BLF and placeholder.source != text:
                line_begins = done == 0 or text[done - 1] in "\r\n"
                literal, placeholder, end = self._alone(literal, line_begins, placeholder, end)
            if literal:
                nodes.append(_literal(literal))
            nodes.append(replace(placeholder, last=True) if end == len(text) else placeholder)
            done = end
            match = _OPEN.search(text, done)
        if done < len(text):
            nodes.append(_literal(text[done:]))
        return nodes

    def _alone(
        self, literal: str, line_begins: bool, placeholder: Placeholder, end: int
    ) -> tuple[str, Placeholder, int]:
        """Give a placeholder that is alone on its line the blanks before it and the line ending after it."""
        line_start = max(literal.rfind("\n"), literal.rfind("\r")) + 1
        rest = _LINE_REST.match(self._text, end)
        if rest is None or literal[line_start:].strip(" \t") or not (line_begins or line_start):
            return literal, placeholder, end
        whole = replace(placeholder, alone=True, indent=literal[line_start:], ending=rest[0])
        return literal[:line_start], whole, rest.end()

    def _placeholder(self, match: re.Match[str], depth: int) -> tuple[Placeholder, int]:
        start, position = match.span()
        line = self._line_at(start)
        if depth > MAX_NESTING:
            raise Refused(
                Reason.DEPTH_LIMIT, f"line {line}: placeholders nested more than {MAX_NESTING} deep"
            )
        if match["bare"]:
            category = Category.BLF if match["bare"] == "blf" else Category.ACCOUNTS
            return Placeholder(category, "", (), None, match[0], line), position
        category = Category.RANDOM if match["random"] else _DOTTED[match["dotted"]]
        parts, end = self._key(start, position, depth)
        source = self._text[start:end]
        if len(parts) == 1 and isinstance(parts[0], str):
            key = parts[0]
            self._remember(category, key)
            return Placeholder(category, key, tuple(key.split(".")), None, source, line), end
        return Placeholder(category, "", (), tuple(parts), source, line), end

    def _key(self, start: int, position: int, depth: int) -> tuple[list[Node], int]:
        text, parts = self._text, list[Node]()
        while True:
            stop = _KEY_STOP.search(text, position)
            if stop is None or stop[0] in "\r\n":
                self._fail(start, "is not closed on its line")
            if stop.start() > position:
                parts.append(text[position : stop.start()])
            if stop[0] == "]":
                if not parts:
                    self._fail(start, "has no key")
                return parts, stop.end()
            inner = _OPEN.match(text, stop.start())
            if inner is None:
                self._fail(start, "has a '[' in its key that begins no placeholder")
            node, position = self._placeholder(inner, depth + 1)
            parts.append(node)

    def _remember(self, category: Category, key: str) -> None:
        if category is Category.INCLUDE:
            self.includes.add(key)
        elif category is Category.NSLOOKUP and not is_address(host_name(key)):
            self.hostnames.add(host_name(key))

    def _line_at(self, position: int) -> int:
        self._line += self._text.count("\n", self._counted, position)
        self._counted = position
        return self._line

    def _fail(self, start: int, problem: str) -> NoReturn:
        line = self._text.count("\n", 0, start) + 1
        begin = re.split(r"[\r\n]", self._text[start : start + 40], maxsplit=1)[0]
        raise Refused(Reason.TEMPLATE_SYNTAX, f"line {line}: the placeholder {begin!r} {problem}")
