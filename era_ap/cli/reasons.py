"""``era-ap reasons``: every reason code, what phones hear, and what to do."""

from __future__ import annotations

import click

from era_ap.cli.common import json_option, print_json
from era_ap.errors import Outcome, Reason

TITLE = "Reason codes"
INTRODUCTION = (
    "Every request ends with one of these codes in the journal and the log; ``era-ap explain`` says the same",
    "for any phone and file before it asks. A phone that finds its server by PnP hears silence instead of an",
    "error. Made from the table in ``era_ap/errors.py`` by ``era-ap reasons --rst``.",
)


@click.command(short_help="List every reason code.")
@json_option
@click.option("--rst", "as_rst", is_flag=True, help="As a document in reStructuredText.")
def reasons(as_json: bool, as_rst: bool) -> None:
    """List every reason code of journal, log and explain, with what to do about it."""
    if as_rst:
        click.echo(document(), nl=False)
        return
    if as_json:
        print_json({"reasons": [_fields(reason) for reason in Reason]})
        return
    width = max(len(reason.code) for reason in Reason)
    for reason in Reason:
        click.echo(f"{reason.code.ljust(width)}  {reason.outcome.name.lower():<11}  {reason.advice}")


def document() -> str:
    """All reason codes as a document, a section for each class of outcome."""
    lines = [TITLE, "=" * len(TITLE), "", *INTRODUCTION, ""]
    for outcome in Outcome:
        wire = f"ERROR {outcome.tftp_code}" if outcome.tftp_code is not None else "the file"
        head = f"{outcome.name.capitalize().replace('_', ' ')}: TFTP {wire}, HTTP {outcome.http_status}"
        lines += [head, "-" * len(head), ""]
        for reason in Reason:
            if reason.outcome is outcome:
                lines += [f"``{reason.code}``", f"    {reason.advice}", ""]
    return "\n".join(lines)


def _fields(reason: Reason) -> dict[str, object]:
    outcome = reason.outcome
    return {
        "reason": reason.code,
        "outcome": outcome.name.lower(),
        "tftp_error": outcome.tftp_code,
        "http_status": outcome.http_status,
        "advice": reason.advice,
    }
