"""Who may have what belongs to a phone, through the provisioner that every transport asks."""

from __future__ import annotations

import base64
import ipaddress as ip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era_ap.config import HttpAuth
from era_ap.errors import Reason
from era_ap.provisioning.credentials import Credentials
from era_ap.provisioning.request import FileRequest, Refusal, Ticket, Transport
from era_ap.provisioning.tokens import issue
from era_ap.provisioning.trust import Trust, TrustPolicy
from tests.unit.memory_site import FAR, KEY, MAC, NEAR, OTHER, UNKNOWN, MemorySite, policy

NAME = f"{MAC}.cfg"


def ticket(site: MemorySite, path: str = "", source: str = FAR, mac: str = MAC) -> Ticket:
    return Ticket(issue(KEY, mac, path, source, site.wall + 600))


def basic(user: str, password: str) -> Credentials:
    return Credentials(
        "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode(), "GET", "/", basic=True
    )


@pytest.mark.parametrize("transport", [Transport.TFTP, Transport.HTTP, Transport.HTTPS])
def test_a_mac_is_enough_on_private_networks_only(transport: Transport) -> None:
    site = MemorySite()
    for near in (NEAR, "127.0.0.1", "169.254.3.4", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1"):
        assert isinstance(site.ask(NAME, near, transport), bytes), near
    for far in (FAR, "2001:db8::1", "100.64.0.1", "", "phone"):
        assert site.ask(NAME, far, transport) is Reason.MAC_NOT_ENOUGH, far


@given(
    address=st.ip_addresses(),
    networks=st.lists(st.tuples(st.ip_addresses(), st.integers(0, 32)), max_size=3),
)
def test_near_is_what_lies_in_a_network(
    address: ip.IPv4Address | ip.IPv6Address,
    networks: list[tuple[ip.IPv4Address | ip.IPv6Address, int]],
) -> None:
    near = [ip.ip_network((of, length), strict=False) for of, length in networks]
    trust = Trust(TrustPolicy((KEY,), {Transport.TFTP: near}), wall=lambda: 0.0)
    meant = getattr(address, "ipv4_mapped", None) or address
    for text in (str(address), address.exploded):
        assert trust.is_near(Transport.TFTP, text) is any(meant in network for network in near)


def test_the_command_line_is_trusted() -> None:
    assert isinstance(MemorySite().ask(NAME, "", Transport.CLI), bytes)


@pytest.mark.parametrize("auth", list(HttpAuth))
@pytest.mark.parametrize("proof", [None, basic("u", "p")])
def test_a_stranger_cannot_tell_a_known_mac_from_an_unknown_one(
    auth: HttpAuth, proof: Credentials | None
) -> None:
    site = MemorySite(policy(auth), devices={MAC: {"http_password": "x"}, OTHER: {}})
    site.ask(NAME)  # what is kept for phones nearby must not give it away
    for extension in (".cfg", ".boot", ".nothing", "-own.bin"):
        names = [f"{mac}{extension}" for mac in (MAC, OTHER, UNKNOWN)]
        found = {site.ask(name, FAR, proof=proof) for name in names}
        assert len(found) == 1, found
        assert found <= {
            Reason.MAC_NOT_ENOUGH, Reason.CREDENTIALS_NEEDED, Reason.CREDENTIALS_WRONG
        }  # fmt: skip


def test_a_ready_made_file_with_a_mac_in_its_name_is_that_phones() -> None:
    site = MemorySite()
    name = f"custom/{MAC}-own.bin"
    assert site.ask(name) == b"own"
    assert site.ask(name, FAR) is Reason.MAC_NOT_ENOUGH
    assert site.ask(name, FAR, proof=ticket(site)) == b"own"
    assert site.ask(name, FAR, proof=ticket(site, mac=OTHER)) is Reason.TOKEN_MAC


def test_files_of_no_phone_are_for_everybody() -> None:
    site = MemorySite()
    assert site.ask("fw/T46S.rom", FAR) == b"firmware" * 100
    assert site.ask("common.cfg", FAR) == b"ntp = 192.0.2.1\n"


def test_a_refusal_of_a_stranger_is_not_kept_for_the_phone() -> None:
    site = MemorySite()
    for peer, served in itertools.product((FAR, NEAR), (False, True)):
        assert isinstance(site.ask(NAME, peer), bytes) is (peer == NEAR), served


def test_a_ticket_opens_the_phones_files_and_nothing_else() -> None:
    site = MemorySite()
    good = ticket(site)
    assert isinstance(site.ask(NAME, FAR, proof=good), bytes)
    assert isinstance(site.ask("common.cfg", FAR, proof=good), bytes)
    assert site.ask(f"{OTHER}.cfg", FAR, proof=good) is Reason.TOKEN_MAC
    assert site.ask(f"{UNKNOWN}.cfg", FAR, proof=good) is Reason.TOKEN_MAC
    assert site.ask(NAME, "203.0.113.10", proof=good) is Reason.TOKEN_SOURCE
    assert site.ask("../x", FAR, proof=good) is Reason.NAME_TRAVERSAL
    assert site.ask(NAME, FAR, proof=Ticket("x")) is Reason.TOKEN_MALFORMED
    # A ticket that does not hold is no help nearby either: whoever shows one means it.
    assert site.ask(NAME, NEAR, proof=good) is Reason.TOKEN_SOURCE
    site.wall += 700
    assert site.ask(NAME, FAR, proof=good) is Reason.TOKEN_EXPIRED


def test_a_ticket_for_one_file_is_for_that_file() -> None:
    site = MemorySite()
    good = ticket(site, path=NAME)
    assert isinstance(site.ask(NAME.upper(), FAR, proof=good), bytes)
    assert site.ask("fw/T46S.rom", FAR, proof=good) is Reason.TOKEN_PATH


def test_credentials_of_the_phone_go_before_those_of_the_site() -> None:
    site = MemorySite(
        policy(HttpAuth.BASIC),
        constants={"http_user": "all", "http_password": "common"},
        devices={
            MAC: {"http_user": "me", "http_password": "mine"},
            OTHER: {},
            "001565000003": {"http_password": "3"},
        },
    )
    assert site.ask(NAME, FAR) is Reason.CREDENTIALS_NEEDED
    assert isinstance(site.ask(NAME, FAR, proof=basic("me", "mine")), bytes)
    assert site.ask(NAME, FAR, proof=basic("all", "common")) is Reason.CREDENTIALS_WRONG
    assert isinstance(site.ask(f"{OTHER}.cfg", FAR, proof=basic("all", "common")), bytes)
    assert isinstance(site.ask("001565000003.cfg", FAR, proof=basic("001565000003", "3")), bytes)
    assert site.ask(f"{UNKNOWN}.cfg", FAR, proof=basic("all", "common")) is Reason.MAC_UNKNOWN


def test_tftp_knows_no_credentials() -> None:
    site = MemorySite(policy(HttpAuth.BASIC))
    assert site.ask(NAME, FAR, Transport.TFTP) is Reason.MAC_NOT_ENOUGH


@pytest.mark.parametrize(
    ("auth", "basic_only", "takes_basic"),
    [
        (HttpAuth.BASIC, False, True),
        (HttpAuth.DIGEST, True, False),
        (HttpAuth.VENDOR, True, True),
        (HttpAuth.VENDOR, False, False),
    ],
)
def test_which_scheme_is_asked_for(auth: HttpAuth, basic_only: bool, takes_basic: bool) -> None:
    assert MemorySite(policy(auth)).trust.takes_basic(basic_only=basic_only) is takes_basic


def test_other_networks_take_effect_at_once() -> None:
    site = MemorySite()
    assert isinstance(site.ask(NAME), bytes)
    site.trust.replace(policy(keys=(b"x" * 32,)).__class__((b"x" * 32,), {}, HttpAuth.NONE))
    assert site.ask(NAME) is Reason.MAC_NOT_ENOUGH
    assert site.ask(NAME, FAR, proof=ticket(site)) is Reason.TOKEN_FORGED


# --- what a phone says beside the name


def test_the_query_counts_only_where_the_name_says_nothing() -> None:
    site = MemorySite()
    mine = site.ask(NAME)
    assert site.ask("prov.php", query=f"mac={MAC.upper()}") == mine
    assert site.ask("prov.php", query=f"x=1&name=SEP{MAC}") == mine
    for name in ("", "prov", "prov.cfg", "prov/x.xml", "snomD785.htm", "X.TXT"):
        assert site.ask(name, query=f"mac={MAC}") == mine, name
    for name in ("fw/T46S.bin", "sip.ld", "ring.wav", "logo.png"):
        assert site.ask(name, query=f"mac={MAC}") is Reason.TEMPLATE_MISSING, name
        assert site.ask("prov.cfg", mac_hint=MAC) is Reason.TEMPLATE_MISSING
    assert site.ask(NAME, query=f"mac={OTHER}") == mine
    assert site.ask("prov.php", query=f"mac={UNKNOWN}") is Reason.MAC_UNKNOWN
    assert site.ask("prov.php", FAR, query=f"mac={MAC}") is Reason.MAC_NOT_ENOUGH
    assert site.ask("fw/T46S.rom", FAR, query=f"mac={MAC}") == b"firmware" * 100


def test_a_hint_counts_only_where_the_name_says_nothing() -> None:
    site = MemorySite()
    mine = site.ask(NAME)
    assert site.ask("T46S.cfg", mac_hint=MAC) == mine
    assert site.ask("", mac_hint=MAC) == mine
    assert site.ask("settings.xml", mac_hint=MAC) == b"<a>101</a>"
    assert site.ask(f"{OTHER}.cfg", mac_hint=MAC) != mine
    assert site.ask("common.cfg", mac_hint=MAC) == b"ntp = 192.0.2.1\n"
    assert site.ask("fw/T46S.rom", mac_hint=MAC) == b"firmware" * 100
    assert site.ask("T46S.cfg", FAR, mac_hint=MAC) is Reason.MAC_NOT_ENOUGH
    assert site.ask("fw/T46S.rom", FAR, mac_hint=MAC) == b"firmware" * 100


@pytest.mark.parametrize("name", ["sip.ld", "logo.bmp", "fw/T46S-66.rom", "favicon.ico"])
def test_a_phone_that_asks_for_firmware_never_gets_a_configuration(name: str) -> None:
    assert MemorySite().ask(name, mac_hint=MAC) is Reason.TEMPLATE_MISSING


def test_the_mac_of_a_folder_ticket_stands_in_for_one_in_the_name() -> None:
    site = MemorySite()
    assert site.ask("", FAR, proof=ticket(site), mac_hint=MAC) == site.ask(NAME)


# --- uploads


@pytest.mark.parametrize("name", [f"{MAC}-app.log", "core.bin", "", "../x"])
def test_a_stranger_may_not_upload(name: str) -> None:
    site = MemorySite()
    refusal = site.provisioner.judge_upload(FileRequest(name, FAR, Transport.HTTP))
    assert isinstance(refusal, Refusal)


def test_who_is_near_or_has_a_ticket_may_upload() -> None:
    site = MemorySite()
    judge = site.provisioner.judge_upload
    assert judge(FileRequest(f"{MAC}-app.log", NEAR, Transport.HTTP)) is None
    assert judge(FileRequest("core.bin", NEAR, Transport.HTTP)) is None
    good = FileRequest(f"{MAC}-app.log", FAR, Transport.HTTP, proof=ticket(site))
    assert judge(good) is None
