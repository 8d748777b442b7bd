"""Reading whole accounts and domains."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from era_ap.directory.model import Account, AccountKey, Domain, read_account, read_domain
from era_ap.errors import Problem, Reason, Severity

MAC = "001565000001"


def account(document: object) -> tuple[Account | None, tuple[Problem, ...]]:
    return read_account("example.com", "1001", document, origin="1001.yml", revision="r1")


def domain(document: object) -> tuple[Domain | None, tuple[Problem, ...]]:
    return read_domain("example.com", document, origin="domain.yml", revision="r1")


def test_fields_hold_the_whole_document_with_login_and_domain() -> None:
    read, problems = account(
        {"password": "s", "name": "Desk", "opts": {"x": "017"}, "ext": {"slot": {"k": ["a"]}}}
    )
    assert read is not None
    assert read.fields == {
        "login": "1001",
        "domain": "example.com",
        "password": "s",
        "name": "Desk",
        "opts": {"x": "017"},
        "ext": {"slot": {"k": ["a"]}},
    }
    assert (str(read.key), read.revision, read.origin, problems) == ("1001@example.com", "r1", "1001.yml", ())


def test_keys_sort_by_domain_then_login() -> None:
    assert sorted([AccountKey("b", "1"), AccountKey("a", "2"), AccountKey("a", "10")]) == [
        ("a", "10"),
        ("a", "2"),
        ("b", "1"),
    ]


@pytest.mark.parametrize("text", ["false", "no", "off", "0", "No", " FALSE ", False, 0])
def test_reg_false(text: object) -> None:
    read, problems = account({"reg": text})
    assert read is not None
    assert (read.registers, problems) == (False, ())


@pytest.mark.parametrize("text", ["true", "yes", "on", "1", "YES", True, 1, None])
def test_reg_true(text: object) -> None:
    read, problems = account({"reg": text})
    assert read is not None
    assert (read.registers, problems) == (True, ())


@pytest.mark.parametrize("bad", ["2", "", "maybe", ["no"]])
def test_an_unreadable_reg_is_a_problem_and_true(bad: object) -> None:
    read, (problem,) = account({"reg": bad})
    assert read is not None
    assert read.registers
    assert "reg" in problem.detail


@pytest.mark.parametrize("document", [None, "text", [], ["a"], {"opts": "x"}, {"ext": ["x"]}])
def test_a_document_of_the_wrong_form_is_no_account(document: object) -> None:
    read, (problem,) = account(document)
    assert read is None
    assert (problem.reason, problem.where, problem.severity) == (
        Reason.ACCOUNT_INVALID,
        "1001.yml",
        Severity.ERROR,
    )
    assert "1001@example.com" in problem.detail


@pytest.mark.parametrize(
    "fields", [{"login": "1002"}, {"domain": "other.com"}, {"login": "01001"}, {"domain": ["example.com"]}]
)
def test_a_field_that_disagrees_with_the_place_is_no_account(fields: dict[str, object]) -> None:
    read, (problem,) = account(fields)
    assert read is None
    assert next(iter(fields)) in problem.detail


def test_fields_that_agree_are_fine() -> None:
    read, problems = account({"login": "1001", "domain": "Example.COM"})
    assert read is not None
    assert (read.fields["domain"], problems) == ("example.com", ())


@pytest.mark.parametrize(
    ("document", "right"),
    [
        ({"opts": {"ap_blf": ["1"]}}, "ext.ap_blf"),
        ({"opts": {"ap_override": "x"}}, "ext.ap_override"),
        ({"ext": {"ap_devices": [{"mac": MAC}]}}, "opts.ap_devices"),
        ({"ext": {"ap_mac_address": MAC}}, "opts.ap_mac_address"),
        ({"ap_devices": [{"mac": MAC}]}, "opts.ap_devices"),
        ({"ap_blf": []}, "ext.ap_blf"),
    ],
)
def test_a_misplaced_field_is_not_read_and_warned_of(document: object, right: str) -> None:
    read, (problem,) = account(document)
    assert read is not None
    assert read.devices == ()
    assert problem.severity is Severity.WARNING
    assert right in problem.detail


def test_no_message_holds_the_password() -> None:
    document = {
        "password": "hunter2",
        "reg": ["hunter2"],
        "opts": {"ap_devices": [{"mac": "x", "password": "hunter2"}, "y"]},
    }
    _, problems = account(document)
    assert len(problems) == 3
    assert not any("hunter2" in problem.detail for problem in problems)


def test_device_and_lines_of_a_mac() -> None:
    read, _ = account(
        {"opts": {"ap_devices": [{"mac": MAC, "line": "2"}, {"mac": "001565000002"}, {"mac": MAC}]}}
    )
    assert read is not None
    assert [each.line for each in read.lines_on(MAC)] == [1, 2]
    lowest = read.device(MAC)
    assert lowest is not None
    assert lowest.line == 1
    assert read.device("001565000009") is None


def test_constants_become_dotted_keys() -> None:
    read, problems = domain(
        {
            "settings": {
                "ap_constants": {
                    "a": "1",
                    "b": {"c": {"d": "x"}, "e.f": ""},
                    "ntp": ["n1", {"k": "n2"}],
                    "off": None,
                    "n": 5,
                }
            }
        }
    )
    assert read is not None
    assert read.constants == {"a": "1", "b.c.d": "x", "b.e.f": "", "ntp.0": "n1", "ntp.1.k": "n2", "n": "5"}
    assert problems == ()


@pytest.mark.parametrize(
    "constants", [{"domain": "x"}, {"newid": "x"}, {"sg": {"addr": "x"}}, {"sg.addr": "x"}]
)
def test_reserved_constants_are_not_redefined(constants: dict[str, object]) -> None:
    read, (problem,) = domain({"settings": {"ap_constants": constants}})
    assert read is not None
    assert read.constants == {}
    assert (problem.reason, problem.severity) == (Reason.DOMAIN_INVALID, Severity.WARNING)


def test_a_constant_defined_twice_keeps_the_first() -> None:
    read, (problem,) = domain({"settings": {"ap_constants": {"a": {"b": "1"}, "a.b": "2"}}})
    assert read is not None
    assert read.constants == {"a.b": "1"}
    assert "a.b" in problem.detail


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        (None, ()),
        ("[mac].cfg", ("[mac].cfg",)),
        (["a", {"mask": "b", "type": "t"}], ("a", {"mask": "b", "type": "t"})),
        ([], ()),
    ],
)
def test_masks(masks: object, expected: tuple[object, ...]) -> None:
    read, problems = domain({"settings": {"ap_options": {"masks": masks}}})
    assert read is not None
    assert (read.masks, problems) == (expected, ())


@pytest.mark.parametrize("document", [{}, {"settings": None}, {"name": "Example.com", "settings": {}}])
def test_a_domain_without_settings(document: object) -> None:
    read, problems = domain(document)
    assert read is not None
    assert (read.settings, read.constants, read.masks, problems) == ({}, {}, (), ())


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {"settings": "x"},
        {"settings": {"ap_constants": []}},
        {"settings": {"ap_options": "m"}},
        {"name": "other.com"},
    ],
)
def test_an_unreadable_domain(document: object) -> None:
    read, (problem,) = domain(document)
    assert read is None
    assert (problem.reason, problem.where) == (Reason.DOMAIN_INVALID, "domain.yml")


def test_constants_outside_settings_are_warned_of() -> None:
    read, (problem,) = domain({"ap_constants": {"a": "1"}})
    assert read is not None
    assert read.constants == {}
    assert "settings.ap_constants" in problem.detail


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([MAC, "1", "x"]),
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(["mac", "line", "blf", "a"]), each)
    ),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ["opts", "ext", "reg", "login", "domain", "settings", "ap_devices", "ap_constants", "masks"]
)
_OPTS = st.dictionaries(
    st.sampled_from(["ap_devices", "ap_mac_address", "ap_device_model", "ap_blf"]), _VALUES
)


@settings(max_examples=300, deadline=None)
@given(_VALUES | st.dictionaries(_KEYS, _VALUES) | st.fixed_dictionaries({"opts": _OPTS, "settings": _OPTS}))
def test_no_document_raises_and_what_is_refused_has_a_problem(document: object) -> None:
    read, problems = account(document)
    assert read is not None or problems
    settled, problems = domain(document)
    assert settled is not None or problems
