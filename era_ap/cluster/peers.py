"""Questions to other instances, over HTTP on their management port, and the answers to theirs.

Owns the request, its time limit, and whom to ask when another process has taken the place of the one we know.
Does not own what a question means (``coordinator``), nor its seal (``questions``).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Final

from era_ap.cluster.questions import MAX_BYTES, Asked, Asker, UntrustedError, derive

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.cluster.failsafe import Answer, Ask
    from era_ap.cluster.view import Member

ASK_PATH: Final = "/peer/ask"
ASK_SECONDS: Final = 0.3
"""Time for a question in all: a connection, the question, the answer."""

_OK, _FORBIDDEN, _CONFLICT, _UNAVAILABLE = 200, 403, 409, 503


class AskError(Exception):
    """No usable answer."""


class Peers:
    """Asks and answers for the process ``instance``; ``answer`` is called once for each question to us.

    Without the site's secret (``trust``) nothing is asked and nothing answered.
    """

    def __init__(
        self, instance: str, answer: Callable[[Ask], Answer], *, seconds: float = ASK_SECONDS
    ) -> None:
        self._instance = instance
        self._answer = answer
        self._seconds = seconds
        self._asker: Asker | None = None
        self._asked: Asked | None = None
        self._instances: dict[tuple[str, str], str] = {}
        self._lines: dict[tuple[str, int], _Line] = {}

    def trust(self, secret: bytes) -> None:
        """Believe who knows ``secret``, the site's."""
        key = derive(secret, "questions")
        self._asker, self._asked = Asker(key, self._instance), Asked(key, self._instance)

    async def ask(self, member: Member, ask: Ask) -> Answer:
        """The answer of ``member``.

        Raises ``AskError``, ``OSError``, ``EOFError``, ``TimeoutError`` or ``UntrustedError`` without one.
        """
        asker = self._asker
        if asker is None:
            raise AskError("the site's secret is not known yet")
        known_as = (member.name, member.instance)
        async with asyncio.timeout(self._seconds):
            for _ in range(2):
                question = asker.seal(ask, self._instances.get(known_as, member.instance))
                status, body = await self._post(read_peer(member.peer), question)
                if status not in (_OK, _CONFLICT):
                    raise AskError(f"{member.name} says {status}")
                answer = asker.open(body, question)
                if not isinstance(answer, str):
                    return answer
                self._instances = {
                    key: value for key, value in self._instances.items() if key[0] != member.name
                }
                self._instances[known_as] = answer
        raise AskError(f"{member.name} is never the same")

    def answer(self, body: bytes) -> tuple[int, bytes]:
        """The status and body of the answer to what came to ``ASK_PATH``."""
        if self._asked is None:
            return _UNAVAILABLE, b""
        try:
            question = self._asked.open(body)
        except UntrustedError:
            return _FORBIDDEN, b""
        if not self._asked.is_ours(question):
            return _CONFLICT, self._asked.redirect(question)
        return _OK, self._asked.seal(self._answer(question.ask), question)

    def close(self) -> None:
        """Ask no more."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    async def _post(self, where: tuple[str, int], body: bytes) -> tuple[int, bytes]:
        """Status and body; by the line of last time, or by a new one where that was closed meanwhile."""
        line = self._lines.pop(where, None)
        if line is not None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                return await self._use(line, where, body)
        return await self._use(await _Line.open(*where), where, body)

    async def _use(self, line: _Line, where: tuple[str, int], body: bytes) -> tuple[int, bytes]:
        try:
            answer = await line.post(ASK_PATH, body)
        except BaseException:  # also where time is up: an answer that comes late is to no question
            line.close()
            raise
        self._lines[where] = line
        return answer


def read_peer(peer: str) -> tuple[str, int]:
    """Address and port of ``Member.peer``. Raises ``AskError``."""
    address, _, port = peer.rpartition(":")
    if not address or not port.isdecimal():
        raise AskError(f"{peer!r} is not address:port")
    return address.removeprefix("[").removesuffix("]"), int(port)


def write_peer(address: str, port: int) -> str:
    """``Member.peer`` of an address and port."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class _Line:
    """A connection that is kept, so that a question takes one turn of each event loop."""

    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str, port: int) -> _Line:
        """Connect; raises OSError."""
        streams = await asyncio.open_connection(address, port, limit=2 * MAX_BYTES)
        return cls(write_peer(address, port), *streams)

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises ``AskError`` for what is none, and what the streams raise."""
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        try:
            first, *fields = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        except asyncio.LimitOverrunError:
            raise AskError("not an answer of HTTP") from None
        found = re.match(rb"http/1\.[01] (\d{3})\b", first)
        lengths = [int(each[15:]) for each in fields if re.fullmatch(rb"content-length: *\d{1,9} *", each)]
        if found is None or len(lengths) != 1 or lengths[0] > MAX_BYTES:
            raise AskError("not an answer of HTTP")
        return int(found[1]), await self._reader.readexactly(lengths[0])

    def close(self) -> None:
        """Let it go."""
        self._writer.close()
