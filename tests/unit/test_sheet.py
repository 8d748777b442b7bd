"""Sheets: what is copied into one is what the walk gives, for whatever phone the sheet was made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from filling import account, constants, lines, scope
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packs import accounts_of, all_options, lines_of, models, scope_of, template_of
from sharing import MODEL, agree, outcome

from era_ap.errors import Reason, Refused
from era_ap.provisioning import sheet
from era_ap.provisioning.language import parse
from era_ap.provisioning.meter import Meter
from era_ap.provisioning.models_file import parse as parse_models
from era_ap.provisioning.planner import Plans
from era_ap.provisioning.render import Budget, Scope, render
from era_ap.provisioning.sheet import Sheet


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were made by sheets."""
    texts: list[str] = []
    text = Sheet.text

    def noted(self: Sheet, phone: Scope, meter: Meter) -> str | None:
        made = text(self, phone, meter)
        texts.extend([made] if made is not None else [])
        return made

    monkeypatch.setattr(Sheet, "text", noted)
    return texts


# --- the packs

VALUE = st.sampled_from(
    [
        "plain",
        "201",
        "7",
        "",
        " ",
        "ß <&> ]]> -- \"'",
        "Ж;=#|,",
        "two\nlines",
        "\0000\0",
        "100%s",
        "*8{number}",
    ]
)


@given(data=st.data(), model=st.sampled_from(models()))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_phones_of_a_pack_share_sheets(data: st.DataObject, model: str) -> None:
    count = data.draw(st.integers(1, accounts_of(model)))
    names = st.lists(st.sampled_from(["number", "label", "value", "pickup", "remark"]), unique=True)
    shape = data.draw(st.lists(names, max_size=4))
    phones = []
    for _ in range(3):
        blf = [{name: data.draw(VALUE) for name in entry} for entry in shape]
        fields = {name: data.draw(VALUE) for name in ("name", "password")}
        phones.append(scope_of(model, lines_of(model, count, blf, **fields), **all_options()))
    agree(template_of(model), [replace(phone, missing_is_error=False) for phone in phones])


def test_most_packs_have_a_sheet(copied: list[str]) -> None:
    silent = 0
    for model in models():
        phone = scope_of(model, lines_of(model, 1, [{"number": "201", "label": "Desk"}]), **all_options())
        agree(template_of(model), [phone])
        silent += not render(template_of(model), phone, Budget(lambda: 0.0)).warnings
    assert len(copied) > 0.8 * silent


# --- the language

TEXT = st.lists(
    st.sampled_from(
        [
            *("text ", "<!-- ", " -->", "<![CDATA[", "]]>", "\n", "<a>", "</a>", "[sipuser.login]"),
            *("[account.line]", "[account.base]", "[account.name]", "[constants.a]", "[constants.domain]"),
            *(
                "[constants.phone.mac]",
                "[blf.index]",
                "[blf.key]",
                "[blf.value]",
                "[blf.label]",
                "[blf.login]",
            ),
            *("[blf.also]", "[account.gone]", "[constants.newid]", "[nslookup.host]", "[include.part-a.inc]"),
        ]
    ),
    max_size=4,
).map("".join)


