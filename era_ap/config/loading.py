"""From the text of a site file to a ``Site``, or to all problems of it at once.

Owns the order of the checks: syntax, the top level, each role by its roletype, then what roles must agree on.
Reads one file and opens nothing else; whether storage and directory are there is not asked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from era_ap.config import document
from era_ap.config.fields import as_domain
from era_ap.config.problems import ConfigError, Findings, shown
from era_ap.config.reading import Interfaces, RoleReader, interface, validate
from era_ap.config.shape import SiteShape
from era_ap.config.site import Site
from era_ap.config.sources import read_sources
from era_ap.errors import Problem, Reason

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 4 * document.MAX_TEXT  # no character of UTF-8 is longer than 4 bytes
_REQUIRED = ", ".join(f"'{key}'" for key, info in SiteShape.model_fields.items() if info.is_required())


def load(path: Path) -> Site:
    """Read the site file at ``path``; raises ``ConfigError`` with every problem of it."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise _unreadable(str(path), f"the file is larger than {_MAX_BYTES >> 20} MiB")
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unreadable(f"{path}:{line}", "the file is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "its path is not usable"
        raise _unreadable(str(path), f"the file cannot be read: {why}") from None
    return parse(text, path.absolute().parent, str(path))


def parse(text: str, base: Path, origin: str = "site configuration") -> Site:
    """Read the text of a site file whose relative paths start at ``base``; ``origin`` names it in messages.

    Raises ``ConfigError`` with every problem of it.
    """
    try:
        read = document.read(text)
    except document.SyntaxProblem as problem:
        where = f"{origin}:{problem.line}" if problem.line else origin
        raise _unreadable(where, problem.sentence) from None
    findings = Findings(origin, read.lines)
    for at, sentence in read.findings:
        findings.add(at, sentence)
    site = _site(read.value, findings, base, origin)
    problems = findings.problems()
    if problems or site is None:
        raise ConfigError(problems)
    return site


def _unreadable(where: str, sentence: str) -> ConfigError:
    return ConfigError((Problem(Reason.CONFIG_UNREADABLE, where, sentence),))


def _site(value: object, findings: Findings, base: Path, origin: str) -> Site | None:
    if not isinstance(value, dict):
        findings.add((), f"a site file is a mapping with {_REQUIRED}; found {shown(value)}")
        return None
    if "roletype" in value and "roles" not in value:
        findings.add(
            (),
            f"this is one role; put it into the list 'roles' of a site file, which has {_REQUIRED}",
        )
        return None
    shape, bad = validate(SiteShape, value, findings, base)
    roles = RoleReader(findings, base, Interfaces.of(value, findings))
    items = value.get("roles")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        roles.read(("roles", index), item)
    master = None if "master_domain" in bad else as_domain(value["master_domain"])
    roles.agree(master, clustered=value.get("zookeeper") is not None)
    sources = read_sources(value["directory"], findings, base) if value.get("directory") is not None else ()
    if shape is None:
        return None
    return Site(
        site=shape.site,
        master_domain=shape.master_domain,
        storage=shape.storage,
        sources=sources,
        zookeeper=shape.zookeeper,
        interfaces=tuple(interface(alias, text) for alias, text in (shape.interfaces or {}).items()),
        roles=tuple(roles.ap),
        sg_gates=tuple(sorted(roles.gates, key=lambda gate: gate.name)),
        not_ours=roles.not_ours,
        origin=origin,
    )
