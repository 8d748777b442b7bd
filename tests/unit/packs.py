"""The vendor packs as tests use them: this repository's storage, phones with lines and keys, filled files."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from era_ap.directory.model import read_account
from era_ap.provisioning.catalogue import Catalogue, Snapshot, TextFile, build
from era_ap.provisioning.language import Template
from era_ap.provisioning.render import Budget, ConstantSource, Line, Rendering, Scope, render

ROOT = Path(__file__).resolve().parents[2]
MAC = "001565aabbcc"
OPTIONS = ("passwords", "provisioning", "firmware", "syslog", "vlan")
YEALINK_LINE = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+ = .*|#.*|", re.DOTALL)
EXTENSION = {"Yealink": "cfg", "Snom": "htm", "Grandstream": "xml"}


@cache
def storage() -> Catalogue:
    folder = ROOT / "templates"
    files = {path.name: TextFile(path.name, path.read_bytes(), path.name) for path in folder.iterdir()}
    constants = TextFile("demo.cfg", (ROOT / "constants" / "demo.cfg").read_bytes(), "1")
    return build(None, Snapshot(templates=files, constants=constants, statics={}))


def vendor_of(model: str) -> str:
    return str(storage().models.facts(model)["vendor"])


def keys_of(model: str) -> dict[str, int]:
    keys = storage().models.facts(model).get("keys", {})
    assert isinstance(keys, Mapping)
    return {str(area): int(str(count)) for area, count in keys.items()}


def models() -> list[str]:
    return [model.name for model in storage().models]


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


def keys(model: str, lines: int) -> list[dict[str, str]]:
    """BLF entries for every key of the phone, and for one whole side-car where it has one."""
    count = keys_of(model)
    if vendor_of(model) == "Grandstream":
        of_phone = count.get("multi") or count.get("virtual", 0) - lines
    else:
        of_phone = count.get("memory") or count.get("line", 0) - lines
    of_module = count.get("module", 0) if model.endswith("-EXP") or vendor_of(model) == "Snom" else 0
    entries = [{"number": f"2{n:02}", "label": f"Key {n}"} for n in range(1, of_phone + of_module + 1)]
    if model.endswith("-EXP"):
        for place, entry in enumerate(entries):
            entry["module"] = "0" if place < of_phone else "1"
            if place >= of_phone:
                entry["position"] = str(place - of_phone + 1)
    return entries


def scope_of(model: str, lines: tuple[Line, ...], kind: str = "", **constants: str) -> Scope:
    catalogue = storage()
    defaults = {"server.addr": "192.0.2.1", "sg.port": "5060", "sg.proto": "udp", "sg.register": "on"}
    defaults |= {"phone.mac": MAC, "phone.mac_upper": MAC.upper(), "phone.model": model} if lines else {}
    return Scope(
        templates=catalogue.template,
        bases=catalogue.models.bases(model) if model else (),
        type=kind,
        lines=lines,
        constants=(
            ConstantSource("domain", constants),
            ConstantSource("site", catalogue.constants),
            ConstantSource("daemon", defaults),
        ),
        reserved={"domain": "a.example.com", "sg.addr": "192.0.2.10"},
        addresses=lambda name: ("192.0.2.123",),
        rng=random.Random(1),
        new_id=lambda: "id",
        missing_is_error=True,
    )


def template_of(model: str, kind: str = "") -> Template:
    ending = kind or EXTENSION[vendor_of(model)]
    for base in storage().models.bases(model):
        for name in (f"{base}.{ending}",) if kind else (base, f"{base}.{ending}"):
            template = storage().template(name)
            if template is not None:
                return template
    raise AssertionError(f"no template for {model}")


def filled(model: str, accounts: int = 1, blf: object = None, kind: str = "", **constants: str) -> Rendering:
    scope = scope_of(model, lines_of(model, accounts, blf), kind, **constants)
    return render(template_of(model, kind), scope, Budget(lambda: 0.0))


def all_options() -> dict[str, str]:
    return {f"use.{option}": option for option in OPTIONS}


def accounts_of(model: str) -> int:
    return min(3, keys_of(model).get("accounts", 3))


def yealink_values(data: bytes) -> list[tuple[str, str]]:
    lines = data.decode().split("\n")
    assert lines[0] == "#!version:1.0.0.1"
    assert all(YEALINK_LINE.fullmatch(line) for line in lines), lines
    pairs = [line.partition(" = ") for line in lines if line and not line.startswith("#")]
    return [(key, value) for key, _, value in pairs]
