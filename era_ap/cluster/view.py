"""What is known of the cluster at one moment: members, leaders, terms, and what the last leader relies on.

Owns the records that stand in ZooKeeper as JSON and their paths below the site. Does not own reading or
writing them (``coordination``) nor any decision (``election``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final, TypeVar

MEMBERS: Final = "members"
GROUPS: Final = "groups"


def member_path(name: str) -> str:
    """Ephemeral: a ``Member``."""
    return f"{MEMBERS}/{name}"


def leader_path(group: int) -> str:
    """Ephemeral: a ``Holder``."""
    return f"{GROUPS}/{group}/leader"


def epoch_path(group: int) -> str:
    """Persistent: the ``Epoch``; each new leader writes it in the transaction that makes it the leader."""
    return f"{GROUPS}/{group}/epoch"


def beat_path(group: int) -> str:
    """Persistent: written with each heartbeat of the leader; only its version matters."""
    return f"{GROUPS}/{group}/beat"


def failsafe_path(group: int) -> str:
    """Persistent: the ``Claim`` of the last leader."""
    return f"{GROUPS}/{group}/failsafe"


@dataclass(frozen=True, slots=True)
class Member:
    """One running instance. ``why`` says what makes it unfit to lead, "" if it is fit; ``settled`` that it
    was registered and fit without a break for the hold-down time.

    ``identity`` stays the same when the instance starts again with its local state, ``instance`` is another
    one for each process. ``revision`` is that of the templates in service, ``peer`` the "address:port" where
    other instances reach it, ``phones`` the addresses that phones do, ``since`` the wall clock at its start.
    ``session`` owns the node and is not part of its data.
    """

    name: str
    group: int
    order: int
    identity: str
    instance: str
    why: str = ""
    settled: bool = False
    version: str = ""
    revision: str = ""
    host: str = ""
    peer: str = ""
    phones: tuple[str, ...] = ()
    since: float = 0.0
    session: int = 0

    @property
    def key(self) -> str:
        """Name and identity in one: another host that took over the name has another key."""
        return f"{self.name}/{self.identity}"

    @property
    def fit(self) -> bool:
        """Whether it may lead while others could."""
        return not self.why

    def to_json(self) -> bytes:
        """The data of its node."""
        known = asdict(self)
        del known["session"]
        return _dump(known | {"fit": self.fit})


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the leader node of a group: name and instance of a member, the number of its term."""

    name: str
    instance: str
    number: int
    session: int = 0

    def to_json(self) -> bytes:
        """The data of the leader node."""
        return _dump({"name": self.name, "instance": self.instance, "number": self.number})


@dataclass(frozen=True, slots=True)
class Epoch:
    """The term that began last. ``number`` rises with each term, even if ZooKeeper is emptied in between;
    ``lease``: how many seconds the leader may act after each heartbeat. ``version`` is that of the node,
    which fenced writes check, ``zxid`` that of its last change.
    """

    number: int
    leader: str = ""
    lease: float = 0.0
    version: int = 0
    zxid: int = 0

    def to_json(self) -> bytes:
        """The data of the node."""
        return _dump({"number": self.number, "leader": self.leader, "lease": self.lease})


@dataclass(frozen=True, slots=True)
class Claim:
    """Whom the last leader asks before it acts without ZooKeeper (failsafe): the keys of the other members.

    While ``relies`` is not empty only these and the leader itself may take over; released it is empty.
    """

    leader: str = ""
    relies: frozenset[str] = frozenset()
    version: int = 0

    def admits(self, key: str) -> bool:
        """Whether the member of this key may take over from the leader."""
        return not self.relies or key == self.leader or key in self.relies

    def names(self, name: str) -> bool:
        """Whether a member called ``name`` is the leader or relied on."""
        return any(key.rpartition("/")[0] == name for key in (self.leader, *self.relies))

    def to_json(self) -> bytes:
        """The data of the node."""
        return _dump({"leader": self.leader, "relies": sorted(self.relies)})


@dataclass(frozen=True, slots=True)
class Term:
    """A term of leadership: its group and leader, and what the ``Epoch`` says of it."""

    group: int
    leader: str
    number: int
    lease: float
    version: int
    zxid: int


@dataclass(frozen=True, slots=True)
class Group:
    """One group as read; None where there is no such node. ``beat`` is the version of that node."""

    holder: Holder | None = None
    epoch: Epoch | None = None
    claim: Claim | None = None
    beat: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Members of all groups by name, and the groups that have nodes, by number."""

    members: Mapping[str, Member] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[int, Group] = field(default_factory=lambda: MappingProxyType({}))

    def group(self, number: int) -> Group:
        """The group, empty if it has no nodes."""
        return self.groups.get(number, _NO_GROUP)

    def of_group(self, number: int) -> tuple[Member, ...]:
        """The members of one group."""
        return tuple(member for member in self.members.values() if member.group == number)


_NO_GROUP: Final = Group()


def read_member(data: bytes, session: int) -> Member | None:
    """The member of a node's data and owner; None if it is not one (another version's, or damaged)."""
    return _load(Member, data, session=session)


def read_holder(data: bytes, session: int) -> Holder | None:
    """The holder of a leader node's data and owner; None if it is not one."""
    return _load(Holder, data, session=session)


def read_epoch(data: bytes, version: int, zxid: int) -> Epoch | None:
    """The epoch of a node's data, version and last transaction; None if it is not one."""
    return _load(Epoch, data, version=version, zxid=zxid)


def read_claim(data: bytes, version: int) -> Claim | None:
    """The claim of a node's data and version; None if it is not one."""
    return _load(Claim, data, version=version)


Record = TypeVar("Record", Member, Holder, Epoch, Claim)
_MOST: Final = 1 << 63
_KINDS: Final[Mapping[str, type]] = MappingProxyType({"str": str, "int": int, "bool": bool, "float": float})


def _load(record: type[Record], data: bytes, **state: Any) -> Record | None:
    """Unknown keys are left out: a newer version may write more."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    values: dict[str, Any] = {}
    for each in fields(record):
        if each.name in document and each.name not in state:
            value = _typed(str(each.type), document[each.name])
            if value is None:
                return None
            values[each.name] = value
    try:
        return record(**values, **state)
    except TypeError:  # a key that has no default is missing
        return None


def _typed(kind: str, value: object) -> object:
    """The value of a field, None where it is of another type or a number that nothing here can be."""
    if kind in _KINDS:
        wanted = _KINDS[kind]
        if isinstance(value, int | float) and not abs(value) <= _MOST:  # NaN is not, either
            return None
        if wanted is float and type(value) is int:
            return float(value)
        return value if type(value) is wanted else None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return frozenset(value) if kind.startswith("frozenset") else tuple(value)


def _dump(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
