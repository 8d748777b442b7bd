"""Who a phone says it is: every shape of SUBSCRIBE, every form of MAC, and where its NOTIFY goes (D9)."""

from __future__ import annotations

import random
from ipaddress import IPv4Network

import pytest

from era_ap.sip.message import Request, parse
from era_ap.sip.path import Local
from era_ap.sip.pnp import Identity, identify, judge, notify_target
from era_ap.sip.shapes import shapes
from tests.unit.sip_site import LAN, MAC, VENDORS, World, message, subscribe

SHAPES = {
    "snom": ("000413", "snom", "D735", "10.1.39.11"),
    "snom-oem": ("000413", "snom", "", "7.1.19"),
    "snom-dect": ("000413", "snom", "M700", "03.23.0005"),
    "yealink": ("001565", "yealink", "T21P", "34.72.14.6"),
    "yealink-dect": ("805ec0", "yealink", "W52P", "25.81.0.10"),
    "yealink-new": ("249ad8", "yealink", "T53W", "96.86.0.70"),
    "grandstream": ("c074ad", "grandstream", "GRP2612W", "1.0.5.67"),
    "planet": ("a8f7e0", "planet", "VIP-2140PT", "2.1.1"),
    "fanvil": ("0c383e", "fanvil", "", "2.10.2.6887"),
    "audiocodes": ("00908f", "audiocodes", "420HD", "2.2.8.61"),
    "gigaset": ("7c2f80", "gigaset", "N670 IP PRO", "2.57.0"),
    "akuvox": ("0c1105", "akuvox", "R20K", "220.30.3.1"),
    "panasonic": ("0080f0", "panasonic", "KX-UTG300", "01.133"),
    "atcom": ("808287", "atcom", "", "2.6.7"),
    "htek": ("001fc1", "htek", "UC903", "2.0.4.2"),
}


def read(data: bytes) -> Request:
    found = parse(data)
    assert isinstance(found, Request)
    return found


def test_there_is_a_case_for_every_shape() -> None:
    assert set(SHAPES) == set(shapes())


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_every_shape_is_read_and_answered(name: str, seed: int) -> None:
    oui, vendor, model, version = SHAPES[name]
    rng = random.Random(f"{name} {seed}")
    mac = f"{oui}{rng.randrange(1 << 24):06x}"
    shape = shapes()[name]
    port = rng.choice((shape.port, rng.randrange(1024, 65536)))
    data = shape.compose(mac, "192.0.2.50", port, rng)
    assert judge(read(data)) is None
    assert identify(read(data), VENDORS) == Identity(mac, vendor, model, version)
    accepted, notify = (message(each) for each in World(everybody=True).hear(data, peer=("192.0.2.50", port)))
    asked = read(data)
    assert (accepted.get("Expires"), accepted.get("CSeq")) == ("0", asked.get("CSeq"))
    assert notify.get("To") == asked.get("From")
    assert notify.get("From") == accepted.get("To")
    assert notify.get("Event") == asked.get("Event")


@pytest.mark.parametrize(
    ("user", "mac"),
    [
        ("MAC%3a001565A1B2C3", MAC),
        ("MAC%3A001565a1b2c3", MAC),
        ("MAC:001565a1b2c3", MAC),
        ("MAC=001565a1b2c3", MAC),
        ("MAC001565a1b2c3", MAC),
        ("mac001565a1b2c3", MAC),
        ("MAC%3a00-15-65-A1-B2-C3", MAC),
        ("MAC%3a00%3A15%3A65%3Aa1%3Ab2%3Ac3", MAC),
        ("%4dAC001565a1b2c3", MAC),
        ("MAC%3a001565a1b2c", ""),
        ("MAC%3a001565a1b2c34", ""),
        ("MAC001565a1b2c3d4e5", ""),
        ("MAC001565a1b2c3x", ""),
        ("MAC001565a1b2c3%ef%bc%91", ""),
        ("MAC%ef%bc%90%ef%bc%90%ef%bc%91%ef%bc%95%ef%bc%96%ef%bc%95a1b2c3", ""),
        ("MAC%3a000000000000", ""),
        ("machine1", ""),
        ("101", ""),
    ],
)
def test_forms_of_the_mac(user: str, mac: str) -> None:
    uri = f"sip:{user}@224.0.1.75"
    data = subscribe(start=f"SUBSCRIBE {uri} SIP/2.0", From=f"<{uri}>;tag=1", To=f"<{uri}>")
    assert identify(read(data), VENDORS).mac == mac


@pytest.mark.parametrize(
    "place",
    [
        {"start": "SUBSCRIBE sip:MAC%3A001565A1B2C3@h SIP/2.0"},
        {"To": "<sip:MAC%3A001565A1B2C3@h>"},
        {"From": "<sip:MAC%3A001565A1B2C3@h>;tag=1"},
        {"Contact": "<sip:MAC001565A1B2C3@192.0.2.50>"},
        {"User_Agent": "phone (MAC=001565A1B2C3; SER= 00000)"},
    ],
)
def test_places_of_the_mac(place: dict[str, str]) -> None:
    none = {"start": "SUBSCRIBE sip:224.0.1.75 SIP/2.0", "To": "<sip:h>", "From": "<sip:512@h>;tag=1"}
    assert identify(read(subscribe(**none)), VENDORS).mac == ""
    assert identify(read(subscribe(**(none | place))), VENDORS).mac == MAC


