"""The Yealink pack: both dialects, boot files, keys in their areas, golden files."""

from __future__ import annotations

import re

import pytest
from packs import MAC, accounts_of, all_options, filled, golden, golden_file, keys, models, storage, types_of

from era_ap.errors import Reason

LINE = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+ = .*|#.*|", re.DOTALL)
REPEATED = {"static.security.user_password", "security.user_password"}


def values(data: bytes) -> list[tuple[str, str]]:
    """The settings of a file, which keeps to the dialect."""
    lines = data.decode().split("\n")
    assert lines[0] == "#!version:1.0.0.1"
    assert all(LINE.fullmatch(line) for line in lines), lines
    pairs = [line.partition(" = ") for line in lines if line and not line.startswith("#")]
    return [(key, value) for key, _, value in pairs]


@pytest.mark.parametrize("model", models("yealink"))
def test_every_model_keeps_to_its_dialect(model: str) -> None:
    accounts = accounts_of(model)
    for blf in (None, keys(model, accounts), keys(model, accounts, tuple(types_of(model)) or ("blf",))):
        found = values(filled(model, accounts, blf, **all_options()).data)
        names = [key for key, _ in found]
        assert {key for key in names if names.count(key) > 1} <= REPEATED
        assert all(value for key, value in found if not re.search(r"key\.\d+\.(value|extension|pickup)", key))


@pytest.mark.parametrize("full", [False, True], ids=["plain", "keys"])
@pytest.mark.parametrize(
    ("model", "accounts"), [(model, n) for model in ("T46S", "T31P", "T30", "T28P") for n in (1, 3)]
)
def test_a_model_gives_its_golden_file(model: str, accounts: int, full: bool) -> None:
    golden_file("yealink", model, min(accounts, accounts_of(model)), full, "cfg")


def test_the_golden_boot_file() -> None:
    golden("yealink", "T46S.boot", filled("T46S", kind="boot").data)


@pytest.mark.parametrize("model", [m for m in models("yealink") if "T46S" in storage().models.bases(m)])
def test_a_boot_file_names_the_common_file_and_the_phones_own(model: str) -> None:
    lines = filled(model, kind="boot").data.decode().splitlines()
    assert lines[0] == "#!version:1.0.0.1"
    assert [line for line in lines if line.startswith("include:")] == [
        "include:config <y000000000000.cfg>",
        f"include:config <{MAC}.cfg>",
    ]


def test_the_older_dialect_has_no_boot_file() -> None:
    assert not any(storage().template(f"{base}.boot") for base in storage().models.bases("T28P"))


@pytest.mark.parametrize(
    ("model", "name"), [("T46S", "account.1.sip_server.1.transport_type"), ("T28P", "account.1.transport")]
)
def test_the_transport_is_that_of_the_gate(model: str, name: str) -> None:
    for proto, value in (("udp", "0"), ("tcp", "1"), ("tls", "2")):
        assert dict(values(filled(model, **{"sg.proto": proto}).data))[name] == value


def test_a_phone_without_registration() -> None:
    off = dict(values(filled("T46S", **{"sg.register": "off"}).data))
    assert off["account.1.reg_fail_retry_interval"] == "1800"
    assert off["account.1.password"] == ""
    assert dict(values(filled("T28P", **{"sg.register": "off"}).data))["account.1.password"] == ""


@pytest.mark.parametrize(
    ("firmware", "key", "pickup"),
    [
        ("28.80.0.95", "security.user_name.admin", True),
        ("28.83.0.50", "static.security.user_name.admin", False),
    ],
)
def test_a_phone_of_old_firmware_gets_the_old_dialect(firmware: str, key: str, pickup: bool) -> None:
    found = dict(values(filled("T46G", 1, ["201"], firmware=firmware).data))
    assert found[key] == "admin"
    assert found["linekey.2.value"] == "201"
    assert ("linekey.2.pickup_value" in found) is pickup
    assert len([name for name in found if name.endswith("security.user_name.admin")]) == 1


def written(model: str, lines: int, blf: list[dict[str, str]]) -> dict[str, str]:
    found = values(filled(model, lines, blf).data)
    return {key: value for key, value in found if re.search(r"key\.\d+\.value", key)}


def test_keys_go_where_they_say_and_else_after_the_lines() -> None:
    blf = [
        {"number": "201"},
        {"number": "202", "position": "10"},
        {"number": "203", "module": "2", "position": "40"},
        {"number": "204", "module": "1"},
        {"number": "205", "position": "28"},
        {"number": "206", "area": "line"},
    ]
    assert written("T46S", 2, blf) == {
        "linekey.1.value": "101",
        "linekey.2.value": "102",
        "linekey.3.value": "201",
        "linekey.4.value": "206",
        "linekey.10.value": "202",
        "expansion_module.1.key.1.value": "205",
        "expansion_module.1.key.2.value": "204",
        "expansion_module.2.key.40.value": "203",
    }


def test_memory_keys_are_filled_before_line_keys() -> None:
    blf = [{"number": f"2{n:02}"} for n in range(1, 12)]
    found = written("T28P", 1, blf)
    assert found["memorykey.1.value"] == "201"
    assert found["memorykey.10.value"] == "210"
    assert found["linekey.2.value"] == "211"


def test_the_page_keys_of_a_side_car_stay_free() -> None:
    found = written("T27G", 1, keys("T27G", 1))
    assert {"expansion_module.1.key.1.value", "expansion_module.3.key.21.value"}.isdisjoint(found)
    assert "expansion_module.3.key.40.value" in found


@pytest.mark.parametrize(("model", "line"), [("T38G", "0"), ("T28P", "1")])
def test_some_models_count_accounts_from_0(model: str, line: str) -> None:
    assert dict(values(filled(model, 1, ["201"]).data))["memorykey.1.line"] == line


def test_types_have_their_codes() -> None:
    blf = [{"type": "speed dial", "number": "1"}, {"type": "dnd"}, {"type": "line", "line": "2"}]
    found = dict(values(filled("T46S", 2, blf).data))
    assert [found[f"linekey.{n}.type"] for n in (3, 4, 5)] == ["13", "5", "15"]
    assert (found["linekey.5.line"], found["linekey.5.value"]) == ("2", "102")
    assert found["linekey.3.extension"] == ""


def test_a_key_of_an_unknown_type_stays_empty() -> None:
    result = filled("T46S", 1, [{"type": "bfl", "number": "1"}, "2"])
    assert "linekey.2.value" not in dict(values(result.data))
    assert dict(values(result.data))["linekey.3.value"] == "2"
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_TYPE]
    assert "did you mean 'blf'?" in result.warnings[0].detail


def test_a_model_without_keys_says_so() -> None:
    result = filled("T30", 1, ["201"])
    assert result.data == filled("T30").data
    assert [problem.reason for problem in result.warnings] == [Reason.KEY_OVERFLOW]
