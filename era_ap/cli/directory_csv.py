"""``era-ap directory csv``: phones from and to tables, as spreadsheets and tools write them.

Owns opening the table: UTF-8 with or without a byte order mark, UTF-16 with one, standard input and output.
Does not own its columns (``directory.phones_csv``) nor what a row does (``directory.phones_merge``).
"""

from __future__ import annotations

import asyncio
import codecs
import io
import os
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from era_ap import config as configuration
from era_ap.cli.common import config_option, json_option
from era_ap.cli.directory_report import Report, refuse
from era_ap.cli.directory_sides import reader_of, source_of, writer_of
from era_ap.directory.exchange import Totals
from era_ap.directory.notation import parse_domain
from era_ap.directory.phones_csv import Table, TableError, TableWriter
from era_ap.directory.phones_import import Doubt, ImportPlan, PhonesImport
from era_ap.directory.phones_merge import Policy, phone_rows
from era_ap.errors import Reason, Refused
from era_ap.provisioning.audit import without_template
from era_ap.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_file = click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-")
_source = click.option("--source", help="Source of the directory: its name, or number from 1.")


@dataclass(frozen=True, slots=True)
class Job:
    """One import of a table."""

    file: Path
    domain: str | None
    dry_run: bool
    verbose: bool
    replace: bool
    move: bool
    create_domains: bool
    source: str | None
    config: Path
    as_json: bool

    @property
    def plan(self) -> ImportPlan:
        """What is wanted of the import."""
        return ImportPlan(Policy(self.replace, self.move), self.create_domains, self.dry_run)


@click.group("csv")
def csv_group() -> None:
    """Tables of phones: one row a phone, the first row names the columns."""


@csv_group.command("import")
@_file
@click.option("--domain", help="Domain of rows that name none.")
@click.option("--dry-run", is_flag=True, help="Say exactly what would change; change nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Name each account that is written.")
@click.option("--replace", is_flag=True, help="Accounts of the table lose all phones it does not give them.")
@click.option("--move", is_flag=True, help="Phones of the table leave other accounts of their domain.")
@click.option("--create-domains", is_flag=True, help="Make domains that do not exist yet.")
@_source
@config_option
@json_option
def import_(**options: Any) -> None:
    """Add and update the phones of a table (standard input unless FILE is given).

    Columns: mac and login, domain unless --domain is given; model, line, label, name, password; and
    device.FIELD, opts.FIELD, ext.FIELD. Letter case, blanks, - and _ in their names do not count; the
    separator is comma, semicolon or tab. An empty cell leaves things as they are. An account that does not
    exist yet is made if its row has a password.

    All rows are read before the first is taken over; then each domain is one transaction.
    """
    _import(Job(**options))


@csv_group.command("export")
@_file
@click.option("--domain", "domains", multiple=True, help="Only phones of this domain (again for more).")
@click.option("--passwords", is_flag=True, help="With the column password.")
@click.option("--excel", is_flag=True, help="For spreadsheets: semicolons, byte order mark, no formulas.")
@_source
@config_option
def export(
    file: Path, domains: tuple[str, ...], passwords: bool, excel: bool, source: str | None, config: Path
) -> None:
    """Write all phones as a table (standard output unless FILE is given); it can be imported again."""
    chosen = source_of(config, source, as_json=False, to_edit=False)
    table = TableWriter(excel=excel, passwords=passwords)
    report = Report("csv export", as_json=False, edits=False, findings_on_stderr=True)

    async def work(out: TextIO) -> None:
        reader = reader_of(chosen)
        try:
            names = [name for name in await reader.domains() if not domains or name in domains]
            out.write(table.header())
            phones = 0
            for done, name in enumerate(names, 1):
                reading, problems = await reader.read(name)
                for problem in problems:
                    report.problem(problem)
                for row in phone_rows(reading.documents) if reading.documents else ():
                    out.write(table.row(row))
                    phones += 1
                report.progress(done, len(names), phones)
        finally:
            await reader.close()

    try:
        with _output(file) as out:
            asyncio.run(work(out))
    except Refused as refused:
        refuse(refused, chosen.name, as_json=False)
    except OSError as error:
        raise click.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None
    report.clear()


def _import(job: Job) -> None:
    if job.domain is not None and parse_domain(job.domain) is None:
        raise click.BadParameter(f"{job.domain!r} is no domain name", param_hint="--domain")
    chosen = source_of(job.config, job.source, as_json=job.as_json)
    name = "standard input" if str(job.file) == "-" else str(job.file)
    report = Report("csv import", as_json=job.as_json, edits=job.dry_run or job.verbose)
    way, totals, rows = f"{name} to {chosen.name}", Totals(), 0

    async def work(lines: io.TextIOWrapper) -> None:
        nonlocal totals, rows
        writer = writer_of(chosen)
        try:
            importing = PhonesImport(name, writer, report, job.plan, doubt_of(job.config))
            totals = importing.totals
            importing.read(Table(lines, job.domain), report.rows)
            rows = importing.rows
            await importing.run()
        finally:
            await writer.close()

    try:
        with _input(job.file) as stream:
            asyncio.run(work(stream))
    except TableError as error:
        refuse(Refused(Reason.ROW_INVALID, str(error)), f"{name}:1", as_json=job.as_json)
    except Refused as refused:
        report.stop(refused, chosen.name, {"rows": rows, **asdict(totals)})
    except KeyboardInterrupt:
        report.interrupt({"rows": rows, **asdict(totals)}, _sentence(job, way, totals, rows))
    except OSError as error:
        raise click.BadParameter(f"{name}: {error.strerror}", param_hint="FILE") from None
    report.end({"rows": rows, **asdict(totals)}, _sentence(job, way, totals, rows), ok=not totals.failed)
    sys.exit(1 if totals.failed else 0)


def doubt_of(config: Path) -> Doubt:
    """What says why a model gets no file; nothing does where there are no templates to look at."""
    site = configuration.load(config)
    try:
        catalogue = Store(site.storage, site.site).scan()
    except Refused:
        catalogue = None

    def doubt(model: str) -> str | None:
        if catalogue is None or not catalogue.templates:
            return None
        found = without_template(catalogue, model, None)
        return None if found is None else found[1]

    return doubt


def _sentence(job: Job, way: str, totals: Totals, rows: int) -> str:
    would = "would be " if job.dry_run else ""
    failed = f"; {totals.failed:,} rows not taken over, see above" if totals.failed else ""
    return (
        f"csv import: {way}: {rows:,} rows; accounts: {would}{totals.added:,} added, "
        f"{totals.changed:,} changed, {totals.unchanged:,} unchanged{failed}"
    )


@contextmanager
def _input(file: Path) -> Iterator[io.TextIOWrapper]:
    """The lines of the table; bytes that are no text become findings of their rows."""
    opened = nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb")
    with opened as stream:
        buffered = io.BufferedReader(cast("io.RawIOBase", stream))
        start = buffered.peek(4)[:4]
        encoding = next((name for bom, name in _BOMS if start.startswith(bom)), "utf-8")
        yield io.TextIOWrapper(buffered, encoding=encoding, errors="surrogateescape", newline="")


@contextmanager
def _output(file: Path) -> Iterator[TextIO]:
    """Where the table goes. A file is readable for its owner only, and in place when it is whole."""
    if str(file) == "-":
        out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="", write_through=True)
        yield out
        out.detach()
        return
    descriptor, name = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
            yield out
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
