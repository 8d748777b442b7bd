"""Several sources feed one index: whole looks are swapped, news applied, at each one's own pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine

import pytest
import structlog

from era_ap.directory import feed as feed_module
from era_ap.directory.feed import DirectoryFeed
from era_ap.directory.index import Change, Phone
from era_ap.directory.model import Account, AccountKey, Domain, read_account, read_domain
from era_ap.directory.part import Part
from era_ap.errors import Problem, Reason, Refused

A, B, C = "001565000001", "001565000002", "001565000003"


def account(domain: str, login: str, mac: str, revision: str = "r1") -> Account:
    document = {"opts": {"ap_devices": {"mac": mac, "device_model": "M"}}}
    read, _ = read_account(domain, login, document, origin=f"{domain}/{login}", revision=revision)
    assert read is not None
    return read


def domain(name: str) -> Domain:
    read, _ = read_domain(name, {}, origin=name, revision="r1")
    assert read is not None
    return read


class FakeSource:
    """A source whose looks are given: pieces, or what is raised; ``whole`` looks in a ``list``, others in a
    ``tuple``.
    """

    def __init__(self, name: str, *looks: object) -> None:
        self.name = name
        self.poll_seconds: float | None = None
        self.whole = True
        self.cursor: str | None = None
        self.looks = list(looks)
        self.asked: list[Collection[str] | None] = []
        self.wake: Callable[[], None] = lambda: None
        self.looked = asyncio.Event()
        self.between: Callable[[], None] = lambda: None

    def restore(self, cursor: str) -> None:
        self.cursor = cursor

    def on_news(self, wake: Callable[[], None]) -> None:
        self.wake = wake

    async def look(self, take: Callable[[Change], None], *, domains: Collection[str] | None = None) -> None:
        self.asked.append(domains if domains is None else sorted(domains))
        look = self.looks.pop(0) if self.looks else ()
        self.whole = isinstance(look, list)
        self.looked.set()
        for piece in look if isinstance(look, list | tuple) else (look,):
            if isinstance(piece, Exception):
                raise piece
            take(piece)
            self.between()
            await asyncio.sleep(0)

    async def close(self) -> None: ...


def feed_of(*sources: FakeSource, problems: tuple[Problem, ...] = ()) -> DirectoryFeed:
    return DirectoryFeed(sources, lambda: None, lambda: problems, interval=3600.0, log=structlog.get_logger())


def run(work: Callable[[], Coroutine[None, None, None]]) -> list[dict[str, object]]:
    with structlog.testing.capture_logs() as logged:
        asyncio.run(asyncio.wait_for(work(), 20))
    return list(logged)


def login_of(feed: DirectoryFeed, mac: str) -> str | None:
    phone = feed.index.phone_of(mac)
    return phone.lines[0][0].key.login if isinstance(phone, Phone) else None


def test_a_whole_look_comes_into_service_at_once() -> None:
    async def work() -> None:
        source = FakeSource("sql", [Change((account("a.com", "1", A),)), Change((account("a.com", "2", B),))])
        feed = feed_of(source)
        source.between = lambda: seen.append((login_of(feed, A), feed.index.is_complete))
        await feed.pollers[0].look()
        seen.append((login_of(feed, A), login_of(feed, B), feed.index.is_complete))

    seen: list[object] = []
    logged = run(work)
    assert seen == [(None, False), (None, False), ("1", "2", True)]
    assert [entry["event"] for entry in logged] == ["directory in service"]
    assert (logged[0]["changed"], logged[0]["phones"]) == (2, 2)


def test_a_whole_look_that_fails_leaves_nothing_behind() -> None:
    away = Refused(Reason.DIRECTORY_UNAVAILABLE, "gone")

    async def work() -> None:
        piece = Change((account("a.com", "1", A),))
        source = FakeSource("sql", [piece, away], [piece, Change((account("a.com", "2", B),))], [piece, away])
        feed = feed_of(source)
        for _ in range(3):
            await feed.pollers[0].look()
            seen.append((login_of(feed, A), login_of(feed, B), feed.index.is_complete))

    seen: list[object] = []
    logged = run(work)
    assert seen == [(None, None, False), ("1", "2", True), ("1", "2", True)]
    assert [entry["event"] for entry in logged] == [
        "not readable",
        "directory in service",
        "readable again",
        "not readable",
    ]


def test_news_are_applied_as_they_come() -> None:
    async def work() -> None:
        source = FakeSource(
            "sql",
            [Change((account("a.com", "1", A),))],
            (Change((account("a.com", "2", B),)), Change(removed=(AccountKey("a.com", "1"),))),
        )
        feed = feed_of(source)
        await feed.pollers[0].look()
        source.between = lambda: seen.append((login_of(feed, A), login_of(feed, B)))
        await feed.pollers[0].look()

    seen: list[object] = []
    run(work)
    assert seen == [("1", "2"), (None, "2")]


def test_what_a_later_whole_look_does_not_name_is_gone() -> None:
    async def work() -> None:
        first = Change((account("a.com", "1", A), account("b.com", "2", B)), domains=(domain("a.com"),))
        source = FakeSource("sql", [first], [Change((account("a.com", "1", A),))])
        feed = feed_of(source)
        await feed.pollers[0].look()
        await feed.pollers[0].look()
        seen.append((login_of(feed, A), login_of(feed, B), feed.index.domains))

    seen: list[object] = []
    run(work)
    assert seen == [("1", None, ())]


def test_an_empty_first_look_is_a_directory_without_phones() -> None:
    async def work() -> None:
        feed = feed_of(FakeSource("sql", []))
        await feed.pollers[0].look()
        seen.append((feed.index.is_complete, len(feed.index)))

    seen: list[object] = []
    run(work)
    assert seen == [(True, 0)]


def test_a_source_that_suddenly_hands_over_nothing_takes_nothing_away() -> None:
    async def work() -> None:
        source = FakeSource("sql", [Change((account("a.com", "1", A),))], [Change()])
        feed = feed_of(source)
        await feed.pollers[0].look()
        await feed.pollers[0].look()
        seen.append((login_of(feed, A), feed.pollers[0].looks.problem))

    seen: list[object] = []
    run(work)
    ((login, problem),) = seen
    assert login == "1"
    assert "hands over nothing" in problem


def test_one_source_that_is_away_does_not_hold_up_the_other() -> None:
    async def work() -> None:
        away = FakeSource(
            "sql", Refused(Reason.DIRECTORY_UNAVAILABLE, "down"), [Change((account("b.com", "2", B),))]
        )
        feed = feed_of(FakeSource("yaml", [Change((account("a.com", "1", A),))]), away)
        for poller in feed.pollers:
            await poller.look()
        states.append((login_of(feed, A), feed.index.why_unknown))
        looks.append({name: look.problem for name, look in feed.looks.items()})
        await feed.pollers[1].look()
        states.append((login_of(feed, B), feed.index.why_unknown))

    states: list[object] = []
    looks: list[object] = []
    logged = run(work)
    assert states == [("1", Reason.DIRECTORY_UNAVAILABLE), ("2", Reason.MAC_UNKNOWN)]
    assert looks == [{"directory yaml": "", "directory sql": "directory-unavailable: down"}]
    assert [entry.get("source") for entry in logged if entry["event"] == "directory in service"] == [
        "yaml",
        "sql",
    ]


def test_findings_about_all_sources_are_told_once() -> None:
    other = Problem(Reason.MASK_INVALID, "example.com", "bad")

    async def work() -> None:
        one = FakeSource("yaml", [Change((account("a.com", "1", A),))], ())
        two = FakeSource("sql", [Change((account("b.com", "2", A),))])
        feed = feed_of(one, two, problems=(other,))
        for poller in (*feed.pollers, feed.pollers[0]):
            await poller.look()

    logged = run(work)
    told = [entry["reason"] for entry in logged if entry["event"] == "problem"]
    assert sorted(map(str, told)) == ["mac-conflict", "mask-invalid"]


# --- pace and nudges


async def until_looked(*sources: FakeSource) -> None:
    for source in sources:
        await source.looked.wait()
        source.looked.clear()
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_nudge_makes_the_source_of_the_domain_look_there_now() -> None:
    async def work() -> None:
        one = FakeSource("yaml", [Change((account("a.com", "1", A),))])
        two = FakeSource("sql", [Change((account("b.com", "2", B),))])
        feed = feed_of(one, two)
        running = [asyncio.ensure_future(poller.run()) for poller in feed.pollers]
        await until_looked(one, two)
        feed.nudge(["a.com"])
        await until_looked(one)
        feed.nudge(["b.com", "new.com"])
        await until_looked(one, two)
        one.wake()
        await until_looked(one)
        for task in running:
            task.cancel()
        asked.append((one.asked, two.asked))

    asked: list[object] = []
    run(work)
    assert asked == [([None, ["a.com"], ["new.com"], None], [None, ["b.com", "new.com"]])]


def test_a_nudge_before_the_first_look_or_that_failed_is_not_lost() -> None:
    async def work() -> None:
        away = Refused(Reason.DIRECTORY_UNAVAILABLE, "gone")
        source = FakeSource("sql", [Change((account("a.com", "1", A),))], away, ())
        feed = feed_of(source)
        feed.nudge(["x.com"])
        await feed.pollers[0].look()
        feed.nudge(["a.com"])
        await feed.pollers[0].look()
        await feed.pollers[0].look()
        asked.append(source.asked)

    asked: list[object] = []
    run(work)
    assert asked == [[None, ["a.com"], ["a.com"]]]


def test_looks_everywhere_come_in_time_however_many_nudges_there_are() -> None:
    async def work() -> None:
        source = FakeSource("sql", [Change((account("a.com", "1", A),))])
        feed = feed_of(source)
        feed.set_interval(0.0)
        await feed.pollers[0].look()
        feed.nudge(["a.com"])
        await feed.pollers[0].look()
        asked.append(source.asked)

    asked: list[object] = []
    run(work)
    assert asked == [[None, None]]


def test_the_pace_is_the_sources_own_the_roles_or_slow() -> None:
    async def work() -> None:
        own, rare, usual = FakeSource("own"), FakeSource("rare"), FakeSource("usual")
        own.poll_seconds, rare.poll_seconds = 2.0, 60.0
        feed = feed_of(own, rare, usual)
        feed.set_interval(0.5)
        paces.append([poller.interval for poller in feed.pollers])
        feed.set_pace(fast=False)
        paces.append([poller.interval for poller in feed.pollers])
        feed.set_interval(1.0)
        feed.set_pace(fast=True)
        paces.append([poller.interval for poller in feed.pollers])

    paces: list[object] = []
    run(work)
    assert paces == [[2.0, 60.0, 0.5], [10.0, 60.0, 10.0], [2.0, 60.0, 1.0]]


def test_becoming_fast_looks_at_once() -> None:
    async def work() -> None:
        source = FakeSource("sql", [Change((account("a.com", "1", A),))])
        feed = feed_of(source)
        feed.set_pace(fast=False)
        running = asyncio.ensure_future(feed.pollers[0].run())
        await until_looked(source)
        feed.set_pace(fast=True)
        await until_looked(source)
        running.cancel()

    run(work)


# --- others who take part


def test_others_see_every_change_and_every_swap() -> None:
    async def work() -> None:
        source = FakeSource(
            "sql", [Change((account("a.com", "1", A),))], (Change((account("a.com", "2", B),)),)
        )
        feed = feed_of(source)
        apply = feed.apply

        def seen_first(change: Change, name: str) -> None:
            seen.append((name, [each.key.login for each in change.accounts], login_of(feed, B)))
            apply(change, name)

        feed.apply = seen_first
        feed.on_replaced = lambda: seen.append(("swapped", login_of(feed, A)))
        await feed.pollers[0].look()
        await feed.pollers[0].look()
        assert login_of(feed, B) == "2"

    seen: list[object] = []
    run(work)
    assert seen == [("swapped", "1"), ("sql", ["2"], None)]


# --- what an earlier process knew


@pytest.mark.parametrize("complete", [True, False])
def test_what_was_known_is_served_until_a_look_succeeds(complete: bool) -> None:
    async def work() -> None:
        away = Refused(Reason.DIRECTORY_UNAVAILABLE, "down")
        source = FakeSource("sql", away, [Change((account("a.com", "1", A), account("a.com", "3", C)))])
        feed = feed_of(source)
        part = Part()
        part.apply(Change((account("a.com", "1", A), account("a.com", "2", B))))
        feed.restored(source, part, -100.0, complete=complete)
        states.append((login_of(feed, A), feed.index.is_complete, feed.looks["directory"].restored_at))
        await feed.pollers[0].look()
        states.append((login_of(feed, A), login_of(feed, B)))
        await feed.pollers[0].look()
        states.append((login_of(feed, B), login_of(feed, C), feed.index.is_complete))

    states: list[object] = []
    run(work)
    assert states == [("1", complete, -100.0), ("1", "2"), (None, "3", True)]


def test_a_restored_source_may_go_on_with_news_only() -> None:
    async def work() -> None:
        source = FakeSource("sql", (Change((account("a.com", "2", B),)),))
        feed = feed_of(source)
        part = Part()
        part.apply(Change((account("a.com", "1", A),)))
        feed.restored(source, part, -100.0, complete=True)
        await feed.pollers[0].look()
        states.append((login_of(feed, A), login_of(feed, B)))

    states: list[object] = []
    run(work)
    assert states == [("1", "2")]


def test_what_is_there_and_cannot_be_read_stays_as_it_was_known() -> None:
    """A restart with a broken file, and with a folder that cannot be read, takes no phone away."""

    async def work() -> None:
        unknown = (AccountKey("a.com", "1"), "a.com", AccountKey("a.com", "never"))
        source = FakeSource(
            "yaml",
            [Change((account("a.com", "9", "000000000009"),), unknown=unknown), Change(lost=("b.com",))],
        )
        feed = feed_of(source)
        part = Part()
        settings, _ = read_domain("a.com", {"settings": {"x": "y"}}, origin="a.com", revision="r7")
        assert settings is not None
        part.apply(
            Change(
                (account("a.com", "1", A), account("b.com", "2", B), account("a.com", "gone", C)),
                domains=(settings, domain("b.com")),
            )
        )
        feed.restored(source, part, -100.0, complete=True)
        await feed.pollers[0].look()
        states.append((login_of(feed, A), login_of(feed, B), login_of(feed, C), len(feed.index)))
        states.append((feed.index.domains, feed.index.domain("a.com").revision))  # type: ignore[union-attr]

    states: list[object] = []
    run(work)
    assert states == [("1", "2", None, 3), (("a.com", "b.com"), "r7")]


def test_a_swap_lets_the_loop_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "SLICE_SECONDS", 0.0)

    async def work() -> None:
        many = [account("a.com", f"{number:05}", f"{number:012x}") for number in range(1, 3000)]
        source = FakeSource("sql", [Change(tuple(many))], [Change(tuple(many))])
        feed = feed_of(source, FakeSource("other", [Change()]))
        await feed.pollers[0].look()
        looking = asyncio.ensure_future(feed.pollers[0].look())
        while not looking.done():
            turns.append(1)
            await asyncio.sleep(0)

    turns: list[int] = []
    run(work)
    assert len(turns) > 20
