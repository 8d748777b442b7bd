"""``era-ap check``: everything that is wrong with a site, before its phones find out."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from era_ap.cli.common import (
    Progress,
    config_option,
    fail_with,
    json_option,
    load_offline,
    print_json,
    problem_fields,
    problem_line,
    role_option,
)
from era_ap.config import ConfigError
from era_ap.errors import Problem, Severity
from era_ap.offline import load_config
from era_ap.provisioning.audit import audit
from era_ap.provisioning.trial import trial


@click.command(short_help="Find everything that is wrong with a site.")
@click.option(
    "--config-only",
    is_flag=True,
    help="Only the configuration and the keys and certificates it names; storage and directory may be away.",
)
@config_option
@role_option
@json_option
def check(config_only: bool, config: Path, role: str | None, as_json: bool) -> None:
    """Check configuration, storage and directory; exit 1 with all findings.

    Every file of every phone of the directory is tried, with its keys and overrides. Warnings are shown and
    do not fail the check. Exit 2 if the site configuration cannot be used; then nothing else is looked at.
    """
    if config_only:
        _check_config(config, role, as_json=as_json)
    site = load_offline(config, role, as_json=as_json)
    with Progress() as progress:
        tried = trial(site.provisioner, time.monotonic, progress)
    problems = tuple(dict.fromkeys((*site.problems, *audit(site.provisioner), *tried)))
    phones = len(site.provisioner.directory.macs) if site.provisioner.directory else 0
    _tell(site.site.site, problems, as_json=as_json, phones=phones)


def _check_config(config: Path, role: str | None, *, as_json: bool) -> NoReturn:
    try:
        site, _, problems = load_config(config, role)
    except ConfigError as error:
        fail_with(error.problems, as_json=as_json)
    _tell(site.site, problems, as_json=as_json)


def _tell(site: str, problems: Sequence[Problem], *, as_json: bool, **counts: int) -> NoReturn:
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if as_json:
        found = [problem_fields(problem) for problem in problems]
        print_json({"ok": not errors, "site": site, **counts, "problems": found})
    else:
        for problem in problems:
            click.echo(problem_line(problem))
        counts |= {"errors": errors, "warnings": len(problems) - errors}
        click.echo(f"{site}: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    sys.exit(1 if errors else 0)
