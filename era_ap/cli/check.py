"""``era-ap check``: everything that is wrong with a site, before its phones find out."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from era_ap.cli.common import (
    Progress,
    config_option,
    json_option,
    load_offline,
    print_json,
    problem_fields,
    problem_line,
    role_option,
)
from era_ap.errors import Severity
from era_ap.provisioning.audit import audit
from era_ap.provisioning.trial import trial


@click.command()
@config_option
@role_option
@json_option
def check(config: Path, role: str | None, as_json: bool) -> None:
    """Check configuration, storage and directory; exit 1 with all findings.

    Every file of every phone of the directory is tried, with its keys and overrides. Warnings are shown and
    do not fail the check. Exit 2 if the site configuration cannot be used; then nothing else is looked at.
    """
    site = load_offline(config, role, as_json=as_json)
    with Progress() as progress:
        tried = trial(site.provisioner, time.monotonic, progress)
    problems = tuple(dict.fromkeys((*site.problems, *audit(site.provisioner), *tried)))
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    phones = len(site.provisioner.directory.macs) if site.provisioner.directory else 0
    if as_json:
        print_json(
            {
                "ok": not errors,
                "site": site.site.site,
                "phones": phones,
                "problems": [problem_fields(problem) for problem in problems],
            }
        )
    else:
        for problem in problems:
            click.echo(problem_line(problem))
        warnings = len(problems) - errors
        click.echo(f"{site.site.site}: {phones} phones, {errors} errors, {warnings} warnings")
    sys.exit(1 if errors else 0)
