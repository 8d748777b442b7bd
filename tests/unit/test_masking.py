"""era_ap.masking: which names are secrets."""

from __future__ import annotations

import pytest

from era_ap.masking import is_secret, mask, mask_pairs


@pytest.mark.parametrize(
    "path",
    [
        *(
            "password",
            "sipuser.password",
            "opts.web_pw",
            "pass",
            "ext.pin",
            "auth",
            "ext.auth_code",
            "Secret",
        ),
        *("account.1.password", "SIP1 Register Pswd", "SIP_PASS_1", "Admin_Passwd", "FORCE_SIP_PASSWORD"),
        *(
            "Config.Account1.GENERAL.Pwd",
            "reg.1.auth.password",
            "sip line1 password",
            "http_pass",
            "userPassword",
        ),
        *("//user_pass[@idx='1']", "//P34", "/gs_provision/config/P2", "P406", "AUTOLOGIN_PASSWD_KEY01"),
        *("RegisterPswd", "MenuPassword", "static.security.user_password", "api_token"),
    ],
)
def test_secrets(path: str) -> None:
    assert is_secret(path)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "login",
            "display_name",
            "account.1.label",
            "auth_name",
            "reg.1.auth.userId",
            "SIP_AUTHID_1",
            "P35",
        ),
        *(
            "compass",
            "passage",
            "pinned",
            "opining",
            "linekey.1.value",
            "P20",
            "P3400",
            "ntp.server",
            "blf.number",
        ),
    ],
)
def test_no_secrets(path: str) -> None:
    assert not is_secret(path)


def test_a_mask_tells_nothing_about_the_value() -> None:
    assert mask("a") == mask("a very long secret") != "a"
    assert mask("") == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=x", "password=***"),
        ("?user=joe&http_pass=x&model=T46S", "?user=joe&http_pass=***&model=T46S"),
        ("http://joe:x@host/a b://c:d@e", "http://joe:***@host/a b://c:***@e"),
        ("/a=b/00156500aa01.cfg", "/a=b/00156500aa01.cfg"),
        ("password=", "password="),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
    ],
)
def test_secrets_that_a_text_names_itself(text: str, shown: str) -> None:
    assert mask_pairs(text) == shown
