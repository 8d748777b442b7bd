"""SIP messages in datagrams (RFC 3261 section 7): a reader that takes what phones send, a strict writer.

Owns start line, header fields (compact forms, folding, bare LF), body and Content-Length. What is wrong with
a message is noted in its ``faults``; the reader never raises. Does not know dialogs or transactions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from era_ap.sip.fields import parse_cseq, parse_name_addr, parse_uri, parse_via, split_list

MAX_DATAGRAM: Final = 16_384
"""Octets. What is larger is no message of a phone's and is not looked at."""

MAX_FIELDS: Final = 256

_NAMES: Final = {
    name.lower(): name
    for name in (
        "Accept", "Allow", "Allow-Events", "Call-ID", "Contact", "Content-Type", "CSeq", "Event", "Expires",
        "From", "Max-Forwards", "MIME-Version", "Record-Route", "Require", "Route", "Subscription-State",
        "Supported", "To", "Unsupported", "User-Agent", "Via", "WWW-Authenticate",
    )
} | {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "e": "Content-Encoding", "f": "From",
    "i": "Call-ID", "k": "Supported", "l": "Content-Length", "m": "Contact", "o": "Event", "r": "Refer-To",
    "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires",
}  # fmt: skip
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_CONTROL = dict.fromkeys((*range(32), 127), "?") | {9: " "}
_DIGITS = re.compile(r"[0-9]{1,9}")
_ONCE: Final = ("From", "To", "Call-ID", "CSeq", "Event", "Max-Forwards")


