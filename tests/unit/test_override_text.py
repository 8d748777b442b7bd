"""Overrides of text files: three forms, every dialect, all other bytes untouched (spec 8, E11, b8)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from filling import Clock, account, constants, fill, lines, rendering, scope

from era_ap.errors import Reason, Refused
from era_ap.provisioning.dialect import Dialect, detect, split_lines
from era_ap.provisioning.language import parse
from era_ap.provisioning.render import Budget, Effect, render

YEALINK = (
    "#!version:1.0.0.1\n# account.1.label = no\naccount.1.label = Bob  \n"
    "account.1.enable=1\n\nfeatures.dnd = 1\n"
)
MITEL = "# Mitel\nsip line1 user name: 101\n!sip line1 password: pw\n^time: 1\nproxy: http://x:1\n"
CISCO = 'image_version: "P0S"\nline1_name: "101"   # first\nsync: 1\n'
AVAYA = '## Avaya\nSET APPNAME x.bin\nGET 46xxsettings.txt\nSET SIPDOMAIN "a.example.com"\n'
NORTEL = "# 12xx\nSIP_DOMAIN1 example.com\nSERVER_PORT1_1 5060\n"
PANASONIC = '# Panasonic SIP Phone Standard Format File #\r\nSIP_PASS_1="pw"\r\nDISPLAY_NAME_1="Bob"\r\n'
INI = "[dns]\naddr = 1.1.1.1\n\n[sip]\naddr = 2.2.2.2\nport = 5060\n"
FANVIL = (
    "<<VOIP CONFIG FILE>>Version:2.0002\n\n<SIP CONFIG MODULE>\n--SIP Line List--  :\n"
    "SIP1 Phone Number  :101\nSIP1 Display Name  :Bob\n\n<PHONE FEATURE MODULE>\nTime Zone          :12\n\n"
    "<<END OF FILE>>\n"
)


def overridden(text: str, override: object) -> str:
    return fill(text, lines=lines(account(override=override)))


@pytest.mark.parametrize(
    ("text", "override", "expected"),
    [
        (YEALINK, {"account.1.label": "Reception"}, YEALINK.replace("= Bob  ", "= Reception  ")),
        (YEALINK, {"account.1.enable": False}, YEALINK.replace("enable=1", "enable=false")),
        (YEALINK, {"features.dnd": None}, YEALINK.replace("features.dnd = 1\n", "")),
        (YEALINK, {"features.dnd": ""}, YEALINK.replace("dnd = 1\n", "dnd = \n")),
        (YEALINK, {"nope": None}, YEALINK),
        (YEALINK, {"lang.gui": "Русский"}, YEALINK + "lang.gui = Русский\n"),
        ("a=1\r\nb=2", {"c": 3}, "a=1\r\nb=2\r\nc=3\r\n"),
        ("a=1\n\n\n", {"c": "3"}, "a=1\nc=3\n\n\n"),
        ("a = 1\na = 2\n", {"a": "x"}, "a = x\na = x\n"),
        ("a = 1\nA = 2\n", {"A": "x"}, "a = 1\nA = x\n"),
        ("a = 1 # not a comment\n", {"a": "x"}, "a = x\n"),
        ("url = http://x/?a=1\n", {"url": "y=2"}, "url = y=2\n"),
        (MITEL, {"sip line1 password": "x"}, MITEL.replace("password: pw", "password: x")),
        (
            MITEL,
            {"proxy": "y:2", "time": "2"},
            MITEL.replace("http://x:1", "y:2").replace("^time: 1", "^time: 2"),
        ),
        (MITEL, {"a b": "c"}, MITEL + "a b: c\n"),
        (
            CISCO,
            {"line1_name": "102", "sync": "2"},
            CISCO.replace('"101"', '"102"').replace("sync: 1", "sync: 2"),
        ),
        (CISCO, {"line1_name": '"102"'}, CISCO.replace('"101"', '"102"')),
        (AVAYA, {"SIPDOMAIN": "b c"}, AVAYA.replace('"a.example.com"', '"b c"')),
        (AVAYA, {"APPNAME": "a b"}, AVAYA.replace("x.bin", '"a b"')),
        (AVAYA, {"NEW": "a b", "NEW2": "c"}, AVAYA + 'SET NEW "a b"\nSET NEW2 "c"\n'),
        (NORTEL, {"SERVER_PORT1_1": "5061", "X": "1"}, NORTEL.replace("5060", "5061") + "X 1\n"),
        (PANASONIC, {"SIP_PASS_1": 'a"b'}, PANASONIC.replace('"pw"', '"a"b"')),
        (PANASONIC, {"NTP_ADDR": "x"}, PANASONIC + 'NTP_ADDR="x"\r\n'),
        (INI, {"[sip] addr": "3"}, INI.replace("2.2.2.2", "3")),
        (INI, {"addr": "3"}, INI.replace("1.1.1.1", "3")),
        (INI, {"[DNS] domain": "x"}, INI.replace("1.1.1.1\n", "1.1.1.1\ndomain = x\n")),
        (INI, {"[sntp] addr": "x", "[sntp] zone": "3"}, INI + "[sntp]\naddr = x\nzone = 3\n"),
        (INI, {"[sip] addr": None}, INI.replace("addr = 2.2.2.2\n", "")),
        (FANVIL, {"SIP1 Display Name": "Al"}, FANVIL.replace(":Bob", ":Al")),
        (FANVIL, {"Time Zone Name": "UTC+3"}, FANVIL.replace(":12\n", ":12\nTime Zone Name     :UTC+3\n")),
        (FANVIL, {"[SIP CONFIG MODULE] X": "1"}, FANVIL.replace(":Bob\n", f":Bob\n{'X':19}:1\n")),
        (FANVIL, {"[NEW MODULE] X": "1"}, FANVIL.replace(":12\n", f":12\n<NEW MODULE>\n{'X':19}:1\n")),
    ],
)
def test_object_form(text: str, override: object, expected: str) -> None:
    assert overridden(text, override) == expected


def pairs(*given: tuple[str, object]) -> list[dict[str, object]]:
    return [{"path": path, "value": value} for path, value in given]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (pairs(("k", "x")), "k=x\nk=2\nz=3\n"),
        (pairs(("k", "x"), ("k", "y"), ("k", "w")), "k=x\nk=y\nz=3\nk=w\n"),
        (pairs(("k", None), ("k", "y")), "k=y\nz=3\n"),
        (pairs(("k", "x"), ("k", None)), "k=x\nz=3\n"),
        (pairs(("n", "1"), ("n", "2")), "k=1\nk=2\nz=3\nn=1\nn=2\n"),
        ([], "k=1\nk=2\nz=3\n"),
    ],
)
def test_list_form(override: object, expected: str) -> None:
    assert overridden("k=1\nk=2\nz=3\n", override) == expected


@pytest.mark.parametrize(
    ("text", "override", "expected"),
    [
        (
            YEALINK,
            "account.1.label = New\n\n# note\nx=1",
            YEALINK.replace("= Bob  ", "= New  ") + "# note\nx=1\n",
        ),
        ("k=1\nk=2\n", "k=x\n", "k=x\nk=x\n"),
        ("k=1\nk=2\n", "k=x\nk=y\nk=z\n", "k=x\nk=y\nk=z\n"),
        (INI, "[sip]\nport = 1\nnew = 2\n[x]\ny = 1", INI.replace("5060\n", "1\nnew = 2\n") + "[x]\ny = 1\n"),
        (
            MITEL,
            "proxy: a=b\nsip line1 user name = 7",
            MITEL.replace("http://x:1", "a=b").replace("101", "7"),
        ),
        (
            AVAYA,
            'SET SIPDOMAIN "x"\nSIPDOMAIN2 = y',
            AVAYA.replace("a.example.com", "x") + "SIPDOMAIN2 = y\n",
        ),
        (PANASONIC, 'SIP_PASS_1="x"\nSIP_Y="z"', PANASONIC.replace('"pw"', '"x"') + 'SIP_Y="z"\r\n'),
        (YEALINK, "\n \n", YEALINK),
    ],
)
def test_string_form(text: str, override: str, expected: str) -> None:
    assert overridden(text, override) == expected


def test_values_are_expanded_and_data_in_them_is_data() -> None:
    found = account(
        display_name="[include.i]\nx = 1",
        override={"a": "<[sipuser.display_name]|[include.i]|[constants.c]>"},
    )
    sources = constants(site={"c": "[sipuser.login]"})
    text = fill("a = 0\n", {"i": "two\nlines"}, lines=lines(found), constants=sources)
    assert text == "a = <[include.i] x = 1|two lines|101>\n"


def test_a_string_may_include_lines() -> None:
    found = account(x="1\ny=2", override="[include.fix]b=[sipuser.x]")
    assert fill("a=0\n", {"fix": "a=9\nz=8\n"}, lines=lines(found)) == "a=9\nz=8b=1 y=2\n"
    found = account(x="1\ny=2", override="[include.fix]\nb=[sipuser.x]")
    assert fill("a=0\n", {"fix": "a=9\nz=8\n"}, lines=lines(found)) == "a=9\nz=8\nb=1 y=2\n"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ({"a": {"b": "c"}}, Reason.OVERRIDE_FORM),
        ({"a": ["b"]}, Reason.OVERRIDE_FORM),
        (["a=1"], Reason.OVERRIDE_FORM),
        ([{"path": "a"}], Reason.OVERRIDE_FORM),
        ([{"path": "a", "value": "1", "x": "2"}], Reason.OVERRIDE_FORM),
        ([{"path": None, "value": "1"}], Reason.OVERRIDE_FORM),
        ({"a\nb": "1"}, Reason.OVERRIDE_FORM),
        ({"[s\u2028x] b": "1"}, Reason.OVERRIDE_FORM),
        ({"": "1"}, Reason.OVERRIDE_FORM),
        ({"a": "[sipuser."}, Reason.TEMPLATE_SYNTAX),
        ({"a": "[include.nope]"}, Reason.INCLUDE_MISSING),
    ],
)
def test_wrong_overrides_name_the_account(override: object, reason: Reason) -> None:
    with pytest.raises(Refused) as caught:
        overridden("a = 1\n", override)
    assert caught.value.reason is reason
    assert "101@a.example.com" in caught.value.detail


@pytest.mark.parametrize("text", ["", "# only\n; comments\n", "just words\n", "[section]\n"])
def test_a_file_without_keys_cannot_be_corrected(text: str) -> None:
    for override in ({"a": "1"}, "a = 1"):
        with pytest.raises(Refused) as caught:
            overridden(text, override)
        assert caught.value.reason is Reason.OVERRIDE_DIALECT


def test_overrides_are_the_primary_lines_only() -> None:
    found = lines(account(), account("102", override={"a": "2"}))
    assert fill("a = 1\n", lines=found) == "a = 1\n"


def test_trace_says_what_each_did() -> None:
    override = {"a": "2", "b": "3", "c": None, "d": None, "pin": "77"}
    found = rendering("a = 1\nc = 4\npin = 66\n", lines=lines(account(override=override)), trace=True)
    assert [(e.placeholder, e.before, e.value, e.effect) for e in found.trace] == [
        ("a", "1", "2", Effect.REPLACED),
        ("b", "", "3", Effect.ADDED),
        ("c", "4", "", Effect.REMOVED),
        ("d", "", "", Effect.NOTHING),
        ("pin", "***", "***", Effect.REPLACED),
    ]


def test_many_corrections_stop_at_the_time_limit() -> None:
    found = account(override={f"key{number}": "1" for number in range(1000)})
    with pytest.raises(Refused) as caught:
        render(parse("root", "a=1\n"), scope(lines=lines(found)), Budget(Clock(0.001)))
    assert caught.value.reason is Reason.TIME_LIMIT


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        (YEALINK, Dialect.EQUALS),
        (MITEL, Dialect.COLON),
        (CISCO, Dialect.COLON),
        (AVAYA, Dialect.SET),
        (NORTEL, Dialect.BLANK),
        (PANASONIC, Dialect.EQUALS),
        (INI, Dialect.EQUALS),
        (FANVIL, Dialect.COLON),
        ("a: b=c\nd: e\n", Dialect.COLON),
        ("a = b:c\n", Dialect.EQUALS),
    ],
)
def test_dialects(text: str, dialect: Dialect) -> None:
    assert detect([line for line, _ in split_lines(text)]) is dialect


def test_a_key_may_be_written_with_the_set_of_its_dialect() -> None:
    assert overridden("SET A 1\nSET B 2\n", {"SET B": "3"}) == "SET A 1\nSET B 3\n"


def test_a_fanvil_section_may_be_written_as_in_the_file() -> None:
    text = "<<VOIP CONFIG FILE>>Version:2\n<A MODULE>\nBar     :1\n<B MODULE>\nBar     :2\n<<END OF FILE>>\n"
    assert overridden(text, {"<B MODULE> Bar": "3"}) == text.replace("Bar     :2", "Bar     :3")


def test_a_side_file_is_not_corrected() -> None:
    corrected = scope(lines=lines(account(override={"a": "2"})))
    side = replace(corrected, is_corrected=False)
    template = parse("model.boot", "a = 1\n")
    assert render(template, corrected, Budget(Clock())).data == b"a = 2\n"
    assert render(template, side, Budget(Clock())).data == b"a = 1\n"
