"""The boot chains of Fanvil, Htek, Sangoma, Escene and Flyingvoice: each ends with the phone's own file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from era_ap import config
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.yaml_files import YamlFiles
from era_ap.errors import Reason
from era_ap.phone import names_of
from era_ap.provisioning.catalogue import Catalogue
from era_ap.provisioning.provisioner import Filling, Provisioner
from era_ap.provisioning.request import FileRequest, Refusal, Transport
from era_ap.provisioning.scoping import Rules
from era_ap.store import Store

ROOT = Path(__file__).resolve().parents[2]
MAC = "0c383ea0b0c1"
MISSING = {Reason.TEMPLATE_MISSING, Reason.COMMON_TEMPLATE_MISSING, Reason.NO_MASK}


@cache
def packs() -> Catalogue:
    catalogue = Store(ROOT, "demo").scan()
    assert catalogue is not None
    return catalogue


def provisioner(site, model: str) -> Provisioner:
    site.phone("101", MAC, model, line="1", name="Anna")
    site.extra_roles.append({"name": "sg1", "roletype": "sg", "iface": "lo", "ext": {"srvidx": 4}})
    loaded = config.load(site.configure())
    made = Provisioner(
        Rules(loaded.site, loaded.master_domain, loaded.sg_gates), lambda name: ("192.0.2.123",)
    )
    made.catalogue = packs()
    made.directory = DirectoryIndex()
    change = YamlFiles(site.root / "directory", settle=0.0).scan()
    assert change is not None
    made.directory.apply(change)
    return made


def asked(made: Provisioner, name: str) -> bytes | None:
    answer = made.answer(FileRequest(name, "192.0.2.50", Transport.TFTP, "192.0.2.1"), 0.0)
    if isinstance(answer, Refusal):
        assert answer.reason in MISSING, (name, answer)
        return None
    assert isinstance(answer, Filling), answer
    return answer.render(lambda: 0.0, 1.0).data


def chain(made: Provisioner, vendor: str, model: str) -> dict[str, bytes]:
    """The files that exist, in the order of the phone: the first of each step."""
    found = {}
    for step in names_of(vendor, MAC, model):
        for name in step:
            data = asked(made, name)
            if data is not None:
                found[name] = data
                break
    return found


@pytest.mark.parametrize(
    ("vendor", "asks_as", "model", "expected"),
    [
        ("fanvil", "X4", "X4", [f"{MAC}.cfg"]),
        ("fanvil", "V67", "Fanvil V67", [f"{MAC}.cfg"]),
        ("fanvil", "W611W", "W611W", [f"{MAC}.cfg"]),
        ("htek", "UC924", "UC924", [f"cfg{MAC}.xml"]),
        ("htek", "UC926U", "Htek UC926U", [f"cfg{MAC}.xml"]),
        ("sangoma", "S500", "S505", [f"cfg{MAC}.xml"]),
        ("escene", "ES320", "ES320VN2", [f"{MAC}.xml"]),
    ],
)
def test_a_chain_has_the_phones_own_file_and_no_other(site, vendor, asks_as, model, expected) -> None:
    found = chain(provisioner(site, model), vendor, asks_as)
    assert list(found) == expected
    assert b"s3cret" in found[expected[0]]


def test_a_flyingvoice_takes_what_its_boot_file_lists(site) -> None:
    made = provisioner(site, "FIP13G")
    boot = chain(made, "flyingvoice", "FIP13G")[f"{MAC}.boot"]
    listed = re.findall(r'include:config "([^"]+)"', boot.decode())
    assert listed == ["y000000000000.cfg", f"{MAC}.cfg"]
    common, own = (asked(made, name) for name in listed)
    assert common is not None
    assert own is not None
    assert b"s3cret" not in common
    assert b"s3cret" in own


def test_a_flyingvoice_without_a_boot_file_of_its_own_gets_there_too(site) -> None:
    made = provisioner(site, "FIP13G")
    names = [name for step in names_of("flyingvoice", MAC, "") for name in step]
    assert names == [f"{MAC}.boot", "y000000000000.boot", "y000000000000.cfg", f"{MAC}.cfg"]
    assert all(asked(made, name) is not None for name in names)


def test_a_fanvil_that_asks_for_xml_gets_sysconf(site) -> None:
    made = provisioner(site, "W611W")
    assert asked(made, f"{MAC}.xml") == asked(made, f"{MAC}.cfg")
