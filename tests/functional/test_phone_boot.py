"""The virtual phone against another implementation's server and against servers that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tftpy

from era_ap.phone import MAX_FETCHES, End, Fetch, boot, got_own_file, profiles

MAC = "00:15:65:AA:BB:CC"
LOWER, UPPER = "001565aabbcc", "001565AABBCC"
YEALINK = b"#!version:1.0.0.1\n"

pytestmark = pytest.mark.functional


@contextmanager
def serving(root: Path) -> Iterator[int]:
    server = tftpy.TftpServer(str(root), flock=False)
    thread = threading.Thread(target=server.listen, args=("127.0.0.1", 0, 0.2), daemon=True)
    thread.start()
    assert server.is_running.wait(5)
    try:
        yield server.listenport
    finally:
        server.stop(now=True)
        thread.join(5)


@contextmanager
def scripted(answer: Callable[[bytes], list[bytes]]) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers each datagram with what ``answer`` says; the second value is what it got."""
    received: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while (datagram := sock.recvfrom(4096))[0] != b"stop":
                received.append(datagram[0])
                for reply in answer(datagram[0]):
                    sock.sendto(reply, datagram[1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield sock.getsockname()[1], received
        finally:
            sock.sendto(b"stop", sock.getsockname())
            thread.join(5)


def names(fetches: tuple[Fetch, ...]) -> list[tuple[str, End]]:
    return [(fetch.name, fetch.end) for fetch in fetches]


def test_a_yealink_without_boot_file_takes_common_and_own_file(tmp_path: Path) -> None:
    (tmp_path / "y000000000066.cfg").write_bytes(YEALINK)
    (tmp_path / f"{LOWER}.cfg").write_bytes(YEALINK + b"account.1.enable = 1\n" * 100)
    with serving(tmp_path) as port:
        fetches = boot("yealink", MAC, "T46S", "127.0.0.1", port)
    assert names(fetches) == [
        (f"{LOWER}.boot", End.ERROR),
        ("y000000000000.boot", End.ERROR),
        ("y000000000066.cfg", End.FILE),
        (f"{LOWER}.cfg", End.FILE),
    ]
    assert [fetch.code for fetch in fetches] == [1, 1, None, None]
    assert [fetch.own for fetch in fetches if fetch.end is End.FILE] == [False, True]
    assert fetches[-1].data == (tmp_path / f"{LOWER}.cfg").read_bytes()
    assert got_own_file(fetches)


def test_a_yealink_boot_file_is_the_whole_chain(tmp_path: Path) -> None:
    (tmp_path / f"{LOWER}.boot").write_bytes(
        YEALINK + b'include:config "site.cfg"\ninclude:config <none.cfg>\n'
    )
    (tmp_path / "site.cfg").write_bytes(YEALINK)
    (tmp_path / f"{LOWER}.cfg").write_bytes(YEALINK)
    with serving(tmp_path) as port:
        fetches = boot("yealink", MAC, "T46S", "127.0.0.1", port)
    assert names(fetches) == [(f"{LOWER}.boot", End.FILE), ("site.cfg", End.FILE), ("none.cfg", End.ERROR)]
    assert not got_own_file(fetches)


def test_a_snom_follows_the_list_in_its_own_file(tmp_path: Path) -> None:
    (tmp_path / f"snomD735-{UPPER}.htm").write_bytes(
        b'<setting-files><file url="{mac}.xml"/><file url="http://192.0.2.1/x.xml"/></setting-files>'
    )
    (tmp_path / f"{UPPER}.xml").write_bytes(b"<settings/>")
    with serving(tmp_path) as port:
        fetches = boot("snom", LOWER, "D735", "127.0.0.1", port)
    assert names(fetches) == [
        ("snomD735.htm", End.ERROR),
        (f"snomD735-{UPPER}.htm", End.FILE),
        (f"{UPPER}.xml", End.FILE),
        ("http://192.0.2.1/x.xml", End.ELSEWHERE),
    ]
    assert [fetch.own for fetch in fetches] == [False, False, True, False]


def test_a_grandstream_goes_on_only_while_files_are_missing(tmp_path: Path) -> None:
    (tmp_path / f"cfg{LOWER}.xml").write_bytes(b"<gs_provision/>")
    (tmp_path / "cfg.xml").write_bytes(b"<gs_provision/>")
    with serving(tmp_path) as port:
        fetches = boot("grandstream", MAC, "", "127.0.0.1", port)
    assert names(fetches) == [(f"cfg{LOWER}", End.ERROR), (f"cfg{LOWER}.xml", End.FILE)]


def test_a_polycom_takes_what_its_master_lists_and_its_further_files(tmp_path: Path) -> None:
    (tmp_path / "000000000000.cfg").write_bytes(b'<A CONFIG_FILES="site.cfg, [PHONE_MAC_ADDRESS]-reg.cfg"/>')
    (tmp_path / f"{LOWER}-reg.cfg").write_bytes(b"<polycomConfig/>")
    with serving(tmp_path) as port:
        fetches = boot("polycom", MAC, "", "127.0.0.1", port)
    assert [name for name, end in names(fetches) if end is End.FILE] == [
        "000000000000.cfg",
        f"{LOWER}-reg.cfg",
    ]
    assert f"{LOWER}-license.cfg" in [fetch.name for fetch in fetches]
    assert got_own_file(fetches)


def test_every_vendor_comes_to_an_end_where_nothing_is_there() -> None:
    with scripted(lambda datagram: [b"\0\5\0\1File not found\0"]) as (port, received):
        for vendor in profiles():
            fetches = boot(vendor, MAC, "", "127.0.0.1", port)
            assert {fetch.end for fetch in fetches} == {End.ERROR}
            assert not got_own_file(fetches)
    assert b"/spa508G.cfg" in b"".join(received)
    assert b"SEP001565AABBCC.cnf.xml" in b"".join(received)
    assert all(datagram.endswith(b"\0octet\0") for datagram in received)


def test_any_error_of_the_server_is_reported_as_it_came() -> None:
    with scripted(lambda datagram: [b"\0\5\0\2Access violation\0"]) as (port, _):
        fetch = boot("generic", MAC, "", "127.0.0.1", port)[0]
    assert (fetch.end, fetch.code, fetch.text, fetch.data) == (End.ERROR, 2, "Access violation", None)


def test_options_are_sent_only_when_asked_for() -> None:
    with scripted(lambda datagram: [b"\0\5\0\1\0"]) as (port, received):
        boot("generic", MAC, "", "127.0.0.1", port, options={"blksize": 1024})
    assert b"blksize\x001024\0" in received[0]


def test_a_silent_server_costs_no_more_than_the_limit() -> None:
    with scripted(lambda datagram: []) as (port, received):
        fetches = boot("generic", MAC, "", "127.0.0.1", port, timeout=0.3)
    assert {fetch.end for fetch in fetches} == {End.SILENT}
    assert all(fetch.seconds < 3 for fetch in fetches)
    assert len(received) >= 2 * profiles()["generic"].retries


def test_a_server_that_never_ends_is_left() -> None:
    def endless(datagram: bytes) -> list[bytes]:
        block = 1 if datagram[1] == 1 else (int.from_bytes(datagram[2:4], "big") + 1) % 65536
        return [b"\0\3" + block.to_bytes(2, "big") + bytes(512)]

    with scripted(endless) as (port, _):
        fetch = boot("generic", MAC, "", "127.0.0.1", port, timeout=0.3)[0]
    assert fetch.end is End.BROKEN
    assert "not whole within 0.3 s" in fetch.text


@pytest.mark.parametrize(
    "junk", [b"", b"\0", b"\0\x09x", b"\xff\xff\xff\xff", b"\0\6", b"\0\6blksize\0nine\0"]
)
def test_junk_is_an_outcome_and_not_an_exception(junk: bytes) -> None:
    with scripted(lambda datagram: [junk]) as (port, _):
        fetches = boot("generic", MAC, "", "127.0.0.1", port, options={"blksize": 512}, timeout=0.3)
    assert all(fetch.data is None and fetch.end in (End.BROKEN, End.SILENT) for fetch in fetches)


def test_a_list_that_lists_itself_and_many_others_ends(tmp_path: Path) -> None:
    lines = b"".join(b'include:config "n%d.cfg"\n' % number for number in range(100))
    (tmp_path / f"{LOWER}.boot").write_bytes(YEALINK + f"include:config <{LOWER}.boot>\n".encode() + lines)
    with serving(tmp_path) as port:
        fetches = boot("yealink", MAC, "", "127.0.0.1", port)
    assert len(fetches) == MAX_FETCHES
    assert len({fetch.name for fetch in fetches}) == MAX_FETCHES
