"""Non-INVITE transactions against the figures and timer tables of RFC 3261 section 17."""

from __future__ import annotations

import pytest

from era_ap.sip.message import Request, Response, parse
from era_ap.sip.path import Departure, Local
from era_ap.sip.transaction import (
    ClientTransaction,
    Finished,
    ServerTransaction,
    State,
    Timing,
    TransactionLayer,
    server_key,
)

LOCAL = Local("192.0.2.1", 5070, 2, "eth0")
PEER = ("192.0.2.50", 5059)
OUT = Departure(b"NOTIFY", PEER, LOCAL)
TIMING = Timing()


def sends(transaction: ClientTransaction, until: float) -> list[float]:
    """When the request goes out, the timers handled exactly when they are due."""
    times = [0.0] * len(transaction.datagrams_to_send())
    while (due := transaction.next_deadline()) is not None and due <= until:
        transaction.handle_timer(due)
        times += [due] * len(transaction.datagrams_to_send())
    return times


def response(status: int, branch: str = "z9hG4bKa", method: str = "NOTIFY", more: str = "") -> Response:
    found = parse(
        f"SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP h;branch={branch}\r\n{more}CSeq: 2 {method}\r\n\r\n".encode()
    )
    assert isinstance(found, Response)
    return found


def request(branch: str = ";branch=z9hG4bK1", call_id: str = "1", tag: str = "1", **other: str) -> Request:
    uri = other.get("uri", "sip:MAC001565a1b2c3@224.0.1.75")
    found = parse(
        f"SUBSCRIBE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {other.get('sent_by', 'h:5059')}{branch}\r\n"
        f"From: <sip:a>;tag={tag}\r\nTo: <sip:a>\r\nCall-ID: {call_id}\r\n"
        f"CSeq: {other.get('cseq', '1')} SUBSCRIBE\r\n\r\n"
        .encode()
    )  # fmt: skip
    assert isinstance(found, Request)
    return found


def test_an_unanswered_request_is_repeated_as_timer_e_says_and_given_up_at_timer_f() -> None:
    transaction = ClientTransaction(OUT, TIMING, 0.0)
    assert sends(transaction, 100) == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert transaction.state is State.TERMINATED
    assert transaction.final is None


def test_attempts_end_it_earlier() -> None:
    transaction = ClientTransaction(OUT, Timing(attempts=4), 0.0)
    assert sends(transaction, 100) == [0, 0.5, 1.5, 3.5]
    assert (transaction.state, transaction.sent) == (State.TERMINATED, 4)


def test_a_provisional_response_slows_it_to_t2() -> None:
    transaction = ClientTransaction(OUT, TIMING, 0.0)
    transaction.receive_response(response(100), 0.1)
    assert transaction.state is State.PROCEEDING
    assert sends(transaction, 9) == [0, 0.5, 4.5, 8.5]


def test_a_final_response_ends_sending_and_timer_k_the_transaction() -> None:
    transaction = ClientTransaction(OUT, TIMING, 0.0)
    transaction.receive_response(response(481), 0.2)
    assert transaction.state is State.COMPLETED
    transaction.receive_response(response(200), 0.3)
    assert transaction.final is not None
    assert transaction.final.status == 481
    assert sends(transaction, 100) == [0]
    assert transaction.state is State.TERMINATED


def test_a_late_timer_sends_once_not_for_every_interval_missed() -> None:
    transaction = ClientTransaction(OUT, TIMING, 0.0)
    transaction.datagrams_to_send()
    transaction.handle_timer(20.0)
    assert len(transaction.datagrams_to_send()) == 1


def test_a_server_repeats_its_last_response_until_timer_j() -> None:
    transaction = ServerTransaction(TIMING)
    transaction.receive_request(0.0)
    assert transaction.datagrams_to_send() == []  # trying: nothing to repeat yet
    transaction.respond(100, Departure(b"100", PEER, LOCAL), 0.1)
    assert transaction.state is State.PROCEEDING
    transaction.receive_request(0.2)
    assert [each.data for each in transaction.datagrams_to_send()] == [b"100", b"100"]
    transaction.respond(200, Departure(b"200", PEER, LOCAL), 0.3)
    transaction.respond(500, Departure(b"500", PEER, LOCAL), 0.4)
    transaction.receive_request(0.5)
    assert [each.data for each in transaction.datagrams_to_send()] == [b"200", b"200"]
    assert transaction.next_deadline() == pytest.approx(32.3)
    transaction.handle_timer(32.4)
    transaction.receive_request(32.5)
    assert (transaction.state, transaction.datagrams_to_send()) == (State.TERMINATED, [])


@pytest.mark.parametrize(
    "other",
    [
        request(";branch=z9hG4bK2"),
        request(call_id="2"),
        request(cseq="2"),
        request(sent_by="h:5060"),
        request(""),
    ],
)
def test_another_request_has_another_key(other: Request) -> None:
    assert server_key(other, PEER) != server_key(request(), PEER)


