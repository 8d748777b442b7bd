"""A table of phones taken into a directory: all rows are read first, then each domain is one transaction.

Owns the order of the work, and what becomes a finding of which line. Does not own the table's notation
(``phones_csv``), what a row changes (``phones_merge``) nor any output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from era_ap.directory.comparison import compare
from era_ap.directory.documents import DomainDocuments, Writer
from era_ap.directory.exchange import Observer, Totals
from era_ap.directory.phones_csv import MODEL, CellProblem, PhoneRow, Table
from era_ap.directory.phones_merge import Merged, Policy, merge_rows
from era_ap.directory.row_store import RowStore
from era_ap.errors import Problem, Reason, Refused, Severity

ATTEMPTS = 5
"""How often a domain is tried that others edit at the same time."""

ReadProgress = Callable[[int], None]
Doubt = Callable[[str], str | None]
"""Why phones of a model would get no file; None if they get one."""


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What is wanted of an import. ``create_domains``: rows may name domains that do not exist yet."""

    policy: Policy = field(default_factory=Policy)
    create_domains: bool = False
    dry_run: bool = False


class PhonesImport:
    """One table into one directory; ``file`` is its name for messages."""

    def __init__(
        self,
        file: str,
        writer: Writer,
        observer: Observer,
        plan: ImportPlan,
        doubt: Doubt = lambda _: None,
    ) -> None:
        self._file = file
        self._writer = writer
        self._observer = observer
        self._plan = plan
        self._doubt = doubt
        self._models: set[str] = set()
        self._store = RowStore()
        self.totals = Totals()
        self.rows = 0

    def read(self, table: Table, progress: ReadProgress) -> None:
        """Put all rows aside; rows that cannot be used are findings. ``progress``: rows read so far."""
        for column in table.header.unread:
            self._find(CellProblem(1, column, "is no column of phones; it is not read"), Severity.WARNING)
        for row in table:
            self.rows += 1
            if isinstance(row, PhoneRow):
                self._store.add(row)
                self._ask_about(row)
            else:
                self._find(row)
            progress(self.rows)
        self._store.finish()
        for problem in self._store.claimed_twice():
            self._find(problem)

    def _ask_about(self, row: PhoneRow) -> None:
        """Warn of a model once, where it first stands."""
        model = row.values.get(MODEL, "")
        if model and model not in self._models:
            self._models.add(model)
            why = self._doubt(model)
            if why is not None:
                self._find(CellProblem(row.line, MODEL, why), Severity.WARNING)

    async def run(self) -> Totals:
        """Take the rows over, or with ``dry_run`` only tell what they change.

        Raises:
            Refused: DIRECTORY_UNAVAILABLE; the domains before stay done, and doing all of it again is safe.
        """
        domains = self._store.domains()
        gone_through = 0
        try:
            for done, (name, rows) in enumerate(domains, 1):
                try:
                    await self._take(name)
                except Refused as refused:
                    self._fail(name, rows, refused)
                gone_through += rows
                self._observer.progress(done, len(domains), gone_through)
        finally:
            self._store.close()
        return self.totals

    async def _take(self, name: str) -> None:
        present = await self._writer.documents(name)
        if present is None and not self._plan.create_domains:
            for row in self._store.rows(name):
                detail = f"there is no domain {name}; correct it, or make it with --create-domains"
                self._find(CellProblem(row.line, "domain", detail))
            return
        # What must not be there is only known if every row of the table could be read.
        replace = self._plan.policy.replace and not self.totals.failed
        policy = Policy(replace, self._plan.policy.move)
        for attempt in range(1, ATTEMPTS + 1):
            before = present if present is not None else DomainDocuments(name)
            merged = merge_rows(before, self._store.rows(name), policy)
            edits = compare(DomainDocuments(name, None, merged.accounts), before, remove_others=False)
            try:
                if edits and not self._plan.dry_run:
                    await self._writer.put(DomainDocuments(name, None, merged.accounts), since=before)
                break
            except Refused as refused:
                if refused.reason is not Reason.DIRECTORY_CONFLICT or attempt == ATTEMPTS:
                    self._tell_findings(merged)
                    raise
            present = await self._writer.documents(name)
        self._tell_findings(merged)
        for edit in edits:
            self._observer.edit(edit)
        added = len(merged.accounts.keys() - before.accounts.keys())
        self.totals.added += added
        self.totals.changed += len(edits) - added
        named = {row.login for row in self._store.rows(name)}
        self.totals.unchanged += len(named & before.accounts.keys() - merged.accounts.keys())

    def _tell_findings(self, merged: Merged) -> None:
        for problem in merged.warnings:
            self._find(problem, Severity.WARNING)
        for problem in merged.problems:
            self._find(problem)

    def _find(self, found: CellProblem, severity: Severity = Severity.ERROR) -> None:
        detail = f"{found.column}: {found.detail}" if found.column else found.detail
        self._observer.problem(Problem(Reason.ROW_INVALID, f"{self._file}:{found.line}", detail, severity))
        self.totals.failed += severity is Severity.ERROR

    def _fail(self, name: str, rows: int, refused: Refused) -> None:
        if refused.reason is Reason.DIRECTORY_UNAVAILABLE:
            raise refused
        self._observer.problem(Problem(refused.reason, name, refused.detail))
        self.totals.failed += rows
