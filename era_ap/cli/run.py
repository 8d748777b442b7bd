"""``era-ap run``: the daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from era_ap.cli.common import config_option, fail_with
from era_ap.config import ConfigError


@click.command(short_help="Run an instance: the daemon.")
@click.argument("role", envvar="ERA_AP_ROLE")
@config_option
def run(role: str, config: Path) -> None:
    """Run the instance ROLE (or ERA_AP_ROLE) of the site configuration.

    SIGHUP reads the configuration again; SIGTERM lets running transfers finish, a second one does not.
    """
    # The reactor is installed on import of the daemon: no other command may pay for it or be bound to it.
    from era_ap.daemon import run_daemon  # noqa: PLC0415

    try:
        sys.exit(run_daemon(config, role))
    except ConfigError as error:
        fail_with(error.problems, as_json=False)
