"""``era-ap directory`` as an operator uses it, with folders and with real databases."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from era_ap.cli import main
from era_ap.config import SqlDatabase, SqlKind
from era_ap.directory.documents import Difference, DomainDocuments
from era_ap.directory.sql_writer import SqlWriter
from era_ap.errors import Reason, Refused
from tests.conftest import Site
from tests.databases import PASSWORD, Server, Sqlite

A, B = "a.example.com", "b.example.com"
MAC = "00:15:65:00:00:01"

TREE: dict[str, bytes] = {
    f"{A}/domain.yml": b"# tenant A\nsettings:   {ap_constants: {ntp: {server: n1}}}\nnote: 'kept'\n",
    f"{A}/sipusers/101.yml": b"# the boss\nname: 'Anna'\npassword: \"s3cret\"\n"
    b"opts:\n    ap_devices:\n        - {mac: 00:15:65:00:00:01, device_model: T46S}   # desk\n",
    f"{A}/sipusers/102.yaml": b"\xef\xbb\xbfname: Boris\r\npassword: 017\r\nreg: no\r\n",
    f"{A}/sipusers/103.json": b'{"name": "Clara",\t"ext": {"n": 1.50, "b": false, "z": null}}',
    f"{A}/sipusers/104.yml": b"name: Plain\n",
    f"{A}/sipusers/Иван +1.yml": b"name: X\n",
    f"{A}/sipusers/105.yml": b"z: '1'\na: &x [1, 2]\nm: *x\nempty: {}\nnone: ~\ntext: |\n  two\n  lines\n",
    "B.Example.com/sipusers/201.yml": b"name: Gate\nreg: false\n",
    "example.com/domain.yml": b"settings:\n  ap_options:\n    masks: ['[mac].cfg']\n",
}


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def content(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def source_key(settings: SqlDatabase, folder: Path) -> object:
    """What ``directory`` of a site says for a database of a test."""
    address = settings.address
    if address.kind is SqlKind.SQLITE:
        return f"{address.kind.value}:///{address.database}"
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    url = f"{address.kind.value}://owner@{address.host}:{address.port}/{address.database}"
    return {"sql": url, "password_file": str(folder / "password")}


class Command:
    """Runs ``era-ap directory`` on a site."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(self, *words: object, code: int = 0, stdin: str | bytes | None = None) -> Result:
        arguments = ["directory", *map(str, words), "-c", str(self.site.config)]
        result = CliRunner().invoke(main, arguments, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: object, code: int = 0) -> dict[str, object]:
        document: dict[str, object] = json.loads(self(*words, "--json", code=code).stdout)
        return document


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put(tmp_path / "git", TREE)


@pytest.fixture
def command(site: Site) -> Command:
    """On a site whose directory is an empty folder."""
    shutil.rmtree(site.root / "directory")
    return Command(site)


@pytest.fixture
def any_directory(site: Site, any_sql: Server | Sqlite, tmp_path: Path) -> Command:
    """On a site whose directory is a database of each kind in turn."""
    site.configure(directory=source_key(any_sql.database(), tmp_path))
    return Command(site)


@pytest.fixture
def on_sqlite(site: Site, sqlite: Sqlite, tmp_path: Path) -> Command:
    site.configure(directory=source_key(sqlite.database(), tmp_path))
    return Command(site)


def totals(result: Result) -> tuple[int, ...]:
    """Accounts added, changed, removed, unchanged."""
    found = re.search(r"(\d+) added, (\d+) changed, (\d+) removed, (\d+) unchanged", result.output)
    assert found is not None, result.output
    return tuple(map(int, found.groups()))


# --- import and export


def test_export_after_import_gives_the_same_tree_byte_for_byte(
    any_directory: Command, folder: Path, tmp_path: Path
) -> None:
    assert totals(any_directory("import", folder)) == (7, 0, 0, 0)
    assert totals(any_directory("export", tmp_path / "out")) == (7, 0, 0, 0)
    assert content(tmp_path / "out") == TREE
    assert totals(any_directory("import", tmp_path / "out")) == (0, 0, 0, 7)
    any_directory("diff", folder)


