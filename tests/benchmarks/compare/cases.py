"""What is measured: downloads of each case, who takes part, and what the figures must reach.

Owns the numbers only. A ratio is always ours to theirs inside one pass; ``judge`` computes it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

STORM = ("--src", "127.3.0.0")
CONFIG = "test.cfg"
FIRMWARE = "firmware.bin"
SMALL = "twenty.cfg"
PHONES = 5000
FIRST_MAC = 0x001565000000
OURS = "era_ap"
TWICE = "era_ap twice"
C_TWICE = "ctftp twice"
EVERY_PEER = ("dnsmasq", "atftpd", "tftpd-hpa", "tftpy", "py3tftp", "fbtftp", "ctftp")
HTTP_PEERS = ("starlette", "twisted.web", "nginx")
GOOD_PEERS = ("dnsmasq", "atftpd", "tftpd-hpa", "tftpy", "py3tftp")


@dataclass(frozen=True)
class Case:
    """``total`` downloads with these ``arguments`` of tftpload, at most ``seconds`` for each server.

    ``peers`` take part beside our daemon. ``unit`` is MB/s where ``bulk``, else downloads/s.
    """

    key: str
    title: str
    total: int
    arguments: tuple[str, ...]
    peers: tuple[str, ...]
    seconds: int = 40
    pinned: bool = True
    bulk: bool = False
    cold: bool = False
    once: bool = False
    """Only in the first pass: too slow for more."""


def _loss(percent: int) -> Case:
    return Case(
        f"E{percent}",
        f"20 KB, {percent} % loss, 12 at once",
        24,
        ("-c", "12", "--file", SMALL, "--loss", str(percent), "--retries", "10", *STORM),
        ("dnsmasq", "atftpd", "tftpd-hpa", "py3tftp"),
        seconds=45,
        once=True,
    )


_ALL_AT_ONCE = ("-c", "200", *STORM)
_BLF_PHONE = ("--pattern", "%012x.cfg", "--mac-start", f"{FIRST_MAC:012x}", *_ALL_AT_ONCE)
_FIRMWARE = ("-c", "10", "--file", FIRMWARE, "--blksize", "1428")

CASES: tuple[Case, ...] = (
    Case("A", "boot storm, 12 KB, 200 at once", PHONES, _ALL_AT_ONCE, EVERY_PEER),
    Case("A2", "as A, not pinned", PHONES, _ALL_AT_ONCE, (TWICE, "dnsmasq", C_TWICE), pinned=False),
    Case("B", "as A, blksize 1428", PHONES, ("--blksize", "1428", *_ALL_AT_ONCE), (*GOOD_PEERS, "ctftp")),
    Case("C", "as A, 2,000 at once", PHONES, ("-c", "2000", *STORM), (*GOOD_PEERS, "ctftp"), seconds=45),
    Case("D1", "20 x 16 MiB, windowsize 1", 20, _FIRMWARE, (*GOOD_PEERS, "ctftp"), bulk=True),
    Case(
        "D16",
        "20 x 16 MiB, windowsize 16",
        20,
        (*_FIRMWARE, "--windowsize", "16"),
        ("atftpd", "py3tftp", "ctftp"),
        bulk=True,
    ),
    Case("E", "as A, 2 % loss", PHONES, ("--loss", "2", *_ALL_AT_ONCE), GOOD_PEERS, seconds=60),
    Case(
        "F",
        "a file that is not there",
        PHONES,
        ("--file", "missing.cfg", "--expect-error", "1", *_ALL_AT_ONCE),
        ("dnsmasq", "tftpd-hpa", "atftpd"),
    ),
    Case("G", "one download after the other", 200, ("-c", "1"), ("dnsmasq", "tftpd-hpa", "atftpd", "ctftp")),
    Case("H1", "each phone's own file, first fetch", PHONES, _BLF_PHONE, (), cold=True),
    Case("H2", "each phone's own file, fetched again", PHONES, _BLF_PHONE, ()),
    *(_loss(percent) for percent in (5, 10, 20, 30)),
)


class Measure(enum.Enum):
    """Which figure of a run."""

    RATE = "rate"
    CPU = "CPU"
    P50 = "p50"
    P99 = "p99"
    FAILED = "failed"


@dataclass(frozen=True)
class Target:
    """Our ``measure`` in ``case`` must be at least (or, ``below``, at most) ``value``.

    Times the ``peer``'s figure in ``base`` (the same case if empty); absolute without a peer. ``BEST`` is the
    peer with the highest rate. ``ours`` is who of us.
    """

    case: str
    measure: Measure
    value: float
    peer: str = ""
    below: bool = False
    base: str = ""
    ours: str = OURS


BEST = "best peer"

TARGETS: tuple[Target, ...] = (
    Target("A", Measure.RATE, 6, "tftpd-hpa"),
    Target("A", Measure.RATE, 1.6, "atftpd"),
    Target("A", Measure.RATE, 3, "tftpy"),
    Target("A", Measure.RATE, 3, "py3tftp"),
    Target("A", Measure.RATE, 0.75, "dnsmasq"),
    Target("A", Measure.RATE, 0.6, "ctftp"),
    Target("A", Measure.CPU, 1.3, "dnsmasq", below=True),
    Target("A2", Measure.RATE, 1, "dnsmasq"),
    Target("A2", Measure.RATE, 1.2, "dnsmasq", ours=TWICE),
    Target("B", Measure.RATE, 0.8, "dnsmasq"),
    Target("B", Measure.RATE, 3, "atftpd"),
    Target("B", Measure.RATE, 13, "tftpd-hpa"),
    Target("C", Measure.FAILED, 0, below=True),
    Target("C", Measure.P99, 500, below=True),
    Target("C", Measure.RATE, 15, BEST),
    Target("D1", Measure.RATE, 0.65, "dnsmasq"),
    Target("D1", Measure.RATE, 1.2, "atftpd"),
    Target("D16", Measure.RATE, 1.9, BEST),
    Target("E", Measure.RATE, 5, BEST),
    Target("E", Measure.P99, 500, below=True),
    Target("E", Measure.FAILED, 0, below=True),
    *(Target(f"E{percent}", Measure.RATE, 1, BEST) for percent in (5, 10, 20, 30)),
    Target("F", Measure.CPU, 0.7, "dnsmasq", below=True),
    Target("G", Measure.P50, 1.3, "dnsmasq", below=True),
    Target("H1", Measure.RATE, 0.5, OURS, base="A"),
    Target("H1", Measure.RATE, 3, "tftpd-hpa", base="A"),
    Target("H2", Measure.RATE, 0.9, OURS, base="A"),
    Target("R", Measure.RATE, 4000),
    Target("I1", Measure.RATE, 0.9, "starlette"),
    Target("I2", Measure.RATE, 0.9, "starlette"),
    Target("I1", Measure.RATE, 2, "twisted.web"),
    Target("I2", Measure.RATE, 1.4, "twisted.web"),
)
"""The limit of C (``ctftp``) is no peer: it is never the best one."""
