"""What the packs of templates/ can do, found out by trying: a value is changed, and so is the file.

Owns the table in templates/README.rst; ``deploy/coverage`` writes it. Nothing is declared, so nothing can be
claimed that a pack does not do. Only languages, tones, codecs, DTMF and resync are told by the words in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, partial

from packs import ROOT, filled, layout_of, models, storage, template_of, types_of

from era_ap.errors import Refused
from era_ap.provisioning.names import builtin_masks

README = ROOT / "templates" / "README.rst"
BEGIN, END = ".. coverage: begin, written by deploy/coverage", ".. coverage: end"
SENTINEL = "q7x9"
NUMBER = "7190"
OFF = {f"use.{each}": "" for each in ("passwords", "provisioning", "firmware", "syslog", "vlan", "phonebook")}
KINDS = ("", *sorted({mask.type for mask in builtin_masks() if mask.type}))


# --- what a model's files are


@cache
def kinds_of(model: str) -> tuple[str, ...]:
    """The types of the files that a phone of the model gets, "" is the main one."""
    found = []
    for kind in KINDS:
        try:
            template_of(model, kind)
        except AssertionError:
            continue
        found.append(kind)
    return tuple(found)


def files(model: str, blf: object = None, **constants: str) -> bytes | None:
    """All files of a phone; None if one of them is refused."""
    try:
        parts = [filled(model, 1, blf, kind, **(OFF | constants)).data for kind in kinds_of(model)]
    except Refused:
        return None
    return b"\n".join(parts)


@cache
def plain(model: str) -> bytes:
    data = files(model)
    assert data is not None, model
    return data


# --- features: each says of one model whether it has it


def shows(model: str, constant: str, value: str = SENTINEL, **others: str) -> bool:
    """Whether the value of a constant comes out."""
    data = files(model, **{constant: value, **others})
    return data is not None and value.encode() in data


def changes(model: str, **constants: str) -> bool:
    data = files(model, **constants)
    return data is not None and data != plain(model)


def option(model: str, name: str, constant: str, value: str = SENTINEL) -> bool:
    return shows(model, constant, value, **{f"use.{name}": name})


def lines(model: str) -> bool:
    return all(each in plain(model) for each in (b"101", b"User 1", b"secret-1", b"a.example.com"))


def proxy(model: str) -> bool:
    return b"192.0.2.10" in plain(model)


def transport(model: str, proto: str) -> bool:
    return changes(model, **{"sg.proto": proto})


def registration(model: str) -> bool:
    """Whether more than the password changes when the account does not register."""
    data = files(model, **{"sg.register": "off"})
    return data is not None and data != plain(model).replace(b"secret-1", b"")


def summer(model: str) -> bool:
    """Zones with the same offset, with summer time and without it."""
    pairs = (("Europe/Berlin", "Africa/Lagos"), ("America/Denver", "America/Phoenix"))
    return any(files(model, timezone=one) != files(model, timezone=other) for one, other in pairs)


def key(model: str) -> bool:
    data = files(model, [NUMBER])
    return data is not None and NUMBER.encode() in data


def pickup(model: str) -> bool:
    data = files(model, [NUMBER], **{"pickup.prefix": SENTINEL})
    return data is not None and SENTINEL.encode() in data


def pages(model: str) -> bool:
    return any(area.pages > 1 for area in layout_of(model).areas or ())


def modules(model: str) -> bool:
    return any(area.modules for area in layout_of(model).areas or ())


def written(model: str, pattern: str) -> bool:
    return re.search(pattern.encode(), plain(model), re.IGNORECASE) is not None


def reads(model: str, pattern: str) -> bool:
    """Whether a template of the model's folder reads a constant of the vendor with such a name."""
    return re.search(rf"\[constants\.[a-z0-9_.]*(?:{pattern})", folder_text(folder_of(model))) is not None


@cache
def folder_text(folder: str) -> str:
    paths = (ROOT / "templates" / folder).iterdir()
    return "\n".join(path.read_text("utf-8") for path in sorted(paths) if not path.name.startswith("README"))


@cache
def folder_of(model: str) -> str:
    return next(each.folder for each in storage().models if each.name == model)


Feature = Callable[[str], bool]

