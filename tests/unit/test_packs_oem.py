"""Fanvil, Htek, Escene and Flyingvoice: hostile account data is data, and missing constants do no harm."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from packs import filled, lines_of, scope_of, template_of

from era_ap.errors import Reason, Refused
from era_ap.provisioning.escape import legal, text_safe
from era_ap.provisioning.language import Kind
from era_ap.provisioning.render import Budget, render

HOSTILE = (
    "[include.secret]",
    'Bob & "Alice" <x>',
    "<<END OF FILE>>",
    "<SIP CONFIG MODULE>",
    "--SIP Line List--  :",
    "a\nSIP1 Register Addr :evil",
    "a\r\n<P2>x</P2>",
    "Ы" * 2048,
    "]]>",
    "-->",
    "'/><sipUser id='0",
    "201@2/f",
    "[constants.domain]",
    "{number}",
)
text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
shapes = st.sampled_from(["X4", "X5U", "i10S", "UC926", "UC926U", "ES320", "FIP13G"])
CUT = {"X4": 10}


def rows(kind: Kind, data: bytes) -> list[tuple[str, str]]:
    """Each setting with its value."""
    if kind is Kind.TEXT:
        return [(line.partition(":")[0], line) for line in data.decode().split("\n")]
    found = []
    for place, element in enumerate(etree.fromstring(data).iter(tag=etree.Element)):
        found.append((f"{place} {element.tag}", element.text or ""))
        found += [(f"{place} @{key}", str(value)) for key, value in element.items()]
    return found


@given(model=shapes, name=text, password=text, label=text, number=text)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_data_is_data_wherever_it_lands(
    model: str, name: str, password: str, label: str, number: str
) -> None:
    template = template_of(model)
    safe = text_safe if template.kind is Kind.TEXT else legal
    entry = {"number": number, "label": label}
    try:
        scope = scope_of(model, lines_of(model, 2, [entry], name=name, password=password))
        data = render(template, scope, Budget(lambda: 0.0)).data
    except Refused as refused:
        assert refused.reason is Reason.REQUIRED_MISSING
        assert not safe(password).strip()
        return
    benign = filled(model, 2, [{"number": "NUMBER", "label": "LABEL"}])
    before, after = rows(template.kind, benign.data), rows(template.kind, data)
    cut = label[: CUT.get(model)].rstrip() if model in CUT else label
    given = {"User 1": name, "User 2": name, "secret-1": password, "secret-2": password}
    given |= {"NUMBER": number, "LABEL": cut}
    assert len(after) == len(before)
    for (place, was), (there, now) in zip(before, after, strict=True):
        expected = was
        for word, value in given.items():
            if template.kind is not Kind.TEXT and was == word:
                expected = safe(value)
                break
            if word in was and (word in ("NUMBER", "LABEL") or template.kind is Kind.TEXT):
                expected = was.replace(word, safe(value))
                break
        assert now == expected, place
        assert there == place or template.kind is Kind.TEXT


@pytest.mark.parametrize("model", ["X4", "C62", "X5U", "i10S", "UC926", "UC926U", "ES320", "FIP13G", "P10"])
def test_without_any_constant_a_phone_gets_its_line_and_no_password_or_address_of_ours(model: str) -> None:
    scope = scope_of(model, lines_of(model, 1, None))
    constants = tuple(each for each in scope.constants if each.origin in ("models.yml", "daemon"))
    bare = replace(scope, constants=constants, missing_is_error=False)
    rendering = render(template_of(model), bare, Budget(lambda: 0.0))
    assert {problem.reason for problem in rendering.warnings} == {Reason.CONSTANT_MISSING}
    assert b"secret-1" in rendering.data
    for ours in (b"192.0.2.1/", b"192.0.2.1<", b"firmware", b"change-me", b"AdminPassword", b"Account1 N"):
        assert ours not in rendering.data
    assert b"vlan" not in rendering.data.lower()


OPTIONS = ("passwords", "provisioning", "firmware", "vlan", "phonebook")


@pytest.mark.parametrize(
    ("model", "option"),
    [
        (model, option)
        for model in ("X4", "X5U", "UC926", "UC926U", "FIP13G")
        for option in OPTIONS
        if (model, option) != ("X4", "phonebook")
    ],
)
def test_an_option_is_off_when_its_constant_is_empty(model: str, option: str) -> None:
    given = {"phonebook.url": "http://192.0.2.1/p.xml", "provisioning.proto": "http"}
    given |= {f"use.{each}": "" for each in OPTIONS}
    without = filled(model, **given).data
    assert len(filled(model, **(given | {f"use.{option}": option})).data) > len(without)
    with pytest.raises(Refused) as refused:
        filled(model, **(given | {f"use.{option}": "misspelled"}))
    assert refused.value.reason is Reason.INCLUDE_MISSING
