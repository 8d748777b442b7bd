"""Scalars stay the text that was typed (test F6); what is refused names its line."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from era_ap.directory.yaml_text import (
    MAX_BYTES,
    DocumentError,
    decode,
    dump_json,
    dump_yaml,
    load_json,
    load_yaml,
)

TRAPS = [
    "001122334455", "12:34:56:12:34:56", "017", "no", "yes", "on", "off", "y", "N", "true", "False", "1e3",
    "1E-3", "0x1F", "0b1", "0o17", "1_000", ".5", "1.", ".inf", "-.INF", ".nan", "+79991234567", "-1",
    "190:20:30", "2024-01-01", "2001-12-14t21:59:43.10-05:00", "=", "00156589", "1565112233", "NULLS",
    "nullx", "0", "08", "1,000", "e", "12e03",
]  # fmt: skip


@pytest.mark.parametrize("text", TRAPS)
def test_a_plain_scalar_is_the_text_typed(text: str) -> None:
    assert load_yaml(f"k: {text}\nl: [{text.replace(',', '')}]\n") == {
        "k": text,
        "l": [text.replace(",", "")],
    }


@pytest.mark.parametrize("key", ["no", "017", "1e3", "null", "2024-01-01", "y"])
def test_a_key_is_the_text_typed(key: str) -> None:
    assert load_yaml(f"{key}: v\n") == {key: "v"}


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_plain_null_is_none(text: str) -> None:
    assert load_yaml(f"k: {text}\n") == {"k": None}


@pytest.mark.parametrize("text", ['""', "''", '"null"', "'~'", "|-\n  null"])
def test_a_quoted_null_is_text(text: str) -> None:
    value = load_yaml(f"k: {text}\n")
    assert isinstance(value, dict)
    assert value["k"] in ("", "null", "~")


AWKWARD = [
    "null", "~", "", " x ", "a: b", "a #b", "- a", "[x]", "{x}", "*a", "&a", "!a", "%", "@", "`", "'", '"',
    "<<",
    "line\nline\n", "a\n b ", "\n", "a\r\nb", "\t", "\x07", "\u2028", "é 中 😀",
]  # fmt: skip


@pytest.mark.parametrize("text", [*TRAPS, *AWKWARD])
def test_what_is_written_reads_back_here_and_elsewhere(text: str) -> None:
    document: dict[str, object] = {"k": text, "l": [text, {"m": text}], text: "as key"}
    written = dump_yaml(document)
    assert load_yaml(decode(written.encode())) == document
    assert yaml.safe_load(written) == document
    assert load_json(dump_json(document)) == document


@pytest.mark.parametrize(
    "text",
    [
        "001122334455",
        "00156589",
        "1e3",
        "12e03",
        "0o17",
        "0777",
        "+1",
        "-1",
        ".5",
        "0x1f",
        "no",
        "Y",
        "2024-01-01",
    ],
)
def test_what_any_reader_could_type_is_quoted(text: str) -> None:
    assert dump_yaml({"k": text}) == f'k: "{text}"\n'


def test_writing_is_stable_and_readable() -> None:
    document = {
        "login": "1001",
        "name": "Front desk",
        "opts": {"ap_devices": [{"mac": "001565aabbcc", "line": 2}]},
        "reg": False,
        "x": None,
    }
    assert dump_yaml(document).splitlines() == [
        'login: "1001"',
        "name: Front desk",
        "opts:",
        "  ap_devices:",
        '  - mac: "001565aabbcc"',
        "    line: 2",
        "reg: false",
        "x: null",
    ]


def test_writing_never_uses_anchors() -> None:
    shared = {"a": "b"}
    assert "&" not in dump_yaml({"x": shared, "y": shared})


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        lambda each: (
            st.lists(each, max_size=3)
            | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), each, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_any_document_reads_back_or_is_refused(value: object) -> None:
    document = {"k": value}
    assert load_yaml(decode(dump_yaml(document).encode())) == document


def test_aliases_and_merge_keys() -> None:
    text = "b: &b {x: 1, y: 2}\nc: &c {y: 3, z: 4}\nd: {<<: [*b, *c], x: 9}\ne: *b\nf: {<<: *c}\n'<<': q\n"
    assert load_yaml(text) == {
        "b": {"x": "1", "y": "2"}, "c": {"y": "3", "z": "4"}, "d": {"x": "9", "y": "2", "z": "4"},
        "e": {"x": "1", "y": "2"}, "f": {"y": "3", "z": "4"}, "<<": "q",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is given twice"),
        ("a:\n  x: 1\n  x: 2\n", 3, "'x' is given twice"),
        ("a: {<<: &b {x: 1}}\nb:\n  <<: *b\n  <<: *b\n", 5, "twice"),
        ("a: 1\nb: !!python/object/apply:os.system [x]\n", 2, "tag"),
        ("a: 1\nb: !!int 5\n", 2, "tag"),
        ("a: 1\n\nb: *nobody\n", 3, "alias"),
        ("a: &a\n  b: *a\n", 2, "alias"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\n? [x]\n: 2\n", 2, "key"),
        ("a: {<<: x}\n", 1, "merges"),
        ("a: 1\n b: 2\n", 2, "not YAML"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not YAML"),
        ("a: 'x\n", 2, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("x: " + "[" * 70, 1, "30 levels"),
        ("x: " + "[" * 100_000, 1, "30 levels"),
    ],
)
def test_what_is_refused_names_the_line(text: str, line: int, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        load_yaml(text)
    assert caught.value.line == line


def test_an_alias_bomb_is_refused() -> None:
    bomb = "a0: &a0 [x, x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)
    )
    with pytest.raises(DocumentError, match="aliases counted"):
        load_yaml(bomb)


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        ("a: 1".encode("utf-16"), 1, "UTF-8"),
        (b"a: 1\n\nb: \x00\n", 3, r"U\+0000"),
        (b"a: \x1b[0m", 1, r"U\+001B"),
        (b"x" * (MAX_BYTES + 1), None, "larger"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, line: int | None, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        decode(data)
    assert caught.value.line == line


def test_a_byte_order_mark_is_dropped() -> None:
    assert load_yaml(decode(b"\xef\xbb\xbfa: \xc3\xa9\n")) == {"a": "é"}


def test_an_empty_document_is_none() -> None:
    assert load_yaml("# nothing\n") is None


def test_json_keeps_numbers_as_typed() -> None:
    text = '{"a": 1e3, "b": 12345678901234567890, "c": 1.50, "d": true, \t"f": "\\ud83d\\ude00", "g": "017"}'
    assert load_json(text) == {
        "a": "1e3", "b": "12345678901234567890", "c": "1.50", "d": True, "f": "😀", "g": "017"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{"a": 1,\n "b": 2,\n "a": 3}', 3, "'a' is given twice"),
        ('{"a": 1,\n "b": 017}', 2, "not JSON"),
        ("[" * 100_000, None, "30 levels"),
        ('{"a": "\\ud83d\\ude00",\n"b": "\\ud83d"}', 2, "half of a surrogate pair"),
        ('{"a": 1,\n\n"\\uDE00": 1}', 3, "half of a surrogate pair"),
    ],
)
def test_json_that_is_refused(text: str, line: int | None, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        load_json(text)
    assert caught.value.line == line
