"""The responder: 200 and one NOTIFY for a phone of ours, silence for others, the RFC's answers by unicast."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from era_ap.admission import AdmissionPolicy
from era_ap.errors import Reason
from era_ap.sip.decision import PhoneList, Policy
from era_ap.sip.ledger import HOLD_SECONDS, key_of
from era_ap.sip.message import Response
from era_ap.sip.path import Arrival, Local
from tests.unit.sip_site import LAN, MAC, PHONE, World, asked, confirm, message, subscribe

STRANGER = "0c383e000001"


@pytest.fixture
def world() -> World:
    return World()


def status_of(data: bytes, world: World) -> tuple[int, Response] | None:
    """The status of the only answer by unicast."""
    sent = world.hear(data, multicast=False)
    if not sent:
        return None
    (answer,) = (message(each) for each in sent)
    assert isinstance(answer, Response)
    return answer.status, answer


def test_a_phone_of_ours_gets_200_and_then_notify(world: World) -> None:
    accepted, notify = world.hear(subscribe())
    assert (accepted.peer, notify.peer) == (PHONE, PHONE)
    assert (accepted.local, notify.local) == (LAN, LAN)
    assert accepted.guarded
    assert notify.guarded
    tag = str(message(accepted).get("To")).partition(";tag=")[2]
    assert accepted.data.decode().split("\r\n") == [
        "SIP/2.0 200 OK",
        "Via: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK7;rport=5060;received=192.0.2.50",
        "From: <sip:MAC%3a001565a1b2c3@224.0.1.75>;tag=77",
        f"To: <sip:MAC%3a001565a1b2c3@224.0.1.75>;tag={tag}",
        "Call-ID: 7@192.0.2.50",
        "CSeq: 1 SUBSCRIBE",
        "Expires: 0",
        "Contact: <sip:192.0.2.1:40000>",
        "Content-Length: 0",
        "",
        "",
    ]
    lines = notify.data.decode().split("\r\n")
    assert lines[0] == "NOTIFY sip:192.0.2.50:5060 SIP/2.0"
    assert lines[1].startswith("Via: SIP/2.0/UDP 192.0.2.1:40000;branch=z9hG4bK")
    assert lines[2:] == [
        "Max-Forwards: 70",
        f"From: <sip:MAC%3a001565a1b2c3@224.0.1.75>;tag={tag}",
        "To: <sip:MAC%3a001565a1b2c3@224.0.1.75>;tag=77",
        "Call-ID: 7@192.0.2.50",
        "CSeq: 2 NOTIFY",
        "Contact: <sip:192.0.2.1:40000>",
        'Event: ua-profile;profile-type="device";vendor="Yealink";model="T46S";version="66.85.0.5"',
        "Subscription-State: terminated;reason=timeout",
        "Content-Type: application/url",
        "Content-Length: 17",
        "",
        "tftp://192.0.2.1/",
    ]
    assert world.asked_urls == [(MAC, "yealink", "", "192.0.2.50", "192.0.2.1")]


def test_the_outcome_is_told_when_the_phone_confirms(world: World) -> None:
    _, notify = world.hear(subscribe(), 5.0)
    assert world.responder.events() == []
    world.hear(confirm(notify), 5.02, multicast=False)
    (outcome,) = world.responder.events()
    assert (outcome.reason, outcome.account, outcome.file) == (Reason.PNP_ACCEPTED, "101@a.example.com", "/")
    assert (outcome.peer, outcome.interface, outcome.at, outcome.sent) == ("192.0.2.50", "eth0", 1005.0, 1)
    assert outcome.seconds == pytest.approx(0.02)
    assert world.run(100) == []


def test_a_silent_phone_gets_notify_four_times_in_all(world: World) -> None:
    _, notify = world.hear(subscribe())
    assert world.run(100) == [(0.5, notify), (1.5, notify), (3.5, notify)]
    (outcome,) = world.responder.events()
    assert (outcome.reason, outcome.sent) == (Reason.PNP_UNCONFIRMED, 4)


def test_a_phone_that_declines_is_told_of(world: World) -> None:
    _, notify = world.hear(subscribe())
    world.hear(confirm(notify, 481), multicast=False)
    (outcome,) = world.responder.events()
    assert (outcome.reason, outcome.detail) == (Reason.PNP_DECLINED, "the phone answered 481")


def test_a_confirmation_to_the_group_counts_and_a_strangers_does_not(world: World) -> None:
    _, notify = world.hear(subscribe())
    world.hear(confirm(notify).replace(b"branch=z9", b"branch=y9"), multicast=False)
    assert world.responder.events() == []
    world.hear(confirm(notify))
    assert world.reasons() == [Reason.PNP_ACCEPTED]


def test_a_retransmission_gets_the_same_200_and_no_notify(world: World) -> None:
    accepted, _ = world.hear(subscribe())
    for number in range(20):
        assert world.hear(subscribe(), 0.2 * number) == [accepted]
    assert len(world.asked_urls) == 1


def test_a_retransmission_under_another_branch_or_interface_too(world: World) -> None:
    accepted, _ = world.hear(subscribe())
    other = Local("192.0.2.2", 40000, 3, "eth1", LAN.networks)
    (again,) = world.hear(subscribe(Via="SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK8"), 0.5, local=other)
    assert message(again).get("To") == message(accepted).get("To")
    assert again.local == other
    assert "z9hG4bK8" in str(message(again).get("Via"))


@pytest.mark.parametrize("change", [{"Call_ID": "8"}, {"CSeq": "2 SUBSCRIBE"}])
def test_another_question_gets_another_notify(world: World, change: dict[str, str]) -> None:
    world.hear(subscribe())
    assert len(world.hear(subscribe(**change), 1.0)) == 2


def test_a_phone_that_restarts_with_the_same_numbers_is_answered_again(world: World) -> None:
    world.hear(subscribe())
    world.run(40.0)
    assert len(world.hear(subscribe(), 40.0)) == 2


def test_a_stranger_is_met_with_silence_and_remembered(world: World) -> None:
    data = subscribe(STRANGER, Event='ua-profile;vendor="Fanvil";model="X4";version="2.10"')
    for now in (0.0, 0.5, 1.5):
        assert world.hear(data, now) == []
    assert world.hear(data.replace(b"7@192", b"8@192"), 60.0) == []
    assert world.reasons() == [Reason.MAC_UNKNOWN] * 2
    (seen,) = world.responder.sightings
    assert (seen.identity.mac, seen.identity.vendor, seen.identity.model) == (STRANGER, "fanvil", "X4")
    assert (seen.address, seen.interface, seen.count) == ("192.0.2.50", "eth0", 2)
    assert (seen.first_seen, seen.last_seen) == (1000.0, 1060.0)


def test_a_stranger_who_is_taken_in_is_answered_at_the_next_try(world: World) -> None:
    world.hear(subscribe(STRANGER))
    world.owners[STRANGER] = world.owners[MAC]
    assert len(world.hear(subscribe(STRANGER), 0.5)) == 2
    assert len(world.responder.sightings) == 0


@pytest.mark.parametrize("reason", [Reason.MAC_CONFLICT, Reason.DIRECTORY_UNAVAILABLE])
def test_why_a_mac_has_no_owner_is_told(world: World, reason: Reason) -> None:
    world.owners[MAC] = reason
    assert world.hear(subscribe()) == []
    assert world.reasons() == [reason]


def test_no_mac(world: World) -> None:
    nobody = {"start": "SUBSCRIBE sip:224.0.1.75 SIP/2.0", "From": "<sip:1@h>;tag=1", "To": "<sip:h>"}
    assert world.hear(subscribe(**nobody)) == []
    assert world.reasons() == [Reason.PNP_NO_MAC]
    assert len(world.responder.sightings) == 0


@pytest.mark.parametrize(
    ("policy", "is_answered"),
    [
        (Policy(), True),
        (Policy(deny=PhoneList(macs=("001565",))), False),
        (Policy(deny=PhoneList(networks=(ip_network("192.0.2.0/28"),))), True),
        (Policy(deny=PhoneList(networks=(ip_network("192.0.2.32/27"),))), False),
        (Policy(deny=PhoneList(vendors=frozenset({"yealink"}))), False),
        (Policy(deny=PhoneList(vendors=frozenset({"snom"}))), True),
        (Policy(allow=PhoneList(macs=("0c383e", "001565a1"))), True),
        (Policy(allow=PhoneList(macs=("0c383e",))), False),
        (Policy(allow=PhoneList(macs=("001565",), vendors=frozenset({"snom"}))), False),
        (Policy(allow=PhoneList(networks=(ip_network("fd00::/8"), ip_network("192.0.2.0/24")))), True),
        (Policy(allow=PhoneList(macs=("001565",)), deny=PhoneList(macs=("001565a1b2c3",))), False),
    ],
)
def test_lists(policy: Policy, is_answered: bool) -> None:
    world = World(policy=policy)
    assert bool(world.hear(subscribe())) is is_answered
    assert world.reasons() == ([] if is_answered else [Reason.PNP_DENIED])


def test_only_the_leader_answers_and_a_new_one_answers_those_who_wait(world: World) -> None:
    world.leads = False
    for number, now in enumerate((0.0, 2.0, 4.0)):
        assert world.hear(subscribe(Call_ID=str(number)), now) == []
    assert world.hear(subscribe(Call_ID="2"), 4.5) == []
    assert world.reasons() == [Reason.PNP_NOT_OURS] * 3
    world.leads = True
    assert world.responder.take_over(since=1.0, now=6.0) == 2
    sent = [message(each) for each in world.responder.datagrams_to_send()]
    assert [(each.get("Call-ID"), each.get("CSeq")) for each in sent] == [
        ("1", "1 SUBSCRIBE"), ("1", "2 NOTIFY"), ("2", "1 SUBSCRIBE"), ("2", "2 NOTIFY"),
    ]  # fmt: skip
    assert len(world.hear(subscribe(Call_ID="2"), 6.5)) == 1
    assert world.responder.take_over(since=0.0, now=7.0) == 0


def test_who_has_given_up_waiting_is_not_answered_by_a_new_leader(world: World) -> None:
    world.leads = False
    world.hear(subscribe(), 0.0)
    world.leads = True
    assert world.responder.take_over(since=0.0, now=HOLD_SECONDS) == 0


def test_what_another_instance_has_answered_is_not_answered_by_a_new_leader(world: World) -> None:
    world.leads = False
    for number in range(4):
        world.hear(subscribe(Call_ID=str(number)), float(number))
    keys = [key_of(asked(subscribe(Call_ID=str(number)))) for number in (1, 3, 4)]
    world.responder.ledger.note_elsewhere(keys, 3.5)
    world.hear(subscribe(Call_ID="3"), 3.6)
    world.leads = True
    assert world.responder.take_over(since=0.5, now=4.0) == 1
    assert world.calls() == ["2"]
    for number in (1, 3, 4):  # the last one is heard only now
        assert world.hear(subscribe(Call_ID=str(number)), 4.5) == []
    assert world.reasons() == [Reason.PNP_NOT_OURS] * 5
    assert len(world.hear(subscribe(Call_ID="5"), 4.6)) == 2


def test_who_asks_again_waits_since_the_first_time(world: World) -> None:
    world.leads = False
    world.hear(subscribe(), 0.0)
    world.hear(subscribe(), 4.0)
    world.leads = True
    assert world.responder.take_over(since=-0.1, now=6.0) == 1
    world = World(leads=False)
    world.hear(subscribe(), 0.0)
    world.hear(subscribe(), 4.0)
    world.leads = True
    assert world.responder.take_over(since=0.1, now=6.0) == 0
    assert len(world.hear(subscribe(), 6.1)) == 2  # nobody has answered it after all


def test_what_was_queued_when_another_one_led_is_not_answered(world: World) -> None:
    world.responder.take_over(since=10.0, now=10.5)
    assert world.hear(subscribe(Call_ID="1"), 10.6, age=0.7) == []
    assert len(world.hear(subscribe(Call_ID="2"), 10.6, age=0.5)) == 2
    (outcome,) = world.responder.events()
    assert (outcome.reason, outcome.detail) == (Reason.PNP_NOT_OURS, "another instance has answered")


def test_a_deposed_leader_repeats_nothing_and_holds_what_did_not_go_out(world: World) -> None:
    sent = world.hear(subscribe(Call_ID="1"), 0.0)
    world.responder.receive_datagram(Arrival(subscribe(Call_ID="2"), PHONE, LAN, True), 0.1)
    assert world.responder.wants_right
    assert len(world.responder.ledger.unsent) == 1
    world.leads = False
    world.responder.stand_down(0.1)
    assert not world.responder.wants_right
    assert world.responder.ledger.unsent == ()
    assert world.responder.datagrams_to_send() == []
    (outcome,) = world.responder.events()
    assert (outcome.reason, outcome.sent) == (Reason.PNP_UNCONFIRMED, 1)
    assert outcome.detail == "this instance does not lead any more"
    assert world.run(100) == []
    world.leads = True
    assert world.responder.take_over(since=0.0, now=2.0) == 1
    assert world.calls() == ["2"]
    assert world.hear(subscribe(Call_ID="1"), 2.5) == [sent[0]]  # its 200, and no second NOTIFY


def test_a_deposed_leader_still_says_no_to_what_is_no_question_of_a_phone(world: World) -> None:
    data = subscribe(Event="presence")
    world.responder.receive_datagram(Arrival(data, PHONE, LAN, False), 0.0)
    world.responder.stand_down(0.0)
    assert len(world.responder.datagrams_to_send()) == 1


def test_what_waited_too_long_is_not_answered(world: World) -> None:
    assert world.hear(subscribe(), age=1.01) == []
    assert len(world.hear(subscribe(), age=0.99)) == 2
    assert world.reasons() == [Reason.PNP_STALE]


def test_too_many_questions_from_one_source() -> None:
    world = World(limits=AdmissionPolicy(requests_per_second=1.0, burst=2))
    answered = [len(world.hear(subscribe(Call_ID=str(n)), 0.001 * n)) for n in range(10)]
    assert answered == [2, 2, *[0] * 8]
    assert world.reasons() == [Reason.RATE_LIMIT]


def test_guessing_macs_uses_up_the_budget_of_the_source() -> None:
    world = World(limits=AdmissionPolicy(unknown_macs=3))
    for number in range(3):
        world.hear(subscribe(f"0c383e00000{number}", Call_ID=str(number)))
    assert world.hear(subscribe()) == []
    assert world.hear(subscribe(), peer=("192.0.2.51", 5060)) != []
    assert world.reasons()[-1] is Reason.THROTTLED


def test_a_closed_network() -> None:
    world = World(limits=AdmissionPolicy(networks=(ip_network("10.0.0.0/8"),)))
    assert world.hear(subscribe()) == []
    assert world.reasons() == [Reason.NETWORK_CLOSED]


# --- everything else (RFC 3261 section 8.2, RFC 6665)

OTHERS = [
    ({"start": "INVITE sip:a@h SIP/2.0", "CSeq": "1 INVITE"}, 405, ("Allow", "SUBSCRIBE, OPTIONS")),
    ({"start": "NOTIFY sip:a@h SIP/2.0", "CSeq": "1 NOTIFY"}, 405, ("Allow", "SUBSCRIBE, OPTIONS")),
    ({"start": "NEWMETHOD sip:a@h SIP/2.0", "CSeq": "1 NEWMETHOD"}, 501, None),
    ({"Event": "presence"}, 489, ("Allow-Events", "ua-profile")),
    ({"Event": None}, 489, ("Allow-Events", "ua-profile")),
    ({"To": "<sip:x@h>;tag=9"}, 481, None),
    ({"Require": "foo, bar"}, 420, ("Unsupported", "foo, bar")),
    ({"start": "SUBSCRIBE tel:1 SIP/2.0"}, 416, None),
    ({"start": "SUBSCRIBE sip:h SIP/7.0"}, 505, None),
    ({"CSeq": "1 NOTIFY"}, 400, None),
    ({"Call_ID": None}, 400, None),
    ({"Content_Length": "9"}, 400, None),
]


@pytest.mark.parametrize(("changes", "status", "field"), OTHERS)
def test_others_get_what_the_rfc_says_by_unicast(
    world: World, changes: dict, status: int, field: tuple[str, str] | None
) -> None:
    found = status_of(subscribe(**changes), world)
    assert found is not None
    assert found[0] == status
    if field is not None:
        assert found[1].get(field[0]) == field[1]
    assert "tag=" in str(found[1].get("To"))


@pytest.mark.parametrize(("changes", "status", "field"), OTHERS)
def test_and_silence_by_multicast(world: World, changes: dict, status: int, field: object) -> None:
    assert world.hear(subscribe(**changes)) == []


def test_a_retransmitted_error_is_the_same_error(world: World) -> None:
    data = subscribe(Event="presence")
    assert world.hear(data, multicast=False) == world.hear(data, 0.5, multicast=False)


def test_a_broken_question_of_a_phone_is_told(world: World) -> None:
    world.hear(subscribe(Content_Length="7"))
    (outcome,) = world.responder.events()
    assert (outcome.reason, outcome.detail) == (Reason.PNP_MALFORMED, "400 Bad Content-Length")


def test_options_by_unicast_and_by_multicast(world: World) -> None:
    data = subscribe(start="OPTIONS sip:h SIP/2.0", CSeq="1 OPTIONS", Event=None)
    found = status_of(data, world)
    assert found is not None
    assert found[0] == 200
    assert found[1].get("Allow") == "SUBSCRIBE, OPTIONS"
    assert found[1].get("Allow-Events") == "ua-profile"
    assert world.hear(data.replace(b"z9hG4bK7", b"z9hG4bK8")) == []


def test_a_subscribe_by_unicast_is_answered_as_well(world: World) -> None:
    assert len(world.hear(subscribe(), multicast=False)) == 2


@pytest.mark.parametrize(
    ("peer", "local"),
    [(("198.51.100.9", 5060), LAN), (PHONE, replace(LAN, networks=()))],
    ids=["from another network", "on another interface"],
)
def test_a_url_is_no_present_for_those_who_are_not_on_the_wire(
    world: World, peer: tuple[str, int], local: Local
) -> None:
    assert world.hear(subscribe(), multicast=False, peer=peer, local=local) == []
    assert world.reasons() == [Reason.PNP_DENIED]
    assert world.asked_urls == []
    assert len(world.responder.sightings) == 0


@pytest.mark.parametrize(
    "data",
    [
        subscribe(start="ACK sip:h SIP/2.0", CSeq="1 ACK"),
        subscribe(start="SIP/2.0 200 OK"),
        subscribe(Via=None),
        subscribe(Via="nonsense"),
        b"",
        b"\r\n\r\n",
        b"\0" * 100,
        b"SIP/2.0 200",
        b"x" * 65507,
    ],
)
def test_what_cannot_be_answered(world: World, data: bytes) -> None:
    assert world.hear(data, multicast=False) == []


def test_several_vias_and_record_route_are_echoed(world: World) -> None:
    data = subscribe(
        Via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKp, SIP/2.0/UDP 192.0.2.50;branch=z9hG4bK7;rport",
        Record_Route="<sip:192.0.2.9;lr>",
    )
    accepted = message(world.hear(data, peer=("192.0.2.9", 5060))[0])
    assert accepted.get_all("Via") == [
        "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKp", "SIP/2.0/UDP 192.0.2.50;branch=z9hG4bK7;rport",
    ]  # fmt: skip
    assert accepted.get("Record-Route") == "<sip:192.0.2.9;lr>"


def test_behind_address_translation_the_real_source_is_noted(world: World) -> None:
    via = "SIP/2.0/UDP 10.0.0.7:5060;rport ;branch=z9hG4bK1"
    accepted = message(world.hear(subscribe(Via=via), peer=("192.0.2.50", 1036))[0])
    assert accepted.get("Via") == "SIP/2.0/UDP 10.0.0.7:5060;rport=1036;branch=z9hG4bK1;received=192.0.2.50"


def test_ten_thousand_phones_get_one_200_and_one_notify_each() -> None:
    """Each asks twice, 200 ms apart."""
    world = World(everybody=True)
    counts: dict[tuple[str, int], list[str]] = {}
    count = 10_000
    for turn in range(2):
        for number in range(count):
            peer = (f"192.0.2.{number % 250 + 1}", 1024 + number // 250)
            data = subscribe(f"001565{number:06x}", Call_ID=f"{number}", Contact=f"<sip:{peer[0]}:{peer[1]}>")
            for each in world.hear(data, turn * 0.2 + number / 1e6, peer=peer):
                counts.setdefault(each.peer, []).append(each.data[:10].decode())
    assert len(counts) == count
    for sent in counts.values():
        assert sorted(sent) == ["NOTIFY sip", "SIP/2.0 20", "SIP/2.0 20"]


WITHOUT_MAC = {
    "start": "SUBSCRIBE sip:224.0.1.75:5060 SIP/2.0",
    "To": "<sip:224.0.1.75:5060>",
    "From": "<sip:00000001@192.0.2.50:5060>;tag=1",
    "Event": 'ua-profile;profile-type="application";model="420HD";version="2.2.8"',
}


def test_a_phone_that_names_no_mac_is_known_by_the_table_of_neighbours(world: World) -> None:
    assert world.hear(subscribe(**WITHOUT_MAC)) == []
    assert world.reasons() == [Reason.PNP_NO_MAC]
    world.neighbours[PHONE[0], LAN.name] = MAC
    assert len(world.hear(subscribe(**WITHOUT_MAC), 0.5)) == 2
    assert world.asked_urls == [(MAC, "yealink", "", "192.0.2.50", "192.0.2.1")]


def test_a_mac_that_is_none_is_not_replaced_by_the_table_of_neighbours(world: World) -> None:
    world.neighbours[PHONE[0], LAN.name] = MAC
    assert world.hear(subscribe("000000000000")) == []
    assert world.hear(subscribe("001565a1b2c", Call_ID="8")) == []
    assert world.reasons() == [Reason.PNP_NO_MAC] * 2
