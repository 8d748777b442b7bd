"""Hostile account data in dialects with quotes: no value ends its quotes, adds a line, or lands elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from packs import lines_of, scope_of, template_of

from era_ap.errors import Reason, Refused
from era_ap.provisioning.escape import legal, text_safe
from era_ap.provisioning.render import Budget, Rendering, render

HOSTILE = (
    "[include.secret]",
    'Bob & "Alice" <x>',
    '"',
    'a"\r\nADMIN_PASS="x',
    'a"\nsip line1 proxy ip: 192.0.2.66',
    'a"\nSET APPNAME "x',
    "a#b",
    "a: b",
    "a;Type=line",
    "Ы" * 60,
    "]]>",
    "[constants.domain]",
    "{MAC} $MACADDR %MACD",
)
text = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
Rows = list[tuple[str, str]]


def lined(data: bytes, pattern: str) -> Rows:
    """Each line as place and value; a line that is not of the dialect's form has no place."""
    found = []
    for line in data.decode().replace("\r\n", "\n").rstrip("\n").split("\n"):
        match = re.fullmatch(pattern, line)
        found.append((match[1], match[2]) if match else ("", line))
    return found


def elements(data: bytes) -> Rows:
    found: Rows = []
    for number, element in enumerate(etree.fromstring(data).iter(tag=etree.Element)):
        found.append((f"{number} {element.tag}", element.text or ""))
        found += [(f"{number} {element.get('ID')} @{key}", value) for key, value in element.items()]
    return found


ROWS: dict[str, Callable[[bytes], Rows]] = {
    "6867i": lambda data: lined(data, r"([a-z][^:]*: )(.*)"),
    "KX-UT136": lambda data: lined(data, r"([A-Z0-9_]+=)(.*)"),
    "J179": lambda data: lined(data, r"(SET \S+ )(.*)"),
    "N510": elements,
    "Maxwell3": elements,
}
KEY = {
    "6867i": "topsoftkey1 ",
    "KX-UT136": "FLEX_BUTTON",
    "J179": "SET PHONEKEY ",
}
TOKENS = ("Qname", "Qpassword", "Qlabel", "Qnumber")


def phone(model: str, name: str, password: str, label: str, number: str) -> Rendering:
    entry = {"number": number, "label": label}
    scope = scope_of(model, lines_of(model, 1, [entry], name=name, password=password))
    return render(template_of(model), scope, Budget(lambda: 0.0))


@cache
def benign(model: str) -> Rows:
    return ROWS[model](phone(model, *TOKENS).data)


def without_key(model: str) -> Rows:
    """The rows of a phone whose key is left out; the button of its line stays."""
    return [
        (place, was)
        for place, was in benign(model)
        if not place.startswith(KEY[model]) or place.endswith("1=")
    ]


@pytest.mark.parametrize("model", ROWS)
@given(name=text, password=text, label=text, number=text)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_data_is_data_wherever_it_lands(
    model: str, name: str, password: str, label: str, number: str
) -> None:
    is_xml = ROWS[model] is elements
    try:
        rendering = phone(model, name, password, label, number)
    except Refused as refused:
        if refused.reason is Reason.REQUIRED_MISSING:
            assert not text_safe(password).strip()
        else:
            assert refused.reason is Reason.VALUE_FORBIDDEN
            assert '"' in password
        return
    assert '"' not in password or model == "Maxwell3"
    is_left_out = Reason.KEY_VALUE in {problem.reason for problem in rendering.warnings}
    before, after = without_key(model) if is_left_out else benign(model), ROWS[model](rendering.data)
    assert [place for place, _ in after] == [place for place, _ in before]
    shown = {}
    for token, value in zip(TOKENS, (name, password, label, number), strict=True):
        carried = legal(value) if is_xml else text_safe(value)
        carried = carried if model == "Maxwell3" else carried.replace('"', " ")
        in_key = model == "J179" and token in ("Qlabel", "Qnumber")
        shown[token] = carried.replace(";", " ") if in_key else carried
    cut = shown | {"Qlabel": shown["Qlabel"].rstrip()}  # where labels are cut, blanks at their end go too
    for (place, was), (_, now) in zip(before, after, strict=True):
        wanted = [re.sub("|".join(TOKENS), lambda match, v=each: v[match[0]], was) for each in (shown, cut)]
        assert now in wanted, place


@pytest.mark.parametrize("model", ["6867i", "KX-UT136", "J179", "N510", "N720"])
def test_a_password_with_a_quote_refuses_the_file_by_name(model: str) -> None:
    with pytest.raises(Refused) as refused:
        phone(model, "Anna", 'a"b', "x", "201")
    assert refused.value.reason is Reason.VALUE_FORBIDDEN
