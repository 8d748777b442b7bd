"""The DHCP files of deploy/dhcp with the real servers and a real client: lease, option 66, file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest
import yaml

from tests.conftest import MAC, Site
from tests.functional.namespaces import why_not
from tests.functional.office import DHCP, SERVER, URL, Office

FILES = ("dnsmasq.conf", "kea-dhcp4.conf", "dhcpd.conf", "mikrotik.rsc", "cisco-ios.txt")
SERVERS = ("dnsmasq", "kea-dhcp4", "dhcpd")
AVAYA = f"HTTPSRVR={SERVER},HTTPPORT=80"
OTHER = "020000000001"

needs_namespaces = [
    pytest.mark.functional,
    pytest.mark.netns,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    folder = tmp_path / "office"
    folder.mkdir()
    made = Office(folder)
    yield made
    made.close()


@pytest.fixture(params=SERVERS, scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("office"))
    try:
        made.start_dhcp(request.param)
        yield made
    finally:
        made.close()


class TestOffered:
    pytestmark = needs_namespaces

    @pytest.mark.parametrize(
        ("mac", "vendor_class", "wanted"),
        [
            ("001bd4000001", "Cisco Systems, Inc. IP Phone CP-7962G", SERVER),
            ("000e08000001", "LINKSYS SPA-942", SERVER),
            ("cc5a53000001", "CP-7841-3PCC", SERVER),
            ("000413000001", "snomD735", URL),
            ("0080f0000001", "Panasonic", URL),
            ("00085d000001", "AastraIPPhone6739i", URL),
            ("1400e9000001", "MitelIPPhone", URL),
            ("000fd3000001", "digium_D65_1_4_0_0_57389", URL),
            (MAC, "", URL),
            ("f01653000001", "", URL),
            ("c074ad000001", "", URL),
            ("0c383e000001", "", URL),
            ("001fc1000001", "", URL),
            ("64167f000001", "", URL),
            ("0c1105000001", "", URL),
            (OTHER, "", SERVER),
            (OTHER, "somebody else", SERVER),
        ],
    )
    def test_option_66(self, server: Office, mac: str, vendor_class: str, wanted: str) -> None:
        assert server.plug_in(mac, vendor_class).server == wanted

    def test_options_that_only_phones_ask_for(self, server: Office, request: pytest.FixtureRequest) -> None:
        lease = server.plug_in(OTHER, "")
        assert [lease.options[number] for number in (150, 160, 242)] == [SERVER, URL, AVAYA]
        if "kea" not in request.node.callspec.id:  # has another use for 159
            assert lease.options[159] == URL

    @pytest.mark.parametrize(
        ("mac", "vendor_class"),
        [(OTHER, "Gigaset_N720_DM_PRO"), (OTHER, "N510_IP_PRO"), ("7c2f80000001", "")],
    )
    def test_gigaset_and_nobody_else_gets_option_114(
        self, server: Office, mac: str, vendor_class: str
    ) -> None:
        assert server.plug_in(mac, vendor_class).options[114] == URL

    def test_a_computer_is_not_told_of_a_captive_portal(self, server: Office) -> None:
        lease = server.plug_in(OTHER, "MSFT 5.0")
        assert 114 not in lease.options
        assert lease.encapsulated == {}

    @pytest.mark.parametrize("vendor_class", ["AastraIPPhone55i", "MitelIPPhone"])
    def test_mitel_gets_its_server_in_option_43(self, server: Office, vendor_class: str) -> None:
        lease = server.plug_in(OTHER, vendor_class)
        assert lease.encapsulated == {2: URL.encode(), 3: b"\0"}

    def test_eltex_gets_its_server_in_option_43(self, server: Office) -> None:
        lease = server.plug_in("a8f94b000001", "")
        assert lease.encapsulated[5] == f"tftp://{SERVER}".encode()


class TestWholeWay:
    pytestmark = needs_namespaces

    @pytest.mark.parametrize("name", SERVERS)
    def test_from_the_socket_in_the_wall_to_the_file(
        self, office: Office, site: Site, daemon: Callable, name: str
    ) -> None:
        site.phone("102", OTHER)
        site.ext |= {"listen": ["0.0.0.0"], "http_port": 80, "http_listen": ["0.0.0.0"]}
        site.ext |= {"allow": ["192.0.2.0/24"], "mac_is_enough": {"tftp": True, "http": True}}
        config = site.configure()
        config.write_text(config.read_text().replace('"tftp_port": 0', '"tftp_port": 69'))
        office.start_dhcp(name)
        daemon(config, prefix=office.network.inside("srv")).wait_ready()
        lease = office.plug_in(MAC, "yealink")
        assert lease.server == URL
        assert office.fetch(f"{lease.server}{MAC}.cfg").startswith(b"user = 101\n")
        lease = office.plug_in(OTHER, "")
        assert lease.server == SERVER
        assert office.fetch(f"tftp://{lease.server}/{OTHER}.cfg").startswith(b"user = 102\n")


def test_the_prefixes_are_those_that_the_daemon_knows() -> None:
    known = yaml.load(resources.files("era_ap").joinpath("data/pnp.yml").read_text(), yaml.BaseLoader)
    for name in ("dnsmasq.conf", "kea-dhcp4.conf", "dhcpd.conf"):
        digits = set(re.findall(r"[0-9a-f]{6}", (DHCP / name).read_text().lower().replace(":", "")))
        for vendor in ("yealink", "grandstream", "fanvil", "htek", "akuvox", "eltex", "gigaset"):
            assert set(known[vendor]["oui"]) <= digits, (name, vendor)


@pytest.mark.parametrize("name", FILES)
def test_each_file_names_the_server_and_gives_what_phones_ask_for(name: str) -> None:
    text = (DHCP / name).read_text()
    assert {SERVER, URL, AVAYA} <= set(re.findall(rf"{URL}|{AVAYA}|{SERVER}", text.replace("\\\\", "")))
    for number in ("150", "160", "242"):
        assert re.search(rf"\b{number}\b", text)


@pytest.mark.parametrize("name", ["mikrotik.rsc", "cisco-ios.txt"])
def test_option_43_of_routers_is_the_url_with_its_length(name: str) -> None:
    text = (DHCP / name).read_text()
    wanted = bytes([2, len(URL)]) + URL.encode() + b"\x03\x01\x00"
    if name == "cisco-ios.txt":
        (digits,) = re.findall(r"option 43 hex ([0-9a-f.]+)", text)
        assert bytes.fromhex(digits.replace(".", "")) == wanted
    else:
        (head, url, tail) = re.findall(r"code=43 value=\"0x([0-9a-f]+)'([^']+)'0x([0-9a-f]+)\"", text)[0]
        assert bytes.fromhex(head) + url.encode() + bytes.fromhex(tail) == wanted
