"""The packs to start a new vendor from: all of it is in them, and a copy under another name works at once."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from lxml import etree
from packs import ROOT, all_options, filled, golden_file, keys, lines_of, scope_of, template_of, types_of

from era_ap.errors import Reason, Refused
from era_ap.provisioning.catalogue import Snapshot, TextFile, build
from era_ap.provisioning.render import Budget, render

BOTH = {"Generic-Text": "cfg", "Generic-XML": "xml"}
LINE = re.compile(r'[a-z_.0-9]+="[^"]*"|#.*|')


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize("model", BOTH)
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file(f"generic-{model.removeprefix('Generic-').lower()}", model, accounts, full, BOTH[model])


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/Moscow"])
def test_every_option_can_be_on(model: str, zone: str) -> None:
    blf = keys(model, 2, tuple(types_of(model)))
    options = all_options() | {"use.phonebook": "phonebook"}
    result = filled(model, 2, blf, timezone=zone, **options)
    assert result.warnings == ()
    if model == "Generic-XML":
        etree.fromstring(result.data)
    else:
        lines = result.data.decode().split("\n")
        assert not [line for line in lines if not LINE.fullmatch(line)]
        names = [line.partition("=")[0] for line in lines if line[:1] not in ("", "#")]
        assert len(set(names)) == len(names)
    assert (b"summer.start=" in result.data or b"<start " in result.data) is (zone == "Europe/Berlin")


def test_a_quote_cannot_end_a_value_of_the_text_pack() -> None:
    result = filled("Generic-Text", 1, [{"number": "201", "label": 'A "B"'}, '2"03'])
    assert b'key.2.label="A  B"' in result.data
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_VALUE]
    scope = scope_of("Generic-Text", lines_of("Generic-Text", 1, None, password='a"b'))
    template = scope.templates("generic-text/Generic-Text.cfg")
    assert template is not None
    with pytest.raises(Refused) as refused:
        render(template, scope, Budget(lambda: 0.0))
    assert refused.value.reason is Reason.VALUE_FORBIDDEN


@pytest.mark.parametrize("model", [*BOTH, "SP-R63G", "WP480", "M5", "D40", "D65"])
def test_without_any_constant_a_phone_gets_its_line_and_no_log_in_or_address_of_ours(model: str) -> None:
    scope = scope_of(model, lines_of(model, 1, None))
    bare = replace(scope, constants=scope.constants[2:4], missing_is_error=False)
    rendering = render(template_of(model), bare, Budget(lambda: 0.0))
    assert {problem.reason for problem in rendering.warnings} == {Reason.CONSTANT_MISSING}
    assert b"secret-1" in rendering.data
    harmful = (
        rb"admin|login_password|AdminPwd|Autoprovision|ProvisionServer|config_server|vlan|firmware|syslog"
    )
    assert re.search(harmful, rendering.data, re.IGNORECASE) is None


@pytest.mark.parametrize("model", BOTH)
def test_a_copy_with_other_names_is_a_pack_of_its_own(model: str) -> None:
    """What the README of the folder says: copy, and rename the folder, the model and the constants."""
    folder = ROOT / "templates" / model.lower()
    files = {}
    for path in [*folder.iterdir(), *(ROOT / "templates").glob("password-*.inc")]:
        own = path.parent == folder
        name = f"acme/{path.name.replace(model, 'AX10')}" if own else path.name
        text = path.read_text(encoding="utf-8")
        for old, new in ((f"{model.lower()}/", "acme/"), (model, "AX10"), ("generic.", "acme.")):
            text = text.replace(old, new) if own else text
        files[name] = TextFile(name, text.encode(), name)
    constants = TextFile("demo.cfg", (ROOT / "constants" / "demo.cfg").read_bytes(), "1")
    catalogue = build(None, Snapshot(templates=files, constants=constants, statics={}))
    assert catalogue.problems == ()
    assert catalogue.models.bases("AX10", None) == ("AX10", "acme/AX10")
    template = catalogue.template(f"acme/AX10.{BOTH[model]}")
    assert template is not None
    assert all(name.startswith("acme/") or "password" in name for name in template.includes)
