"""The write machine, datagram by datagram."""

from __future__ import annotations

import struct

import pytest

from era_ap.errors import Reason
from era_ap.tftp.machine import OVER, Finished, Received
from era_ap.tftp.options import Agreed
from era_ap.tftp.timing import Timing
from era_ap.tftp.upload import WriteTransfer


def ack(number: int) -> bytes:
    return struct.pack("!HH", 4, number & 0xFFFF)


def block(number: int, payload: bytes) -> bytes:
    return struct.pack("!HH", 3, number & 0xFFFF) + payload


def machine(limit: int = 1 << 20, convert: bool = False, **agreed: object) -> WriteTransfer:
    return WriteTransfer(Agreed(**agreed), Timing(), 0.0, limit=limit, convert=convert)  # type: ignore[arg-type]


def sent(transfer: WriteTransfer) -> list[bytes]:
    return list(transfer.datagrams_to_send())


def received(transfer: WriteTransfer) -> bytes:
    return b"".join(event.data for event in transfer.events() if isinstance(event, Received))


def end_of(transfer: WriteTransfer) -> Reason | None:
    return next((event.reason for event in transfer.events() if isinstance(event, Finished)), None)


def test_an_upload_is_acknowledged_when_it_is_stored() -> None:
    transfer = machine()
    assert sent(transfer) == [ack(0)]
    transfer.receive_datagram(block(1, b"a" * 512), 0.1)
    assert sent(transfer) == [ack(1)]
    transfer.receive_datagram(block(2, b"b"), 0.2)
    assert sent(transfer) == [], "not before it is stored"
    events = transfer.events()
    assert events[-1] == Received(b"b", last=True)
    transfer.receive_datagram(block(2, b"b"), 0.3)
    assert sent(transfer) == []
    transfer.stored(0.4)
    assert sent(transfer) == [ack(2)]
    transfer.receive_datagram(block(2, b"b"), 0.5)
    assert sent(transfer) == [ack(2)], "the dally answers a repeat"
    transfer.handle_timer(transfer.next_deadline())
    assert end_of(transfer) is Reason.UPLOADED
    assert (transfer.octets, transfer.blocks) == (513, 2)


def test_the_oack_stands_for_ack_0() -> None:
    transfer = machine(blksize=1024, acknowledged=(("blksize", "1024"),))
    assert sent(transfer) == [b"\0\6blksize\x001024\0"]
    transfer.receive_datagram(block(1, bytes(1024)), 0.1)
    assert sent(transfer) == [ack(1)]


def test_a_duplicate_block_is_acknowledged_again_and_stored_once() -> None:
    transfer = machine()
    for _ in range(2):
        transfer.receive_datagram(block(1, b"x" * 512), 0.1)
        assert sent(transfer) == [ack(1)]
    assert received(transfer) == b"x" * 512


def test_a_window_gets_one_ack_and_a_gap_is_told_once() -> None:
    transfer = machine(windowsize=4, acknowledged=(("windowsize", "4"),))
    sent(transfer)
    for number in (1, 2, 3):
        transfer.receive_datagram(block(number, bytes(512)), 0.1)
        assert sent(transfer) == []
    transfer.receive_datagram(block(4, bytes(512)), 0.1)
    assert sent(transfer) == [ack(4)]
    transfer.receive_datagram(block(6, bytes(512)), 0.2)
    assert sent(transfer) == [ack(4)]
    transfer.receive_datagram(block(7, bytes(512)), 0.2)
    assert sent(transfer) == []


def test_the_timer_repeats_the_ack() -> None:
    transfer = machine()
    sent(transfer)
    transfer.receive_datagram(block(1, bytes(512)), 0.1)
    sent(transfer)
    transfer.handle_timer(transfer.next_deadline())
    assert sent(transfer) == [ack(1)]


def test_a_silent_source_gets_three_packets_and_is_forgotten() -> None:
    transfer = machine()
    count, now = len(sent(transfer)), 0.0
    while transfer.next_deadline() != OVER:
        now = max(now, transfer.next_deadline())
        transfer.handle_timer(now)
        count += len(sent(transfer))
    assert count == 3
    assert now < 30
    assert end_of(transfer) is Reason.PEER_SILENT


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (block(1, bytes(513)), Reason.MALFORMED),
        (block(1, bytes(512)), Reason.UPLOAD_LIMIT),
        (b"\0\5\0\3disk full\0", Reason.PEER_ERROR),
    ],
)
def test_what_ends_an_upload(datagram: bytes, reason: Reason) -> None:
    transfer = machine(limit=400)
    sent(transfer)
    transfer.receive_datagram(datagram, 0.1)
    assert end_of(transfer) is reason


def test_a_closed_port_ends_it_but_not_while_it_is_being_stored() -> None:
    transfer = machine()
    transfer.receive_datagram(block(1, b"all"), 0.1)
    transfer.peer_gone()
    assert end_of(transfer) is None
    transfer.stored(0.2)
    transfer.peer_gone()
    assert end_of(transfer) is Reason.UPLOADED


def test_netascii_becomes_plain_text() -> None:
    transfer = machine(convert=True)
    transfer.receive_datagram(block(1, b"a" * 510 + b"b\r"), 0.1)
    transfer.receive_datagram(block(2, b"\nc\r\0"), 0.2)
    assert received(transfer) == b"a" * 510 + b"b\nc\r"


def test_block_numbers_roll_over() -> None:
    transfer = machine(limit=1 << 30, blksize=8)
    for number in range(1, 65536 + 10):
        transfer.receive_datagram(block(number, b"12345678"), 0.0)
        assert sent(transfer) == [ack(number)]
    assert transfer.octets == 8 * 65545
