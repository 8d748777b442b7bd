"""Catalogue: what is in service after each change of the storage, good or bad."""

from __future__ import annotations

import hashlib

import pytest

from era_ap.errors import Reason, Refused, Severity
from era_ap.provisioning.catalogue import Catalogue, Snapshot, Stamp, StaticFile, TextFile, build


def text_file(path: str, content: str | bytes) -> TextFile:
    data = content.encode() if isinstance(content, str) else content
    return TextFile(path, data, hashlib.sha256(data).hexdigest())


def snapshot(templates=None, constants=None, statics=(), **more) -> Snapshot:
    return Snapshot(
        templates={path: text_file(path, content) for path, content in (templates or {}).items()},
        constants=None if constants is None else text_file("msk1.cfg", constants),
        statics={path: StaticFile(path, Stamp(1, 2, 3, 4)) for path in statics},
        **more,
    )


def load(*snapshots: Snapshot) -> Catalogue:
    catalogue = None
    for one in snapshots:
        catalogue = build(catalogue, one)
    assert catalogue is not None
    return catalogue


def found(catalogue: Catalogue) -> list[tuple[Reason, str]]:
    return [(problem.reason, problem.where) for problem in catalogue.problems]


# --- templates (E8)


def test_a_template_is_found_in_any_letter_case_and_by_its_path():
    catalogue = load(snapshot({"T46S.cfg": "a", "inc/Header.inc": "b"}))
    assert catalogue.template("t46s.CFG").text == "a"
    assert catalogue.template("INC/header.inc").text == "b"
    assert catalogue.template("header.inc") is None


def test_models_and_readme_files_are_no_templates():
    catalogue = load(snapshot({"README.rst": "x", "sub/readme": "x", "models.yml": "A: {}", "A": "x"}))
    assert list(catalogue.templates) == ["a"]
    assert "A" in catalogue.models


def test_of_two_names_that_differ_in_case_one_wins_always_and_is_reported():
    catalogue = load(snapshot({"t46s": "second", "T46S": "first"}))
    assert catalogue.template("t46s").text == "first"
    assert found(catalogue) == [(Reason.TEMPLATE_AMBIGUOUS, "templates/t46s")]


def test_only_what_changed_is_parsed():
    one = load(snapshot({"A": "a", "B": "b"}))
    two = build(one, snapshot({"A": "a", "B": "changed"}))
    assert two.template("A") is one.template("A")
    assert two.template("B").text == "changed"
    assert two.revision > one.revision


def test_the_same_storage_is_the_same_catalogue():
    files = {"A": "a", "models.yml": "A: {}", "B": "[include.none]"}
    one = load(snapshot(files, "a = 1", ["x"]))
    assert build(one, snapshot(files, "a = 1", ["x"])) is one


@pytest.mark.parametrize(
    ("broken", "reason", "where"),
    [
        ("one\n[sipuser.login\n", Reason.TEMPLATE_SYNTAX, "templates/A:2"),
        (b"\xff\xfe", Reason.TEMPLATE_ENCODING, "templates/A:1"),
    ],
)
def test_a_broken_version_leaves_the_last_good_one_in_service(broken, reason, where):
    catalogue = load(snapshot({"A": "good"}), snapshot({"A": broken}))
    assert catalogue.template("A").text == "good"
    assert catalogue.refusal_of("A") is None
    assert found(catalogue) == [(reason, where)]
    assert "last good version" in catalogue.problems[0].detail
    for better in ("repaired", "good"):
        repaired = build(catalogue, snapshot({"A": better}))
        assert repaired.template("A").text == better
        assert repaired.problems == ()


def test_a_template_that_never_was_good_says_why():
    catalogue = load(snapshot({"A": "[sipuser.login"}))
    assert catalogue.template("A") is None
    assert catalogue.refusal_of("a").reason is Reason.TEMPLATE_SYNTAX
    assert catalogue.refusal_of("B") is None


