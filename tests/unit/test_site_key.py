"""The file with the site's key."""

from __future__ import annotations

from pathlib import Path

import pytest

from era_ap.errors import Reason, Refused
from era_ap.site_key import is_exposed, read_keys


def test_without_a_file_each_process_has_a_key_of_its_own() -> None:
    assert read_keys(None) != read_keys(None)
    assert len(read_keys(None)[0]) == 32


def test_the_newest_key_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"# site msk1\n{'a' * 64}\n\n  {'b' * 64}  \r\n")
    assert read_keys(file) == (b"a" * 64, b"b" * 64)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has 0 keys"),
        (b"# only a remark\n", "has 0 keys"),
        (b"short\n", "fewer than 32"),
        (b"a" * 64 + b"\nshort\n", "fewer than 32"),
        (b"\n".join([b"a" * 64] * 5), "has 5 keys"),
        (b"\xff" * 64, "is not text"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_key_says_why(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Refused, match=why) as refused:
        read_keys(file)
    assert refused.value.reason is Reason.KEY_FILE


def test_a_key_for_everybody_to_read_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a" * 64)
    file.chmod(0o600)
    assert not is_exposed(file)
    file.chmod(0o644)
    assert is_exposed(file)
    assert not is_exposed(tmp_path / "gone")
