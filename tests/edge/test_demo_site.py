"""The demo site of deploy/: configuration, storage and directory as they are, asked for as its phones do."""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from era_ap import config
from era_ap.config import YamlFolder
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.yaml_files import YamlFiles
from era_ap.errors import Reason
from era_ap.provisioning.audit import audit
from era_ap.provisioning.kept import StaticHit
from era_ap.provisioning.provisioner import Filling, Provisioner
from era_ap.provisioning.request import FileRequest, Refusal, Transport
from era_ap.provisioning.scoping import Rules
from era_ap.provisioning.timezones import TimeZones
from era_ap.provisioning.trial import trial
from era_ap.store import Store

SITE = Path(__file__).resolve().parents[2] / "deploy" / "demo-site" / "site.yml"


@cache
def provisioner() -> Provisioner:
    site = config.load(SITE)
    zones = TimeZones(lambda: datetime.date(2026, 7, 1))
    rules = Rules(site.site, site.master_domain, site.sg_gates, missing_is_error=False, zones=zones)
    made = Provisioner(rules, lambda name: ("192.0.2.123",))
    made.catalogue = Store(site.storage, site.site).scan()
    made.directory = DirectoryIndex()
    (folder,) = site.sources
    assert isinstance(folder, YamlFolder)
    change = YamlFiles(folder.path, settle=0.0).scan()
    assert change is not None
    made.directory.apply(change)
    return made


def asked(name: str) -> bytes:
    answer = provisioner().answer(FileRequest(name, "192.0.2.50", Transport.TFTP, "192.0.2.1"), 0.0)
    assert isinstance(answer, Filling), answer
    rendering = answer.render(lambda: 0.0, 1.0)
    assert [problem for problem in rendering.warnings if "'label'" not in problem.detail] == []
    return rendering.data


def test_nothing_is_wrong_with_it() -> None:
    made = provisioner()
    assert made.catalogue is not None
    assert made.directory is not None
    assert made.catalogue.problems == ()
    assert made.directory.problems == ()
    assert audit(made) == ()
    assert trial(made, lambda: 0.0) == ()


def test_a_yealink_with_two_lines_and_keys() -> None:
    lines = asked("001565a0b001.cfg").decode().splitlines()
    assert lines[0] == "#!version:1.0.0.1"
    for line in (
        "account.1.user_name = 101",
        "account.1.display_name = Anna Ivanova",
        "account.2.user_name = 102",
        "account.2.password = demo-102-secret",
        "account.1.outbound_proxy.1.address = 192.0.2.10",
        "static.auto_provision.server.url = tftp://192.0.2.1/",
        "voice_mail.number.1 = *98",
        "lang.gui = Russian",
        "linekey.3.value = 103",
        "linekey.4.label = Warehouse & Yard",
        "linekey.10.value = 105",
    ):
        assert line in lines


def test_its_boot_file_names_its_own_configuration() -> None:
    assert b"include:config <001565a0b001.cfg>" in asked("001565a0b001.boot")


@pytest.mark.parametrize("name", ["snomD735-000413A0B002.htm", "000413A0B002.xml", "000413A0B002.htm"])
def test_a_snom_with_corrections(name: str) -> None:
    root = etree.fromstring(asked(name))
    assert root.findtext("phone-settings/language") == "Русский"
    assert root.findtext("phone-settings/user_idle_text") == "Boris"
    assert root.findtext("phone-settings/user_realname") == "Борис Петров"
    assert [key.text for key in root.findall("functionKeys/fkey")] == ["blf 101|**", "blf 104|**"]


def test_a_grandstream_by_aliases() -> None:
    root = etree.fromstring(asked("cfgc074ada0b003.xml"))
    assert root.findtext("mac") == "c074ada0b003"
    assert root.xpath("//item[@name='pks.vpk.2.value']")[0].text == "101"


def test_the_flat_fields_and_overrides_of_a_text_file() -> None:
    lines = asked("phone-001565a0b005.cfg").decode().splitlines()
    assert "account.1.label = Reception" in lines
    assert not [line for line in lines if line.startswith("features.pickup.direct_pickup_code")]


def test_a_phone_that_does_not_register_has_its_gate() -> None:
    root = etree.fromstring(asked("cfgc074ada0b006.xml"))
    assert {code: root.findtext(f"config/{code}") for code in ("P31", "P48", "P130")} == {
        "P31": "0",
        "P48": "192.0.2.10:5060",
        "P130": "1",
    }


@pytest.mark.parametrize("name", ["y000000000000.boot", "y000000000066.cfg", "snomD735.htm", "cfg.xml"])
def test_common_files(name: str) -> None:
    data = asked(name)
    assert b"demo-10" not in data
    assert b"change-me" not in data


def test_ready_made_files_and_what_is_not_there() -> None:
    request = FileRequest("ringtones/two-tone.wav", "192.0.2.50", Transport.TFTP)
    assert isinstance(provisioner().answer(request, 0.0), StaticHit)
    for name, reason in (
        ("cfgc074ada0b003", Reason.TEMPLATE_MISSING),
        ("001565ffffff.cfg", Reason.MAC_UNKNOWN),
        ("no-such-thing.bin", Reason.NO_MASK),
    ):
        refusal = provisioner().answer(FileRequest(name, "192.0.2.50", Transport.TFTP), 0.0)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is reason
