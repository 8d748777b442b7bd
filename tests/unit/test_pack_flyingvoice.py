"""The Flyingvoice pack: its part of Yealink's dialect, boot file, golden files."""

from __future__ import annotations

import re

import pytest
from packs import MAC, accounts_of, all_options, filled, golden, golden_file, keys, models, storage, types_of

LINE = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+ = .*|#.*|")
EVERYTHING = all_options() | {
    "use.phonebook": "phonebook",
    "phonebook.name": "Company",
    "phonebook.url": "http://192.0.2.1/phonebook.xml",
}


def values(data: bytes) -> dict[str, str]:
    """The settings of a file, which keeps to the dialect; each stands in it once."""
    lines = data.decode().split("\n")
    assert lines[0] == "#!version:1.0.0.1"
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    pairs = [line.partition(" = ") for line in lines if line and not line.startswith("#")]
    assert len({key for key, _, _ in pairs}) == len(pairs)
    return {key: value for key, _, value in pairs}


@pytest.mark.parametrize("model", models("flyingvoice"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts), keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        found = values(filled(model, accounts, blf, **EVERYTHING).data)
        assert all(
            value for key, value in found.items() if not re.search(r"key\.\d+\.(value|ext|pickup)", key)
        )


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", ["FIP13G", "FIP15G", "P10"])
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("flyingvoice", model, min(accounts, accounts_of(model)), full, "cfg")


def test_the_boot_file_names_the_common_file_and_the_phones_own() -> None:
    data = filled("FIP13G", kind="boot").data
    golden("flyingvoice", "FIP13G.boot", data)
    lines = data.decode().splitlines()
    assert lines[0] == "#!version:1.0.0.1"
    assert lines[2:] == ['include:config "y000000000000.cfg"', f'include:config "{MAC}.cfg"']
    for model in models("flyingvoice"):
        assert filled(model, kind="boot").data == data


def test_keys_follow_the_lines() -> None:
    found = values(filled("FIP13G", 2, ["201", {"type": "redial"}, {"number": "202", "position": "9"}]).data)
    assert [found[f"linekey.{n}.type"] for n in (1, 2, 3, 4, 9)] == ["15", "15", "16", "6", "16"]
    assert (found["linekey.3.value"], found["linekey.3.extension"]) == ("201", "**")
    assert "linekey.5.type" not in found


def test_a_model_without_line_keys_writes_none() -> None:
    assert not [key for key in values(filled("P10", 2).data) if key.startswith("linekey")]


def test_the_transport_and_no_registration() -> None:
    for proto, code in (("udp", "0"), ("tcp", "1"), ("tls", "2")):
        found = values(filled("FIP13G", **{"sg.proto": proto}).data)
        assert found["account.1.sip_server.1.transport_type"] == code
    off = values(filled("FIP13G", **{"sg.register": "off"}).data)
    assert (off["account.1.password"], off["account.1.reg_fail_retry_interval"]) == ("", "1800")


def test_codecs_and_resync() -> None:
    found = values(filled("FIP13G").data)
    codecs = sorted(
        (found[key], key.split(".")[3])
        for key in found
        if re.fullmatch(r"account\.1\.codec\..*priority", key)
    )
    assert [codec for _, codec in codecs] == ["pcma", "pcmu", "g722", "g729"]
    assert found["sip.notify_reboot_enable"] == "0"


@pytest.mark.parametrize("name", ["Flyingvoice P23G", "FIP16Plus", "p510", "i86box"])
def test_names_that_phones_give_themselves_are_known(name: str) -> None:
    assert storage().models.generic(name) is None
    assert storage().models.layout(name) is not None