def test_a_stranger_does_not_get_the_answer_of_another() -> None:
    assert server_key(request(), PEER) != server_key(request(), ("192.0.2.66", 5059))


def test_the_same_request_has_the_same_key_whatever_the_case_of_its_branch() -> None:
    assert server_key(request(";branch=Z9HG4BK1"), PEER) == server_key(request(), PEER)


def test_without_a_branch_the_rule_of_rfc_2543_holds() -> None:
    same = server_key(request(";rport"), PEER)
    assert server_key(request(";rport"), PEER) == same
    for other in (request(";rport", tag="2"), request(";rport", uri="sip:h"), request(";branch=1;rport")):
        assert server_key(other, PEER) != same


def test_the_layer_absorbs_what_was_answered() -> None:
    layer = TransactionLayer(TIMING)
    assert not layer.absorb(request(), PEER, 0.0)
    layer.respond(request(), 200, Departure(b"200", PEER, LOCAL), 0.0)
    assert layer.absorb(request(), PEER, 1.0)
    assert [each.data for each in layer.datagrams_to_send()] == [b"200", b"200"]
    layer.handle_timer(32.0)
    assert not layer.absorb(request(), PEER, 32.0)
    assert len(layer) == 0


def test_the_layer_matches_responses_by_branch_and_method() -> None:
    layer = TransactionLayer(TIMING)
    layer.request("z9hG4bKa", "NOTIFY", OUT, "mine", 0.0)
    assert not layer.receive_response(response(200, "z9hG4bKb"), 0.1)
    assert not layer.receive_response(response(200, method="SUBSCRIBE"), 0.1)
    assert not layer.receive_response(response(200, more="Via: SIP/2.0/UDP other\r\n"), 0.1)
    assert layer.receive_response(response(180), 0.1)
    assert layer.events() == []
    final = response(200)
    assert layer.receive_response(final, 0.2)
    assert layer.receive_response(response(500), 0.3)
    assert layer.events() == [Finished("mine", final, 1)]
    layer.handle_timer(0.5)
    assert len(layer.datagrams_to_send()) == 1  # the request itself, never a repetition
    layer.handle_timer(5.3)
    assert len(layer) == 0
    assert layer.next_deadline() is None


def test_the_layer_tells_of_silence() -> None:
    layer = TransactionLayer(Timing(attempts=2))
    layer.request("z9hG4bKa", "NOTIFY", OUT, "mine", 0.0)
    while (due := layer.next_deadline()) is not None:
        layer.handle_timer(due)
    assert len(layer.datagrams_to_send()) == 2
    assert layer.events() == [Finished("mine", None, 2)]


def test_the_memory_of_the_layer_is_bounded() -> None:
    layer = TransactionLayer(TIMING, limit=10)
    for number in range(100):
        layer.respond(request(call_id=str(number)), 200, OUT, 0.0)
        layer.request(f"z9hG4bK{number}", "NOTIFY", OUT, number, 0.0)
    assert len(layer) == 20
    assert [event.context for event in layer.events()] == list(range(90))


def test_abandoned_requests_are_not_repeated_and_answers_to_them_are_nobodys() -> None:
    layer = TransactionLayer(TIMING)
    layer.request("z9hG4bKa", "NOTIFY", Departure(b"N1", PEER, LOCAL, guarded=True), "one", 0.0)
    layer.datagrams_to_send()
    layer.request("z9hG4bKb", "NOTIFY", Departure(b"N2", PEER, LOCAL, guarded=True), "two", 0.2)
    layer.respond(request(), 489, Departure(b"489", PEER, LOCAL), 0.2)
    assert layer.abandon() == [Finished("one", None, 1), Finished("two", None, 0)]
    assert [each.data for each in layer.datagrams_to_send()] == [b"489"]
    layer.handle_timer(0.6)
    assert layer.datagrams_to_send() == []
    assert not layer.receive_response(response(200), 0.7)
    assert layer.abandon() == []


def test_a_repetition_that_did_not_go_out_is_not_counted() -> None:
    layer = TransactionLayer(TIMING)
    layer.request("z9hG4bKa", "NOTIFY", Departure(b"N1", PEER, LOCAL, guarded=True), "one", 0.0)
    layer.datagrams_to_send()
    layer.handle_timer(0.5)
    assert layer.abandon() == [Finished("one", None, 1)]


def test_a_forgotten_request_is_a_new_one() -> None:
    layer = TransactionLayer(TIMING)
    layer.respond(request(), 200, OUT, 0.0)
    assert layer.absorb(request(), PEER, 0.1)
    layer.forget(request(), PEER)
    layer.forget(request(), PEER)
    assert not layer.absorb(request(), PEER, 0.2)
