"""era_ap.provisioning.override: the three written forms."""

from __future__ import annotations

import pytest

from era_ap.errors import Reason, Refused
from era_ap.provisioning.override import Correction, read


def test_forms() -> None:
    assert read({"a": 1, "b": None, "c": True}) == (
        Correction("a", "1"),
        Correction("b", None),
        Correction("c", "true"),
    )
    assert read("a = 1") == "a = 1"
    given = [{"path": "a", "value": "1"}, {"path": "b", "value": "2"}, {"path": "a", "value": None}]
    assert read(given) == (
        Correction("a", "1", 0, True),
        Correction("b", "2", 0, False),
        Correction("a", None, 1, True),
    )


@pytest.mark.parametrize("override", [None, "", {}, []])
def test_nothing(override: object) -> None:
    assert read(override) == ()


@pytest.mark.parametrize("override", [5, True, {"a": {}}, {"a": []}, [1], [{"path": "a", "values": 1}]])
def test_other_forms_are_refused(override: object) -> None:
    with pytest.raises(Refused) as caught:
        read(override)
    assert caught.value.reason is Reason.OVERRIDE_FORM
