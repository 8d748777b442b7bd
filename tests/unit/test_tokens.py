"""Temporary addresses: what a token allows, to whom, how long; and that nothing else opens it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.errors import Reason
from era_ap.provisioning.tokens import SKEW_SECONDS, Grant, claimed_mac, issue, verify

KEY, OLD, STRANGE = b"a" * 32, b"b" * 32, b"c" * 32
MAC = "001565000001"
NAME = f"{MAC}.cfg"
SOURCE = "192.0.2.7"
NOW = 1_800_000_000.0
END = NOW + 600


def token(path: str = "", source: str = SOURCE, key: bytes = KEY) -> str:
    return issue(key, MAC, path, source, END)


def check(text: str, **changed: object) -> Grant | Reason:
    arguments = {
        "keys": (KEY,),
        "token": text,
        "mac_of_name": MAC,
        "path": NAME,
        "source": SOURCE,
        "now": NOW,
    }
    return verify(**(arguments | changed))  # type: ignore[arg-type]


def test_the_phone_may_fetch_as_often_as_it_likes_until_the_end() -> None:
    text = token()
    for now in (NOW, NOW + 1, END, END + SKEW_SECONDS):
        assert check(text, now=now) == Grant(MAC, SOURCE, int(END))
    assert check(text, now=END + SKEW_SECONDS + 1) is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"source": "192.0.2.8"}, Reason.TOKEN_SOURCE),
        ({"source": ""}, Reason.TOKEN_SOURCE),
        ({"source": "2001:db8::7"}, Reason.TOKEN_SOURCE),
        ({"mac_of_name": "001565000002", "path": "001565000002.cfg"}, Reason.TOKEN_MAC),
        ({"keys": (STRANGE,)}, Reason.TOKEN_FORGED),
        ({"now": END + 3600}, Reason.TOKEN_EXPIRED),
    ],
)
def test_each_refusal_has_its_reason(changed: dict[str, object], reason: Reason) -> None:
    assert check(token(), **changed) is reason


def test_the_source_may_be_written_in_any_way() -> None:
    assert isinstance(check(token(source="::ffff:192.0.2.7")), Grant)
    text = token(source="2001:db8::7")
    assert len(text) == 68
    assert isinstance(check(text, source="2001:DB8:0::7"), Grant)
    assert isinstance(check(text, source="2001:db8::7%eth0"), Grant)


@pytest.mark.parametrize(
    ("scope", "path", "allowed"),
    [
        ("", "a/b/c.cfg", True),
        ("a/", "a/b/c.cfg", True),
        ("/A/B/", "a/b/c.cfg", True),
        ("a", "a/b/c.cfg", False),
        ("b/", "a/b/c.cfg", False),
        ("a/b/c.cfg", "A/b/C.CFG", True),
        ("a/b/c.cfg", "a/b/c.cfg/d", False),
        ("a/b/c.cfg", "c.cfg", False),
        ("", "", True),
    ],
)
def test_a_token_is_for_a_file_or_a_folder(scope: str, path: str, allowed: bool) -> None:
    verdict = check(token(scope), mac_of_name=None, path=path)
    assert verdict is Reason.TOKEN_PATH if not allowed else isinstance(verdict, Grant)


def test_a_replaced_key_still_verifies_and_the_new_one_signs() -> None:
    assert isinstance(check(token(key=OLD), keys=(KEY, OLD)), Grant)
    assert isinstance(check(token(key=KEY), keys=(KEY, OLD)), Grant)
    assert check(token(key=OLD), keys=(KEY,)) is Reason.TOKEN_FORGED


def test_no_single_bit_can_be_changed() -> None:
    text = token()
    raw = base64.urlsafe_b64decode(text)
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        forged = base64.urlsafe_b64encode(bytes(changed)).decode()
        assert check(forged) in (Reason.TOKEN_FORGED, Reason.TOKEN_MALFORMED), bit


def test_a_token_is_url_safe_and_has_one_text() -> None:
    text = token()
    assert len(text) == 52
    assert text.replace("-", "").replace("_", "").isalnum()
    assert check(text + "=") is Reason.TOKEN_MALFORMED
    assert check(text + "A") is Reason.TOKEN_MALFORMED
    assert check(text[:-1] + "é") is Reason.TOKEN_MALFORMED


@given(st.text(max_size=200))
def test_no_text_raises_and_none_is_believed(text: str) -> None:
    assert check(text) in (Reason.TOKEN_MALFORMED, Reason.TOKEN_FORGED)
    assert claimed_mac(text) is None or len(text) in (52, 68)


def test_the_mac_can_be_read_without_the_key() -> None:
    assert claimed_mac(token()) == MAC


@pytest.mark.parametrize(("mac", "source"), [("0015", SOURCE), (MAC, "phone"), (MAC, "")])
def test_what_is_no_mac_or_address_gets_no_token(mac: str, source: str) -> None:
    with pytest.raises(ValueError, match="a token needs"):
        issue(KEY, mac, "", source, END)
