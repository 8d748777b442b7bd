"""Responses to a request, and the NOTIFY that ends a fetched subscription (RFC 3261 8.2.6, RFC 6665 4.4.3).

Owns how they are composed: what is echoed, tags, Via with received and rport (RFC 3581). Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from era_ap.sip.fields import parse_cseq, parse_name_addr, parse_via
from era_ap.sip.message import Request, Response

if TYPE_CHECKING:
    from era_ap.sip.path import Local, Peer

REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    405: "Method Not Allowed",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    481: "Call/Transaction Does Not Exist",
    489: "Bad Event",
    501: "Not Implemented",
    505: "Version Not Supported",
}
_ECHOED: Final = ("From", "To", "Call-ID", "CSeq")


@dataclass(frozen=True, slots=True)
class Notify:
    """What a NOTIFY says beside what it takes from the SUBSCRIBE. ``uri`` is its Request-URI."""

    uri: str
    branch: str
    tag: str
    body: bytes
    content_type: str = "application/url"


def respond(
    request: Request,
    status: int,
    peer: Peer,
    tag: str,
    *,
    reason: str = "",
    fields: tuple[tuple[str, str], ...] = (),
) -> Response:
    """The response to ``request`` that came from ``peer``; ``tag`` goes to To unless it has one."""
    head: list[tuple[str, str]] = []
    for number, via in enumerate(request.items("Via")):
        head.append(("Via", _marked(via, peer) if number == 0 else via))
    head += [("Record-Route", value) for value in request.get_all("Record-Route")]
    for name in _ECHOED:
        value = request.get(name)
        if value is not None:
            head.append((name, _tagged(value, tag) if name == "To" else value))
    return Response(
        (*head, *fields),
        encoding=request.encoding,
        status=status,
        reason=reason or REASONS.get(status, "Error"),
    )


def accept(subscribe: Request, peer: Peer, local: Local, tag: str) -> Response:
    """200 to a SUBSCRIBE that only fetches: it has no duration (RFC 6665 section 4.4.3)."""
    fields = (("Expires", "0"), ("Contact", contact_of(local)))
    return respond(subscribe, 200, peer, tag, fields=fields)


def notify(subscribe: Request, local: Local, what: Notify) -> Request:
    """The only NOTIFY of the subscription: To and From swapped, our tag, CSeq one higher."""
    cseq = parse_cseq(subscribe.get("CSeq") or "")
    number = min((cseq.number if cseq else 0) + 1, 2**31 - 1)
    fields = (
        ("Via", f"SIP/2.0/UDP {local.address}:{local.port};branch={what.branch};rport"),
        ("Max-Forwards", "70"),
        ("From", _tagged(subscribe.get("To") or "", what.tag)),
        ("To", subscribe.get("From") or ""),
        ("Call-ID", subscribe.get("Call-ID") or ""),
        ("CSeq", f"{number} NOTIFY"),
        ("Contact", contact_of(local)),
        ("Event", subscribe.get("Event") or ""),
        ("Subscription-State", "terminated;reason=timeout"),
        ("Content-Type", what.content_type),
    )
    return Request(fields, what.body, subscribe.encoding, (), "NOTIFY", what.uri)


def contact_of(local: Local) -> str:
    """Where we are reached."""
    return f"<sip:{local.address}:{local.port}>"


def _marked(value: str, peer: Peer) -> str:
    """The topmost Via with received (RFC 3261 section 18.2.1) and rport (RFC 3581 section 4) filled in."""
    via = parse_via(value)
    if via is None:
        return value
    address, port = peer
    has_rport = "rport" in via.params
    if has_rport and not via.params["rport"]:
        before, _, after = _split_rport(value)
        value = f"{before}rport={port}{after}"
    if (has_rport or via.host != address) and "received" not in via.params:
        value += f";received={address}"
    return value


def _split_rport(value: str) -> tuple[str, str, str]:
    """``value`` around its parameter rport without a value."""
    parts = value.split(";")
    place = next(n for n, part in enumerate(parts) if part.partition("=")[0].strip(" \t").lower() == "rport")
    before = ";".join(parts[:place]) + ";"
    after = "".join(f";{part}" for part in parts[place + 1 :])
    return before, parts[place], after


def _tagged(value: str, tag: str) -> str:
    parsed = parse_name_addr(value)
    if parsed is None or "tag" in parsed.params:
        return value
    return f"{value};tag={tag}"
