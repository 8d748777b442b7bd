"""The table of what the packs cover is that of the packs as they are; its questions can be answered no."""

from __future__ import annotations

import pytest
from pack_features import BEGIN, DEVICE, END, README, TELEPHONY, cell, folders, forms, with_section

FEATURES = TELEPHONY | DEVICE


def test_the_readme_has_the_table_of_the_packs_as_they_are() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_section(text) == text, "the packs have changed; deploy/coverage writes the table anew"


def test_a_readme_without_the_marks_is_told_apart_from_a_table_that_is_not_current() -> None:
    with pytest.raises(ValueError, match=r"README\.rst has no lines"):
        with_section(f"{BEGIN}\n")
    assert with_section(f"above\n{BEGIN}\nold\n{END}\nbelow\n").startswith(f"above\n{BEGIN}\n\nWhat")


@pytest.mark.parametrize("folder", ["generic-text", "generic-xml"])
def test_the_packs_to_start_from_have_everything_but_pages(folder: str) -> None:
    assert [name for name, feature in FEATURES.items() if cell(folder, feature) != "yes"] == ["Pages"]


@pytest.mark.parametrize(
    ("folder", "feature", "expected"),
    [
        ("ale", "Syslog", ""),
        ("ale", "No reg", ""),
        ("digium", "No reg", "yes"),
        ("digium", "Pages", "yes"),
        ("akuvox", "Web", ""),
        ("akuvox", "Cars", ""),
        ("htek", "Cars", "yes"),
        ("snom", "Cars", "some"),
        ("snom", "No reg", ""),
        ("grandstream", "Cars", "some"),
        ("yealink", "BLF", "yes"),
    ],
)
def test_what_is_known_of_a_pack_is_found_out(folder: str, feature: str, expected: str) -> None:
    assert cell(folder, FEATURES[feature]) == expected


def test_every_pack_gives_its_phones_lines_by_way_of_the_gate() -> None:
    assert {cell(folder, FEATURES["Proxy"]) for folder in folders()} == {"yes"}
    assert {forms(folder) for folder in folders()} == {"text", "xml", "text xml"}
