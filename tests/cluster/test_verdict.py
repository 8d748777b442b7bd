"""The counting of a fault run can fail: losses, gaps, doubles and two leaders are found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.verdict import Verdict, judge

NAMES = {"10.0.0.1": "ap1", "10.0.0.2": "ap2"}


def stream(seconds: float = 20.0, **changes: Any) -> list[dict[str, Any]]:
    """Ten phones a second that get everything at once from ap1; ``changes`` by the number of the phone."""
    events: list[dict[str, Any]] = []
    for number in range(int(seconds * 10)):
        at, call = number / 10, f"c{number}"
        changed = changes.get(call, {})
        events.append(
            {"t": at, "kind": "tftp", "began": at, "ok": True, "failures": [], **changed.get("file", {})}
        )
        events.append({"t": at, "kind": "subscribe", "call": call})
        server = changed.get("server", "10.0.0.1")
        if server:
            notify = {"t": at + changed.get("late", 0.01), "kind": "notify", "call": call, "server": server}
            events += [notify | {"branch": f"b{number}"}] * 2
        if "second" in changed:
            events.append(
                {"t": at + 0.02, "kind": "notify", "call": call, "server": changed["second"], "branch": "x"}
            )
    return sorted(events, key=lambda event: event["t"])


def verdict(**changes: Any) -> Verdict:
    return judge(stream(**changes), 4.95, 19.95, NAMES)


def test_a_quiet_time() -> None:
    found = verdict()
    assert (found.files, found.lost, found.retried, found.unanswered) == (150, 0, 0, 0)
    assert (found.subscribes, found.notifies, found.leaders, found.moves) == (90, 1, 1, ("ap1",))
    assert found.gap == pytest.approx(0.1, abs=0.02)


def test_files_that_were_lost_or_had_to_be_asked_for_again() -> None:
    found = verdict(
        c60={"file": {"ok": False, "failures": ["ap1: 503"]}}, c70={"file": {"failures": ["ap1: x"]}}
    )
    assert (found.lost, found.retried, found.losses) == (1, 2, ("tftp ['ap1: 503']",))


def test_silence_and_late_answers() -> None:
    silent = {f"c{number}": {"server": ""} for number in range(80, 120)}
    found = verdict(**silent)
    assert found.unanswered == 40
    assert found.gap == pytest.approx(4.1, abs=0.02)
    late = {f"c{number}": {"late": 12.0 - number / 10} for number in range(80, 120)}
    found = verdict(**late)
    assert found.unanswered == 0
    assert found.gap == pytest.approx(4.1, abs=0.02)


def test_a_double_and_a_change_of_leader_and_two_at_one_time() -> None:
    assert verdict(c90={"second": "10.0.0.2"}).notifies == 2
    after = {f"c{number}": {"server": "10.0.0.2"} for number in range(100, 200)}
    found = verdict(**after)
    assert (found.leaders, found.moves, found.notifies) == (1, ("ap1", "ap2"), 1)
    found = verdict(**(after | {"c102": {"server": "10.0.0.1"}}))
    assert (found.leaders, found.moves) == (2, ("ap1", "ap2", "ap1", "ap2"))
