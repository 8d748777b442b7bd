"""What the tests of the template language share: a phone, a folder of templates, and ``fill``."""

from __future__ import annotations

import itertools
import random

from era_ap.directory.model import Account, read_account
from era_ap.provisioning.language import Template, parse
from era_ap.provisioning.render import Budget, ConstantSource, Line, Rendering, Scope, render

MAC = "001565aabbcc"


def account(login: str = "101", **fields: object) -> Account:
    """An account of a.example.com with one phone; ``blf`` and ``override`` belong to the phone."""
    device: dict[str, object] = {"mac": MAC, "device_model": "model"}
    for name in ("blf", "override", "line"):
        if name in fields:
            device[name] = fields.pop(name)
    document = {"login": login, "password": "pw", "opts": {"ap_devices": device}} | fields
    found, problems = read_account("a.example.com", login, document, origin="test", revision="1")
    assert found is not None, problems
    return found


def lines(*accounts: Account) -> tuple[Line, ...]:
    """The lines of a phone, numbered from 1."""
    return tuple(Line(each, each.devices[0], number) for number, each in enumerate(accounts, 1))


def scope(files: dict[str, str] | None = None, **changes: object) -> Scope:
    """A scope with one account; ``changes`` replace fields, ``files`` are templates by name."""
    texts = {name.lower(): (name, text) for name, text in (files or {}).items()}

    def template(name: str) -> Template | None:
        found = texts.get(name.lower())
        return parse(*found) if found else None

    ids = itertools.count(1)
    given: dict[str, object] = {
        "templates": template,
        "bases": ("model",),
        "type": "",
        "lines": lines(account()),
        "constants": (),
        "reserved": {"domain": "a.example.com", "sg.addr": "10.0.0.5"},
        "addresses": lambda _name: (),
        "rng": random.Random(1),
        "new_id": lambda: f"id-{next(ids)}",
    }
    return Scope(**(given | changes))  # type: ignore[arg-type]


def constants(**sources: dict[str, str]) -> tuple[ConstantSource, ...]:
    """Constant sources in order of priority."""
    return tuple(ConstantSource(origin, values) for origin, values in sources.items())


class Clock:
    """A clock that stands still, or goes on by ``step`` at each look."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def rendering(
    text: str, files: dict[str, str] | None = None, *, trace: bool = False, **changes: object
) -> Rendering:
    """Render ``text`` as the template "root"."""
    return render(parse("root", text), scope(files, **changes), Budget(Clock()), trace=trace)


def fill(text: str, files: dict[str, str] | None = None, **changes: object) -> str:
    """The filled text of the template "root"."""
    return rendering(text, files, **changes).data.decode()
