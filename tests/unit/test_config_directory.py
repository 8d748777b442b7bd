"""What the site configuration says of the directory: folders, databases, lists; no secret is repeated."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from era_ap import config
from era_ap.config import ConfigError, Queries, SqlAddress, SqlDatabase, SqlKind, YamlFolder
from era_ap.config.directory import DirectorySource, SqlShape
from era_ap.errors import Reason

BASE = Path("/etc/era_ap")
REFERENCE = Path(__file__).parents[2] / "deploy" / "site.yml"
POSTGRESQL = "postgresql+asyncpg://u@db/era"


def text_of(directory: str) -> str:
    return (
        "site: msk1\nmaster_domain: example.com\nstorage: .\n"
        f"directory: {directory}\n"
        "roles: [{name: ap1, roletype: ap, iface: eth0, group: 1, order: 1}]\n"
    )


def sources(directory: str) -> tuple[DirectorySource, ...]:
    return config.parse(text_of(directory), BASE, "site.yml").sources


def database(directory: str) -> SqlDatabase:
    (source,) = sources(directory)
    assert isinstance(source, SqlDatabase)
    return source


def details(directory: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        sources(directory)
    return [problem.detail for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("sqlite+aiosqlite:///d.db", SqlAddress(SqlKind.SQLITE, "/etc/era_ap/d.db")),
        ("sqlite+aiosqlite:////srv/d%20e.db", SqlAddress(SqlKind.SQLITE, "/srv/d e.db")),
        ("postgresql+asyncpg://u@DB1/era", SqlAddress(SqlKind.POSTGRESQL, "era", "db1", user="u")),
        (
            "postgresql+asyncpg://u%40x:p%2Fw@[fd00::1]:5433/era",
            SqlAddress(SqlKind.POSTGRESQL, "era", "fd00::1", 5433, None, "u@x", "p/w"),
        ),
        (
            "postgresql+asyncpg://u@/era?host=/run/postgresql",
            SqlAddress(SqlKind.POSTGRESQL, "era", socket="/run/postgresql", user="u"),
        ),
        ("mysql+asyncmy://u@10.0.0.1:3307/era", SqlAddress(SqlKind.MYSQL, "era", "10.0.0.1", 3307, user="u")),
        ("mariadb+asyncmy://h/era", SqlAddress(SqlKind.MYSQL, "era", "h")),
        (
            "mysql+asyncmy://u@/era?unix_socket=/run/mysqld/mysqld.sock",
            SqlAddress(SqlKind.MYSQL, "era", socket="/run/mysqld/mysqld.sock", user="u"),
        ),
    ],
)
def test_urls(url: str, address: SqlAddress) -> None:
    assert database(f"'{url}'").address == address
    assert database(f"{{sql: '{url}'}}").address == address


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite+aiosqlite:////srv/d.db", "sqlite:/srv/d.db"),
        ("postgresql+asyncpg://u:secret@db/era", "postgresql://db/era"),
        ("postgresql+asyncpg://u:secret@[::1]:5433/era", "postgresql://[::1]:5433/era"),
        ("postgresql+asyncpg://u:secret@/era?host=/run/pg", "postgresql:///run/pg/era"),
        ("mariadb+asyncmy://u:secret@h/era", "mysql://h/era"),
    ],
)
def test_the_name_of_a_source_has_no_credentials(url: str, name: str) -> None:
    source = database(f"'{url}'")
    assert source.name == name
    assert "secret" not in repr(source)


def test_a_list_keeps_its_order() -> None:
    found = sources(f"[yaml:./a, '{POSTGRESQL}', {{sql: '{POSTGRESQL}', queries: kamailio}}, yaml:/b]")
    assert [each.name for each in found] == [
        "yaml:/etc/era_ap/a",
        "postgresql://db/era",
        "postgresql://db/era#kamailio",
        "yaml:/b",
    ]
    assert isinstance(found[0], YamlFolder)


def test_every_key_of_a_database() -> None:
    found = database(
        f"{{sql: '{POSTGRESQL}', password_file: pw, queries: ./asterisk.yml, parameters: {{domain: a.b}},"
        " poll_seconds: 0.5, pool: 1, seconds: 2, tls: true, ca_file: ca, cert_file: c, key_file: k}"
    )
    assert found == SqlDatabase(
        address=SqlAddress(SqlKind.POSTGRESQL, "era", "db", user="u"),
        password_file=BASE / "pw",
        queries=BASE / "asterisk.yml",
        parameters=(("domain", "a.b"),),
        poll_seconds=0.5,
        pool=1,
        seconds=2.0,
        tls=True,
        ca_file=BASE / "ca",
        cert_file=BASE / "c",
        key_file=BASE / "k",
    )
    assert found.name == "postgresql://db/era#asterisk"


def test_queries_may_stand_in_the_site_file() -> None:
    found = database(f"{{sql: '{POSTGRESQL}', queries: {{accounts: 'SELECT 1 ;\n', changed: SELECT 2}}}}")
    assert found.queries == Queries(accounts="SELECT 1", changed="SELECT 2")
    assert found.name == "postgresql://db/era#queries"


@pytest.mark.parametrize(
    ("directory", "words"),
    [
        ("[]", "directory: must not be empty"),
        ("5", "directory: must be yaml:PATH, the URL of a database"),
        ("[yaml:a, [b]]", "directory[1]: must be yaml:PATH"),
        ("ldap://h", "directory: must be yaml:PATH"),
        ("{}", "directory.sql: is required and missing"),
        ("[yaml:a, yaml:./a]", "directory[1]: names yaml:/etc/era_ap/a, as an element above does"),
        ("postgresql://u@h/d", "directory: must begin with postgresql+asyncpg://"),
        ("postgres://u@h/d", "directory: must begin with postgresql+asyncpg://"),
        ("postgresql+psycopg2://u@h/d", "directory: must begin with postgresql+asyncpg://"),
        ("mariadb:x", "directory: must begin with mysql+asyncmy://"),
        ("{sql: 'oracle://h/d'}", "directory.sql: must begin with sqlite+aiosqlite:// or postgresql+asyncpg://"),
        ("{sql: [a]}", "directory.sql: must be text"),
        ("sqlite+aiosqlite://x.db", "needs a file, like sqlite+aiosqlite:///./directory.db"),
        ("'sqlite+aiosqlite:///:memory:'", "needs a file"),
        ("sqlite+aiosqlite:///", "needs a file"),
        ("sqlite+aiosqlite:///~nobody-of-this-name/x", "home folder"),
        ("postgresql+asyncpg://u@h", "needs the name of the database"),
        ("postgresql+asyncpg://u@h/a/b", "needs the name of the database"),
        ("'postgresql+asyncpg://u@h/a#b'", "needs the name of the database"),
        ("postgresql+asyncpg://u@/d", "or the path of a socket, like ///DATABASE?host=/PATH"),
        ("postgresql+asyncpg://u@h/d?host=/x", "needs either a host or the path of a socket"),
        ("postgresql+asyncpg://u@/d?host=x", "needs either a host or the path of a socket"),
        ("mysql+asyncmy://u@/d?host=/x", "has a key after '?' that is not used here; known: unix_socket"),
        ("postgresql+asyncpg://u@h/d?ssl=require", "has a key after '?' that is not used here; known: host"),
        ("postgresql+asyncpg://u@h:x/d", "is not like postgresql+asyncpg://USER@HOST:PORT/DATABASE"),
        ("'postgresql+asyncpg://u@h h/d'", "a host that is neither a name nor an address"),
        (f"{{sql: '{POSTGRESQL}', pool: 0}}", "directory.pool: must be at least 1, found '0'"),
        (f"{{sql: '{POSTGRESQL}', seconds: 0.1}}", "directory.seconds: must be at least 0.5"),
        (f"{{sql: '{POSTGRESQL}', poll_seconds: 0}}", "directory.poll_seconds: must be at least 0.1"),
        (f"{{sql: '{POSTGRESQL}', ca_file: x}}", "directory: has ca_file, which needs tls: true"),
        (f"{{sql: '{POSTGRESQL}', tls: true, key_file: x}}", "needs both cert_file and key_file"),
        ("{sql: 'sqlite+aiosqlite:///x', tls: true}", "has tls, which needs a host"),
        ("{sql: 'postgresql+asyncpg://h/d', password_file: x}", "needs a user in the URL"),
        (f"{{sql: '{POSTGRESQL}', parameters: {{a: b}}}}", "has parameters, which need queries"),
        (f"{{sql: '{POSTGRESQL}', queries: Fusion PBX}}", "directory.queries: must be a name of"),
        (f"{{sql: '{POSTGRESQL}', queries: {{}}}}", "directory.queries.accounts: is required and missing"),
        (f"{{sql: '{POSTGRESQL}', queries: {{accounts: ''}}}}", "queries.accounts: must be the text of one"),
        (f"{{sql: '{POSTGRESQL}', queries: {{accounts: a, device: b}}}}", "did you mean 'devices'?"),
        (f"{{sql: '{POSTGRESQL}', pasword_file: x}}", "did you mean 'password_file'?"),
    ],
)  # fmt: skip
def test_what_is_not_usable_is_told_with_its_place(directory: str, words: str) -> None:
    (detail,) = details(directory)
    assert words in detail


def test_all_problems_are_told_at_once() -> None:
    found = details(
        f"[{{sql: 'postgres://h', pool: 0}}, ldap://h, {{sql: '{POSTGRESQL}', queries: {{}}, pool: x}}]"
    )
    assert [re.split(":| ", detail)[0] for detail in found] == [
        "directory[0].sql",
        "directory[0].pool",
        "directory[1]",
        "directory[2].queries.accounts",
        "directory[2].pool",
    ]


@pytest.mark.parametrize(
    "directory",
    [
        "postgres://u:SECRET@h/d",
        "postgresql+asyncpg://u:SECRET@h",
        "postgresql+asyncpg://u:SECRET/x@h/d",
        "postgresql+asyncpg://u:a@SECRET@h:x/d",
        "'postgresql+asyncpg://u:#SECRET@h/d'",
        "postgresql+asyncpg://u@h/d?password=SECRET",
        "postgresql+asyncpg://u@h/d?SECRET=1",
        '"postgresql+asyncpg://u:SECRET\\u0007@h/d"',
        "{sql: 'postgres://u:SECRET@h/d'}",
        "{sql: 'mysql+asyncmy://u:SECRET@h/d', password_file: x}",
        "{sql: 'mysql+asyncmy://u@h/d', password: SECRET}",
        "u:SECRET@h/d",
        "ldap://u:a/SECRET@h/d",
        "yaml:postgresql+asyncpg://u:SECRET@h/d",
        "['mysql+asyncmy://u:SECRET@h/d', 'mysql+asyncmy://v:SECRET@h/d']",
    ],
)
def test_no_finding_repeats_a_password(directory: str) -> None:
    found = details(directory)
    assert found
    assert "SECRET" not in "\n".join(found)


def test_an_unknown_key_has_its_reason() -> None:
    with pytest.raises(ConfigError) as caught:
        sources(f"{{sql: '{POSTGRESQL}', qqq: 1}}")
    assert caught.value.problems[0].reason is Reason.CONFIG_UNKNOWN_KEY


# --- the reference


def shown() -> tuple[dict[str, Any], dict[str, Any]]:
    """The database and the queries that deploy/site.yml shows in full."""
    lines = [
        line.removeprefix("#   ") for line in REFERENCE.read_text("utf-8").splitlines() if line[:4] == "#   "
    ]
    document = yaml.safe_load("\n".join(lines))
    return document["directory"][0], document["queries"]


def test_the_reference_shows_every_key_with_its_default() -> None:
    for shape, keys in zip((SqlShape, Queries), shown(), strict=True):
        assert list(keys) == list(shape.model_fields)
        for key, field in shape.model_fields.items():
            assert field.is_required() or keys[key] == field.default, key


def test_the_reference_says_what_each_key_means() -> None:
    lines = [line.removeprefix("#").strip() for line in REFERENCE.read_text("utf-8").splitlines()]
    for shape in (SqlShape, Queries):
        for key, field in shape.model_fields.items():
            places = [n for n, line in enumerate(lines) if re.match(rf"(- )?{key}:", line)]
            assert any(lines[n - 1] == f"# {field.description}" for n in places), key


def test_the_example_of_the_reference_loads() -> None:
    found, queries = shown()
    document = yaml.safe_dump([{**found, "queries": queries}])
    assert database("\n" + document).queries == Queries.model_validate(queries)