@given(
    start=st.sampled_from(["", "<?xml version='1.0' encoding='iso-8859-1'?>", "<r>", "[include.part-a.inc]"]),
    texts=st.tuples(TEXT, TEXT, TEXT, TEXT),
    end=st.sampled_from(["\n[blf]\n", "[accounts]", "\n[accounts]\n[blf]\n"]),
    dialect=st.sampled_from(
        ["{}", "{label_length: 5}", "{forbidden: '\"', separators: ';', escape: {'a': b}}"]
    ),
    rule=st.sampled_from(["fixed", "'<{value}|{label}>'", "'{number:04}'", "[{start: 9}]"]),
    values=st.lists(st.lists(VALUE, min_size=4, max_size=4), min_size=3, max_size=3),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_phones_of_any_template_share_sheets(
    start: str, texts: tuple[str, ...], end: str, dialect: str, rule: str, values: list[list[str]]
) -> None:
    files = dict(zip(("model.account", "model.blf", "part-a.inc"), texts, strict=False))
    found, _ = parse_models(MODEL.replace("{label_length: 5}", dialect).replace("fixed", rule))
    phones = [
        scope(
            files,
            lines=lines(account(name=name, blf=[{"number": number, "label": label}, {"value": value}])),
            own={"phone.mac": name},
            reserved={"domain": value, "sg.addr": Refused(Reason.NO_GATE)},
            constants=constants(site={"a": "a"}),
            layout=found.layout("model"),
            addresses=lambda _name: ("10.0.0.1",),
            new_id=lambda: "id",
        )
        for name, number, label, value in values
    ]
    agree(parse("root", f"{start}{texts[3]}{end}"), phones)


# --- what a sheet leaves to the plan

ENTRIES = {"model.account": "[account.line] [account.name]\n", "model.blf": "[blf.key] [blf.label]\n"}


@pytest.mark.parametrize(
    ("fields", "sheets"),
    [
        ({"name": "A", "blf": [{"number": "1", "label": "Desk"}]}, 4),
        ({"name": "A", "blf": []}, 4),
        ({"name": "A", "blf": [{"number": "1", "label": ""}]}, 0),  # its number stands there
        ({"name": "", "blf": [{"number": "1", "label": "Desk"}]}, 0),
        ({"blf": [{"number": "1", "label": "Desk"}]}, 0),
        ({"name": {"first": "A"}, "blf": []}, 0),
        ({"name": "A", "blf": [{"number": "1", "label": {"ru": "Desk"}}]}, 0),
        ({"name": "A", "blf": [{"number": "1", "label": "Desk", "position": "2"}]}, 0),
        ({"name": "A", "blf": ["1"]}, 0),
        ({"name": "A", "blf": "1"}, 0),
        ({"name": "A", "blf": [], "override": {"a": "b"}}, 0),
    ],
)
def test_what_a_sheet_is_used_for(fields: dict[str, object], sheets: int, copied: list[str]) -> None:
    layout = parse_models(MODEL.replace("label_length: 5", ""))[0].layout("model")
    phones = [scope(ENTRIES, lines=lines(account(login, **fields)), layout=layout) for login in ("1", "2")]
    agree(parse("root", "[sipuser.login]\n[accounts]\n[blf]\n"), phones)
    assert len(copied) == sheets


def test_a_sheet_is_of_one_shape(copied: list[str]) -> None:
    layout = parse_models(MODEL.replace("label_length: 5", ""))[0].layout("model")
    one = account("1", name="A", blf=[{"number": "1", "label": "Desk"}])
    two = account("2", name="B", blf=[{"label": "Desk", "value": "2"}])
    template, plans = parse("root", "[accounts]\n[blf]\n"), Plans()
    for each in (lines(one), lines(two), lines(one, two), lines(two, one)) * 3:
        phone = scope(ENTRIES, lines=each, layout=layout)
        assert outcome(template, phone, plans) == outcome(template, phone, None)
    assert len(copied) == 4 * 3 - 1 - 4  # one was walked, and one of each shape showed the sheet


def test_keys_that_are_no_list_are_none_of_an_empty_one() -> None:
    agree(
        parse("root", "[sipuser.login]\n[blf]\n"),
        [scope(ENTRIES, lines=lines(account(blf=blf))) for blf in ([], {})],
    )


@pytest.mark.parametrize(
    "prefix", ["*8", "\0000\0", "\0", "\00099\0", f"\0{'9' * 5000}\0"], ids=lambda prefix: f"{len(prefix)}"
)
@pytest.mark.parametrize(
    "dialect", ["{}", "{escape: {'0': '1'}}", "{escape: {'1': '0'}}", "{forbidden: '0'}"]
)
def test_nothing_is_taken_for_the_value_of_another_field(prefix: str, dialect: str) -> None:
    layout = parse_models(MODEL.replace("{label_length: 5}", dialect))[0].layout("model")
    phones = [
        scope(
            ENTRIES | {"model.blf": "[blf.number] [blf.label] [blf.pickup]\n"},
            lines=lines(account("7", blf=[{"number": number, "label": label}])),
            constants=constants(domain={"pickup.prefix": prefix}),
            layout=layout,
        )
        for number, label in (("22", "Desk"), ("33", "Door"))
    ]
    agree(parse("root", "[blf]\n"), phones)


# --- how much is kept


def test_only_so_many_shapes_have_a_sheet(monkeypatch: pytest.MonkeyPatch, copied: list[str]) -> None:
    monkeypatch.setattr(sheet, "SHEETS", 1)
    one, two = account(), account("102")
    agree(
        parse("root", "[accounts]\n"),
        [scope(ENTRIES, lines=given) for given in (lines(one, two), lines(two))],
    )
    assert copied == []
    agree(parse("root", "[sipuser.login]"), [scope(lines=given) for given in (lines(one, two), lines(two))])
    assert copied == ["102", "102"]
