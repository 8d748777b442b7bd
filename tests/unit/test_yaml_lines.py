"""The line of a field, in YAML and in JSON."""

from __future__ import annotations

import pytest

from era_ap.directory.yaml_lines import line_of, line_of_finding

TEXT = """\
# an account
name: Anna
opts:
  ap_devices:
  - mac: 001565000001
  - {mac: nonsense,
     line: first}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("name", 2),
        ("opts.ap_devices", 4),
        ("opts.ap_devices[0].mac", 5),
        ("opts.ap_devices[1].line", 7),
        ("opts.ap_devices[1].model", 6),
        ("opts.ap_devices[7].mac", 4),
        ("ext.ap_blf", None),
    ],
)
def test_the_field_or_the_deepest_object_around_it(path: str, line: int | None) -> None:
    assert line_of(TEXT, path) == line


def test_json_is_read_for_lines_too() -> None:
    assert line_of('{\n "opts": {\n  "ap_mac_address": "x"}}', "opts.ap_mac_address") == 3


def test_what_is_no_yaml_has_no_lines() -> None:
    assert line_of("a: [", "a") is None


def test_a_finding_names_its_field() -> None:
    assert line_of_finding(TEXT, "opts.ap_devices[1].mac is 'nonsense'; a MAC is …") == 6
    assert line_of_finding(TEXT, "the field name must be text") == 2
    assert line_of_finding(TEXT, "reg is 'x'; write true or false") is None
