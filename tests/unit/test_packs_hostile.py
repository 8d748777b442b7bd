"""Hostile account data in every pack: it changes no line and no element, and reads back as it was."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from packs import filled, lines_of, scope_of, template_of, vendor_of

from era_ap.errors import Reason, Refused
from era_ap.provisioning.escape import legal, text_safe
from era_ap.provisioning.render import Budget, render

HOSTILE = (
    "[include.secret]",
    'Bob & "Alice" <x>',
    "a\nb=1",
    "a\r\nP2=x",
    "Ы" * 2048,
    "]]>",
    "-->",
    "[constants.domain]",
    "{position}",
)
# The separator of Snom's keys is left out: what becomes of it is another test's matter.
character = st.characters(codec="utf-8", exclude_characters="|")
text = st.one_of(st.sampled_from(HOSTILE), st.text(character, min_size=1, max_size=40))
shapes = st.sampled_from(["T46S", "T30", "T28P", "D735", "GXP2170", "GRP2614", "GXP1628"])
WITH_MODULE = ("T46S", "D735", "GXP2170")


def rows(model: str, data: bytes) -> list[tuple[str, str]]:
    """Each setting with its value, and each label with the place it stands at."""
    if vendor_of(model) == "Yealink":
        parts = [line.partition(" = ") for line in data.decode().split("\n")]
        return [(key, value) for key, _, value in parts]
    found = []
    for place, element in enumerate(etree.fromstring(data).iter(tag=etree.Element)):
        found.append(
            (f"{place} {element.tag} {element.get('name')} {element.get('idx')}", element.text or "")
        )
        found += [(f"{place} @{key}", value) for key, value in element.items() if "label" in key]
    return found


@given(model=shapes, name=text, password=text, label=text, number=text)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_data_is_data_wherever_it_lands(
    model: str, name: str, password: str, label: str, number: str
) -> None:
    entry = {"number": number, "label": label}
    if model in WITH_MODULE:
        entry |= {"module": "1", "position": "4"}
    try:
        scope = scope_of(model, lines_of(model, 2, [entry], name=name, password=password))
        data = render(template_of(model), scope, Budget(lambda: 0.0)).data
    except Refused as refused:
        assert refused.reason is Reason.REQUIRED_MISSING
        assert not text_safe(password).strip()
        return
    benign = filled(model, 2, [{**entry, "number": "NUMBER", "label": "LABEL"}])
    before, after = rows(model, benign.data), rows(model, data)
    assert [place for place, _ in after] == [place for place, _ in before]
    safe = text_safe if vendor_of(model) == "Yealink" else legal
    expected = {"User 1": name, "User 2": name, "secret-1": password, "secret-2": password}
    expected |= {"LABEL": label, "NUMBER": number}
    for (place, was), (_, now) in zip(before, after, strict=True):
        if was in expected:
            assert now == safe(expected[was]), place
        else:
            assert now == was.replace("NUMBER", safe(number)), place
