"""The real process with accounts in a database (B10, B11): away at the start, killed, frozen; edits seen."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from era_ap.config import SqlDatabase, SqlKind
from era_ap.directory.documents import DomainDocuments
from era_ap.directory.model import AccountKey
from era_ap.directory.sql_writer import SqlWriter
from tests.conftest import Site
from tests.databases import PASSWORD, Server, Sqlite, run
from tests.functional.test_daemon import NAME, WHOLE, eventually, fetch, fetch_error

if TYPE_CHECKING:
    from tests.functional.conftest import Process

pytestmark = pytest.mark.functional
Start = Callable[..., "Process"]

DOMAIN = "sql.example.com"
SQL_MAC, SQL_NAME = "001565000077", "001565000077.cfg"
UNAVAILABLE = (0, "Temporarily unavailable")


def url_of(settings: SqlDatabase) -> str:
    address = settings.address
    if address.kind is SqlKind.SQLITE:
        return f"{address.kind.value}:///{address.database}"
    return f"{address.kind.value}://{address.user}@{address.host}:{address.port}/{address.database}"


class SqlSite:
    """A site with a folder of YAML files and a database with the account 701 and its phone."""

    def __init__(self, site: Site, settings: SqlDatabase) -> None:
        self.site = site
        self.settings = settings
        source: dict[str, object] = {"sql": url_of(settings), "seconds": 1}
        if settings.address.password is not None:
            (site.root / "password").write_text(f"{PASSWORD}\n")
            source["password_file"] = "password"
        self.config = site.configure(directory=["yaml:directory", source])

    def put(self, secret: str) -> None:
        device = {"mac": SQL_MAC, "device_model": "T46S"}
        document = {"password": secret, "opts": {"ap_devices": [device]}}

        async def put() -> None:
            writer = SqlWriter(self.settings)
            await writer.put(DomainDocuments(DOMAIN, {"settings": {}}, {"701": document}))
            await writer.close()

        run(put())


@pytest.fixture
def sql_site(site: Site, any_sql: Server | Sqlite) -> SqlSite:
    made = SqlSite(site, any_sql.shared())
    made.put("first")
    return made


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    found: Server = request.getfixturevalue(request.param)
    yield found
    found.thaw()
    if not found.processes():
        found.start()


def has(process: Process, secret: str) -> bool:
    return f"secret = {secret}\n".encode() in fetch(process.port, SQL_NAME)


def test_accounts_of_a_database_are_served_and_an_edit_is_seen(sql_site: SqlSite, daemon: Start) -> None:
    process = daemon(sql_site.config).wait_ready()
    assert has(process, "first")
    assert fetch(process.port) == WHOLE
    sql_site.put("xyzzy-plugh")
    assert eventually(lambda: has(process, "xyzzy-plugh")) < 2.0

    async def remove() -> None:
        writer = SqlWriter(sql_site.settings)
        assert await writer.remove_account(AccountKey(DOMAIN, "701"))
        await writer.close()

    run(remove())
    gone = (1, "File not found")
    assert eventually(lambda: _error_of(process) == gone) < 2.0
    assert process.stop() == 0
    assert PASSWORD not in json.dumps(process.log)
    assert "xyzzy-plugh" not in json.dumps(process.log)
    assert all("event" in entry and "timestamp" in entry for entry in process.log), "no line of a library"


def _error_of(process: Process) -> tuple[int, str] | None:
    try:
        return fetch_error(process.port, SQL_NAME)
    except AssertionError:
        return None


def test_an_edit_reaches_three_instances_within_two_seconds(
    site: Site, server: Server, daemon: Start
) -> None:
    (role,) = json.loads(site.config.read_text())["roles"]
    site.extra_roles = [{**role, "name": f"ap{number}", "order": number} for number in (2, 3)]
    sql_site = SqlSite(site, server.shared())
    sql_site.put("first")
    processes = [daemon(sql_site.config, f"ap{number}").wait_ready() for number in (1, 2, 3)]
    for number in range(3):
        secret = f"s{number}"
        sql_site.put(secret)
        took = eventually(lambda: all(has(process, secret) for process in processes))  # noqa: B023
        assert took < 2.0


def test_a_database_that_is_away_at_the_start_is_found_when_it_comes(
    site: Site, server: Server, daemon: Start
) -> None:
    sql_site = SqlSite(site, server.shared())
    sql_site.put("first")
    server.kill()
    process = daemon(sql_site.config).wait_ready()
    assert fetch(process.port) == WHOLE
    begin = time.monotonic()
    assert fetch_error(process.port, SQL_NAME) == UNAVAILABLE
    assert fetch_error(process.port, "001565ffffff.cfg") == UNAVAILABLE
    assert time.monotonic() - begin < 2.0
    entry = process.wait_log("not readable")
    assert "nobody listens there" in str(entry["detail"])
    server.start()
    assert eventually(lambda: _error_of(process) is None) < 5.0
    assert has(process, "first")
    assert fetch_error(process.port, "001565ffffff.cfg") == (1, "File not found")


def test_what_is_known_is_served_while_the_database_is_killed_or_frozen(
    site: Site, server: Server, daemon: Start
) -> None:
    sql_site = SqlSite(site, server.shared())
    sql_site.put("first")
    process = daemon(sql_site.config).wait_ready()
    assert has(process, "first")
    for number, (fault, heal) in enumerate(((server.kill, server.start), (server.freeze, server.thaw))):
        fault()
        refused = len([entry for entry in process.log if entry.get("event") == "not readable"])
        process.wait(
            lambda: len([e for e in process.log if e.get("event") == "not readable"]) > refused - 1,  # noqa: B023
        )
        slowest = 0.0
        for _ in range(20):
            begin = time.monotonic()
            assert fetch(process.port) == WHOLE
            assert fetch(process.port, SQL_NAME)
            slowest = max(slowest, time.monotonic() - begin)
        assert slowest < 1.0
        heal()
        secret = f"healed{number}"
        sql_site.put(secret)
        assert eventually(lambda: has(process, secret)) < 5.0  # noqa: B023
    assert process.stop() == 0


def test_a_wrong_password_is_told_and_corrected_without_a_restart(
    site: Site, server: Server, daemon: Start
) -> None:
    sql_site = SqlSite(site, server.shared())
    sql_site.put("first")
    (site.root / "password").write_text("wrong")
    process = daemon(sql_site.config).wait_ready()
    entry = process.wait_log("not readable")
    assert "password" in str(entry["detail"])
    assert fetch_error(process.port, SQL_NAME) == UNAVAILABLE
    (site.root / "password").write_text(PASSWORD)
    assert eventually(lambda: _error_of(process) is None) < 5.0
    assert fetch(process.port, NAME) == WHOLE
