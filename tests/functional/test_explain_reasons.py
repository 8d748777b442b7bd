"""Broken set-ups, as an operator meets them: each has its own stable reason code in ``era-ap explain``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from era_ap.cli import main
from tests.conftest import MAC, Site

Break = Callable[[Site], object]
NAME = f"{MAC}.cfg"
FULL = "user = [sipuser.login]\nsecret = [sipuser.password]\n"


def explained(site: Site, mac: str = MAC, name: str = NAME, *options: str) -> dict[str, object]:
    result = CliRunner().invoke(main, ["explain", mac, name, "-c", str(site.config), "--json", *options])
    assert result.exit_code in (0, 1), result.output
    document: dict[str, object] = json.loads(result.stdout)
    assert (result.exit_code == 0) == (document["outcome"] == "served")
    return document


def chain_of(site: Site, levels: int) -> None:
    for level in range(levels):
        site.template(f"level{level}.inc", f"[include.level{level + 1}.inc]")
    site.template("T46S.cfg", "[include.level0.inc]")


def loop(site: Site) -> None:
    site.template("a.inc", "[include.b.inc]")
    site.template("b.inc", "[include.a.inc]")
    site.template("T46S.cfg", "[include.a.inc]")


def fan_out(site: Site) -> None:
    for level in range(20):
        site.template(f"fan{level}.inc", f"[include.fan{level + 1}.inc][include.fan{level + 1}.inc]")
    site.template("fan20.inc", "x")
    site.template("T46S.cfg", "[include.fan0.inc]")


def link_out(site: Site) -> None:
    outside = site.root / "outside.cfg"
    outside.write_text("secret = 1\n")
    (site.root / "storage/templates/T46S.cfg").unlink()
    (site.root / "storage/templates/T46S.cfg").symlink_to(outside)


def hard_link(site: Site) -> None:
    outside = site.root / "outside.cfg"
    outside.write_text("secret = 1\n")
    (site.root / "storage/templates/T46S.cfg").unlink()
    os.link(outside, site.root / "storage/templates/T46S.cfg")


def fifo(site: Site) -> None:
    (site.root / "storage/templates/T46S.cfg").unlink()
    os.mkfifo(site.root / "storage/templates/T46S.cfg")


def noreg(site: Site, *, licences: str | None = None, **device: object) -> None:
    gate = {"name": "sg1", "roletype": "sg", "iface": "lo", "ext": {"srvidx": 4}}
    site.extra_roles.append(gate)
    site.configure()
    fields = {"licences": licences} if licences else {}
    devices = [{"device": "192.0.2.1", **device}, {"device": "192.0.2.2", **device}]
    site.account(
        "101", reg="no", devices=devices, opts={"ap_devices": {"mac": MAC, "device_model": "T46S"}}, **fields
    )


REFUSED: list[tuple[str, Break]] = [
    ("no-mask", lambda site: None),
    ("mac-zero", lambda site: None),
    ("mac-unknown", lambda site: (site.root / "directory/a.example.com/sipusers/101.yml").unlink()),
    ("model-missing", lambda site: site.phone("101", MAC, model="")),
    ("template-missing", lambda site: site.phone("101", MAC, model="T99X")),
    ("common-template-missing", lambda site: None),
    (
        "static-ambiguous",
        lambda site: (site.static("Ring.WAV", "a"), site.static("ring.wav", "b")),
    ),
    ("static-is-folder", lambda site: site.static("firmware/T46S.rom", "x")),
    (
        "firmware-unsupported",
        lambda site: (
            site.template("models.yml", "T46S: {firmware: [{versions: '>=80', template: T46S}]}\n"),
            site.phone("101", MAC, firmware="28.1"),
        ),
    ),
    ("name-traversal", lambda site: None),
    ("name-invalid", lambda site: None),
    ("name-drive", lambda site: None),
    ("name-too-long", lambda site: None),
    ("mac-conflict", lambda site: site.phone("201", MAC, domain="b.example.com")),
    ("network-closed", lambda site: None),
    ("no-gate", lambda site: noreg(site, gates=["9"])),
    ("licence-exceeded", lambda site: noreg(site, licences="1")),
    ("sg-missing", lambda site: site.template("T46S.cfg", "proxy = [constants.sg.addr]\n")),
    ("template-syntax", lambda site: site.template("T46S.cfg", "user = [sipuser.login\n")),
    ("template-encoding", lambda site: site.template("T46S.cfg", b"user = \xff\xfe\xfa\n")),
    ("template-too-large", lambda site: site.template("T46S.cfg", "#" * (1 << 20) + "\n#\n")),
    ("include-missing", lambda site: site.template("T46S.cfg", "[include.gone.inc]\n")),
    ("include-cycle", loop),
    ("include-outside", lambda site: site.template("T46S.cfg", "[include.../../etc/passwd]\n")),
    ("depth-limit", lambda site: chain_of(site, 40)),
    ("expansion-limit", fan_out),
    (
        "output-limit",
        lambda site: (
            site.template("big.inc", "x" * 900_000),
            site.template("T46S.cfg", "[include.big.inc][include.big.inc]"),
        ),
    ),
    ("random-range", lambda site: site.template("T46S.cfg", "[random.0]")),
    ("account-in-common", lambda site: site.template("yealink/common.cfg", "user = [sipuser.login]\n")),
    (
        "blf-template-missing",
        lambda site: (site.template("T46S.cfg", FULL + "[blf]\n"), site.phone("101", MAC, blf=["102"])),
    ),
    (
        "blf-invalid",
        lambda site: (site.template("T46S.cfg", FULL + "[blf]\n"), site.phone("101", MAC, blf="102")),
    ),
    ("account-template-missing", lambda site: site.template("T46S.cfg", "[accounts]\n")),
    (
        "required-missing",
        lambda site: site.account(
            "101", password="", opts={"ap_devices": {"mac": MAC, "device_model": "T46S"}}
        ),
    ),
    (
        "field-missing",
        lambda site: (
            site.ext.update(missing="error"),
            site.configure(),
            site.template("T46S.cfg", "x = [sipuser.ext.gone]\n"),
        ),
    ),
    (
        "constant-missing",
        lambda site: (
            site.ext.update(missing="error"),
            site.configure(),
            site.template("T46S.cfg", "x = [constants.gone]\n"),
        ),
    ),
    (
        "name-unresolved",
        lambda site: (
            site.ext.update(missing="error", dns=["127.0.0.1"]),
            site.configure(),
            site.template("T46S.cfg", "x = [nslookup.no such host]\n"),
        ),
    ),
    ("override-form", lambda site: site.phone("101", MAC, override={"a": {"b": "c"}})),
    (
        "override-dialect",
        lambda site: (
            site.template("T46S.cfg", "only words here\n"),
            site.phone("101", MAC, override={"a": "b"}),
        ),
    ),
    (
        "override-xpath",
        lambda site: (
            site.template("T46S.cfg", "<a><b/></a>\n"),
            site.phone("101", MAC, override={"//b[": "c"}),
        ),
    ),
    (
        "override-fragment",
        lambda site: (
            site.template("T46S.cfg", "<a><b/></a>\n"),
            site.phone("101", MAC, override="<b>unclosed"),
        ),
    ),
    ("xml-broken", lambda site: site.template("T46S.cfg", "<?xml version='1.0'?>\n<a><b></a>\n")),
    (
        "xml-entity",
        lambda site: site.template(
            "T46S.cfg", "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>"
        ),
    ),
    (
        "value-forbidden",
        lambda site: (
            site.template("models.yml", "T46S: {dialect: {forbidden: '\"'}}\n"),
            site.account(
                "101", password='s3"cret', opts={"ap_devices": {"mac": MAC, "device_model": "T46S"}}
            ),
        ),
    ),
    (
        "line-length",
        lambda site: site.template("models.yml", "T46S: {dialect: {line_length: 10}}\n"),
    ),
    ("file-outside", link_out),
    ("file-hard-link", hard_link),
    ("file-special", fifo),
    ("storage-unavailable", lambda site: shutil.rmtree(site.root / "storage")),
    ("directory-unavailable", lambda site: shutil.rmtree(site.root / "directory")),
]

NAMES = {
    "no-mask": "nothing-like-it.bin",
    "mac-zero": "SEP000000000000.cnf.xml",
    "common-template-missing": "y000000000028.cfg",
    "account-in-common": "y000000000028.cfg",
    "static-ambiguous": "RING.wav",
    "static-is-folder": "firmware",
    "name-traversal": "../../etc/passwd",
    "name-invalid": "a\x01b",
    "name-drive": "C:/boot.cfg",
    "name-too-long": "x" * 600,
}

FINDINGS: list[tuple[str, Break]] = [
    ("models-invalid", lambda site: site.template("models.yml", "T46S: [")),
    ("model-cycle", lambda site: site.template("models.yml", "A: {like: B}\nB: {like: A}\n")),
    ("constants-invalid", lambda site: site.constants("no equals sign\n")),
    ("mask-invalid", lambda site: site.domain("example.com", ap_options={"masks": [{"mask": "x.cfg"}]})),
    (
        "account-invalid",
        lambda site: (site.root / "directory/a.example.com/sipusers/102.yml").write_text("a: [\n"),
    ),
    ("device-invalid", lambda site: site.phone("102", "not a mac")),
    ("domain-invalid", lambda site: (site.root / "directory/a.example.com/domain.yml").write_text("- 1\n")),
]


def test_the_set_up_itself_works(site: Site) -> None:
    document = explained(site)
    assert document["reason"] == "rendered"
    assert document["model"] == "T46S"
    assert document["template"] == "T46S.cfg"
    assert [account["account"] for account in document["accounts"]] == ["101@a.example.com"]  # type: ignore[index,union-attr]


@pytest.mark.parametrize(("reason", "break_it"), REFUSED, ids=[reason for reason, _ in REFUSED])
def test_a_broken_set_up_has_its_own_reason(site: Site, reason: str, break_it: Break) -> None:
    break_it(site)
    options = ("--from", "203.0.113.9") if reason == "network-closed" else ()
    document = explained(site, MAC, NAMES.get(reason, NAME), *options)
    assert document["reason"] == reason
    assert document["advice"]
    assert "s3cret" not in json.dumps(document)


@pytest.mark.parametrize(("reason", "break_it"), FINDINGS, ids=[reason for reason, _ in FINDINGS])
def test_a_broken_file_beside_the_way_is_told_to_whoever_looks_for_a_refusal(
    site: Site, reason: str, break_it: Break
) -> None:
    break_it(site)
    document = explained(site, "0015650000ff", "0015650000ff.cfg")
    assert document["reason"] == "mac-unknown"
    assert reason in [problem["reason"] for problem in document["related"]]  # type: ignore[index,union-attr]


TOLD: list[tuple[str, Break]] = [
    ("key-type", lambda site: keys(site, {"type": "nix"})),
    ("key-place", lambda site: keys(site, {"position": "1"})),
    ("key-value", lambda site: keys(site, {"number": "1;2"})),
    ("key-overflow", lambda site: keys(site, "1", "2", "3")),
    ("line-overflow", lambda site: site.phone("102", MAC, line=2)),
    (
        "value-changed",
        lambda site: (
            site.phone("101", MAC, label="a;b"),
            site.template("T46S.cfg", "[sipuser.opts.ap_devices.label]"),
        ),
    ),
    ("model-unlisted", lambda site: site.phone("101", MAC, model="T77")),
    (
        "timezone-unknown",
        lambda site: site.domain("a.example.com", ap_constants={"timezone": "Europe/Moskow"}),
    ),
    (
        "timezone-nearest",
        lambda site: (
            site.domain("a.example.com", ap_constants={"timezone": "America/Nuuk"}),
            site.template("T46S.cfg", "[constants.snom.timezone]"),
        ),
    ),
]


def keys(site: Site, *entries: object) -> None:
    """Keys for a phone that has two beside that of its line."""
    site.template("T46S.cfg", "[blf]\n")
    site.template("T46S.blf", "[blf.position] = [blf.code]\n")
    site.phone("101", MAC, blf=list(entries))


@pytest.mark.parametrize(("reason", "break_it"), TOLD, ids=[reason for reason, _ in TOLD])
def test_what_does_not_stop_a_file_is_told_with_it(site: Site, reason: str, break_it: Break) -> None:
    site.template("T46S.account", "[account.login]")
    site.template("T46S.cfg", "[accounts]\n")
    site.template(
        "models.yml",
        "generic: {T7: T46S}\n"
        "T46S: {accounts: 1, keys: {line: 3}, types: {blf: 16}, dialect: {forbidden: ';'}}\n",
    )
    break_it(site)
    document = explained(site)
    assert document["reason"] == "rendered"
    assert reason in {warning["reason"] for warning in document["warnings"]}  # type: ignore[index,union-attr]


def test_there_are_forty_of_them_and_no_two_share_a_code() -> None:
    codes = [reason for reason, _ in (*REFUSED, *FINDINGS)]
    assert len(codes) == len(set(codes)) >= 40


def test_the_nearest_mac_is_named(site: Site) -> None:
    document = explained(site, "001565000010", "001565000010.cfg")
    assert document["reason"] == "mac-unknown"
    assert document["nearest"] == ["001565000001 (101@a.example.com)"]


def test_the_nearest_template_is_named(site: Site) -> None:
    site.phone("101", MAC, model="T46")
    document = explained(site)
    assert document["reason"] == "template-missing"
    assert document["nearest"] == ["templates/T46S.cfg"]


def test_the_nearest_include_is_named(site: Site) -> None:
    site.template("phone.inc", "x\n")
    site.template("T46S.cfg", "[include.fone.inc]\n")
    document = explained(site)
    assert document["reason"] == "include-missing"
    assert document["nearest"] == ["templates/phone.inc"]


def test_an_unreadable_template_is_told_apart_from_a_missing_one(site: Site) -> None:
    path = site.template("T46S.cfg", FULL)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert explained(site)["reason"] == "template-unreadable"


def test_every_value_has_an_origin_and_secrets_are_masked(site: Site) -> None:
    site.template("T46S.cfg", FULL + "level = [constants.level]\nntp = [constants.ntp]\n[include.more.inc]")
    site.template("more.inc", "domain = [constants.domain]\n")
    site.phone("101", MAC, override={"level": "own", "user": None})
    document = explained(site)
    values = {entry["placeholder"]: entry for entry in document["values"]}  # type: ignore[index,union-attr]
    assert values["[sipuser.password]"]["value"] == "***"
    assert "101@a.example.com" in values["[sipuser.login]"]["origin"]
    assert "a.example.com" in values["[constants.level]"]["origin"]
    assert "lab" in values["[constants.ntp]"]["origin"]
    assert "more.inc" in values["[constants.domain]"]["where"]
    effects = {entry["placeholder"]: entry["effect"] for entry in document["overrides"]}  # type: ignore[index,union-attr]
    assert effects == {"level": "replaced", "user": "removed"}
    assert "s3cret" not in json.dumps(document)


def test_a_name_of_another_phone_is_a_slip(site: Site) -> None:
    result = CliRunner().invoke(main, ["explain", MAC, "001565ffffff.cfg", "-c", str(site.config)])
    assert result.exit_code == 2
    assert "belongs to the phone 001565ffffff" in result.output


def test_text_for_people_says_the_same(site: Site) -> None:
    result = CliRunner().invoke(main, ["explain", MAC, "{mac}.cfg", "-c", str(site.config)])
    assert result.exit_code == 0, result.output
    for word in ("rendered", "[mac].cfg", "T46S", "101@a.example.com", "'***'"):
        assert word in result.output


def test_render_gives_the_exact_bytes(site: Site, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["render", MAC, NAME, "-c", str(site.config)])
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes == b"user = 101\nsecret = s3cret\nntp = 192.0.2.123\n"
    site.static("ring.wav", bytes(range(256)) * 10)
    result = CliRunner().invoke(main, ["render", MAC, "ring.wav", "-c", str(site.config)])
    assert result.stdout_bytes == bytes(range(256)) * 10
