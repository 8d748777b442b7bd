"""The vendor packs of templates/: what holds for every model of every vendor, and for common files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lxml import etree
from packs import (
    LEFT_OVER,
    OPTIONS,
    accounts_of,
    all_options,
    filled,
    golden,
    keys,
    layout_of,
    lines_of,
    models,
    scope_of,
    storage,
    template_of,
    types_of,
)

from era_ap.errors import Reason, Refused
from era_ap.provisioning.language import Kind
from era_ap.provisioning.names import MaskTable, builtin_masks
from era_ap.provisioning.render import Budget, Rendering, render

ONE_OF_EACH = ["T46S", "T28P", "T30", "D735", "GXP2170", "GXP1628"]


def check(rendering: Rendering) -> None:
    assert rendering.warnings == ()
    assert LEFT_OVER.search(rendering.data) is None
    assert rendering.data.endswith(b"\n")


def test_the_storage_is_without_findings() -> None:
    assert storage().problems == ()


@pytest.mark.parametrize("model", models())
def test_every_model_gives_a_file_without_a_warning(model: str) -> None:
    accounts = accounts_of(model)
    check(filled(model))
    full = filled(model, accounts, keys(model, accounts), **all_options())
    check(full)
    assert full.data.count(b"Key 1") == full.data.count(b"Key ") or layout_of(model).areas


@pytest.mark.parametrize("model", models())
def test_every_type_of_key_can_be_written(model: str) -> None:
    types = tuple(types_of(model))
    check(filled(model, 1, keys(model, 1, types) if types else None))


@pytest.mark.parametrize("model", [model for model in models() if layout_of(model).areas is not None])
def test_one_key_too_many_is_left_out_with_a_warning(model: str) -> None:
    blf = keys(model, 1)
    full = filled(model, 1, blf)
    more = filled(model, 1, [*blf, {"number": "299", "label": "too many"}])
    assert more.data == full.data
    assert [problem.reason for problem in more.warnings] == [Reason.KEY_OVERFLOW]


@pytest.mark.parametrize("alias", [a for model in storage().models for a in model.aliases])
def test_every_alias_leads_to_a_template(alias: str) -> None:
    assert template_of(alias)


COMMON = {
    "yealink": ("common.boot", "common.cfg"),
    "snom": ("common.htm",),
    "grandstream": ("common.xml",),
}


@pytest.mark.parametrize(("folder", "name"), [(folder, name) for folder in COMMON for name in COMMON[folder]])
def test_common_files_need_no_account_and_have_no_secret(folder: str, name: str) -> None:
    template = storage().template(f"{folder}/{name}")
    assert template is not None
    data = render(template, scope_of("", (), **all_options()), Budget(lambda: 0.0)).data
    golden("common", f"{folder}-{name}", data)
    assert LEFT_OVER.search(data) is None
    assert b"change-me" not in data
    if template.kind is Kind.XML:
        etree.fromstring(data)


@pytest.mark.parametrize(
    ("requested", "template"),
    [
        ("y000000000000.boot", "yealink/common.boot"),
        ("y000000000066.cfg", "yealink/common.cfg"),
        ("snomD735.htm", "snom/common.htm"),
        ("cfg.xml", "grandstream/common.xml"),
        ("cfggrp2614.xml", "grandstream/common.xml"),
    ],
)
def test_the_built_in_masks_name_the_packs_common_files(requested: str, template: str) -> None:
    assert MaskTable(builtin_masks()).match(requested).mask.template == template
    assert storage().template(template) is not None


@pytest.mark.parametrize("model", ["T46S", "T28P", "D735", "GXP2170", "GXP1628"])
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_off_when_its_constant_is_empty(model: str, option: str) -> None:
    off = {f"use.{each}": "" for each in OPTIONS}
    without = filled(model, **off).data
    assert len(filled(model, **{**off, f"use.{option}": option}).data) > len(without)
    with pytest.raises(Refused) as refused:
        filled(model, **{**off, f"use.{option}": "misspelled"})
    assert refused.value.reason is Reason.INCLUDE_MISSING


@pytest.mark.parametrize("model", ONE_OF_EACH)
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


@pytest.mark.parametrize("model", ["T31P", "GXP1628"])
def test_accounts_past_the_last_line_are_left_out_with_a_warning(model: str) -> None:
    two, three = filled(model, 2), filled(model, 3)
    assert three.data == two.data
    assert [problem.reason for problem in three.warnings] == [Reason.LINE_OVERFLOW]
    assert "103@a.example.com is line 3" in three.warnings[0].detail


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("W610", "W610W"),  # Fanvil, not a Yealink W6
        ("GXP2020", "GXP2000"),  # P-codes, not the aliases of a GXP21xx
        ("CP-8851NR-3PCC", "8841-3PCC"),  # multiplatform, not a SEP file
        ("8831-3PCC", "8841-3PCC"),
        ("CP-8821", "CP-8841"),
        ("VP49", None),
        ("CP930W", "T30"),
        ("Yealink T46S", "T46S"),
        ("Grandstream GRP2614", "GXP2170"),
        ("Polycom VVX 250", "VVX400"),
        ("Poly Edge E320", "EdgeE500"),
        ("Panasonic KX-HDV230", "KX-HDV130"),
        ("Cisco 7945", "7942"),
        ("Snom D895", "D735"),
        # names of other vendors' phones that no pack serves: not found is better than a wrong dialect
        ("CP-6921", None),  # Cisco enterprise
        ("CP-3905", None),
        ("VP-12", None),  # Eltex
        ("VP-R48G", None),  # Akuvox
        ("C520", None),  # Snom
        ("C530 IP", None),  # Gigaset
        ("C590", None),
        ("C620A IP", None),
        ("C60", None),  # Poly
    ],
)
def test_beginnings_of_names_do_not_take_other_vendors_phones(name: str, like: str | None) -> None:
    assert storage().models.generic(name) == like


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("VVX400", [b"gmtOffset", b"daylightSavings.enable"]),
        ("6867i", [b"time zone"]),
        ("ES320", [b"TimeZoneType"]),
        ("J179", [b"GMTOFFSET"]),
        ("1230", [b"TIMEZONE_OFFSET"]),
    ],
)
def test_without_a_zone_a_phone_keeps_its_own(model: str, words: list[bytes]) -> None:
    scope = scope_of(model, lines_of(model, 1, None))
    for constants in (scope.constants[2:4], scope.constants[1:4]):
        bare = replace(scope, constants=constants, missing_is_error=False)
        data = render(template_of(model), bare, Budget(lambda: 0.0)).data
        assert not [word for word in words if word in data]
    assert all(word in filled(model).data for word in words)
