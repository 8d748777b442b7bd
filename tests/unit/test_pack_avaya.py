"""The Avaya pack: SET lines of the J100, KEY lines of the 12xx, phone keys, boot chains, golden files."""

from __future__ import annotations

import re

import pytest
from pack_chain import MAC as PHONE
from pack_chain import asked, chain
from packs import (
    all_options,
    filled,
    golden,
    golden_file,
    keys,
    layout_of,
    lines_of,
    models,
    scope_of,
    template_of,
    types_of,
)

from era_ap.errors import Reason, Refused
from era_ap.provisioning.render import Budget, render

SET = re.compile(r'SET [A-Z0-9_]+ (?:"[^"]*"|[^\s"]+)|##.*|')
KEY = re.compile(r"[A-Z][A-Z0-9_]+ .+|#.*|\[[A-Z_]+\]|")
J100 = [model for model in models("avaya") if model.startswith("J")]
OLDER = [model for model in models("avaya") if not model.startswith("J")]


def values(data: bytes) -> list[tuple[str, str]]:
    lines = data.decode().splitlines()
    assert not [line for line in lines if not SET.fullmatch(line)]
    parts = [line.split(" ", 2) for line in lines if line.startswith("SET ")]
    return [(name, value.strip('"')) for _, name, value in parts]


def phone_keys(data: bytes) -> list[str]:
    return [value for name, value in values(data) if name == "PHONEKEY"]


@pytest.mark.parametrize("model", J100)
def test_every_j100_keeps_to_its_dialect(model: str) -> None:
    for blf in (None, keys(model, 1), keys(model, 1, tuple(types_of(model)) or ("blf",))):
        found = values(filled(model, 1, blf, **all_options()).data)
        names = [name for name, _ in found if name != "PHONEKEY"]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("model", OLDER)
def test_every_12xx_keeps_its_lines_below_80_characters(model: str) -> None:
    lines = filled(model, 1, **all_options()).data.decode().splitlines()
    assert not [line for line in lines if not KEY.fullmatch(line) or len(line) > 79]
    assert "AUTOLOGIN_ID_KEY01 101@a.example.com" in lines
    scope = scope_of(model, lines_of(model, 1, None, password="x" * 80))
    with pytest.raises(Refused) as refused:
        render(template_of(model), scope, Budget(lambda: 0.0))
    assert refused.value.reason is Reason.LINE_LENGTH


@pytest.mark.parametrize(
    ("model", "full"),
    [("J179", False), ("J179", True), ("J139", False), ("J139", True), ("J129", False), ("1230", False)],
)
def test_a_model_gives_its_golden_file(model: str, full: bool) -> None:
    golden_file("avaya", model, 1, full, "cfg")


def test_phone_keys_begin_at_4_and_button_modules_at_25() -> None:
    blf = [
        {"number": "201", "label": "Anna"},
        {"type": "speeddial", "number": "0305551", "label": "Taxi"},
        {"type": "dnd", "label": "DND"},
        {"number": "202", "module": "1"},
        {"number": "203", "module": "3", "position": "24"},
    ]
    assert phone_keys(filled("J179", 1, blf).data) == [
        "Key=4;Type=feature;Name=blf;attr1=201;attr2=201;Label=Anna;Forced",
        "Key=5;Type=autodial;Name=autodial;attr1=0305551;Label=Taxi;Forced",
        "Key=6;Type=feature;Name=dnd;Label=DND;Forced",
        "Key=25;Type=feature;Name=blf;attr1=202;attr2=202;Label=202;Forced",
        "Key=96;Type=feature;Name=blf;attr1=203;attr2=203;Label=203;Forced",
    ]


def test_no_entry_can_add_parts_to_a_key() -> None:
    rendering = filled("J179", 1, [{"number": "201", "label": 'A;Type=line"'}, {"number": "2;Name=x"}])
    assert phone_keys(rendering.data) == [
        "Key=4;Type=feature;Name=blf;attr1=201;attr2=201;Label=A Type=line ;Forced"
    ]
    assert [problem.reason for problem in rendering.warnings] == [Reason.KEY_VALUE]


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
def test_the_controller_is_the_gate(proto: str) -> None:
    found = dict(values(filled("J179", **{"sg.proto": proto}).data))
    assert found["SIP_CONTROLLER_LIST"] == f"192.0.2.10:5060;transport={proto}"
    assert found["SIPDOMAIN"] == "a.example.com"


@pytest.mark.parametrize("model", ["J179", "1230"])
def test_without_registration_there_is_no_password(model: str) -> None:
    assert b"secret-1" in filled(model).data
    off = filled(model, **{"sg.register": "off"}).data
    assert b"secret-1" not in off
    assert b"PASSW" not in off.replace(b"WEB_ADMIN_PASSWORD", b"").replace(b"ADMIN_PASSWORD", b"")


def test_the_clock() -> None:
    berlin = dict(values(filled("J179", timezone="Europe/Berlin").data))
    assert berlin["GMTOFFSET"] == "+1:00"
    assert (berlin["DSTSTART"], berlin["DSTSTOP"]) == ("LSunMar2L", "LSunOct3L")
    moscow = dict(values(filled("J179").data))
    assert (moscow["GMTOFFSET"], moscow["DAYLIGHT_SAVING_SETTING_MODE"]) == ("+3:00", "0")
    assert "DSTSTART" not in moscow
    assert b"TIMEZONE_OFFSET 10800" in filled("1230").data


def test_a_j100_has_one_line() -> None:
    assert layout_of("J179").lines == 1
    assert [problem.reason for problem in filled("J179", 2).warnings] == [Reason.LINE_OVERFLOW]


def test_the_boot_chain_of_a_j100_is_what_its_files_name() -> None:
    names = chain("avaya", "J179")
    assert names == ["J100Supgrade.txt", "46xxsettings.txt", f"{PHONE}.cfg"]
    for name, following in zip(names, ("46xxsettings.txt", "$MACADDR.cfg"), strict=False):
        data = asked("J179", name)
        assert data is not None
        golden("avaya", f"common-{name}", data)
        assert data.decode().splitlines()[-1] == f"GET {following}"


def test_the_boot_chain_of_a_12xx() -> None:
    assert chain("avaya-12xx", "1230") == ["1230SIP.cfg", f"SIP{PHONE.upper()}.cfg"]
    data = asked("1230", "1230SIP.cfg") or b""
    golden("avaya", "common-1230SIP.cfg", data)
    assert b"[USER_CONFIG]" in data
