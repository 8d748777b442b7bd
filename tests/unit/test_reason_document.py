"""deploy/reasons.rst says what the table of reasons says."""

from __future__ import annotations

from pathlib import Path

from era_ap.cli.reasons import document
from era_ap.errors import Reason

DOCUMENT = Path(__file__).parents[2] / "deploy" / "reasons.rst"


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "run: era-ap reasons --rst > deploy/reasons.rst"


def test_every_code_stands_in_it_once() -> None:
    lines = document().splitlines()
    assert sorted(line.strip("`") for line in lines if line.startswith("``")) == sorted(
        reason.code for reason in Reason
    )
