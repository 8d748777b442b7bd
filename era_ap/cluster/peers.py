"""Questions to other instances, over HTTP on their management port, and the answers to theirs.

Owns the request, its time limit, and whom to ask when another process has taken the place of the one we know.
Does not own what a question means (``coordinator``), nor its seal (``questions``).
"""

from __future__ import annotations

import asyncio
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

    def trust(self, secret: bytes) -> None:
        """Believe who knows ``secret``, the site's."""
        key = derive(secret, "questions")
        self._asker, self._asked = Asker(key, self._instance), Asked(key, self._instance)

    async def ask(self, member: Member, ask: Ask) -> Answer:
        """The answer of ``member``.

        Raises ``AskError``, ``OSError``, ``TimeoutError`` or ``UntrustedError`` where there is none.
        """
        asker = self._asker
        if asker is None:
            raise AskError("the site's secret is not known yet")
        known_as = (member.name, member.instance)
        async with asyncio.timeout(self._seconds):
            for _ in range(2):
                question = asker.seal(ask, self._instances.get(known_as, member.instance))
                status, body = await _post(*read_peer(member.peer), ASK_PATH, question)
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


def read_peer(peer: str) -> tuple[str, int]:
    """Address and port of ``Member.peer``. Raises ``AskError``."""
    address, _, port = peer.rpartition(":")
    if not address or not port.isdecimal():
        raise AskError(f"{peer!r} is not address:port")
    return address.removeprefix("[").removesuffix("]"), int(port)


def write_peer(address: str, port: int) -> str:
    """``Member.peer`` of an address and port."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


async def _post(address: str, port: int, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer; a connection of its own, so that none is found closed."""
    reader, writer = await asyncio.open_connection(address, port, limit=2 * MAX_BYTES)
    try:
        lines = (
            f"POST {path} HTTP/1.1",
            f"Host: {write_peer(address, port)}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        answer = b""
        while len(answer) <= 2 * MAX_BYTES and (more := await reader.read(2 * MAX_BYTES)):
            answer += more
    finally:
        writer.close()
    first, _, rest = answer.partition(b"\r\n")
    words = first.split(b" ")
    if not first.startswith(b"HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        raise AskError("not an answer of HTTP")
    return int(words[1]), rest.partition(b"\r\n\r\n")[2]
