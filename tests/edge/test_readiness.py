"""From what the parts say to sources of readiness, and whether an instance is fit to lead."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from era_ap.cluster.contract import SessionState
from era_ap.cluster.coordinator import Status
from era_ap.cluster.mac_cache import GroupStatus
from era_ap.health import Condition, Looks, Need, Phase, Source, Verdict
from era_ap.readiness import (
    LAG_SECONDS,
    Readiness,
    cache_sources,
    pnp_source,
    read_sources,
    unfit,
    zookeeper_source,
)
from era_ap.sip.wire import Status as PnpStatus

FRESH, STALE, MISSING = Condition.FRESH, Condition.STALE, Condition.MISSING
CONNECTED = Status(
    name="ap1", group=1, session=SessionState.CONNECTED, session_id=5, registered=True, leader="ap1",
    acts=True, failsafe=False, contact_age=0.2,
)  # fmt: skip
HEARS = PnpStatus(("eth0",), 40000, "")
GROUP = GroupStatus(
    1, shown=True, age=0.0, term=7, epoch=1, written=0, macs=3, domains=1, bytes=100, damaged=0
)


@pytest.mark.parametrize(
    ("change", "condition", "age", "detail"),
    [
        ({}, FRESH, 0.2, ""),
        ({"registered": False, "problem": "the name is taken"}, STALE, 0.2, "the name is taken"),
        ({"session": SessionState.SUSPENDED, "contact_age": 7.0}, STALE, 7.0, "no contact"),
        ({"session": SessionState.LOST, "contact_age": None}, MISSING, None, "no contact"),
        (
            {"registered": False, "contact_age": None},
            MISSING,
            None,
            "our name is not registered; the log says why",
        ),
    ],
)
def test_zookeeper(change: dict, condition: Condition, age: float | None, detail: str) -> None:
    assert zookeeper_source(replace(CONNECTED, **change)) == Source("zookeeper", condition, age, detail)


def test_alone_there_is_no_zookeeper() -> None:
    assert zookeeper_source(replace(CONNECTED, session=None)) is None


def test_each_group_of_the_mac_cache_is_a_source() -> None:
    groups = [
        GROUP,
        replace(GROUP, group=2, shown=False, age=12.0),
        replace(GROUP, group=3, shown=False, age=None),
    ]
    found = [(each.name, each.condition, each.age) for each in cache_sources(groups)]
    assert found == [
        ("mac cache of group 1", FRESH, 0.0),
        ("mac cache of group 2", STALE, 12.0),
        ("mac cache of group 3", MISSING, None),
    ]


@pytest.mark.parametrize(
    ("status", "condition"),
    [
        (HEARS, FRESH),
        (PnpStatus(("eth0",), 40000, "interface eth1: no"), STALE),
        (PnpStatus((), 0, "224.0.1.75:5060: Address already in use"), MISSING),
        (PnpStatus((), 0, ""), MISSING),
    ],
)
def test_pnp(status: PnpStatus, condition: Condition) -> None:
    assert pnp_source(status).condition is condition


def test_what_lacks_without_a_source() -> None:
    looks = {"storage": Looks(1.0), "yaml:/srv/d": Looks(1.0)}
    assert [each.need for each in read_sources(looks, 2.0)] == [Need.ALL, Need.SOME]


# --- fitness


def sources(storage: Condition = FRESH, directory: Condition = FRESH) -> list[Source]:
    return [
        Source("storage", storage, 1.0, "does not answer", Need.ALL),
        Source("directory", directory, 1.0, "refused", Need.SOME),
        Source("zookeeper", STALE, 1.0, "no contact"),
    ]


@pytest.mark.parametrize(
    ("known", "pnp", "lag", "why"),
    [
        (sources(), HEARS, 0.0, None),
        (sources(), HEARS, LAG_SECONDS - 0.01, None),
        (sources(), None, 0.0, "PnP is off (ext.pnp.enabled)"),
        (sources(), PnpStatus((), 0, "5060: taken"), 0.0, "PnP hears no phones: 5060: taken"),
        (sources(), PnpStatus(("eth0",), 1, "eth1: no"), 0.0, None),
        (sources(storage=STALE), HEARS, 0.0, "storage is stale: does not answer"),
        (sources(directory=MISSING), HEARS, 0.0, "directory is missing: refused"),
        (sources(), HEARS, 2.26, "the event loop was held up for 2.3 s"),
    ],
)
def test_who_is_fit_to_lead(known: list[Source], pnp: PnpStatus | None, lag: float, why: str | None) -> None:
    assert unfit(known, pnp, lag) == why


# --- one process


class Parts:
    """The parts of a process, as they answer now."""

    def __init__(self) -> None:
        self.now = 100.0
        self.looks = {"storage": Looks(100.0), "directory": Looks(100.0)}
        self.state: Looks | None = Looks(100.0)
        self.cluster: Status | None = CONNECTED
        self.pnp: PnpStatus | None = HEARS
        self.lag = 0.0
        self.readiness = Readiness(
            lambda: self.now,
            looks=lambda: self.looks,
            state=lambda: self.state,
            cluster=lambda: self.cluster,
            groups=lambda: (GROUP,),
            pnp=lambda: self.pnp,
            lag=lambda _now: self.lag,
        )
        self.readiness.phase = Phase.RUNNING


def test_all_well() -> None:
    health = Parts().readiness.health()
    assert health.verdict is Verdict.READY
    assert [source.name for source in health.sources] == [
        "storage", "directory", "zookeeper", "mac cache of group 1", "pnp", "local state",
    ]  # fmt: skip


def test_it_begins_as_starting() -> None:
    parts = Parts()
    fresh = Readiness(
        lambda: 0.0, looks=dict, state=lambda: None, cluster=lambda: None, groups=tuple, pnp=lambda: None,
        lag=lambda _: 0.0,
    )  # fmt: skip
    assert fresh.health().verdict is Verdict.STARTING
    parts.readiness.phase = Phase.STOPPING
    assert parts.readiness.health().verdict is Verdict.STOPPING


def test_alone_and_without_pnp_or_state_nothing_is_missed() -> None:
    parts = Parts()
    parts.cluster, parts.pnp, parts.state = replace(CONNECTED, session=None), None, None
    health = parts.readiness.health()
    assert health.verdict is Verdict.READY
    assert [source.name for source in health.sources] == ["storage", "directory"]


@pytest.mark.parametrize("change", ["zookeeper", "pnp", "state", "storage"])
def test_one_thing_away_is_degraded(change: str) -> None:
    parts = Parts()
    if change == "zookeeper":
        parts.cluster = replace(CONNECTED, session=SessionState.SUSPENDED)
    elif change == "pnp":
        parts.pnp = PnpStatus((), 0, "taken")
    elif change == "state":
        parts.state = Looks(100.0, "No space left on device")
    else:
        parts.looks["storage"] = Looks(100.0, "gone")
    health = parts.readiness.health()
    assert health.verdict is Verdict.DEGRADED
    assert len(health.reasons) == 1


def test_the_cluster_hears_of_each_change_of_fitness_once() -> None:
    parts, told = Parts(), []

    async def run() -> None:
        telling = asyncio.ensure_future(parts.readiness.tell_fitness(told.append))
        for pnp in (HEARS, HEARS, None, None, HEARS):
            parts.pnp = pnp
            await asyncio.sleep(0.01)
        telling.cancel()

    from era_ap import readiness

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readiness, "FITNESS_SECONDS", 0.0)
        asyncio.run(run())
    assert told == [None, "PnP is off (ext.pnp.enabled)", None]