TELEPHONY: dict[str, Feature] = {
    "Lines": lines,
    "Proxy": proxy,
    "TCP": partial(transport, proto="tcp"),
    "TLS": partial(transport, proto="tls"),
    "No reg": registration,
    "Mail": partial(shows, constant="voicemail.number"),
    "Codecs": partial(written, pattern=r"codec|pcma|g\.?711|audio\d"),
    "DTMF": partial(written, pattern=r"dtmf|rfc2833|avt"),
    "BLF": key,
    "Pickup": pickup,
    "Pages": pages,
    "Cars": modules,
}
DEVICE: dict[str, Feature] = {
    "NTP": partial(shows, constant="ntp.server"),
    "Zone": partial(changes, timezone="Europe/Berlin"),
    "Summer": summer,
    "Language": partial(reads, pattern="language|locale"),
    "Tones": partial(reads, pattern="tone"),
    "URL": partial(changes, **{"use.provisioning": "provisioning"}),
    "Log-ins": partial(option, name="passwords", constant="phone.admin_password"),
    "Resync": partial(written, pattern=r"check.?sync|notify.?reboot|resync|allowSipReset|P26015|ood_"),
    "Firmware": partial(changes, **{"use.firmware": "firmware"}),
    "Syslog": partial(option, name="syslog", constant="syslog.server"),
    "VLAN": partial(option, name="vlan", constant="vlan.id", value="3719"),
    "Web": partial(changes, **{"phone.web": "off"}),
    "Book": partial(option, name="phonebook", constant="phonebook.url"),
}


# --- the table


@cache
def representatives(folder: str) -> tuple[str, ...]:
    """A model for each main template of the folder, the one with most keys."""
    found: dict[str, str] = {}
    for model in models(folder):
        name = template_of(model).name
        if name not in found or size_of(model) > size_of(found[name]):
            found[name] = model
    return tuple(found.values())


def size_of(model: str) -> tuple[int, int]:
    areas = layout_of(model).areas or ()
    return len([area for area in areas if area.modules]), sum(area.size for area in areas)


def cell(folder: str, feature: Feature) -> str:
    has = [feature(model) for model in representatives(folder)]
    return "yes" if all(has) else "some" if any(has) else ""


def folders() -> list[str]:
    return sorted({model.folder for model in storage().models if model.folder and models(model.folder)})


def forms(folder: str) -> str:
    """What the main files of the folder are made of."""
    return " ".join(sorted({template_of(model).kind.name.lower() for model in representatives(folder)}))


def types(folder: str) -> str:
    """How many types of keys the model with most of them has, without the empty key."""
    return str(max(len(types_of(model)) for model in models(folder)) or "")


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = "  ".join("=" * width for width in widths)
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return [rule, text[0], rule, *text[1:], rule]


def section() -> str:
    """The text between the two marks."""
    telephony = [
        [
            f"``{folder}``",
            str(len(models(folder))),
            forms(folder),
            *(cell(folder, each) for each in TELEPHONY.values()),
            types(folder),
        ]
        for folder in folders()
    ]
    device = [[f"``{folder}``", *(cell(folder, each) for each in DEVICE.values())] for folder in folders()]
    return "\n".join(
        [
            "",
            "What the packs cover",
            "--------------------",
            "",
            "Found out by filling in each template with a value changed or a switch thrown. *some*: not for",
            "each kind of phone in the folder. *Codecs*, *DTMF*, *Resync*: the file says something of them;",
            "without it the phone does as it likes. *No reg*: for ``reg: false`` the file says more than",
            "an empty password. *Cars*: side-cars. *Types*: of keys. *Book*: the address of a phone book.",
            "",
            *table(["Folder", "Models", "Files", *TELEPHONY, "Types"], telephony),
            "",
            *table(["Folder", *DEVICE], device),
            "",
            "",
        ]
    )


def with_section(text: str) -> str:
    """The README with the table as it is now; raises ``ValueError`` without the two marks."""
    before, begin, rest = text.partition(BEGIN + "\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README} has no lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}{section()}{end}{after}"


if __name__ == "__main__":
    README.write_text(with_section(README.read_text(encoding="utf-8")), encoding="utf-8")
