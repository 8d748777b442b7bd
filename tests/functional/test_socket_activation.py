"""An instance whose sockets systemd has bound, under the restrictions of era-ap-activated@.service."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MAC, Site
from tests.functional.office import ROOT

pytestmark = pytest.mark.functional

PREFIX = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.functional.activation"]


def ask(port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(10)
        phone.sendto(b"\x00\x01" + MAC.encode() + b".cfg\x00octet\x00", ("127.0.0.1", port))
        return phone.recv(2048)


def test_given_sockets_are_served_whatever_ports_are_configured(site: Site, daemon: Callable) -> None:
    site.ext |= {"http_port": 1, "listen": ["192.0.2.99"], "http_listen": ["192.0.2.99"]}
    given = ["tftp=127.0.0.1:0", "http=127.0.0.1:0", "--"]
    process = daemon(site.configure(), prefix=[*PREFIX, *given]).wait_ready()
    tftp, http = (process.wait_log("serving", transport=name)["port"] for name in ("tftp", "http"))
    assert ask(int(str(tftp)))[:4] == b"\x00\x03\x00\x01"
    with socket.create_connection(("127.0.0.1", int(str(http))), 10) as phone:
        phone.sendall(f"GET /{MAC}.cfg HTTP/1.0\r\n\r\n".encode())
        assert phone.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")
    assert process.stop() == 0


def test_a_request_that_came_before_the_daemon_is_answered_by_it(site: Site, daemon: Callable) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kept,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
    ):
        kept.bind(("127.0.0.1", 0))  # only for a port that nobody else is given
        port = kept.getsockname()[1]
        kept.close()
        phone.settimeout(30)
        phone.bind(("127.0.0.1", 0))
        late = ["sh", "-c", 'echo > "$GO"; read line < "$GO2"; exec "$@"', "sh"]
        go, go2 = site.root / "go", site.root / "go2"
        os.mkfifo(go)
        os.mkfifo(go2)
        daemon(site.config, prefix=[*PREFIX, f"tftp=127.0.0.1:{port}", "--", *late], GO=str(go), GO2=str(go2))
        go.read_text()  # the socket is there, the daemon is not
        phone.sendto(b"\x00\x01" + MAC.encode() + b".cfg\x00octet\x00", ("127.0.0.1", port))
        go2.write_text("now\n")
        assert phone.recv(2048)[:4] == b"\x00\x03\x00\x01"


def test_a_socket_of_no_use_ends_the_process_with_one_line(site: Site, daemon: Callable) -> None:
    process = daemon(site.config, prefix=[*PREFIX, "https=127.0.0.1:0", "--"])
    assert process.process.wait(30) == 1
    process.wait(lambda: any("set ext.https_port" in str(entry) for entry in process.log))
    assert json.dumps(process.log).count("era-ap:") == 1
    assert Path(site.config).exists()
