"""What ``era-ap directory`` says: each edit and finding as it happens, progress, totals, one JSON document.

Owns the wording and the pace of progress: a line that changes on a terminal, a line every ten seconds
elsewhere. Nothing is kept but a few findings, so a million edits need no memory.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import click

from era_ap.cli.common import fail_with, printable, problem_fields, problem_line
from era_ap.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from era_ap.directory.comparison import Edit, FieldEdit
    from era_ap.errors import Refused

TERMINAL_SECONDS = 0.1
LOG_SECONDS = 10.0
MOST_PROBLEMS = 10_000
MOST_FIELDS = 8
INTERRUPTED = 128 + signal.SIGINT
_SIGNS = {"add": "+", "change": "~", "remove": "-"}


class Report:
    """An ``Observer`` that prints. ``edits``: each edit is told too. Use as a context."""

    def __init__(self, command: str, *, as_json: bool, edits: bool, findings_on_stderr: bool = False) -> None:
        self._command = command
        self._aside = findings_on_stderr
        self._json = as_json
        self._edits = edits
        self._problems: list[Problem] = []
        self._left_out = 0
        self._told = 0
        self._terminal = sys.stderr.isatty()
        self._line = False
        self._begin = self._last = time.monotonic()

    def problem(self, problem: Problem) -> None:
        """A finding, at once; in JSON with all others at the end."""
        if not self._json:
            self.clear()
            click.echo(problem_line(problem), err=self._aside)
        elif len(self._problems) < MOST_PROBLEMS:
            self._problems.append(problem)
        else:
            self._left_out += 1

    def edit(self, edit: Edit) -> None:
        """An edit, if they are told."""
        if self._json:
            fields = [
                {"path": field.path, "before": field.before, "after": field.after} for field in edit.fields
            ]
            row = {"change": edit.kind.value, "domain": edit.domain, "login": edit.login, "fields": fields}
            self._echo(
                f"{',' if self._told else self._opening()}\n  {json.dumps(row, ensure_ascii=False)}", end=""
            )
            self._told += 1
        elif self._edits:
            shown = "; ".join(map(_field, edit.fields[:MOST_FIELDS]))
            more = len(edit.fields) - MOST_FIELDS
            tail = f"; {more} more" if more > 0 else ""
            self._echo(f"{_SIGNS[edit.kind.value]} {edit}{': ' if shown else ''}{shown}{tail}")

    def progress(self, domains: int, of: int, accounts: int) -> None:
        """How far it is, now and then."""
        self._say(f"{domains:,} of {of:,} domains, {accounts:,} accounts", accounts)

    def rows(self, rows: int) -> None:
        """How many rows of a table were read, now and then."""
        if rows % 256 == 0:
            self._say(f"{rows:,} rows read", rows)

    def end(self, totals: Mapping[str, object], sentence: str, *, ok: bool) -> None:
        """The totals, as the last thing said."""
        if not self._json:
            self._echo(sentence)
            return
        head = self._opening() if not self._told else ""
        problems = [problem_fields(problem) for problem in self._problems]
        left_out = {"problems_left_out": self._left_out} if self._left_out else {}
        rest = json.dumps(
            {"ok": ok, **totals, "problems": problems, **left_out}, ensure_ascii=False, indent=1
        )
        self._echo(f"{head}\n ],{rest.removeprefix('{')}")

    def stop(self, refused: Refused, where: str, totals: Mapping[str, object]) -> NoReturn:
        """Say why it went no further, and exit 2; ``totals`` is what was done before."""
        self.clear()
        problem = _problem(refused, where)
        if not self._json:
            fail_with((problem,), as_json=False)
        self._problems.append(problem)
        self.end(totals, "", ok=False)
        sys.exit(2)

    def interrupt(self, totals: Mapping[str, object], sentence: str) -> NoReturn:
        """Say what was done before Ctrl-C, and exit as shells expect it."""
        self.end(totals, f"{sentence}; interrupted: the rest was not looked at", ok=False)
        sys.exit(INTERRUPTED)

    def _opening(self) -> str:
        return f'{{\n "command": "{self._command}",\n "changes": ['

    def _say(self, text: str, count: int) -> None:
        now = time.monotonic()
        if now - self._last < (TERMINAL_SECONDS if self._terminal else LOG_SECONDS):
            return
        self._last = now
        pace = f", {count / max(now - self._begin, 0.001):,.0f}/s"
        if self._terminal:
            sys.stderr.write(f"\r\033[K{self._command}: {text}{pace}")
            self._line = True
        else:
            sys.stderr.write(f"{self._command}: {text}{pace}\n")
        sys.stderr.flush()

    def _echo(self, text: str, end: str = "\n") -> None:
        self.clear()
        click.echo(printable(text), nl=end == "\n")

    def clear(self) -> None:
        """Take the line of progress away."""
        if self._line:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._line = False


def _field(field: FieldEdit) -> str:
    if field.before is None:
        return f"{field.path} = {_short(field.after)}"
    if field.after is None:
        return f"{field.path} removed"
    return f"{field.path} {_short(field.before)} -> {_short(field.after)}"


def _short(text: str | None) -> str:
    shown = json.dumps(text, ensure_ascii=False)
    return shown if len(shown) <= 60 else f'{shown[:57]}…"'


def refuse(refused: Refused, where: str, *, as_json: bool) -> NoReturn:
    """Say why nothing was done, and exit 2."""
    fail_with((_problem(refused, where),), as_json=as_json)


def _problem(refused: Refused, where: str) -> Problem:
    detail = refused.detail.removeprefix(f"{where}: ") or refused.reason.advice
    return Problem(refused.reason, where, detail)
