"""HTTP credentials: Digest as RFC 7616 computes it, Basic, nonces that end and are used once."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.errors import Reason
from era_ap.provisioning import credentials
from era_ap.provisioning.credentials import (
    NONCE_SECONDS,
    REALM,
    CredentialCheck,
    Credentials,
    Login,
    digest_challenges,
    read_parameters,
)

LOGIN = Login("phone", "pässword")
SOURCE = "203.0.113.9"
NOW = 1_800_000_000.0
TARGET = "/001565000001.cfg?x=1"


def digest(
    nonce: str,
    *,
    algorithm: str = "SHA-256",
    user: str = LOGIN.user,
    password: str = LOGIN.password,
    uri: str = TARGET,
    count: str | None = "00000001",
    method: str = "GET",
    realm: str = REALM,
) -> str:
    name = {"MD5": "md5", "SHA-256": "sha256"}[algorithm]

    def hashed(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    first, second = hashed(f"{user}:{realm}:{password}"), hashed(f"{method}:{uri}")
    middle = f"{nonce}:{count}:abc:auth" if count else nonce
    more = f', qop=auth, nc={count}, cnonce="abc"' if count else ""
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm={algorithm}, '
        f'response="{hashed(f"{first}:{middle}:{second}")}"{more}'
    )


def shown(header: str, *, basic: bool = False, method: str = "GET", target: str = TARGET) -> Credentials:
    return Credentials(header, method, target, basic)


@pytest.fixture
def check() -> CredentialCheck:
    return CredentialCheck((b"k" * 32,))


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("count", ["00000001", None])
def test_a_right_digest_is_taken_once(check: CredentialCheck, algorithm: str, count: str | None) -> None:
    header = digest(check.nonce(SOURCE, NOW), algorithm=algorithm, count=count)
    assert check.check(shown(header), LOGIN, SOURCE, NOW) is None
    assert check.check(shown(header), LOGIN, SOURCE, NOW) is Reason.CREDENTIALS_REPLAYED


def test_a_count_that_the_proof_does_not_cover_cannot_be_raised(check: CredentialCheck) -> None:
    header = digest(check.nonce(SOURCE, NOW), count=None)
    assert check.check(shown(header), LOGIN, SOURCE, NOW) is None
    assert check.check(shown(f"{header}, nc=00000002"), LOGIN, SOURCE, NOW) is Reason.CREDENTIALS_REPLAYED


def test_the_example_of_rfc_7616_is_computed_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 3.9.1, with the realm of the example."""
    monkeypatch.setattr(credentials, "REALM", "http-auth@example.org")
    header = (
        'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, qop=auth, '
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", '
        'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    asked = shown(header, target="/dir/index.html")
    check = CredentialCheck((b"k" * 32,))
    # The proof is right; only the nonce is not one of ours.
    assert check.check(asked, Login("Mufasa", "Circle of Life"), SOURCE, NOW) is Reason.CREDENTIALS_STALE
    assert check.check(asked, Login("Mufasa", "Circle of Lies"), SOURCE, NOW) is Reason.CREDENTIALS_WRONG


def test_the_count_must_rise(check: CredentialCheck) -> None:
    nonce = check.nonce(SOURCE, NOW)
    verdicts = [
        check.check(shown(digest(nonce, count=count)), LOGIN, SOURCE, NOW)
        for count in ("00000001", "00000002", "00000002", "00000001", "0000000a")
    ]
    assert verdicts == [None, None, Reason.CREDENTIALS_REPLAYED, Reason.CREDENTIALS_REPLAYED, None]


@pytest.mark.parametrize(
    "changed",
    [
        {"password": "wrong"},
        {"user": "other"},
        {"realm": "elsewhere"},
        {"uri": "/001565000002.cfg"},
        {"method": "POST"},
    ],
)
def test_a_digest_for_something_else_is_wrong(check: CredentialCheck, changed: dict[str, str]) -> None:
    header = digest(check.nonce(SOURCE, NOW), **changed)  # type: ignore[arg-type]
    assert check.check(shown(header), LOGIN, SOURCE, NOW) is Reason.CREDENTIALS_WRONG


def test_a_nonce_ends_and_belongs_to_its_source_and_key(check: CredentialCheck) -> None:
    nonce = check.nonce(SOURCE, NOW)
    assert check.check(shown(digest(nonce)), LOGIN, SOURCE, NOW + NONCE_SECONDS + 1) is (
        Reason.CREDENTIALS_STALE
    )
    assert check.check(shown(digest(nonce)), LOGIN, "203.0.113.10", NOW) is Reason.CREDENTIALS_STALE
    assert check.check(shown(digest("bm9uc2Vuc2U=")), LOGIN, SOURCE, NOW) is Reason.CREDENTIALS_STALE
    other = CredentialCheck((b"x" * 32, b"k" * 32))
    assert other.check(shown(digest(nonce)), LOGIN, SOURCE, NOW) is None  # another instance, key replaced


def test_a_forgotten_nonce_cannot_be_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "NONCES_REMEMBERED", 2)
    check = CredentialCheck((b"k" * 32,))
    headers = [digest(check.nonce(SOURCE, NOW + number)) for number in range(3)]
    for header in headers:
        assert check.check(shown(header), LOGIN, SOURCE, NOW + 3) is None
    assert check.check(shown(headers[0]), LOGIN, SOURCE, NOW + 3) is Reason.CREDENTIALS_STALE


def test_a_phone_without_a_login_is_refused_like_a_wrong_password(check: CredentialCheck) -> None:
    header = digest(check.nonce(SOURCE, NOW))
    assert check.check(shown(header), None, SOURCE, NOW) is Reason.CREDENTIALS_WRONG
    assert check.check(shown(basic("", "")), None, SOURCE, NOW) is Reason.CREDENTIALS_WRONG


def basic(user: str, password: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_basic_in_the_encodings_of_phones(check: CredentialCheck, encoding: str) -> None:
    header = basic(LOGIN.user, LOGIN.password, encoding)
    assert check.check(shown(header, basic=True), LOGIN, SOURCE, NOW) is None
    assert check.check(shown(header), LOGIN, SOURCE, NOW) is Reason.CREDENTIALS_WRONG  # asked for Digest
    wrong = shown(basic(LOGIN.user, "x"), basic=True)
    assert check.check(wrong, LOGIN, SOURCE, NOW) is Reason.CREDENTIALS_WRONG


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=300), st.booleans())
def test_no_header_raises(text: str, is_basic: bool) -> None:
    scheme = "Basic " if is_basic else "Digest "
    found = CredentialCheck((b"k",)).check(shown(scheme + text, basic=is_basic), LOGIN, SOURCE, NOW)
    assert found is Reason.CREDENTIALS_WRONG


def test_parameters_are_read_with_quotes_and_refused_when_doubled() -> None:
    assert read_parameters(r'a="x,\"y\"", B=z , c="="') == {"a": 'x,"y"', "b": "z", "c": "="}
    assert read_parameters('a=1, a="2"') == {}
    assert read_parameters('a="1') == {}


def test_challenges_offer_the_better_algorithm_first_and_phones_only_the_old_one() -> None:
    algorithms = [
        re.search("algorithm=([^,]+)", each) for each in digest_challenges("n", stale=False, md5_only=False)
    ]
    assert [found and found[1] for found in algorithms] == ["SHA-256", "MD5"]
    (one,) = digest_challenges("n", stale=True, md5_only=True)
    assert "algorithm=MD5" in one
    assert one.endswith("stale=true")
