"""Packed accounts are the accounts that were put in, whatever they hold and however long ago it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from era_ap.directory.model import Account, AccountKey, read_account
from era_ap.directory.notation import parse_login
from era_ap.directory.packed import Entry, PackedAccounts

scalars = some.none() | some.text(max_size=12)
documents = some.recursive(
    scalars,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
logins = some.text(min_size=1, max_size=8).filter(parse_login)


def account(login: str, document: dict[str, object], revision: str = "r1", domain: str = "a.com") -> Account:
    read, problems = read_account(domain, login, document, origin=f"{login}.yml", revision=revision)
    assert read is not None, problems
    return read


def facts(account: Account | None) -> tuple[object, ...]:
    assert account is not None
    fields = list(account.fields.items())
    return (account.key, fields, account.devices, account.registers, account.revision, account.origin)


@given(some.dictionaries(logins, some.dictionaries(some.text(max_size=6), documents, max_size=4), max_size=5))
def test_an_account_comes_back_as_it_was(given_documents: dict[str, dict[str, object]]) -> None:
    packed = PackedAccounts(recent=0)
    kept = {}
    for login, document in given_documents.items():
        own = {key: value for key, value in document.items() if key not in ("login", "domain", "opts", "ext")}
        devices = [{"mac": f"{number:012x}", "line": str(number)} for number in range(1, len(own) + 1)]
        kept[login] = account(login, {**own, "opts": {"ap_devices": devices}})
        packed.put(kept[login])
    for login, expected in kept.items():
        assert facts(packed.get(AccountKey("a.com", login))) == facts(expected)
    assert len(packed) == len(kept)


def test_text_that_only_json_can_say_is_kept() -> None:
    odd = {"name": "\ud800 \x00 \u2028 \t\n\r", "reg": "no", "list": [[], {}, None, ""]}
    packed = PackedAccounts(recent=0)
    packed.put(account("1", odd))
    assert facts(packed.get(AccountKey("a.com", "1"))) == facts(account("1", odd))


def test_the_last_ones_used_are_the_same_objects() -> None:
    packed = PackedAccounts(recent=2)
    first, second, third = (account(login, {}) for login in "123")
    for each in (first, second):
        packed.put(each)
    assert packed.get(first.key) is first
    packed.put(third)
    assert packed.get(first.key) is first
    assert packed.get(second.key) is not second


def test_a_known_revision_has_no_effect_and_what_was_known_is_told() -> None:
    packed = PackedAccounts()
    device = {"opts": {"ap_devices": [{"mac": "001565000001", "line": "2"}]}}
    assert packed.put(account("1", device)) == (None, True)
    known = Entry("1", "r1", (("001565000001", 2),))
    assert packed.put(account("1", {"name": "x"})) == (known, False)
    assert packed.put(account("1", {"name": "x"}, "r2")) == (known, True)
    assert packed.remove(AccountKey("a.com", "1")) == Entry("1", "r2", ())
    assert packed.remove(AccountKey("a.com", "1")) is None
    assert packed.get(AccountKey("a.com", "1")) is None


def test_an_odd_revision_is_told_apart_all_the_same() -> None:
    packed = PackedAccounts(recent=0)
    packed.put(account("1", {"name": "x"}, "a\tb\n"))
    assert packed.put(account("1", {"name": "y"}, "a\tb\n"))[1] is False
    assert packed.put(account("1", {"name": "y"}, "a\tb"))[1] is True
    found = packed.get(AccountKey("a.com", "1"))
    assert found is not None
    assert found.fields["name"] == "y"


def test_entries_come_by_login_and_only_of_one_domain() -> None:
    packed = PackedAccounts()
    for login in ("30", "4", "1"):
        packed.put(account(login, {}))
    packed.put(account("2", {}, domain="b.com"))
    assert [entry.login for entry in packed.entries("a.com")] == ["1", "30", "4"]
    assert list(packed.entries("c.com")) == []
    assert set(packed.domains) == {"a.com", "b.com"}


@pytest.mark.parametrize("block", [b"", b"damaged"])
def test_adopting_is_the_way_back_from_local_state(block: bytes) -> None:
    packed = PackedAccounts()
    for number in range(100):
        packed.put(account(f"{number:03}", {"name": str(number)}))
    copy = PackedAccounts()
    entries = []
    for place, image in sorted(packed.touched().items()):
        assert image is not None
        entries += copy.adopt(place, image.data())
    assert [entry.login for entry in entries] == [f"{number:03}" for number in range(100)]
    key = AccountKey("a.com", "042")
    assert facts(copy.get(key)) == facts(packed.get(key))
    if block:
        with pytest.raises(ValueError, match="no block"):
            copy.adopt(("z.com", b""), block)
    else:
        assert copy.adopt(("z.com", b""), block) == []
