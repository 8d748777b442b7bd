"""The interfaces of the machine that runs the tests; it has loopback at least."""

from __future__ import annotations

import socket

import psutil
import pytest

from era_ap.sip.interfaces import choose, look


def test_loopback_is_there_and_up() -> None:
    loopback = look()[socket.if_nametoindex("lo")]
    assert loopback.name == "lo"
    assert loopback.is_up
    assert loopback.is_loopback
    assert [str(address) for address in loopback.addresses][:1] == ["127.0.0.1/8"]


def test_they_are_found_where_proc_shows_processes_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    everything = look()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    assert look() == everything


def test_they_are_chosen_by_name_or_address_and_without_a_wish_all_that_others_are_on() -> None:
    there = look()
    assert [each.name for each in choose(["lo"], there)] == ["lo"]
    assert [each.name for each in choose(["127.0.0.1"], there)] == ["lo"]
    assert "lo" not in [each.name for each in choose([], there)]
    assert choose(["nosuch0"], there) == ()
