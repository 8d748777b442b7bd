"""HTTP for phones, a plain ASGI application: the same names as over TFTP, the same bytes (spec 5).

Owns the order of judgement, the methods, partial and conditional answers and the challenge for credentials.
What a name means and whether the phone may have it is the provisioner's; see RFC 9110 for the rest.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from era_ap.admission import GUESSING, Verdict
from era_ap.errors import Outcome, Reason, Refused
from era_ap.provisioning.credentials import Credentials
from era_ap.provisioning.request import Content, FileRequest, Refusal, Subject, Ticket
from era_ap.provisioning.tokens import claimed_mac
from era_ap.web.exchange import Exchange, Header, Receive, Scope, Send, WebReport
from era_ap.web.ranges import Part, choose_part
from era_ap.web.targets import Target, read_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.admission import Admission
    from era_ap.provisioning.request import Opener, Reply, Stream
    from era_ap.provisioning.trust import Trust
    from era_ap.web.agents import Agents
    from era_ap.web.representation import Describer, Description
    from era_ap.web.sink import Sink

OPEN_SECONDS: Final = 10.0
PIECE: Final = 64 * 1024

_PRIVATE: Final = (b"cache-control", b"private, no-cache")
_RANGES: Final = (b"accept-ranges", b"bytes")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the app needs of the daemon; ``clock`` gives steady seconds, ``on_end`` gets every report."""

    opener: Opener
    trust: Trust
    admission: Admission
    agents: Agents
    describer: Describer
    sink: Sink
    on_end: Callable[[WebReport], None]
    on_error: Callable[[BaseException], None]
    is_proxy: Callable[[str], bool] = lambda _: False
    clock: Callable[[], float] = field(default=time.monotonic)


