"""The virtual phone's data and what it refuses to do, without a network."""

import pytest

from era_ap.phone import Follow, Step, _listed, _Names, boot, profiles

NAMES = _Names("001565aabbcc", "T46S", {})


def test_the_known_vendors_are_complete() -> None:
    known = profiles()
    assert {
        "yealink",
        "snom",
        "grandstream",
        "polycom",
        "cisco-spa",
        "cisco-sep",
        "fanvil",
        "generic",
    } <= set(known)
    for profile in known.values():
        assert profile.steps
        assert profile.retries >= 1
        assert any("mac" in name.lower() for step in profile.steps for name in step.first_of)


def test_most_phones_send_no_option() -> None:
    assert all(not profile.options for profile in profiles().values())


def test_yealink_ends_with_its_boot_file() -> None:
    first = profiles()["yealink"].steps[0]
    assert first == Step(("{mac}.boot", "y000000000000.boot"), Follow.BOOT, ends=True, listed=True)


@pytest.mark.parametrize(
    ("vendor", "mac", "options", "words"),
    [
        ("acme", "001565aabbcc", {}, "unknown vendor 'acme'"),
        ("yealink", "00156", {}, "12 hex digits"),
        ("yealink", "001565aabbcc", {"windowsize": 4}, "possible: blksize, tsize"),
        ("yealink", "001565aabbcc", {"blksize": 4}, "8 to 65464"),
    ],
)
def test_what_cannot_be_asked_for_is_said(vendor: str, mac: str, options: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        boot(vendor, mac, "", "127.0.0.1", 9, options=options, timeout=0.1)


def test_an_ipv6_address_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="IPv4 only"):
        boot("generic", "001565aabbcc", "", "::1", 69)


def test_a_boot_file_lists_quoted_and_bracketed_names_for_this_model() -> None:
    text = b"""#!version:1.0.0.1
include:config "common.cfg"
include:config <y000000000066.cfg>
[T46S]include:config "mine.cfg"
[T21P]include:config "other.cfg"
# include:config "comment.cfg"
overwrite_mode = 1
"""
    assert list(_listed(Follow.BOOT, text, NAMES)) == ["common.cfg", "y000000000066.cfg", "mine.cfg"]


def test_a_snom_list_names_files_with_the_mac_in_upper_case() -> None:
    text = b'<setting-files><file url="a.xml"/><file url="{mac}.xml"/><file/></setting-files>'
    assert list(_listed(Follow.SETTING_FILES, text, NAMES)) == ["a.xml", "001565AABBCC.xml"]
    assert list(_listed(Follow.SETTING_FILES, b"<settings/>", NAMES)) == []
    assert list(_listed(Follow.SETTING_FILES, b"<broken", NAMES)) == []


def test_a_polycom_master_lists_files_with_macros() -> None:
    text = b'<APPLICATION CONFIG_FILES="site.cfg, [PHONE_MAC_ADDRESS]-reg.cfg,"/>'
    assert list(_listed(Follow.CONFIG_FILES, text, NAMES)) == ["site.cfg", "001565aabbcc-reg.cfg"]


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("001565aabbcc.cfg", True),
        ("SEP001565AABBCC.cnf.xml", True),
        ("00-15-65-AA-BB-CC.txt", True),
        ("cfg.xml", False),
    ],
)
def test_a_file_is_the_phones_own_if_its_name_has_the_mac(name: str, own: bool) -> None:
    assert NAMES.owns(name) is own
