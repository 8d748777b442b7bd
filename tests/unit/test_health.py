"""Readiness: fresh, stale or missing sources, and what that makes of the instance."""

from __future__ import annotations

import pytest

from era_ap.health import Condition, Looks, Need, Phase, Source, Verdict, judge, source_of

FRESH, STALE, MISSING = Condition.FRESH, Condition.STALE, Condition.MISSING


def storage(condition: Condition = FRESH) -> Source:
    return Source("storage", condition, None if condition is MISSING else 1.0, need=Need.ALL)


def directory(condition: Condition = FRESH, name: str = "directory") -> Source:
    return Source(name, condition, None if condition is MISSING else 2.0, need=Need.SOME)


def zookeeper(condition: Condition = FRESH) -> Source:
    return Source("zookeeper", condition, None if condition is MISSING else 61.4, detail="no contact")


@pytest.mark.parametrize(
    ("sources", "verdict"),
    [
        ((), Verdict.READY),
        ((storage(), directory(), zookeeper()), Verdict.READY),
        ((storage(STALE), directory(), zookeeper()), Verdict.DEGRADED),
        ((storage(), directory(STALE), zookeeper()), Verdict.DEGRADED),
        ((storage(), directory(), zookeeper(STALE)), Verdict.DEGRADED),
        ((storage(), directory(), zookeeper(MISSING)), Verdict.DEGRADED),
        ((storage(STALE), directory(STALE), zookeeper(STALE)), Verdict.DEGRADED),
        ((storage(MISSING), directory(), zookeeper()), Verdict.NOT_READY),
        ((storage(), directory(MISSING), zookeeper()), Verdict.NOT_READY),
        ((storage(), directory(MISSING), directory(FRESH, "sql")), Verdict.DEGRADED),
        ((storage(), directory(MISSING), directory(STALE, "sql")), Verdict.DEGRADED),
        ((storage(), directory(MISSING), directory(MISSING, "sql")), Verdict.NOT_READY),
    ],
)
def test_the_verdict_of_a_running_process(sources: tuple[Source, ...], verdict: Verdict) -> None:
    assert judge(Phase.RUNNING, sources).verdict is verdict


@pytest.mark.parametrize("condition", list(Condition))
def test_before_it_answers_and_while_it_stops_it_serves_nobody(condition: Condition) -> None:
    sources = (storage(condition), directory(), zookeeper())
    assert judge(Phase.STARTING, sources).verdict is Verdict.STARTING
    assert judge(Phase.STOPPING, sources).verdict is Verdict.STOPPING


def test_only_ready_and_degraded_serve() -> None:
    assert [verdict.word for verdict in Verdict if verdict.serves] == ["ready", "degraded"]


def test_what_is_not_fresh_is_told_with_its_age() -> None:
    health = judge(Phase.RUNNING, (storage(), directory(STALE), zookeeper(MISSING)))
    assert health.reasons == ("directory is stale (2 s old)", "zookeeper is missing: no contact")
    assert judge(Phase.STOPPING, (directory(STALE),)).reasons == (
        "the process was told to stop", "directory is stale (2 s old)",
    )  # fmt: skip


def test_the_document_of_readyz() -> None:
    assert judge(Phase.RUNNING, (storage(), zookeeper(STALE))).document() == {
        "status": "degraded",
        "reasons": ["zookeeper is stale (61 s old): no contact"],
        "sources": {
            "storage": {"state": "fresh", "age_seconds": 1.0},
            "zookeeper": {"state": "stale", "age_seconds": 61.4, "detail": "no contact"},
        },
    }


@pytest.mark.parametrize(
    ("looks", "now", "condition", "age", "detail"),
    [
        (Looks(None), 3.0, MISSING, None, "not read yet"),
        (Looks(None, "refused"), 3.0, MISSING, None, "refused"),
        (Looks(100.0), 100.4, FRESH, 0.4, ""),
        (Looks(100.0), 105.0, FRESH, 5.0, ""),
        (Looks(100.0), 105.1, STALE, 5.1, "does not answer"),
        (Looks(100.0, "gone"), 100.5, STALE, 0.5, "gone"),
        (Looks(100.1), 100.0, FRESH, 0.0, ""),
        (Looks(None, "", 40.0), 103.0, STALE, 63.0, "as an earlier process knew it"),
        (Looks(None, "gone", 40.0), 103.0, STALE, 63.0, "gone"),
        (Looks(102.0, "", 40.0), 103.0, FRESH, 1.0, ""),
    ],
)
def test_looks_become_a_source(
    looks: Looks, now: float, condition: Condition, age: float | None, detail: str
) -> None:
    source = source_of("storage", looks, now, need=Need.ALL, patience=5.0)
    assert (source.condition, source.detail, source.need) == (condition, detail, Need.ALL)
    assert source.age == (age if age is None else pytest.approx(age))
