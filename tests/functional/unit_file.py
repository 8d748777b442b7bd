"""systemd unit files, read as systemd reads them as far as ours go: comments, lists, resets, specifiers."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICE = FOLDER / "era-ap@.service"
ACTIVATED = FOLDER / "era-ap-activated@.service"

Directives = dict[str, list[str]]


def read_unit(path: Path, instance: str = "ap1") -> dict[str, Directives]:
    """Sections with their directives; a directive has one value a line, an empty one resets those before."""
    sections: dict[str, Directives] = {}
    section: Directives = {}
    for line in path.read_text().splitlines():
        text = line.strip().replace("%i", instance)
        if not text or text[0] in "#;":
            continue
        if text.startswith("["):
            section = sections.setdefault(text.strip("[]"), {})
            continue
        key, _, value = text.partition("=")
        values = section.setdefault(key, [])
        if value:
            values.append(value)
        else:
            values.clear()
    return sections


def seconds(section: Directives, key: str) -> float:
    """A time span that is written as seconds."""
    return float(section[key][-1])