class Fault(NamedTuple):
    """What is wrong with a message, and the status a request with it is answered with."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """What requests and responses share. ``fields`` have canonical names and no Content-Length.

    ``encoding`` is that of the head: UTF-8, or Latin-1 where it is not UTF-8, so that an echo is exact.
    """

    fields: tuple[tuple[str, str], ...]
    body: bytes = b""
    encoding: str = "utf-8"
    faults: tuple[Fault, ...] = field(default=(), compare=False)

    def get(self, name: str) -> str | None:
        """The first field of that canonical name."""
        return next((value for known, value in self.fields if known == name), None)

    def get_all(self, name: str) -> list[str]:
        """All fields of that canonical name, in order."""
        return [value for known, value in self.fields if known == name]

    def items(self, name: str) -> list[str]:
        """The elements of all fields of that name, which may be lists."""
        return [item for value in self.get_all(name) for item in split_list(value)]


@dataclass(frozen=True, slots=True)
class Request(Message):
    """A request; ``uri`` as written."""

    method: str = ""
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Response(Message):
    """A response."""

    status: int = 0
    reason: str = ""


def parse(data: bytes) -> Request | Response | None:
    """The message in a datagram; None if it is none (a keep-alive, another protocol, too large)."""
    if len(data) > MAX_DATAGRAM:
        return None
    data = data.lstrip(b"\r\n")
    end = _END_OF_HEAD.search(data)
    head, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    try:
        text, encoding = head.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = head.decode("latin-1"), "latin-1"
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    start = lines[0].translate(_CONTROL).strip(" ")
    faults: list[Fault] = []
    fields, lengths = _read_fields(lines, faults)
    body = _cut(body, lengths, faults)
    if start[:4].upper() == "SIP/":
        return _response(start, fields, body, encoding, faults)
    return _request(start, fields, body, encoding, faults)


def write(message: Request | Response) -> bytes:
    """The message as it goes out: canonical names, CRLF, the exact Content-Length at the end.

    Raises ValueError if a value holds control characters: nothing may smuggle in a line.
    """
    if isinstance(message, Request):
        start = f"{message.method} {message.uri} SIP/2.0"
    else:
        start = f"SIP/2.0 {message.status:03d} {message.reason}"
    lines = [start, *(f"{name}: {value}" for name, value in message.fields)]
    for line in lines:
        if not line.isprintable() and any(ord(char) < 32 or char == "\x7f" for char in line):
            raise ValueError("a header field holds control characters")
    lines += [f"Content-Length: {len(message.body)}", "", ""]
    return "\r\n".join(lines).encode(message.encoding, "replace") + message.body


def canonical(name: str) -> str:
    """The full name of a header field in its usual letter case."""
    known = _NAMES.get(name.lower())
    return known or "-".join(part.capitalize() for part in name.split("-"))


def required_faults(request: Request) -> tuple[Fault, ...]:
    """What RFC 3261 section 8.1.1 asks of every request and this one lacks; ``faults`` come first.

    Max-Forwards and tags may be missing: phones leave them out.
    """
    found = list(request.faults)
    if parse_uri(request.uri) is None:
        known = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", request.uri) and request.uri[:4].lower() not in (
            "sip:",
            "sips",
        )
        found.append(Fault(416, "Unsupported URI Scheme") if known else Fault(400, "Bad Request-URI"))
    vias = request.items("Via")
    if not vias or parse_via(vias[0]) is None:
        found.append(Fault(400, "Bad Via"))
    for name in ("From", "To"):
        value = request.get(name)
        if value is None or parse_name_addr(value) is None:
            found.append(Fault(400, f"Bad {name}"))
    if not request.get("Call-ID"):
        found.append(Fault(400, "Missing Call-ID"))
    cseq = parse_cseq(request.get("CSeq") or "")
    if cseq is None or cseq.method != request.method:
        found.append(Fault(400, "Bad CSeq"))
    return tuple(found)


def _read_fields(lines: list[str], faults: list[Fault]) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """All fields but Content-Length, and the values of that one."""
    names: list[str] = []
    values: list[list[str]] = []
    for line in lines[1:]:
        if line[:1] in (" ", "\t"):
            if values:
                values[-1].append(line)
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not _TOKEN.fullmatch(name):
            faults.append(Fault(400, "Bad Header Field"))
            values.append([])  # its continuation lines are as bad
            names.append("")
            continue
        names.append(canonical(name))
        values.append([value])
        if len(names) > MAX_FIELDS:
            faults.append(Fault(400, "Too Many Header Fields"))
            break
    read = [
        (name, " ".join(part.translate(_CONTROL).strip(" ") for part in parts).strip(" "))
        for name, parts in zip(names, values, strict=True)
        if name
    ]
    present = [name for name, _ in read]
    faults.extend(Fault(400, f"Multiple {name}") for name in _ONCE if present.count(name) > 1)
    lengths = [value for name, value in read if name == "Content-Length"]
    return tuple(each for each in read if each[0] != "Content-Length"), lengths


def _cut(body: bytes, lengths: list[str], faults: list[Fault]) -> bytes:
    """The body as long as Content-Length says (RFC 3261 section 18.3)."""
    if not lengths:
        return body
    if len(set(lengths)) > 1 or not _DIGITS.fullmatch(lengths[0]) or int(lengths[0]) > len(body):
        faults.append(Fault(400, "Bad Content-Length"))
        return body
    return body[: int(lengths[0])]


def _request(
    start: str, fields: tuple[tuple[str, str], ...], body: bytes, encoding: str, faults: list[Fault]
) -> Request | None:
    parts = start.split(" ")
    if len(parts) < 3 or not _TOKEN.fullmatch(parts[0]) or parts[-1][:4].upper() != "SIP/":
        return None
    uri = " ".join(part for part in parts[1:-1] if part)
    if parts[-1].upper() != "SIP/2.0":
        faults.insert(0, Fault(505, "Version Not Supported"))
    if " " in uri or not uri or uri[0] == "<":
        faults.insert(0, Fault(400, "Bad Request-URI"))
    return Request(fields, body, encoding, tuple(faults), parts[0], uri)


def _response(
    start: str, fields: tuple[tuple[str, str], ...], body: bytes, encoding: str, faults: list[Fault]
) -> Response | None:
    version, _, rest = start.partition(" ")
    status, _, reason = rest.lstrip(" ").partition(" ")
    if version.upper() != "SIP/2.0" or not re.fullmatch("[1-6][0-9]{2}", status):
        return None
    return Response(fields, body, encoding, tuple(faults), int(status), reason.strip(" "))
