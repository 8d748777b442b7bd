"""HTTP for phones: the same names as over TFTP, the same bytes (spec 5).

An ASGI application, and a plain function for what can be answered at once.

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
from era_ap.web.exchange import Answer, Exchange, Receive, Scope, Send, WebReport, refusing
from era_ap.web.ranges import asks_whole, choose_part
from era_ap.web.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.admission import Admission
    from era_ap.provisioning.request import Opener, Reply, Stream
    from era_ap.provisioning.trust import Trust
    from era_ap.web.agents import Agents
    from era_ap.web.representation import Describer, Header
    from era_ap.web.sink import Sink

OPEN_SECONDS: Final = 10.0
PIECE: Final = 64 * 1024

_GIVING: Final = ("GET", "HEAD")
_TAKING: Final = ("PUT", "POST")
_SILENCE: Final = refusing(Reason.RATE_LIMIT, Subject())
"""For whom the connection was cut without a word."""


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
    """The ASGI application, and ``answer`` for what need not wait."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._targets = Targets()

    def answer(self, exchange: Exchange) -> Answer | None:
        """The answer, where nothing has to be waited for; else the application has to go on with it."""
        answer = self._begin(exchange)
        if answer is not None and answer is not _SILENCE:
            exchange.status = answer.head.status
            if answer.is_file and exchange.method == "GET":
                exchange.octets = len(answer.body)
            around = self._around
            around.on_end(exchange.report(answer.reason, answer.subject, around.clock()))
        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the rest of one that was begun."""
        around = self._around
        exchange: Exchange = scope.get("state", {}).pop("exchange", None) or Exchange.of(scope)
        exchange.attach(receive, send)
        answer = self._begin(exchange) if exchange.request is None else None
        if answer is _SILENCE:
            return
        try:
            reason, subject = await (self._finish(exchange) if answer is None else _send(exchange, answer))
        except Exception as error:  # whatever is raised, the phone gets its answer
            answer = self._failed(exchange, error)
            reason, subject = answer.reason, answer.subject
            if not exchange.status:
                await _send(exchange, answer)
            elif exchange.connection is not None:
                exchange.connection.abort()  # only cutting it short says that something went wrong
        around.on_end(exchange.report(reason, subject, around.clock()))

    # --- at once

    def _begin(self, exchange: Exchange) -> Answer | None:
        around = self._around
        exchange.since = now = around.clock()
        exchange.look_behind(around.is_proxy)
        verdict = around.admission.admit(exchange.peer, now)
        if verdict is Verdict.SILENCE and exchange.connection is not None:
            exchange.connection.abort()
            return _SILENCE
        try:
            if verdict is not Verdict.ADMIT:
                raise Refused(verdict.reason or Reason.RATE_LIMIT)
            exchange.request = request = self._request(exchange)
            if exchange.method not in _GIVING:
                if exchange.method not in _TAKING:
                    raise Refused(Reason.METHOD_UNKNOWN, exchange.method)
                return None
            reply = exchange.reply = around.opener.open(request)
            if isinstance(reply, Content):
                return self._content(exchange, reply)
            if isinstance(reply, Refusal):
                return self._refusal(exchange, reply)
        except Exception as error:  # whatever is raised, the phone gets its answer
            return self._failed(exchange, error)
        return None

    def _request(self, exchange: Exchange) -> FileRequest:
        around = self._around
        target = self._targets.read(exchange.raw_path, exchange.query)
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
            if exchange.agent and target.needs_hint:
                hint = around.agents.read(exchange.agent).mac
        return FileRequest(
            target.name, exchange.peer, exchange.transport, exchange.local, target.query, hint, proof
        )

    def _refusal(self, exchange: Exchange, refusal: Refusal) -> Answer:
        self._note_guess(exchange, refusal)
        return refusing(refusal.reason, refusal.subject, self._advice(exchange, refusal.reason))

    def _content(self, exchange: Exchange, content: Content) -> Answer:
        data = content.data
        described = self._around.describer.of_content(data, xml=content.xml)
        head = described.whole
        if head is None or not asks_whole(exchange.headers):
            part = choose_part(exchange.headers, len(data), described.etag)
            head = described.head(part, len(data))
            if part.status != 200:
                data = data[part.start : part.end]
        return Answer(head, data, content.reason, content.subject, is_file=True)

    def _failed(self, exchange: Exchange, error: Exception) -> Answer:
        """What the phone hears of ``error``."""
        if not isinstance(error, Refused):
            self._around.on_error(error)
            return refusing(Reason.INTERNAL, Subject())
        return self._refusal(exchange, Refusal(error.reason, Subject(detail=error.detail)))

    def _note_guess(self, exchange: Exchange, refusal: Refusal) -> None:
        """MACs that nobody owns and wrong passwords come out of one budget, whatever the transport."""
        mark = refusal.subject.mac if refusal.reason in GUESSING else ""
        if refusal.reason is Reason.CREDENTIALS_WRONG:
            shown = exchange.headers.get(b"authorization", b"")
            mark = f"{refusal.subject.mac}:{hashlib.sha256(shown).hexdigest()[:16]}"
        if mark:
            self._around.admission.note_unknown(exchange.peer, mark, self._around.clock())

    def _advice(self, exchange: Exchange, reason: Reason) -> tuple[Header, ...]:
        if reason.outcome is Outcome.METHOD:
            return ((b"allow", b"GET, HEAD"),)
        if reason.outcome is not Outcome.UNAUTHORIZED:
            return ()
        client = self._around.agents.read(exchange.agent)
        trust = self._around.trust
        basic = trust.takes_basic(basic_only=client.basic_only)
        challenges = trust.challenges(exchange.peer, reason, basic=basic, md5_only=client.is_phone)
        return tuple((b"www-authenticate", each.encode("latin-1")) for each in challenges)

    # --- what has to be waited for

    async def _finish(self, exchange: Exchange) -> tuple[Reason, Subject]:
        assert exchange.request is not None
        if exchange.reply is None:
            return await self._around.sink.store(exchange, exchange.request)
        reply = await _waited(exchange.reply, exchange.request)
        if isinstance(reply, Content):
            return await _send(exchange, self._content(exchange, reply))
        if isinstance(reply, Refusal):
            return await _send(exchange, self._refusal(exchange, reply))
        return await self._send_stream(exchange, reply)

    async def _send_stream(self, exchange: Exchange, stream: Stream) -> tuple[Reason, Subject]:
        subject = stream.subject
        try:
            head = await _read(stream, 0, PIECE)
            described = self._around.describer.of_large(subject.file, subject.revision, head)
            part = choose_part(exchange.headers, stream.size, described.etag)
            await exchange.start(described.head(part, stream.size))
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


async def _send(exchange: Exchange, answer: Answer) -> tuple[Reason, Subject]:
    """By ASGI; tells how it ended."""
    await exchange.start(answer.head)
    await exchange.send(answer.body)
    if not answer.is_file:
        exchange.octets = 0
    elif exchange.is_cut:
        return Reason.PEER_GONE, answer.subject
    return answer.reason, answer.subject


async def _waited(reply: Reply | Awaitable[Reply], request: FileRequest) -> Reply:
    if not isinstance(reply, Awaitable):
        return reply
    promise = reply.asFuture(asyncio.get_running_loop()) if isinstance(reply, Deferred) else reply
    try:
        return await asyncio.wait_for(promise, OPEN_SECONDS)
    except TimeoutError:
        raise Refused(Reason.STORAGE_BUSY, request.name[:512]) from None


async def _read(stream: Stream, at: int, length: int) -> bytes:
    piece = stream.read(at, length)
    if isinstance(piece, Awaitable):
        piece = await piece
    if not piece:
        raise Refused(Reason.FILE_CHANGED, stream.subject.file)
    return piece
