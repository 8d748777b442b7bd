"""Documents can be read as what they are, and what they name exists: commands, options, settings, files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import click
import docutils.core
import pytest
from pydantic import BaseModel

from era_ap import cli
from era_ap.config.roles import ApShape

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.rst", "deploy/**/*.rst", "templates/**/*.rst", "*/README.rst", "deploy/man/*.8")
    for path in ROOT.glob(pattern)
    if ".venv" not in path.parts
)
SCRIPTS = [
    ROOT / "deploy" / name for name in ("demo", "cluster-demo", "container/compose.yml", "debian/site.yml")
]


def relative(path: Path) -> str:
    """A name of a test."""
    return str(path.relative_to(ROOT))


def commands(text: str) -> Iterator[list[str]]:
    """The words after each ``era-ap`` that stands as a command."""
    text = re.sub(r"^\.BI? (.*)", r"``\1``", text, flags=re.M)
    for literal in (*re.findall(r"``(.+?)``", text, re.S), *re.findall(r"^\s{3,}([^`\n]+)$", text, re.M)):
        for line in re.split(r"[;|&]|\s#", literal):
            found = re.search(r"(?:^|[\s/\"])(?<!-[go] )era-ap\"?\s+(.*)", line, re.S)
            if found:
                yield found[1].split()


def fault(words: list[str]) -> str:
    """What is wrong with a command of these words; "" if nothing is."""
    command: click.Command = cli.main
    for word in words:
        if word.startswith("-"):
            known = {name for each in command.params for name in each.opts} | {"--help", "-h"}
            if word.partition("=")[0] not in known:
                return f"{command.name} has no option {word}"
        elif isinstance(command, click.Group):
            if word in command.commands:
                command = command.commands[word]
            elif re.fullmatch(r"[a-z]+", word) and not command.invoke_without_command:
                return f"{command.name} has no command {word}"
            elif re.fullmatch(r"[a-z]+", word):
                return f"{command.name} takes no {word}"
    return ""


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.suffix == ".rst"], ids=relative)
def test_it_is_restructured_text(path: Path) -> None:
    complaints = io.StringIO()
    quiet = {
        "warning_stream": complaints,
        "report_level": 1,
        "halt_level": 5,
        "file_insertion_enabled": False,
    }
    docutils.core.publish_doctree(path.read_text("utf-8"), source_path=str(path), settings_overrides=quiet)
    assert complaints.getvalue() == ""


@pytest.mark.parametrize("path", [*DOCUMENTS, *SCRIPTS], ids=relative)
def test_commands_and_options_exist(path: Path) -> None:
    found = {" ".join(words): fault(words) for words in commands(path.read_text("utf-8"))}
    assert {words: what for words, what in found.items() if what} == {}


def test_the_reader_of_commands_reads_them() -> None:
    text = "x ``era-ap check --nope`` y\n\n    exec ap1 era-ap cluster status\n    $bin/era-ap explode 1\n"
    assert [fault(words) for words in commands(text)] == [
        "check has no option --nope",
        "cluster takes no status",
        "main has no command explode",
    ]


def settings(shape: type[BaseModel], prefix: str) -> Iterator[str]:
    """Dotted names of all keys."""
    for key, field in shape.model_fields.items():
        yield f"{prefix}{key}"
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from settings(part, f"{prefix}{key}.")


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_settings_exist(path: Path) -> None:
    known = set(settings(ApShape, ""))
    named = re.findall(r"``(ext(?:\.[a-z_]+)+)(?![.\w])", path.read_text("utf-8"))
    if path.parts[-2] == "sql":
        pytest.skip("speaks of the ext of accounts")
    data = {"ext.ap_blf", "ext.ap_override", "ext.default_sipuser_noreg_gates"}  # of accounts and domains
    assert {name for name in named if name not in known | data} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_files_exist(path: Path) -> None:
    for name in re.findall(r"``([\w./-]+)``", path.read_text("utf-8")):
        if name.startswith(("deploy/", "era_ap/", "tests/")):
            assert (ROOT / name).exists(), name
