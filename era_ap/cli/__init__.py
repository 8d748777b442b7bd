"""The command line ``era-ap``. Owns words, tables, exit codes; decides nothing about phones.

Exit codes: 0 done, 1 findings or a refusal (the output says which), 2 wrong usage or an unusable
site configuration.
"""

from __future__ import annotations

import errno
import os
import sys

import click

from era_ap import __version__
from era_ap.cli.check import check
from era_ap.cli.cluster import cluster
from era_ap.cli.directory import directory
from era_ap.cli.file import explain, render
from era_ap.cli.phones import phone, phones
from era_ap.cli.reasons import reasons
from era_ap.cli.run import run
from era_ap.tftp import transfer

_BUILD = "" if transfer.__file__.endswith(".py") else " (TFTP compiled)"


class _Refused(click.ClickException):
    """Something outside of us is in the way."""

    exit_code = 2


class _Commands(click.Group):
    """What the system refuses to a command (a full disk, a missing folder) is one line and exit 2."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a defect of the daemon keeps its traceback."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                _flush()
        except OSError as error:
            if error.errno == errno.EPIPE or ctx.invoked_subcommand == "run":
                raise
            where = f"{error.filename}: " if error.filename is not None else ""
            raise _Refused(f"{where}{error.strerror or error}") from None


def _flush() -> None:
    """Learn now whether the output is taken; at the end of the process nobody would hear of it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody tries the rest again
        raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="era-ap", message=f"%(prog)s %(version)s{_BUILD}")
def main() -> None:
    """Autoprovision daemon for SIP desk phones."""


for _command in (run, check, render, explain, phones, phone, directory, cluster, reasons):
    main.add_command(_command)