class PhoneApp:
    """The ASGI application."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        around = self._around
        now = around.clock()
        exchange = Exchange(scope, receive, send, now, around.is_proxy)
        verdict = around.admission.admit(exchange.peer, now)
        if verdict is Verdict.SILENCE and exchange.connection is not None:
            exchange.connection.abort()
            return
        try:
            if verdict is not Verdict.ADMIT:
                raise Refused(verdict.reason or Reason.RATE_LIMIT)
            reason, subject = await self._serve(exchange)
        except Refused as refused:
            reason, subject = refused.reason, Subject(detail=refused.detail)
            await self._refuse(exchange, Refusal(reason, subject))
        except Exception as error:  # whatever is raised, the phone gets its answer
            around.on_error(error)
            reason, subject = Reason.INTERNAL, Subject()
            await self._refuse(exchange, Refusal(reason, subject))
        around.on_end(exchange.report(reason, subject, around.clock()))

    async def _serve(self, exchange: Exchange) -> tuple[Reason, Subject]:
        target = read_target(exchange.raw_path, exchange.query)
        request = self._request(exchange, target)
        if exchange.method in ("GET", "HEAD"):
            reply = await self._open(request)
            if isinstance(reply, Refusal):
                await self._refuse(exchange, reply)
                return reply.reason, reply.subject
            if isinstance(reply, Content):
                return await self._send_content(exchange, reply)
            return await self._send_stream(exchange, reply)
        if exchange.method in ("PUT", "POST"):
            return await self._around.sink.store(exchange, request)
        raise Refused(Reason.METHOD_UNKNOWN, exchange.method)

    def _request(self, exchange: Exchange, target: Target) -> FileRequest:
        around = self._around
        proof: Ticket | Credentials | None = None
        hint = ""
        if target.token is not None:
            proof = Ticket(target.token)
            hint = claimed_mac(target.token) or "" if target.needs_hint else ""
        else:
            authorization = exchange.headers.get(b"authorization")
            if authorization is not None:
                basic = around.trust.takes_basic(basic_only=around.agents.read(exchange.agent).basic_only)
                header = authorization.decode("latin-1")
                proof = Credentials(header, exchange.method, exchange.target, basic)
            if target.needs_hint and exchange.agent:
                hint = around.agents.read(exchange.agent).mac
        return FileRequest(
            target.name, exchange.peer, exchange.transport, exchange.local, target.query, hint, proof
        )

    async def _open(self, request: FileRequest) -> Reply:
        reply = self._around.opener.open(request)
        if isinstance(reply, Content) or not isinstance(reply, Awaitable):
            return reply
        promise = reply.asFuture(asyncio.get_running_loop()) if isinstance(reply, Deferred) else reply
        try:
            return await asyncio.wait_for(promise, OPEN_SECONDS)
        except TimeoutError:
            raise Refused(Reason.STORAGE_BUSY, request.name[:512]) from None

    # --- no

    async def _refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        if exchange.status:  # the header is out; only cutting it short says that something went wrong
            if exchange.connection is not None:
                exchange.connection.abort()
            return
        self._note_guess(exchange, refusal)
        await exchange.refuse(refusal.reason, self._advice(exchange, refusal.reason))

    def _note_guess(self, exchange: Exchange, refusal: Refusal) -> None:
        """MACs that nobody owns and wrong passwords come out of one budget, whatever the transport."""
        mark = refusal.subject.mac if refusal.reason in GUESSING else ""
        if refusal.reason is Reason.CREDENTIALS_WRONG:
            shown = exchange.headers.get(b"authorization", b"")
            mark = f"{refusal.subject.mac}:{hashlib.sha256(shown).hexdigest()[:16]}"
        if mark:
            self._around.admission.note_unknown(exchange.peer, mark, self._around.clock())

    def _advice(self, exchange: Exchange, reason: Reason) -> list[Header]:
        if reason.outcome is Outcome.METHOD:
            return [(b"allow", b"GET, HEAD")]
        if reason.outcome is not Outcome.UNAUTHORIZED:
            return []
        client = self._around.agents.read(exchange.agent)
        trust = self._around.trust
        basic = trust.takes_basic(basic_only=client.basic_only)
        challenges = trust.challenges(exchange.peer, reason, basic=basic, md5_only=client.is_phone)
        return [(b"www-authenticate", each.encode("latin-1")) for each in challenges]

    # --- yes

    async def _send_content(self, exchange: Exchange, content: Content) -> tuple[Reason, Subject]:
        data = content.data
        described = self._around.describer.of_content(data, xml=content.xml)
        part = choose_part(exchange.headers, len(data), described.etag)
        await exchange.start(part.status, _headers(part, len(data), described))
        body = data if part.status == 200 else data[part.start : part.end]
        await exchange.send(body if exchange.method == "GET" else b"")
        return Reason.PEER_GONE if exchange.is_cut else content.reason, content.subject

    async def _send_stream(self, exchange: Exchange, stream: Stream) -> tuple[Reason, Subject]:
        subject = stream.subject
        try:
            head = await _read(stream, 0, PIECE)
            described = self._around.describer.of_large(subject.file, subject.revision, head)
            part = choose_part(exchange.headers, stream.size, described.etag)
            await exchange.start(part.status, _headers(part, stream.size, described))
            at, end = (part.start, part.end) if exchange.method == "GET" else (0, 0)
            while at < end and not exchange.is_lost:
                piece = await _read(stream, at, min(PIECE, end - at))
                at += len(piece)
                await exchange.send(piece, more=at < end)
            if end == 0:
                await exchange.send(b"")
            return (Reason.PEER_GONE if at < end else stream.reason), subject
        finally:
            stream.close()


async def _read(stream: Stream, at: int, length: int) -> bytes:
    piece = stream.read(at, length)
    if isinstance(piece, Awaitable):
        piece = await piece
    if not piece:
        raise Refused(Reason.FILE_CHANGED, stream.subject.file)
    return piece


def _headers(part: Part, size: int, described: Description) -> list[Header]:
    headers = [_PRIVATE, _RANGES]
    if described.etag:
        headers.append((b"etag", described.etag.encode()))
    if part.status == 416:
        headers.append((b"content-range", b"bytes */%d" % size))
    if part.status == 206:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (part.start, part.end - 1, size)))
    if part.has_body:
        headers.append((b"content-type", described.content_type))
    if part.status != 304:
        headers.append((b"content-length", b"%d" % (part.end - part.start)))
    return headers
