"""The new and the old field form of devices and their precedence (E5, E7, E10, E11; b3, b4)."""

from __future__ import annotations

import pytest

from era_ap.directory.devices import Device, read_devices
from era_ap.directory.notation import Findings
from era_ap.errors import Problem, Reason, Severity

A, B, C = "001565000001", "001565000002", "001565000003"


def read(
    opts: dict[str, object], ext: dict[str, object] | None = None
) -> tuple[tuple[Device, ...], list[Problem]]:
    found = Findings("1001.yml", "1001@example.com")
    return read_devices(opts, ext or {}, found), found.problems


def test_one_object() -> None:
    (device,), problems = read(
        {
            "ap_devices": {
                "mac": "00:15:65:00:00:01",
                "device_model": "T46S",
                "line": "2",
                "blf": ["100"],
                "override": {"a": "b"},
            }
        }
    )
    assert (device.mac, device.model, device.line, device.blf, device.override) == (
        A,
        "T46S",
        2,
        ["100"],
        {"a": "b"},
    )
    assert not problems


def test_a_list_keeps_each_phone_apart() -> None:
    devices, problems = read(
        {
            "ap_devices": [
                {"mac": A, "device_model": "T46S", "blf": ["1"]},
                {"mac": B, "device_model": "D785", "override": "x"},
            ]
        }
    )
    assert [(each.mac, each.model, each.blf, each.override) for each in devices] == [
        (A, "T46S", ["1"], None),
        (B, "D785", None, "x"),
    ]
    assert not problems


def test_flat_form_alone_is_a_device() -> None:
    (device,), problems = read(
        {"ap_mac_address": A, "ap_device_model": "T46S"}, {"ap_blf": ["100"], "ap_override": {"k": "v"}}
    )
    assert (device.mac, device.model, device.line, device.blf, device.override) == (
        A,
        "T46S",
        1,
        ["100"],
        {"k": "v"},
    )
    assert not problems


@pytest.mark.parametrize("flat_mac", [None, A, B])
def test_what_the_element_lacks_comes_from_the_flat_form(flat_mac: str | None) -> None:
    opts = {"ap_devices": {"mac": A}, "ap_device_model": "T46S", "ap_mac_address": flat_mac}
    devices, _ = read(opts, {"ap_blf": ["100"], "ap_override": {"k": "v"}})
    assert (devices[0].mac, devices[0].model, devices[0].blf, devices[0].override) == (
        A,
        "T46S",
        ["100"],
        {"k": "v"},
    )


def test_what_the_element_gives_wins() -> None:
    element = {"mac": A, "device_model": "D785", "blf": ["7"], "override": "own"}
    (device,), _ = read(
        {"ap_devices": element, "ap_device_model": "T46S", "ap_mac_address": A},
        {"ap_blf": ["1"], "ap_override": "flat"},
    )
    assert (device.model, device.blf, device.override) == ("D785", ["7"], "own")


@pytest.mark.parametrize("empty", [[], {}, ""])
def test_an_explicit_empty_value_counts_as_given(empty: object) -> None:
    (device,), _ = read(
        {"ap_devices": {"mac": A, "blf": empty, "override": empty}}, {"ap_blf": ["1"], "ap_override": "x"}
    )
    assert (device.blf, device.override) == (empty, empty)


def test_null_counts_as_lacking() -> None:
    element = {"mac": A, "device_model": None, "blf": None, "override": None, "line": None}
    (device,), problems = read(
        {"ap_devices": element, "ap_device_model": "T46S"}, {"ap_blf": ["1"], "ap_override": "x"}
    )
    assert (device.model, device.blf, device.override, device.line) == ("T46S", ["1"], "x", 1)
    assert not problems


def test_a_different_flat_mac_is_a_further_device() -> None:
    devices, problems = read(
        {
            "ap_devices": [{"mac": A, "device_model": "D785"}],
            "ap_mac_address": "00-15-65-00-00-03",
            "ap_device_model": "T46S",
        },
        {"ap_blf": ["1"]},
    )
    assert [(each.mac, each.model, each.blf) for each in devices] == [(A, "D785", ["1"]), (C, "T46S", ["1"])]
    assert not problems


