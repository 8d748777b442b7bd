"""What a rendering is given and what it gives back: shapes only.

Owns the types that cross the border of ``render``: lines, constants, the scope of names, the budget, the
result and its trace. Decides nothing, reads no clock and asks no DNS: all of that is handed in (spec 6).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from era_ap.directory.model import Account, Device
    from era_ap.errors import Problem, Refused
    from era_ap.provisioning.language import Kind, Template
    from era_ap.provisioning.layout import Layout
    from era_ap.provisioning.planner import Plans


DAEMON: Final = "the daemon"
"""The origin of constants that nobody has written."""


@dataclass(slots=True)  # not frozen, which takes far longer to make: each rendering has some
class Line:
    """One line of the phone: the account, its device element for this phone, and the line number from 1."""

    account: Account
    device: Device
    number: int


@dataclass(frozen=True, slots=True)
class ConstantSource:
    """Constants of one origin ("domain a.example.com", "site msk1"); ``values`` has dotted keys.

    ``notes`` are warnings about single constants, told only where one is used.
    """

    origin: str
    values: Mapping[str, str]
    notes: Mapping[str, Problem] | None = None


@dataclass(slots=True)  # not frozen, as above
class Scope:
    """Everything a template may refer to.

    ``templates`` finds a template in any letter case. ``bases`` are the base names tried in order for BLF and
    account templates, ``type`` that of the mask ("" without). ``lines`` has the primary one first; none: a
    common file. ``constants`` are in order of priority; ``reserved`` go before them, a ``Refused`` among them
    is raised when its placeholder is used. ``addresses`` of a name that was never asked for is None, of one
    that does not exist empty. ``required`` are fields as placeholders spell them; ``sipuser.password`` counts
    only where the account registers. ``layout`` is what models.yml says of the phone's keys and limits, None
    without; ``problems`` are warnings that were found before the filling. ``own`` are the constants
    of this phone alone, the last ones; ``plans`` those of phones that differ only in lines, reserved and own.
    """

    templates: Callable[[str], Template | None]
    bases: tuple[str, ...]
    type: str
    lines: tuple[Line, ...]
    constants: tuple[ConstantSource, ...]
    reserved: Mapping[str, str | Refused]
    addresses: Callable[[str], tuple[str, ...] | None]
    rng: random.Random
    new_id: Callable[[], str]
    missing_is_error: bool = False
    required: tuple[str, ...] = ("sipuser.login", "sipuser.password")
    is_corrected: bool = True
    layout: Layout | None = None
    problems: tuple[Problem, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    plans: Plans | None = None


@dataclass(slots=True)  # not frozen, as above
class Budget:
    """Limits of one rendering: seconds of ``clock``, expansions, bytes of output, levels of nesting."""

    clock: Callable[[], float]
    seconds: float = 0.5
    expansions: int = 10_000
    output: int = 1 << 20
    depth: int = 32


class NamesNeeded(Exception):  # noqa: N818 - a request for work, not an error
    """Host names built by placeholders are not known yet: resolve them and render again."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names


class Effect(enum.Enum):
    """What one override did to the filled file."""

    REPLACED = "replaced"
    ADDED = "added"
    REMOVED = "removed"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one override: the value before and after ("" for none) at its path."""

    path: str
    before: str
    after: str
    effect: Effect
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One expansion, or one override where ``effect`` is given; secrets are masked.

    ``placeholder`` is the placeholder or override path as written, ``where`` "file:line", ``value`` what
    stands there now ("" for files and lists, whose own entries follow), ``origin`` where it came from,
    ``depth`` the nesting.
    """

    placeholder: str
    where: str
    value: str
    origin: str
    depth: int
    before: str = ""
    effect: Effect | None = None


@dataclass(slots=True)  # not frozen, as above
class Rendering:
    """A filled and checked file; ``files`` are the templates it was made of, the root first."""

    data: bytes
    kind: Kind
    warnings: tuple[Problem, ...]
    trace: tuple[TraceEntry, ...]
    files: tuple[str, ...]
