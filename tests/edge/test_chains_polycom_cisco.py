"""The boot chains of Polycom and Cisco phones against the packs: each ends with a file of the phone's own."""

from __future__ import annotations

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
MAC = "0004f2a0b0c1"
MISSING = {Reason.TEMPLATE_MISSING, Reason.COMMON_TEMPLATE_MISSING, Reason.NO_MASK, Reason.MAC_ZERO}


@cache
def catalogue() -> Catalogue:
    found = Store(ROOT, "demo").scan()
    assert found is not None
    return found


def provisioner(site, model: str) -> Provisioner:
    site.phone("101", MAC, model, line="1", name="Anna")
    gate = {"name": "sg1", "roletype": "sg", "iface": "lo", "ext": {"srvidx": 4}}
    site.extra_roles.append(gate)
    loaded = config.load(site.configure())
    rules = Rules(loaded.site, loaded.master_domain, loaded.sg_gates)
    made = Provisioner(rules, lambda name: ("192.0.2.123",))
    made.catalogue = catalogue()
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


def chain(made: Provisioner, vendor: str, model: str) -> list[str]:
    """The names that exist, in the order of the phone."""
    found = []
    for step in names_of(vendor, MAC, model):
        name = next((name for name in step if asked(made, name) is not None), None)
        found += [name] if name is not None else []
    return found


@pytest.mark.parametrize(
    ("vendor", "asks_as", "model", "expected"),
    [
        ("polycom", "VVX400", "VVX400", [f"{MAC}.cfg"]),
        ("cisco-spa", "508G", "SPA508G", ["/spa508G.cfg", f"/{MAC}.xml"]),
        ("cisco-mpp", "8841", "8841", ["/8841-3PCC.xml", f"/Cisco/CP-8841-3PCC/{MAC}.cfg"]),
        ("cisco-sep", "7942", "7942G", [f"SEP{MAC.upper()}.cnf.xml"]),
        ("cisco-7940", "7960", "7960", ["SIPDefault.cnf", f"SIP{MAC.upper()}.cnf", "dialplan.xml"]),
    ],
)
def test_a_chain_ends_with_the_phones_own_file(site, vendor, asks_as, model, expected) -> None:
    made = provisioner(site, model)
    assert chain(made, vendor, asks_as) == expected
    own = next(name for name in expected if MAC in name.lower())
    data = asked(made, own)
    assert data is not None
    assert b"s3cret" in data


def test_the_common_list_of_polycom_names_a_file_that_exists(site) -> None:
    made = provisioner(site, "VVX400")
    data = asked(made, "000000000000.cfg")
    assert data is not None
    assert b"s3cret" not in data
    assert b'CONFIG_FILES="phone[PHONE_MAC_ADDRESS].cfg"' in data
    assert asked(made, f"phone{MAC}.cfg") == asked(made, f"{MAC}.cfg")


@pytest.mark.parametrize("kind", ["phone.cfg", "web.cfg", "license.cfg", "directory.xml", "user.cfg"])
def test_what_a_polycom_probes_is_not_there(site, kind: str) -> None:
    made = provisioner(site, "VVX400")
    assert asked(made, f"{MAC}-{kind}") is None
    assert asked(made, f"000000000000-{kind}") is None


def test_a_model_listed_nowhere_gets_its_vendors_files_with_a_warning(site) -> None:
    made = provisioner(site, "VVX999")
    answer = made.answer(FileRequest(f"{MAC}.cfg", "192.0.2.50", Transport.TFTP, "192.0.2.1"), 0.0)
    assert isinstance(answer, Filling)
    rendering = answer.render(lambda: 0.0, 1.0)
    assert Reason.MODEL_UNLISTED in {problem.reason for problem in rendering.warnings}
    assert b"reg.1.address" in rendering.data
