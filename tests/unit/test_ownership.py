"""Whose phone a MAC is when other instances have seen more, or less, than this one."""

from __future__ import annotations

import pytest

from era_ap.directory.index import Conflict, DirectoryIndex, Phone
from era_ap.directory.model import Account, AccountKey, Device, Domain
from era_ap.directory.part import Part
from era_ap.directory.source import Change
from era_ap.discovery import _owner_of
from era_ap.errors import Reason, Refused
from era_ap.provisioning.ownership import Alone, owner_of
from era_ap.provisioning.provisioner import Filling, Provisioner
from era_ap.provisioning.request import FileRequest, Refusal, Transport
from era_ap.provisioning.scoping import Rules
from era_ap.sip.decision import Owner
from era_ap.store import Store
from tests.conftest import Site

MAC = "001565000001"
A, B, B2 = AccountKey("a.com", "101"), AccountKey("b.com", "201"), AccountKey("b.com", "202")


class Seen:
    """What other instances have seen."""

    def __init__(self, *keys: AccountKey) -> None:
        self.keys = tuple(sorted(keys))
        self.revision = 1

    def owners(self, mac: str) -> tuple[AccountKey, ...]:
        return self.keys if mac == MAC else ()


def index_of(*keys: AccountKey) -> DirectoryIndex:
    devices = (Device(MAC, "T46S", 1, None, None, {}),)
    index = DirectoryIndex()
    domains = tuple(Domain(name, {}, {}, (), "1", "") for name in sorted({key.domain for key in keys}))
    accounts = tuple(
        Account(key, {"login": key.login, "password": "s"}, devices, True, "1", "") for key in keys
    )
    index.apply(Change(accounts=accounts, domains=domains))
    return index


def outcome(own: tuple[AccountKey, ...], seen: tuple[AccountKey, ...]) -> object:
    """The lines, the claims, or the reason."""
    try:
        owner = owner_of(MAC, index_of(*own), Seen(*seen))
    except Refused as refused:
        return refused.reason
    if isinstance(owner, Conflict):
        return ("conflict", *owner.keys)
    return tuple(account.key for account, _ in owner.lines)


@pytest.mark.parametrize(
    ("own", "seen", "wanted"),
    [
        # nobody else has seen anything, or the same
        ((), (), Reason.MAC_UNKNOWN),
        ((A,), (), (A,)),
        ((A,), (A,), (A,)),
        ((A, B), (), ("conflict", A, B)),
        # others have seen what we have not
        ((), (A,), Reason.DIRECTORY_UNAVAILABLE),
        ((), (B, B2), Reason.DIRECTORY_UNAVAILABLE),
        ((), (A, B), ("conflict", A, B)),
        ((A,), (A, B), ("conflict", A, B)),
        ((B,), (B, B2), (B,)),
        # we have seen what others have not
        ((B, B2), (B,), (B, B2)),
        ((A,), (B,), (A,)),
        ((A, B), (A,), ("conflict", A, B)),
        ((AccountKey("c.com", "1"),), (A, B), (AccountKey("c.com", "1"),)),
    ],
)
def test_both_words_together(
    own: tuple[AccountKey, ...], seen: tuple[AccountKey, ...], wanted: object
) -> None:
    assert outcome(own, seen) == wanted


def test_a_refusal_names_who_lists_the_mac_and_that_others_saw_it() -> None:
    with pytest.raises(Refused, match=r"101@a\.com lists the MAC 001565000001, as another instance has seen"):
        owner_of(MAC, index_of(), Seen(A))


def test_without_a_directory_nothing_is_known() -> None:
    with pytest.raises(Refused) as caught:
        owner_of(MAC, None, Seen(A, B))
    assert caught.value.reason is Reason.DIRECTORY_UNAVAILABLE


def test_alone_a_directory_that_is_not_whole_may_know_it_later() -> None:
    index = index_of(A)
    index.replace(Part(), complete=False)
    with pytest.raises(Refused) as caught:
        owner_of(MAC, index, Alone())
    assert caught.value.reason is Reason.DIRECTORY_UNAVAILABLE


# --- in an answer


@pytest.fixture
def provisioner(site: Site) -> Provisioner:
    site.template("T46S.cfg", "a = 1\n")
    made = Provisioner(Rules(site="lab", master_domain="example.com"), lambda _: ())
    made.catalogue = Store(site.root / "storage", "lab", settle_seconds=0.0).scan()
    return made


def ask(provisioner: Provisioner) -> object:
    answer = provisioner.answer(FileRequest(f"{MAC}.cfg", "192.0.2.7", Transport.TFTP), 1000.0)
    return answer.reason if isinstance(answer, Refusal) else type(answer)


def test_an_answer_follows_what_others_see_at_once(provisioner: Provisioner) -> None:
    provisioner.directory = index_of()
    seen = Seen()
    provisioner.elsewhere = seen
    assert ask(provisioner) is Reason.MAC_UNKNOWN
    seen.keys, seen.revision = (A,), 2
    assert ask(provisioner) is Reason.DIRECTORY_UNAVAILABLE
    provisioner.directory = index_of(A)
    assert ask(provisioner) is Filling
    seen.keys, seen.revision = (A, B), 3
    assert ask(provisioner) is Reason.MAC_CONFLICT
    seen.keys, seen.revision = (A,), 4
    assert ask(provisioner) is Filling


def test_a_kept_file_is_not_given_again_once_others_see_a_conflict(provisioner: Provisioner) -> None:
    provisioner.directory = index_of(A)
    seen = Seen(A)
    provisioner.elsewhere = seen
    request = FileRequest(f"{MAC}.cfg", "192.0.2.7", Transport.TFTP)
    filling = provisioner.answer(request, 1000.0)
    assert isinstance(filling, Filling)
    provisioner.fill(filling, filling.render(lambda: 0.0, 0.5), 1000.0)
    assert ask(provisioner) is not Filling
    seen.keys, seen.revision = (A, B), 2
    assert ask(provisioner) is Reason.MAC_CONFLICT


def test_pnp_says_the_same(provisioner: Provisioner) -> None:
    assert _owner_of(provisioner, MAC) is Reason.DIRECTORY_UNAVAILABLE
    provisioner.directory = index_of(A)
    assert _owner_of(provisioner, MAC) == Owner("a.com", "101@a.com", "T46S")
    provisioner.elsewhere = Seen(A, B)
    assert _owner_of(provisioner, MAC) is Reason.MAC_CONFLICT
    provisioner.directory = index_of()
    provisioner.elsewhere = Seen(A)
    assert _owner_of(provisioner, MAC) is Reason.DIRECTORY_UNAVAILABLE
    provisioner.elsewhere = Alone()
    assert _owner_of(provisioner, MAC) is Reason.MAC_UNKNOWN


def test_a_phone_is_what_its_accounts_are() -> None:
    owner = owner_of(MAC, index_of(B2, B), Alone())
    assert isinstance(owner, Phone)
    assert [account.key for account, _ in owner.lines] == [B, B2]
