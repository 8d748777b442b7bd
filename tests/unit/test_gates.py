"""The gate of a phone: the site's proxy for accounts that register, the bound gate for the others."""

from __future__ import annotations

import pytest

from era_ap.config import Gate
from era_ap.errors import Reason, Refused
from era_ap.provisioning.gates import BoundGate, Proto, gate_of_phone

PHONE, OTHER, THIRD = "001565000001", "001565000002", "001565000003"

SITE = (
    Gate("sg2", 6, "10.0.0.6", "10.0.0.6", 5066),
    Gate("sg1", 4, "10.0.0.4", "10.0.0.4", 5060),
    Gate("sg10", 10, "fd00::10", "fd00::10", 5060),
    Gate("sg0", 2, "eth1", None, 5060),
)


def gate(
    devices: object = None,
    default: object = None,
    mac: str = PHONE,
    gates: tuple[Gate, ...] = SITE,
    **more: object,
) -> BoundGate:
    fields = {"login": "100", "domain": "a.example.com", "reg": False, "devices": devices, **more}
    settings = {} if default is None else {"ext": {"default_sipuser_noreg_gates": default}}
    return gate_of_phone(fields, registers=False, settings=settings, gates=gates, mac=mac)


def refusal(*args: object, **more: object) -> Refused:
    with pytest.raises(Refused) as caught:
        gate(*args, **more)  # type: ignore[arg-type]
    return caught.value


def element(gates: object = "*", **more: object) -> dict[str, object]:
    return {"device": "192.168.0.10:5060", "gates": gates, **more}


# --- accounts that register


def test_the_proxy_of_the_site_is_its_gate_of_lowest_name() -> None:
    found = gate_of_phone({}, registers=True, settings={}, gates=SITE, mac=PHONE)
    assert (found.name, found.address, found.port, found.proto) == ("sg1", "10.0.0.4", 5060, Proto.UDP)


def test_a_registering_account_is_not_bound_by_its_devices() -> None:
    fields = {"devices": [element("6")], "licences": "0"}
    assert gate_of_phone(fields, registers=True, settings={}, gates=SITE, mac=PHONE).name == "sg1"


@pytest.mark.parametrize("gates", [(), SITE[3:]], ids=["no gate", "only one without an address"])
def test_a_site_without_gates_has_no_proxy(gates: tuple[Gate, ...]) -> None:
    with pytest.raises(Refused) as caught:
        gate_of_phone({}, registers=True, settings={}, gates=gates, mac=PHONE)
    assert caught.value.reason is Reason.SG_MISSING


# --- values of gates


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("4", "sg1"),
        ("6", "sg2"),
        (" 6 ", "sg2"),
        (6, "sg2"),
        ("10.0.0.6", "sg2"),
        ("10.0.0.6:5060", "sg2"),
        ("10.0.0.6:1", "sg2"),
        ("fd00::10", "sg10"),
        ("fd00:0:0::10", "sg10"),
        ("[fd00::10]:5061", "sg10"),
        ("*", "sg1"),
        (["6", "4"], "sg2"),
        (["99", "10.9.9.9", "sip.example.com", "6"], "sg2"),
        (["99", "*"], "sg1"),
        (["", None, "6"], "sg2"),
        (["2", "6"], "sg2"),
    ],
)
def test_a_gate_by_index_address_list_or_any(asked: object, name: str) -> None:
    assert gate([element(asked)]).name == name


@pytest.mark.parametrize("empty", ["", " ", None, [], [""], [None]])
def test_empty_asks_for_the_default_of_the_domain(empty: object) -> None:
    assert gate([element(empty)], default="6").name == "sg2"
    assert gate([element(empty)], default=["99", "10.0.0.6:5060"]).name == "sg2"


@pytest.mark.parametrize("default", [None, "", [], [""]])
def test_without_a_default_any_gate_will_do(default: object) -> None:
    assert gate([element("")], default=default).name == "sg1"


def test_own_gates_go_before_the_default() -> None:
    assert gate([element("4")], default="6").name == "sg1"


def test_an_account_without_devices_has_the_default() -> None:
    assert gate(None, default="6").name == "sg2"
    assert gate([]).name == "sg1"


@pytest.mark.parametrize("settings", [{"ext": "text"}, {"ext": None}, {}])
def test_settings_of_another_form_have_no_default(settings: dict[str, object]) -> None:
    found = gate_of_phone({}, registers=False, settings=settings, gates=SITE, mac=PHONE)
    assert found.name == "sg1"


@pytest.mark.parametrize(
    "asked", ["99", "4.5", "-4", "sg1", "10.0.0.4:5060:1", "²", "2", ["98", "99"], {"a": "4"}]
)
def test_nothing_usable_is_a_refusal(asked: object) -> None:
    found = refusal([element(asked)])
    assert found.reason is Reason.NO_GATE
    assert "100@a.example.com" in found.detail
    assert "devices[0].gates" in found.detail


def test_the_refusal_names_what_was_asked_and_what_there_is() -> None:
    found = refusal([element(["98", "10.9.9.9"])])
    assert "'98', '10.9.9.9'" in found.detail
    assert "sg1 (index 4, 10.0.0.4)" in found.detail
    assert "sg0 (index 2, address not known)" in found.detail


