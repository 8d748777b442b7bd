"""The machine, step by step: what it writes in which situation, and what it believes.

Whole courses of events are in tests/faults (test_cluster_scenarios, test_cluster_schedules).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from era_ap.cluster.contract import Create, Operation, Put, SessionState
from era_ap.cluster.duties import Duty, Standing
from era_ap.cluster.election import Election
from era_ap.cluster.failsafe import PROMISE_SECONDS, Answer, Ask
from era_ap.cluster.moves import Action, Beat, Led, Look, Peek, Purpose, Question, Result, Stopped, Write
from era_ap.cluster.situation import Policy
from era_ap.cluster.view import (
    Claim,
    Epoch,
    Group,
    Holder,
    Member,
    View,
    beat_path,
    epoch_path,
    failsafe_path,
    leader_path,
    member_path,
)

T = 6.0
SESSION = 100
OWN = Member("ap2", 1, 2, "id2", "process2")
FIRST = Member("ap1", 1, 1, "id1", "process1", session=1)
THIRD = Member("ap3", 1, 3, "id3", "process3", session=3)
PATHS = {leader_path(1): "leader", epoch_path(1): "epoch", failsafe_path(1): "failsafe", beat_path(1): "beat"}


def words(operations: tuple[Operation, ...]) -> list[str]:
    """ "create leader", "put epoch 3": operations in short."""
    found = []
    for each in operations:
        version = "" if isinstance(each, Create) else f" {each.version}"
        found.append(f"{type(each).__name__.lower()} {PATHS.get(each.path, each.path)}{version}")
    return found


@dataclass
class Desk:
    """A machine, its clock, and what it is told."""

    now: float = 1000.0
    group: Group = field(default_factory=Group)
    members: tuple[Member, ...] = ()
    session: int = SESSION
    actions: list[Action] = field(default_factory=list)
    wanted: int = 0

    def __post_init__(self) -> None:
        self.machine = Election(OWN, Policy(hold_down_seconds=30.0, first_number=50), self.now)

    @property
    def situation(self) -> object:
        return self.machine.situation

    def connect(self, session: int = SESSION) -> Desk:
        self.session = session
        self.machine.observe(SessionState.CONNECTED, session, T, self.now)
        return self

    def suspend(self) -> Desk:
        self.machine.observe(SessionState.SUSPENDED, self.session, T, self.now)
        return self

    def look(self, *, registered: bool = True) -> Desk:
        """The look that is wanted ends."""
        own = (replace(self.machine.situation.own, session=self.session),) if registered else ()
        view = View({each.name: each for each in (*self.members, *own)}, {1: self.group})
        self.gather()
        self.machine.looked(view, self.wanted, self.session, self.now)
        return self

    def gather(self) -> None:
        """Take what the machine wants, to be shown later."""
        new = self.machine.actions()
        self.actions += new
        self.wanted = max([self.wanted, *(each.number for each in new if isinstance(each, Look))])

    def wait(self, seconds: float) -> Desk:
        """Time passes, and the machine is called whenever it wants to be."""
        end = self.now + seconds
        while (due := self.machine.next_deadline(self.now)) < end:
            self.now = max(self.now, due)
            self.machine.handle_timer(self.now)
            self.gather()
            self.now += 0.001
        self.now = end
        self.machine.handle_timer(self.now)
        return self

    def take(self) -> list[Action]:
        self.gather()
        found, self.actions = self.actions, []
        return found

    def write(self) -> Write:
        """The one transaction that is wanted."""
        (found,) = [each for each in self.take() if isinstance(each, Write)]
        return found

    def live(self, seconds: int) -> list[Write]:
        """Look every second and write what is to be said about us; the other transactions that are wanted."""
        found: list[Write] = []
        for _ in range(seconds):
            self.wait(1).look()
            for write in [each for each in self.take() if isinstance(each, Write)]:
                if write.purpose is Purpose.REGISTER:
                    self.end(write).look()
                else:
                    found.append(write)
        return found

    def no_write(self) -> None:
        assert [each for each in self.take() if isinstance(each, Write)] == []

    def end(self, write: Write, result: Result = Result.DONE) -> Desk:
        self.machine.committed(write, result, self.now, self.now)
        return self

    @property
    def acts(self) -> bool:
        return self.machine.situation.acts(Duty.ANSWER, self.now)


def epoch(number: int = 60, version: int = 4) -> Epoch:
    return Epoch(number, "ap1", 4.0, version, zxid=900)


def leading(*, members: tuple[Member, ...] = (FIRST, THIRD), claim: Claim | None = None) -> Desk:
    """ap2 leads in term 61; its claim relies on the others."""
    desk = Desk(members=members, group=Group(None, epoch(), Claim(version=7), beat=20))
    desk.machine.situation.own = replace(OWN, order=0)
    desk.connect().wait(2).look().wait(0.1)
    desk.end(desk.write())
    relies = frozenset(member.key for member in members)
    desk.group = Group(
        Holder("ap2", "process2", 61, SESSION),
        Epoch(61, "ap2", 4.0, 5, zxid=950),
        claim or Claim("ap2/id2", relies, 8),
        beat=21,
    )
    desk.look()
    assert desk.acts
    desk.take()
    return desk


# --- registering


def test_it_looks_first_and_registers_then() -> None:
    desk = Desk().connect()
    assert [type(each) for each in desk.take()] == [Look, Peek]
    write = desk.look(registered=False).write()
    assert (write.purpose, write.session) == (Purpose.REGISTER, SESSION)
    assert write.operations == (Create(member_path("ap2"), OWN.to_json(), ephemeral=True),)
    desk.look(registered=False).no_write()  # one at a time
    desk.end(write)
    assert [type(each) for each in desk.take()] == [Look]


def test_what_was_read_in_another_session_does_not_count() -> None:
    desk = Desk().connect()
    desk.take()
    desk.machine.looked(View(), 99, SESSION - 1, desk.now)
    desk.no_write()


def test_a_look_that_began_before_our_own_write_does_not_count() -> None:
    desk = Desk().connect()
    write = desk.look(registered=False).write()
    desk.end(write)
    desk.machine.looked(View(), 1, SESSION, desk.now)
    desk.no_write()


def test_the_node_of_an_earlier_session_of_this_process_is_replaced() -> None:
    desk = Desk(members=(replace(OWN, session=55),)).connect()
    write = desk.look(registered=False).write()
    assert words(write.operations) == ["delete members/ap2 -1", "create members/ap2"]


def test_the_node_of_another_process_is_left_alone() -> None:
    desk = Desk(members=(replace(OWN, instance="another", session=55),)).connect()
    desk.look(registered=False).wait(60).no_write()
    assert desk.machine.situation.taken_at is not None


def test_what_changes_about_us_is_written() -> None:
    desk = Desk(members=(FIRST,), group=Group(Holder("ap1", "process1", 60, 1), epoch())).connect().look()
    desk.take()
    desk.machine.change(desk.now, why="port 5060 is taken")
    write = desk.write()
    assert words(write.operations) == ["put members/ap2 -1"]
    assert write.operations[0].data == replace(OWN, why="port 5060 is taken").to_json()  # type: ignore[union-attr]


def test_settled_is_who_was_there_and_fit_for_the_hold_down() -> None:
    desk = Desk(members=(FIRST,), group=Group(Holder("ap1", "process1", 60, 1), epoch())).connect().look()
    desk.wait(29).look()
    assert not desk.machine.situation.own.settled
    desk.wait(2)
    assert desk.machine.situation.own.settled
    desk.machine.change(desk.now, why="x")
    assert not desk.machine.situation.own.settled
    desk.machine.change(desk.now, why="")
    assert not desk.wait(29).machine.situation.own.settled
    desk.connect(SESSION + 1).look().wait(2)
    assert not desk.machine.situation.own.settled


def test_failed_transactions_are_repeated_at_ever_longer_pauses() -> None:
    desk = Desk().connect()
    desk.look(registered=False)
    times = []
    for _ in range(8):
        while not (writes := [each for each in desk.take() if isinstance(each, Write)]):
            desk.look(registered=False).wait(0.01)
        times.append(desk.now)
        desk.end(writes[0], Result.REFUSED)
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.1
    assert 0.9 < pauses[-1] < 1.1


# --- taking over


def test_the_transaction_that_begins_a_term() -> None:
    desk = Desk(members=(THIRD,), group=Group(None, epoch(), Claim(version=7), beat=20)).connect()
    write = desk.wait(2).look().write()
    assert write.purpose is Purpose.TAKE
    assert words(write.operations) == ["create leader", "put epoch 4", "put failsafe 7", "put beat 20"]
    assert write.operations[0] == Create(leader_path(1), Holder("ap2", "process2", 61).to_json(), True)
    assert (write.number, write.lease, write.relies) == (61, 4.0, frozenset({"ap3/id3"}))


def test_what_is_not_there_is_created() -> None:
    desk = Desk().connect().look().wait(10)
    assert words(desk.write().operations) == [
        "create leader",
        "create epoch",
        "create failsafe",
        "create beat",
    ]


def test_numbers_rise_above_the_first_and_all_that_is_known() -> None:
    low = Desk(group=Group(None, epoch(3), Claim(), beat=0)).connect().wait(2).look().write()
    assert low.number == 50
    desk = Desk(group=Group(None, epoch(70), Claim(), beat=0)).connect().wait(2).look()
    assert desk.write().number == 71


def test_only_a_commit_and_what_was_read_after_it_begin_a_term() -> None:
    desk = Desk(group=Group(None, epoch(), Claim(), beat=20)).connect().wait(2).look()
    write = desk.write()
    desk.end(write)
    assert not desk.acts
    desk.group = Group(
        Holder("ap2", "process2", 61, SESSION), Epoch(61, "ap2", 4.0, 5, zxid=950), Claim(), beat=21
    )
    desk.look()
    assert desk.acts
    (led,) = [each for each in desk.take() if isinstance(each, Led)]
    assert (led.term.number, led.term.version, led.term.zxid) == (61, 5, 950)


def test_a_leader_node_of_our_session_gives_no_right_before_a_heartbeat_was_committed() -> None:
    """The answer to the transaction was lost; it was done all the same."""
    desk = Desk(group=Group(None, epoch(), Claim(), beat=20)).connect().wait(2).look()
    desk.end(desk.write(), Result.UNKNOWN)
    desk.group = Group(
        Holder("ap2", "process2", 61, SESSION), Epoch(61, "ap2", 4.0, 5, zxid=950), Claim("ap2/id2"), beat=21
    )
    desk.look().wait(1.01)
    assert not desk.acts
    beats = [each for each in desk.take() if isinstance(each, Beat)]
    desk.machine.committed(beats[-1], Result.DONE, desk.now, desk.now)
    assert desk.acts


def test_a_leader_node_with_our_name_of_another_session_is_not_ours() -> None:
    group = Group(Holder("ap2", "process2", 60, SESSION - 1), epoch(), Claim(), beat=20)
    desk = Desk(group=group).connect().look().wait(1)
    assert not desk.acts
    assert words(desk.write().operations) == ["check epoch 4", "delete leader -1"]


def test_a_leader_node_without_heartbeats_is_taken_when_its_session_should_have_ended() -> None:
    group = Group(Holder("ap1", "before", 60, SESSION - 1), epoch(), Claim("ap1/id1", version=7), beat=20)
    desk = Desk(group=group).connect().look()
    desk.wait(1.5 * T - 0.1).no_write()
    write = desk.wait(0.2).write()
    assert words(write.operations) == [
        "delete leader -1",
        "create leader",
        "put epoch 4",
        "put failsafe 7",
        "put beat 20",
    ]


def test_a_candidate_waits_for_the_last_heartbeat_that_it_saw_to_wear_off() -> None:
    desk = Desk(group=Group(Holder("ap1", "process1", 60, 1), epoch(), Claim("ap1/id1"), beat=20))
    desk.connect().look().wait(2)
    desk.machine.peeked(21, SESSION, desk.now)
    seen_at = desk.now
    desk.wait(1)
    desk.machine.peeked(21, SESSION, desk.now)
    desk.group = replace(desk.group, holder=None, beat=21)  # its session was ended by force
    desk.look().wait(3.1)
    desk.no_write()
    desk.wait(0.2)
    assert words(desk.write().operations)[-1] == "put beat 21"
    assert desk.now - seen_at == pytest.approx(4.3)


def test_who_handed_over_need_not_be_waited_for() -> None:
    desk = Desk(group=Group(Holder("ap1", "process1", 60, 1), epoch(), Claim("ap1/id1"), beat=20))
    desk.connect().look().wait(2)
    desk.machine.peeked(21, SESSION, desk.now)
    desk.group = Group(None, epoch(), Claim(version=9), beat=21)
    assert desk.look().write().purpose is Purpose.TAKE


def test_nobody_runs_in_the_first_second_of_a_process() -> None:
    """What the process before it promised is not known."""
    desk = Desk(group=Group(None, epoch(), Claim(), beat=20)).connect().look()
    desk.wait(PROMISE_SECONDS - 0.01).no_write()
    assert desk.wait(0.02).write().purpose is Purpose.TAKE


def test_the_better_ones_get_half_a_second_each() -> None:
    group = Group(None, epoch(), Claim(), beat=20)
    desk = Desk(members=(FIRST, replace(THIRD, settled=True)), group=group).connect().wait(2).look()
    desk.wait(0.99).no_write()
    assert desk.wait(0.02).write().purpose is Purpose.TAKE


def test_who_is_not_relied_on_does_not_run_and_is_not_waited_for() -> None:
    claim = Claim("ap1/id1", frozenset({"ap2/id2"}), 7)
    group = Group(None, epoch(), claim, beat=20)
    desk = Desk(members=(replace(FIRST, identity="new"),), group=group).connect().look().wait(4.1)
    desk.wait(0.2)
    assert desk.write().purpose is Purpose.TAKE
    stranger = Claim("ap1/id1", frozenset({"ap3/id3"}), 7)
    assert Desk(group=Group(None, epoch(), stranger, beat=20)).connect().look().live(100) == []


def test_what_zookeeper_has_forgotten_is_remembered() -> None:
    claim = Claim("ap1/id1", frozenset({"ap3/id3"}), 7)
    desk = Desk(group=Group(Holder("ap1", "process1", 60, 1), epoch(), claim, beat=20)).connect().look()
    desk.group = Group()
    assert desk.connect(SESSION + 1).look().live(60) == []
    desk.group = Group(claim=Claim(version=0))  # an operator has said that they are gone
    assert desk.look().wait(0.1).write().number == 61


# --- leading


def test_a_heartbeat_is_committed_and_checks_the_term() -> None:
    desk = leading().wait(1.01)
    (beat,) = [each for each in desk.take() if isinstance(each, Beat)]
    assert words(beat.operations) == ["check epoch 5", "check leader 0", "put beat -1"]


def test_the_lease_ends_without_answers_and_is_renewed_by_one() -> None:
    desk = leading()
    assert desk.wait(3.8).acts
    desk.wait(0.3)
    assert not desk.acts
    found = desk.take()
    assert Stopped("ZooKeeper does not answer, or this process was held up") in found
    beat = [each for each in found if isinstance(each, Beat)][-1]
    desk.machine.committed(beat, Result.DONE, desk.now - 0.1, desk.now)
    assert desk.acts


def test_a_refused_heartbeat_ends_the_term_and_one_of_an_earlier_term_does_not() -> None:
    desk = leading().wait(1.01)
    (beat,) = [each for each in desk.take() if isinstance(each, Beat)]
    desk.machine.committed(replace(beat, number=60), Result.REFUSED, desk.now, desk.now)
    assert desk.acts
    desk.machine.committed(beat, Result.REFUSED, desk.now, desk.now)
    assert not desk.acts
    assert Stopped("another term has begun") in desk.take()


def test_contact_lost_and_found_needs_a_new_heartbeat() -> None:
    desk = leading().wait(1.01)
    (old,) = [each for each in desk.take() if isinstance(each, Beat)]
    sent_at = desk.now
    desk.suspend()
    assert not desk.acts
    desk.wait(0.1).connect()
    desk.machine.committed(old, Result.DONE, sent_at - 0.1, desk.now)
    assert not desk.acts
    new = [each for each in desk.take() if isinstance(each, Beat)][-1]
    desk.machine.committed(new, Result.DONE, desk.now, desk.now)
    assert desk.acts


def test_a_newcomer_is_relied_on_and_who_is_gone_still_is_for_a_while() -> None:
    desk = leading(members=(THIRD,))
    desk.members = (FIRST,)
    write = desk.look().write()
    assert words(write.operations) == ["check epoch 5", "put failsafe 8"]
    assert write.relies == frozenset({"ap1/id1", "ap3/id3"})
    desk.group = replace(desk.group, claim=Claim("ap2/id2", write.relies, 9))
    desk.end(write).look().no_write()
    assert desk.live(29) == []
    (write,) = desk.live(2)
    assert write.relies == frozenset({"ap1/id1"})


def test_who_has_another_identity_now_is_another() -> None:
    desk = leading(members=(THIRD,))
    desk.members = (replace(THIRD, identity="another disk"),)
    assert desk.look().write().relies == frozenset({"ap3/another disk"})


def test_a_leader_stops_before_it_hands_over() -> None:
    desk = leading(members=(THIRD,))
    desk.members = (replace(FIRST, settled=True, order=-1),)
    desk.look()
    assert not desk.acts
    found = desk.take()
    stopped = next(index for index, each in enumerate(found) if isinstance(each, Stopped))
    write = next(index for index, each in enumerate(found) if isinstance(each, Write))
    assert stopped < write
    assert found[stopped] == Stopped("ap1 should lead")
    assert words(found[write].operations) == ["check epoch 5", "delete leader -1", "put failsafe 8"]  # type: ignore[union-attr]
    assert found[write].operations[2] == Put(failsafe_path(1), Claim().to_json(), 8)  # type: ignore[union-attr]


def test_an_orderly_stop_hands_over_and_takes_the_name_off_the_list() -> None:
    desk = leading()
    desk.machine.leave(desk.now)
    assert desk.machine.situation.standing(desk.now) is Standing.LEAVING
    found = desk.take()
    assert Stopped("the instance stops") in found
    (write,) = [each for each in found if isinstance(each, Write)]
    assert words(write.operations) == [
        "check epoch 5",
        "delete leader -1",
        "put failsafe 8",
        "delete members/ap2 -1",
    ]
    desk.group, desk.members = Group(None, epoch(61), Claim(), beat=20), ()
    desk.end(write).look(registered=False).wait(60).no_write()


def test_a_leader_node_that_stands_for_no_term_is_removed() -> None:
    group = Group(Holder("", "", 0, SESSION), epoch(), Claim("ap2/id2"), beat=20)
    desk = Desk(group=group).connect().look().wait(0.1)
    assert words(desk.write().operations) == ["check epoch 4", "delete leader -1"]


# --- without ZooKeeper


def ask(number: int = 60, group: int = 1, leader: str = "ap1/id1") -> Ask:
    return Ask(group, leader, number)


def following() -> Desk:
    """ap2 follows ap1 in term 60."""
    claim = Claim("ap1/id1", frozenset({"ap2/id2", "ap3/id3"}), 7)
    group = Group(Holder("ap1", "process1", 60, 1), epoch(), claim, beat=20)
    desk = Desk(members=(FIRST, THIRD), group=group).connect().look().wait(2)
    desk.take()
    return desk


def test_a_promise_keeps_us_from_running_for_a_second() -> None:
    desk = following().suspend()
    answer = desk.machine.asked(ask(), desk.now)
    assert answer == Answer("ap2/id2", promised=True, connected=False, number=60)
    promised_at = desk.now
    desk.group = Group(None, epoch(), Claim(version=8), beat=20)
    desk.members = ()
    desk.wait(0.1).connect().look()
    desk.wait(0.8).no_write()
    assert desk.wait(0.2).write().purpose is Purpose.TAKE
    assert desk.now - promised_at > PROMISE_SECONDS


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (ask(group=2), "it is of another group"),
        (ask(leader="ap2/id2"), "it asks itself"),
        (ask(number=59), "it knows of a later term"),
    ],
)
def test_what_gets_no_promise(question: Ask, why: str) -> None:
    desk = following().suspend()
    answer = desk.machine.asked(question, desk.now)
    assert (answer.promised, answer.connected, answer.why, answer.number) == (False, False, why, 60)


def test_in_contact_nothing_is_promised() -> None:
    desk = following()
    answer = desk.machine.asked(ask(), desk.now)
    assert (answer.promised, answer.connected, answer.why) == (False, True, "it is in contact with ZooKeeper")


def test_who_has_not_been_registered_in_this_process_knows_nothing_to_promise_by() -> None:
    """It may have led itself, in a process before."""
    desk = Desk()
    assert (
        desk.machine.asked(ask(), desk.now).why == "it has not been in contact with ZooKeeper since its start"
    )
    desk.group = following().group
    desk.connect().look(registered=False).suspend()
    assert not desk.machine.asked(ask(), desk.now).promised
    desk.connect().look().suspend()
    assert desk.machine.asked(ask(), desk.now).promised


def test_who_may_have_begun_a_term_promises_nothing_to_an_earlier_one() -> None:
    desk = Desk(members=(FIRST,), group=Group(None, epoch(), Claim(), beat=20)).connect().wait(2).look()
    write = desk.wait(1).write()
    assert write.number == 61
    desk.suspend()
    assert desk.machine.asked(ask(60), desk.now).why == "it knows of a later term"
    desk.end(write, Result.UNKNOWN)
    assert not desk.machine.asked(ask(60), desk.now).promised
    other = Desk(members=(FIRST,), group=Group(None, epoch(), Claim(), beat=20)).connect().wait(2).look()
    other.end(other.wait(1).write(), Result.REFUSED).suspend()
    assert other.machine.asked(ask(60), other.now).promised


def test_who_promises_to_a_later_term_gives_up_its_own() -> None:
    desk = leading().suspend()
    assert desk.machine.asked(ask(60), desk.now).why == "it knows of a later term"
    assert desk.machine.situation.term is not None
    assert desk.machine.asked(ask(62), desk.now).promised
    assert desk.machine.situation.term is None
    assert not desk.machine.asked(ask(61), desk.now).promised


def test_who_is_about_to_stop_promises_nothing() -> None:
    desk = following().suspend()
    desk.machine.leave(desk.now)
    assert desk.machine.asked(ask(), desk.now).why == "it is about to stop"


def answers(desk: Desk, **of: bool) -> None:
    """The questions that are wanted are answered by whom ``of`` names, with a promise or without."""
    for question in [each for each in desk.take() if isinstance(each, Question)]:
        assert question.ask == Ask(1, "ap2/id2", 61)
        if question.member.name in of:
            promised = of[question.member.name]
            answer = Answer(question.member.key, promised, connected=not promised, number=61)
            desk.machine.answered(question, answer, desk.now, desk.now)


def test_all_others_are_asked_and_all_must_promise_again_and_again() -> None:
    desk = leading().suspend()
    answers(desk, ap1=True)
    assert not desk.acts
    desk.wait(0.31)
    answers(desk, ap1=True, ap3=True)
    assert desk.acts
    assert desk.machine.situation.standing(desk.now) is Standing.BACKED
    desk.wait(0.31)
    answers(desk, ap1=True)
    assert desk.wait(0.5).acts
    desk.wait(0.2)
    assert not desk.acts
    assert Stopped("no contact with ZooKeeper") in desk.take()


def test_one_that_is_connected_ends_it_at_once_and_for_good_after_the_session() -> None:
    desk = leading().suspend()
    answers(desk, ap1=True, ap3=True)
    assert desk.acts
    desk.wait(0.31)
    answers(desk, ap3=False)
    assert not desk.acts
    desk.wait(T)
    answers(desk, ap3=False)
    assert desk.machine.situation.term is None
    desk.wait(10)
    assert [each for each in desk.take() if isinstance(each, Question)] == []


def test_whoever_knows_of_a_later_term_ends_ours() -> None:
    desk = leading().suspend()
    question = next(each for each in desk.take() if isinstance(each, Question))
    answer = Answer(question.member.key, promised=False, connected=False, number=62)
    desk.machine.answered(question, answer, desk.now, desk.now)
    assert desk.machine.situation.term is None


def test_the_answer_of_another_process_behind_the_address_does_not_count() -> None:
    desk = leading(members=(THIRD,)).suspend()
    question = next(each for each in desk.take() if isinstance(each, Question))
    wrong = Answer("ap3/another", promised=True, connected=False, number=61)
    desk.machine.answered(question, wrong, desk.now, desk.now)
    assert not desk.acts
    desk.machine.answered(question, None, desk.now, desk.now)
    assert not desk.acts


def test_a_claim_that_may_be_empty_backs_nobody() -> None:
    """An operator has released it; we had begun to claim anew when contact went."""
    desk = leading(members=(THIRD,))
    desk.group = replace(desk.group, claim=Claim(version=9))
    write = desk.look().write()
    desk.end(write, Result.UNKNOWN).suspend()
    answers(desk, ap3=True)
    assert not desk.acts
    desk.wait(0.31)
    assert [each for each in desk.take() if isinstance(each, Question)] == []


def test_promises_of_before_do_not_last_over_contact() -> None:
    desk = leading(members=(THIRD,)).suspend()
    answers(desk, ap3=True)
    assert desk.acts
    desk.connect().suspend()
    assert not desk.acts
