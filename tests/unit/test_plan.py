"""Plans: what is filled in by one is what the walk gives, for whatever phone the plan was made."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
from filling import account, constants, lines, scope
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packs import accounts_of, all_options, lines_of, models, scope_of, template_of, types_of
from sharing import MODEL, agree, outcome

from era_ap.errors import Problem, Reason, Severity
from era_ap.provisioning import planner
from era_ap.provisioning.expand import Expansion
from era_ap.provisioning.language import parse
from era_ap.provisioning.models_file import parse as parse_models
from era_ap.provisioning.plan import Plan
from era_ap.provisioning.planner import Plans
from era_ap.provisioning.render import Budget, ConstantSource, render

PLANNED = 3
"""Renderings after which there is a plan: the first asks, the second makes it, the third follows."""


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were made by plans."""
    texts: list[str] = []
    follow = Expansion.follow

    def noted(self: Expansion, plan: Plan) -> str:
        texts.append(follow(self, plan))
        return texts[-1]

    monkeypatch.setattr(Expansion, "follow", noted)
    return texts


# --- the packs

ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "number": st.sampled_from(["201", "", "sip:a&b@c", "2;3", '"', "é"]),
        "label": st.sampled_from(["Desk", "a long label, longer than any phone shows", "<&>'\"", "Ж", "\n"]),
        "value": st.sampled_from(["*8", "http://x/?a=1&b=2"]),
        "position": st.sampled_from(["1", "3", "x", "999"]),
        "module": st.sampled_from(["0", "1"]),
        "line": st.sampled_from(["1", "2", "7"]),
        "pickup": st.just("*9"),
    },
)


@given(data=st.data(), model=st.sampled_from(models()))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_phones_of_a_pack_share_plans(data: st.DataObject, model: str) -> None:
    given_types = st.sampled_from([*types_of(model)[:4], "none", "no such type"])
    entries = st.lists(ENTRY | st.builds(lambda entry, kind: {**entry, "type": kind}, ENTRY, given_types))
    phones = []
    for _ in range(2):
        count = data.draw(st.integers(1, accounts_of(model)))
        fields = {
            name: data.draw(st.sampled_from(["plain", "ß <&> ]]> -- \"'", "Ж;=#", " "]))
            for name in ("name", "password")
        }
        blf = data.draw(st.none() | entries | st.lists(st.sampled_from(["201", "202"])))
        phone = scope_of(model, lines_of(model, count, blf, **fields), **all_options())
        phones.append(replace(phone, missing_is_error=False))
    agree(template_of(model), phones)


@pytest.mark.parametrize("model", models())
def test_every_pack_has_a_plan(model: str, followed: list[str]) -> None:
    phone = scope_of(model, lines_of(model, accounts_of(model), ["201", {"number": "202"}]), **all_options())
    agree(template_of(model), [phone])
    assert followed


# --- the language

PIECES = st.sampled_from(
    [
        *("text ", "100%s ", "<!-- ", " -->", "<![CDATA[", "]]>", "\n", "<a>", "</a>"),
        *("[sipuser.login]", "[sipuser.ext.room]", "[sipuser.gone]", "[account.line]", "[account.base]"),
        *("[account.login]", "[account.gone]", "[blf.index]", "[blf.key]", "[blf.value]", "[blf.gone]"),
        "[blf.also]",
        *("[constants.a]", "[constants.deep]", "[constants.gone]", "[constants.domain]", "[constants.newid]"),
        *("[constants.phone.mac]", "[constants.[account.login]]", "[constants.[account.line]]"),
        *("[include.part-[constants.a].inc]", "[include.part-[blf.area].inc]", "[include.gone]"),
        *("[include.part-[sipuser.login].inc]", "[nslookup.host]", "[nslookup.[constants.domain]]"),
        *("[random.9]", "[random.[sipuser.login]]", "[accounts]", "\n[accounts]\n", "[blf]", "\n[blf]\n"),
    ]
)
TEXT = st.lists(PIECES, max_size=6).map("".join)
KEYS = [
    {"number": "201", "label": "Desk one"},
    {"number": "<2>", "type": "speeddial"},
    {"type": "url", "value": "x", "module": "1", "position": "2", "gone": "here"},
    {"position": "3", "type": "speed dial"},
]


