"""The vendor packs as tests use them: this repository's storage, phones with lines and keys, filled files.

``ERA_AP_GOLDEN=write`` makes ``golden`` write tests/data/golden anew instead of comparing with it.
"""

from __future__ import annotations

import datetime
import os
import random
import re
from functools import cache
from itertools import cycle, islice
from pathlib import Path

from era_ap.directory.model import read_account
from era_ap.provisioning.catalogue import Catalogue, Snapshot, TextFile, build
from era_ap.provisioning.language import Template
from era_ap.provisioning.layout import Layout
from era_ap.provisioning.render import Budget, ConstantSource, Line, Rendering, Scope, render
from era_ap.provisioning.timezones import TimeZones

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden"
WRITING = os.environ.get("ERA_AP_GOLDEN") == "write"
MAC = "001565aabbcc"
TODAY = datetime.date(2026, 7, 1)
OPTIONS = ("passwords", "provisioning", "firmware", "syslog", "vlan")
EXTENSIONS = ("cfg", "xml", "htm", "txt", "cnf.xml", "cnf", "conf")
LEFT_OVER = re.compile(
    rb"\[(?:sipuser|account|blf|constants|nslookup|include|random)[.,]|\[(?:blf|accounts)\]"
)


@cache
def storage() -> Catalogue:
    folder = ROOT / "templates"
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    files = {name: TextFile(name, path.read_bytes(), name) for name, path in paths.items()}
    constants = TextFile("demo.cfg", (ROOT / "constants" / "demo.cfg").read_bytes(), "1")
    return build(None, Snapshot(templates=files, constants=constants, statics={}))


@cache
def zones() -> TimeZones:
    return TimeZones(lambda: TODAY)


def vendor_of(model: str) -> str:
    return str(storage().models.facts(model)["vendor"])


def layout_of(model: str) -> Layout:
    layout = storage().models.layout(model)
    assert layout is not None, model
    return layout


def models(folder: str = "") -> list[str]:
    """All models, or those of one folder of templates/, that have a template."""
    found = storage().models
    return [model.name for model in found if folder in ("", model.folder) and _template(model.name, "")]


def accounts_of(model: str) -> int:
    return min(3, layout_of(model).lines or 3)


def types_of(model: str) -> list[str]:
    """Types that every key of the model can have; blf first."""
    areas = layout_of(model).areas or ()
    known = [set(area.types) - {"none"} for area in areas]
    return sorted(set.intersection(*known) if known else (), key=lambda kind: (kind != "blf", kind))


def keys(model: str, lines: int, types: tuple[str, ...] = ("blf",)) -> list[dict[str, str]]:
    """An entry for every free key of the phone and of all its side-cars, of ``types`` in turn."""
    free = 0
    for area in layout_of(model).areas or ():
        free += area.size - len(area.reserved) * area.pages * max(area.modules, 1)
        free -= min(lines, area.size) if area.accounts else 0
    found = islice(cycle(types), free)
    return [{"type": kind, "number": f"2{n:02}", "label": f"Key {n}"} for n, kind in enumerate(found, 1)]


def lines_of(model: str, count: int, blf: object, **fields: str) -> tuple[Line, ...]:
    lines = []
    for number in range(1, count + 1):
        login = str(100 + number)
        document = {"name": f"User {number}", "password": f"secret-{number}", **fields}
        device = {"mac": MAC, "device_model": model, "line": str(number), "blf": blf if number == 1 else None}
        document["opts"] = {"ap_devices": [device]}  # type: ignore[assignment]
        account, problems = read_account("a.example.com", login, document, origin="test", revision="1")
        assert account is not None, problems
        lines.append(Line(account, account.devices[0], number))
    return tuple(lines)


def scope_of(
    model: str, lines: tuple[Line, ...], kind: str = "", firmware: str | None = None, **constants: str
) -> Scope:
    catalogue = storage()
    layout = catalogue.models.layout(model, firmware) if model else None
    defaults = {"server.addr": "192.0.2.1", "sg.port": "5060", "sg.proto": "udp", "sg.register": "on"}
    defaults |= {"ntp.given": "1" if constants.get("ntp.server", "as in demo.cfg") else ""}
    defaults |= {"phone.mac": MAC, "phone.mac_upper": MAC.upper(), "phone.model": model} if lines else {}
    return Scope(
        templates=catalogue.template,
        bases=catalogue.models.bases(model, firmware) if model else (),
        type=kind,
        lines=lines,
        constants=(
            ConstantSource("domain", constants),
            ConstantSource("site", catalogue.constants),
            ConstantSource("models.yml", layout.constants if layout is not None else {}),
            ConstantSource("daemon", defaults),
            ConstantSource("zone", zones().constants(constants.get("timezone", "Europe/Moscow")).values),
        ),
        reserved={"domain": "a.example.com", "sg.addr": "192.0.2.10"},
        addresses=lambda name: ("192.0.2.123",),
        rng=random.Random(1),
        new_id=lambda: "id",
        missing_is_error=True,
        layout=layout,
    )


def _template(model: str, kind: str, firmware: str | None = None) -> Template | None:
    for base in storage().models.bases(model, firmware):
        names = (f"{base}.{kind}",) if kind else (base, *(f"{base}.{ending}" for ending in EXTENSIONS))
        for name in names:
            template = storage().template(name)
            if template is not None:
                return template
    return None


def template_of(model: str, kind: str = "", firmware: str | None = None) -> Template:
    template = _template(model, kind, firmware)
    assert template is not None, f"no template for {model}"
    return template


def filled(
    model: str,
    accounts: int = 1,
    blf: object = None,
    kind: str = "",
    firmware: str | None = None,
    **constants: str,
) -> Rendering:
    scope = scope_of(model, lines_of(model, accounts, blf), kind, firmware, **constants)
    return render(template_of(model, kind, firmware), scope, Budget(lambda: 0.0))


def all_options() -> dict[str, str]:
    return {f"use.{option}": option for option in OPTIONS}


def golden(folder: str, name: str, data: bytes) -> None:
    path = GOLDEN / folder / name
    if WRITING:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert path.read_bytes() == data, f"{path} differs; ERA_AP_GOLDEN=write makes it anew"


def golden_file(folder: str, model: str, accounts: int, full: bool, ending: str) -> None:
    """The file of a phone with all options on; ``full``: with a key on every place."""
    blf = keys(model, accounts) if full else None
    data = filled(model, accounts, blf, **all_options()).data
    golden(folder, f"{model}-{accounts}-{'keys' if full else 'plain'}.{ending}", data)
