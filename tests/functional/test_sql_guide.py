"""The guide to a database, word by word: somebody who only has it gets a daemon that serves from there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from sqlalchemy import text

from era_ap.directory.sql_database import Database
from tests.conftest import Site
from tests.databases import MariaDb, PostgreSql, Server
from tests.functional.test_daemon import NAME, WHOLE, eventually, fetch
from tests.pbx import Pbx

if TYPE_CHECKING:
    from tests.functional.conftest import Process

pytestmark = pytest.mark.functional

FOLDER = Path(__file__).parents[2] / "deploy" / "sql"
SYSTEMS = ("fusionpbx", "asterisk", "kamailio")
ROLES = ("era_ap_daemon", "era_ap_editor", "era_ap_owner", "era_ap_reader")


def blocks(guide: str, heading: str) -> list[str]:
    """The literal blocks of a section."""
    written = (FOLDER / guide).read_text("utf-8")
    after = written.partition(f"{heading}\n{'-' * len(heading)}\n")[2]
    section = re.split(r"^.+\n-{3,}$", after, flags=re.M)[0]
    return [textwrap.dedent(block) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", section)]


class Administrator:
    """Types commands, where servers and programs are found as on a machine of one's own."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.folder = folder
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environ = dict(os.environ)
        if isinstance(server, PostgreSql):
            path.insert(0, str(server.programs))
            self.environ |= {"PGHOST": str(server.folder), "PGPORT": str(server.port), "PGUSER": "postgres"}
        else:
            (folder / ".my.cnf").write_text(f"[client]\nsocket={server.folder}/socket\nuser=root\n")
            self.environ |= {"HOME": str(folder)}
        self.environ["PATH"] = ":".join(path)

    def type(self, commands: str, answers: str = "") -> None:
        done = subprocess.run(
            ["bash", "-ec", commands],
            cwd=self.folder,
            env=self.environ,
            input=answers,
            text=True,
            capture_output=True,
            start_new_session=True,  # no terminal: a password is asked for on the standard input
            check=False,
        )
        assert done.returncode == 0, f"{commands}: {done.stdout}{done.stderr}"


@pytest.fixture
def administered(request: pytest.FixtureRequest, site: Site) -> Iterator[tuple[Server, Administrator]]:
    """A server without any of the guide's names, before and after."""
    server: Server = request.getfixturevalue(request.param)
    for file in FOLDER.glob("*.sql"):
        shutil.copy(file, site.root)
    yield server, Administrator(server, site.root)
    force = " WITH (FORCE)" if isinstance(server, PostgreSql) else ""
    for database in ("era_ap", *SYSTEMS):
        server.administer(f"DROP DATABASE IF EXISTS {database}{force}")
    where = "@'%'" if isinstance(server, MariaDb) else ""
    for role in ROLES:
        server.administer(f"DROP {'USER' if where else 'ROLE'} IF EXISTS {role}{where}")


def configure(site: Site, server: Server, kind: str) -> None:
    """The site configuration of the guide, for the server of the test."""
    source = yaml.safe_load(blocks("directory.rst", "PostgreSQL")[1])["directory"]
    source["sql"] = f"{kind}://era_ap_daemon@127.0.0.1:{server.port}/era_ap"
    source["ca_file"] = str(server.authority.file)
    site.configure(directory=source)
    site.config.write_text(site.config.read_text().replace("{", "{\n").replace(",", ",\n"))


def passwords(site: Site, **given: str) -> None:
    for role, password in given.items():
        file = site.root / f"era_ap_{role}.password"
        file.write_text(f"{password}\n")
        file.chmod(0o600)


def serves(site: Site, start: Callable[..., Process]) -> None:
    """An instance, which may only read, serves and sees what the editor does."""
    process = start(site.config).wait_ready()
    assert fetch(process.port, NAME) == WHOLE
    path = site.root / "directory" / "a.example.com" / "sipusers" / "101.yml"
    path.write_text(path.read_text().replace("s3cret", "another"))
    command = [sys.executable, "-m", "era_ap", "directory", "import", "-c", "editor.yml", "./directory"]
    subprocess.run(command, cwd=site.root, check=True, capture_output=True)
    assert eventually(lambda: b"another" in fetch(process.port, NAME)) < 2.0
    assert process.stop() == 0


@pytest.mark.parametrize("administered", ["postgresql"], indirect=True)
def test_the_guide_to_postgresql(
    site: Site, administered: tuple[Server, Administrator], daemon: Callable[..., Process]
) -> None:
    server, administrator = administered
    server_commands, _, commands = blocks("directory.rst", "PostgreSQL")
    administrator.type(server_commands, "its own\nits own\n")
    configure(site, server, "postgresql+asyncpg")
    passwords(site, owner="its own", daemon="a long one", editor="another one")
    administrator.type(commands)
    serves(site, daemon)


@pytest.mark.parametrize("administered", ["mariadb"], indirect=True)
def test_the_guide_to_mariadb(
    site: Site, administered: tuple[Server, Administrator], daemon: Callable[..., Process]
) -> None:
    server, administrator = administered
    (commands,) = blocks("directory.rst", "MariaDB and SQLite")
    copies = blocks("directory.rst", "PostgreSQL")[2].strip().splitlines()
    configure(site, server, "mysql+asyncmy")
    passwords(site, owner="a long one", daemon="change me", editor="change me too")
    administrator.type("\n".join([*copies[:2], commands, *copies[-2:]]))
    serves(site, daemon)


@pytest.mark.parametrize(
    ("system", "administered"),
    [
        ("fusionpbx", "postgresql"),
        ("asterisk", "postgresql"),
        ("asterisk", "mariadb"),
        ("kamailio", "postgresql"),
        ("kamailio", "mariadb"),
    ],
    indirect=["administered"],
)
def test_the_scripts_for_switches_as_their_first_lines_say(
    system: str, administered: tuple[Server, Administrator]
) -> None:
    server, administrator = administered
    is_mariadb = isinstance(server, MariaDb)
    kind = "mariadb" if is_mariadb else "postgresql"
    script = f"{system}_reader.sql" if system == "fusionpbx" else f"{system}_{kind}_reader.sql"
    pbx = Pbx(server, system, name=system)
    if system != "fusionpbx":
        program = f"mariadb {system}" if is_mariadb else f"psql -d {system} -v ON_ERROR_STOP=1"
        administrator.type(f"{program} < phones.sql")
    (command,) = re.findall(r"^--   (.*)$", (FOLDER / script).read_text("utf-8"), re.M)
    administrator.type(command.replace("psql", "psql -v ON_ERROR_STOP=1"))
    queries = yaml.safe_load((FOLDER / script.replace("_reader.sql", ".yml")).read_text("utf-8"))
    password = "change me" if is_mariadb else "a long one"
    address = replace(pbx.owner.address, user="era_ap_reader", password=password)

    async def ask() -> None:
        database = Database(replace(pbx.owner, address=address))
        async with database.session() as session:
            for name, query in queries.items():
                parameters = {"domain": "pbx.example.com"} if ":domain" in query else None
                assert name == "changed" or not await session.rows(text(query), parameters)
        await database.close()

    asyncio.run(ask())


def test_the_debian_package_has_the_guide_and_the_queries() -> None:
    debian = FOLDER.parent / "debian"
    assert "deploy/sql" in (debian / "era-ap.examples").read_text().split()
    ready = sorted(path.name for path in FOLDER.glob("*.yml"))
    assert (debian / "era-ap.links").read_text().splitlines() == [
        f"usr/lib/era-ap/era_ap/data/sql/{name} usr/share/doc/era-ap/examples/sql/{name}" for name in ready
    ]