def test_a_removed_template_is_gone():
    catalogue = load(snapshot({"A": "a", "B": "b"}), snapshot({"B": "b"}))
    assert catalogue.template("A") is None


@pytest.mark.parametrize(
    "good",
    [
        '<?xml version="1.0"?>\n<a b="[sipuser.login]">[blf]</a>',
        "<a/>\n<b>[sipuser.name]</b>",
        "<a>\n  [blf]\n</a>",
        "<a [constants.attributes]/>",
        "[include.head]<a/>",
    ],
)
def test_an_edit_that_breaks_xml_leaves_the_last_good_version(good):
    good = f"<!-- x -->{good}" if good.startswith("[") else good
    broken = good[: good.rindex(">")]
    catalogue = load(snapshot({"A": good}), snapshot({"A": broken}))
    assert catalogue.template("A").text == good
    assert (Reason.XML_BROKEN, "templates/A:1") in found(catalogue) or "templates/A:" in found(catalogue)[-1][
        1
    ]
    assert build(catalogue, snapshot({"A": good})).template("A").text == good


@pytest.mark.parametrize("blank", ["\n", " \n"])
def test_a_text_file_may_be_made_blank(blank):
    catalogue = load(snapshot({"A": "a"}), snapshot({"A": blank}))
    assert catalogue.template("A").text == blank
    assert catalogue.problems == ()


def test_a_file_without_a_byte_that_had_some_is_being_written():
    good = snapshot({"A": "a", "X": "<a/>", "models.yml": "M: {like: A}"}, "key = value\n")
    catalogue = load(good, snapshot({"A": "", "X": "", "models.yml": ""}, ""))
    assert [catalogue.template(name).text for name in "AX"] == ["a", "<a/>"]
    assert "M" in catalogue.models
    assert catalogue.constants == {"key": "value"}
    assert found(catalogue) == [
        (Reason.FILE_EMPTIED, "constants/msk1.cfg"),
        (Reason.FILE_EMPTIED, "templates/A"),
        (Reason.FILE_EMPTIED, "templates/X"),
        (Reason.FILE_EMPTIED, "templates/models.yml"),
    ]
    assert build(catalogue, good).problems == ()


def test_a_file_that_never_held_anything_is_an_empty_file():
    catalogue = load(snapshot({"A": "", "B": "[include.A]"}, ""), snapshot({"A": "", "B": "x"}, ""))
    assert catalogue.template("A").text == ""
    assert catalogue.problems == ()


def test_halves_of_xml_are_accepted_as_they_never_were_whole():
    catalogue = load(
        snapshot({"head": "<a>", "foot": "</a>"}), snapshot({"head": "<a><b>", "foot": "</b></a>"})
    )
    assert catalogue.template("head").text == "<a><b>"
    assert catalogue.problems == ()


