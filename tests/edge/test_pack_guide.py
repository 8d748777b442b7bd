"""The guide of templates/README.rst, followed word for word: its files are written and its phones served."""

from __future__ import annotations

import datetime
import re
import shutil
from pathlib import Path

import pytest

from era_ap.config import Gate
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.yaml_files import YamlFiles
from era_ap.errors import Reason
from era_ap.provisioning.audit import audit
from era_ap.provisioning.provisioner import Filling, Provisioner
from era_ap.provisioning.request import FileRequest, Transport
from era_ap.provisioning.scope import Rendering
from era_ap.provisioning.scoping import Rules
from era_ap.provisioning.timezones import TimeZones
from era_ap.provisioning.trial import trial
from era_ap.store import Store
from tests.conftest import Site

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "templates" / "README.rst").read_text(encoding="utf-8")
BLOCK = re.compile(r"``templates/(\S+)``::\n\n((?:       .*\n|\n)+)")
CONSTANTS = {"timezone": "Europe/Berlin", "ntp.server": "192.0.2.123", "use.vlan": "vlan", "vlan.id": "7"}


def blocks() -> dict[str, str]:
    """The files of the guide by their path below templates/."""
    found = BLOCK.findall(GUIDE)
    assert len(found) == 6
    return {path: re.sub(r"(?m)^       ", "", text).strip("\n") + "\n" for path, text in found}


def provisioner(site: Site) -> Provisioner:
    zones = TimeZones(lambda: datetime.date(2026, 7, 1))
    rules = Rules("lab", "example.com", (Gate("sg1", 1, "lo", "192.0.2.10", 5060),), zones=zones)
    made = Provisioner(rules, lambda _: ())
    made.catalogue = storage_of(site).scan()
    made.directory = DirectoryIndex()
    change = YamlFiles(site.root / "directory", settle=0.0).scan()
    assert change is not None
    made.directory.apply(change)
    return made


def storage_of(site: Site) -> Store:
    return Store(site.root / "storage", "lab", settle_seconds=0.0)


def asked(made: Provisioner, name: str) -> Rendering:
    answer = made.answer(FileRequest(name, "192.0.2.50", Transport.TFTP, "192.0.2.1"), 0.0)
    assert isinstance(answer, Filling), answer
    return answer.render(lambda: 0.0, 1.0)


@pytest.fixture
def guided(site: Site) -> Site:
    """A site with the packs of this repository and what the guide adds to them."""
    shutil.rmtree(site.root / "storage" / "templates")
    shutil.copytree(ROOT / "templates", site.root / "storage" / "templates")
    for path, text in blocks().items():
        site.template(path, text)
    site.template("acme/use-.inc", "")
    site.domain("a.example.com", ap_constants=CONSTANTS)
    site.constants((ROOT / "constants" / "demo.cfg").read_text(encoding="utf-8"))
    return site


def test_the_model_of_five_minutes(guided: Site) -> None:
    guided.phone("101", "001565000001", "SIP-T99", name="Bob", blf=[{"number": "202", "position": "30"}])
    result = asked(provisioner(guided), "001565000001.cfg")
    assert b"\nlinekey.30.value = 202\n" in result.data


def test_the_vendor_of_an_hour(guided: Site) -> None:
    blf = [
        {"number": "201", "label": "A very long label"},
        {"type": "speed dial", "number": "0305551", "label": 'The "taxi"'},
        {"number": "203", "module": "2"},
    ]
    guided.phone("101", "00aabb000001", "AX20", blf=blf)
    result = asked(provisioner(guided), "00aabb000001.cfg")
    assert result.data.decode().splitlines() == [
        "# Acme",
        'time.server="192.0.2.123"',
        'time.zone="60"',
        'vlan.id="7"',
        'line.1.user="101"',
        'line.1.password="s3cret"',
        'line.1.server="a.example.com"',
        'line.1.proxy="192.0.2.10:5060"',
        'line.1.transport="0"',
        'fkey.2.type="1"',
        'fkey.2.line="1"',
        'fkey.2.value="201"',
        'fkey.2.label="A very long"',
        'fkey.3.type="2"',
        'fkey.3.line="1"',
        'fkey.3.value="0305551"',
        'fkey.3.label="The  taxi"',
        'sidecar.2.1.type="1"',
        'sidecar.2.1.line="1"',
        'sidecar.2.1.value="203"',
        'sidecar.2.1.label="203"',
    ]


