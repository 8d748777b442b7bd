"""HTTP of one instance: the temporary addresses it gives out, and what a reload changes."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from era_ap import config
from era_ap.admission import Admission, AdmissionPolicy
from era_ap.provisioning.tokens import Grant, verify
from era_ap.web.service import PhoneHttp
from tests.unit.memory_site import KEY, MAC, MemorySite

SOURCE = "192.0.2.7"


class Log:
    """Remembers what was logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, _level: str) -> Any:
        return lambda event, **fields: self.events.append((event, fields))

    def web(self, report: object) -> None:
        self.events.append(("report", {"report": report}))

    def defect(self, error: BaseException) -> None:
        raise error


def role(ext: str) -> config.ApRole:
    text = (
        "{site: lab, master_domain: example.com, storage: s, directory: 'yaml:d', "
        "roles: [{name: ap1, roletype: ap, iface: lo, group: 1, order: 1, ext: {%s}}]}"
    )
    return config.parse(text % ext, Path("/nowhere")).ap("ap1")


def service(ext: str, log: Log | None = None) -> PhoneHttp:
    site, log = MemorySite(), log or Log()
    admission = Admission(AdmissionPolicy())
    return PhoneHttp(
        role(ext), site, site.provisioner, site.trust, admission, log, log  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("listen", "local", "host"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.1", "127.0.0.1"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("0.0.0.0", "fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_temporary_address_names_us_as_the_phone_can_reach_us(listen: str, local: str, host: str) -> None:
    http = service(f"http_port: 0, http_listen: ['{listen}'], url_seconds: 60")
    http.bind()
    try:
        text = http.temporary_url(MAC, "", SOURCE, local)
        assert text is not None
        url = urlsplit(text)
        assert url.scheme == "http"
        assert url.hostname == host
        assert url.port
        _, start, token, name = url.path.split("/")
        assert (start, name) == ("p", "")
        now = time.time()
        assert isinstance(verify((KEY,), token, MAC, f"{MAC}.cfg", SOURCE, now), Grant)
        assert not isinstance(verify((KEY,), token, MAC, f"{MAC}.cfg", SOURCE, now + 100), Grant)
    finally:
        http.close()


def test_a_temporary_address_of_one_file_ends_with_its_name() -> None:
    http = service("http_port: 0, http_listen: [127.0.0.1]")
    http.bind()
    try:
        text = http.temporary_url(MAC, "snom D7-X.htm", SOURCE, "127.0.0.1")
        assert text is not None
        assert text.endswith("/snom%20D7-X.htm")
        token = text.split("/")[4]
        assert isinstance(verify((KEY,), token, MAC, "snom D7-X.htm", SOURCE, time.time()), Grant)
        assert not isinstance(verify((KEY,), token, MAC, f"{MAC}.cfg", SOURCE, time.time()), Grant)
    finally:
        http.close()


def test_without_http_there_is_no_temporary_address() -> None:
    http = service("")
    http.bind()
    assert http.temporary_url(MAC, "", SOURCE, "127.0.0.1") is None
    http.close()


def test_a_port_that_is_taken_is_the_whole_story() -> None:
    first = service("http_port: 0, http_listen: [127.0.0.1]", log := Log())
    first.bind()
    port = log.events[0][1]["port"]
    second = service(f"http_port: {port}, http_listen: [127.0.0.1]")
    try:
        with pytest.raises(OSError, match=f"cannot serve HTTP at 127.0.0.1 on port {port}: Address already"):
            second.bind()
    finally:
        first.close()
        second.close()


def test_an_address_that_is_not_ours_is_the_whole_story() -> None:
    http = service("http_port: 0, http_listen: [192.0.2.99]")
    with pytest.raises(OSError, match=r"cannot serve HTTP at 192.0.2.99 on port 0: Cannot assign"):
        http.bind()
    http.close()


def test_sockets_that_systemd_gives_are_used_instead_of_configured_ports() -> None:
    http = service("http_port: 1, http_listen: [192.0.2.99]", log := Log())
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    try:
        http.bind({"http": (sock,)})
        assert log.events == [("serving", {"transport": "http", "address": "127.0.0.1", "port": port})]
        assert f"http://127.0.0.1:{port}/p/" in str(http.temporary_url(MAC, "", SOURCE, "127.0.0.1"))
    finally:
        http.close()


def test_a_socket_for_https_needs_a_certificate() -> None:
    http = service("http_port: 1")
    with socket.create_server(("127.0.0.1", 0)) as sock, pytest.raises(OSError, match=r"set ext\.https_port"):
        http.bind({"https": (sock,)})
    http.close()
