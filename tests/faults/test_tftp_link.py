"""The machines on bad networks, and against hostile datagrams. All seeded."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era_ap.errors import Reason
from era_ap.tftp.machine import OVER, Finished, ReadPiece
from era_ap.tftp.options import Agreed, OptionPolicy, negotiate, read_wish
from era_ap.tftp.packets import Request, parse, parse_request
from era_ap.tftp.timing import Timing
from era_ap.tftp.transfer import ReadTransfer
from era_ap.tftp.upload import WriteTransfer
from tests.faults.lossy_link import Reader, Weather, run

CONFIG = random.Random(7).randbytes(20_000)


def transfer(data: bytes = CONFIG, **agreed: object) -> ReadTransfer:
    return ReadTransfer(Agreed(**agreed), Timing(), Reason.STATIC, 0.0, data=data)  # type: ignore[arg-type]


def end_of(machine: ReadTransfer) -> Reason | None:
    return next((event.reason for event in machine.events() if isinstance(event, Finished)), None)


@pytest.mark.parametrize(
    ("loss", "whole", "median"), [(0.05, 12, 4.0), (0.10, 12, 8.0), (0.20, 12, 30.0), (0.30, 10, 60.0)]
)
def test_loss_both_ways_with_a_client_that_leaves_it_to_the_server(
    loss: float, whole: int, median: float
) -> None:
    times = []
    for seed in range(12):
        reader = Reader(timer=5.0)
        tally = run(transfer(), reader, Weather(lose=loss), seed, limit=60.0, asks=True)
        if reader.done and bytes(reader.data) == CONFIG:
            times.append(tally.seconds)
    assert len(times) >= whole
    assert statistics.median(times) <= median


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_loss_with_a_client_that_repeats(loss: float) -> None:
    for seed in range(12):
        reader = Reader(timer=1.0)
        run(transfer(), reader, Weather(lose=loss), seed)
        assert bytes(reader.data) == CONFIG


def test_doubled_and_reordered_a_hundred_times() -> None:
    needed = len(CONFIG) // 512 + 1
    for seed in range(100):
        reader = Reader()
        machine = transfer()
        tally = run(machine, reader, Weather(double=0.2, reorder=0.2, delay=0.005), seed)
        assert bytes(reader.data) == CONFIG
        assert end_of(machine) is Reason.STATIC
        assert tally.datagrams <= 1.3 * needed


@pytest.mark.parametrize("acks", [2, 20])
def test_repeated_acks_never_cost_a_block(acks: int) -> None:
    reader = Reader()
    tally = run(transfer(), reader, Weather(), 1, acks=acks)
    assert bytes(reader.data) == CONFIG
    assert set(tally.sent.values()) == {1}


@pytest.mark.parametrize("window", [2, 4, 16, 64])
@pytest.mark.parametrize("weather", [Weather(lose=0.1), Weather(double=0.2, reorder=0.2), Weather(lose=0.3)])
def test_windows_on_bad_networks(window: int, weather: Weather) -> None:
    data = random.Random(window).randbytes(100_000)
    for seed in range(4):
        reader = Reader(timer=1.0, window=window, oack=True)
        machine = transfer(data, windowsize=window, acknowledged=(("windowsize", str(window)),))
        run(machine, reader, weather, seed, limit=300.0)
        assert bytes(reader.data) == data


def test_roll_over_on_a_bad_network() -> None:
    data = random.Random(3).randbytes(8 * 66_000)
    reader = Reader(timer=1.0, blksize=8)
    machine = transfer(data, blksize=8, acknowledged=(("blksize", "8"),))
    run(machine, reader, Weather(lose=0.002, double=0.05, reorder=0.05, spread=0.002), 5, limit=10_000.0)
    assert bytes(reader.data) == data


def test_the_last_ack_lost_costs_at_most_four_repeats() -> None:
    class Deaf(Reader):
        def receive(self, datagram: bytes) -> list[bytes]:
            return [] if self.done else [a for a in super().receive(datagram) if not self.done]

    reader = Deaf()
    machine = transfer()
    tally = run(machine, reader, Weather(), 1)
    assert bytes(reader.data) == CONFIG
    assert tally.sent[len(CONFIG) // 512 + 1] <= 5
    assert machine.next_deadline() == OVER


def test_a_silent_source_is_no_amplifier() -> None:
    class Silent(Reader):
        def receive(self, datagram: bytes) -> list[bytes]:
            return []

    for agreed in ({}, {"windowsize": 16, "acknowledged": (("windowsize", "16"),)}, {"timeout": 3}):
        machine = transfer(**agreed)
        tally = run(machine, Silent(), Weather(), 1)
        assert tally.datagrams <= 3
        assert tally.octets <= 1600
        assert machine.next_deadline() == OVER


def test_a_slow_source_causes_no_storm() -> None:
    """Pieces arrive seconds after they were asked for; nothing is sent meanwhile, everything arrives once."""
    data = random.Random(9).randbytes(1_000_000)
    machine = ReadTransfer(Agreed(), Timing(), Reason.STATIC, 0.0, size=len(data))
    reader, now = Reader(), 0.0
    while machine.next_deadline() != OVER:
        tally = run(machine, reader, Weather(), 1, start=now, limit=0.5)
        now += 0.5
        assert all(times == 1 for times in tally.sent.values())
        for event in machine.events():
            if isinstance(event, ReadPiece):
                now += 3.0
                machine.receive_piece(data[event.offset : event.offset + event.length], now)
    assert bytes(reader.data) == data


# --- hostile datagrams


def packets() -> st.SearchStrategy[bytes]:
    head = st.integers(0, 8).map(lambda opcode: opcode.to_bytes(2, "big"))
    return st.one_of(st.binary(max_size=600), st.builds(bytes.__add__, head, st.binary(max_size=600)))


@given(st.lists(packets(), max_size=30), st.sampled_from([Agreed(), Agreed(windowsize=4), Agreed(blksize=8)]))
@settings(deadline=None, max_examples=200)
def test_no_verb_of_a_transfer_raises(datagrams: list[bytes], agreed: Agreed) -> None:
    reading = ReadTransfer(agreed, Timing(), Reason.STATIC, 0.0, data=CONFIG)
    waiting = ReadTransfer(agreed, Timing(), Reason.STATIC, 0.0, size=len(CONFIG))
    writing = WriteTransfer(agreed, Timing(), 0.0, limit=2000)
    for number, datagram in enumerate(datagrams):
        for machine in (reading, waiting, writing):
            machine.receive_datagram(datagram, number / 10)
            machine.handle_timer(number / 10)
            machine.request_repeated(number / 10)
            assert len(machine.datagrams_to_send()) <= max(agreed.windowsize, 1)
            machine.events()


@given(packets())
@settings(deadline=None, max_examples=500)
def test_parsing_never_raises_and_negotiation_stays_within_the_rfc(datagram: bytes) -> None:
    parse(datagram)
    request = parse_request(datagram)
    if isinstance(request, Request):
        agreed = negotiate(read_wish(request.options), OptionPolicy(), size=1)
        assert 8 <= agreed.blksize <= 1428
        assert 1 <= agreed.windowsize <= 16


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=300))
@settings(deadline=None, max_examples=100)
def test_only_requested_options_are_acknowledged(options: list[tuple[str, str]]) -> None:
    raw = b"\0\1x\0octet\0" + b"".join(f"{k}\0{v}\0".encode() for k, v in options)
    request = parse_request(raw)
    assert isinstance(request, Request)
    agreed = negotiate(read_wish(request.options), OptionPolicy(), size=5)
    assert {name for name, _ in agreed.acknowledged} <= set(request.options)
