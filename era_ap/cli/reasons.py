"""``era-ap reasons``: every reason code, what phones hear, and what to do."""

from __future__ import annotations

import click

from era_ap.cli.common import json_option, print_json
from era_ap.errors import Reason


@click.command()
@json_option
def reasons(as_json: bool) -> None:
    """List every reason code of journal, log and explain, with what to do about it."""
    if as_json:
        print_json({"reasons": [_fields(reason) for reason in Reason]})
        return
    width = max(len(reason.code) for reason in Reason)
    for reason in Reason:
        click.echo(f"{reason.code.ljust(width)}  {reason.outcome.name.lower():<11}  {reason.advice}")


def _fields(reason: Reason) -> dict[str, object]:
    outcome = reason.outcome
    return {
        "reason": reason.code,
        "outcome": outcome.name.lower(),
        "tftp_error": outcome.tftp_code,
        "http_status": outcome.http_status,
        "advice": reason.advice,
    }
