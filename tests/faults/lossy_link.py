"""A seeded bad network between one machine and one small client, on a clock of its own.

The client is written from the RFCs alone and shares nothing with the server: plain lock-step or windows,
its own timer or none, as simple as the ones in phones.
"""

from __future__ import annotations

import heapq
import random
import struct
from dataclasses import dataclass, field
from itertools import count

REQUEST_AGAIN = 2.0


@dataclass(frozen=True)
class Weather:
    """Chances per datagram, each way; ``delay`` in seconds, ``spread`` is what reorders."""

    lose: float = 0.0
    double: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0005
    spread: float = 0.02


class Reader:
    """A client that reads one file; after ``timer`` seconds it repeats its last packet, None: never."""

    def __init__(
        self, timer: float | None = None, window: int = 1, blksize: int = 512, oack: bool = False
    ) -> None:
        self.timer, self.window, self.blksize = timer, window, blksize
        self.data = bytearray()
        self.blocks = 0
        self.done = False
        self.error: bytes | None = None
        self._last = b""
        self._in_window = 0
        self._awaits_oack = oack
        self._gap_told = False

    def receive(self, datagram: bytes) -> list[bytes]:
        opcode, number = struct.unpack("!HH", datagram[:4])
        if opcode == 5:
            self.error = datagram
            self.done = True
            return []
        if opcode == 6:
            return self._say(0) if self._awaits_oack or not self.blocks else []
        self._awaits_oack = False
        if number == (self.blocks + 1) & 0xFFFF and not self.done:
            self.blocks += 1
            self.data += datagram[4:]
            self._in_window += 1
            self._gap_told = False
            self.done = len(datagram) < self.blksize + 4
            return self._say(self.blocks) if self.done or self._in_window >= self.window else []
        if self.window == 1:
            return self._say(number) if number == self.blocks & 0xFFFF else []
        behind = (self.blocks - number) & 0xFFFF
        if behind == 0 and self.done:
            return self._say(self.blocks)
        if 0 < (number - self.blocks) & 0xFFFF <= self.window and not self._gap_told:
            self._gap_told = True
            return self._say(self.blocks)
        return []

    def repeat(self) -> list[bytes]:
        return [self._last] if self._last else []

    def _say(self, number: int) -> list[bytes]:
        self._in_window = 0
        self._last = struct.pack("!HH", 4, number & 0xFFFF)
        return [self._last]


@dataclass
class Tally:
    """What went over the wire: ``sent`` maps a datagram's number to how often the machine sent it."""

    seconds: float = 0.0
    datagrams: int = 0
    octets: int = 0
    sent: dict[int, int] = field(default_factory=dict)


def run(
    machine: object,
    reader: Reader,
    weather: Weather,
    seed: int,
    *,
    start: float = 0.0,
    limit: float = 120.0,
    acks: int = 1,
    asks: bool = False,
) -> Tally:
    """Let them talk until the machine ends or ``limit``; every ACK is sent ``acks`` times.

    With ``asks`` the client repeats its request until the first block comes, as all clients do.
    """
    rng = random.Random(seed)
    tally = Tally()
    order = count()
    queue: list[tuple[float, int, str, bytes]] = []
    now, heard = start, start
    request = start + REQUEST_AGAIN if asks else 0.0

    def put(to: str, datagram: bytes) -> None:
        for _ in range(2 if rng.random() < weather.double else 1):
            if rng.random() >= weather.lose:
                late = rng.random() * weather.spread if rng.random() < weather.reorder else 0.0
                heapq.heappush(queue, (now + weather.delay + late, next(order), to, datagram))

    def flush() -> None:
        for datagram in machine.datagrams_to_send():  # type: ignore[attr-defined]
            number = int.from_bytes(datagram[2:4], "big") if datagram[1] == 3 else -datagram[1]
            tally.sent[number] = tally.sent.get(number, 0) + 1
            tally.datagrams += 1
            tally.octets += len(datagram)
            put("reader", datagram)

    flush()
    while machine.next_deadline() > float("-inf") and now < start + limit:  # type: ignore[attr-defined]
        due = [machine.next_deadline()]  # type: ignore[attr-defined]
        if queue:
            due.append(queue[0][0])
        if reader.timer is not None and not reader.done:
            due.append(heard + reader.timer)
        if request:
            due.append(request)
        if min(due) > start + limit:
            break
        now = max(now, min(due))
        if queue and queue[0][0] <= now:
            _, _, to, datagram = heapq.heappop(queue)
            if to == "machine":
                machine.receive_datagram(datagram, now)  # type: ignore[attr-defined]
            else:
                heard = now
                for answer in reader.receive(datagram):
                    for _ in range(acks):
                        put("machine", answer)
                if reader.done and not tally.seconds:
                    tally.seconds = now - start
        elif request and now >= request:
            request = 0.0 if reader.blocks else now + REQUEST_AGAIN
            if request and rng.random() >= weather.lose:
                machine.request_repeated(now)  # type: ignore[attr-defined]
        elif reader.timer is not None and not reader.done and heard + reader.timer <= now:
            heard = now
            for answer in reader.repeat():
                put("machine", answer)
        else:
            machine.handle_timer(now)  # type: ignore[attr-defined]
        flush()
    return tally
