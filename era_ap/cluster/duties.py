"""What an instance does, pauses or stops, by the state of its session and its standing in the group (spec 9).

Owns one table and nothing else: each duty says what lost contact means for it. Does not own how a standing
comes about (``election``).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from era_ap.cluster.contract import SessionState


class Standing(enum.Enum):
    """Our place in the group at this moment."""

    FOLLOWER = "follower"
    """Another leads, or nobody."""
    LEADER = "leader"
    """We hold the term and the lease runs."""
    CUT = "cut"
    """We held the term when the contact went; not every other member has confirmed that it is cut off too."""
    BACKED = "backed"
    """We held the term when the contact went, and every other member keeps silent for us (failsafe)."""
    LEAVING = "leaving"
    """The process is about to end."""


class Duty(enum.Enum):
    """Something the daemon does all the time."""

    FILES = "serve files by TFTP and HTTP"
    HEAR = "hear and remember SUBSCRIBEs"
    ANSWER = "answer PnP and tell the others what is being answered"
    PUBLISH = "write the group's part of the MAC cache"
    SCAN_FAST = "look at the directory often"
    RUN = "be a candidate"
    CONTACT = "keep in contact with ZooKeeper, and renew the lease"
    ASK = "ask the others to keep silent"
    PROMISE = "promise to keep silent"


class Verdict(enum.Enum):
    """ACT: do it. PAUSE: not now, but stay ready, nobody else does it in our place. STOP: it is not ours."""

    ACT = "act"
    PAUSE = "pause"
    STOP = "stop"


_ACT, _PAUSE, _STOP = Verdict.ACT, Verdict.PAUSE, Verdict.STOP
_CONNECTED, _SUSPENDED, _LOST = SessionState
_ALWAYS: Final = (_ACT, _ACT, _ACT, _ACT, _STOP)
_IN_CONTACT: Final = (_STOP, _ACT, _PAUSE, _PAUSE, _STOP)
_WITHOUT: Final = (_STOP, _PAUSE, _PAUSE, _PAUSE, _STOP)
_BY_LEAVE: Final = (_STOP, _PAUSE, _PAUSE, _ACT, _STOP)
_NEVER: Final = (_STOP, _STOP, _STOP, _STOP, _STOP)

# By duty and state of the session: verdicts for FOLLOWER, LEADER, CUT, BACKED and LEAVING, in this order.
_TABLE: Final[Mapping[Duty, Mapping[SessionState, tuple[Verdict, ...]]]] = MappingProxyType({
    Duty.FILES: {_CONNECTED: _ALWAYS, _SUSPENDED: _ALWAYS, _LOST: _ALWAYS},
    Duty.HEAR: {_CONNECTED: _ALWAYS, _SUSPENDED: _ALWAYS, _LOST: _ALWAYS},
    Duty.ANSWER: {_CONNECTED: _IN_CONTACT, _SUSPENDED: _BY_LEAVE, _LOST: _BY_LEAVE},
    Duty.PUBLISH: {_CONNECTED: _IN_CONTACT, _SUSPENDED: _WITHOUT, _LOST: _WITHOUT},
    # A follower in contact has the leader's cache to tell it what changed; without contact it has not.
    Duty.SCAN_FAST: {
        _CONNECTED: (_PAUSE, _ACT, _ACT, _ACT, _STOP),
        _SUSPENDED: _ALWAYS,
        _LOST: _ALWAYS,
    },
    Duty.RUN: {_CONNECTED: (_ACT, _STOP, _STOP, _STOP, _STOP), _SUSPENDED: _NEVER, _LOST: _NEVER},
    Duty.CONTACT: {_CONNECTED: _ALWAYS, _SUSPENDED: _NEVER, _LOST: _NEVER},
    Duty.ASK: {
        _CONNECTED: _NEVER,
        _SUSPENDED: (_STOP, _ACT, _ACT, _ACT, _STOP),
        _LOST: (_STOP, _ACT, _ACT, _ACT, _STOP),
    },
    # Who promises to a later leader gives up its own term first, so even a backed leader may.
    Duty.PROMISE: {_CONNECTED: _NEVER, _SUSPENDED: _ALWAYS, _LOST: _ALWAYS},
})  # fmt: skip

_COLUMN: Final[Mapping[Standing, int]] = MappingProxyType({each: at for at, each in enumerate(Standing)})


def verdict(duty: Duty, state: SessionState, standing: Standing) -> Verdict:
    """What becomes of ``duty`` now."""
    return _TABLE[duty][state][_COLUMN[standing]]


def acts(duty: Duty, state: SessionState, standing: Standing) -> bool:
    """Whether ``duty`` is done now."""
    return verdict(duty, state, standing) is Verdict.ACT
