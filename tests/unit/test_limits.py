"""What files of a model can carry: values in templates are escaped, blanked or refused by name."""

from __future__ import annotations

import pytest
from filling import account, constants, lines, rendering

from era_ap.errors import Reason, Refused
from era_ap.provisioning.layout import Layout
from era_ap.provisioning.models_file import parse
from era_ap.provisioning.render import Rendering


def layout(dialect: str) -> Layout:
    models, problems = parse(f"phone: {{dialect: {{{dialect}}}}}")
    assert problems == ()
    found = models.layout("phone")
    assert found is not None
    return found


def filled(text: str, dialect: str, site: dict[str, str] | None = None, **fields: object) -> Rendering:
    found = lines(account(**fields))  # type: ignore[arg-type]
    return rendering(
        text,
        {"i.inc": "[sipuser.x]"},
        lines=found,
        layout=layout(dialect),
        constants=constants(site=site or {}),
    )


def refusal(text: str, dialect: str, site: dict[str, str] | None = None, **fields: object) -> Refused:
    with pytest.raises(Refused) as refused:
        filled(text, dialect, site, **fields)
    return refused.value


QUOTES = "forbidden: '\"'"


def test_a_working_value_that_cannot_be_carried_refuses_the_file_and_is_named() -> None:
    refused = refusal('PASS="[sipuser.x]"', QUOTES, x='se"cret')
    assert refused.reason is Reason.VALUE_FORBIDDEN
    assert "[sipuser.x]" in refused.detail
    assert "'\"'" in refused.detail
    assert "secret" not in refused.detail.replace('"', "")


@pytest.mark.parametrize("field", ["name", "label", "display_name", "ext.description"])
def test_a_text_that_is_only_shown_gets_a_blank_and_a_warning(field: str) -> None:
    fields = {"ext": {"description": 'a"b'}} if "." in field else {field: 'a"b'}
    result = filled(f'NAME="[sipuser.{field}]"', QUOTES, **fields)
    assert result.data == b'NAME="a b"'
    assert [problem.reason for problem in result.warnings] == [Reason.VALUE_CHANGED]


def test_constants_and_what_they_bring_in_are_values_too() -> None:
    assert refusal("[constants.c]", QUOTES, {"c": 'a"b'}).reason is Reason.VALUE_FORBIDDEN
    assert refusal("[constants.c]", QUOTES, {"c": "<[sipuser.x]>"}, x='"').reason is Reason.VALUE_FORBIDDEN
    assert refusal("[include.i.inc]", QUOTES, x='"').reason is Reason.VALUE_FORBIDDEN


def test_the_templates_own_text_is_not_looked_at() -> None:
    assert filled('"[include.i.inc]"', QUOTES, x="a").data == b'"a"'


def test_a_value_that_only_chooses_is_not_looked_at() -> None:
    assert filled("[constants.[sipuser.x]]", QUOTES, {'"': "found"}, x='"').data == b"found"


def test_separators_matter_to_keys_only() -> None:
    assert filled("[sipuser.x]", "separators: ';'", x="a;b").data == b"a;b"


def test_an_escaped_character_is_allowed() -> None:
    dialect = "forbidden: '\"\\', escape: {'\"': '\\\"', '\\': '\\\\'}"
    assert filled("[sipuser.x]", dialect, x='a"b\\c').data == b'a\\"b\\\\c'


def test_escapes_come_before_those_of_xml() -> None:
    assert filled("<a>[sipuser.x]</a>", "escape: {'+': '&'}", x="a+b<").data == b"<a>a&amp;b&lt;</a>"


def test_text_is_written_in_the_encoding_of_the_dialect() -> None:
    assert filled("ß [sipuser.x]", "encoding: iso-8859-1", x="é").data == "ß é".encode("latin-1")
    assert refusal("[sipuser.x]", "encoding: iso-8859-1", x="ж").reason is Reason.VALUE_FORBIDDEN
    assert filled("[sipuser.name]", "encoding: iso-8859-1", name="aжb").data == b"a b"
    assert refusal("ж", "encoding: iso-8859-1").reason is Reason.OUTPUT_ENCODING


def test_lines_that_are_too_long_refuse_the_file() -> None:
    text = "12345678\nK=[sipuser.x]\n"
    assert filled(text, "line_length: 8", x="123456").data == b"12345678\nK=123456\n"
    refused = refusal(text, "line_length: 8", x="1234567")
    assert refused.reason is Reason.LINE_LENGTH
    assert refused.detail == "line 2 has 9 characters, more than 8"


def test_a_model_without_limits_has_none() -> None:
    found = lines(account(x='"\\;|'))
    assert rendering("[sipuser.x]", lines=found).data == b'"\\;|'
