"""What the commands share: the options, the loading with its progress, the printing of findings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from era_ap.config import ConfigError
from era_ap.errors import Severity
from era_ap.offline import Offline, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from era_ap.errors import Problem

Command = TypeVar("Command", bound="Callable[..., Any]")

DEFAULT_CONFIG = Path("/etc/era-ap/site.yml")


def config_option(command: Command) -> Command:
    """``-c FILE``: the site configuration; also from ERA_AP_CONFIG."""
    return click.option(
        "-c",
        "--config",
        "config",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="ERA_AP_CONFIG",
        default=DEFAULT_CONFIG,
        show_default=True,
        help="Site configuration.",
    )(command)


def role_option(command: Command) -> Command:
    """``--role NAME``: whose settings count; the first enabled ap role unless named."""
    return click.option(
        "--role", default=None, help="Role whose settings count (default: the first ap role)."
    )(command)


def json_option(command: Command) -> Command:
    """``--json``: one JSON document instead of text for people."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def load_offline(config: Path, role: str | None, *, as_json: bool) -> Offline:
    """Load configuration, storage and directory, with progress on a terminal; exits 2 if there is no site."""
    try:
        with Progress() as progress:
            return load(config, role, progress)
    except ConfigError as error:
        fail_with(error.problems, as_json=as_json)


class Progress:
    """Progress of long work on standard error, only where a person looks at it."""

    def __init__(self) -> None:
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def __call__(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` are done; a total of 0 is not known."""
        if not sys.stderr.isatty() or (total and done % 97 and done != total):
            return
        self._shown = True
        of_all = f" of {total:,}" if total else ""
        sys.stderr.write(f"\r\033[K{what}: {done:,}{of_all}")
        sys.stderr.flush()


def fail_with(problems: Iterable[Problem], *, as_json: bool) -> NoReturn:
    """Print an unusable site configuration and exit 2."""
    found = tuple(problems)
    if as_json:
        print_json({"ok": False, "problems": [problem_fields(problem) for problem in found]})
    else:
        for problem in found:
            click.echo(problem_line(problem), err=True)
    sys.exit(2)


def problem_line(problem: Problem) -> str:
    """One finding as one line of text."""
    level = "error" if problem.severity is Severity.ERROR else "warning"
    return printable(f"{level}: {problem.where}: {problem.detail} [{problem.reason.code}]")


def printable(text: str) -> str:
    """``text`` without what is no character: bytes of names and tables in another encoding than UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def problem_fields(problem: Problem) -> dict[str, str]:
    """One finding as fields of a JSON document."""
    return {
        "severity": problem.severity.value,
        "reason": problem.reason.code,
        "where": printable(problem.where),
        "detail": printable(problem.detail),
        "advice": problem.reason.advice,
    }


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))