ODD = {
    "017": "name: 017\nhex: 0x1F\nold: 0o17\nplus: +1\nsixty: 12:34:56\ndate: 2024-01-01\ngroup: 1_000\n",
    "1e3": "name: 1e3\nyes: no\ny: n\non: off\nTrue: FALSE\nnull: ~\n",
    "no": "t: |\n  a\n   b\n\n  c\n\nu: >-\n  fold\n  ed\n\n\nv: |+\n  keep\n\n\nw: |2-\n   x\n",
    "null": 'a: \'it\'\'s\'\nb: "\\u00e9\\x41\\n\\\\"\nc: "two\n  lines"\n"": empty\n? complex\n: key\n',
    "~": "a: &a {x: 1, y: &l [1, 2]}\nb:\n  <<: *a\n  y: *l\nc: {<<: [*a], z: 3}\n",
    "é": "%YAML 1.1\n---\n# after\nname: x # tail\n...\n# end\n",
    "e\u0301": "name: x\r\ntext: |\r\n  a\r\n  b\r\n",
    "cr": "name: x\rpassword: y\r",
    "bom": "\ufeffname: x",
    "blank": "name: x   \n\n\n   \n",
    "Ünï 😀": "日本: 語 \u202ex\u202c \u2028 \u00a0 \u0085\n",
    "100%_": "x: '%s %(x)s {0} :x ? $1 \\ \\0 '' \" `'\n",
    "a'b\"c;--": "{}\n",
    "я" * 120: "password: [1, 2]\next: ~\n",
    "wide": f"name: {'x' * 10_000}\n",
    "deep": "a:" + "".join(f"\n{' ' * level}k:" for level in range(1, 30)) + " 1\n",
}
"""Files as nobody should write them and somebody does, by login."""


def test_odd_files_come_out_byte_for_byte(any_directory: Command, tmp_path: Path) -> None:
    odd = {f"{A}/sipusers/{login}.yml": text.encode() for login, text in ODD.items()}
    odd[f"{A}/sipusers/nul.json"] = (
        b' {"name": "a\\u0000b", "password": "\\u0000", "big": 12345678901234567890.50}'
    )
    odd[f"{'.'.join(['x' * 63, 'y' * 63, 'z' * 63, 'a' * 57, 'com'])}/domain.yml"] = b"# deep\n{}\n"
    odd["1e5/domain.json"] = b'{"settings": {"\\u0000": "\\ud83d\\ude00"}}'
    folder = put(tmp_path / "git", odd)
    assert totals(any_directory("import", folder)) == (len(ODD) + 1, 0, 0, 0)
    any_directory("export", tmp_path / "out")
    assert content(tmp_path / "out") == odd
    assert totals(any_directory("apply", tmp_path / "out")) == (0, 0, 0, len(ODD) + 1)
    any_directory("diff", folder)


def test_names_that_look_like_statements_are_names(any_directory: Command, tmp_path: Path) -> None:
    logins = ("x'; DROP TABLE sipusers; --", '%s %(x)s {0} " ``', ":login $1 ?", "Ünïcödé 😀", "-- #", "null")
    texts = {
        login: json.dumps({"name": f"{login}'); DELETE FROM domains; --", "x": login}) for login in logins
    }
    hostile = {f"{A}/sipusers/{login}.json": text.encode() for login, text in texts.items()}
    folder = put(tmp_path / "git", hostile)
    assert totals(any_directory("import", folder)) == (6, 0, 0, 0)
    assert totals(any_directory("apply", folder)) == (0, 0, 0, 6)
    any_directory("export", tmp_path / "out")
    assert content(tmp_path / "out") == hostile


def test_the_order_of_keys_is_kept_without_the_original_too(
    any_directory: Command, folder: Path, tmp_path: Path
) -> None:
    first = put(tmp_path / "first", {f"{A}/sipusers/1.yml": b"b: x\na: x\n"})
    second = put(tmp_path / "second", {f"{A}/sipusers/1.yml": b"a: x\nb: x\n"})
    any_directory("import", first)
    any_directory("import", second)
    any_directory("export", tmp_path / "out")
    assert content(tmp_path / "out") == content(second)


