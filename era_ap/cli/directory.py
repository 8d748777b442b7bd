"""``era-ap directory``: import, export, apply, diff between a folder of YAML files and the directory.

Exit codes: 0 done (diff: nothing differs), 1 done but for the records that are named (diff: something
differs), 2 not done or not to its end: wrong usage, an unusable site configuration, a directory or folder
that cannot be reached, or the guard against mass removal; 130 interrupted, the domains before stay done.
Repeating a command is always safe.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from era_ap.cli.common import config_option, json_option
from era_ap.cli.directory_csv import csv_group
from era_ap.cli.directory_report import Report, refuse
from era_ap.cli.directory_sides import FileReader, FolderReader, Side, reader_of, source_of, writer_of
from era_ap.config.directory import YamlFolder
from era_ap.directory.exchange import Exchange, Totals
from era_ap.directory.folder_writer import FolderWriter
from era_ap.errors import Reason, Refused

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """One command. ``outward``: from the directory to the folder; ``mirror``: what is not there goes."""

    command: str
    folder: Path
    source: str | None
    config: Path
    as_json: bool
    dry_run: bool = False
    verbose: bool = False
    mirror: bool = False
    allow_delete: bool = False
    outward: bool = False


def _options(*more: Decorator) -> Decorator:
    """The argument and the options that all of them have, and ``more``."""

    def wrap(command: Callable[..., Any]) -> Callable[..., Any]:
        source = click.option("--source", help="Source of the directory: its name, or number from 1.")
        decorators: tuple[Decorator, ...] = (_folder, *more, source, config_option, json_option)
        for decorate in reversed(decorators):
            command = decorate(command)
        return command

    return wrap


_folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
_dry_run = click.option("--dry-run", is_flag=True, help="Say exactly what would change; change nothing.")
_verbose = click.option("-v", "--verbose", is_flag=True, help="Name each record that is written or removed.")
_allow_delete = click.option(
    "--allow-delete", is_flag=True, help="Remove even more than a tenth of all accounts or domains."
)


@click.group(short_help="Move, compare and list accounts.")
def directory() -> None:
    """Move accounts between folders of YAML files, databases and tables, and compare them.

    FOLDER is laid out like any directory of YAML files: DOMAIN/domain.yml, DOMAIN/sipusers/LOGIN.yml. The
    other side is the source of 'directory' in the site configuration. One domain is one transaction; a
    record that cannot be taken over is named with its file and line, and the others go on.

    Exit codes: 0 done, 1 done but for the records named (diff: there are differences), 2 not done, or not
    to its end, 130 interrupted. Repeating a command is always safe.
    """


@directory.command("import")
@_options(_dry_run, _verbose)
def import_(**options: Any) -> None:
    """Add and update what FOLDER has. Nothing is removed."""
    _run(Job("import", **options))


@directory.command()
@_options(_dry_run, _verbose, _allow_delete)
def apply(**options: Any) -> None:
    """Make the directory equal to FOLDER: add, update, and remove what FOLDER does not have.

    Files that cannot be read keep their accounts. Where more than a half would go, or more than a tenth and
    more than ten accounts (or more than one domain), nothing is done unless --allow-delete is given.
    """
    _run(Job("apply", **options, mirror=True))


@directory.command()
@_options()
def diff(**options: Any) -> None:
    """Show what 'apply' would change in the directory; exit 1 if that is anything."""
    _run(Job("diff", **options, mirror=True, dry_run=True))


@directory.command()
@click.option("--delete", "mirror", is_flag=True, help="Remove files of what the directory does not have.")
@_options(_dry_run, _verbose, _allow_delete)
def export(**options: Any) -> None:
    """Write the directory into FOLDER; files that mean the same already are not touched.

    A file that was imported comes back byte for byte, with its comments, as long as nobody edited the account
    since. Files of new accounts are readable for their owner only: they hold passwords.
    """
    _run(Job("export", **options, outward=True))


@directory.command()
@click.option("--source", help="Source of the directory: its name, or number from 1.")
@config_option
@json_option
def upgrade(source: str | None, config: Path, as_json: bool) -> None:
    """Make the tables of a database, or bring them up to date. Needs the right to create tables."""
    from era_ap.directory.sql_schema import SchemaState  # noqa: PLC0415 - SQLAlchemy loads slowly
    from era_ap.directory.sql_upgrade import upgrade as upgrade_tables  # noqa: PLC0415 - so does Alembic

    chosen = source_of(config, source, as_json=as_json)
    if isinstance(chosen, YamlFolder):
        raise click.UsageError(f"{chosen.name} is a folder; only databases have tables")
    try:
        before, after = asyncio.run(upgrade_tables(chosen))
    except Refused as refused:
        refuse(refused, chosen.name, as_json=as_json)
    if after is not SchemaState.CURRENT:
        refuse(Refused(Reason.DIRECTORY_UNAVAILABLE, f"it {after.value}"), chosen.name, as_json=as_json)
    done = "made or brought up to date" if before is not after else "nothing to do"
    report = Report("upgrade", as_json=as_json, edits=False)
    report.end({"before": before.name.lower()}, f"upgrade: {chosen.name} {before.value}: {done}", ok=True)


directory.add_command(csv_group)


def _run(job: Job) -> None:
    report = Report(job.command, as_json=job.as_json, edits=job.dry_run or job.verbose)
    source = source_of(job.config, job.source, as_json=job.as_json, to_edit=not job.outward)
    if isinstance(source, YamlFolder) and source.path.resolve() == job.folder.resolve():
        raise click.UsageError(f"{job.folder} is the directory itself; name another folder")

    totals = Totals()

    async def work() -> None:
        nonlocal totals
        outward, folder = job.outward, job.folder
        reader: Side = FileReader(reader_of(source), source.name) if outward else FolderReader(folder)
        target = FolderWriter(folder) if outward else writer_of(source)
        try:
            exchange = Exchange(reader, target, report, mirror=job.mirror)
            totals = exchange.totals
            if job.dry_run:
                await exchange.preview()
                return
            if job.mirror and not job.allow_delete:
                await exchange.guard()
            await exchange.run()
        finally:
            await reader.close()
            await target.close()

    try:
        asyncio.run(work())
    except Refused as refused:
        report.stop(refused, str(job.folder) if job.outward else source.name, asdict(totals))
    except KeyboardInterrupt:
        report.interrupt(asdict(totals), _sentence(job, totals, source.name))
    differs = job.command == "diff" and totals.differs
    report.end(asdict(totals), _sentence(job, totals, source.name), ok=not totals.failed and not differs)
    sys.exit(1 if totals.failed or differs else 0)


def _sentence(job: Job, totals: Totals, source: str) -> str:
    where = f"{source} to {job.folder}" if job.outward else f"{job.folder} to {source}"
    counts = (
        f"{totals.added:,} added, {totals.changed:,} changed, {totals.removed:,} removed, "
        f"{totals.unchanged:,} unchanged"
    )
    domains = f"domains: {totals.domains:,} documents, {totals.domains_removed:,} removed"
    failed = f"; {totals.failed:,} not taken over, see above" if totals.failed else ""
    would = " would be" if job.dry_run else ""
    return f"{job.command}: {where}: accounts:{would} {counts}; {domains}{failed}"