def test_a_useless_default_is_not_replaced_by_any_gate() -> None:
    found = refusal([element("")], default="99")
    assert found.reason is Reason.NO_GATE
    assert "default_sipuser_noreg_gates" in found.detail


def test_a_site_without_gates_refuses() -> None:
    found = refusal([element("*")], gates=())
    assert found.reason is Reason.NO_GATE
    assert "this site has no enabled sg role" in found.detail


def test_port_transport_and_why() -> None:
    found = gate([element("6", proto="tls")])
    assert (found.address, found.port, found.proto) == ("10.0.0.6", 5066, Proto.TLS)
    assert found.why == "100@a.example.com does not register; devices[0].gates asks for '6': gate sg2"


@pytest.mark.parametrize(
    ("written", "proto"),
    [("udp", Proto.UDP), ("TCP", Proto.TCP), ("tls", Proto.TLS), ("", Proto.UDP), (None, Proto.UDP)],
)
def test_transports(written: object, proto: Proto) -> None:
    assert gate([element(proto=written)]).proto is proto


def test_another_transport_is_refused() -> None:
    found = refusal([element(proto="sctp")])
    assert found.reason is Reason.NOREG_INVALID
    assert "'sctp'" in found.detail


# --- which element is the phone


def phones(*macs: str) -> dict[str, object]:
    return {"ap_devices": [{"mac": mac, "device_model": "T46S"} for mac in macs]}


def test_a_single_element_is_every_phone_s() -> None:
    assert gate([element("6", mac=OTHER)]).name == "sg2"
    assert gate(element("6")).name == "sg2"


def test_the_element_of_the_phone_s_mac() -> None:
    devices = [element("4", mac=OTHER), element("6", mac="00:15:65:00:00:01")]
    assert gate(devices, opts=phones(PHONE, OTHER)).name == "sg2"
    assert gate(devices, opts=phones(PHONE, OTHER), mac=OTHER).name == "sg1"


def test_without_macs_the_order_decides() -> None:
    devices = [element("4"), element("6")]
    opts = phones(OTHER, PHONE)
    assert gate(devices, opts=opts, mac=OTHER).name == "sg1"
    assert gate(devices, opts=opts, mac=PHONE).name == "sg2"


def test_elements_of_other_phones_are_not_counted() -> None:
    devices = [element("4", mac=OTHER), element("6"), element("10")]
    opts = phones(PHONE, OTHER, THIRD)
    assert [gate(devices, opts=opts, mac=mac).name for mac in (PHONE, OTHER, THIRD)] == ["sg2", "sg1", "sg10"]


def test_a_phone_of_the_flat_form_counts_too() -> None:
    devices = [element("4"), element("6")]
    opts = {**phones(OTHER), "ap_mac_address": PHONE}
    assert gate(devices, opts=opts).name == "sg2"


def test_a_phone_beyond_the_list_has_the_first_element() -> None:
    opts = phones(OTHER, THIRD, PHONE)
    assert gate([element("6"), element("4")], opts=opts).name == "sg2"


@pytest.mark.parametrize(
    "device", ["phone.lan", "192.168.0.300", "192.168.0.10:0", "192.168.0.10:65536", "1:x"]
)
def test_a_device_is_an_address(device: str) -> None:
    found = refusal([element(device=device)])
    assert found.reason is Reason.NOREG_INVALID
    assert f"device is {device!r}; it must be ip[:port]" in found.detail


@pytest.mark.parametrize("device", ["192.168.0.10", " 192.168.0.10:65535 ", "[fd00::7]:5060", "", None])
def test_forms_of_a_device(device: str | None) -> None:
    assert gate([element(device=device)]).name == "sg1"


@pytest.mark.parametrize("devices", ["192.168.0.10", ["192.168.0.10"], [None], [["4"]]])
def test_devices_of_another_form_are_refused(devices: object) -> None:
    assert refusal(devices).reason is Reason.NOREG_INVALID


# --- licences

TWO = [element(device="192.168.0.10"), element(device="192.168.0.11")]


@pytest.mark.parametrize("field", ["licences", "licenses"])
def test_more_addresses_than_licences_are_refused(field: str) -> None:
    found = refusal(TWO, **{field: "1"})
    assert found.reason is Reason.LICENCE_EXCEEDED
    assert "2 device addresses, 1 licences" in found.detail
    assert gate(TWO, **{field: "2"}).name == "sg1"


@pytest.mark.parametrize("value", [None, "", " "])
def test_no_licences_field_is_no_limit(value: object) -> None:
    assert gate(TWO, licences=value).name == "sg1"


def test_one_address_written_twice_counts_once() -> None:
    devices = [element(device="192.168.0.10"), element(device="192.168.0.10:5060"), element(device=" ")]
    assert gate(devices, licences="1").name == "sg1"
    devices[1]["device"] = "192.168.0.10:5062"
    assert refusal(devices, licences="1").reason is Reason.LICENCE_EXCEEDED


@pytest.mark.parametrize("value", ["many", "-1", "1.5", ["1"]])
def test_licences_that_are_no_number_are_refused(value: object) -> None:
    found = refusal(TWO, licences=value)
    assert found.reason is Reason.NOREG_INVALID
    assert "licences" in found.detail


def test_the_order_of_the_site_s_gates_does_not_matter() -> None:
    assert gate([element("*")], gates=SITE[::-1]) == gate([element("*")])
