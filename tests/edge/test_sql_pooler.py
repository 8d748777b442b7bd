"""A directory behind PgBouncer, which gives each transaction any of a few connections."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from era_ap.config import SqlDatabase
from era_ap.directory.index import DirectoryIndex
from era_ap.directory.model import AccountKey
from era_ap.directory.sql_source import SqlSource
from era_ap.directory.sql_writer import SqlWriter
from tests.databases import PostgreSql, free_port, wait_for

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CLIENTS, EDITS = 3, 20
CONFIGURATION = """
[databases]
* = host={server} port={port} user=owner
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
server_lifetime = 1
ignore_startup_parameters = {ignored}
"""


def answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def pooled(postgresql: PostgreSql, tmp_path: Path) -> Iterator[SqlDatabase]:
    """A database of the server, by way of the proxy."""
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed (apt-get install pgbouncer)")
    guide = (Path(__file__).parents[2] / "deploy" / "sql" / "directory.rst").read_text("utf-8")
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    assert all(f"``{name}``" in guide for name in names)
    own, settings = free_port(), postgresql.shared()
    text = CONFIGURATION.format(
        server=postgresql.folder, port=postgresql.port, own=own, ignored=", ".join(names)
    )
    folder = postgresql.folder / "pgbouncer"  # its user may not see the test's own folder
    folder.mkdir(exist_ok=True)
    (folder / "ini").write_text(text)
    for path in (folder, folder / "ini"):
        path.chmod(0o755)
    with (tmp_path / "log").open("wb") as log:
        command = [PROGRAM, str(folder / "ini")]
        process = subprocess.Popen(command, user="postgres" if os.getuid() == 0 else None, stderr=log)
    try:
        wait_for(lambda: answers(own))
        yield replace(settings, address=replace(settings.address, port=own))
    finally:
        process.terminate()
        process.wait()


def test_every_edit_is_made_and_seen_through_a_proxy_that_shares_connections(pooled: SqlDatabase) -> None:
    async def client(number: int) -> DirectoryIndex:
        source, writer, index = SqlSource(pooled), SqlWriter(pooled), DirectoryIndex()
        source.on_news(lambda: None)
        for edit in range(EDITS):
            key = AccountKey(f"d{number}.example.com", str(edit % 3))
            await writer.write_account(key, {"name": f"{number}.{edit}"})
            await source.look(index.apply)
        await writer.close()
        await asyncio.sleep(0)
        await source.look(index.apply)
        await source.close()
        return index

    async def everything() -> list[DirectoryIndex]:
        return await asyncio.gather(*map(client, range(CLIENTS)))

    for number, index in enumerate(asyncio.run(everything())):
        last = index.account(AccountKey(f"d{number}.example.com", str((EDITS - 1) % 3)))
        assert last is not None
        assert last.fields["name"] == f"{number}.{EDITS - 1}"