@given(
    start=st.sampled_from(["", "<?xml version='1.0' encoding='iso-8859-1'?>", "<r>", "[include.part-a.inc]"]),
    texts=st.tuples(TEXT, TEXT, TEXT, TEXT, TEXT),
    end=st.sampled_from(["", "\n[blf]\n", "[accounts]", "\n[accounts]\n[blf]\n"]),
    missing=st.booleans(),
    has_layout=st.booleans(),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_phones_of_any_template_share_plans(
    start: str, texts: tuple[str, ...], end: str, missing: bool, has_layout: bool
) -> None:
    names = ("model.account", "model.blf", "part-a.inc", "part-line.inc", "part-101.inc")
    files = dict(zip(names, (*texts[:2], texts[2], "<b>", "c"), strict=True))
    found, _ = parse_models(MODEL)
    one = account(ext={"room": "<17>"}, blf=KEYS[:2], name="A")
    other = account("102", blf=[{**key, "number": "9"} for key in KEYS], ext={"room": "18"})
    shared: dict[str, object] = {
        "constants": constants(site={"a": "a", "deep": f"<{texts[3]}[constants.a]"}),
        "missing_is_error": missing,
        "layout": found.layout("model") if has_layout else None,
        "addresses": {"host": ("10.0.0.1", "10.0.0.2"), "a.example.com": None}.get,
        "new_id": lambda: "id",
    }
    phones = [
        scope(files, lines=given, own={"phone.mac": mac}, **shared)
        for mac, given in (("00aa", lines(one)), ("00bb", lines(other, one)), ("00cc", lines(one, other)))
    ]
    agree(parse("root", f"{start}{texts[4]}{end}"), phones)


def test_a_name_that_a_rule_computes_from_the_entry_is_the_entrys() -> None:
    layout = parse_models(MODEL)[0].layout("model")
    files = {"model.blf": "[blf.key] [blf.code] [blf.also]\n"}
    entries = [[{"type": "speeddial", "number": number}] for number in ("201", "202")]
    agree(
        parse("root", "[blf]\n"),
        [scope(files, lines=lines(account(blf=blf)), layout=layout) for blf in entries],
    )


@pytest.mark.parametrize("plans", [None, Plans(Plans())], ids=["walked", "planned"])
def test_a_rendering_leaves_nothing_to_the_garbage_collector(plans: Plans | None) -> None:
    """What thousands of them left would push everything else out of the processor's cache."""
    model = models()[0]
    phone = scope_of(model, lines_of(model, 1, ["201", {"number": "202"}]), **all_options())
    for _ in range(PLANNED):
        outcome(template_of(model), phone, plans)
    gc.collect()
    gc.disable()
    try:
        outcome(template_of(model), phone, plans)
        assert gc.collect() == 0
    finally:
        gc.enable()


# --- what a plan leaves to the walk


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("[include.[sipuser.login]]", {"101": "a", "102": "b"}),
        ("[constants.[sipuser.login]]", {}),
        ("<a>[accounts]</a>", {"model.account": "<![CDATA[[account.login]"}),
    ],
)
def test_what_differs_too_much_is_walked(text: str, files: dict[str, str], followed: list[str]) -> None:
    sources = constants(site={"101": "one", "102": "two"})
    phones = [scope(files, lines=lines(account(login)), constants=sources) for login in ("101", "102")]
    agree(parse("root", text), phones)
    assert not followed


@pytest.mark.parametrize(
    "limit",
    [{"expansions": 9}, {"expansions": 10}, {"output": 40}, {"output": 60}, {"depth": 0}, {"depth": 1}],
)
@pytest.mark.parametrize("blf", [["1", "2"], [{"number": "1"}, {"number": "2"}]], ids=["planned", "copied"])
def test_limits_are_those_of_the_walk(limit: dict[str, int], blf: list[object]) -> None:
    template = parse("root", "id = [sipuser.login]\n[include.part]\n[accounts]\n[blf]\n")
    files = {"part": "[constants.a]", "model.account": "[account.login]\n", "model.blf": "[blf.number]\n"}
    phone = scope(files, lines=lines(account(blf=blf)), constants=constants(site={"a": "aaaa"}))
    plans = Plans()
    for _ in range(PLANNED):
        outcome(template, phone, plans)
    budget = Budget(lambda: 0.0, **limit)
    for _ in range(PLANNED):
        assert outcome(template, phone, plans, budget) == outcome(template, phone, None, budget)


def test_a_note_about_a_constant_comes_in_its_place() -> None:
    note = Problem(Reason.TIMEZONE_NEAREST, "timezone", "near", Severity.WARNING)
    source = ConstantSource("zone", {"zone": "1"}, {"zone": note})
    phone = scope({"x1": "[sipuser.gone]"}, constants=(source,))
    template = parse("root", "[sipuser.no][include.x[constants.zone]][constants.zone]")
    agree(template, [phone])
    assert [each.reason for each in render(template, phone, Budget(lambda: 0.0)).warnings] == [
        Reason.FIELD_MISSING,
        Reason.TIMEZONE_NEAREST,
        Reason.FIELD_MISSING,
    ]


# --- how much is kept


def test_a_plan_is_made_at_the_second_time(followed: list[str]) -> None:
    plans, template, phone = Plans(), parse("root", "[sipuser.login]"), scope()
    outcome(template, phone, plans)
    assert followed == []
    outcome(template, phone, plans)
    assert followed == ["101"]


def test_plans_without_constants_are_made_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = parse_models(MODEL)[0].layout("model")
    files = {"model.blf": "[blf.key] [blf.value] [blf.label]\n"}
    phone = scope(files, lines=lines(account(blf=KEYS[:2])), layout=layout)
    common, template = Plans(), parse("root", "[blf]\n")
    for _ in range(PLANNED):
        outcome(template, phone, Plans(common))
    monkeypatch.setattr(planner.Planner, "flattened", lambda *_: pytest.fail("made again"))
    assert outcome(template, phone, Plans(common)) == outcome(template, phone, None)


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch, followed: list[str]) -> None:
    monkeypatch.setattr(planner, "MOST", 1)
    monkeypatch.setattr(planner, "FORMS", 1)
    template = parse("root", "[accounts]\n[blf]\n")
    files = {"model.account": "[account.line] [account.login]\n", "model.blf": "[blf.number]\n"}
    one, two = account(blf=["1"]), account("102", blf=["1", "2"])
    agree(template, [scope(files, lines=lines(one)), scope(files, lines=lines(two, one))])
    assert followed