def test_a_new_comment_is_kept_too_and_changes_no_account(
    any_directory: Command, folder: Path, tmp_path: Path
) -> None:
    any_directory("import", folder)
    path = folder / A / "sipusers" / "104.yml"
    path.write_bytes(b"# a comment\nname: Plain\n")
    assert totals(any_directory("import", folder)) == (0, 0, 0, 7)
    any_directory("export", tmp_path / "out")
    assert content(tmp_path / "out") == content(folder)


def test_an_account_that_was_edited_comes_out_as_it_is_now_and_the_others_as_they_were(
    any_directory: Command, folder: Path, tmp_path: Path
) -> None:
    any_directory("import", folder)
    any_directory("csv", "import", "-", stdin=f"mac,login,domain,name\n{MAC},101,{A},Anna-Maria\n")
    any_directory("export", tmp_path / "out")
    exported, before = content(tmp_path / "out"), dict(TREE)
    changed = exported.pop(f"{A}/sipusers/101.yml")
    del before[f"{A}/sipusers/101.yml"]
    assert exported == before
    assert b"name: Anna-Maria\n" in changed
    assert b"# the boss" not in changed


def test_an_export_into_the_folder_it_came_from_touches_nothing(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    (folder / A / "sipusers" / "104.yml").write_bytes(b"# mine\nname:    Plain\n")
    stamps[folder / A / "sipusers" / "104.yml"] = (folder / A / "sipusers" / "104.yml").stat().st_mtime_ns
    assert totals(on_sqlite("export", folder)) == (0, 0, 0, 7)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == stamps


def test_an_import_removes_nothing_and_an_export_only_when_told(
    on_sqlite: Command, folder: Path, tmp_path: Path
) -> None:
    on_sqlite("import", folder)
    (folder / A / "sipusers" / "104.yml").unlink()
    assert totals(on_sqlite("import", folder)) == (0, 0, 0, 6)
    assert totals(on_sqlite("export", folder)) == (1, 0, 0, 6)
    (folder / A / "sipusers" / "999.yml").write_text("name: Gone\n")
    (folder / A / "README").write_text("mine\n")
    assert totals(on_sqlite("export", folder)) == (0, 0, 0, 7)
    assert totals(on_sqlite("export", folder, "--delete")) == (0, 0, 1, 7)
    assert (folder / A / "README").exists()


def test_between_two_folders(command: Command, folder: Path, tmp_path: Path) -> None:
    assert totals(command("import", folder)) == (7, 0, 0, 0)
    assert content(command.site.root / "directory") == TREE
    assert totals(command("import", folder)) == (0, 0, 0, 7)
    command("export", tmp_path / "out")
    assert content(tmp_path / "out") == TREE


def test_a_domain_with_a_row_that_is_no_document_is_named_and_the_others_go_on(
    site: Site, sqlite: Sqlite, folder: Path, tmp_path: Path
) -> None:
    settings = sqlite.database()
    site.configure(directory=source_key(settings, tmp_path))
    command = Command(site)
    command("import", folder)
    with closing(sqlite3.connect(settings.address.database)) as base:
        base.execute("UPDATE sipusers SET fields = '[]' WHERE login = '104'")
        base.commit()
    output = command("export", tmp_path / "out", code=1).output
    assert f"error: {A}: 104@{A}: a column that another program wrote is not a JSON object" in output
    assert sorted(content(tmp_path / "out")) == ["B.Example.com/sipusers/201.yml", "example.com/domain.yml"]


# --- apply, diff, dry run


def test_apply_makes_the_directory_equal(any_directory: Command, folder: Path, tmp_path: Path) -> None:
    any_directory("import", folder)
    (folder / A / "sipusers" / "104.yml").unlink()
    (folder / A / "domain.yml").unlink()
    (folder / A / "sipusers" / "101.yml").write_text("name: Other\n")
    shutil.rmtree(folder / "example.com")
    assert any_directory("diff", folder, code=1).output.splitlines()[:4] == [
        f"- {A}",
        f'~ 101@{A}: name "Anna" -> "Other"; password removed; opts.ap_devices[0].mac removed; '
        "opts.ap_devices[0].device_model removed",
        f"- 104@{A}",
        "- example.com",
    ]
    assert totals(any_directory("apply", folder)) == (0, 1, 1, 5)
    any_directory("diff", folder)
    any_directory("export", tmp_path / "out")
    assert content(tmp_path / "out") == content(folder)


@pytest.mark.parametrize("words", [("import",), ("apply",), ("export", "--delete")])
def test_a_dry_run_tells_what_a_run_does_and_does_nothing(
    on_sqlite: Command, folder: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    on_sqlite("import", folder)
    on_sqlite("export", tmp_path / "before")
    (folder / A / "sipusers" / "106.yml").write_text("name: New\n")
    (folder / A / "sipusers" / "104.yml").unlink()
    (folder / A / "sipusers" / "101.yml").write_text("name: Other\n")
    files = content(folder)
    dry = on_sqlite(*words, folder, "--dry-run")
    assert content(folder) == files
    on_sqlite("export", tmp_path / "after")
    assert content(tmp_path / "after") == content(tmp_path / "before")
    wet = on_sqlite(*words, folder, "-v")
    assert totals(dry) == totals(wet)
    told = [sorted(re.findall(r"^[-+~] \S+@\S+\b", each.output, re.M)) for each in (dry, wet)]
    assert told[0] == told[1] != []


def test_apply_refuses_to_empty_a_directory(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    for login in ("101.yml", "102.yaml", "103.json", "104.yml"):
        (folder / A / "sipusers" / login).unlink()
    output = on_sqlite("apply", folder, code=2).output
    assert "4 of 7 accounts and 0 of 3 domains would be removed" in output
    assert "directory-guard" in output
    assert totals(on_sqlite("apply", folder, "--dry-run")) == (0, 0, 4, 3)
    assert totals(on_sqlite("apply", folder, "--allow-delete")) == (0, 0, 4, 3)


def test_a_folder_that_is_not_mounted_empties_nothing(
    on_sqlite: Command, folder: Path, tmp_path: Path
) -> None:
    on_sqlite("import", folder)
    (tmp_path / "empty").mkdir()
    for words in (("apply", tmp_path / "empty", "--allow-delete"), ("import", tmp_path / "nowhere")):
        assert "directory-unavailable" in on_sqlite(*words, code=2).output
    on_sqlite("diff", folder)


def test_a_file_that_cannot_be_read_is_named_with_its_line_and_keeps_its_account(
    any_directory: Command, folder: Path
) -> None:
    any_directory("import", folder)
    (folder / A / "sipusers" / "104.yml").write_text("name: Plain\nname: Twice\n")
    (folder / A / "sipusers" / "106.yml").write_text("name: New\n")
    (folder / A / "domain.yml").write_text("settings: [")
    for words in (("import", folder), ("apply", folder)):
        output = any_directory(*words, code=1).output
        assert f"error: {folder}/{A}/sipusers/104.yml:2: the key 'name' is given twice" in output
        assert "2 not taken over" in output
    (folder / A / "sipusers" / "104.yml").write_bytes(TREE[f"{A}/sipusers/104.yml"])
    (folder / A / "domain.yml").write_bytes(TREE[f"{A}/domain.yml"])
    any_directory("diff", folder)


def test_a_domain_of_which_nothing_can_be_read_is_not_made(any_directory: Command, folder: Path) -> None:
    put(folder, {"c.example.com/domain.yml": b"settings: [", "d.example.com/sipusers/1.yml": b"["})
    for words in (("import", folder), ("apply", folder)):
        assert "2 not taken over" in any_directory(*words, code=1).output
    shutil.rmtree(folder / "c.example.com")
    shutil.rmtree(folder / "d.example.com")
    any_directory("diff", folder)


def test_a_domain_that_the_database_does_not_take_does_not_stop_the_others(
    site: Site, any_sql: Server | Sqlite, folder: Path, tmp_path: Path
) -> None:
    settings = any_sql.database()
    site.configure(directory=source_key(settings, tmp_path))
    rule = "ALTER TABLE sipusers ADD CHECK (login <> '104')"
    if isinstance(any_sql, Sqlite):
        rule = (
            "CREATE TRIGGER rule BEFORE INSERT ON sipusers WHEN NEW.login = '104' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with closing(sqlite3.connect(settings.address.database)) as base:
            base.execute(rule)
    else:
        any_sql.administer(rule, database=settings.address.database)
    document = Command(site).json("import", folder, code=1)
    assert (document["added"], document["failed"]) == (1, 1)
    (problem,) = document["problems"]  # type: ignore[misc]
    assert problem["where"] == A
    assert problem["detail"].startswith("the database does not take the values: ")


def test_json_is_whole_where_the_database_goes_away(
    on_sqlite: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_domain = SqlWriter.put

    async def put_first(self: SqlWriter, wanted: DomainDocuments, **how: bool) -> Difference:
        if wanted.name == A:
            return await put_domain(self, wanted, **how)
        raise Refused(Reason.DIRECTORY_UNAVAILABLE, "gone")

    monkeypatch.setattr(SqlWriter, "put", put_first)
    document = on_sqlite.json("import", folder, code=2)
    assert (document["ok"], document["added"], len(document["changes"])) == (False, 6, 7)  # type: ignore[arg-type]
    assert [problem["detail"] for problem in document["problems"]] == ["gone"]  # type: ignore[attr-defined]


def test_findings_of_records_that_are_taken_over_are_warnings(on_sqlite: Command, tmp_path: Path) -> None:
    root = put(tmp_path / "git", {f"{A}/sipusers/1.yml": b"opts:\n  ap_devices:\n  - mac: bad\n"})
    output = on_sqlite("import", root).output
    assert f"warning: {root}/{A}/sipusers/1.yml:3: 1@{A}: opts.ap_devices[0].mac is 'bad'" in output
    assert "1 added" in output


def test_json_has_everything(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    (folder / A / "sipusers" / "101.yml").write_text("name: Other\npassword: new\n")
    (folder / A / "sipusers" / "104.yml").write_text("[")
    document = on_sqlite.json("diff", folder, code=1)
    assert document["command"] == "diff"
    assert (document["ok"], document["changed"], document["failed"]) == (False, 1, 1)
    (change,) = document["changes"]  # type: ignore[misc]
    assert (change["change"], change["domain"], change["login"]) == ("change", A, "101")
    assert {"path": "password", "before": "***", "after": "***"} in change["fields"]
    (problem,) = document["problems"]  # type: ignore[misc]
    assert problem["where"].startswith(f"{folder}/{A}/sipusers/104.yml:")
    assert on_sqlite.json("import", folder, code=1)["ok"] is False
    assert on_sqlite.json("apply", folder / "nowhere", code=2)["ok"] is False


def test_secrets_are_never_shown(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    text = (folder / A / "sipusers" / "101.yml").read_text()
    (folder / A / "sipusers" / "101.yml").write_text(text.replace("s3cret", "0ther"))
    for words in (("diff", folder), ("diff", folder, "--json")):
        output = on_sqlite(*words, code=1).output
        assert "s3cret" not in output
        assert "0ther" not in output
        assert "***" in output


HALF = """
import asyncio
from era_ap.cli import main
from era_ap.directory.sql_edit import Edit

put_accounts = Edit.put_accounts

async def halt(self, domain, rows, existing):
    await put_accounts(self, domain, rows, existing)
    if domain == "b.example.com":
        print("half", flush=True)
        await asyncio.Event().wait()

Edit.put_accounts = halt
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_what_is_interrupted_leaves_whole_domains(
    any_directory: Command, folder: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    config = str(any_directory.site.config)
    arguments = [sys.executable, "-c", HALF, "directory", "import", str(folder), "-c", config]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(number)
        told = process.stdout.read()
    assert process.returncode == code
    assert ("accounts: 6 added" in told and "interrupted" in told) is (number is signal.SIGINT)
    any_directory("export", tmp_path / "out")
    assert content(tmp_path / "out") == {name: text for name, text in TREE.items() if name.startswith(A)}
    assert totals(any_directory("import", folder)) == (1, 0, 0, 6)


def test_imports_at_the_same_time_do_it_once(any_directory: Command, folder: Path, tmp_path: Path) -> None:
    config = str(any_directory.site.config)
    arguments = [sys.executable, "-m", "era_ap", "directory", "import", str(folder), "--json", "-c", config]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE) for _ in range(3)]
    documents = [json.loads(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sum(document["added"] for document in documents) == 7
    assert sum(document["unchanged"] for document in documents) == 14
    any_directory("export", tmp_path / "out")
    assert content(tmp_path / "out") == TREE


# --- which source


def test_the_directory_itself_is_no_folder_to_exchange_with(command: Command, folder: Path) -> None:
    command("import", folder)
    assert "the directory itself" in command("export", command.site.root / "directory", code=2).output


def test_of_several_sources_one_is_chosen(
    command: Command, folder: Path, sqlite: Sqlite, tmp_path: Path
) -> None:
    database = source_key(sqlite.database(), tmp_path)
    foreign = {"sql": database, "queries": {"accounts": "SELECT 1"}}
    command.site.configure(directory=["yaml:directory", database, foreign])
    output = command("import", folder, code=2).output
    assert "several sources" in output
    assert "2: sqlite:" in output
    command("import", folder, "--source", "2")
    assert not (command.site.root / "directory").exists()
    assert totals(command("export", tmp_path / "out", "--source", "2")) == (7, 0, 0, 0)
    assert "read by queries" in command("import", folder, "--source", "3", code=2).output
    assert "there is no source '4'" in command("import", folder, "--source", "4", code=2).output
    command.site.configure(directory=[database, foreign])
    assert totals(command("import", folder)) == (0, 0, 0, 7)


def test_a_configuration_that_cannot_be_used_exits_2(command: Command, folder: Path) -> None:
    command.site.configure(directory="mongo://x")
    assert command("import", folder, code=2).output.startswith("error: ")
    assert command.json("import", folder, code=2)["ok"] is False


def test_a_database_without_tables_says_what_to_do_and_upgrade_makes_them(
    site: Site, any_sql: Server | Sqlite, folder: Path, tmp_path: Path
) -> None:
    site.configure(directory=source_key(any_sql.database(schema=False), tmp_path))
    command = Command(site)
    assert "era-ap directory upgrade" in command("import", folder, code=2).output
    assert "made or brought up to date" in command("upgrade").output
    assert "nothing to do" in command("upgrade").output
    assert totals(command("import", folder)) == (7, 0, 0, 0)


def test_a_folder_has_no_tables(command: Command) -> None:
    assert "only databases have tables" in command("upgrade", code=2).output


# --- progress


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(
    on_sqlite: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("era_ap.cli.directory_report.LOG_SECONDS", 0.0)
    lines = on_sqlite("import", folder).stderr.splitlines()
    assert re.fullmatch(r"import: 1 of 3 domains, 6 accounts, [\d,]+/s", lines[0])
    assert len(lines) == 3


def test_progress_is_one_line_on_a_terminal_and_gone_at_the_end(on_sqlite: Command, folder: Path) -> None:
    ours, theirs = os.openpty()
    arguments = [
        sys.executable,
        "-c",
        PROGRAM,
        "directory",
        "import",
        str(folder),
        "-c",
        str(on_sqlite.site.config),
    ]
    done = subprocess.run(arguments, stderr=theirs, stdout=subprocess.PIPE, text=True, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "\r\x1b[Kimport: 1 of 3 domains, 6 accounts" in shown
    assert shown.endswith("\r\x1b[K")
    assert done.stdout.splitlines()[-1].startswith("import: ")


PROGRAM = """
from era_ap.cli import directory_report, main
directory_report.TERMINAL_SECONDS = 0.0
main()
"""


# --- tables of phones


def test_a_table_goes_out_and_in_again(any_directory: Command, folder: Path, tmp_path: Path) -> None:
    any_directory("import", folder)
    table = tmp_path / "phones.csv"
    any_directory("csv", "export", table)
    assert table.read_text().splitlines() == [
        "mac,model,login,domain,line,label,name",
        f"{MAC},T46S,101,{A},1,,Anna",
    ]
    assert table.stat().st_mode & 0o777 == 0o600
    assert "0 added, 0 changed, 1 unchanged" in any_directory("csv", "import", table, "--replace").output
    any_directory("diff", folder)


def test_a_table_of_excel(on_sqlite: Command, folder: Path, tmp_path: Path) -> None:
    on_sqlite("import", folder)
    table = tmp_path / "phones.csv"
    on_sqlite("csv", "export", table, "--excel", "--passwords")
    assert table.read_bytes().startswith(b"\xef\xbb\xbfmac;model;login")
    assert b"s3cret" in table.read_bytes()
    text = table.read_text("utf-8-sig").replace("T46S", "T48S")
    table.write_bytes(text.replace(";", "\t").encode("utf-16"))
    output = on_sqlite("csv", "import", table, "-v").output
    assert f'~ 101@{A}: opts.ap_devices[0].device_model "T46S" -> "T48S"' in output


def test_a_model_without_a_template_is_told_once(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    on_sqlite.site.template("T46S", "x = [sipuser.login]\n")
    rows = "".join(
        f"00156500100{number},{model},104,{A}\n" for number, model in enumerate(("T46S", "X9", "X9"))
    )
    output = on_sqlite("csv", "import", "-", stdin=f"mac,model,login,domain\n{rows}").output
    assert output.count("X9") == 2  # the model, and what was looked for
    assert "warning: standard input:3: model: no template for model X9 (looked for X9)" in output
    assert "T46S" not in output
    assert "1 changed" in output


def test_a_column_that_is_no_text_and_not_read_harms_nothing(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    table = f"mac;login;domain;model;Примечание\n001565002001;104;{A};T46S;Стол\n".encode("cp1251")
    output = on_sqlite("csv", "import", "-", stdin=table).output
    assert "\\udccf\\udcf0" in output
    assert "is no column of phones; it is not read" in output
    assert "1 changed" in output


def test_half_a_character_is_told(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    (folder / A / "sipusers" / "103.json").write_text('{\n"name": "\\ud83d"}')
    for words in ("diff", "import", "apply"):
        output = on_sqlite(words, folder, code=1).output
        assert "103.json:2: half of a surrogate pair is no character" in output


def test_the_table_of_the_migration_notes_is_taken_in(command: Command) -> None:
    notes = (Path(__file__).parents[2] / "deploy" / "migration.rst").read_text()
    (table,) = re.findall(r"``phones.csv``::\n\n((?: {6}.*\n)+)", notes)
    rows = re.sub("^ +", "", table, flags=re.M)
    command("csv", "import", "-", "--create-domains", stdin=rows)
    file = command.site.root / "directory" / A / "sipusers" / "101.yml"
    assert yaml.safe_load(file.read_text()) == {
        "name": "Anna Ivanova",
        "password": "correct horse",
        "opts": {"ap_devices": [{"mac": MAC, "device_model": "T46S"}]},
    }


def test_rows_that_cannot_be_taken_over_are_named(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    table = f"mac;model;login;domain;password\n{MAC};T;104;{A};\nbad;T;104;{A};\n1565000001;T;104;{A};\n"
    result = on_sqlite("csv", "import", "-", stdin=table, code=1)
    assert "error: standard input:3: mac: 'bad' is no MAC" in result.output
    assert "error: standard input:4: mac: '1565000001' has lost its leading zeroes" in result.output
    assert f"warning: standard input:2: mac: is on line 1 of 101@{A} too" in result.output
    assert "3 rows; accounts: 0 added, 1 changed, 0 unchanged; 2 rows not taken over" in result.output


def test_bytes_that_are_no_text_are_findings_of_their_row(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    table = f"mac,model,login,domain,name\n{MAC},T,101,{A},Zo".encode() + b"\xe9\n"
    output = on_sqlite("csv", "import", "-", stdin=table, code=1).output
    assert "standard input:2: name: is not UTF-8; save the table as 'CSV UTF-8'" in output


def test_a_table_without_the_columns_it_needs_exits_2(on_sqlite: Command) -> None:
    output = on_sqlite("csv", "import", "-", stdin="a,b\n1,2\n", code=2).output
    assert "no column mac" in output
    assert (
        "--domain" in on_sqlite("csv", "import", "-", "--domain", "a b", stdin="mac,login\n", code=2).output
    )
    assert "/nowhere.csv" in on_sqlite("csv", "import", "/nowhere.csv", code=2).output


def test_an_export_of_some_domains(on_sqlite: Command, folder: Path) -> None:
    on_sqlite("import", folder)
    assert len(on_sqlite("csv", "export", "--domain", B).stdout.splitlines()) == 1
    assert len(on_sqlite("csv", "export", "--domain", A).stdout.splitlines()) == 2
