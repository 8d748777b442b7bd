"""Setting a transfer up: options, channel, machine, feeder, in that order.

Owns what a Content, a Stream or an upload needs to become a running session. Does not judge requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from era_ap.errors import Reason, Refused
from era_ap.provisioning.request import Content, Subject
from era_ap.tftp import netascii
from era_ap.tftp.options import negotiate, read_wish
from era_ap.tftp.packets import Mode
from era_ap.tftp.server.feeding import FileFeeder, SinkFeeder
from era_ap.tftp.server.sessions import Session
from era_ap.tftp.server.uploads import Upload
from era_ap.tftp.transfer import ReadTransfer
from era_ap.tftp.upload import WriteTransfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from era_ap.provisioning.request import Stream
    from era_ap.tftp.machine import Finished
    from era_ap.tftp.options import Agreed, Wish
    from era_ap.tftp.server.answers import Answers
    from era_ap.tftp.server.channels import Channels, SharedPort
    from era_ap.tftp.server.contract import Asked, OnError, Policy
    from era_ap.tftp.server.feeding import Runner
    from era_ap.tftp.server.ports import OwnPort
    from era_ap.tftp.server.sessions import Feeder
    from era_ap.tftp.server.table import Table


_NETASCII: Final = Mode.NETASCII


class Starter:
    """Makes sessions. Everything it raises is either ``Refused`` or a defect; nothing is left behind then."""

    def __init__(
        self,
        table: Table,
        channels: Channels,
        answers: Answers,
        *,
        run: Runner,
        clock: Callable[[], float],
        on_error: OnError,
    ) -> None:
        self._table = table
        self._channels = channels
        self._answers = answers
        self._run = run
        self._clock = clock
        self._on_error = on_error
        self._uploads = 0

    def start_read(self, asked: Asked, reply: Content | Stream, policy: Policy, now: float) -> None:
        """Serve ``reply``. ``Refused`` (TRANSFER_LIMIT) where there is no room."""
        convert = asked.packet.mode is _NETASCII
        wish = read_wish(asked.packet.options)
        if isinstance(reply, Content):
            data = netascii.encode(reply.data) if convert else reply.data
            channel, path = self._open_channel(asked, policy, wish, now)
            agreed = negotiate(wish, policy.options, size=len(data), path_limit=path)
            machine = ReadTransfer(agreed, policy.timing, reply.reason, now, data=data)
            self._start(asked, machine, channel, None, agreed, reply.subject, now)
            return
        size = reply.size
        try:
            channel, path = self._open_channel(asked, policy, wish, now)
        except Refused:
            reply.close()
            raise
        agreed = negotiate(wish, policy.options, size=None if convert else size, path_limit=path)
        machine = ReadTransfer(agreed, policy.timing, reply.reason, now, size=size, convert=convert)
        feeder = FileFeeder(reply, self._clock, self._on_error)
        self._start(asked, machine, channel, feeder, agreed, reply.subject, now)

    def make_upload(self, asked: Asked, policy: Policy) -> Upload:
        """The sink's side of a WRQ, not opened yet. ``Refused`` where there is no sink or a limit is met."""
        uploads = policy.uploads
        if uploads is None:
            raise Refused(Reason.WRITE_REFUSED)
        if (read_wish(asked.packet.options).tsize or 0) > uploads.file_bytes:
            raise Refused(Reason.UPLOAD_LIMIT)
        if self._uploads >= uploads.at_once:
            raise Refused(Reason.TRANSFER_LIMIT)
        return Upload(uploads, asked.peer, asked.name)

    def start_write(self, asked: Asked, upload: Upload, policy: Policy, now: float) -> None:
        """Receive into an opened ``upload``. ``Refused`` (TRANSFER_LIMIT) where there is no room."""
        wish = read_wish(asked.packet.options)
        try:
            channel, path = self._open_channel(asked, policy, wish, now)
        except Refused:
            self._run(upload.abort)
            raise
        agreed = negotiate(wish, policy.options, size=wish.tsize, path_limit=path)
        convert = asked.packet.mode is _NETASCII
        machine = WriteTransfer(agreed, policy.timing, now, limit=upload.limit, convert=convert)
        feeder = SinkFeeder(upload, self._run, self._clock, self._on_error)
        self._uploads += 1
        subject = Subject(file=upload.name)
        self._start(asked, machine, channel, feeder, agreed, subject, now)

    def _open_channel(
        self, asked: Asked, policy: Policy, wish: Wish, now: float
    ) -> tuple[OwnPort | SharedPort, int]:
        if not self._table.make_room(asked.peer, policy, now):
            raise Refused(Reason.TRANSFER_LIMIT)
        try:
            return self._channels.open(asked, policy, wish)
        except OSError as error:
            # No descriptor or port left: the limits are set higher than the system's.
            if not self._table.evict_one(now):
                raise Refused(Reason.TRANSFER_LIMIT, str(error)) from error
        try:
            return self._channels.open(asked, policy, wish)
        except OSError as error:
            raise Refused(Reason.TRANSFER_LIMIT, str(error)) from error

    def _start(
        self,
        asked: Asked,
        machine: ReadTransfer | WriteTransfer,
        channel: OwnPort | SharedPort,
        feeder: Feeder | None,
        agreed: Agreed,
        subject: Subject,
        now: float,
    ) -> None:
        session = Session(asked, machine, channel, feeder, agreed, subject, self._ended)
        self._table.add(session)
        channel.listen(session.readable)
        session.flush(now)

    def _ended(self, session: Session, finished: Finished, now: float) -> None:
        self._table.remove(session)
        if session.asked.is_write:
            self._uploads -= 1
        self._answers.ended(session, finished, now)
