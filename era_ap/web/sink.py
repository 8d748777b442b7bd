"""Uploads of phones over HTTP: PUT and POST into the same folder that TFTP writes to.

Owns the limits of a body while it comes in and the threads that write. Names, number and size of files are
the folder's (``tftp.server.uploads``), and whether a stranger may upload at all is the provisioner's to say.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason, Refused
from era_ap.provisioning.request import Subject
from era_ap.tftp.server.uploads import Upload
from era_ap.web.representation import Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.provisioning.request import FileRequest, Refusal
    from era_ap.tftp.server.uploads import UploadPolicy
    from era_ap.web.exchange import Exchange

_ANSWER: Final = b"OK\n"
_HEAD: Final = Head(
    200, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_ANSWER))]
)
_THREADS: Final = 2


class Sink:
    """``policy`` None: uploads are refused; it may be set at any time. ``judge`` says why one may not be."""

    def __init__(self, policy: UploadPolicy | None, judge: Callable[[FileRequest], Refusal | None]) -> None:
        self.policy = policy
        self._judge = judge
        self._running = 0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="http-sink")

    async def store(self, exchange: Exchange, request: FileRequest) -> tuple[Reason, Subject]:
        """Receive the body of ``exchange``; raises ``Refused`` where it is not wanted or too large."""
        policy = self.policy
        if policy is None:
            raise Refused(Reason.WRITE_REFUSED)
        refusal = self._judge(request)
        if refusal is not None:
            raise Refused(refusal.reason, refusal.subject.detail)
        if _announced(exchange) > policy.file_bytes:
            raise Refused(Reason.BODY_TOO_LARGE)
        if self._running >= policy.at_once:
            raise Refused(Reason.TRANSFER_LIMIT)
        upload = Upload(policy, request.peer, request.name)
        self._running += 1
        try:
            reason = await self._receive(exchange, upload)
        finally:
            self._running -= 1
        if reason is Reason.UPLOADED:
            received = exchange.octets
            await exchange.start(_HEAD)
            await exchange.send(_ANSWER)
            exchange.octets = received
        return reason, Subject(file=upload.name)

    def close(self) -> None:
        """Let the threads end when they are done."""
        self._threads.shutdown(wait=False)

    async def _receive(self, exchange: Exchange, upload: Upload) -> Reason:
        run = asyncio.get_running_loop().run_in_executor
        try:
            await run(self._threads, upload.open)
            more = True
            while more:
                message = await exchange.receive()
                if message["type"] == "http.disconnect":
                    await run(self._threads, upload.abort)
                    return Reason.PEER_GONE
                body = message.get("body", b"")
                more = message.get("more_body", False)
                exchange.octets += len(body)
                if exchange.octets > upload.limit:
                    raise Refused(Reason.BODY_TOO_LARGE)
                await run(self._threads, upload.write, body)
            await run(self._threads, upload.commit)
        except Refused:
            await run(self._threads, upload.abort)  # nothing is left of it when the phone hears of it
            raise
        except BaseException:
            # Not awaited: it must be done even where the server is being stopped.
            self._threads.submit(upload.abort)
            raise
        return Reason.UPLOADED


def _announced(exchange: Exchange) -> int:
    try:
        return int(exchange.headers.get(b"content-length", b"0"))
    except ValueError:
        raise Refused(Reason.HTTP_MALFORMED, "Content-Length is no number") from None
