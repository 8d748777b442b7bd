"""The read machine, datagram by datagram."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import pytest

from era_ap.errors import Reason
from era_ap.tftp.machine import OVER, Finished, ReadPiece
from era_ap.tftp.options import Agreed
from era_ap.tftp.timing import Timing
from era_ap.tftp.transfer import PIECE, ReadTransfer

DATA = bytes(range(256)) * 5  # 1280 octets: 512, 512, 256


def ack(number: int) -> bytes:
    return struct.pack("!HH", 4, number & 0xFFFF)


def block(number: int, payload: bytes) -> bytes:
    return struct.pack("!HH", 3, number & 0xFFFF) + payload


def machine(data: bytes = DATA, **agreed: object) -> ReadTransfer:
    return ReadTransfer(Agreed(**agreed), Timing(), Reason.STATIC, 0.0, data=data)  # type: ignore[arg-type]


def sent(transfer: ReadTransfer) -> list[bytes]:
    return list(transfer.datagrams_to_send())


def end_of(transfer: ReadTransfer) -> Reason | None:
    return next((event.reason for event in transfer.events() if isinstance(event, Finished)), None)


def run_down(transfer: ReadTransfer, start: float, limit: float) -> list[float]:
    """Times at which the timer alone sends something, until the end or ``limit``."""
    times, now = [], start
    while transfer.next_deadline() != OVER and now < limit:
        now = max(now, transfer.next_deadline())
        transfer.handle_timer(now)
        times += [now] * len(sent(transfer))
    return times


def test_lock_step() -> None:
    transfer = machine()
    assert sent(transfer) == [block(1, DATA[:512])]
    transfer.receive_datagram(ack(1), 0.01)
    assert sent(transfer) == [block(2, DATA[512:1024])]
    transfer.receive_datagram(ack(2), 0.02)
    assert sent(transfer) == [block(3, DATA[1024:])]
    assert not transfer.eventful
    transfer.receive_datagram(ack(3), 0.03)
    assert sent(transfer) == []
    assert transfer.eventful
    assert end_of(transfer) is Reason.STATIC
    assert transfer.next_deadline() == OVER
    assert (transfer.octets, transfer.blocks, transfer.retransmits) == (1280, 3, 0)
    assert transfer.round_trip.smoothed == pytest.approx(0.01)


@pytest.mark.parametrize(("size", "blocks"), [(0, 1), (1, 1), (511, 1), (512, 2), (513, 2), (1024, 3)])
def test_a_multiple_of_the_block_ends_with_an_empty_one(size: int, blocks: int) -> None:
    transfer = machine(bytes(size))
    received = b""
    for number in range(1, blocks + 1):
        (datagram,) = sent(transfer)
        received += datagram[4:]
        assert end_of(transfer) is None
        transfer.receive_datagram(ack(number), 0.0)
    assert len(received) == size
    assert end_of(transfer) is Reason.STATIC


def test_an_oack_waits_for_ack_0() -> None:
    transfer = machine(blksize=1024, tsize=1280, acknowledged=(("blksize", "1024"), ("tsize", "1280")))
    oack = b"\0\6blksize\x001024\0tsize\x001280\0"
    assert sent(transfer) == [oack]
    transfer.receive_datagram(ack(1), 0.01)
    assert sent(transfer) == []
    transfer.handle_timer(0.25)
    assert sent(transfer) == [oack]
    transfer.receive_datagram(ack(0), 0.3)
    assert sent(transfer) == [block(1, DATA[:1024])]
    transfer.receive_datagram(ack(0), 0.31)
    assert sent(transfer) == [], "a duplicate ACK 0 triggers nothing"


def test_garbage_behind_an_ack_is_ignored() -> None:
    transfer = machine()
    sent(transfer)
    transfer.receive_datagram(ack(1) + b"\0\0", 0.01)
    assert sent(transfer) == [block(2, DATA[512:1024])]


def test_duplicate_and_stale_acks_trigger_nothing() -> None:
    transfer = machine()
    sent(transfer)
    for number in (1, 2):
        transfer.receive_datagram(ack(number), 0.01)
        assert len(sent(transfer)) == 1
        for again in (number, number - 1, number + 2, number + 40000):
            transfer.receive_datagram(ack(again), 0.02)
            assert sent(transfer) == []


def test_timer_repeats_the_block_with_doubling_pauses() -> None:
    transfer = machine()
    sent(transfer)
    transfer.receive_datagram(ack(1), 0.2)
    sent(transfer)
    times = run_down(transfer, 0.2, 4.0)
    pauses = [round(b - a, 3) for a, b in zip([0.2, *times], times, strict=False)]
    assert pauses[0] == pytest.approx(0.6)
    assert pauses[1] == pytest.approx(1.2)
    assert pauses[2] == pytest.approx(2.0)
    assert transfer.retransmits == len(times)


def test_karn_a_repeated_block_measures_nothing() -> None:
    transfer = machine()
    sent(transfer)
    transfer.handle_timer(0.25)
    transfer.receive_datagram(ack(1), 0.26)
    assert transfer.round_trip.smoothed is None
    assert transfer.round_trip.timeout == 0.5, "the longer time-out stays until something is measured"


def test_a_source_that_never_answers_gets_three_packets() -> None:
    transfer = machine()
    first = sent(transfer)
    times = run_down(transfer, 0.0, 100.0)
    assert len(first) + len(times) == 3
    assert end_of(transfer) is Reason.PEER_SILENT
    assert times[-1] < 1.0


@pytest.mark.parametrize(("seconds", "packets"), [(1, 3), (5, 3), (255, 1)])
def test_a_negotiated_timeout_is_kept_but_no_state_for_minutes(seconds: int, packets: int) -> None:
    transfer = machine(timeout=seconds, acknowledged=(("timeout", str(seconds)),))
    sent(transfer)
    times = run_down(transfer, 0.0, 1000.0)
    assert [round(time, 3) for time in times] == [seconds * n for n in range(1, packets)]
    assert end_of(transfer) is Reason.PEER_SILENT


def test_a_repeated_request_gets_one_packet_when_all_are_spent() -> None:
    transfer = machine()
    sent(transfer)
    transfer.request_repeated(0.1)
    assert sent(transfer) == [], "the timer will do"
    for now in (0.25, 0.75, 1.75):
        transfer.handle_timer(now)
    sent(transfer)
    transfer.request_repeated(2.0)
    assert sent(transfer) == [block(1, DATA[:512])]
    transfer.handle_timer(3.0)
    assert sent(transfer) == []
    transfer.receive_datagram(ack(1), 3.1)
    assert sent(transfer) == [block(2, DATA[512:1024])]


def test_progress_renews_the_budget() -> None:
    transfer = machine(bytes(512 * 10))
    transfer.receive_datagram(ack(1), 0.0)
    now = 0.0
    for number in range(2, 11):
        run_down(transfer, now, now + 25.0)
        now += 25.0
        transfer.receive_datagram(ack(number), now)
        assert end_of(transfer) is None
    run_down(transfer, now, now + 40.0)
    assert end_of(transfer) is Reason.PEER_SILENT


def test_the_lost_last_ack_costs_at_most_four_repeats() -> None:
    transfer = machine(bytes(600))
    sent(transfer)
    transfer.receive_datagram(ack(1), 0.01)
    sent(transfer)
    times = run_down(transfer, 0.01, 100.0)
    assert len(times) == 4
    assert end_of(transfer) is Reason.PEER_SILENT
    assert transfer.next_deadline() == OVER


def test_a_sign_of_life_keeps_the_last_block_going_without_a_resend() -> None:
    transfer = machine(bytes(600))
    sent(transfer)
    transfer.receive_datagram(ack(1), 0.01)
    sent(transfer)
    count, now = 0, 0.01
    while now < 12.0:
        now = transfer.next_deadline()
        transfer.handle_timer(now)
        count += len(sent(transfer))
        transfer.receive_datagram(ack(1), now)
        assert sent(transfer) == []
    assert count > 4
    assert end_of(transfer) is None


def test_a_closed_port_ends_it_and_behind_a_repeated_last_block_it_was_served() -> None:
    transfer = machine()
    transfer.peer_gone()
    assert end_of(transfer) is Reason.PEER_GONE
    transfer = machine(bytes(600))
    transfer.receive_datagram(ack(1), 0.01)
    transfer.handle_timer(1.0)
    transfer.peer_gone()
    assert end_of(transfer) is Reason.STATIC


def test_the_peers_error_ends_it_without_an_answer() -> None:
    transfer = machine()
    sent(transfer)
    transfer.receive_datagram(b"\0\5\0\x08no thanks\0", 0.1)
    (event,) = transfer.events()
    assert isinstance(event, Finished)
    assert event.reason is Reason.PEER_ERROR
    assert event.error is not None
    assert (event.error.code, event.error.text) == (8, "no thanks")
    assert sent(transfer) == []


def test_our_end_tells_the_peer_a_constant_text() -> None:
    transfer = machine()
    sent(transfer)
    transfer.fail(Reason.EVICTED)
    assert sent(transfer) == [b"\0\5\0\0Transfer aborted\0"]
    transfer.fail(Reason.STOPPED)
    transfer.receive_datagram(ack(1), 1.0)
    transfer.handle_timer(99.0)
    assert sent(transfer) == []
    assert end_of(transfer) is Reason.EVICTED


# --- windows (RFC 7440)


def windowed(blocks: int, window: int) -> ReadTransfer:
    transfer = machine(
        bytes(512 * blocks - 1), windowsize=window, acknowledged=(("windowsize", str(window)),)
    )
    sent(transfer)
    transfer.receive_datagram(ack(0), 0.01)
    return transfer


def numbers(datagrams: list[bytes]) -> list[int]:
    return [int.from_bytes(datagram[2:4], "big") for datagram in datagrams]


def test_a_window_goes_out_at_once_and_one_ack_moves_it() -> None:
    transfer = windowed(10, 4)
    assert numbers(sent(transfer)) == [1, 2, 3, 4]
    transfer.receive_datagram(ack(4), 0.02)
    assert numbers(sent(transfer)) == [5, 6, 7, 8]
    transfer.receive_datagram(ack(8), 0.03)
    assert numbers(sent(transfer)) == [9, 10]
    transfer.receive_datagram(ack(10), 0.04)
    assert end_of(transfer) is Reason.STATIC


def test_a_partial_ack_goes_back_behind_it() -> None:
    transfer = windowed(10, 4)
    sent(transfer)
    transfer.receive_datagram(ack(2), 0.02)
    assert numbers(sent(transfer)) == [3, 4, 5, 6]
    for stale in (2, 1, 0, 7, 65535):
        transfer.receive_datagram(ack(stale), 0.03)
        assert sent(transfer) == []
    transfer.handle_timer(2.0)
    assert numbers(sent(transfer)) == [3, 4, 5, 6]
    assert transfer.retransmits == 6


@pytest.mark.parametrize("window", [1, 4])
def test_repeats_leave_the_client_a_quiet_spell_to_say_its_ack_again(window: int) -> None:
    """Some clients ignore repeats, and hearing them keeps their timer (5 s) from running out."""
    transfer = windowed(10, window)
    sent(transfer)
    times = sorted(set(run_down(transfer, 0.01, 25.0)))
    pauses = [b - a for a, b in pairwise(times)]
    assert 1 <= sum(pause > 6.0 for pause in pauses) <= 2


@pytest.mark.parametrize("window", [1, 16])
def test_block_numbers_roll_over_to_0(window: int) -> None:
    blocks = 65536 + 40
    transfer = machine(bytes(8 * blocks - 1), blksize=8, windowsize=window)
    expected = 1
    while transfer.next_deadline() != OVER:
        out = sent(transfer)
        assert numbers(out) == [n & 0xFFFF for n in range(expected, expected + len(out))]
        expected += len(out)
        transfer.receive_datagram(ack(expected - 1), 0.01)
        if 65530 < expected < 65560:
            following = transfer.datagrams_to_send()
            transfer.receive_datagram(ack(expected - 1), 0.01)
            transfer.receive_datagram(ack(expected - 2), 0.01)
            assert sent(transfer) == [], "duplicates around the roll-over are harmless"
            transfer._out = following
    assert expected - 1 == blocks
    assert end_of(transfer) is Reason.STATIC
    assert transfer.octets == 8 * blocks - 1


# --- files in pieces


def streamed(size: int, **agreed: object) -> ReadTransfer:
    return ReadTransfer(Agreed(**agreed), Timing(), Reason.STATIC, 0.0, size=size)  # type: ignore[arg-type]


def test_waiting_for_a_piece_sends_nothing() -> None:
    transfer = streamed(1000)
    assert sent(transfer) == []
    assert list(transfer.events()) == [ReadPiece(0, 1000)]
    for now in (0.25, 1.0, 20.0):
        transfer.handle_timer(now)
        assert sent(transfer) == []
    transfer.receive_piece(bytes(1000), 25.0)
    assert sent(transfer) == [block(1, bytes(512))]
    transfer.receive_datagram(ack(1), 25.1)
    assert sent(transfer) == [block(2, bytes(488))]
    transfer.receive_datagram(ack(2), 25.2)
    assert end_of(transfer) is Reason.STATIC


def test_a_piece_that_never_comes_is_busy_storage() -> None:
    transfer = streamed(1000)
    transfer.handle_timer(30.0)
    assert sent(transfer) == [b"\0\5\0\0Temporarily unavailable\0"]
    assert end_of(transfer) is Reason.STORAGE_BUSY


@pytest.mark.parametrize("late", [0, 100])
@pytest.mark.parametrize("windowsize", [1, 4])
def test_pieces_are_asked_for_ahead_and_memory_stays_bounded(windowsize: int, late: int) -> None:
    """``late`` blocks are sent between the wish for a piece and its arrival."""
    size = PIECE * 5 + 77
    data = bytes(i * 7 & 0xFF for i in range(251)) * (size // 251 + 1)
    data = data[:size]
    transfer = streamed(size, blksize=1024, windowsize=windowsize)
    received = bytearray()
    expected = 0
    largest = 0
    wishes: list[tuple[ReadPiece, int]] = []
    while transfer.next_deadline() != OVER:
        wishes += [(event, expected) for event in transfer.events() if isinstance(event, ReadPiece)]
        if wishes and (expected == 0 or expected >= wishes[0][1] + late):
            event, _ = wishes.pop(0)
            transfer.receive_piece(data[event.offset : event.offset + event.length], 0.0)
            largest = max(largest, len(transfer._buffer))
        for datagram in sent(transfer):
            expected += 1
            received += datagram[4:]
        transfer.receive_datagram(ack(expected), 0.0)
    assert bytes(received) == data
    assert largest <= 2 * PIECE + 4096


def test_a_file_that_shrinks_is_an_error() -> None:
    transfer = streamed(1000)
    transfer.receive_piece(b"", 0.1)
    assert sent(transfer) == [b"\0\5\0\0Temporarily unavailable\0"]
    assert end_of(transfer) is Reason.FILE_CHANGED


def test_an_empty_file_in_pieces() -> None:
    transfer = streamed(0)
    assert sent(transfer) == [block(1, b"")]
    assert math.isfinite(transfer.next_deadline())


def test_netascii_in_pieces() -> None:
    data = b"line\n" * 300
    transfer = ReadTransfer(Agreed(), Timing(), Reason.STATIC, 0.0, size=len(data), convert=True)
    transfer.receive_piece(data, 0.0)
    received, number = b"", 0
    while transfer.next_deadline() != OVER:
        (datagram,) = sent(transfer)
        received += datagram[4:]
        number += 1
        transfer.receive_datagram(ack(number), 0.0)
    assert received == b"line\r\n" * 300
    assert transfer.octets == 1800


def test_a_step_does_what_the_two_verbs_do() -> None:
    """The short way and the long way through blocks, losses and repeats lead to the same datagrams."""
    data = bytes(512 * 40 + 7)
    short, long = machine(data), machine(data)
    assert sent(short) == sent(long)
    stepped = 0
    for number in range(1, 42):
        now = number / 100
        if number % 7 == 0:  # the block is lost once
            now = short.next_deadline()
            short.handle_timer(now)
            long.handle_timer(now)
            assert sent(short) == sent(long) != []
        for said in (ack(number - 1), ack(number)):
            datagram = short.step(said, now)
            if datagram is None:
                short.receive_datagram(said, now)
            stepped += datagram is not None
            long.receive_datagram(said, now)
            assert ([datagram] if datagram is not None else sent(short)) == sent(long)
            assert (short.blocks, short.idle_since) == (long.blocks, long.idle_since)
            assert short.next_deadline() == long.next_deadline()
    assert stepped == 41 - 2 - 5, "not the first, not the last, not behind a repeat"
    assert end_of(short) is end_of(long) is Reason.STATIC


def test_a_step_is_nothing_for_what_is_not_the_usual() -> None:
    transfer = machine(windowsize=2)
    sent(transfer)
    assert transfer.step(ack(2), 0.01) is None
    transfer.receive_datagram(ack(2), 0.01)
    assert sent(transfer) == [block(3, DATA[1024:])]
    over = machine()
    over.fail(Reason.STOPPED)
    assert over.step(ack(1), 0.01) is None
