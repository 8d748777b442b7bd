"""Reading of ``directory`` of a site (text, an object, or a list of these) and of files of queries.

Owns the forms, and that no two elements name the same place. Does not own the keys (``directory``).
"""

from __future__ import annotations

from pathlib import Path

from era_ap.config import document
from era_ap.config.database_url import is_database_url, read_url
from era_ap.config.directory import DirectorySource, Queries, SqlDatabase, SqlShape, YamlFolder
from era_ap.config.fields import PathField, Shape
from era_ap.config.problems import ConfigError, DisagreementError, Findings, Location, shown
from era_ap.config.reading import validate
from era_ap.errors import Problem, Reason

_FORMS = "must be yaml:PATH, the URL of a database, an object with 'sql', or a list of these"


def read_sources(value: object, findings: Findings, base: Path) -> tuple[DirectorySource, ...]:
    """The sources of ``directory``, in their order; without those that findings are about."""
    items = value if isinstance(value, list) else [value]
    if not items:
        findings.add(("directory",), "must not be empty")
    found: list[DirectorySource] = []
    for index, item in enumerate(items):
        at: Location = ("directory", index) if isinstance(value, list) else ("directory",)
        if isinstance(item, dict):
            source: DirectorySource | None = _object(item, findings, base, at)
        else:
            source = _text(item, findings, base, at)
        if source is None:
            continue
        if source.name in [each.name for each in found]:
            findings.add(at, f"names {source.name}, as an element above does; keep one")
        found.append(source)
    return tuple(found)


def _text(item: object, findings: Findings, base: Path, at: Location) -> DirectorySource | None:
    if isinstance(item, str) and is_database_url(item):
        try:
            return SqlDatabase(read_url(item, base))
        except DisagreementError as error:
            findings.add(at, str(error))
            return None
    scheme, _, path = item.partition(":") if isinstance(item, str) else ("", "", "")
    if scheme != "yaml":
        findings.add(at, f"{_FORMS}, found {shown(item)}")
        return None
    if not path or path.startswith("//") or "://" in path or not path.isprintable():
        findings.add(at, f"needs a path directly after 'yaml:', like yaml:./directory, found {shown(item)}")
        return None
    shape, _ = validate(_Folder, {"path": path}, findings, base, at=at)
    return YamlFolder(shape.path) if shape else None


class _Folder(Shape):
    path: PathField


def _object(item: dict[str, object], findings: Findings, base: Path, at: Location) -> SqlDatabase | None:
    given, inline = dict(item), item.get("queries")
    queries: Queries | None = None
    if isinstance(inline, dict):
        queries, _ = validate(Queries, inline, findings, base, at=(*at, "queries"))
        given["queries"] = queries or Queries(accounts="SELECT")
    shape, _ = validate(SqlShape, given, findings, base, at=at)
    if shape is None or (queries is None and isinstance(inline, dict)):
        return None
    return SqlDatabase(
        address=shape.sql,
        password_file=shape.password_file,
        queries=shape.queries,
        parameters=tuple(sorted(shape.parameters.items())),
        poll_seconds=shape.poll_seconds,
        pool=shape.pool,
        seconds=shape.seconds,
        tls=shape.tls,
        ca_file=shape.ca_file,
        cert_file=shape.cert_file,
        key_file=shape.key_file,
    )


def parse_queries(text: str, origin: str) -> Queries:
    """The queries of a file; raises ``ConfigError`` with every problem of it."""
    try:
        read = document.read(text)
    except document.SyntaxProblem as problem:
        where = f"{origin}:{problem.line}" if problem.line else origin
        raise ConfigError((Problem(Reason.CONFIG_UNREADABLE, where, problem.sentence),)) from None
    findings = Findings(origin, read.lines)
    for at, sentence in read.findings:
        findings.add(at, sentence)
    queries: Queries | None = None
    if isinstance(read.value, dict):
        queries, _ = validate(Queries, read.value, findings, Path())
    else:
        findings.add((), f"a file of queries is a mapping with 'accounts', found {shown(read.value)}")
    if findings.problems() or queries is None:
        raise ConfigError(findings.problems())
    return queries
