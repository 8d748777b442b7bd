"""What every directory back end does, whatever it keeps its data in.

Owns the expectations; a back end's own test module derives a class from ``DirectoryContract`` and gives a
``backend`` fixture: an object with the three writing methods of ``YamlFiles`` and ``observe()``, which
returns what changed since the last call (a ``Change``, or None), once the back end has come to rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pytest

from era_ap.directory.index import Change, Conflict, DirectoryIndex, Phone
from era_ap.directory.model import AccountKey
from era_ap.errors import Refused

KEY = AccountKey("example.com", "1001")
MAC = "001565aabbcc"
AWKWARD = {
    "mac": "001122334455",
    "ext": "017",
    "flag": "no",
    "sci": "1e3",
    "tel": "+79991234567",
    "name": "Тест 😀 \"'&<\n",
}


class Backend(Protocol):
    def write_account(self, key: AccountKey, document: Mapping[str, object]) -> object: ...

    def write_domain(self, name: str, document: Mapping[str, object]) -> object: ...

    def remove_account(self, key: AccountKey) -> bool: ...

    def observe(self) -> Change | None: ...


def device(mac: str = MAC, **fields: object) -> dict[str, object]:
    return {"opts": {"ap_devices": [{"mac": mac, "device_model": "T46S", **fields}]}}


class DirectoryContract:
    """The tests; ``index`` is what a daemon would serve from."""

    @pytest.fixture
    def index(self) -> DirectoryIndex:
        return DirectoryIndex()

    def take(self, backend: Backend, index: DirectoryIndex) -> Change | None:
        change = backend.observe()
        if change is not None:
            index.apply(change)
        return change

    def test_an_account_comes_into_service(self, backend: Backend, index: DirectoryIndex) -> None:
        backend.write_domain("example.com", {"settings": {"ap_constants": {"ntp": {"server": "n1"}}}})
        backend.write_account(KEY, {"password": "s", **device()})
        self.take(backend, index)
        phone = index.phone_of(MAC)
        assert isinstance(phone, Phone)
        account, found = phone.lines[0]
        assert (account.key, found.model, account.fields["password"]) == (KEY, "T46S", "s")
        assert (account.fields["login"], account.fields["domain"]) == ("1001", "example.com")
        domain = index.domain("example.com")
        assert domain is not None
        assert domain.constants == {"ntp.server": "n1"}

    def test_text_stays_what_was_typed(self, backend: Backend, index: DirectoryIndex) -> None:
        backend.write_account(KEY, {"ext": AWKWARD, "list": ["08", None, [], {}]})
        self.take(backend, index)
        account = index.account(KEY)
        assert account is not None
        assert account.fields["ext"] == AWKWARD
        assert account.fields["list"] == ["08", None, [], {}]

    def test_nothing_changed_is_none(self, backend: Backend, index: DirectoryIndex) -> None:
        backend.write_account(KEY, device())
        assert self.take(backend, index) is not None
        assert self.take(backend, index) is None

    def test_writing_the_same_again_has_no_effect(self, backend: Backend, index: DirectoryIndex) -> None:
        backend.write_account(KEY, device())
        self.take(backend, index)
        revision = index.revision
        backend.write_account(KEY, device())
        self.take(backend, index)
        assert index.revision == revision

    def test_a_change_is_only_what_changed(self, backend: Backend, index: DirectoryIndex) -> None:
        for login in ("1001", "1002", "1003"):
            backend.write_account(AccountKey("example.com", login), {"name": "old"})
        self.take(backend, index)
        backend.write_account(AccountKey("example.com", "1002"), {"name": "new"})
        change = self.take(backend, index)
        assert change is not None
        assert [(each.key.login, each.fields["name"]) for each in change.accounts] == [("1002", "new")]
        assert (change.removed, change.domains, change.removed_domains) == ((), (), ())

    def test_a_new_revision_comes_with_new_content(self, backend: Backend, index: DirectoryIndex) -> None:
        backend.write_account(KEY, {"name": "old"})
        self.take(backend, index)
        before = index.account(KEY)
        backend.write_account(KEY, {"name": "new"})
        self.take(backend, index)
        after = index.account(KEY)
        assert before is not None
        assert after is not None
        assert before.revision != after.revision

    def test_a_removed_account_goes_out_of_service(self, backend: Backend, index: DirectoryIndex) -> None:
        backend.write_account(KEY, device())
        backend.write_account(AccountKey("example.com", "1002"), {})
        self.take(backend, index)
        assert backend.remove_account(KEY)
        change = self.take(backend, index)
        assert change is not None
        assert change.removed == (KEY,)
        assert index.phone_of(MAC) is None
        assert not backend.remove_account(KEY)

    def test_a_mac_in_two_domains_is_a_conflict(self, backend: Backend, index: DirectoryIndex) -> None:
        other = AccountKey("other.com", "7")
        backend.write_account(KEY, device())
        backend.write_account(other, device("00:15:65:AA:BB:CC"))
        self.take(backend, index)
        assert index.phone_of(MAC) == Conflict(MAC, (KEY, other))
        (problem,) = index.problems
        assert "1001@example.com" in problem.detail
        assert "7@other.com" in problem.detail

    def test_a_mac_that_moves_has_one_owner(self, backend: Backend, index: DirectoryIndex) -> None:
        other = AccountKey("other.com", "7")
        backend.write_account(KEY, device())
        self.take(backend, index)
        backend.write_account(KEY, {})
        backend.write_account(other, device())
        self.take(backend, index)
        assert index.owners(MAC) == (other,)

    @pytest.mark.parametrize("login", ["", " a", "a\n"])
    def test_an_impossible_login_is_refused(self, backend: Backend, login: str) -> None:
        with pytest.raises(Refused):
            backend.write_account(AccountKey("example.com", login), {})
        with pytest.raises(Refused):
            backend.remove_account(AccountKey("example.com", login))

    @pytest.mark.parametrize("name", ["", "..", "a/b", "Example.com", "-x"])
    def test_an_impossible_domain_is_refused(self, backend: Backend, name: str) -> None:
        with pytest.raises(Refused):
            backend.write_account(AccountKey(name, "1001"), {})
        with pytest.raises(Refused):
            backend.write_domain(name, {})

    @pytest.mark.parametrize("document", [{"opts": "x"}, {"login": "other"}, {"domain": "other.com"}])
    def test_what_could_not_be_read_is_not_written(
        self, backend: Backend, index: DirectoryIndex, document: dict[str, object]
    ) -> None:
        backend.write_account(KEY, {"name": "good"})
        with pytest.raises(Refused):
            backend.write_account(KEY, document)
        self.take(backend, index)
        account = index.account(KEY)
        assert account is not None
        assert account.fields["name"] == "good"