def test_the_same_mac_in_both_forms_is_one_device() -> None:
    devices, problems = read(
        {"ap_devices": [{"mac": "00:15:65:00:00:01"}], "ap_mac_address": "0015.6500.0001"}
    )
    assert [each.mac for each in devices] == [A]
    assert not problems


def test_the_only_element_without_a_mac_takes_the_flat_one() -> None:
    devices, problems = read({"ap_devices": {"device_model": "T46S", "line": "2"}, "ap_mac_address": A})
    assert [(each.mac, each.model, each.line) for each in devices] == [(A, "T46S", 2)]
    assert not problems


def test_two_elements_without_a_mac_are_problems_and_the_flat_mac_stays_a_device() -> None:
    devices, problems = read({"ap_devices": [{"line": "1"}, {"line": "2"}], "ap_mac_address": A})
    assert [each.mac for each in devices] == [A]
    assert [each.reason for each in problems] == [Reason.DEVICE_INVALID] * 2


@pytest.mark.parametrize("bad", ["zz", "0015650000", "1565112233", ["001565000001"], {"a": "b"}])
def test_a_bad_mac_is_named_and_the_other_devices_go_on(bad: object) -> None:
    devices, (problem,) = read({"ap_devices": [{"mac": bad, "device_model": "X"}, {"mac": B}]})
    assert [each.mac for each in devices] == [B]
    assert (problem.reason, problem.severity, problem.where) == (
        Reason.DEVICE_INVALID,
        Severity.ERROR,
        "1001.yml",
    )
    assert "1001@example.com" in problem.detail
    assert "opts.ap_devices[0].mac" in problem.detail
    assert not isinstance(bad, str) or repr(bad) in problem.detail


@pytest.mark.parametrize(
    "opts", [{"ap_devices": {"mac": "00:00:00:00:00:00"}}, {"ap_mac_address": "000000000000"}]
)
def test_zeroes_are_never_a_device(opts: dict[str, object]) -> None:
    devices, (problem,) = read(opts)
    assert devices == ()
    assert (problem.reason, problem.severity) == (Reason.DEVICE_INVALID, Severity.WARNING)


@pytest.mark.parametrize("line", ["0", "-1", "+2", "1.5", "one", "²", "1000000", ["1"]])
def test_a_bad_line_is_a_problem_and_one(line: object) -> None:
    (device,), (problem,) = read({"ap_devices": {"mac": A, "line": line}})
    assert device.line == 1
    assert "line" in problem.detail


@pytest.mark.parametrize("value", ["text", ["text"], [["x"]], [None]])
def test_devices_that_are_no_objects(value: object) -> None:
    devices, (problem,) = read({"ap_devices": value})
    assert devices == ()
    assert problem.reason is Reason.DEVICE_INVALID


def test_a_model_that_is_not_text_leaves_the_device_without_one() -> None:
    (device,), (problem,) = read({"ap_devices": {"mac": A, "device_model": ["T46S"]}})
    assert device.model is None
    assert "device_model" in problem.detail


def test_the_same_mac_on_the_same_line_twice_keeps_the_first() -> None:
    devices, (problem,) = read(
        {
            "ap_devices": [
                {"mac": A, "device_model": "first"},
                {"mac": "00:15:65:00:00:01", "device_model": "second"},
            ]
        }
    )
    assert [each.model for each in devices] == ["first"]
    assert problem.severity is Severity.WARNING
    assert A in problem.detail


def test_the_same_mac_on_two_lines_stays_two_lines() -> None:
    devices, problems = read({"ap_devices": [{"mac": A, "line": "3"}, {"mac": A, "line": "1"}]})
    assert [each.line for each in devices] == [3, 1]
    assert not problems
