"""The manual pages say what ``--help`` says. Written anew by ``python -m tests.unit.test_manual``."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path

import click
import pytest

from era_ap import cli

MANUALS = Path(__file__).parents[2] / "deploy" / "man"
BEGIN, END = '.\\" commands\n', '.\\" end of commands\n'


def plain(text: str) -> str:
    """``text`` as roff takes it literally."""
    safe = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in safe.splitlines())


def flowing(text: str) -> str:
    """Paragraphs of a help text."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n.PP\n".join(map(plain, paragraphs))


def spelled(option: click.Option) -> str:
    """An option with the name of its value."""
    names = ", ".join(option.opts)
    if option.is_flag:
        return names
    of = option.type
    value = (
        f"[{'|'.join(map(str, of.choices))}]"
        if isinstance(of, click.Choice)
        else of.name.removesuffix(" range").upper()
    )
    return f"{names} {option.metavar or value}"


def told(option: click.Option) -> str:
    """Its help and its default."""
    default = f" Unless given: {option.default}." if option.show_default else ""
    return " ".join((option.help or "").split()) + default


def described(command: click.Command, names: tuple[str, ...]) -> Iterator[str]:
    """The section of one command, then those of its own commands."""
    context = click.Context(command, info_name=" ".join(("era-ap", *names)))
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f".SS {plain(' '.join(('era-ap', *names, pieces)))}"
    yield flowing(command.help or "")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield f".TP\n.B {plain(spelled(parameter))}\n{plain(told(parameter))}"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from described(command.commands[name], (*names, name))


def documented(text: str) -> str:
    """The manual with its commands as they are now."""
    before, rest = text.split(BEGIN)
    pieces = [
        piece for name in sorted(cli.main.commands) for piece in described(cli.main.commands[name], (name,))
    ]
    return before + BEGIN + "\n".join(pieces) + "\n" + END + rest.split(END)[1]


def test_the_manual_has_every_command_and_option() -> None:
    text = (MANUALS / "era-ap.8").read_text("utf-8")
    assert text == documented(text)


def test_the_manual_of_the_packs_has_every_option() -> None:
    packs = (
        SourceFileLoader("packs", str(MANUALS.parent / "packs"))
        .get_data(str(MANUALS.parent / "packs"))
        .decode()
    )
    options = set(re.findall(r'add_argument\("(--[a-z]+)"', packs))
    assert options
    assert options == set(re.findall(r"^\.BI? \"?(--[a-z]+)", (MANUALS / "era-ap-packs.8").read_text(), re.M))


@pytest.mark.skipif(not shutil.which("groff"), reason="needs the Debian package groff-base")
@pytest.mark.parametrize("name", ["era-ap.8", "era-ap-packs.8"])
def test_groff_has_no_complaint(name: str) -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", str(MANUALS / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


if __name__ == "__main__":
    manual = MANUALS / "era-ap.8"
    manual.write_text(documented(manual.read_text("utf-8")), "utf-8")
