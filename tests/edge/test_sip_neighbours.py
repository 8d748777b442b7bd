"""Neighbours of the machine that runs the tests; loopback has none."""

from __future__ import annotations

import pytest

from era_ap.sip.neighbours import mac_of


@pytest.mark.parametrize("interface", ["lo", "nosuch0", "#7", "a name longer than any interface has"])
def test_who_is_not_in_the_table_has_no_mac(interface: str) -> None:
    assert mac_of("127.0.0.1", interface) == ""
