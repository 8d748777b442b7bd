"""How many files are filled in a second on one core.

The file has 12 KB, 40 placeholders, 10 includes and 20 BLF keys; as text and as XML, with a plain list of
keys and with keys placed by the model's data. Its plan is there, as on a site with many such phones; nothing
else is kept. Figures are medians of several runs in computing time.
Use: ``python -P tests/benchmarks/render.py [--seconds S] [--runs N]``.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from typing import TYPE_CHECKING

from era_ap.directory.model import read_account
from era_ap.provisioning.language import parse
from era_ap.provisioning.models_file import parse as parse_models
from era_ap.provisioning.planner import Plans
from era_ap.provisioning.render import Budget, ConstantSource, Line, Scope, render

if TYPE_CHECKING:
    from era_ap.provisioning.language import Template
    from era_ap.provisioning.layout import Layout

SIZE = 12_000
MODEL = """
model:
  accounts: 16
  keys:
    line: {count: 15, fields: {key: "linekey.{position}"}}
    module: {count: 40, modules: 3, fields: {key: "expansion_module.{module}.key.{position}"}}
  types: {none: 0, blf: 16, speeddial: 13, url: {code: 17, value: "get:{value}"}}
  dialect: {label_length: 20}
"""
FIELDS = ("login", "password", "display_name", "ext.room", "ext.site.name")


def layout() -> Layout:
    """A phone with 15 keys and side-cars."""
    models, problems = parse_models(MODEL)
    found = models.layout("model")
    assert found is not None and not problems
    return found


def templates(xml: bool, typed: bool) -> dict[str, Template]:
    """The root template ``model``, its includes and its BLF template."""
    before, after = ('<item name="{0}">', "</item>\n") if xml else ("{0} = ", "\n")

    def entry(name: str, value: str) -> str:
        return f"{before.format(name)}{value}{after}"

    texts = {f"part{number}.inc": entry(f"include.{number}", "[constants.ntp]") for number in range(10)}
    key = ("type 16", "line 1", "value [blf.number]", "label [blf.label]")
    name = "[blf.key]" if typed else "linekey.[blf.index]"
    if typed:
        key = ("type [blf.code]", "line [blf.line]", "value [blf.value]", "label [blf.label]")
    texts["model.blf"] = "".join(entry(f"{name}.{one.split()[0]}", one.split()[1]) for one in key)
    lines = [
        entry(f"account.1.field{number}", f"[sipuser.{FIELDS[number % 5]}]")
        if number % 2
        else entry(f"setting.{number}", f"[constants.{('ntp', 'lang', 'domain')[number % 3]}]")
        for number in range(40)
    ]
    lines += [f"[include.part{number}.inc]\n" for number in range(10)] + ["[blf]\n"]
    filled = 40 * 40 + 10 * 30 + 20 * 4 * 26
    padding = entry("static.network.setting", "0123456789 abcdefghij")
    lines += [padding] * ((SIZE - filled) // len(padding))
    random.Random(1).shuffle(lines)
    texts["model"] = (
        f"<config>\n{''.join(lines)}</config>\n" if xml else f"#!version:1.0.0.1\n{''.join(lines)}"
    )
    return {name: parse(name, text) for name, text in texts.items()}


def scope_for(found: dict[str, Template], typed: bool) -> Scope:
    """A phone with 20 keys; ``typed``: of several types, placed on the phone and a side-car."""
    kinds = ("blf", "blf", "speeddial", "url") if typed else ("",)
    document = {
        "login": "101",
        "password": "k3&secret<5",
        "display_name": "Bob & Alice",
        "ext": {"room": "17", "site": {"name": "Москва"}},
        "opts": {
            "ap_devices": [
                {
                    "mac": "001565aabbcc",
                    "device_model": "model",
                    "blf": [
                        {"number": str(200 + key), "label": f"Desk {key}", "type": kinds[key % len(kinds)]}
                        for key in range(20)
                    ],
                }
            ]
        },
    }
    account, problems = read_account("a.example.com", "101", document, origin="benchmark", revision="1")
    assert account is not None and not problems
    return Scope(
        templates=lambda name: found.get(name.lower()),
        bases=("model",),
        type="",
        lines=(Line(account, account.devices[0], 1),),
        constants=(
            ConstantSource("domain a.example.com", {"lang": "Russian"}),
            ConstantSource("master domain example.com", {}),
            ConstantSource("site msk1", {"ntp": "ntp.example.com"}),
        ),
        reserved={"domain": "a.example.com", "sg.addr": "10.0.0.5"},
        addresses=lambda _name: ("10.0.0.1", "10.0.0.2"),
        rng=random.Random(1),
        new_id=lambda: "00000000-0000-0000-0000-000000000000",
        layout=layout() if typed else None,
        plans=Plans(),
    )


def measure(xml: bool, typed: bool, seconds: float) -> float:
    """Renderings per second."""
    found = templates(xml, typed)
    scope = scope_for(found, typed)
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        for _ in range(50):
            render(found["model"], scope, Budget(time.process_time))
        count += 50
    return count / (time.process_time() - start)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=1.0, help="length of a run")
    options.add_argument("--runs", type=int, default=5)
    given = options.parse_args()
    for xml, typed in itertools.product((False, True), repeat=2):
        found = templates(xml, typed)
        size = len(render(found["model"], scope_for(found, typed), Budget(time.process_time)).data)
        rates = [measure(xml, typed, given.seconds) for _ in range(given.runs)]
        kind = f"{'xml' if xml else 'text'}, {'typed' if typed else 'plain'} keys"
        print(f"{kind}: {statistics.median(rates):,.0f} renderings/s of {size:,} bytes", end=" ")
        print(f"(runs {', '.join(f'{rate:,.0f}' for rate in sorted(rates))})")


if __name__ == "__main__":
    main()
