"""The layers of era_ap, proven on its source: leaf < core < domain < edge < wiring; nothing imports upward.

Also the habits that keep modules small: sizes, docstrings, no drawer for odds and ends. A new module is put
into LAYERS below, by name; a whole package by "name.*".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS: dict[str, tuple[str, ...]] = {
    # what everybody may use
    "leaf": (
        "era_ap",
        "era_ap.cluster",
        "era_ap.config.*",
        "era_ap.directory",
        "era_ap.errors",
        "era_ap.masking",
        "era_ap.metrics",
        "era_ap.provisioning",
        "era_ap.sip",
        "era_ap.tftp",
        "era_ap.web",
    ),
    # protocols and languages: data in, data out
    "core": (
        "era_ap.admission",
        "era_ap.cluster.agenda",
        "era_ap.cluster.buckets",
        "era_ap.cluster.contract",
        "era_ap.cluster.choosing",
        "era_ap.cluster.coordinator",
        "era_ap.cluster.duties",
        "era_ap.cluster.election",
        "era_ap.cluster.failsafe",
        "era_ap.cluster.lease",
        "era_ap.cluster.moves",
        "era_ap.cluster.noting",
        "era_ap.cluster.preference",
        "era_ap.cluster.notices",
        "era_ap.cluster.keeping",
        "era_ap.cluster.pace",
        "era_ap.cluster.overview",
        "era_ap.cluster.picture",
        "era_ap.cluster.questions",
        "era_ap.cluster.responsibility",
        "era_ap.cluster.sealing",
        "era_ap.cluster.situation",
        "era_ap.cluster.standalone",
        "era_ap.cluster.view",
        "era_ap.directory.comparison",
        "era_ap.directory.devices",
        "era_ap.directory.documents",
        "era_ap.directory.model",
        "era_ap.directory.notation",
        "era_ap.directory.phones_csv",
        "era_ap.directory.phones_merge",
        "era_ap.directory.query_columns",
        "era_ap.directory.query_rows",
        "era_ap.directory.sql_pieces",
        "era_ap.directory.sql_rows",
        "era_ap.directory.source",
        "era_ap.directory.yaml_lines",
        "era_ap.directory.yaml_text",
        "era_ap.health",
        "era_ap.journal",
        "era_ap.provisioning.addresses",
        "era_ap.provisioning.blf",
        "era_ap.provisioning.choices",
        "era_ap.provisioning.constants",
        "era_ap.provisioning.credentials",
        "era_ap.provisioning.dialect",
        "era_ap.provisioning.escape",
        "era_ap.provisioning.expand",
        "era_ap.provisioning.fields",
        "era_ap.provisioning.gates",
        "era_ap.provisioning.includes",
        "era_ap.provisioning.insert",
        "era_ap.provisioning.keys",
        "era_ap.provisioning.language",
        "era_ap.provisioning.layout",
        "era_ap.provisioning.limits",
        "era_ap.provisioning.meter",
        "era_ap.provisioning.models",
        "era_ap.provisioning.models_file",
        "era_ap.provisioning.names",
        "era_ap.provisioning.override",
        "era_ap.provisioning.override_text",
        "era_ap.provisioning.override_xml",
        "era_ap.provisioning.override_xpath",
        "era_ap.provisioning.plan",
        "era_ap.provisioning.planner",
        "era_ap.provisioning.render",
        "era_ap.provisioning.request",
        "era_ap.provisioning.rules",
        "era_ap.provisioning.spots",
        "era_ap.provisioning.safe_xml",
        "era_ap.provisioning.scope",
        "era_ap.provisioning.sheet",
        "era_ap.provisioning.tokens",
        "era_ap.provisioning.timezones",
        "era_ap.provisioning.trace",
        "era_ap.provisioning.trust",
        "era_ap.provisioning.values",
        "era_ap.provisioning.walk",
        "era_ap.provisioning.wellformed",
        "era_ap.provisioning.zones",
        "era_ap.sip.decision",
        "era_ap.sip.dialog",
        "era_ap.sip.fields",
        "era_ap.sip.ledger",
        "era_ap.sip.memory",
        "era_ap.sip.message",
        "era_ap.sip.outcomes",
        "era_ap.sip.path",
        "era_ap.sip.pnp",
        "era_ap.sip.responder",
        "era_ap.sip.shapes",
        "era_ap.sip.sightings",
        "era_ap.sip.transaction",
        "era_ap.sip.vendors",
        "era_ap.tftp.machine",
        "era_ap.tftp.netascii",
        "era_ap.tftp.options",
        "era_ap.tftp.packets",
        "era_ap.tftp.timing",
        "era_ap.tftp.transfer",
        "era_ap.tftp.upload",
        "era_ap.web.agents",
        "era_ap.web.ranges",
        "era_ap.web.representation",
        "era_ap.web.targets",
    ),
    # what a phone gets
    "domain": (
        "era_ap.cluster.heeding",
        "era_ap.cluster.rows",
        "era_ap.directory.exchange",
        "era_ap.directory.blocks",
        "era_ap.directory.index",
        "era_ap.directory.macs",
        "era_ap.directory.packed",
        "era_ap.directory.part",
        "era_ap.directory.parts",
        "era_ap.provisioning.audit",
        "era_ap.provisioning.catalogue",
        "era_ap.provisioning.explain",
        "era_ap.provisioning.gatekeeper",
        "era_ap.provisioning.kept",
        "era_ap.provisioning.logins",
        "era_ap.provisioning.nearest",
        "era_ap.provisioning.ownership",
        "era_ap.provisioning.provisioner",
        "era_ap.provisioning.resolution",
        "era_ap.provisioning.scoping",
        "era_ap.provisioning.trial",
    ),
    # sockets, files, threads, clocks, logs
    "edge": (
        "era_ap.cluster.beats",
        "era_ap.cluster.catching_up",
        "era_ap.cluster.coordination",
        "era_ap.cluster.driving",
        "era_ap.cluster.holding",
        "era_ap.cluster.mac_cache",
        "era_ap.cluster.looking",
        "era_ap.cluster.own_rows",
        "era_ap.cluster.peers",
        "era_ap.cluster.publisher",
        "era_ap.cluster.reader",
        "era_ap.cluster.sweeping",
        "era_ap.cluster.access",
        "era_ap.cluster.secret",
        "era_ap.cluster.session",
        "era_ap.cluster.survey",
        "era_ap.cluster.zookeeper",
        "era_ap.directory.feed",
        "era_ap.directory.folder",
        "era_ap.directory.folder_edits",
        "era_ap.directory.folder_watch",
        "era_ap.directory.folder_writer",
        "era_ap.directory.originals",
        "era_ap.directory.phones_import",
        "era_ap.directory.row_store",
        "era_ap.directory.tree",
        "era_ap.directory.migrations.*",
        "era_ap.directory.sql",
        "era_ap.directory.sql_connect",
        "era_ap.directory.sql_database",
        "era_ap.directory.sql_edit",
        "era_ap.directory.sql_failures",
        "era_ap.directory.sql_listen",
        "era_ap.directory.sql_pages",
        "era_ap.directory.sql_queries",
        "era_ap.directory.sql_schema",
        "era_ap.directory.sql_source",
        "era_ap.directory.sql_state",
        "era_ap.directory.sql_upgrade",
        "era_ap.directory.sql_writer",
        "era_ap.directory.resting",
        "era_ap.directory.saved",
        "era_ap.directory.yaml_files",
        "era_ap.directory.yaml_source",
        "era_ap.clustering",
        "era_ap.discovery",
        "era_ap.feeds",
        "era_ap.hub",
        "era_ap.lag",
        "era_ap.logs",
        "era_ap.monitoring",
        "era_ap.oversight",
        "era_ap.phone",
        "era_ap.poller",
        "era_ap.read_pool",
        "era_ap.readiness",
        "era_ap.readings",
        "era_ap.reporting",
        "era_ap.resolver",
        "era_ap.service",
        "era_ap.settings",
        "era_ap.site_key",
        "era_ap.sip.following",
        "era_ap.sip.interfaces",
        "era_ap.sip.neighbours",
        "era_ap.sip.server",
        "era_ap.sip.sockets",
        "era_ap.sip.virtual_phone",
        "era_ap.sip.wire",
        "era_ap.storage_files",
        "era_ap.state",
        "era_ap.state_file",
        "era_ap.static_files",
        "era_ap.storage_saved",
        "era_ap.store",
        "era_ap.systemd",
        "era_ap.tftp.server.*",
        "era_ap.timestamps",
        "era_ap.udp",
        "era_ap.watchdog",
        "era_ap.web.connections",
        "era_ap.web.exchange",
        "era_ap.web.handshakes",
        "era_ap.web.listening",
        "era_ap.web.management",
        "era_ap.web.phones",
        "era_ap.web.server",
        "era_ap.web.service",
        "era_ap.web.sink",
    ),
    # the files that know all the others
    "wiring": (
        "era_ap.__main__",
        "era_ap.cli.*",
        "era_ap.daemon",
        "era_ap.offline",
    ),
}
ORDER = tuple(LAYERS)
PURE = frozenset({"leaf", "core", "domain"})
IMPURE_LIBRARIES = frozenset({
    "_thread", "aiohttp", "aiosqlite", "asyncio", "asyncmy", "asyncpg", "concurrent", "cysystemd",
    "dns", "fcntl", "http", "httptools", "inotify", "kazoo", "logging", "multiprocessing", "queue",
    "requests",
    "sched", "select", "selectors", "signal", "socket", "socketserver", "sqlalchemy", "sqlite3", "ssl",
    "structlog", "subprocess", "syslog", "tftpy", "threading", "time", "twisted", "urllib3", "uvicorn",
    "uvloop",
})  # fmt: skip
CLOCKS = frozenset({"now", "utcnow", "today"})
MODULE_LINES = 400
FUNCTION_LINES = 40
CLASS_METHODS = 12
DRAWERS = frozenset({"helpers", "misc", "tools", "util", "utils"})


def layer_of(module: str) -> str | None:
    """The layer that LAYERS gives a module, None if it is in none."""
    for layer, entries in LAYERS.items():
        for entry in entries:
            package = entry.removesuffix(".*")
            if module == package or (entry != package and module.startswith(f"{package}.")):
                return layer
    return None


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(
    tree: ast.AST, module: str, is_package: bool, known: frozenset[str]
) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, also for type checking or within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".") if is_package else module.split(".")[:-1]
                parent = parent[: len(parent) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            for name in node.names:
                inner = f"{base}.{name.name}"
                yield node.lineno, inner if inner in known else base


def layer_faults(path: Path, root: Path, known: frozenset[str]) -> Iterator[str]:
    """What breaks the layer rule in one module."""
    module = module_name(path, root)
    layer = layer_of(module)
    if layer is None:
        yield f"{module} is in no layer: add it to LAYERS in {Path(__file__).name}"
        return
    tree = ast.parse(path.read_text("utf-8"))
    for line, name in imports_of(tree, module, path.name == "__init__.py", known):
        other = layer_of(name) if name.split(".")[0] == "era_ap" else None
        if other is not None and ORDER.index(other) > ORDER.index(layer):
            yield f"{path}:{line}: {module} ({layer}) imports {name} ({other}), which is above it"
        if layer in PURE and name.split(".")[0] in IMPURE_LIBRARIES:
            yield f"{path}:{line}: {module} ({layer}) imports {name}; only edge and wiring may"
    if layer in PURE:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in CLOCKS and _is_datetime(node.value):
                yield f"{path}:{node.lineno}: {module} ({layer}) asks a clock; time is an argument"


def _is_datetime(node: ast.expr) -> bool:
    return ast.unparse(node).split(".")[-1] in {"date", "datetime"}


def size_faults(path: Path) -> Iterator[str]:
    """What is too large, undocumented or ill named in one module."""
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    lines = text.count("\n")
    if lines > MODULE_LINES:
        yield f"{path}: {lines} lines, at most {MODULE_LINES}"
    if path.stem in DRAWERS:
        yield f"{path}: name it after what it owns"
    if not ast.get_docstring(tree):
        yield f"{path}: has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES}"
        elif isinstance(node, ast.ClassDef):
            methods = sum(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in node.body)
            if methods > CLASS_METHODS:
                yield f"{path}:{node.lineno}: {node.name} has {methods} methods, at most {CLASS_METHODS}"


def sources(root: Path = ROOT) -> list[Path]:
    return sorted((root / "era_ap").rglob("*.py"))


def known_modules(root: Path = ROOT) -> frozenset[str]:
    return frozenset(module_name(path, root) for path in sources(root))


IDS = [path.relative_to(ROOT).as_posix() for path in sources()]


@pytest.mark.parametrize("path", sources(), ids=IDS)
def test_imports_go_down_and_the_pure_layers_are_pure(path: Path) -> None:
    assert list(layer_faults(path, ROOT, known_modules())) == []


@pytest.mark.parametrize("path", sources(), ids=IDS)
def test_modules_functions_and_classes_are_small_and_documented(path: Path) -> None:
    assert list(size_faults(path)) == []


def test_the_table_of_layers_names_only_what_exists() -> None:
    entries = [entry.removesuffix(".*") for layer in LAYERS.values() for entry in layer]
    assert sorted(set(entries) - known_modules()) == []
    assert len(entries) == len(set(entries))


# --- the proof itself can fail


def fault_of(root: Path, name: str, source: str) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return "\n".join(layer_faults(path, root, known_modules()))


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("era_ap/new.py", "", "era_ap.new is in no layer: add it to LAYERS"),
        ("era_ap/errors.py", "import era_ap.journal", "imports era_ap.journal (core), which is above it"),
        (
            "era_ap/errors.py",
            "from era_ap import journal",
            "imports era_ap.journal (core), which is above it",
        ),
        (
            "era_ap/errors.py",
            "from .journal import Record",
            "imports era_ap.journal (core), which is above it",
        ),
        ("era_ap/config/site.py", "from ..tftp import packets", "imports era_ap.tftp.packets (core)"),
        ("era_ap/tftp/__init__.py", "from .server import x", "imports era_ap.tftp.server (edge)"),
        (
            "era_ap/tftp/packets.py",
            "def f():\n    import socket",
            ":2: era_ap.tftp.packets (core) imports socket",
        ),
        ("era_ap/tftp/packets.py", "from twisted.internet import reactor", "imports twisted.internet"),
        ("era_ap/provisioning/provisioner.py", "from time import time", "(domain) imports time; only edge"),
        (
            "era_ap/journal.py",
            "import datetime\nx = datetime.datetime.now()",
            ":2: era_ap.journal (core) asks a clock",
        ),
        ("era_ap/udp.py", "from era_ap import daemon", "imports era_ap.daemon (wiring), which is above it"),
        (
            "era_ap/journal.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from era_ap.logs import Logs",
            "imports era_ap.logs (edge), which is above it",
        ),
    ],
)
def test_a_breach_of_the_layers_is_found(tmp_path: Path, name: str, source: str, fault: str) -> None:
    assert fault in fault_of(tmp_path, name, source)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "era_ap/daemon.py",
            "import asyncio, socket\nfrom era_ap.hub import Hub\nfrom era_ap.errors import Reason",
        ),
        ("era_ap/tftp/server/ports.py", "import socket\nfrom era_ap.tftp import packets"),
        ("era_ap/provisioning/render.py", "import random\nfrom era_ap.provisioning.language import parse"),
    ],
)
def test_what_the_layers_allow(tmp_path: Path, name: str, source: str) -> None:
    assert fault_of(tmp_path, name, source) == ""


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("big.py", '"""Doc."""\n' + "x = 1\n" * 400, "401 lines, at most 400"),
        ("utils.py", '"""Doc."""\n', "name it after what it owns"),
        ("bare.py", "x = 1\n", "has no docstring"),
        ("long.py", '"""Doc."""\ndef f():\n' + "    x = 1\n" * 40, ":2: f has 41 lines, at most 40"),
        (
            "wide.py",
            '"""Doc."""\nclass C:\n' + "    def f(self): ...\n" * 13,
            ":2: C has 13 methods, at most 12",
        ),
    ],
)
def test_a_breach_of_the_sizes_is_found(tmp_path: Path, name: str, source: str, fault: str) -> None:
    (tmp_path / name).write_text(source, encoding="utf-8")
    (found,) = size_faults(tmp_path / name)
    assert re.search(re.escape(fault), found)