def test_the_request_uri_comes_first() -> None:
    data = subscribe(From="<sip:MAC0c383e000001@h>;tag=1", User_Agent="Fanvil X4 2.10 0c383e000002")
    assert identify(read(data), VENDORS).mac == MAC


def test_a_broken_mac_is_not_replaced_by_one_from_elsewhere() -> None:
    data = subscribe(
        start="SUBSCRIBE sip:MAC001565a1b2c34@h SIP/2.0", User_Agent=f"Yealink SIP-T46S 66.1 {MAC}"
    )
    assert identify(read(data), VENDORS).mac == ""


@pytest.mark.parametrize(
    ("agent", "mac"),
    [
        ("AUDC-IPPhone/2.2.8.61 (440HDG-Rev0; 00908F602AAC)", "00908f602aac"),
        ("Yealink SIP-T34W 124.86.0.75 24:9a:d8:00:00:01", "249ad8000001"),
        ("Htek UC903 2.0.4.2 00-1f-c1-1c-22-a9", "001fc11c22a9"),
        ("Linksys/SPA-942-6.1.5(a) (88019FA42805)", ""),  # a serial number that looks like a MAC
        ("Fanvil X4 2.10.2.6887 001565a1b2c3", ""),  # not a block of the vendor that it names
        ("nobody 1.0 001565a1b2c3", MAC),
        ("Yealink SIP-T46G 001565a1b2c3d 001565a1b2c30", ""),
        ("Yealink 00:15:65:a1:b2:c3:d4", ""),
    ],
)
def test_a_mac_in_the_user_agent_alone(agent: str, mac: str) -> None:
    nobody = {"start": "SUBSCRIBE sip:224.0.1.75 SIP/2.0", "From": "<sip:1@h>;tag=1", "To": "<sip:h>"}
    data = subscribe(**nobody, User_Agent=agent)
    assert identify(read(data), VENDORS).mac == mac


@pytest.mark.parametrize(
    ("agent", "event", "mac", "vendor", "model"),
    [
        ("Yealink SIP-T21P 34.72.14.6", 'vendor="Yealink";model="T21D"', MAC, "yealink", "T21P"),
        ("Grandstream Model HW GXP1628 SW 1.0.4.138", 'vendor="OEM"', MAC, "grandstream", "GXP1628"),
        ("Foo/1.0", 'vendor="HANLONG";model="UC926"', MAC, "htek", "UC926"),
        (None, 'vendor="OEM";model="OEM"', "000413a1b2c3", "snom", ""),
        (None, 'vendor="ATCOM";model="VOIP PHONE"', "808287a1b2c3", "atcom", ""),
        (None, 'vender="Panasonic";model="KX-UTG200"', MAC, "panasonic", "KX-UTG200"),
        (None, 'vendor="Newcomer";model="N1"', MAC, "newcomer", "N1"),
        (None, "", "0a0b0c0d0e0f", "", ""),
        ("\x07\x1b[31m", 'vendor="\x1b[31mred";model="' + "x" * 500 + '"', MAC, "?[31mred", "x" * 64),
    ],
)  # fmt: skip
def test_vendor_and_model(agent: str | None, event: str, mac: str, vendor: str, model: str) -> None:
    found = identify(read(subscribe(mac, User_Agent=agent, Event=f"ua-profile;{event}")), VENDORS)
    assert (found.vendor, found.model) == (vendor, model)


@pytest.mark.parametrize(
    ("contact", "uri", "peer"),
    [
        ("<sip:192.0.2.50:5059>", "sip:192.0.2.50:5059", ("192.0.2.50", 5059)),
        ("<sip:512@192.0.2.50>", "sip:512@192.0.2.50", ("192.0.2.50", 5060)),
        ('"x" <sip:a@192.0.2.77:5080;ob>;q=1', "sip:a@192.0.2.77:5080;ob", ("192.0.2.77", 5080)),
        ("<sip:10.0.0.9:5060>", "sip:10.0.0.9:5060", ("192.0.2.50", 1036)),
        ("<sip:phone.example:5060>", "sip:phone.example:5060", ("192.0.2.50", 1036)),
        ("<sip:192.0.2.255:5060>", "sip:192.0.2.255:5060", ("192.0.2.50", 1036)),
        ("<sip:192.0.2.1:69>", "sip:192.0.2.1:69", ("192.0.2.50", 1036)),
        ("<sip:224.0.1.75>", "sip:224.0.1.75", ("192.0.2.50", 1036)),
        ("*", "sip:192.0.2.50:1036", ("192.0.2.50", 1036)),
        ("<tel:1>", "sip:192.0.2.50:1036", ("192.0.2.50", 1036)),
        ("<sip:192.0.2.50:0>", "sip:192.0.2.50:1036", ("192.0.2.50", 1036)),
        (None, "sip:192.0.2.50:1036", ("192.0.2.50", 1036)),
    ],
)
def test_where_the_notify_goes(contact: str | None, uri: str, peer: tuple[str, int]) -> None:
    assert notify_target(read(subscribe(Contact=contact)), ("192.0.2.50", 1036), LAN) == (uri, peer)


def test_a_neighbour_on_a_network_of_one_or_two_is_one() -> None:
    local = Local("192.0.2.0", 1, 2, "p2p", (IPv4Network("192.0.2.0/31"),))
    found = notify_target(read(subscribe(Contact="<sip:192.0.2.1:5062>")), ("192.0.2.1", 9), local)
    assert found == ("sip:192.0.2.1:5062", ("192.0.2.1", 5062))
