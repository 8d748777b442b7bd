"""The vendor packs of templates/: every model renders, keeps to its dialect, and gives the golden files.

``ERA_AP_GOLDEN=write`` makes this module write tests/data/golden anew instead of comparing with it.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest
from lxml import etree
from packs import (
    EXTENSION,
    MAC,
    OPTIONS,
    ROOT,
    accounts_of,
    all_options,
    filled,
    keys,
    lines_of,
    models,
    scope_of,
    storage,
    template_of,
    vendor_of,
    yealink_values,
)

from era_ap.errors import Reason, Refused
from era_ap.provisioning.language import Kind
from era_ap.provisioning.names import MaskTable, builtin_masks
from era_ap.provisioning.render import Budget, Rendering, render

GOLDEN = ROOT / "tests" / "data" / "golden"
WRITING = os.environ.get("ERA_AP_GOLDEN") == "write"
GOLDEN_MODELS = (
    "T46S-EXP",
    "T31P",
    "T30",
    "T28P",
    "D735",
    "D865",
    "D120",
    "GXP2170-EXP",
    "GRP2614",
    "GXP1628",
)
LEFT_OVER = re.compile(
    rb"\[(?:sipuser|account|blf|constants|nslookup|include|random)[.,]|\[(?:blf|accounts)\]"
)


# --- what holds for every file


def check(model: str, rendering: Rendering) -> None:
    assert rendering.warnings == ()
    assert LEFT_OVER.search(rendering.data) is None
    {"Yealink": check_yealink, "Snom": check_snom, "Grandstream": check_grandstream}[vendor_of(model)](
        rendering.data
    )


def check_yealink(data: bytes) -> None:
    values = yealink_values(data)
    assert all(value.strip() for _, value in values)
    repeated = {key for key, _ in values if [k for k, _ in values].count(key) > 1}
    assert repeated <= {"static.security.user_password", "security.user_password"}


def check_snom(data: bytes) -> None:
    root = etree.fromstring(data)
    assert root.tag == "settings"
    assert [child.tag for child in root.iterchildren(tag=etree.Element)] == ["phone-settings", "functionKeys"]
    seen = set()
    for element in root.iterfind("*/*"):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", element.tag)
        assert set(element.keys()) <= {"idx", "perm", "context", "label", "short_label"}
        assert element.text
        seen.add((element.tag, element.get("idx")))
    assert len(seen) == len(root.findall("*/*"))


def check_grandstream(data: bytes) -> None:
    root = etree.fromstring(data)
    assert (root.tag, root.get("version")) == ("gs_provision", "1")
    assert root.findtext("mac") == MAC
    config = root.find("config")
    assert config is not None
    version = config.get("version")
    names = []
    for element in config.iterchildren(tag=etree.Element):
        assert element.text
        if version == "2":
            assert element.tag == "item"
            assert element.keys() == ["name"]
            names.append(element.get("name"))
        else:
            assert re.fullmatch(r"P[1-9][0-9]*", element.tag)
            assert not element.attrib
            names.append(element.tag)
    assert len(set(names)) == len(names)


def test_the_storage_is_without_findings() -> None:
    assert storage().problems == ()


@pytest.mark.parametrize("model", models())
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    check(model, filled(model))
    check(model, filled(model, accounts, keys(model, accounts), **all_options()))


@pytest.mark.parametrize("alias", [a for model in storage().models for a in model.aliases])
def test_every_alias_leads_to_a_template(alias: str) -> None:
    assert template_of(alias)


WITH_BOOT_FILE = [m for m in models() if storage().models.bases(m)[-1] == "T46S"]


@pytest.mark.parametrize("model", WITH_BOOT_FILE)
def test_a_boot_file_names_the_common_file_and_the_phones_own(model: str) -> None:
    lines = filled(model, kind="boot").data.decode().splitlines()
    assert lines[0] == "#!version:1.0.0.1"
    assert [line for line in lines if line.startswith("include:")] == [
        "include:config <y000000000000.cfg>",
        f"include:config <{MAC}.cfg>",
    ]


@pytest.mark.parametrize(
    "name", ["yealink-common.boot", "yealink-common.cfg", "snom-common.htm", "grandstream-common.xml"]
)
def test_common_files_need_no_account_and_have_no_secret(name: str) -> None:
    template = storage().template(name)
    assert template is not None
    data = render(template, scope_of("", (), **all_options()), Budget(lambda: 0.0)).data
    golden("common", name, data)
    assert LEFT_OVER.search(data) is None
    assert b"change-me" not in data
    if template.kind is Kind.XML:
        etree.fromstring(data)
    else:
        assert data.startswith(b"#!version:1.0.0.1\n")


@pytest.mark.parametrize(
    ("requested", "template"),
    [
        ("y000000000000.boot", "yealink-common.boot"),
        ("y000000000066.cfg", "yealink-common.cfg"),
        ("snomD735.htm", "snom-common.htm"),
        ("cfg.xml", "grandstream-common.xml"),
        ("cfggrp2614.xml", "grandstream-common.xml"),
    ],
)
def test_the_built_in_masks_name_the_packs_common_files(requested: str, template: str) -> None:
    assert MaskTable(builtin_masks()).match(requested).mask.template == template
    assert storage().template(template) is not None


def test_a_grandstream_gets_no_binary_file() -> None:
    match = MaskTable(builtin_masks()).match(f"cfg{MAC}")
    names = [f"{base}.{match.mask.type}" for base in ("GXP2170", "GXP1628")] + ["GXP2170", "GXP1628"]
    assert [name for name in names if storage().template(name)] == []


# --- the golden files


def golden(vendor: str, name: str, data: bytes) -> None:
    path = GOLDEN / vendor.lower() / name
    if WRITING:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert path.read_bytes() == data, f"{path} differs; ERA_AP_GOLDEN=write makes it anew"


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", GOLDEN_MODELS)
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    blf = keys(model, accounts) if full else None
    data = filled(model, accounts, blf, **all_options()).data
    ending = EXTENSION[vendor_of(model)]
    golden(vendor_of(model), f"{model}-{accounts}-{'keys' if full else 'plain'}.{ending}", data)


def test_the_golden_boot_file() -> None:
    golden("yealink", "T46S.boot", filled("T46S", kind="boot").data)


# --- single settings


def setting(model: str, data: bytes, name: str) -> str | None:
    if vendor_of(model) == "Yealink":
        return dict(yealink_values(data)).get(name)
    found = etree.fromstring(data).xpath(name)
    return found[0].text if found else None


@pytest.mark.parametrize(
    ("model", "name", "values"),
    [
        ("T46S", "account.1.sip_server.1.transport_type", "012"),
        ("T28P", "account.1.transport", "012"),
        ("GXP1628", "//P130", "012"),
        ("GXP2170", "//item[@name='account.1.sip.transport']", ("UDP", "TCP", "TlsOrTcp")),
    ],
)
def test_the_transport_is_that_of_the_gate(model: str, name: str, values: tuple[str, ...]) -> None:
    for proto, value in zip(("udp", "tcp", "tls"), values, strict=True):
        assert setting(model, filled(model, **{"sg.proto": proto}).data, name) == value


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        ("GXP1628", "//P31", "0"),
        ("GXP2170", "//item[@name='account.1.sip.registration']", "No"),
        ("T46S", "account.1.reg_fail_retry_interval", "1800"),
        ("T46S", "account.1.password", ""),
        ("T28P", "account.1.password", ""),
        ("D735", "//user_pass", None),
        ("GXP1628", "//P34", None),
        ("GXP2170", "//item[@name='account.1.sip.subscriber.password']", None),
    ],
)
def test_a_phone_without_registration(model: str, name: str, value: str | None) -> None:
    assert setting(model, filled(model, **{"sg.register": "off"}).data, name) == value
    assert setting(model, filled(model).data, name) != value


@pytest.mark.parametrize("model", ["T46S", "T28P", "D735", "GXP2170", "GXP1628"])
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_off_when_its_constant_is_empty(model: str, option: str) -> None:
    off = {f"use.{each}": "" for each in OPTIONS}
    without = filled(model, **off).data
    assert len(filled(model, **{**off, f"use.{option}": option}).data) > len(without)
    with pytest.raises(Refused) as refused:
        filled(model, **{**off, f"use.{option}": "misspelled"})
    assert refused.value.reason is Reason.INCLUDE_MISSING


@pytest.mark.parametrize("model", ["T46S", "T28P", "T30", "D735", "GXP2170", "GXP1628"])
def test_without_any_constant_a_phone_gets_its_line_and_no_password_or_address_of_ours(model: str) -> None:
    scope = scope_of(model, lines_of(model, 1, None))
    bare = replace(scope, constants=scope.constants[2:], missing_is_error=False)
    rendering = render(template_of(model), bare, Budget(lambda: 0.0))
    assert {problem.reason for problem in rendering.warnings} == {Reason.CONSTANT_MISSING}
    assert b"secret-1" in rendering.data
    for harmful in (
        b"user_password",
        b"_pass",
        b"<P2>",
        b"users.",
        b"server.url",
        b"setting_server",
        b"P237",
        b"vlan",
    ):
        assert harmful not in rendering.data.replace(b"user_pass ", b"").replace(b"/user_pass>", b"")


@pytest.mark.parametrize(
    ("firmware", "key"),
    [("28.80.0.95", "security.user_name.admin"), ("28.83.0.50", "static.security.user_name.admin")],
)
def test_a_phone_of_old_firmware_gets_the_old_dialect(firmware: str, key: str) -> None:
    bases = storage().models.bases("T46G", firmware)
    template = next(found for base in bases if (found := storage().template(f"{base}.cfg")))
    scope = replace(scope_of("T46G", lines_of("T46G", 1, ["201"])), bases=bases, missing_is_error=False)
    values = dict(yealink_values(render(template, scope, Budget(lambda: 0.0)).data))
    assert values[key] == "admin"
    assert values["linekey.2.value"] == "201"
    assert len([name for name in values if name.endswith("security.user_name.admin")]) == 1


def test_keys_follow_the_lines_unless_they_say_where_they_are() -> None:
    blf = [{"number": "201", "label": "a"}, {"number": "202", "label": "b", "position": "10"}]
    values = dict(yealink_values(filled("T46S", 2, blf).data))
    assert {key: values[key] for key in values if key.startswith("linekey.") and key.endswith("value")} == {
        "linekey.1.value": "101",
        "linekey.2.value": "102",
        "linekey.3.value": "201",
        "linekey.10.value": "202",
    }
    fkeys = etree.fromstring(filled("D735", 2, blf).data).findall("functionKeys/fkey")
    assert [(key.get("idx"), key.text) for key in fkeys] == [("2", "blf 201|**"), ("9", "blf 202|**")]
    items = etree.fromstring(filled("GXP2170", 2, blf).data).xpath("//item[contains(@name, '.vpk.')]/@name")
    assert {name.split(".")[2] for name in items} == {"3", "10"}


def test_grandstream_accounts_have_the_codes_of_their_number() -> None:
    root = etree.fromstring(filled("GXP2120", 6).data)
    users = ["P35", "P404", "P504", "P604", "P1704", "P1804"]
    assert [root.findtext(f"config/{code}") for code in users] == [str(100 + n) for n in range(1, 7)]
