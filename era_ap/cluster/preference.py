"""Who should lead a group: the fit before the unfit, the settled before newcomers, then by order (spec 9).

Owns rank and hand-over as pure functions of the members; ``settled`` keeps a member that comes and goes from
moving the leadership each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from era_ap.cluster.view import Member

GRACE_SECONDS: Final = 0.5
"""What each rank gives the one before it to take over: a preferred candidate may be there and not act."""


def ahead(own: Member, members: Iterable[Member]) -> list[Member]:
    """The members that should rather lead than ``own``."""
    return [member for member in members if member.name != own.name and _place(member) < _place(own)]


def successor(leader: Member, members: Iterable[Member]) -> Member | None:
    """To whom the leader should hand over; None: to nobody.

    A fit leader gives way to a settled member of lower order, one that is not fit to any that is.
    """
    others = [member for member in members if member.name != leader.name and member.fit]
    if leader.fit:
        others = [member for member in others if member.settled and member.order < leader.order]
    return min(others, key=_place, default=None)


def _place(member: Member) -> tuple[bool, bool, int, str]:
    return not member.fit, not member.settled, member.order, member.name
