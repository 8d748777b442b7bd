"""Figures of ``era_ap directory``: a tree into PostgreSQL and back, and tables; time and memory.

Usage: python -m tests.benchmarks.directory_exchange [--accounts N] [--domains N] [--steps import,export,csv]

The server writes to disk as it would in production (fsync on). Each step is a process of its own; its
processor time is that of the command alone, without the server's.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from era_ap.config import SqlDatabase
from tests.benchmarks.yaml_folder import DOCUMENT
from tests.databases import PASSWORD, PostgreSql, make_tables


class Durable(PostgreSql):
    """A server that may lose nothing."""

    def command(self) -> list[str]:
        safe = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")
        return [*super().command(), *(word for setting in safe for word in ("-c", setting))]


def write_tree(root: Path, accounts: int, domains: int) -> None:
    """Accounts as an operator writes them, with a comment; one domain.yml each."""
    each = -(-accounts // domains)
    for number in range(accounts):
        domain, login = f"d{number // each:04}.example.com", str(1000 + number % each)
        folder = root / domain / "sipusers"
        if number % each == 0:
            folder.mkdir(parents=True)
            (root / domain / "domain.yml").write_text("settings:\n  ap_constants: {ntp: {server: n1}}\n")
        mac = 0x001565000000 + number
        text = DOCUMENT.format(login=login, domain=domain, number=number, mac=mac, generation=0)
        (folder / f"{login}.yml").write_text(f"# desk {number}\n{text}")


def write_site(folder: Path, settings: SqlDatabase) -> Path:
    """A site whose directory is the database."""
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    address = settings.address
    url = f"{address.kind.value}://{address.user}@{address.host}:{address.port}/{address.database}"
    site = {
        "site": "lab",
        "master_domain": "example.com",
        "storage": ".",
        "directory": {"sql": url, "password_file": "password"},
        "interfaces": {"lo": "127.0.0.1"},
        "roles": [{"name": "ap1", "roletype": "ap", "iface": "lo", "group": 1, "order": 1}],
    }
    (folder / "site.yml").write_text(json.dumps(site))
    return folder / "site.yml"


def step(title: str, site: Path, *words: str) -> None:
    """Run one command and print its time, its greatest memory and its last line."""
    begin = time.perf_counter()
    arguments = [sys.executable, "-m", "era_ap", "directory", *words, "-c", str(site)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    assert process.stdout is not None
    last = deque(process.stdout, maxlen=1)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    figures = f"{seconds:8.1f} s {used.ru_utime + used.ru_stime:8.1f} s CPU {used.ru_maxrss / 1024:6.0f} MB"
    print(f"{title:<26} {figures}  {last[0].rpartition(': ')[2].strip() if last else ''}", flush=True)
    assert process.returncode == 0, process.returncode


def same(one: Path, other: Path) -> bool:
    """Whether two trees have the same files with the same bytes."""
    pair = filecmp.dircmp(one, other)
    _, differing, odd = filecmp.cmpfiles(one, other, pair.common_files, shallow=False)
    return not (pair.left_only or pair.right_only or differing or odd) and all(
        same(one / name, other / name) for name in pair.common_dirs
    )


def main(accounts: int, domains: int, steps: list[str]) -> None:
    """The steps, in this order."""
    folder = Path(tempfile.mkdtemp(prefix="era_ap_exchange_"))
    server = Durable()
    try:
        settings = server.database(schema=False)
        make_tables(settings)
        site = write_site(folder, settings)
        tree, out, table = folder / "tree", folder / "out", folder / "phones.csv"
        write_tree(tree, accounts, domains)
        print(f"{accounts:,} accounts in {domains:,} domains", flush=True)
        step("import", site, "import", str(tree))
        if "again" in steps:
            step("import again", site, "import", str(tree))
        if "diff" in steps:
            step("diff", site, "diff", str(tree))
        if "export" in steps:
            step("export", site, "export", str(out))
            print("export gives the same tree:", same(tree, out))
        if "csv" in steps:
            step("csv export", site, "csv", "export", str(table))
            step("csv import, no change", site, "csv", "import", str(table))
            table.write_text(table.read_text().replace("T46S", "T48S"))
            step("csv import, all changed", site, "csv", "import", str(table))
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=5_000)
    parser.add_argument("--steps", default="import,again,diff,export,csv")
    given = parser.parse_args()
    main(given.accounts, given.domains, given.steps.split(","))
