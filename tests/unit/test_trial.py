"""Every file of every phone is tried: what a phone would be refused shows in ``era-ap check``."""

from __future__ import annotations

import pytest

from era_ap.directory.index import DirectoryIndex
from era_ap.directory.yaml_files import YamlFiles
from era_ap.errors import Problem, Reason, Severity
from era_ap.provisioning.audit import audit
from era_ap.provisioning.provisioner import Provisioner
from era_ap.provisioning.scoping import Rules
from era_ap.provisioning.trial import trial
from era_ap.store import Store
from tests.conftest import MAC, Site

RULES = Rules(site="lab", master_domain="example.com")


def provisioner(site: Site) -> Provisioner:
    made = Provisioner(RULES, lambda _: None)
    made.catalogue = Store(site.root / "storage", "lab", settle_seconds=0.0).scan()
    made.directory = DirectoryIndex()
    change = YamlFiles(site.root / "directory", settle=0.0).scan()
    assert change is not None
    made.directory.apply(change)
    return made


def tried(site: Site) -> tuple[Problem, ...]:
    return trial(provisioner(site), lambda: 0.0)


def test_a_good_site_has_no_findings_and_needs_no_name_server(site: Site) -> None:
    site.template("T46S.cfg", "ntp = [nslookup.ntp.[constants.domain]]\n[blf]\n")
    site.phone("101", MAC, blf=[])
    assert tried(site) == ()


@pytest.mark.parametrize(
    ("template", "device", "reason"),
    [
        ("a = 1\n[blf]\n", {"blf": ["1"]}, Reason.BLF_TEMPLATE_MISSING),
        ("a = 1\n", {"override": {"a": {"b": "c"}}}, Reason.OVERRIDE_FORM),
        ("<a>1</a>", {"override": {"//a[": "1"}}, Reason.OVERRIDE_XPATH),
        ("<a>[constants.level]</b>", {}, Reason.XML_BROKEN),
        ("[include.[sipuser.login].inc]", {}, Reason.INCLUDE_MISSING),
    ],
)
def test_what_only_shows_when_the_file_is_filled_in(
    site: Site, template: str, device: dict[str, object], reason: Reason
) -> None:
    site.template("T46S.cfg", template)
    account = site.phone("101", MAC, **device)
    (found,) = tried(site)
    assert (found.reason, found.severity) == (reason, Severity.ERROR)
    assert found.where == f"{account} ({MAC})"
    assert found.detail.startswith("templates/T46S.cfg: ")


def test_every_type_and_extension_of_the_model_is_tried(site: Site) -> None:
    for name in ("T46S.boot", "T46S.xml", "T46S.phone"):
        site.template(name, "[random.0]")
    site.template("T46S.blf", "[random.0]")  # a part, never a file of its own
    found = {problem.detail.partition(":")[0] for problem in tried(site)}
    assert found == {"templates/T46S.boot", "templates/T46S.xml", "templates/T46S.phone"}


def test_an_override_that_does_nothing_is_a_warning(site: Site) -> None:
    site.template("T46S.cfg", "<a><b>1</b></a>")
    site.phone("101", MAC, override={"//c": "2"})
    (found,) = tried(site)
    assert (found.reason, found.severity) == (Reason.OVERRIDE_XPATH, Severity.WARNING)


def test_what_many_phones_have_alike_is_told_once(site: Site) -> None:
    site.template("T46S.cfg", "[random.0]")
    for number in range(2, 7):
        site.phone(f"20{number}", f"00156500000{number}")
    (found,) = tried(site)
    assert found.detail.endswith("; 5 more alike")


def test_an_account_without_a_gate(site: Site) -> None:
    site.account(
        "101",
        reg=False,
        devices=[{"device": "192.0.2.7", "gates": 9}],
        opts={"ap_devices": {"mac": MAC, "device_model": "T46S"}},
    )
    assert [problem.reason for problem in tried(site)] == [Reason.NO_GATE]


def test_common_files_of_own_and_built_in_masks(site: Site) -> None:
    masks = [{"mask": "a*.com", "template": "common.cfg"}, {"mask": "b*.com", "template": "nowhere.cfg"}]
    site.domain("example.com", ap_options={"masks": masks})
    site.template("common.cfg", "user = [sipuser.login]\n")
    site.template("yealink/common.cfg", "[include.nowhere.inc]")
    found = {problem.reason: problem.where for problem in tried(site)}
    assert found.pop(Reason.INCLUDE_MISSING).startswith("mask 'y000000000*.cfg' (built-in mask ")
    assert found == {
        Reason.ACCOUNT_IN_COMMON: "mask 'a*.com' (mask 1 of example.com)",
        Reason.COMMON_TEMPLATE_MISSING: "mask 'b*.com' (mask 2 of example.com)",
    }


def test_a_credential_of_blanks_is_none(site: Site) -> None:
    site.account("101", password="  ", opts={"ap_devices": {"mac": MAC, "device_model": "T46S"}})
    assert [problem.reason for problem in audit(provisioner(site))] == [Reason.REQUIRED_MISSING]
    assert tried(site) == ()  # told once
