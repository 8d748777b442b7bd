"""A folder read as documents: findings with lines, and what is unreadable is never taken for gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from era_ap.directory.documents import DomainDocuments, Original
from era_ap.directory.tree import Tree
from era_ap.errors import Problem, Refused, Severity

A = "a.example.com"


def put(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def shown(root: Path, problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.where.removeprefix(f"{root}/"), problem.detail) for problem in problems]


def test_documents_and_only_the_texts_that_are_not_canonical(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            f"{A}/domain.yml": "settings:\n  x: a\n",
            f"{A}/sipusers/101.yml": "name: Anna\n",
            f"{A}/sipusers/102.yml": "name: Boris   # a comment\n",
            f"{A}/sipusers/103.json": '{"reg": false, "n": 017e1}'.replace("017e1", "17"),
        },
    )
    assert Tree(tmp_path).read(A).documents() == DomainDocuments(
        A,
        {"settings": {"x": "a"}},
        {"101": {"name": "Anna"}, "102": {"name": "Boris"}, "103": {"reg": "false", "n": "17"}},
        {
            "102": Original(f"{A}/sipusers/102.yml", "name: Boris   # a comment\n"),
            "103": Original(f"{A}/sipusers/103.json", '{"reg": false, "n": 17}'),
        },
    )


def test_a_byte_order_mark_and_line_ends_are_part_of_the_text(tmp_path: Path) -> None:
    put(tmp_path, {f"{A}/sipusers/101.yml": b"\xef\xbb\xbfname: Anna\r\n"})
    documents = Tree(tmp_path).read(A).documents()
    assert documents.accounts == {"101": {"name": "Anna"}}
    assert documents.originals["101"].text.encode() == b"\xef\xbb\xbfname: Anna\r\n"


def test_findings_have_file_and_line(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            f"{A}/domain.yml": "settings:\n- x\n",
            f"{A}/sipusers/101.yml": "name: Anna\nname: Boris\n",
            f"{A}/sipusers/102.yml": "a: [\n",
            f"{A}/sipusers/103.yml": "# nobody\nlogin: '104'\n",
            f"{A}/sipusers/104.yml": b"name: \xff\n",
            f"{A}/sipusers/105.yml": "",
            f"{A}/sipusers/106.yml": "just text",
            f"{A}/sipusers/107.yml": "name: Fine\nopts:\n  ap_devices:\n  - mac: bad\n",
        },
    )
    branch = Tree(tmp_path).read(A)
    found = dict(shown(tmp_path, branch.problems))
    assert set(found) == {
        f"{A}/domain.yml:1",
        f"{A}/sipusers/101.yml:2",
        f"{A}/sipusers/102.yml:2",
        f"{A}/sipusers/103.yml:2",
        f"{A}/sipusers/104.yml:1",
        f"{A}/sipusers/105.yml",
        f"{A}/sipusers/106.yml",
        f"{A}/sipusers/107.yml:4",
    }
    assert branch.unreadable == {"", "101", "102", "103", "104", "105", "106"}
    assert set(branch.files) == {"107"}
    severities = {each.where: each.severity for each in branch.problems}
    assert severities[f"{tmp_path}/{A}/sipusers/107.yml:4"] is Severity.WARNING
    assert severities[f"{tmp_path}/{A}/sipusers/103.yml:2"] is Severity.ERROR


def test_a_folder_that_leaves_the_root_is_lost_and_not_empty(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", {"sipusers/101.yml": "name: Anna\n"})
    put(tmp_path / "root", {"b.example.com/domain.yml": "{}\n"})
    (tmp_path / "root" / A).symlink_to(tmp_path / "elsewhere")
    tree = Tree(tmp_path / "root")
    assert tree.read(A).lost
    assert tree.read(A).reading().documents is None
    assert tree.names(A) is None


def test_names_are_those_of_files_that_exist_readable_or_not(tmp_path: Path) -> None:
    put(tmp_path, {f"{A}/domain.yml": "a: [", f"{A}/sipusers/101.yml": "a: [", f"{A}/sipusers/.x.yml": ""})
    os.mkfifo(tmp_path / A / "sipusers" / "102.yml")
    tree = Tree(tmp_path)
    assert tree.names(A) == {"", "101", "102"}
    assert tree.names("other.example.com") == frozenset()


def test_a_domain_without_a_file_has_no_document(tmp_path: Path) -> None:
    put(tmp_path, {f"{A}/sipusers/101.yml": "name: Anna\n"})
    reading = Tree(tmp_path).read(A).reading()
    assert reading.documents == DomainDocuments(A, None, {"101": {"name": "Anna"}})


def test_folders_that_are_no_domains_are_findings(tmp_path: Path) -> None:
    put(
        tmp_path,
        {f"{A}/domain.yml": "{}\n", "not a domain/domain.yml": "{}\n", "A.Example.com/domain.yml": "{}"},
    )
    tree = Tree(tmp_path)
    assert tree.domains == (A,)
    assert [each.where for each in tree.problems] == [f"{tmp_path}/a.example.com", f"{tmp_path}/not a domain"]


@pytest.mark.parametrize("make", [False, True])
def test_a_folder_without_a_domain_is_not_an_empty_directory(tmp_path: Path, make: bool) -> None:
    root = tmp_path / "root"
    if make:
        root.mkdir()
    with pytest.raises(Refused):
        Tree(root)