def test_a_model_of_the_vendor_that_is_listed_nowhere_is_served_with_a_warning(guided: Site) -> None:
    guided.phone("101", "00aabb000001", "AX99")
    result = asked(provisioner(guided), "00aabb000001.cfg")
    assert [p.reason for p in result.warnings if p.reason is Reason.MODEL_UNLISTED] == [Reason.MODEL_UNLISTED]
    assert "AX99 stands in no models.yml; the file is made as for AX10" in result.warnings[0].detail


def test_the_check_has_nothing_to_say_about_the_guides_files(guided: Site) -> None:
    guided.phone("101", "00aabb000001", "AX10", blf=["201"])
    made = provisioner(guided)
    assert made.catalogue is not None
    assert made.catalogue.problems == ()
    assert audit(made) == ()
    assert trial(made, lambda: 0.0) == ()


def test_a_time_zone_nobody_knows_is_found_by_the_check_and_told_with_each_file(guided: Site) -> None:
    guided.domain("a.example.com", ap_constants=CONSTANTS | {"timezone": "Europe/Moskow"})
    guided.phone("101", "00aabb000001", "AX10")
    made = provisioner(guided)
    (found,) = (problem for problem in audit(made) if problem.reason is Reason.TIMEZONE_UNKNOWN)
    assert found.where.endswith("a.example.com/domain.yml")
    assert "did you mean Europe/Moscow?" in found.detail
    result = asked(made, "00aabb000001.cfg")
    assert {problem.reason for problem in result.warnings} >= {
        Reason.TIMEZONE_UNKNOWN,
        Reason.CONSTANT_MISSING,
    }


def test_what_a_vendor_cannot_say_is_a_warning_only_for_its_phones(guided: Site) -> None:
    guided.domain("a.example.com", ap_constants=CONSTANTS | {"timezone": "America/Nuuk"})
    guided.phone("101", "00aabb000001", "AX10")
    guided.phone("102", "001565000001", "T46S")
    made = provisioner(guided)
    reasons = [
        {problem.reason for problem in asked(made, name).warnings}
        for name in ("00aabb000001.cfg", "001565000001.cfg")
    ]
    assert [Reason.TIMEZONE_NEAREST in found for found in reasons] == [False, True]


def test_explicit_words_of_a_vendor_go_before_computed_ones(guided: Site) -> None:
    guided.domain("a.example.com", ap_constants=CONSTANTS | {"yealink.time_zone_name": "France(Paris)"})
    guided.phone("101", "001565000001", "T46S")
    data = asked(provisioner(guided), "001565000001.cfg").data.decode()
    assert "local_time.time_zone_name = France(Paris)\n" in data
    assert "local_time.time_zone = +1\n" in data


def test_a_change_of_the_keys_of_a_model_is_not_answered_from_memory(guided: Site) -> None:
    guided.phone("101", "00aabb000001", "AX10", blf=["201"])
    made, storage = provisioner(guided), storage_of(guided)
    made.catalogue = storage.scan()
    request = FileRequest("00aabb000001.cfg", "192.0.2.50", Transport.TFTP, "192.0.2.1")
    first = made.answer(request, 0.0)
    assert isinstance(first, Filling)
    made.fill(first, first.render(lambda: 0.0, 1.0), 0.0)
    assert not isinstance(made.answer(request, 1.0), Filling)
    guided.template("acme/models.yml", blocks()["acme/models.yml"].replace("fkey.", "key."))
    made.catalogue = storage.scan() or storage.scan()  # taken up once it looks the same twice
    second = made.answer(request, 2.0)
    assert isinstance(second, Filling)
    assert b'\nkey.2.value="201"' in second.render(lambda: 0.0, 1.0).data
