"""Sockets that systemd has bound, and the interval of its watchdog."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import pytest

from era_ap import systemd

TELL = """
import json, os
from era_ap import systemd
try:
    given = systemd.inherited()
except OSError as error:
    print(json.dumps({"error": str(error)}))
else:
    print(json.dumps({
        "given": {name: [s.getsockname()[1] for s in socks] for name, socks in given.items()},
        "inheritable": [s.get_inheritable() for socks in given.values() for s in socks],
        "left": sorted(key for key in os.environ if key.startswith("LISTEN_")),
    }))
"""


def activated(socks: Sequence[socket.socket], names: str, **environ: str) -> dict[str, object]:
    """What a process finds that is started as systemd would start it."""

    def place() -> None:
        spare = [os.dup(each.fileno()) for each in socks]  # out of the way of the numbers to come
        high = [os.dup2(number, 100 + place) for place, number in enumerate(spare)]
        for number, source in enumerate(high, systemd.FIRST_DESCRIPTOR):
            os.dup2(source, number)

    done = subprocess.run(
        ["sh", "-c", 'export LISTEN_PID=${LISTEN_PID:-$$}; exec "$@"', "sh", sys.executable, "-c", TELL],
        env={"LISTEN_FDS": str(len(socks)), "LISTEN_FDNAMES": names, "PYTHONPATH": os.pathsep.join(sys.path)}
        | environ,
        preexec_fn=place,
        close_fds=False,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def datagrams(family: int = socket.AF_INET, **options: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, options.get("only", 1))
    sock.bind(("::" if family == socket.AF_INET6 else "127.0.0.1", 0))
    return sock


def test_sockets_come_by_name_and_are_not_handed_on() -> None:
    with datagrams() as one, datagrams(socket.AF_INET6) as two, socket.create_server(("127.0.0.1", 0)) as web:
        found = activated((one, two, web), "tftp:tftp:http")
        wanted = {
            "tftp": [one.getsockname()[1], two.getsockname()[1]],
            "http": [web.getsockname()[1]],
        }
    assert found == {"given": wanted, "inheritable": [False] * 3, "left": []}


def test_sockets_of_another_process_are_not_ours() -> None:
    with datagrams() as one:
        assert activated((one,), "tftp", LISTEN_PID="1")["given"] == {}


def test_nobody_gives_anything() -> None:
    assert systemd.inherited({}) == {}
    assert systemd.inherited({"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())}) == {}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("snmp", "set FileDescriptorName= to one of tftp, http, https"),
        ("http", "that is not of ListenStream="),
    ],
)
def test_a_socket_that_is_of_no_use_says_what_to_set(name: str, advice: str) -> None:
    with datagrams() as one:
        assert advice in str(activated((one,), name)["error"])


def test_a_socket_of_both_families_is_refused() -> None:
    with datagrams(socket.AF_INET6, only=0) as both:
        assert "set BindIPv6Only=ipv6-only" in str(activated((both,), "tftp")["error"])


def test_a_connection_is_not_taken_for_a_listening_socket() -> None:
    one, two = socket.socketpair(socket.AF_UNIX)
    with one, two:
        assert "ListenStream" in str(activated((one,), "http")["error"])
    with socket.create_server(("127.0.0.1", 0)) as web, socket.create_connection(web.getsockname()) as caller:
        assert "set Accept=no" in str(activated((caller,), "http")["error"])


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "10000000"}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_pace_of_the_watchdog(environ: dict[str, str], seconds: float | None) -> None:
    assert systemd.watchdog_seconds(environ) == seconds