def test_xml_is_never_read_beyond_the_file():
    catalogue = load(snapshot({"A": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'}))
    assert "root:" not in catalogue.template("A").text


# --- includes and host names


def test_missing_includes_and_circles_are_warnings_with_their_line():
    catalogue = load(
        snapshot(
            {
                "A": "x\n[include.B]",
                "B": "[include.c]",
                "C": "\n\n[include.a]",
                "D": "\n[include.none]",
                "E": "[include.E]",
            }
        )
    )
    assert [(p.reason, p.where, p.detail) for p in catalogue.problems] == [
        (Reason.INCLUDE_CYCLE, "templates/A:2", "A > B > C > A"),
        (Reason.INCLUDE_MISSING, "templates/D:2", "[include.none]: templates/ has no such file"),
        (Reason.INCLUDE_CYCLE, "templates/E:1", "E > E"),
    ]
    assert all(problem.severity is Severity.WARNING for problem in catalogue.problems)


def test_includes_that_meet_again_are_no_circle():
    catalogue = load(
        snapshot({"A": "[include.B][include.C]", "B": "[include.D]", "C": "[include.D]", "D": "x"})
    )
    assert catalogue.problems == ()


def test_a_long_chain_of_includes_does_not_exhaust_the_stack():
    files = {f"f{n}": f"[include.f{n + 1}]" for n in range(3000)} | {"f3000": "end"}
    assert load(snapshot(files)).problems == ()


def test_host_names_of_all_templates_are_known():
    catalogue = load(
        snapshot({"A": "[nslookup.ntp.example.com]", "B": "[nslookup.b.example.com][nslookup.10.0.0.1]"})
    )
    assert catalogue.hostnames == {"ntp.example.com", "b.example.com"}


# --- models


def test_a_broken_models_file_leaves_the_last_good_one():
    good = snapshot({"models.yml": "A: {like: B}", "B": "x"})
    catalogue = load(good, snapshot({"models.yml": "A: {lke: B}", "B": "x"}))
    assert catalogue.models.bases("A") == ("A", "B")
    assert found(catalogue) == [(Reason.MODELS_INVALID, "templates/models.yml:1")]


def test_at_the_first_reading_the_good_entries_of_a_broken_models_file_count():
    catalogue = load(snapshot({"Models.yml": "A: {like: B}\nC: 5", "B": "x"}))
    assert catalogue.models.bases("A") == ("A", "B")


def test_a_model_like_nothing_is_a_warning():
    catalogue = load(
        snapshot({"models.yml": "A: {like: Gone}\nB: {like: T46S}\nC: {like: A}", "T46S.cfg": "x"})
    )
    assert [(p.where, p.severity) for p in catalogue.problems] == [
        ("templates/models.yml:1", Severity.WARNING)
    ]


# --- constants (b6)


def test_constants_are_key_value_lines():
    catalogue = load(
        snapshot(
            {}, "\ufeff# site\n\n sip.proxy = 10.0.0.1:5060 \r\npark=*97#\nempty =\neq = a=b # c\nимя=x\n"
        )
    )
    assert catalogue.constants == {"sip.proxy": "10.0.0.1:5060", "park": "*97#", "empty": "", "eq": "a=b # c"}
    assert found(catalogue) == [(Reason.CONSTANTS_INVALID, "constants/msk1.cfg:7")]


@pytest.mark.parametrize(
    ("bad", "line"),
    [("a = 1\nb 2\n", 2), ("a = 1\n = 2", 2), ("a b = 1", 1), ("a..b = 1", 1), (b"a = \xff", 1)],
)
def test_a_bad_line_leaves_the_last_good_constants(bad, line):
    catalogue = load(snapshot({}, "a = old"), snapshot({}, bad))
    assert catalogue.constants == {"a": "old"}
    assert found(catalogue) == [(Reason.CONSTANTS_INVALID, f"constants/msk1.cfg:{line}")]
    assert build(catalogue, snapshot({}, "a = new")).constants == {"a": "new"}


def test_reserved_and_repeated_keys_are_warnings():
    catalogue = load(snapshot({}, "domain = x\nsg.addr = y\na = 1\na = 2\n"))
    assert catalogue.constants == {"a": "2"}
    assert [p.where for p in catalogue.problems] == [f"constants/msk1.cfg:{n}" for n in (1, 2, 4)]
    assert all(problem.severity is Severity.WARNING for problem in catalogue.problems)


def test_without_a_file_there_are_no_constants():
    assert load(snapshot({}, "a = 1"), snapshot({})).constants == {}


# --- ready-made files (E2, E13, b1)


def test_a_ready_made_file_is_found_exactly_then_in_any_case():
    catalogue = load(snapshot(statics=["fw/T46S.rom", "ring.wav"]))
    assert catalogue.static("fw/T46S.rom").path == "fw/T46S.rom"
    assert catalogue.static("FW/t46s.ROM").path == "fw/T46S.rom"
    assert catalogue.static("T46S.rom") is None
    assert catalogue.static("ring.wa") is None


def test_of_names_that_differ_in_case_only_the_exact_one_is_served():
    catalogue = load(snapshot(statics=["Ring.wav", "ring.wav", "x/A", "X/a"]))
    assert catalogue.static("ring.wav").path == "ring.wav"
    assert catalogue.static("Ring.wav").path == "Ring.wav"
    for name in ("RING.WAV", "x/a"):
        with pytest.raises(Refused) as caught:
            catalogue.static(name)
        assert caught.value.reason is Reason.STATIC_AMBIGUOUS


@pytest.mark.parametrize("name", ["fw", "FW/Yealink"])
def test_a_folder_is_not_a_file(name):
    with pytest.raises(Refused) as caught:
        load(snapshot(statics=["fw/yealink/T46S.rom"])).static(name)
    assert caught.value.reason is Reason.STATIC_IS_FOLDER


def test_what_may_not_be_served_is_refused_and_reported_not_passed_over():
    refused = {
        "configs/Link": Refused(Reason.FILE_OUTSIDE, "leads to /etc"),
        "templates/T1": Refused(Reason.FILE_SPECIAL),
    }
    catalogue = load(snapshot({"A": "x"}, statics=["a"], refused=refused))
    for name in ("link", "Link/passwd", "LINK/a/b"):
        with pytest.raises(Refused) as caught:
            catalogue.static(name)
        assert caught.value.reason is Reason.FILE_OUTSIDE
    assert catalogue.static("links") is None
    assert catalogue.refusal_of("t1").reason is Reason.FILE_SPECIAL
    assert found(catalogue) == [(Reason.FILE_OUTSIDE, "configs/Link"), (Reason.FILE_SPECIAL, "templates/T1")]


def test_a_changed_ready_made_file_is_a_new_revision():
    one = load(snapshot(statics=["a"]))
    two = build(one, Snapshot({}, None, {"a": StaticFile("a", Stamp(9, 2, 3, 4))}))
    assert two.revision > one.revision
    assert two.static("a").stamp.mtime_ns == 9


# --- models.yml in folders


def test_each_folder_may_have_models_of_its_own():
    catalogue = load(
        snapshot(
            {
                "models.yml": "T2: {like: T1}",
                "acme/models.yml": "T1: {keys: {line: 4}}",
                "acme/T1.cfg": "a = 1\n",
                "acme/old/models.yml": "T3: {like: T1}",
            }
        )
    )
    assert found(catalogue) == []
    assert catalogue.models.bases("T2") == ("T2", "T1", "acme/T1")
    assert catalogue.models.bases("T3") == ("T3", "acme/old/T3", "T1", "acme/T1")
    assert sorted(catalogue.templates) == ["acme/t1.cfg"]


def test_a_broken_models_file_of_one_folder_leaves_all_else_in_service():
    good = {"a/models.yml": "T1: {keys: {line: 4}}", "b/models.yml": "T2: {keys: {line: 5}}"}
    broken = {**good, "a/models.yml": "T1: {keys: {line: 4}", "b/models.yml": "T2: {keys: {line: 6}}"}
    catalogue = load(snapshot(good), snapshot(broken))
    assert [reason for reason, _ in found(catalogue)] == [Reason.MODELS_INVALID]
    assert [catalogue.models.layout(name).areas[0].count for name in ("T1", "T2")] == [4, 6]


def test_a_change_of_keys_alone_is_a_new_catalogue():
    files = {"a/models.yml": "T1: {keys: {line: 4}}"}
    first = load(snapshot(files))
    second = build(first, snapshot({"a/models.yml": "T1: {keys: {line: 5}}"}))
    assert second.revision == first.revision + 1
    assert second.models.layout("T1") != first.models.layout("T1")
    assert build(second, snapshot({"a/models.yml": "T1: {keys: {line: 5}}"})) is second


def test_a_finding_across_files_stays_until_one_of_them_changes():
    files = {"a/models.yml": "T1: {}", "b/models.yml": "T1: {}"}
    first = load(snapshot(files))
    assert [where for _, where in found(first)] == ["templates/b/models.yml:1"]
    assert found(build(first, snapshot({**files, "c.cfg": "x"}))) == found(first)
    assert found(build(first, snapshot({"a/models.yml": "T1: {}"}))) == []
